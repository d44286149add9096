// SPDX-License-Identifier: BSD-2-Clause
#include "sip/nat64.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "nat/embedding.h"

namespace portolan::sip {

auto as_reached(const IpAddress& address, const std::optional<Prefix>& prefix) -> std::optional<IpAddress> {
  if (!address.is_ipv4()) return address;
  if (!prefix || !nat::is_embedding_length(prefix->length())) return {};
  nat::Embedding embedding{};
  std::ranges::copy(prefix->address().bits().octets, embedding.prefix);
  embedding.length = static_cast<std::uint8_t>(prefix->length());
  Ipv6Address made;
  nat::embed(embedding, std::span(address.bits().octets).last(4).data(), made.octets.data());
  return IpAddress{made};
}

}  // namespace portolan::sip
