// SPDX-License-Identifier: BSD-2-Clause
//
// What must hold between the engine's tables after every operation; tests ask.
#include <cstring>
#include <set>
#include <utility>

#include "base/check.h"
#include "nat/nat64.h"

namespace portolan::nat {

void Bindings::check_invariants() const {
  std::uint32_t bindings = 0;
  std::uint32_t held = 0;
  for (std::uint32_t i = 0; i < pool_.size(); ++i) {
    const auto pool_index = static_cast<std::uint16_t>(i);
    for (const Base base : {Base::udp, Base::tcp, Base::icmp}) {
      space(base, pool_index).for_each([&](std::uint16_t port, PortOwner owner) {
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
        PORTOLAN_CHECK(find_host(binding.internal.address) == binding.host);
        PORTOLAN_CHECK(hosts_[binding.host].address == binding.internal.address);
      });
    }
  }
  PORTOLAN_CHECK(bindings == numbers_.used());
  PORTOLAN_CHECK(held == hold_down_numbers_.used());
}

void Nat64::check_invariants() const {
  bindings_.check_invariants();
  reassembly_.check_invariants();
  waiting_syns_.check_invariants();
  std::uint32_t sessions = 0;
  std::uint32_t explicit_bindings = 0;
  std::size_t filters = 0;
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
    // Somebody wants it.
    PORTOLAN_CHECK(binding.is_explicit || binding.sessions > 0);
    if (binding.is_explicit) {
      ++explicit_bindings;
      const Binding& head = bindings_[binding.head];
      const ExplicitSet& set = bindings_.set(binding.head);
      const auto place = static_cast<std::uint32_t>(binding.internal.port - head.internal.port);
      PORTOLAN_CHECK(head.is_explicit && head.head == binding.head && place < set.port_count);
      PORTOLAN_CHECK(head.internal.address == binding.internal.address);
      PORTOLAN_CHECK(head.internal.base == binding.internal.base && head.pool_index == binding.pool_index);
      PORTOLAN_CHECK(head.external_port + place == binding.external_port);
      if (binding.head == number) filters += filters_.length(set.filters);
      for (std::uint32_t i = 0; i < set.port_count; ++i)
        PORTOLAN_CHECK(bindings_[member(binding.head, i)].is_explicit);
    }
    sessions += of_binding;
  });
  PORTOLAN_CHECK(sessions == sessions_.size());
  PORTOLAN_CHECK(contacts.size() == contacts_.size());
  for (const auto& [number, remote] : contacts) PORTOLAN_CHECK(contacts_.has(number, remote));
  PORTOLAN_CHECK(explicit_bindings == counters_.explicit_bindings);
  PORTOLAN_CHECK(filters == filters_.size());
}

}  // namespace portolan::nat
