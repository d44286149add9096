// SPDX-License-Identifier: BSD-2-Clause
#include "nat/pool.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace portolan::nat {
namespace {

constexpr std::size_t udp = 0;
constexpr std::size_t icmp = 2;

auto hash_address(std::uint32_t address) -> std::uint32_t { return address * 0x9e3779b1U; }

}  // namespace

auto PoolRange::parse(std::string_view text) -> std::optional<PoolRange> {
  if (const auto address = Ipv4Address::parse(text)) return PoolRange(*address);
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = Ipv4Address::parse(text.substr(0, dash));
    const auto last = Ipv4Address::parse(text.substr(dash + 1));
    if (!first || !last || first->value > last->value) return std::nullopt;
    return PoolRange(*first, *last);
  }
  const auto prefix = Prefix::parse(text);
  if (!prefix || !prefix->address().is_ipv4() || prefix->length() < 96) return std::nullopt;
  const std::uint32_t first = prefix->address().ipv4().value;
  const auto more = static_cast<std::uint32_t>((std::uint64_t{1} << (128 - prefix->length())) - 1);
  return PoolRange(Ipv4Address{first}, Ipv4Address{first + more});
}

auto to_string(const PoolRange& range) -> std::string {
  if (range.first == range.last) return to_string(range.first);
  return fmt::format("{}-{}", to_string(range.first), to_string(range.last));
}

Pool::Pool(const std::vector<PoolRange>& ranges) : lookup_(0) { static_cast<void>(set(ranges)); }

auto Pool::index_of(std::uint32_t address) const -> std::optional<std::uint16_t> {
  const std::uint32_t found = lookup_.find(hash_address(address), [&](std::uint32_t number) {
    return addresses_[number - 1].address.value == address;
  });
  if (found == 0) return std::nullopt;
  return static_cast<std::uint16_t>(found - 1);
}

auto Pool::place_for(std::uint32_t hash) const -> std::uint32_t {
  const std::uint64_t total = weights_.back().end;
  const std::uint64_t at = hash * total >> 32U;
  const auto found = std::ranges::upper_bound(weights_, at, {}, &Weighed::end);
  const std::uint64_t begin = found == weights_.begin() ? 0 : std::prev(found)->end;
  return found->first_place + static_cast<std::uint32_t>((at - begin) / found->weight);
}

auto Pool::set(const std::vector<PoolRange>& ranges) -> std::vector<std::uint16_t> {
  std::vector<std::uint16_t> gone;
  for (const std::uint16_t index : live_) addresses_[index].is_live = false;
  const std::vector<std::uint16_t> before = std::move(live_);
  live_.clear();
  weights_.clear();
  has_shared_ = false;
  std::uint64_t sum = 0;
  for (const PoolRange& range : ranges) {
    sum += range.size() * range.weight;
    has_shared_ = has_shared_ || range.is_shared;
    weights_.push_back({.end = sum, .first_place = size(), .weight = range.weight});
    for (std::uint64_t i = 0; i < range.size(); ++i) {
      const Ipv4Address address{static_cast<std::uint32_t>(range.first.value + i)};
      const auto known = index_of(address.value);
      const std::uint16_t index = known ? *known : add(address);
      Address& each = addresses_[index];
      each.is_live = true;
      each.is_shared = range.is_shared;
      live_.push_back(index);
      if (each.ports != range.ports) {
        each.ports = range.ports;
        if (each.is_prepared) withhold_others(index);
      }
    }
  }
  for (const std::uint16_t index : before)
    if (!addresses_[index].is_live) gone.push_back(index);
  lookup_ = HashIndex(size());
  for (const std::uint16_t index : live_)
    lookup_.insert(hash_address(addresses_[index].address.value), index + 1U);
  return gone;
}

auto Pool::add(Ipv4Address address) -> std::uint16_t {
  std::uint16_t index = 0;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    PORTOLAN_CHECK(addresses_.size() < 2 * addresses_max);
    index = static_cast<std::uint16_t>(addresses_.size());
    addresses_.emplace_back();
    if (segments_.size() <= index / addresses_per_segment) segments_.push_back(std::make_unique<Segment>());
  }
  const bool is_prepared = addresses_[index].is_prepared;
  addresses_[index] = {};
  addresses_[index].address = address;
  addresses_[index].is_prepared = is_prepared;
  // An earlier address of this index may have withheld more.
  if (is_prepared) withhold_others(index);
  return index;
}

void Pool::forget(std::uint16_t index) {
  addresses_[index].address = {};
  free_.push_back(index);
}

void Pool::prepare(std::uint16_t index) {
  if (addresses_[index].is_prepared) return;
  addresses_[index].is_prepared = true;
  withhold_others(index);
}

void Pool::withhold_others(std::uint16_t index) {
  note_release(index);
  const PortRange& own = addresses_[index].ports;
  for (std::size_t base = 0; base < bases; ++base) {
    PortSpace ports = space(base, index);
    ports.grant(own);
    if (own.first > Port{0})
      ports.withhold({.first = Port{0}, .last = Port{static_cast<std::uint16_t>(own.first.value - 1)}});
    if (own.last < Port{65535})
      ports.withhold({.first = Port{static_cast<std::uint16_t>(own.last.value + 1)}, .last = Port{65535}});
    if (base != icmp) ports.withhold({.first = Port{0}, .last = Port{0}});
    if (base == udp) ports.withhold({.first = pcp_client_port, .last = pcp_server_port});
  }
}

}  // namespace portolan::nat
