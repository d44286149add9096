// SPDX-License-Identifier: BSD-2-Clause
#include "device/simulated/simulated_nat.h"

#include "device/contract_test.h"
#include "device/pool_contract_test.h"
#include "device/port_range_contract_test.h"
#include "device/profile_contract_test.h"

namespace portolan::device {
namespace {

class SimulatedUnderTest final : public DeviceUnderTest {
 public:
  auto apply(std::vector<Operation> operations) -> std::vector<Result> override {
    std::vector<Result> results;
    results.reserve(operations.size());
    for (const Operation& operation : operations) results.push_back(nat_.apply(now_, operation));
    return results;
  }
  void pass(Seconds time) override { now_ += time; }
  auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> override {
    return nat_.outbound(now_, from, remote_peer(peer));
  }
  auto send_inbound(Protocol protocol, const Endpoint& external, unsigned peer)
      -> std::optional<Endpoint> override {
    return nat_.inbound(now_, protocol, external, remote_peer(peer));
  }
  auto set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> override {
    return nat_.set_pool(now_, pool);
  }
  auto inside_address(unsigned host) const -> IpAddress override {
    return IpAddress{Ipv4Address{0xc6336400U + host}};
  }
  auto external_address() const -> IpAddress override { return *IpAddress::parse("192.0.2.1"); }
  auto other_external_address() const -> IpAddress override { return *IpAddress::parse("192.0.2.2"); }
  auto remote_peer(unsigned peer) const -> Endpoint override {
    return {IpAddress{Ipv4Address{0xc0000280U + peer}}, Port{5555}};
  }
  auto unreachable_peer() const -> Endpoint override { return {*IpAddress::parse("127.0.0.1"), Port{5555}}; }

 private:
  TimePoint now_{Seconds{1000}};
  SimulatedNat nat_{{.pool = {*IpAddress::parse("192.0.2.1")}}};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DeviceContract, SimulatedUnderTest);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DevicePoolContract, SimulatedUnderTest);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DevicePortRangeContract, SimulatedUnderTest);
INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DeviceProfileContract, SimulatedUnderTest);

TEST(SimulatedNat, a_companion_port_is_the_same_hosts_as_long_as_its_mapping_lives) {
  SimulatedNat nat({.pool = {*IpAddress::parse("192.0.2.1")}});
  const auto port_of = [&](const char* host, Protocol protocol, bool reserves, TimePoint now = TimePoint{}) {
    const Result result = nat.apply(now, Install{.key = {.realm = {},
                                                         .internal_address = *IpAddress::parse(host),
                                                         .protocol = protocol,
                                                         .external_family = Family::ipv4,
                                                         .internal_port = Port{80}},
                                                 .external_address = IpAddress::unspecified(Family::ipv4),
                                                 .external_port = Port{4000},
                                                 .match = Match::suggested,
                                                 .lifetime = Seconds{100},
                                                 .reserves_companion = reserves});
    return result ? result->external_port : Port{0};
  };
  EXPECT_EQ(port_of("198.51.100.1", Protocol::tcp, true), Port{4000});
  EXPECT_NE(port_of("198.51.100.2", Protocol::udp, false), Port{4000}) << "reserved";
  EXPECT_EQ(port_of("198.51.100.1", Protocol::udp, false), Port{4000}) << "for this host";
  const TimePoint later{Seconds{1000}};
  EXPECT_EQ(port_of("198.51.100.3", Protocol::udp, false, later), Port{4000});
  const Port reserving = port_of("198.51.100.4", Protocol::tcp, true, later);
  EXPECT_NE(reserving, Port{4000}) << "where the companion is somebody else's";
  EXPECT_EQ(port_of("198.51.100.5", Protocol::tcp, false, later), Port{4000}) << "who reserves nothing";
}

TEST(SimulatedNat, without_free_ports_there_are_no_resources) {
  SimulatedNat nat(
      {.pool = {*IpAddress::parse("192.0.2.1")}, .first_port = Port{4000}, .last_port = Port{4001}});
  const auto install = [&](std::uint16_t port) {
    return nat.apply(TimePoint{}, Install{.key = {.realm = {},
                                                  .internal_address = *IpAddress::parse("198.51.100.1"),
                                                  .protocol = Protocol::udp,
                                                  .external_family = Family::ipv4,
                                                  .internal_port = Port{port}},
                                          .external_address = IpAddress::unspecified(Family::ipv4),
                                          .external_port = {},
                                          .match = Match::suggested,
                                          .lifetime = Seconds{100}});
  };
  EXPECT_TRUE(install(1));
  EXPECT_TRUE(install(2));
  const Result third = install(3);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), Refusal::no_resources);
  EXPECT_EQ(nat.pool_use(TimePoint{}),
            (std::vector<PoolUse>{{.protocol = Protocol::tcp, .ports = 2, .taken = 0},
                                  {.protocol = Protocol::udp, .ports = 2, .taken = 2}}));
}

}  // namespace
}  // namespace portolan::device
