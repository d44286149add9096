// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/destination_order.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string_view>

namespace portolan::discovery {
namespace {

struct Policy {
  unsigned precedence = 0;
  unsigned label = 0;
};

struct PolicyRow {
  Prefix prefix;
  Policy policy;
};

/// RFC 6724 s2.1, longest prefixes first.
auto policy_of(const IpAddress& address) -> Policy {
  const auto row = [](std::string_view prefix, unsigned precedence, unsigned label) {
    return PolicyRow{.prefix = Prefix::parse(prefix).value(),
                     .policy = {.precedence = precedence, .label = label}};
  };
  static const std::array<PolicyRow, 9> table{
      row("::1/128", 50, 0),   row("0.0.0.0/0", 35, 4), row("::/96", 1, 3),
      row("2001::/32", 5, 5),  row("2002::/16", 30, 2), row("3ffe::/16", 1, 12),
      row("fec0::/10", 1, 11), row("fc00::/7", 3, 13),  row("::/0", 40, 1),
  };
  return std::ranges::find_if(table, [&](const PolicyRow& entry) { return entry.prefix.contains(address); })
      ->policy;
}

constexpr unsigned scope_link = 2;
constexpr unsigned scope_site = 5;
constexpr unsigned scope_global = 14;

/// RFC 6724 s3.1, s3.2.
auto scope_of(const IpAddress& address) -> unsigned {
  if (address.is_ipv4()) {
    const std::uint32_t value = address.ipv4().value;
    return value >> 24U == 127 || value >> 16U == 0xa9fe ? scope_link : scope_global;
  }
  const auto& octets = address.bits().octets;
  if (address.is_link_local() || policy_of(address).precedence == 50) return scope_link;
  return octets[0] == 0xfe && (octets[1] & 0xc0U) == 0xc0U ? scope_site : scope_global;
}

auto common_bits(const IpAddress& one, const IpAddress& other) -> unsigned {
  unsigned bits = 0;
  for (std::size_t i = 0; i < one.bits().octets.size(); ++i) {
    const auto difference = static_cast<std::uint8_t>(one.bits().octets.at(i) ^ other.bits().octets.at(i));
    bits += static_cast<unsigned>(std::countl_zero(difference));
    if (difference != 0) break;
  }
  return bits;
}

/// True where `one` comes before `other`.
auto is_better(const Destination& one, const Destination& other) -> bool {
  if (one.source.has_value() != other.source.has_value()) return one.source.has_value();
  if (!one.source) return false;
  const auto prefer = [](bool first, bool second) { return first && !second; };
  const bool one_scope = scope_of(one.address) == scope_of(*one.source);
  const bool other_scope = scope_of(other.address) == scope_of(*other.source);
  if (one_scope != other_scope) return prefer(one_scope, other_scope);
  if (one.is_source_deprecated != other.is_source_deprecated) return other.is_source_deprecated;
  const Policy one_policy = policy_of(one.address);
  const Policy other_policy = policy_of(other.address);
  const bool one_label = policy_of(*one.source).label == one_policy.label;
  const bool other_label = policy_of(*other.source).label == other_policy.label;
  if (one_label != other_label) return prefer(one_label, other_label);
  if (one_policy.precedence != other_policy.precedence)
    return one_policy.precedence > other_policy.precedence;
  if (scope_of(one.address) != scope_of(other.address))
    return scope_of(one.address) < scope_of(other.address);
  if (one.address.family() != other.address.family()) return false;
  return common_bits(one.address, *one.source) > common_bits(other.address, *other.source);
}

}  // namespace

auto in_order(std::vector<Destination> destinations) -> std::vector<Destination> {
  std::ranges::stable_sort(destinations, is_better);
  return destinations;
}

}  // namespace portolan::discovery
