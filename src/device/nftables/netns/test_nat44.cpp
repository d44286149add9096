// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/netns/test_nat44.h"

#include <algorithm>
#include <stdexcept>

namespace portolan::device::testing {

using nat::test::PacketBuilder;

Nat44UnderTest::Nat44UnderTest() {
  router_.add_address(Router::inside, "198.51.100.254", 24);
  router_.add_address(Router::outside, external, 24);
  router_.add_address(Router::outside, other_external, 24);
  router_.add_route("203.0.113.0/24", Router::outside);
  restart(settings());
}

auto Nat44UnderTest::settings() -> Nat44Settings {
  return {.outside = std::string(Router::outside),
          .inside = {*Prefix::parse(inside_prefix)},
          .pool = {*Ipv4Address::parse(external)},
          .mappings_max = 4096,
          .filters_max = 1024};
}

void Nat44UnderTest::restart(const Nat44Settings& settings, bool is_killed) {
  // What a killed program leaves is what one leaves that is to.
  if (is_killed && device_) device_->set_stays_at_exit(true);
  posted_.clear();
  device_.reset();
  auto started = NftablesDevice::start(
      settings,
      {.completion = [this](BatchId,
                            std::vector<Result> results) { answered_.push_back(std::move(results)); },
       .events =
           [this](std::vector<Event> events) { std::ranges::copy(events, std::back_inserter(events_)); },
       .inventory = [this](Inventory inventory) { inventories_.push_back(std::move(inventory)); },
       .now = [this] { return now_; },
       .post = [this](std::function<void()> task) { posted_.push_back(std::move(task)); },
       .random = &random_});
  if (!started) throw std::runtime_error(started.error());
  device_ = *std::move(started);
}

void Nat44UnderTest::run_posted() {
  while (!posted_.empty()) {
    const auto task = std::move(posted_.front());
    posted_.pop_front();
    task();
  }
}

auto Nat44UnderTest::apply(std::vector<Operation> operations) -> std::vector<Result> {
  device_->apply(BatchId{++last_batch_}, std::move(operations));
  run_posted();
  return answered_.back();
}

void Nat44UnderTest::pass(Seconds time) {
  const TimePoint target = now_ + time;
  while (now_ < target) {
    const TimePoint next =
        std::min(target, std::max(device_->next_deadline().value_or(target), now_ + Seconds{1}));
    const auto step = std::chrono::ceil<Seconds>(next - now_);
    router_.age(step);
    now_ += step;
    device_->advance();
    run_posted();
  }
}

auto Nat44UnderTest::send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> {
  PacketBuilder packet(to_string(from.internal_address), to_string(remote_peer(peer).address));
  if (from.protocol == Protocol::udp)
    packet.udp(from.internal_port.value, remote_peer(peer).port.value);
  else
    packet.tcp(from.internal_port.value, remote_peer(peer).port.value, "S");
  const auto came = router_.send_in_from_inside(packet.build());
  const auto found = std::ranges::find_if(
      came, [&](const Octets& each) { return destination_of(each) == remote_peer(peer); });
  return found == came.end() ? std::nullopt : std::optional(source_of(*found));
}

auto Nat44UnderTest::send_inbound(Protocol protocol, const Endpoint& to, unsigned peer)
    -> std::optional<Endpoint> {
  PacketBuilder packet(to_string(remote_peer(peer).address), to_string(to.address));
  if (protocol == Protocol::udp)
    packet.udp(remote_peer(peer).port.value, to.port.value);
  else
    packet.tcp(remote_peer(peer).port.value, to.port.value, "S");
  const auto came = router_.send_in_from_outside(packet.build());
  const auto found =
      std::ranges::find_if(came, [&](const Octets& each) { return source_of(each) == remote_peer(peer); });
  return found == came.end() ? std::nullopt : std::optional(destination_of(*found));
}

auto Nat44UnderTest::set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> {
  std::vector<Ipv4Address> addresses;
  addresses.reserve(pool.size());
  for (const IpAddress& address : pool) addresses.push_back(address.ipv4());
  device_->set_pool(addresses);
  run_posted();
  return std::exchange(events_, {});
}

}  // namespace portolan::device::testing
