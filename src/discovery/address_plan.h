// SPDX-License-Identifier: BSD-2-Clause
//
// From which address of this host mappings are asked for. The kernel chooses the source as it does for the
// application's traffic (RFC 6724); this says whether it will do, how long it lives, and what changed.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/host_address.h"
#include "base/time.h"

namespace portolan::discovery {

/// One address, and what is known of its life.
struct AddressPlan {
  IpAddress source;
  bool is_temporary = false;
  std::optional<TimePoint> preferred_until = {};
  std::optional<TimePoint> valid_until = {};  ///< a mapping is asked for no longer (client::Path)
  auto operator==(const AddressPlan&) const -> bool = default;

  /// When to plan anew though nothing is told: the address is deprecated then, or gone.
  [[nodiscard]] auto next_deadline(TimePoint now) const -> std::optional<TimePoint>;
};

/// Why there is no address to ask from.
enum class NoAddress : std::uint8_t {
  unknown,     ///< the kernel's choice is not among the host's addresses: it changed meanwhile, look again
  link_local,  ///< nobody beyond the link could reach it
  loopback,    ///< nobody beyond the host could
  unusable,    ///< duplicate detection goes on, or found another host with it
};
[[nodiscard]] auto to_string(NoAddress why) -> std::string_view;

/// Whether the source that the kernel chose towards a server will do.
///
/// In   addresses: all the host has; source: the kernel's choice; server: a loopback server takes a loopback
/// source Out  the address with its lifetimes; deprecated ones too, if the kernel has none better
[[nodiscard]] auto plan_address(std::span<const HostAddress> addresses, const IpAddress& source,
                                const IpAddress& server) -> std::expected<AddressPlan, NoAddress>;

/// What became of the address that mappings were asked from.
enum class AddressChange : std::uint8_t {
  none,
  lifetimes,   ///< the same address, for longer or shorter
  deprecated,  ///< still there, but traffic leaves from another one now
  gone,        ///< taken away or expired: its mappings lead nowhere
};
[[nodiscard]] auto to_string(AddressChange change) -> std::string_view;
/// In  before: the plan in force; now_planned: what the kernel would choose now
[[nodiscard]] auto compare(const AddressPlan& before, const AddressPlan& now_planned,
                           std::span<const HostAddress> addresses) -> AddressChange;

/// "there is a NAT between you and the PCP server at ADDRESS ...": what the result ADDRESS_MISMATCH means to
/// a person. RFC 6887 s8.1, s16.4: it says that the packet's source was another when the server got it.
[[nodiscard]] auto address_mismatch_text(const IpAddress& client, std::string_view server) -> std::string;

}  // namespace portolan::discovery
