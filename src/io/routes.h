// SPDX-License-Identifier: BSD-2-Clause
//
// What the kernel's routing tables say: who the default routers are, a PCP client's servers unless it is told
// others (RFC 6887 s8.1); and by which interface a server reaches a client (s8.2).
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/hash.h"
#include "base/lazy_array.h"
#include "base/time.h"

namespace portolan::io {

/// Gateway of a default route. A link-local address is meaningful on its interface only.
struct Router {
  IpAddress address;
  std::uint32_t interface_index = 0;
  std::string interface;
};

/// Gateways of the main table's default routes: those of IPv6 first, each family's by metric,
/// none twice. Empty if there is no default route.
[[nodiscard]] auto default_routers() -> std::expected<std::vector<Router>, std::string>;

/// Whether packets to a host leave by the interface that its own came in by. Thread: one at a time.
class ReturnPaths {
 public:
  /// How long an answer of the kernel is gone by. Routes that change are noticed thereafter.
  static constexpr Seconds remembered{2};
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
  /// Cost    one look-up; two system calls if the kernel must be asked
  [[nodiscard]] auto leads_back(TimePoint now, const IpAddress& source, unsigned interface_index) -> bool;

 private:
  struct Socket;
  struct Answer {
    IpAddress source;
    std::uint32_t interface_index = 0;
    bool leads_back = false;
    TimePoint until;
  };
  ReturnPaths(std::unique_ptr<Socket> socket, HashKey key);

  std::unique_ptr<Socket> socket_;
  HashKey key_;
  LazyArray<Answer> answers_;
};

}  // namespace portolan::io
