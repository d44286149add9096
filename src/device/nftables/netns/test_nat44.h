// SPDX-License-Identifier: BSD-2-Clause
//
// The kernel's NAT44 with a clock that the test moves: the device's, and by it the kernel's flows.
#pragma once

#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "device/contract_test.h"
#include "device/nftables/netns/test_router.h"
#include "device/nftables/nftables_device.h"

namespace portolan::device::testing {

class Nat44UnderTest final : public DeviceUnderTest {
 public:
  static constexpr const char* inside_prefix = "198.51.100.0/24";
  static constexpr const char* external = "192.0.2.1";
  static constexpr const char* other_external = "192.0.2.2";

  Nat44UnderTest();

  auto apply(std::vector<Operation> operations) -> std::vector<Result> override;
  void pass(Seconds time) override;
  auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> override;
  auto send_inbound(Protocol protocol, const Endpoint& to, unsigned peer) -> std::optional<Endpoint> override;
  auto set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> override;
  auto inside_address(unsigned host) const -> IpAddress override {
    return IpAddress{Ipv4Address{0xc6336400U + host}};
  }
  auto external_address() const -> IpAddress override { return *IpAddress::parse(external); }
  auto other_external_address() const -> IpAddress override { return *IpAddress::parse(other_external); }
  auto remote_peer(unsigned peer) const -> Endpoint override {
    return {IpAddress{Ipv4Address{0xcb007100U + 7 + peer}}, Port{5555}};
  }
  auto unreachable_peer() const -> Endpoint override { return {*IpAddress::parse("127.0.0.1"), Port{5555}}; }

  /// As the suite has them.
  static auto settings() -> Nat44Settings;
  /// Ends the device, if there is one, as when its program is killed or ends, and starts another.
  void restart(const Nat44Settings& settings, bool is_killed = false);

  void end() { device_.reset(); }
  /// Lets time pass before the device looks at the clock.
  void wait(Milliseconds time) { now_ += time; }

  auto device() -> NftablesDevice& { return *device_; }
  auto router() -> Router& { return router_; }
  auto inventories() -> std::vector<Inventory>& { return inventories_; }

 private:
  void run_posted();

  Router router_;
  SeededRandom random_{1};
  TimePoint now_{Seconds{1'000'000}};
  std::deque<std::function<void()>> posted_;
  std::vector<std::vector<Result>> answered_;
  std::vector<Event> events_;
  std::vector<Inventory> inventories_;
  std::uint64_t last_batch_ = 0;
  std::unique_ptr<NftablesDevice> device_;
};

}  // namespace portolan::device::testing
