// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/external_ports.h"

#include <algorithm>

namespace portolan::device {

void ExternalPorts::set_pool(std::vector<Ipv4Address> pool) {
  pool_ = std::move(pool);
  std::erase_if(spaces_,
                [&](const auto& each) { return std::ranges::find(pool_, each.first.first) == pool_.end(); });
}

auto ExternalPorts::has(const IpAddress& address) const -> bool {
  return address.is_ipv4() && std::ranges::find(pool_, address.ipv4()) != pool_.end();
}

auto ExternalPorts::find(Protocol protocol, Ipv4Address address) const -> nat::PortMemory* {
  const auto found = spaces_.find({address, protocol});
  return found == spaces_.end() ? nullptr : found->second.get();
}

auto ExternalPorts::space(Protocol protocol, Ipv4Address address) -> nat::PortSpace {
  std::unique_ptr<nat::PortMemory>& memory = spaces_[{address, protocol}];
  if (memory) return nat::PortSpace(*memory);
  memory = std::make_unique<nat::PortMemory>();
  nat::PortSpace space(*memory);
  const auto before = [](Port port) { return Port{static_cast<std::uint16_t>(port.value - 1U)}; };
  const auto behind = [](Port port) { return Port{static_cast<std::uint16_t>(port.value + 1U)}; };
  if (chosen_.first > Port{0}) space.withhold({.first = Port{0}, .last = before(chosen_.first)});
  if (chosen_.last < Port{65535}) space.withhold({.first = behind(chosen_.last), .last = Port{65535}});
  for (const Port port : {Port{5350}, Port{5351}})
    if (is_of_pcp(protocol, port)) space.withhold({.first = port, .last = port});
  return space;
}

auto ExternalPorts::owner(Protocol protocol, const Endpoint& external) const -> nat::PortOwner {
  nat::PortMemory* const memory = find(protocol, external.address.ipv4());
  return memory == nullptr ? nat::PortOwner{} : nat::PortSpace(*memory).owner(external.port.value);
}

auto ExternalPorts::is_free(Protocol protocol, const Endpoint& external) const -> bool {
  return chosen_.contains(external.port) && !is_of_pcp(protocol, external.port) &&
         owner(protocol, external).is_free();
}

void ExternalPorts::give(Protocol protocol, const Endpoint& external, std::uint32_t owner) {
  space(protocol, external.address.ipv4()).give_to_binding(external.port.value, owner);
}

void ExternalPorts::hold(Protocol protocol, const Endpoint& external, std::uint32_t owner) {
  space(protocol, external.address.ipv4()).give_to_hold_down(external.port.value, owner);
}

void ExternalPorts::release(Protocol protocol, const Endpoint& external) {
  space(protocol, external.address.ipv4()).release(external.port.value);
}

auto ExternalPorts::use_of(Protocol protocol) const -> PoolUse {
  std::uint64_t each = chosen_.last.value - chosen_.first.value + 1U;
  for (const Port port : {Port{5350}, Port{5351}})
    if (is_of_pcp(protocol, port) && chosen_.contains(port)) --each;
  PoolUse use{.protocol = protocol, .ports = each * pool_.size()};
  for (const Ipv4Address address : pool_)
    if (nat::PortMemory* const memory = find(protocol, address))
      nat::PortSpace(*memory).for_each([&](std::uint16_t port, nat::PortOwner) {
        if (chosen_.contains(Port{port})) ++use.taken;
      });
  return use;
}

auto ExternalPorts::pick(Protocol protocol, Ipv4Address address, PortRange range, std::optional<bool> odd,
                         std::uint32_t count) -> Run {
  const nat::PortChoice choice{.low = std::max(range.first, chosen_.first).value,
                               .high = std::min(range.last, chosen_.last).value,
                               .odd = odd};
  if (choice.low > choice.high) return {};
  nat::PortSpace ports = space(protocol, address);
  nat::PortRun run;
  if (count > 1) {
    run = ports.pick_run(choice, count, random_);
  } else if (const auto port = ports.pick(choice, random_)) {
    run = {.first = *port, .count = 1};
  }
  return {.first = {IpAddress{address}, Port{run.first}}, .count = run.count};
}

}  // namespace portolan::device
