// SPDX-License-Identifier: BSD-2-Clause
#include "client/wish.h"

#include <algorithm>
#include <span>
#include <utility>

#include "base/protocol_ports.h"
#include "client/requests.h"
#include "wire/options.h"

namespace portolan::client {
namespace {

/// Rules about options of MAP.
auto error_in_options(const Wish& wish) -> std::optional<WishError> {
  const bool has_port_set = wish.port_count != 1;
  if (wish.is_peer()) {
    if (wish.prefer_failure) return WishError::prefer_failure_for_peer;
    if (!wish.filters.empty()) return WishError::filter_for_peer;
    if (has_port_set) return WishError::port_set_for_peer;
    if (wish.protocol == Protocol::all || wish.internal_port == Port{}) return WishError::peer_without_port;
    if (wish.remote_peer->address.is_unspecified()) return WishError::peer_is_unspecified;
  }
  if (wish.prefer_failure && has_port_set) return WishError::prefer_failure_for_port_set;
  if (wish.prefer_failure && wish.suggested_external_port == Port{})
    return WishError::prefer_failure_without_port;
  if (wish.port_count == 0 || (has_port_set && wish.internal_port == Port{}))
    return WishError::port_set_out_of_range;
  const auto is_for_everyone = [](const RemoteFilter& filter) { return filter.remote_peers.length() == 0; };
  if (std::ranges::any_of(wish.filters, is_for_everyone)) return WishError::filter_for_everyone;
  if (wish.third_party_id && !wish.third_party) return WishError::third_party_id_alone;
  if (wish.description && !wire::is_description_text(std::as_bytes(std::span(*wish.description))))
    return WishError::description_not_utf8;
  return {};
}

}  // namespace

auto to_string(WishError error) -> std::string_view {
  switch (error) {
    case WishError::lifetime_out_of_range:
      return "the lifetime is out of range: give 1 to 4294967295 seconds";
    case WishError::port_without_protocol: return "a port means nothing for all protocols: give port 0";
    case WishError::port_of_portless_protocol: return "the protocol has no ports: give port 0";
    case WishError::prefer_failure_without_port:
      return "PREFER_FAILURE insists on an external port: suggest one";
    case WishError::prefer_failure_for_peer:
      return "PREFER_FAILURE does not go with a remote peer: leave it out";
    case WishError::filter_for_peer: return "filters do not go with a remote peer: leave them out";
    case WishError::port_set_for_peer: return "a port set does not go with a remote peer: ask for one port";
    case WishError::prefer_failure_for_port_set:
      return "PREFER_FAILURE does not go with a port set: leave out one of them";
    case WishError::port_set_out_of_range:
      return "a port set begins at a port other than 0 and has 1 to 65535 ports";
    case WishError::peer_without_port:
      return "a remote peer needs a protocol and an internal port: give those of the connection";
    case WishError::peer_is_unspecified: return "the remote peer has no address: give the one connected to";
    case WishError::filter_for_everyone:
      return "a filter of prefix length 0 lets everyone in: leave it out, or give a longer prefix";
    case WishError::third_party_id_alone: return "a third party's identifier needs its address: give both";
    case WishError::description_not_utf8: return "the description is not UTF-8 without NUL: encode it so";
    case WishError::too_long:
      return "the request is longer than 1100 octets: give fewer filters or a shorter description";
  }
  std::unreachable();
}

auto error_in(const Wish& wish) -> std::optional<WishError> {
  if (wish.lifetime < Seconds{1} || wish.lifetime.count() > UINT32_MAX)
    return WishError::lifetime_out_of_range;
  if (wish.protocol == Protocol::all && wish.internal_port != Port{}) return WishError::port_without_protocol;
  if (!has_ports(wish.protocol) && wish.internal_port != Port{}) return WishError::port_of_portless_protocol;
  if (const auto error = error_in_options(wish)) return error;
  if (wish.description && wish.description->size() > wire::Description::octets_max)
    return WishError::too_long;
  // Any address but the third party's, whose option then counts.
  const IpAddress client = IpAddress::unspecified(Family::ipv4);
  const RequestFields fields{
      .client_address = client, .nonce = {}, .suggested = {}, .lifetime_s = 1, .port_count = wish.port_count};
  if (!encode_wish(wish, fields)) return WishError::too_long;
  return {};
}

}  // namespace portolan::client
