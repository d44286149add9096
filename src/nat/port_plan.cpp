// SPDX-License-Identifier: BSD-2-Clause
#include "nat/port_plan.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/bytes.h"

namespace portolan::nat {
namespace {

struct Halves {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
};

auto halves_of(const Ipv6Address& address) -> Halves {
  ByteReader reader(std::as_bytes(std::span(address.octets)));
  Halves halves;
  halves.high = reader.read<std::uint64_t>();
  halves.low = reader.read<std::uint64_t>();
  return halves;
}

/// `shift` at most 127.
auto shifted_right(const Halves& value, unsigned shift) -> std::uint64_t {
  if (shift >= 64) return value.high >> (shift - 64);
  return shift == 0 ? value.low : value.low >> shift | value.high << (64 - shift);
}

}  // namespace

auto PortPlan::make(const Deterministic& wanted, const std::vector<PoolRange>& pool,
                    std::uint8_t subscriber_prefix_length) -> std::expected<PortPlan, std::string> {
  const unsigned length = wanted.inside.length();
  if (wanted.inside.address().is_ipv4() || length == 0 || length > subscriber_prefix_length)
    return std::unexpected(fmt::format(
        "deterministic: inside prefix {} must be an IPv6 prefix of at most {} bits, which is what a "
        "subscriber has",
        wanted.inside, subscriber_prefix_length));
  const unsigned bits = subscriber_prefix_length - length;
  if (bits > subscriber_bits_max)
    return std::unexpected(
        fmt::format("deterministic: inside prefix {} has 2^{} subscribers of /{}, at most "
                    "2^{} are possible",
                    wanted.inside, bits, subscriber_prefix_length, subscriber_bits_max));
  return make(wanted, pool, subscriber_prefix_length, std::uint32_t{1} << bits);
}

auto PortPlan::make(const Deterministic& wanted, const std::vector<PoolRange>& pool,
                    std::uint8_t subscriber_prefix_length, std::uint32_t subscribers)
    -> std::expected<PortPlan, std::string> {
  if (wanted.dynamic_factor > dynamic_factor_max)
    return std::unexpected(fmt::format("deterministic: dynamic_factor {} is more than {}",
                                       wanted.dynamic_factor, dynamic_factor_max));
  PortPlan plan;
  plan.wanted_ = wanted;
  plan.length_ = subscriber_prefix_length;
  plan.subscribers_ = subscribers;
  for (const PoolRange& range : pool) plan.addresses_ += static_cast<std::uint32_t>(range.size());
  if (plan.addresses_ == 0) return std::unexpected("deterministic: the pool is empty");
  const std::uint32_t ratio = (subscribers + plan.addresses_ - 1) / plan.addresses_;
  std::uint32_t place = 0;
  for (const PoolRange& range : pool) {
    if (range.weight != 1)
      return std::unexpected(
          fmt::format("deterministic: pool range {} must not have a weight: the plan gives each "
                      "address as many subscribers",
                      to_string(range)));
    const PortRange ports{.first = std::max(range.ports.first, wanted.first_port), .last = range.ports.last};
    const std::uint32_t count =
        ports.first > ports.last ? 0U : std::uint32_t{ports.last.value} - ports.first.value + 1U;
    const std::uint32_t size = count / (ratio + wanted.dynamic_factor);
    if (size < ports_min)
      return std::unexpected(fmt::format(
          "deterministic: {} subscribers at {} addresses, and dynamic_factor {}, leave {} ports for each at "
          "{}, "
          "less than {}: add addresses, or let the inside prefix be longer",
          subscribers, plan.addresses_, wanted.dynamic_factor, size, to_string(range), ports_min));
    plan.by_place_.push_back(
        {.first = range.first.value, .last = range.last.value, .place = place, .ports = ports, .size = size});
    place += static_cast<std::uint32_t>(range.size());
  }
  for (std::uint32_t i = 0; i < plan.by_place_.size(); ++i) plan.by_address_.push_back(i);
  std::ranges::sort(plan.by_address_, {}, [&](std::uint32_t i) { return plan.by_place_[i].first; });
  return plan;
}

auto PortPlan::number_of(const Ipv6Address& address) const -> std::optional<std::uint32_t> {
  if (!wanted_.inside.contains(IpAddress{address})) return std::nullopt;
  const unsigned bits = length_ - wanted_.inside.length();
  const std::uint64_t number =
      shifted_right(halves_of(address), 128U - length_) & ((std::uint64_t{1} << bits) - 1);
  if (number >= subscribers_) return std::nullopt;
  return static_cast<std::uint32_t>(number);
}

auto PortPlan::subscriber(std::uint32_t number) const -> Prefix {
  const unsigned shift = 128U - length_;
  Halves halves = halves_of(wanted_.inside.address().bits());
  if (shift >= 64) {
    halves.high |= std::uint64_t{number} << (shift - 64);
  } else {
    halves.low |= std::uint64_t{number} << shift;
    if (shift > 0) halves.high |= std::uint64_t{number} >> (64 - shift);
  }
  Ipv6Address address;
  ByteWriter writer(std::as_writable_bytes(std::span(address.octets)));
  writer.write(halves.high);
  writer.write(halves.low);
  return {IpAddress{address}, length_};
}

auto PortPlan::find(Ipv4Address address) const -> const Addresses* {
  const auto next = std::ranges::upper_bound(by_address_, address.value, {},
                                             [&](std::uint32_t i) { return by_place_[i].first; });
  if (next == by_address_.begin()) return nullptr;
  const Addresses& found = by_place_[*std::prev(next)];
  return address.value <= found.last ? &found : nullptr;
}

auto PortPlan::at_place(std::uint32_t place) const -> const Addresses& {
  return *std::prev(std::ranges::upper_bound(by_place_, place, {}, &Addresses::place));
}

auto PortPlan::subscribers_at(std::uint32_t place) const -> std::uint32_t {
  return place >= subscribers_ ? 0 : (subscribers_ - place + addresses_ - 1) / addresses_;
}

auto PortPlan::ports_of(const Ipv6Address& address) const -> std::optional<PlannedPorts> {
  const auto number = number_of(address);
  if (!number) return std::nullopt;
  const std::uint32_t place = *number % addresses_;
  const Addresses& addresses = at_place(place);
  const std::uint32_t first = addresses.ports.first.value + *number / addresses_ * addresses.size;
  return PlannedPorts{.address = Ipv4Address{addresses.first + (place - addresses.place)},
                      .ports = {.first = Port{static_cast<std::uint16_t>(first)},
                                .last = Port{static_cast<std::uint16_t>(first + addresses.size - 1)}}};
}

auto PortPlan::dynamic_at(Ipv4Address address) const -> std::optional<PortRange> {
  const Addresses* const addresses = find(address);
  if (addresses == nullptr || wanted_.dynamic_factor == 0) return std::nullopt;
  const std::uint32_t place = addresses->place + (address.value - addresses->first);
  const std::uint32_t first = addresses->ports.first.value + subscribers_at(place) * addresses->size;
  return PortRange{.first = Port{static_cast<std::uint16_t>(first)}, .last = addresses->ports.last};
}

auto PortPlan::holder_of(Ipv4Address address, Port port) const -> PortHolder {
  using Kind = PortHolder::Kind;
  const Addresses* const addresses = find(address);
  if (addresses == nullptr) return {.kind = Kind::elsewhere};
  if (!addresses->ports.contains(port)) return {.kind = Kind::reserved};
  const std::uint32_t place = addresses->place + (address.value - addresses->first);
  const std::uint32_t slot = (std::uint32_t{port.value} - addresses->ports.first.value) / addresses->size;
  if (slot < subscribers_at(place))
    return {.kind = Kind::subscriber, .subscriber = subscriber(slot * addresses_ + place)};
  return {.kind = wanted_.dynamic_factor > 0 ? Kind::dynamic : Kind::nobody};
}

auto PortPlan::address_without_block(std::uint32_t size, Port first_port) const
    -> std::optional<Ipv4Address> {
  // The first address of a range has as many subscribers as any, and so the fewest dynamic ports.
  for (const Addresses& addresses : by_place_) {
    const Ipv4Address address{addresses.first};
    const auto dynamic = dynamic_at(address);
    if (!dynamic) continue;
    const std::uint32_t first = std::max(dynamic->first, first_port).value;
    const std::uint32_t end = dynamic->last.value + 1U;
    if ((first + size - 1) / size * size + size > end) return address;
  }
  return std::nullopt;
}

auto PortPlan::may_have(const Ipv6Address& host, Ipv4Address address, Port port) const -> bool {
  if (const auto own = ports_of(host); own && own->address == address && own->ports.contains(port))
    return true;
  const auto dynamic = dynamic_at(address);
  return dynamic && dynamic->contains(port);
}

auto PortPlan::describe(std::uint32_t ports_max) const -> std::string {
  std::vector<std::string> pool;
  std::uint32_t least = UINT32_MAX;
  for (const Addresses& addresses : by_place_) {
    pool.push_back(fmt::format(
        "{} ports {}-{}", to_string(PoolRange(Ipv4Address{addresses.first}, Ipv4Address{addresses.last})),
        addresses.ports.first, addresses.ports.last));
    least = std::min(least, addresses.size);
  }
  return fmt::format(
      "inside {}, subscribers /{}, outside {}, dynamic factor {}, most ports {}, algorithm 0, reserved "
      "ports 0-{}: {} ports for each of {} subscribers",
      wanted_.inside, length_, fmt::join(pool, ", "), wanted_.dynamic_factor,
      ports_max == Allowance::no_maximum ? "unlimited" : fmt::format("{}", ports_max),
      wanted_.first_port.value - 1, least, subscribers_);
}

}  // namespace portolan::nat
