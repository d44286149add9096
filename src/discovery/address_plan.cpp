// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/address_plan.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace portolan::discovery {
namespace {

auto is_loopback(const IpAddress& address) -> bool {
  if (address.is_ipv4()) return address.ipv4().value >> 24U == 127;
  constexpr IpAddress loopback{Ipv6Address{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  return address == loopback;
}

auto find(std::span<const HostAddress> addresses, const IpAddress& address) -> const HostAddress* {
  const auto found = std::ranges::find(addresses, address, &HostAddress::address);
  return found == addresses.end() ? nullptr : &*found;
}

}  // namespace

auto AddressPlan::next_deadline(TimePoint now) const -> std::optional<TimePoint> {
  if (preferred_until && *preferred_until > now) return preferred_until;
  return valid_until;
}

auto to_string(NoAddress why) -> std::string_view {
  switch (why) {
    case NoAddress::unknown: return "the host's addresses are changing";
    case NoAddress::link_local: return "the host has no global address yet, and a mapping needs one";
    case NoAddress::loopback:
      return "the server is reached from a loopback address, which nobody else can reach";
    case NoAddress::unusable: return "the address is not usable yet, or another host has it too";
  }
  std::unreachable();
}

auto plan_address(std::span<const HostAddress> addresses, const IpAddress& source, const IpAddress& server)
    -> std::expected<AddressPlan, NoAddress> {
  if (source.is_link_local()) return std::unexpected(NoAddress::link_local);
  if (is_loopback(source) && !is_loopback(server)) return std::unexpected(NoAddress::loopback);
  const HostAddress* const found = find(addresses, source);
  if (found == nullptr) return std::unexpected(NoAddress::unknown);
  if (!found->is_usable) return std::unexpected(NoAddress::unusable);
  return AddressPlan{.source = source,
                     .is_temporary = found->is_temporary,
                     .preferred_until = found->preferred_until,
                     .valid_until = found->valid_until};
}

auto to_string(AddressChange change) -> std::string_view {
  switch (change) {
    case AddressChange::none: return "unchanged";
    case AddressChange::lifetimes: return "other lifetimes";
    case AddressChange::deprecated: return "traffic leaves from another address now";
    case AddressChange::gone: return "the address is gone";
  }
  std::unreachable();
}

auto compare(const AddressPlan& before, const AddressPlan& now_planned,
             std::span<const HostAddress> addresses) -> AddressChange {
  if (before == now_planned) return AddressChange::none;
  if (before.source == now_planned.source) return AddressChange::lifetimes;
  return find(addresses, before.source) == nullptr ? AddressChange::gone : AddressChange::deprecated;
}

auto address_mismatch_text(const IpAddress& client, std::string_view server) -> std::string {
  return fmt::format(
      "there is a NAT between you and the PCP server at {}, which saw another address than {}: ask that NAT "
      "instead",
      server, client);
}

}  // namespace portolan::discovery
