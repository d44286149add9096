// SPDX-License-Identifier: BSD-2-Clause
//
// By which interface a server reaches a client: IPv6 has no rp_filter, so a host could ask in the name of one
// on another link.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

#include "base/address.h"
#include "base/hash.h"
#include "base/lazy_array.h"
#include "base/random.h"
#include "base/time.h"

namespace portolan::io {

/// Whether packets to a host leave by the interface that its own came in by. Thread: one at a time.
class ReturnPaths {
 public:
  /// How long what the kernel says is gone by. Routes that change are noticed thereafter.
  static constexpr Seconds remembered{2};
  /// Routes of which a copy is kept; if there are more the kernel is asked about each address.
  static constexpr std::size_t routes_max = 16'384;
  /// Answers kept; more take the place of others.
  static constexpr std::size_t answers_max = 131'072;

  [[nodiscard]] static auto open(Random& random) -> std::expected<ReturnPaths, std::string>;
  ReturnPaths(ReturnPaths&&) noexcept;
  auto operator=(ReturnPaths&&) noexcept -> ReturnPaths&;
  ~ReturnPaths();

  /// Spec    RFC 6887 s8.2
  /// In      interface_index: where packets of `source` came in
  /// Out     true if a route to `source` leads there, one of several ways also. A link-local address is
  ///         wherever it is seen. True as well if the kernel could not be asked.
  /// Cost    one look-up for each prefix length that routes have; two system calls if none of these routes
  ///         leads there, because rules may
  [[nodiscard]] auto leads_back(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool;

 private:
  struct Socket;
  class Snapshot;
  struct Answer {
    IpAddress source;
    std::uint32_t interface_index = 0;
    bool leads_back = false;
    TimePoint until;
  };
  ReturnPaths(std::unique_ptr<Socket> socket, HashKey key);

  [[nodiscard]] auto ask(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool;

  std::unique_ptr<Socket> socket_;
  std::unique_ptr<Snapshot> snapshot_;
  TimePoint refresh_{};
  HashKey key_;
  LazyArray<Answer> answers_;
};

}  // namespace portolan::io
