// SPDX-License-Identifier: BSD-2-Clause
//
// The IPv6 firewall of the kernel through its device interface. It translates nothing: what is said of
// external addresses and ports in the suite of NATs is not its.
#include <algorithm>
#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/nftables/netns/test_router.h"
#include "device/nftables/nftables_device.h"

namespace portolan::device::testing {
namespace {

using nat::test::PacketBuilder;

constexpr const char* remote[] = {"2001:db8:ffff::7", "2001:db8:ffff::8", "2001:db8:ffff::9"};
constexpr std::uint16_t remote_port = 5555;

class Firewall6Test : public ::testing::Test {
 protected:
  Firewall6Test() {
    router_.add_address(Router::inside, "2001:db8:1::fe", 64);
    router_.add_address(Router::outside, "2001:db8:2::fe", 64);
    router_.add_route("2001:db8:ffff::/64", Router::outside);
    restart(settings());
  }
  static auto settings() -> Firewall6Settings {
    return {.outside = std::string(Router::outside),
            .inside = {*Prefix::parse("2001:db8:1::/64")},
            .pinholes_max = 4096,
            .filters_max = 1024};
  }
  void restart(const Firewall6Settings& settings) {
    posted_.clear();
    device_.reset();
    auto started = NftablesDevice::start(
        settings,
        {.completion = [this](BatchId,
                              std::vector<Result> results) { answered_.push_back(std::move(results)); },
         .events = {},
         .inventory = {},
         .now = [this] { return now_; },
         .post = [this](std::function<void()> task) { posted_.push_back(std::move(task)); },
         .random = &random_});
    if (!started) throw std::runtime_error(started.error());
    device_ = *std::move(started);
  }
  static auto host(unsigned number) -> IpAddress {
    return *IpAddress::parse("2001:db8:1::" + std::to_string(number));
  }
  static auto key(unsigned number, std::uint16_t port, Protocol protocol = Protocol::udp) -> MappingKey {
    return {.realm = {},
            .internal_address = host(number),
            .protocol = protocol,
            .external_family = Family::ipv6,
            .internal_port = Port{port}};
  }
  static auto wish(const MappingKey& mapping, Seconds lifetime = Seconds{1000}) -> Install {
    return {.key = mapping,
            .external_address = IpAddress{},
            .external_port = {},
            .match = Match::suggested,
            .lifetime = lifetime};
  }
  auto apply(Operation operation) -> Result {
    device_->apply(BatchId{++last_batch_}, {std::move(operation)});
    while (!posted_.empty()) {
      const auto task = std::move(posted_.front());
      posted_.pop_front();
      task();
    }
    return answered_.back().at(0);
  }
  void pass(Seconds time) {
    router_.age(time);
    now_ += time;
    device_->advance();
  }
  /// The kernel sends something of its own now and then.
  static auto came_from(const std::vector<Octets>& packets, std::string_view address) -> bool {
    return std::ranges::any_of(packets, [&](const Octets& packet) {
      return source_of(packet).address == IpAddress::parse(address);
    });
  }
  auto in(unsigned number, std::uint16_t port, unsigned peer = 0, Protocol protocol = Protocol::udp) -> bool {
    PacketBuilder packet(remote[peer], to_string(host(number)));
    if (protocol == Protocol::udp)
      packet.udp(remote_port, port);
    else
      packet.tcp(remote_port, port, "S");
    return came_from(router_.send_in_from_outside(packet.build()), remote[peer]);
  }
  auto out(unsigned number, std::uint16_t port, unsigned peer = 0) -> bool {
    return came_from(router_.send_in_from_inside(
                         PacketBuilder(to_string(host(number)), remote[peer]).udp(port, remote_port).build()),
                     to_string(host(number)));
  }
  auto router() -> Router& { return router_; }
  auto device() -> NftablesDevice& { return *device_; }

 private:
  Router router_;
  SeededRandom random_{1};
  TimePoint now_{Seconds{1'000'000}};
  std::deque<std::function<void()>> posted_;
  std::vector<std::vector<Result>> answered_;
  std::uint64_t last_batch_ = 0;
  std::unique_ptr<NftablesDevice> device_;
};

TEST_F(Firewall6Test, a_pinhole_lets_in_what_nothing_else_does_until_it_ends) {
  EXPECT_FALSE(in(1, 3000));
  const Result made = apply(wish(key(1, 3000), Seconds{100}));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->external_address, host(1));
  EXPECT_EQ(made->external_port, Port{3000});
  EXPECT_TRUE(in(1, 3000));
  EXPECT_FALSE(in(1, 3001));
  EXPECT_FALSE(in(2, 3000));
  EXPECT_FALSE(in(1, 3000, 0, Protocol::tcp));
  pass(Seconds{101});
  EXPECT_FALSE(in(1, 3000, 1));
  ASSERT_TRUE(apply(wish(key(1, 3000))));
  EXPECT_TRUE(in(1, 3000, 1));
  EXPECT_TRUE(out(1, 3000, 1));
  const Result removed = apply(Remove{.key = key(1, 3000)});
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->external_port, Port{3000});
  EXPECT_FALSE(in(1, 3000, 2));
  EXPECT_TRUE(in(1, 3000, 1)) << "what was answered goes on";
}

TEST_F(Firewall6Test, answers_to_hosts_pass_and_so_do_pings) {
  EXPECT_TRUE(out(1, 3000, 1));
  EXPECT_TRUE(in(1, 3000, 1));
  EXPECT_FALSE(in(1, 3000, 2));
  const auto ping = PacketBuilder(remote[2], to_string(host(1))).echo_request(7).build();
  EXPECT_TRUE(came_from(router().send_in_from_outside(ping), remote[2])) << "RFC 4890 s4.3.1";
}

TEST_F(Firewall6Test, only_the_internal_endpoint_can_be_had) {
  Install other = wish(key(1, 3000));
  other.external_address = host(1);
  other.external_port = Port{4000};
  const Result suggested = apply(other);
  ASSERT_TRUE(suggested);
  EXPECT_EQ(suggested->external_port, Port{3000});
  other.key = key(2, 3000);
  other.match = Match::exact;
  const Result exact = apply(other);
  ASSERT_FALSE(exact);
  EXPECT_EQ(exact.error(), Refusal::cannot_provide_external);
  other.external_address = host(2);
  other.external_port = Port{3000};
  EXPECT_TRUE(apply(other));
}

TEST_F(Firewall6Test, what_it_does_not_serve_is_refused) {
  MappingKey elsewhere = key(1, 3000);
  elsewhere.internal_address = *IpAddress::parse("2001:db8:9::1");
  const Result not_inside = apply(wish(elsewhere));
  ASSERT_FALSE(not_inside);
  EXPECT_EQ(not_inside.error(), Refusal::not_inside);
  MappingKey translated = key(1, 3000);
  translated.external_family = Family::ipv4;
  const Result family = apply(wish(translated));
  ASSERT_FALSE(family);
  EXPECT_EQ(family.error(), Refusal::unsupported_protocol);
}

TEST_F(Firewall6Test, filters_let_only_their_peers_in_and_end_flows_of_others) {
  ASSERT_TRUE(apply(wish(key(1, 3000))));
  EXPECT_TRUE(in(1, 3000, 1));
  Install wanted = wish(key(1, 3000));
  wanted.filters = {{.remote_peers = *Prefix::parse(std::string(remote[0]) + "/128"), .remote_port = {}},
                    {.remote_peers = *Prefix::parse("2001:db8:ffff::8/125"), .remote_port = Port{1}}};
  ASSERT_TRUE(apply(wanted));
  EXPECT_TRUE(in(1, 3000, 0));
  EXPECT_FALSE(in(1, 3000, 1)) << "its flow began before";
  wanted.filters.back().remote_port = Port{remote_port};
  ASSERT_TRUE(apply(wanted));
  EXPECT_TRUE(in(1, 3000, 1));
  EXPECT_TRUE(in(1, 3000, 2));
  EXPECT_TRUE(out(1, 3000, 2));
  ASSERT_TRUE(apply(Remove{.key = key(1, 3000)}));
  EXPECT_TRUE(in(1, 3000, 2)) << "it is answered";
  wanted.filters.resize(1);
  ASSERT_TRUE(apply(wanted));
  EXPECT_FALSE(in(1, 3000, 2)) << "a mapping made anew counts too";
}

TEST_F(Firewall6Test, all_ports_of_a_host_and_sets_of_ports) {
  ASSERT_TRUE(apply(wish(key(1, 0, Protocol::udp))));
  EXPECT_TRUE(in(1, 9, 0));
  EXPECT_FALSE(in(1, 9, 0, Protocol::tcp));
  ASSERT_TRUE(apply(wish(key(2, 0, Protocol::all))));
  EXPECT_TRUE(in(2, 9, 0, Protocol::tcp));
  Install set = wish(key(3, 3000));
  set.port_count = 3;
  const Result made = apply(set);
  ASSERT_TRUE(made);
  EXPECT_EQ(made->port_count, 3);
  EXPECT_TRUE(in(3, 3002));
  EXPECT_FALSE(in(3, 3003));
}

TEST_F(Firewall6Test, peer_keeps_a_flow_open_that_traffic_would_not) {
  const Endpoint peer{*IpAddress::parse(remote[1]), Port{remote_port}};
  const Result made = apply(InstallPeer{.key = key(1, 3000),
                                        .remote_peer = peer,
                                        .external_address = IpAddress{},
                                        .external_port = {},
                                        .lifetime = Seconds{2000}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->external_address, host(1));
  EXPECT_EQ(made->external_port, Port{3000});
  pass(Seconds{1900});
  EXPECT_TRUE(in(1, 3000, 1));
  EXPECT_FALSE(in(1, 3000, 2));
  const Result refused = apply(Remove{.key = key(1, 3000)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::outbound_mapping);
}

TEST_F(Firewall6Test, another_firewall_may_do_the_dropping) {
  Firewall6Settings marking = settings();
  marking.drops_unasked = false;
  marking.mark = 0x50;
  restart(marking);
  EXPECT_TRUE(in(1, 3000, 1));
  nft("add table inet theirs");
  nft("add chain inet theirs forward '{ type filter hook forward priority 0; policy drop; }'");
  nft("add rule inet theirs forward ip protocol 253 accept");  // the test's own markers
  nft("add rule inet theirs forward meta mark 0x50 accept");
  EXPECT_FALSE(in(1, 3001, 1));
  ASSERT_TRUE(apply(wish(key(1, 3001))));
  EXPECT_TRUE(in(1, 3001, 2));
  EXPECT_FALSE(out(1, 3000, 0));
  EXPECT_TRUE(out(1, 3001, 0)) << "a mapping is for both ways";
}

TEST_F(Firewall6Test, a_flushed_ruleset_is_repaired) {
  ASSERT_TRUE(apply(wish(key(1, 3000))));
  nft("flush ruleset");
  EXPECT_TRUE(in(1, 3001, 1)) << "no firewall at all";
  device().look_after_table();
  EXPECT_FALSE(in(1, 3002, 1));
  EXPECT_TRUE(in(1, 3000, 1));
}

}  // namespace
}  // namespace portolan::device::testing
