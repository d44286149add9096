// SPDX-License-Identifier: BSD-2-Clause
#include "nat/bindings.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/prefetch.h"

namespace portolan::nat {
namespace {

constexpr std::uint16_t last_well_known_port = 1023;
// Addresses at which a port for a new subscriber is looked for; those known to be full don't count.
constexpr std::uint32_t addresses_searched_max = 64;

}  // namespace

Bindings::Bindings(const Config& config, Random& random)
    : random_(random),
      pool_(config.pool),
      deterministic_(config.deterministic),
      planned_length_(config.allowance.subscriber_prefix_length),
      first_port_(config.first_port.value),
      preserves_ports_(config.preserves_ports),
      hold_down_time_(config.timeouts.hold_down),
      numbers_(config.limits.bindings),
      bindings_(std::size_t{config.limits.bindings} + 1),
      sets_(std::size_t{config.limits.bindings} + 1),
      index_(config.limits.bindings),
      subscribers_(config, random),
      blocks_(config),
      hold_down_numbers_(config.limits.hold_downs),
      hold_downs_(std::size_t{config.limits.hold_downs} + 1),
      hold_down_index_(config.limits.hold_downs) {
  for (std::uint64_t& word : secret_.words) word = random.next();
  make_plan(config.pool);
  count_ports(config.pool);
}

auto Bindings::usable(Base base, const PortRange& ports) const -> std::uint32_t {
  if (base == Base::icmp) return ports.last.value - ports.first.value + 1U;
  const std::uint32_t first = std::max({ports.first.value, first_port_, std::uint16_t{1}});
  if (first > ports.last.value) return 0;
  std::uint32_t count = ports.last.value - first + 1U;
  for (const Port port : {pcp_client_port, pcp_server_port})
    if (base == Base::udp && port.value >= first && port <= ports.last) --count;
  return count;
}

void Bindings::count_ports(const std::vector<PoolRange>& ranges) {
  ports_ = {};
  for (const PoolRange& range : ranges)
    for (const Base base : {Base::udp, Base::tcp, Base::icmp})
      ports_[static_cast<std::size_t>(base)] += range.size() * usable(base, range.ports);
}

auto Bindings::hash(const InternalEndpoint& internal) const -> std::uint32_t {
  std::uint32_t words[6];
  std::memcpy(words, internal.address.octets.data(), 16);
  words[4] = internal.port;
  words[5] = static_cast<std::uint32_t>(internal.base);
  return hash_words(secret_, words, 6);
}

auto Bindings::find(const InternalEndpoint& internal) const -> std::uint32_t {
  return index_.find(hash(internal),
                     [&](std::uint32_t number) { return bindings_[number].internal == internal; });
}

void Bindings::fetch_index(const InternalEndpoint& internal) const {
  const std::uint32_t hashed = hash(internal);
  index_.prefetch(hashed);
  hold_down_index_.prefetch(hashed);
  subscribers_.fetch_index(subscribers_.index_hash(internal.address));
}

// Step by step for all of them: what each step looks at was fetched by one before. Nothing but fetching is
// done in the loops that do, so that the processor has many of them in view.
void Bindings::fetch(std::span<Upcoming> changes) const {
  for (Upcoming& change : changes) change.hash = hash(change.internal);
  for (const Upcoming& change : changes) index_.prefetch(change.hash);
  std::uint32_t new_ones = 0;
  for (Upcoming& change : changes) {
    change.number = index_.find_likely(change.hash);
    change.place = change.number;
    if (change.is_renewal()) continue;
    change.subscriber_hash = subscribers_.index_hash(change.internal.address);
    if (change.number == 0 && !change.is_removal) change.place = numbers_.upcoming(new_ones++);
  }
  for (const Upcoming& change : changes) {
    prefetch(bindings_[change.place]);
    prefetch(sets_[change.place]);
    if (change.is_renewal()) continue;
    hold_down_index_.prefetch(change.hash);
    subscribers_.fetch_index(change.subscriber_hash);
  }
  std::uint32_t ended_ones = 0;
  for (Upcoming& change : changes) {
    if (change.is_renewal()) continue;
    change.subscriber = subscribers_.find_likely(change.subscriber_hash);
    change.hold_down = change.number != 0 ? hold_down_numbers_.upcoming(ended_ones++)
                                          : hold_down_index_.find_likely(change.hash);
  }
  for (const Upcoming& change : changes) {
    if (change.is_renewal()) continue;
    prefetch(subscribers_[change.subscriber]);
    prefetch(hold_downs_[change.hold_down]);
    if (change.number != 0) fetch_port(change, bindings_[change.number]);
  }
  for (const Upcoming& change : changes)
    if (change.number == 0) fetch_new_port(change);
}

void Bindings::fetch_port(const Upcoming& change, const Binding& binding) const {
  space(change.internal.base, binding.pool_index).prefetch(binding.external_port);
}

/// Of a binding to be made: the one that is held for it, or its own number.
void Bindings::fetch_new_port(const Upcoming& change) const {
  const Base base = change.internal.base;
  if (const HoldDown& held = hold_downs_[change.hold_down]; change.hold_down != 0)
    space(base, held.pool_index).prefetch(held.external_port);
  else if (change.subscriber != 0)
    space(base, subscribers_[change.subscriber].pool_index).prefetch(change.internal.port);
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

auto Bindings::find_hold_down(const InternalEndpoint& owner) const -> std::uint32_t {
  return hold_down_index_.find(hash(owner),
                               [&](std::uint32_t number) { return hold_downs_[number].owner == owner; });
}

auto Bindings::make(const InternalEndpoint& internal, const Wanted& wanted)
    -> std::expected<std::uint32_t, DropReason> {
  if (numbers_.used() == numbers_.maximum()) return std::unexpected(DropReason::bindings_exhausted);
  const std::uint32_t subscriber = subscribers_.find_or_make(internal.address);
  if (subscriber == 0) return std::unexpected(DropReason::subscribers_exhausted);
  const std::uint32_t ports_max = subscribers_.allowance_of(subscriber).ports_max;
  if (wanted.is_limited &&
      subscribers_[subscriber].implicit[static_cast<std::size_t>(internal.base)] >= ports_max)
    return std::unexpected(DropReason::subscriber_ports_exhausted);
  if (const auto external = choose(internal, wanted, subscriber))
    return make_at(internal, subscriber, external->pool_index, external->port);
  subscribers_.forget_if_unused(subscriber);
  return std::unexpected(DropReason::ports_exhausted);
}

auto Bindings::make_at(const InternalEndpoint& internal, std::uint16_t pool_index, std::uint16_t port)
    -> std::uint32_t {
  const std::uint32_t subscriber = subscribers_.find_or_make(internal.address);
  PORTOLAN_CHECK(subscriber != 0);
  return make_at(internal, subscriber, pool_index, port);
}

auto Bindings::make_at(const InternalEndpoint& internal, std::uint32_t subscriber, std::uint16_t pool_index,
                       std::uint16_t port) -> std::uint32_t {
  if (const std::uint32_t held = space(internal.base, pool_index).owner(port).hold_down; held != 0)
    end_hold_down(held);
  Subscriber& owner = subscribers_[subscriber];
  if ((owner.bindings == 0 && owner.first_block == 0) || !pool_.is_live(owner.pool_index))
    owner.pool_index = pool_index;
  ++owner.bindings;
  ++owner.implicit[static_cast<std::size_t>(internal.base)];
  const std::uint32_t number = numbers_.take();
  bindings_[number] = {.internal = internal,
                       .external_port = port,
                       .pool_index = pool_index,
                       .subscriber = subscriber,
                       .first_session = 0,
                       .sessions = 0,
                       .is_explicit = false,
                       .was_explicit = false,
                       .outbound_sessions = 0,
                       .was_peered = false};
  index_.insert(hash(internal), number);
  take_port(internal.base, pool_index, port, number);
  if (events_.is_on()) tell(EventKind::binding_created, bindings_[number]);
  return number;
}

void Bindings::take_port(Base base, std::uint16_t pool_index, std::uint16_t port, std::uint32_t binding) {
  space(base, pool_index).give_to_binding(port, binding);
  count_taken(base, pool_index, port);
}

void Bindings::count_taken(Base base, std::uint16_t pool_index, std::uint16_t port) {
  if (const std::uint32_t block = block_of(pool_index, port); block != 0)
    blocks_.use(block);
  else
    ports_taken_[static_cast<std::size_t>(base)] += usable(base, {.first = Port{port}, .last = Port{port}});
}

void Bindings::count_released(Base base, std::uint16_t pool_index, std::uint16_t port) {
  if (const std::uint32_t block = block_of(pool_index, port); block != 0)
    blocks_.let_go(block, now_);
  else
    ports_taken_[static_cast<std::size_t>(base)] -= usable(base, {.first = Port{port}, .last = Port{port}});
}

void Bindings::release_port(Base base, std::uint16_t pool_index, std::uint16_t port) {
  space(base, pool_index).release(port);
  pool_.note_release(pool_index);
  count_released(base, pool_index, port);
}

auto Bindings::room(const Ipv6Address& address) const -> std::uint32_t {
  if (subscribers_.find(address) == 0 && subscribers_.is_full()) return 0;
  return numbers_.maximum() - numbers_.used();
}

void Bindings::set_explicit(std::uint32_t number, bool is_explicit) {
  Binding& binding = bindings_[number];
  if (binding.is_explicit == is_explicit) return;
  binding.is_explicit = is_explicit;
  std::uint32_t& implicit =
      subscribers_[binding.subscriber].implicit[static_cast<std::size_t>(binding.internal.base)];
  is_explicit ? --implicit : ++implicit;
}

void Bindings::erase(std::uint32_t number, bool hold_port, TimePoint now) {
  Binding& binding = bindings_[number];
  PORTOLAN_CHECK(binding.first_session == 0);
  now_ = std::max(now_, now);
  if (events_.is_on()) tell(EventKind::binding_deleted, binding);
  release_port(binding.internal.base, binding.pool_index, binding.external_port);
  index_.erase(hash(binding.internal), number);
  set_explicit(number, false);
  Subscriber& subscriber = subscribers_[binding.subscriber];
  --subscriber.implicit[static_cast<std::size_t>(binding.internal.base)];
  if (--subscriber.bindings == 0) subscribers_.forget_if_unused(binding.subscriber);
  if (hold_port && hold_down_time_ > Seconds{0}) hold(binding, now);
  numbers_.give_back(number);
}

auto Bindings::choose(const InternalEndpoint& internal, const Wanted& wanted, std::uint32_t subscriber)
    -> std::optional<External> {
  // The endpoint's own port, still in hold-down, comes before all but an explicit wish.
  const std::uint32_t held = find_hold_down(internal);
  if (wanted.port == 0 && !wanted.pool_index && held != 0 &&
      wanted.ports.contains(Port{hold_downs_[held].external_port}) &&
      may_have(internal, true, hold_downs_[held].pool_index, hold_downs_[held].external_port))
    return External{.pool_index = hold_downs_[held].pool_index, .port = hold_downs_[held].external_port};
  if (plan_) return choose_planned(internal, wanted, subscriber);
  if (wanted.pool_index) {
    if (const auto port = choose_port(internal, wanted, subscriber, *wanted.pool_index))
      return External{.pool_index = *wanted.pool_index, .port = *port};
    if (wanted.exact) return std::nullopt;
  }
  if (const auto pool_index = paired(subscriber)) {
    // Paired pooling: rather none than another address (RFC 7857 s4).
    if (const auto port = choose_port(internal, wanted, subscriber, *pool_index))
      return External{.pool_index = *pool_index, .port = *port};
    return std::nullopt;
  }
  const std::uint32_t count = pool_.size();
  if (count == 0) return std::nullopt;
  const std::uint32_t start = pool_.place_for(subscribers_.hash_of(subscriber));
  std::uint32_t searched = 0;
  for (std::uint32_t step = 0; step < count && searched < addresses_searched_max; ++step) {
    const std::uint16_t pool_index = pool_.at((start + step) % count);
    if (pool_.is_full(static_cast<std::size_t>(internal.base), pool_index)) continue;
    ++searched;
    if (const auto port = choose_port(internal, wanted, subscriber, pool_index))
      return External{.pool_index = pool_index, .port = *port};
  }
  return std::nullopt;
}

auto Bindings::range_for(std::uint32_t subscriber, const Wanted& wanted) const -> PortRange {
  const PortRange& allowed = subscribers_.allowance_of(subscriber).external_ports;
  const PortRange common{.first = std::max(wanted.ports.first, allowed.first),
                         .last = std::min(wanted.ports.last, allowed.last)};
  return common.first <= common.last || !wanted.is_explicit ? common : wanted.ports;
}

auto Bindings::choose_port(const InternalEndpoint& internal, const Wanted& wanted, std::uint32_t subscriber,
                           std::uint16_t pool_index) -> std::optional<std::uint16_t> {
  pool_.prepare(pool_index);
  const auto may_have_wanted = [&](const PortRange& range, std::uint16_t port) {
    return range.contains(Port{port}) && may_have(internal, wanted.is_explicit, pool_index, port);
  };
  if (wanted.port != 0) {
    if (may_have_wanted(wanted.ports, wanted.port)) return wanted.port;
    if (wanted.exact) return std::nullopt;
  }
  const PortRange range = range_for(subscriber, wanted);
  const bool keeps_number = preserves_ports_ || wanted.is_explicit;
  if (subscribers_.allowance_of(subscriber).port_block_size != 0 && !wanted.is_of_plan) {
    if (const auto port = choose_in_blocks(internal, range, keeps_number, subscriber, pool_index))
      return port;
    if (wanted.is_limited) return std::nullopt;
  }
  if (keeps_number && may_have_wanted(range, internal.port)) return internal.port;

  const PortSpace ports = space(internal.base, pool_index);
  const std::uint32_t* const blocks = blocks_at(pool_index);
  const auto pick = [&](std::uint16_t low, std::uint16_t high) -> std::optional<std::uint16_t> {
    low = std::max(low, range.first.value);
    high = std::min(high, range.last.value);
    if (low > high) return std::nullopt;
    if (internal.base == Base::udp) {
      // RTP and RTCP need their parity (RFC 4787 s4.2.2).
      const PortChoice same_parity{
          .low = low, .high = high, .odd = (internal.port & 1U) != 0, .blocks = blocks};
      if (const auto port = ports.pick(same_parity, random_)) return port;
    }
    return ports.pick({.low = low, .high = high, .odd = std::nullopt, .blocks = blocks}, random_);
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
  const bool is_rest = !wanted.is_explicit || range.last <= Port{last_well_known_port};
  if (!is_well_known && low_first <= last_well_known_port && is_rest)
    if (const auto port = pick(low_first, last_well_known_port)) return port;
  if (!wanted.is_explicit && range == PortRange{})
    pool_.note_full(static_cast<std::size_t>(internal.base), pool_index);
  return std::nullopt;
}

auto Bindings::choose_in_blocks(const InternalEndpoint& internal, const PortRange& range, bool keeps_number,
                                std::uint32_t subscriber, std::uint16_t pool_index)
    -> std::optional<std::uint16_t> {
  if (const auto port = pick_in_blocks(internal, range, keeps_number, subscriber, pool_index)) return port;
  const Allowance& allowance = subscribers_.allowance_of(subscriber);
  const auto words = static_cast<std::uint16_t>(allowance.port_block_size / 64U);
  std::uint64_t ports = 0;
  for (std::uint32_t number = subscribers_[subscriber].first_block; number != 0;
       number = blocks_[number].next)
    ports += blocks_[number].words * 64U;
  if (ports >= allowance.ports_max || pool_.is_full_for_blocks(pool_index, words)) return std::nullopt;
  // A block is not given in part.
  const PortRange& there = pool_.ports_of(pool_index);
  const PortRange blocks_range{.first = std::max({range.first, there.first, Port{first_port_}}),
                               .last = std::min(range.last, there.last)};
  if (blocks_range.first > blocks_range.last) return std::nullopt;
  const std::uint32_t number =
      blocks_.claim(subscriber, pool_, pool_index, words, blocks_range, subscribers_, random_);
  if (number == 0) {
    if (range == PortRange{} && blocks_.size() < blocks_.maximum())
      pool_.note_full_for_blocks(pool_index, words);
    return std::nullopt;
  }
  for (const Base base : {Base::udp, Base::tcp, Base::icmp})
    ports_taken_[static_cast<std::size_t>(base)] += usable(base, blocks_[number].ports());
  if (events_.is_on()) tell(EventKind::block_allocated, blocks_[number]);
  if (subscribers_[subscriber].bindings == 0 || !pool_.is_live(subscribers_[subscriber].pool_index))
    subscribers_[subscriber].pool_index = pool_index;
  return pick_in_blocks(internal, range, keeps_number, subscriber, pool_index);
}

auto Bindings::pick_in_blocks(const InternalEndpoint& internal, const PortRange& range, bool keeps_number,
                              std::uint32_t subscriber, std::uint16_t pool_index) const
    -> std::optional<std::uint16_t> {
  // Its own number, if it is in a block of its own.
  const std::uint32_t there = block_of(pool_index, internal.port);
  if (keeps_number && there != 0 && range.contains(Port{internal.port}) &&
      may_have(internal, true, pool_index, internal.port))
    return internal.port;
  const PortSpace ports = space(internal.base, pool_index);
  const bool keeps_parity = internal.base == Base::udp;
  for (const bool any_parity : {false, true}) {
    if (!any_parity && !keeps_parity) continue;
    for (std::uint32_t number = subscribers_[subscriber].first_block; number != 0;
         number = blocks_[number].next) {
      const PortBlock& block = blocks_[number];
      if (block.pool_index != pool_index) continue;
      const PortRange own = block.ports();
      const PortChoice choice{.low = std::max(own.first, range.first).value,
                              .high = std::min(own.last, range.last).value,
                              .odd = any_parity ? std::nullopt : std::optional((internal.port & 1U) != 0)};
      if (const auto port = ports.pick(choice, random_)) return port;
    }
  }
  return std::nullopt;
}

auto Bindings::may_have(const InternalEndpoint& internal, bool is_explicit, std::uint16_t pool_index,
                        std::uint16_t port) const -> bool {
  const PortSpace ports = space(internal.base, pool_index);
  const std::uint32_t held = ports.owner(port).hold_down;
  const bool is_held_for_it = held != 0 && hold_downs_[held].owner == internal;
  // Below first_port only what the endpoint had explicitly is given back to it.
  if (internal.base != Base::icmp && !is_explicit && port < first_port_) return is_held_for_it;
  if (!is_held_for_it && !ports.is_free(port)) return false;
  if (plan_ && !plan_->may_have(internal.address, pool_.address(pool_index), Port{port})) return false;
  const std::uint32_t block = block_of(pool_index, port);
  return block == 0 || blocks_[block].subscriber == subscribers_.find(internal.address);
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
  count_taken(binding.internal.base, binding.pool_index, binding.external_port);
}

void Bindings::end_hold_down(std::uint32_t number) {
  const HoldDown& ended = hold_downs_[number];
  (ended.previous != 0 ? hold_downs_[ended.previous].next : oldest_hold_down_) = ended.next;
  (ended.next != 0 ? hold_downs_[ended.next].previous : newest_hold_down_) = ended.previous;
  hold_down_index_.erase(hash(ended.owner), number);
  release_port(ended.owner.base, ended.pool_index, ended.external_port);
  hold_down_numbers_.give_back(number);
}

void Bindings::advance(TimePoint now, std::uint32_t& budget) {
  now_ = std::max(now_, now);
  for (; budget > 0 && oldest_hold_down_ != 0; --budget) {
    if (hold_downs_[oldest_hold_down_].until > now.time_since_epoch().count()) break;
    end_hold_down(oldest_hold_down_);
  }
  for (; budget > 0; --budget) {
    const std::uint32_t idle = blocks_.due(now);
    if (idle == 0) return;
    release_block(idle);
  }
}

void Bindings::release_block(std::uint32_t number) {
  const std::uint32_t subscriber = blocks_[number].subscriber;
  if (events_.is_on()) tell(EventKind::block_released, blocks_[number]);
  pool_.note_release(blocks_[number].pool_index);
  for (const Base base : {Base::udp, Base::tcp, Base::icmp})
    ports_taken_[static_cast<std::size_t>(base)] -= usable(base, blocks_[number].ports());
  blocks_.release(number, pool_, subscribers_);
  subscribers_.forget_if_unused(subscriber);
}

void Bindings::tell(EventKind kind, const Binding& binding) const {
  const EventLevel level = events_.level_of(binding.internal.address);
  const bool is_in_block = block_of(binding.pool_index, binding.external_port) != 0;
  if (level < EventLevel::blocks || (level == EventLevel::blocks && (is_in_block || is_planned(binding))))
    return;
  events_.put({.kind = kind,
               .protocol = pcp_protocol(binding.internal.base),
               .internal_port = binding.internal.port,
               .external_port = binding.external_port,
               .internal = binding.internal.address,
               .external = pool_.address(binding.pool_index)});
}

void Bindings::tell(EventKind kind, const PortBlock& block) const {
  const Subscriber& subscriber = subscribers_[block.subscriber];
  if (events_.level_of(subscriber.address) < EventLevel::blocks) return;
  events_.put({.kind = kind,
               .prefix_length = subscriber.length,
               .external_port = block.ports().first.value,
               .last_port = block.ports().last.value,
               .internal = subscriber.address,
               .external = pool_.address(block.pool_index)});
}

auto Bindings::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next = blocks_.next_deadline();
  if (oldest_hold_down_ == 0) return next;
  const TimePoint held{Nanoseconds{hold_downs_[oldest_hold_down_].until}};
  return next ? std::min(*next, held) : held;
}

}  // namespace portolan::nat
