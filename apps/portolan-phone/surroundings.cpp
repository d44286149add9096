// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/surroundings.h"

#include "discovery/nat64_prefix.h"
#include "io/resolve.h"
#include "io/source_address.h"
#include "sip/nat64.h"

namespace portolan::phone {
namespace {

/// Stand for the world outside: only the way there is looked up.
constexpr const char* far_ipv6 = "2001:db8::1";
constexpr const char* far_ipv4 = "192.0.2.1";

}  // namespace

auto look_around(sip::PhoneConfig& config) -> std::expected<void, std::string> {
  if (!config.nat64_prefix) {
    if (const auto records = io::resolve_ipv6_records(std::string(discovery::ipv4only_name))) {
      const auto prefixes = discovery::prefixes_of_answers(records->addresses);
      if (!prefixes.empty()) config.nat64_prefix = prefixes.front();
    }
  }
  if (!config.address.is_unspecified()) return {};
  for (const char* destination : {far_ipv6, far_ipv4}) {
    const auto source = io::source_towards(*IpAddress::parse(destination));
    if (!source || source->is_link_local() || source->is_unspecified()) continue;
    config.address = *source;
    return {};
  }
  return std::unexpected(
      "this host has no address with a way to the world: wait for its router, or name one with --address");
}

}  // namespace portolan::phone
