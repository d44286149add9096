// SPDX-License-Identifier: BSD-2-Clause
//
// What must hold between the engine's tables after every operation; tests ask.
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "base/check.h"
#include "nat/nat64.h"

namespace portolan::nat {

void Bindings::check_invariants() const {
  std::uint32_t bindings = 0;
  std::uint32_t held = 0;
  struct Counted {
    std::uint32_t bindings = 0;
    std::uint32_t blocks = 0;
    std::array<std::uint32_t, base_count> implicit{};
  };
  std::map<std::uint32_t, Counted> of_subscriber;
  std::map<std::uint32_t, std::uint32_t> used_of_block;
  std::array<std::uint64_t, base_count> taken{};
  for (std::size_t i = 0; i < pool_.index_count(); ++i) {
    const auto pool_index = static_cast<std::uint16_t>(i);
    if (!pool_.is_prepared(pool_index)) continue;
    for (const Base base : {Base::udp, Base::tcp, Base::icmp}) {
      space(base, pool_index).for_each([&](std::uint16_t port, PortOwner owner) {
        if (const std::uint32_t block = block_of(pool_index, port); block != 0)
          ++used_of_block[block];
        else
          taken[static_cast<std::size_t>(base)] += usable(base, {.first = Port{port}, .last = Port{port}});
        if (owner.hold_down != 0) {
          ++held;
          const HoldDown& hold_down = hold_downs_[owner.hold_down];
          PORTOLAN_CHECK(hold_down.external_port == port && hold_down.pool_index == pool_index);
          PORTOLAN_CHECK(hold_down.owner.base == base);
        }
        if (owner.binding == 0) return;
        ++bindings;
        // The port leads to the binding, and the binding's endpoint back to it: no two share either.
        const Binding& binding = bindings_[owner.binding];
        PORTOLAN_CHECK(binding.external_port == port && binding.pool_index == pool_index);
        PORTOLAN_CHECK(binding.internal.base == base);
        PORTOLAN_CHECK(find(binding.internal) == owner.binding);
        const Subscriber& subscriber = subscribers_[binding.subscriber];
        PORTOLAN_CHECK(Prefix(IpAddress{subscriber.address}, subscriber.length)
                           .contains(IpAddress{binding.internal.address}));
        // In a block there are only ports of those who have it.
        if (const std::uint32_t block = block_of(pool_index, port); block != 0)
          PORTOLAN_CHECK(blocks_[block].subscriber == binding.subscriber);
        Counted& counted = of_subscriber[binding.subscriber];
        ++counted.bindings;
        if (!binding.is_explicit) ++counted.implicit[static_cast<std::size_t>(base)];
      });
    }
  }
  PORTOLAN_CHECK(bindings == numbers_.used());
  // A block is a subscriber's, and holds what is counted for it and nobody else's.
  std::map<std::uint32_t, std::uint32_t> words_of_block;
  for (std::size_t i = 0; i < pool_.index_count(); ++i)
    for (std::uint32_t word = 0; word < PortSpace::word_count && blocks_.size() > 0; ++word)
      if (const std::uint32_t block = pool_.blocks(static_cast<std::uint16_t>(i))[word]; block != 0) {
        PORTOLAN_CHECK(blocks_[block].pool_index == i && word >= blocks_[block].first_word);
        ++words_of_block[block];
      }
  PORTOLAN_CHECK(words_of_block.size() == blocks_.size());
  for (const auto& [number, words] : words_of_block) {
    const PortBlock& block = blocks_[number];
    PORTOLAN_CHECK(block.words == words && block.used == used_of_block[number]);
    PORTOLAN_CHECK(block.is_idle == (block.used == 0));
    of_subscriber[block.subscriber].blocks += 1;
    for (const Base base : {Base::udp, Base::tcp, Base::icmp})
      taken[static_cast<std::size_t>(base)] += usable(base, block.ports());
  }
  PORTOLAN_CHECK(taken == ports_taken_);
  PORTOLAN_CHECK(of_subscriber.size() == subscribers_.size());
  for (const auto& [number, counted] : of_subscriber) {
    const Subscriber& subscriber = subscribers_[number];
    PORTOLAN_CHECK(subscriber.bindings == counted.bindings);
    PORTOLAN_CHECK(subscriber.implicit == counted.implicit);
    std::uint32_t blocks = 0;
    for (std::uint32_t block = subscriber.first_block; block != 0; block = blocks_[block].next) ++blocks;
    PORTOLAN_CHECK(blocks == counted.blocks);
    PORTOLAN_CHECK(subscribers_.profiles()[subscriber.profile].subscribers > 0);
  }
  PORTOLAN_CHECK(held == hold_down_numbers_.used());
}

void Nat64::check_invariants() const {
  bindings_.check_invariants();
  reassembly_.check_invariants();
  waiting_syns_.check_invariants();
  std::uint32_t sessions = 0;
  std::uint32_t explicit_bindings = 0;
  std::size_t filters = 0;
  std::map<std::uint32_t, std::uint32_t> of_subscriber;
  std::set<std::pair<std::uint32_t, std::uint32_t>> contacts;
  bindings_.for_each([&](std::uint32_t number, const Binding& binding) {
    std::uint32_t of_binding = 0;
    std::uint32_t outbound = 0;
    std::uint32_t previous = 0;
    for (std::uint32_t i = binding.first_session; i != 0; i = sessions_[i].next) {
      const Session& session = sessions_[i];
      PORTOLAN_CHECK(session.binding == number && session.previous == previous);
      previous = i;
      ++of_binding;
      if (session.is_outbound) ++outbound;
      if (is_address_dependent(binding.internal.base))
        contacts.insert({number, sessions_.entry(i, Direction::from_ipv4).remote});
      for (const Direction direction : {Direction::from_ipv6, Direction::from_ipv4}) {
        const SessionEntry& entry = sessions_.entry(i, direction);
        PORTOLAN_CHECK(entry.session == i && entry.direction == direction && entry.sequence % 2 == 0);
        PORTOLAN_CHECK(entry.external_port == to_raw16(binding.external_port));
        PORTOLAN_CHECK(entry.inside_port == to_raw16(binding.internal.port));
        PORTOLAN_CHECK(std::memcmp(entry.inside, binding.internal.address.octets.data(), 16) == 0);
      }
    }
    PORTOLAN_CHECK(of_binding == binding.sessions && outbound == binding.outbound_sessions);
    of_subscriber[binding.subscriber] += of_binding;
    // Somebody wants it.
    PORTOLAN_CHECK(binding.is_explicit || of_binding > 0);
    if (binding.is_explicit) {
      ++explicit_bindings;
      const std::uint32_t head_number = bindings_.head_of(number);
      const Binding& head = bindings_[head_number];
      const ExplicitSet& set = bindings_.set(head_number);
      const auto place = static_cast<std::uint32_t>(binding.internal.port - head.internal.port);
      PORTOLAN_CHECK(head.is_explicit && bindings_.head_of(head_number) == head_number &&
                     place < set.port_count);
      PORTOLAN_CHECK(head.internal.address == binding.internal.address);
      PORTOLAN_CHECK(head.internal.base == binding.internal.base && head.pool_index == binding.pool_index);
      PORTOLAN_CHECK(head.external_port + place == binding.external_port);
      if (head_number == number) filters += filters_.length(set.filters);
      for (std::uint32_t i = 0; i < set.port_count; ++i)
        PORTOLAN_CHECK(bindings_[member(head_number, i)].is_explicit);
    }
    sessions += of_binding;
  });
  PORTOLAN_CHECK(sessions == sessions_.size());
  for (const auto& [number, count] : of_subscriber)
    PORTOLAN_CHECK(bindings_.subscribers()[number].sessions == count);
  PORTOLAN_CHECK(contacts.size() == contacts_.size());
  for (const auto& [number, remote] : contacts) PORTOLAN_CHECK(contacts_.has(number, remote));
  PORTOLAN_CHECK(explicit_bindings == counters_.explicit_bindings);
  PORTOLAN_CHECK(filters == filters_.size());
}

}  // namespace portolan::nat
