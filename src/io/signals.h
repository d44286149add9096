// SPDX-License-Identifier: BSD-2-Clause
//
// Signals as a descriptor, for programs with an event loop that is not ours.
#pragma once

#include <expected>
#include <initializer_list>
#include <memory>
#include <optional>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

/// While it lives, its signals are blocked in this thread and in those it starts, and wait to be taken.
class Signals {
 public:
  [[nodiscard]] static auto open(std::initializer_list<int> signals) -> std::expected<Signals, SystemError>;
  Signals(Signals&& other) noexcept;
  auto operator=(Signals&& other) noexcept -> Signals&;
  ~Signals();

  /// Readable when one has come.
  [[nodiscard]] auto descriptor() const noexcept -> int { return descriptor_.get(); }
  /// The number of one that has come.
  [[nodiscard]] auto take() -> std::optional<int>;

 private:
  struct Mask;
  explicit Signals(FileDescriptor descriptor, std::unique_ptr<Mask> before);
  FileDescriptor descriptor_;
  std::unique_ptr<Mask> before_;
};

}  // namespace portolan::io
