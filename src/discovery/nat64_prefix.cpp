// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/nat64_prefix.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"

namespace portolan::discovery {
namespace {

constexpr std::uint8_t option_pref64 = 38;
constexpr std::size_t option_unit_octets = 8;
constexpr std::size_t pref64_octets = 16;
constexpr unsigned lifetime_unit_s = 8;

/// Of ipv4only.arpa (RFC 7050 s8.2).
constexpr std::array<std::uint32_t, 2> well_known{0xc00000aa, 0xc00000ab};

auto parse_pref64(std::span<const std::byte> option) -> std::optional<Pref64> {
  ByteReader reader(option);
  reader.skip(2);
  const auto scaled = reader.read<std::uint16_t>();
  const std::size_t code = scaled & 7U;
  if (code >= pref64_lengths.size()) return {};
  Ipv6Address address;
  reader.copy_to(std::as_writable_bytes(std::span(address.octets)).first(12));
  return Pref64{.prefix = Prefix(IpAddress{address}, pref64_lengths.at(code)),
                .lifetime = Seconds{(scaled >> 3U) * lifetime_unit_s}};
}

/// The IPv4 address that a prefix of this length leaves room for (RFC 6052 s2.2): octet 8 is skipped.
auto embedded(const Ipv6Address& address, unsigned length) -> std::uint32_t {
  std::uint32_t value = 0;
  std::size_t place = length / 8;
  for (int i = 0; i < 4; ++i, ++place) {
    if (place == 8) ++place;
    value = value << 8U | address.octets.at(place);
  }
  return value;
}

/// How often `value` stands in the address, at any octet (RFC 7050 s3). That octet 8 interrupts it does not
/// count.
auto occurrences(const Ipv6Address& address, std::uint32_t value) -> unsigned {
  unsigned count = 0;
  for (std::size_t first = 0; first + 4 <= address.octets.size(); ++first) {
    std::uint32_t there = 0;
    for (std::size_t i = 0; i < 4; ++i) there = there << 8U | address.octets.at(first + i);
    if (there == value) ++count;
  }
  return count;
}

auto prefix_of_answer(const Ipv6Address& address) -> std::optional<Prefix> {
  for (const std::uint32_t value : well_known) {
    std::optional<unsigned> found;
    unsigned places = 0;
    for (const unsigned length : pref64_lengths) {
      // Octet 8 is zero (RFC 6052 s2.2), unless it is the operator's prefix itself that breaks the rule.
      if (embedded(address, length) != value || (length < 96 && address.octets[8] != 0)) continue;
      found = length;
      ++places;
    }
    if (places == 1 && occurrences(address, value) <= 1) return Prefix(IpAddress{address}, *found);
  }
  return {};
}

}  // namespace

auto parse_pref64_options(std::span<const std::byte> options) -> std::vector<Pref64> {
  std::vector<Pref64> found;
  while (options.size() >= 2) {
    const std::size_t octets = std::to_integer<std::size_t>(options[1]) * option_unit_octets;
    if (octets == 0 || octets > options.size()) break;
    if (std::to_integer<std::uint8_t>(options[0]) == option_pref64 && octets == pref64_octets) {
      if (const auto option = parse_pref64(options.first(octets))) found.push_back(*option);
    }
    options = options.subspan(octets);
  }
  return found;
}

auto prefixes_of_answers(std::span<const IpAddress> answers) -> std::vector<Prefix> {
  std::vector<Prefix> prefixes;
  for (const IpAddress& answer : answers) {
    if (answer.is_ipv4()) continue;
    const auto prefix = prefix_of_answer(answer.bits());
    if (prefix && std::ranges::find(prefixes, *prefix) == prefixes.end()) prefixes.push_back(*prefix);
  }
  return prefixes;
}

auto synthesize(const Prefix& prefix, Ipv4Address address) -> IpAddress {
  Ipv6Address made = prefix.address().bits();
  std::size_t place = prefix.length() / 8;
  for (unsigned shift = 32; shift != 0; ++place) {
    if (place == 8) continue;
    shift -= 8;
    made.octets.at(place) = static_cast<std::uint8_t>(address.value >> shift);
  }
  return IpAddress{made};
}

auto to_string(PrefixSource source) -> std::string_view {
  switch (source) {
    case PrefixSource::pcp: return "PCP server";
    case PrefixSource::router_advertisement: return "router advertisement";
    case PrefixSource::dns: return "ipv4only.arpa";
  }
  std::unreachable();
}

void Nat64Prefixes::learn(TimePoint now, PrefixSource source, std::uint32_t interface_index,
                          const Pref64& learned) {
  advance(now);
  const auto known = std::ranges::find_if(entries_, [&](const Entry& entry) {
    return entry.source == source && entry.interface_index == interface_index &&
           entry.prefix == learned.prefix;
  });
  if (learned.lifetime <= Seconds{0}) {
    if (known != entries_.end()) entries_.erase(known);
    return;
  }
  const TimePoint until = now + learned.lifetime;
  if (known != entries_.end())
    known->until = until;
  else if (entries_.size() < prefixes_max)
    entries_.push_back(
        {.source = source, .interface_index = interface_index, .prefix = learned.prefix, .until = until});
}

void Nat64Prefixes::forget(PrefixSource source, std::uint32_t interface_index) {
  std::erase_if(entries_, [&](const Entry& entry) {
    return entry.source == source && entry.interface_index == interface_index;
  });
}

void Nat64Prefixes::advance(TimePoint now) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.until <= now; });
}

auto Nat64Prefixes::next_deadline() const -> std::optional<TimePoint> {
  const auto first = std::ranges::min_element(entries_, {}, &Entry::until);
  return first == entries_.end() ? std::nullopt : std::optional(first->until);
}

auto Nat64Prefixes::in_use() const -> std::vector<Entry> {
  const auto best = std::ranges::min_element(entries_, {}, &Entry::source);
  std::vector<Entry> chosen;
  if (best == entries_.end()) return chosen;
  std::ranges::copy_if(entries_, std::back_inserter(chosen),
                       [&](const Entry& entry) { return entry.source == best->source; });
  return chosen;
}

}  // namespace portolan::discovery
