// SPDX-License-Identifier: BSD-2-Clause
//
// What this process may do on its host, and giving up what it does not need: another user, capabilities.
//
//   become(...)          at start, while there is one thread: the user, and the capabilities that starting
//   takes keep_only(...)       once everything is open: what is left for the rest of its life give_up_all()
//   threads that only compute and write to what is open
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace portolan::io {

/// Capabilities by their number, see capabilities(7).
enum class Capability : std::uint8_t {
  dac_override = 1,       ///< files of others
  net_bind_service = 10,  ///< ports below 1024
  net_admin = 12,         ///< interfaces, addresses, routes, filters, sysctls of the network
  net_raw = 13,           ///< ICMPv6 sockets
  bpf = 39,               ///< BPF programs
};
/// "CAP_NET_ADMIN".
[[nodiscard]] auto to_string(Capability capability) -> std::string;

/// Whether the host knows a user of that name.
[[nodiscard]] auto user_exists(const std::string& name) -> bool;
/// Nothing if the host knows no group of that name.
[[nodiscard]] auto group_number(const std::string& name) -> std::optional<gid_t>;

/// Makes the folder if it is missing, for `user` if that is somebody and this process is root.
/// Errors  text: it cannot be made
[[nodiscard]] auto make_directory_for(const std::filesystem::path& directory, const std::string& user)
    -> std::expected<void, std::string>;

/// Whether this process may become `user`; empty: stay who it is.
/// Errors  text: there is no such user, or only root and the user itself may
[[nodiscard]] auto may_become(const std::string& user) -> std::expected<void, std::string>;

/// Becomes `user`, with its groups, and keeps of its capabilities those of `needed` that it has;
/// `for_programs`: hands them on to programs that it starts, which get no more than it has (NoNewPrivs) in
/// any case. Puts dac_override aside, for device files that only root may open (see Raised). For the only
/// thread there is. Errors  as may_become()
[[nodiscard]] auto become(const std::string& user, std::span<const Capability> needed, bool for_programs)
    -> std::expected<void, std::string>;

/// Keeps of this thread's capabilities those of `kept` that it has, and none otherwise; `for_programs`: hands
/// them on to programs that it starts. Errors  text
[[nodiscard]] auto keep_only(std::span<const Capability> kept, bool for_programs)
    -> std::expected<void, std::string>;

/// This thread keeps no capability.
void give_up_all() noexcept;

/// Has this thread use a capability for a moment that become() has put aside; does nothing if there is none.
class Raised {
 public:
  explicit Raised(Capability capability) noexcept;
  Raised(const Raised&) = delete;
  auto operator=(const Raised&) -> Raised& = delete;
  ~Raised();

 private:
  std::uint64_t before_;
};

/// Those that this thread has, for the log.
[[nodiscard]] auto present_capabilities() -> std::vector<std::string>;

}  // namespace portolan::io
