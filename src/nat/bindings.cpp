// SPDX-License-Identifier: BSD-2-Clause
#include "nat/bindings.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace portolan::nat {
namespace {

constexpr std::uint16_t last_well_known_port = 1023;

}  // namespace

Bindings::Bindings(const Config& config, Random& random)
    : random_(random),
      pool_lookup_(0),
      first_port_(config.first_port.value),
      hold_down_time_(config.timeouts.hold_down),
      numbers_(config.limits.bindings),
      bindings_(std::size_t{config.limits.bindings} + 1),
      sets_(std::size_t{config.limits.bindings} + 1),
      index_(config.limits.bindings),
      host_numbers_(config.limits.hosts),
      hosts_(std::size_t{config.limits.hosts} + 1),
      host_index_(config.limits.hosts),
      hold_down_numbers_(config.limits.hold_downs),
      hold_downs_(std::size_t{config.limits.hold_downs} + 1),
      hold_down_index_(config.limits.hold_downs) {
  for (std::uint64_t& word : secret_.words) word = random.next();
  for (const Ipv4Address address : config.pool) add_address(address);
  rebuild_pool_lookup();
}

auto Bindings::hash(const InternalEndpoint& internal) const -> std::uint32_t {
  std::uint32_t words[6];
  std::memcpy(words, internal.address.octets.data(), 16);
  words[4] = internal.port;
  words[5] = static_cast<std::uint32_t>(internal.base);
  return hash_words(secret_, words, 6);
}

auto Bindings::hash(const Ipv6Address& address) const -> std::uint32_t {
  std::uint32_t words[4];
  std::memcpy(words, address.octets.data(), 16);
  return hash_words(secret_, words, 4);
}

auto Bindings::find(const InternalEndpoint& internal) const -> std::uint32_t {
  return index_.find(hash(internal),
                     [&](std::uint32_t number) { return bindings_[number].internal == internal; });
}

void Bindings::fetch_index(const InternalEndpoint& internal) const {
  const std::uint32_t hashed = hash(internal);
  index_.prefetch(hashed);
  hold_down_index_.prefetch(hashed);
  host_index_.prefetch(hash(internal.address));
}

void Bindings::fetch_records(const InternalEndpoint& internal) const {
  if (const std::uint32_t number = find_likely(internal); number != 0)
    __builtin_prefetch(&bindings_[number], 1);
  if (const std::uint32_t host = host_index_.find_likely(hash(internal.address)); host != 0)
    __builtin_prefetch(&hosts_[host], 1);
}

void Bindings::fetch_ports(const InternalEndpoint& internal) const {
  if (const std::uint32_t number = find_likely(internal); number != 0)
    space(internal.base, bindings_[number].pool_index).prefetch(bindings_[number].external_port);
  else if (const std::uint32_t host = host_index_.find_likely(hash(internal.address)); host != 0)
    space(internal.base, hosts_[host].pool_index).prefetch(internal.port);
}

auto Bindings::use_of(Base base, std::uint16_t pool_index) const -> std::pair<std::uint32_t, std::uint32_t> {
  std::uint32_t bound = 0;
  std::uint32_t held = 0;
  space(base, pool_index).for_each([&](std::uint16_t, PortOwner owner) {
    if (owner.binding != 0) ++bound;
    if (owner.hold_down != 0) ++held;
  });
  return {bound, held};
}

auto Bindings::find_host(const Ipv6Address& address) const -> std::uint32_t {
  return host_index_.find(hash(address),
                          [&](std::uint32_t number) { return hosts_[number].address == address; });
}

auto Bindings::find_hold_down(const InternalEndpoint& owner) const -> std::uint32_t {
  return hold_down_index_.find(hash(owner),
                               [&](std::uint32_t number) { return hold_downs_[number].owner == owner; });
}

auto Bindings::make(const InternalEndpoint& internal, const Wanted& wanted)
    -> std::expected<std::uint32_t, DropReason> {
  std::uint32_t host = find_host(internal.address);
  if (host == 0 && host_numbers_.used() == host_numbers_.maximum())
    return std::unexpected(DropReason::hosts_exhausted);
  if (numbers_.used() == numbers_.maximum()) return std::unexpected(DropReason::bindings_exhausted);
  const auto external = choose(internal, wanted, host);
  if (!external) return std::unexpected(DropReason::ports_exhausted);
  return make_at(internal, external->pool_index, external->port);
}

auto Bindings::make_at(const InternalEndpoint& internal, std::uint16_t pool_index, std::uint16_t port)
    -> std::uint32_t {
  PortSpace& ports = space(internal.base, pool_index);
  if (const std::uint32_t held = ports.owner(port).hold_down; held != 0) end_hold_down(held);
  std::uint32_t host = find_host(internal.address);
  if (host == 0) {
    host = host_numbers_.take();
    hosts_[host] = {.address = internal.address, .bindings = 0, .sessions = 0, .pool_index = pool_index};
    host_index_.insert(hash(internal.address), host);
  }
  if (!paired(host)) hosts_[host].pool_index = pool_index;
  ++hosts_[host].bindings;
  const std::uint32_t number = numbers_.take();
  bindings_[number] = {.internal = internal,
                       .external_port = port,
                       .pool_index = pool_index,
                       .host = host,
                       .first_session = 0,
                       .sessions = 0,
                       .outbound_sessions = 0,
                       .head = 0,
                       .is_explicit = false,
                       .was_explicit = false,
                       .was_peered = false};
  index_.insert(hash(internal), number);
  ports.give_to_binding(port, number);
  return number;
}

auto Bindings::room(const Ipv6Address& address) const -> std::uint32_t {
  if (find_host(address) == 0 && host_numbers_.used() == host_numbers_.maximum()) return 0;
  return numbers_.maximum() - numbers_.used();
}

void Bindings::erase(std::uint32_t number, bool hold_port, TimePoint now) {
  Binding& binding = bindings_[number];
  PORTOLAN_CHECK(binding.sessions == 0 && binding.first_session == 0);
  space(binding.internal.base, binding.pool_index).release(binding.external_port);
  index_.erase(hash(binding.internal), number);
  Host& host = hosts_[binding.host];
  if (--host.bindings == 0) {
    host_index_.erase(hash(host.address), binding.host);
    host_numbers_.give_back(binding.host);
  }
  if (hold_port && hold_down_time_ > Seconds{0}) hold(binding, now);
  numbers_.give_back(number);
}

auto Bindings::choose(const InternalEndpoint& internal, const Wanted& wanted, std::uint32_t host)
    -> std::optional<External> {
  // The endpoint's own port, still in hold-down, comes before all but an explicit wish.
  const std::uint32_t held = find_hold_down(internal);
  if (wanted.port == 0 && !wanted.pool_index && held != 0 &&
      wanted.ports.contains(Port{hold_downs_[held].external_port}))
    return External{.pool_index = hold_downs_[held].pool_index, .port = hold_downs_[held].external_port};
  if (wanted.pool_index) {
    if (const auto port = choose_port(internal, wanted, *wanted.pool_index))
      return External{.pool_index = *wanted.pool_index, .port = *port};
    if (wanted.exact) return std::nullopt;
  }
  if (const auto pool_index = paired(host)) {
    // Paired pooling: rather none than another address (RFC 7857 s4).
    if (const auto port = choose_port(internal, wanted, *pool_index))
      return External{.pool_index = *pool_index, .port = *port};
    return std::nullopt;
  }
  const auto count = static_cast<std::uint32_t>(live_.size());
  const std::uint32_t start = home_slot(hash(internal.address), count);
  for (std::uint32_t step = 0; step < count; ++step) {
    const std::uint16_t pool_index = live_[(start + step) % count];
    if (const auto port = choose_port(internal, wanted, pool_index))
      return External{.pool_index = pool_index, .port = *port};
  }
  return std::nullopt;
}

auto Bindings::choose_port(const InternalEndpoint& internal, const Wanted& wanted, std::uint16_t pool_index)
    -> std::optional<std::uint16_t> {
  const auto may_have_wanted = [&](std::uint16_t port) {
    return wanted.ports.contains(Port{port}) && may_have(internal, wanted.is_explicit, pool_index, port);
  };
  if (wanted.port != 0) {
    if (may_have_wanted(wanted.port)) return wanted.port;
    if (wanted.exact) return std::nullopt;
  }
  if (may_have_wanted(internal.port)) return internal.port;

  const PortSpace& ports = space(internal.base, pool_index);
  const auto pick = [&](std::uint16_t low, std::uint16_t high) -> std::optional<std::uint16_t> {
    low = std::max(low, wanted.ports.first.value);
    high = std::min(high, wanted.ports.last.value);
    if (low > high) return std::nullopt;
    if (internal.base == Base::udp) {
      // RTP and RTCP need their parity (RFC 4787 s4.2.2).
      const PortChoice same_parity{.low = low, .high = high, .odd = (internal.port & 1U) != 0};
      if (const auto port = ports.pick(same_parity, random_)) return port;
    }
    return ports.pick({.low = low, .high = high, .odd = std::nullopt}, random_);
  };
  // Identifiers know no ranges. Of ports the internal one's range comes first (RFC 4787 s4.2.1);
  // well-known ones are handed out only if allowed by first_port or explicitly asked for.
  if (internal.base == Base::icmp) return pick(0, 65535);
  const std::uint16_t low_first = wanted.is_explicit ? 1 : first_port_;
  const std::uint16_t high_first = std::max<std::uint16_t>(last_well_known_port + 1, low_first);
  const bool is_well_known = internal.port <= last_well_known_port;
  if (is_well_known && low_first <= last_well_known_port)
    if (const auto port = pick(low_first, last_well_known_port)) return port;
  if (const auto port = pick(high_first, 65535)) return port;
  // Who may have well-known ports only gets one.
  const bool is_rest = !wanted.is_explicit || wanted.ports.last <= Port{last_well_known_port};
  if (!is_well_known && low_first <= last_well_known_port && is_rest)
    return pick(low_first, last_well_known_port);
  return std::nullopt;
}

auto Bindings::may_have(const InternalEndpoint& internal, bool is_explicit, std::uint16_t pool_index,
                        std::uint16_t port) const -> bool {
  if (internal.base != Base::icmp && !is_explicit && port < first_port_) {
    // Below first_port only what the endpoint had explicitly is given back to it.
    const std::uint32_t held = space(internal.base, pool_index).owner(port).hold_down;
    return held != 0 && hold_downs_[held].owner == internal;
  }
  const PortSpace& ports = space(internal.base, pool_index);
  if (ports.is_free(port)) return true;
  const std::uint32_t held = ports.owner(port).hold_down;
  return held != 0 && hold_downs_[held].owner == internal;
}

void Bindings::hold(const Binding& binding, TimePoint now) {
  std::uint32_t number = hold_down_numbers_.take();
  if (number == 0) {
    ++hold_downs_cut_;
    end_hold_down(oldest_hold_down_);
    number = hold_down_numbers_.take();
  }
  hold_downs_[number] = {.owner = binding.internal,
                         .external_port = binding.external_port,
                         .pool_index = binding.pool_index,
                         .previous = newest_hold_down_,
                         .next = 0,
                         .until = (now + hold_down_time_).time_since_epoch().count()};
  if (newest_hold_down_ != 0) hold_downs_[newest_hold_down_].next = number;
  newest_hold_down_ = number;
  if (oldest_hold_down_ == 0) oldest_hold_down_ = number;
  hold_down_index_.insert(hash(binding.internal), number);
  space(binding.internal.base, binding.pool_index).give_to_hold_down(binding.external_port, number);
}

void Bindings::end_hold_down(std::uint32_t number) {
  const HoldDown& ended = hold_downs_[number];
  (ended.previous != 0 ? hold_downs_[ended.previous].next : oldest_hold_down_) = ended.next;
  (ended.next != 0 ? hold_downs_[ended.next].previous : newest_hold_down_) = ended.previous;
  hold_down_index_.erase(hash(ended.owner), number);
  space(ended.owner.base, ended.pool_index).release(ended.external_port);
  hold_down_numbers_.give_back(number);
}

void Bindings::advance(TimePoint now, std::uint32_t& budget) {
  for (; budget > 0 && oldest_hold_down_ != 0; --budget) {
    if (hold_downs_[oldest_hold_down_].until > now.time_since_epoch().count()) return;
    end_hold_down(oldest_hold_down_);
  }
}

auto Bindings::next_deadline() const -> std::optional<TimePoint> {
  if (oldest_hold_down_ == 0) return std::nullopt;
  return TimePoint{Nanoseconds{hold_downs_[oldest_hold_down_].until}};
}

}  // namespace portolan::nat
