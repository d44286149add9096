// SPDX-License-Identifier: BSD-2-Clause
//
// resolve() for an event loop: the C library only blocks, so a thread waits in it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "io/event_loop.h"
#include "io/resolve.h"

namespace portolan::io {

/// A lookup under way. Destroyed, it never calls its handler; its thread ends when the resolver does. Destroy
/// it before its loop.
class [[nodiscard]] NameLookup {
 public:
  using Result = decltype(resolve(std::string()));
  using Handler = std::function<void(Result)>;

  /// Calls `handler` on the loop's thread with what resolve() returns.
  static auto start(EventLoop& loop, std::string host, Handler handler) -> NameLookup;

  NameLookup(NameLookup&&) noexcept;
  auto operator=(NameLookup&&) noexcept -> NameLookup&;
  ~NameLookup();

 private:
  struct State;
  explicit NameLookup(std::shared_ptr<State> state);
  void cancel() noexcept;
  std::shared_ptr<State> state_;
};

}  // namespace portolan::io
