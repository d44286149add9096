// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/filter_elements.h"

#include <algorithm>

namespace portolan::device {
namespace {

auto last_of(const Prefix& prefix) -> IpAddress {
  Ipv6Address last = prefix.address().bits();
  for (unsigned bit = prefix.length(); bit < 128; ++bit)
    last.octets[bit / 8] = static_cast<std::uint8_t>(last.octets[bit / 8] | 0x80U >> bit % 8);
  return IpAddress{last};
}

/// The part of a prefix that has addresses of the family.
auto within(const Prefix& prefix, Family family) -> Prefix {
  if (family == Family::ipv4 && prefix.length() < 96) return {IpAddress::unspecified(Family::ipv4), 96};
  return prefix;
}

}  // namespace

auto without_overlaps(std::vector<RemoteFilter> filters) -> std::vector<RemoteFilter> {
  std::ranges::sort(filters, [](const RemoteFilter& a, const RemoteFilter& b) {
    return a.remote_peers.length() < b.remote_peers.length();
  });
  std::vector<RemoteFilter> kept;
  for (const RemoteFilter& filter : filters) {
    const bool is_included = std::ranges::any_of(kept, [&](const RemoteFilter& wider) {
      return wider.remote_port == filter.remote_port &&
             wider.remote_peers.contains(filter.remote_peers.address());
    });
    if (!is_included) kept.push_back(filter);
  }
  return kept;
}

auto filter_element(const io::NftFields& socket, const RemoteFilter& filter, Family family, Seconds timeout)
    -> io::NftElement {
  const Prefix peers = within(filter.remote_peers, family);
  io::NftElement element{.set = "allowed", .key = socket, .key_end = socket, .timeout = timeout};
  element.key.add(peers.address());
  element.key_end.add(last_of(peers));
  if (filter.remote_port != Port{0}) {
    element.set = "allowed_port";
    element.key.add(filter.remote_port);
    element.key_end.add(filter.remote_port);
  }
  return element;
}

auto lets_in(const std::vector<RemoteFilter>& filters, const Endpoint& remote) -> bool {
  return filters.empty() || std::ranges::any_of(filters, [&](const RemoteFilter& filter) {
           return filter.remote_peers.contains(remote.address) &&
                  (filter.remote_port == Port{0} || filter.remote_port == remote.port);
         });
}

}  // namespace portolan::device
