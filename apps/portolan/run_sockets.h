// SPDX-License-Identifier: BSD-2-Clause
//
// The sockets of a program under `portolan run`, and the mappings they need. Several sockets may share a
// mapping: one for each family, or for each process that takes connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan {

/// What the shim tells of one socket.
struct SocketReport {
  std::uint64_t cookie = 0;
  Protocol protocol = Protocol::tcp;
  bool has_ipv4 = false;
  bool has_ipv6 = false;
  IpAddress address;  ///< unspecified: all of the host's
  Port port;
};

/// Reads "open COOKIE tcp|udp 4|6|both ADDRESS PORT". Nothing if it is anything else.
[[nodiscard]] auto parse_socket_report(std::string_view line) -> std::optional<SocketReport>;

/// A mapping that sockets need: at one address of this host, or at each of a family.
struct NeededMapping {
  Protocol protocol = Protocol::tcp;
  Port port;
  IpAddress address;  ///< unspecified of a family: all of that family
  auto operator<=>(const NeededMapping&) const = default;
};

class RunSockets {
 public:
  /// Sockets of one program beyond get no mapping.
  static constexpr std::size_t sockets_max = 1024;
  /// A mapping outlives its last socket by this: a program that starts anew takes the port up again.
  static constexpr Milliseconds linger_time{500};

  [[nodiscard]] auto is_full() const -> bool { return sockets_.size() >= sockets_max; }
  /// Mappings that are needed from now on. A socket known already needs no more.
  auto opened(const SocketReport& report) -> std::vector<NeededMapping>;
  void ended(TimePoint now, std::uint64_t cookie);
  /// Mappings that no socket has needed for linger_time: forgotten here, and to be deleted.
  auto take_unneeded(TimePoint now) -> std::vector<NeededMapping>;
  /// When there may be some.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  [[nodiscard]] auto cookies() const -> std::vector<std::uint64_t>;

 private:
  struct Need {
    std::size_t sockets = 0;
    TimePoint unneeded_at;  ///< while there are no sockets
  };
  std::map<std::uint64_t, std::vector<NeededMapping>> sockets_;
  std::map<NeededMapping, Need> needs_;
};

}  // namespace portolan
