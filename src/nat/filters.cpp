// SPDX-License-Identifier: BSD-2-Clause
#include "nat/filters.h"

#include <algorithm>
#include <bit>

#include "base/check.h"
#include "nat/packet.h"

namespace portolan::nat {
namespace {

// An address that has bits outside the mask is no peer's.
constexpr PeerFilter nobody{.address = 1, .mask = 0, .port = 0};

}  // namespace

auto to_peer_filter(const RemoteFilter& filter, const Embedding& embedding) -> PeerFilter {
  const unsigned length = filter.remote_peers.length();
  const auto& wanted = filter.remote_peers.address().bits();
  Ipv6Address translation;
  std::copy_n(embedding.prefix, translation.octets.size(), translation.octets.begin());
  if (length <= embedding.length)
    return filter.remote_peers.contains(IpAddress{translation})
               ? PeerFilter{.address = 0, .mask = 0, .port = filter.remote_port.value}
               : nobody;

  // Peers look as embed() writes them. What it writes for the prefix's IPv4 bits must be the prefix
  // again, octet 8 and suffix included: they are zero.
  std::uint8_t address[4];
  extract(embedding, wanted.octets.data(), address);
  Ipv6Address canonical;
  embed(embedding, address, canonical.octets.data());
  if (canonical != wanted) return nobody;
  Ipv6Address significant;
  for (unsigned bit = 0; bit < length; ++bit)
    significant.octets[bit / 8] |= static_cast<std::uint8_t>(0x80U >> bit % 8);
  std::uint8_t mask[4];
  extract(embedding, significant.octets.data(), mask);
  return {.address = load32(address), .mask = load32(mask), .port = filter.remote_port.value};
}

auto to_peer_filter(const RemoteFilter& filter, const Prefixes& prefixes) -> PeerFilter {
  for (std::uint8_t number = 0; number < prefixes.count(); ++number)
    if (const PeerFilter found = to_peer_filter(filter, prefixes[number]); found != nobody) return found;
  return nobody;
}

auto to_remote_filter(const PeerFilter& filter, const Embedding& embedding) -> RemoteFilter {
  const Port port{filter.port};
  // The unspecified address looks like no peer.
  if (filter == nobody) return {.remote_peers = Prefix{IpAddress{}, 128}, .remote_port = port};
  const auto bits = static_cast<unsigned>(std::popcount(filter.mask));
  unsigned length = embedding.length + bits;
  if (embedding.length != 96 && length > 64) length += 8;  // octet 8
  std::uint8_t octets[4];
  store32(octets, filter.address);
  Ipv6Address address;
  embed(embedding, octets, address.octets.data());
  return {.remote_peers = Prefix{IpAddress{address}, length}, .remote_port = port};
}

Filters::Filters(const Limits& limits)
    : length_max_(limits.filters_per_mapping),
      numbers_(limits.filters),
      nodes_(std::size_t{limits.filters} + 1) {}

auto Filters::length(std::uint32_t list) const -> std::size_t {
  std::size_t length = 0;
  for (; list != 0; list = nodes_[list].next) ++length;
  return length;
}

auto Filters::has_room(std::uint32_t list, std::size_t count) const -> bool {
  return count <= length_max_ && numbers_.used() - length(list) + count <= numbers_.maximum();
}

auto Filters::replace(std::uint32_t& list, std::span<const PeerFilter> filters) -> bool {
  std::size_t same = 0;
  std::uint32_t each = list;
  for (; each != 0 && same < filters.size() && nodes_[each].filter == filters[same]; each = nodes_[each].next)
    ++same;
  if (each == 0 && same == filters.size()) return false;
  while (list != 0) {
    const std::uint32_t next = nodes_[list].next;
    numbers_.give_back(list);
    list = next;
  }
  std::uint32_t* link = &list;
  for (const PeerFilter& filter : filters) {
    const std::uint32_t number = numbers_.take();
    PORTOLAN_CHECK(number != 0);
    nodes_[number] = {.filter = filter, .next = 0};
    *link = number;
    link = &nodes_[number].next;
  }
  return true;
}

auto Filters::allows(std::uint32_t list, std::uint32_t remote, std::uint16_t remote_port) const -> bool {
  if (list == 0) return true;
  for (; list != 0; list = nodes_[list].next)
    if (nodes_[list].filter.matches(remote, remote_port)) return true;
  return false;
}

}  // namespace portolan::nat
