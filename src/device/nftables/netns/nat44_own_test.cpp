// SPDX-License-Identifier: BSD-2-Clause
//
// What a NAT44 by nftables has of its own: the table in the kernel, the pairing of addresses, protocols other
// than TCP and UDP, and what others do to the table.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/nftables/netns/test_nat44.h"
#include "device/nftables/pairing.h"

namespace portolan::device::testing {
namespace {

using nat::test::PacketBuilder;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr auto gre = static_cast<Protocol>(47);

/// RFC 9260 sA, bit by bit.
auto crc32c(const Octets& octets) -> std::uint32_t {
  std::uint32_t crc = 0xffffffffU;
  for (const std::uint8_t octet : octets) {
    crc ^= octet;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1U ^ (0x82f63b78U & (0U - (crc & 1U)));
  }
  return ~crc;
}

class Nat44Test : public ::testing::Test {
 protected:
  auto key(unsigned host, std::uint16_t port, Protocol protocol = Protocol::udp) const -> MappingKey {
    return {.realm = {},
            .internal_address = under.inside_address(host),
            .protocol = protocol,
            .external_family = Family::ipv4,
            .internal_port = Port{port}};
  }
  static auto wish(const MappingKey& mapping, std::uint16_t port = 0) -> Install {
    return {.key = mapping,
            .external_address = IpAddress::unspecified(Family::ipv4),
            .external_port = Port{port},
            .match = Match::suggested,
            .lifetime = Seconds{1000}};
  }
  auto apply(Operation operation) -> Result { return under.apply({std::move(operation)}).at(0); }
  auto install(const MappingKey& mapping, std::uint16_t port = 0) -> Result {
    return apply(wish(mapping, port));
  }
  auto at(std::uint16_t port) const -> Endpoint { return {under.external_address(), Port{port}}; }
  auto in(const Endpoint& external, unsigned peer = 0, Protocol protocol = Protocol::udp)
      -> std::optional<Endpoint> {
    return under.send_inbound(protocol, external, peer);
  }
  auto inside(unsigned host, std::uint16_t port) const -> Endpoint {
    return {under.inside_address(host), Port{port}};
  }
  void restart_with(const std::function<void(Nat44Settings&)>& change) {
    Nat44Settings settings = Nat44UnderTest::settings();
    change(settings);
    under.restart(settings);
  }

  Nat44UnderTest under;
};

TEST_F(Nat44Test, hosts_traffic_leaves_from_ports_that_no_mapping_gets) {
  std::set<Port> ports;
  for (std::uint16_t port = 1000; port < 1100; ++port) {
    const auto outside = under.send_outbound(key(1, port), 1);
    ASSERT_TRUE(outside);
    EXPECT_EQ(outside->address, under.external_address());
    EXPECT_GE(outside->port, Port{32768});
    ports.insert(outside->port);
    const Result made = install(key(2, port), outside->port.value);
    ASSERT_TRUE(made);
    EXPECT_LE(made->external_port, Port{32767});
  }
  EXPECT_THAT(ports, SizeIs(100));
}

TEST_F(Nat44Test, ports_of_mappings_are_what_is_taken_of_the_pool) {
  restart_with(
      [](Nat44Settings& settings) { settings.explicit_ports = {.first = Port{5349}, .last = Port{5353}}; });
  const auto udp = [&] { return under.device().pool_use().at(1); };
  EXPECT_EQ(udp(), (PoolUse{.protocol = Protocol::udp, .ports = 3, .taken = 0})) << "PCP's are nobody's";
  ASSERT_TRUE(under.send_outbound(key(1, 2000), 1));
  EXPECT_EQ(udp().taken, 0U);
  for (const unsigned host : {1U, 2U, 3U}) ASSERT_TRUE(install(key(host, 3000)));
  EXPECT_EQ(udp().taken, 3U);
  EXPECT_EQ(under.device().pool_use().at(0).taken, 0U);
  EXPECT_FALSE(install(key(4, 3000)));
}

TEST_F(Nat44Test, a_host_has_one_address_of_the_pool_for_traffic_and_mappings) {
  std::vector<Ipv4Address> pool;
  pool.reserve(5);
  for (std::uint32_t i = 0; i < 5; ++i) pool.push_back(Ipv4Address{0xc000020aU + i});
  restart_with([&](Nat44Settings& settings) { settings.pool = pool; });
  std::set<IpAddress> used;
  for (unsigned host = 1; host <= 40; ++host) {
    const auto outside = under.send_outbound(key(host, 3000), 1);
    const auto other = under.send_outbound(key(host, 3001), 2);
    const Result made = install(key(host, 4000));
    ASSERT_TRUE(outside && other && made);
    EXPECT_EQ(outside->address, other->address);
    EXPECT_EQ(made->external_address, outside->address);
    EXPECT_EQ(outside->address, IpAddress{pool[paired_address(under.inside_address(host).ipv4(), 5)]});
    used.insert(outside->address);
  }
  EXPECT_THAT(used, SizeIs(5)) << "hosts spread over the pool";
}

TEST_F(Nat44Test, two_hosts_reach_each_other_by_their_external_endpoints) {
  ASSERT_TRUE(install(key(1, 3000), 4000));
  ASSERT_TRUE(install(key(2, 3000), 5000));
  const auto came = under.router().send_back_inside(
      PacketBuilder(to_string(under.inside_address(1)), Nat44UnderTest::external).udp(3000, 5000).build());
  ASSERT_THAT(came, SizeIs(1));
  EXPECT_EQ(source_of(came[0]), at(4000)) << "RFC 4787 REQ-9: as the other one would see it outside";
  EXPECT_EQ(destination_of(came[0]), inside(2, 3000));
  const auto back = under.router().send_back_inside(
      PacketBuilder(to_string(under.inside_address(2)), Nat44UnderTest::external).udp(3000, 4000).build());
  ASSERT_THAT(back, SizeIs(1));
  EXPECT_EQ(source_of(back[0]), at(5000));
  EXPECT_EQ(destination_of(back[0]), inside(1, 3000));
}

TEST_F(Nat44Test, a_filter_knows_hosts_inside_by_their_external_address) {
  Install wanted = wish(key(2, 3000), 5000);
  wanted.filters = {{.remote_peers = Prefix(under.external_address(), 128), .remote_port = Port{4000}}};
  ASSERT_TRUE(apply(wanted));
  ASSERT_TRUE(install(key(1, 3000), 4000));
  ASSERT_TRUE(install(key(1, 3001), 4001));
  const auto sent = [&](std::uint16_t port) {
    return under.router().send_back_inside(
        PacketBuilder(to_string(under.inside_address(1)), Nat44UnderTest::external).udp(port, 5000).build());
  };
  EXPECT_THAT(sent(3000), SizeIs(1));
  EXPECT_THAT(sent(3001), IsEmpty());
}

TEST_F(Nat44Test, filters_are_prefixes_and_may_include_each_other) {
  Install wanted = wish(key(1, 3000), 4000);
  const auto filter = [](const char* prefix, std::uint16_t port = 0) {
    return RemoteFilter{.remote_peers = *Prefix::parse(prefix), .remote_port = Port{port}};
  };
  wanted.filters = {filter("203.0.113.8/30"), filter("203.0.113.8/32"), filter("203.0.113.8/31"),
                    filter("203.0.113.0/24", 1), filter("203.0.113.12/30", 5555)};
  ASSERT_TRUE(apply(wanted));
  for (unsigned peer = 0; peer < 12; ++peer) {
    const unsigned last = 7 + peer;
    const bool is_let_in = (last >= 8 && last < 12) || (last >= 12 && last < 16);
    EXPECT_EQ(in(at(4000), peer).has_value(), is_let_in) << last;
  }
}

TEST_F(Nat44Test, limits_of_mappings_and_filters_are_kept) {
  restart_with([](Nat44Settings& settings) {
    settings.mappings_max = 3;
    settings.filters_max = 2;
    settings.hold_down = Seconds{0};
  });
  const auto filtered = [&](std::uint16_t port, std::size_t count) {
    Install wanted = wish(key(1, port));
    wanted.filters.assign(count, {.remote_peers = *Prefix::parse("203.0.113.0/24"), .remote_port = {}});
    return apply(wanted);
  };
  ASSERT_TRUE(filtered(3000, 1));
  const Result excessive = filtered(3001, 2);
  ASSERT_FALSE(excessive);
  EXPECT_EQ(excessive.error(), Refusal::excessive_filters);
  ASSERT_TRUE(filtered(3001, 1));
  EXPECT_FALSE(filtered(3000, 2));
  ASSERT_TRUE(filtered(3001, 0));
  EXPECT_TRUE(filtered(3000, 2));
  ASSERT_TRUE(install(key(1, 3002)));
  const Result fourth = install(key(1, 3003));
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error(), Refusal::no_resources);
  ASSERT_TRUE(apply(Remove{.key = key(1, 3002)}));
  EXPECT_TRUE(install(key(1, 3003)));
}

TEST_F(Nat44Test, a_protocol_without_ports_is_mapped_as_a_whole) {
  const Result made = install(key(1, 0, gre));
  ASSERT_TRUE(made);
  EXPECT_EQ(made->external_address, under.external_address());
  EXPECT_EQ(made->external_port, Port{0});
  const Result second = install(key(2, 0, gre));
  ASSERT_FALSE(second) << "there is one address, and it is taken";
  EXPECT_EQ(second.error(), Refusal::no_resources);
  const auto sent = [&] {
    return under.router().send_in_from_outside(
        PacketBuilder("203.0.113.7", Nat44UnderTest::external).protocol(41).payload("tunnelled").build());
  };
  EXPECT_THAT(sent(), IsEmpty());
  ASSERT_TRUE(install(key(1, 0, static_cast<Protocol>(41))));
  const auto came = sent();
  ASSERT_THAT(came, SizeIs(1));
  EXPECT_EQ(destination_of(came[0]).address, under.inside_address(1));
  EXPECT_FALSE(install(key(1, 5, gre))) << "it has no port 5";
}

TEST_F(Nat44Test, sctp_has_ports_like_tcp) {
  ASSERT_TRUE(install(key(1, 3000, Protocol::sctp), 4000));
  // An INIT chunk: the verification tag of its packet is 0 (RFC 9260 s8.5.1).
  Octets sctp{0x15, 0xb3, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20,
              1,    2,    3,    4,    0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1};
  const std::uint32_t checksum = crc32c(sctp);
  for (std::size_t i = 0; i < 4; ++i) sctp[8 + i] = static_cast<std::uint8_t>(checksum >> 8 * i);
  Octets packet = PacketBuilder("203.0.113.7", Nat44UnderTest::external)
                      .protocol(132)
                      .payload(Octets(sctp.begin() + 8, sctp.end()))
                      .build();
  // The builder leaves the first eight octets of what it does not know zero.
  std::copy_n(sctp.begin(), 8, packet.begin() + 20);
  const auto came = under.router().send_in_from_outside(packet);
  ASSERT_THAT(came, SizeIs(1));
  EXPECT_EQ(destination_of(came[0]), inside(1, 3000));
}

TEST_F(Nat44Test, all_ports_and_all_protocols_are_mapped_if_the_operator_lets_them) {
  EXPECT_FALSE(install(key(1, 0, Protocol::udp)));
  restart_with([](Nat44Settings& settings) { settings.maps_all_ports = true; });
  ASSERT_TRUE(install(key(1, 0, Protocol::udp)));
  ASSERT_TRUE(install(key(2, 3000), 4000));
  ASSERT_TRUE(install(key(3, 0, Protocol::all)));
  EXPECT_EQ(in(at(9999)), inside(1, 9999));
  EXPECT_EQ(in(at(4000)), inside(2, 3000)) << "what is mapped by its port is somebody's own";
  EXPECT_EQ(in(at(9999), 1, Protocol::tcp), inside(3, 9999));
  EXPECT_EQ(under.send_outbound(key(1, 7777), 3), at(7777)) << "a port is the same on both sides";
  EXPECT_FALSE(install(key(2, 0, Protocol::udp))) << "taken";
  Install filtered = wish(key(1, 0, Protocol::udp));
  filtered.filters = {{.remote_peers = *Prefix::parse("203.0.113.0/24"), .remote_port = {}}};
  const Result refused = apply(filtered);
  ASSERT_FALSE(refused) << "its filters could not be kept";
  EXPECT_EQ(refused.error(), Refusal::excessive_filters);
  ASSERT_TRUE(apply(Remove{.key = key(1, 0, Protocol::udp)}));
  EXPECT_EQ(in(at(9998)), inside(3, 9998));
}

TEST_F(Nat44Test, a_peer_that_sent_before_the_port_was_mapped_gets_through_then) {
  EXPECT_FALSE(in(at(4000), 1));
  ASSERT_TRUE(install(key(1, 3000), 4000));
  EXPECT_EQ(in(at(4000), 1), inside(1, 3000));
  ASSERT_TRUE(apply(Remove{.key = key(1, 3000)}));
  EXPECT_EQ(in(at(4000), 1), inside(1, 3000)) << "a flow goes on";
  EXPECT_FALSE(in(at(4000), 2));
  EXPECT_FALSE(in(at(4000), 3));
  ASSERT_TRUE(install(key(1, 3000), 4000));
  EXPECT_EQ(in(at(4000), 3), inside(1, 3000)) << "the last one to try";
  EXPECT_FALSE(in(at(4000), 2));
  ASSERT_TRUE(install(key(1, 3000), 4000));
  EXPECT_EQ(in(at(4000), 2), inside(1, 3000)) << "and with each renewal one more";
}

TEST_F(Nat44Test, streams_that_nobody_answers_leave_room_to_note_others) {
  restart_with([](Nat44Settings& settings) { settings.mappings_max = settings.filters_max = 4; });
  for (int packet = 0; packet < 40; ++packet) {
    ASSERT_TRUE(under.send_outbound(key(1, 3000), 1));
    ASSERT_FALSE(in(at(4000), 1));
  }
  const auto flow = under.send_outbound(key(2, 3000), 1);
  ASSERT_TRUE(flow);
  ASSERT_FALSE(in(at(4001), 2));
  const Result where_it_is = install(key(2, 3000));
  ASSERT_TRUE(where_it_is);
  EXPECT_EQ((Endpoint{where_it_is->external_address, where_it_is->external_port}), *flow);
  ASSERT_TRUE(install(key(3, 3000), 4001));
  EXPECT_EQ(in(at(4001), 2), inside(3, 3000));
}

TEST_F(Nat44Test, a_flow_that_peer_keeps_is_made_anew_if_it_ends_before_its_time) {
  const auto peer = [&](Seconds lifetime) {
    return apply(InstallPeer{.key = key(1, 3000),
                             .remote_peer = under.remote_peer(1),
                             .external_address = IpAddress::unspecified(Family::ipv4),
                             .external_port = Port{4000},
                             .lifetime = lifetime});
  };
  ASSERT_TRUE(peer(Seconds{1000}));
  ASSERT_TRUE(under.device().keeps_flows());
  const io::FlowTuple tuple{
      .protocol = Protocol::udp, .source = inside(1, 3000), .destination = under.remote_peer(1)};
  ASSERT_EQ(under.router().conntrack().remove(tuple), true);
  EXPECT_FALSE(in(at(4000), 1));
  under.device().look_at_flows();
  EXPECT_EQ(in(at(4000), 1), inside(1, 3000));
  ASSERT_EQ(under.router().conntrack().remove(tuple), true);
  under.device().stop_watching_flows();
  under.pass(Seconds{11});
  EXPECT_EQ(in(at(4000), 1), inside(1, 3000)) << "in time even if no word comes";
  under.pass(Seconds{1000});
  EXPECT_FALSE(under.device().keeps_flows());
}

TEST_F(Nat44Test, at_the_end_peer_keeps_no_flow_any_more) {
  const auto keep = [&](std::uint16_t port) {
    return apply(InstallPeer{.key = key(1, port),
                             .remote_peer = under.remote_peer(1),
                             .external_address = IpAddress::unspecified(Family::ipv4),
                             .external_port = {},
                             .lifetime = Seconds{20000}});
  };
  const auto found = [&](std::uint16_t port) {
    return under.router()
        .conntrack()
        .find({.protocol = Protocol::udp, .source = inside(1, port), .destination = under.remote_peer(1)})
        .value();
  };
  ASSERT_TRUE(keep(3000) && keep(3001));
  ASSERT_TRUE(under.send_outbound(key(1, 3001), 1));
  under.pass(Seconds{11});
  ASSERT_GT(found(3001)->expires_in, Seconds{19000});
  under.end();
  EXPECT_FALSE(found(3000)) << "nobody has used it";
  ASSERT_TRUE(found(3001));
  EXPECT_LE(found(3001)->expires_in, Seconds{300});
}

TEST_F(Nat44Test, limits_hold_for_flows_that_are_there_and_for_every_port_of_a_set) {
  restart_with([](Nat44Settings& settings) {
    settings.mappings_max = 4;
    settings.filters_max = 8;
  });
  for (std::uint16_t port = 3000; port < 3003; ++port) ASSERT_TRUE(install(key(1, port)));
  const auto peer = [&](std::uint16_t port, unsigned number) {
    return apply(InstallPeer{.key = key(2, port),
                             .remote_peer = under.remote_peer(number),
                             .external_address = IpAddress::unspecified(Family::ipv4),
                             .external_port = {},
                             .lifetime = Seconds{1000}});
  };
  for (std::uint16_t port = 3000; port < 3002; ++port) ASSERT_TRUE(under.send_outbound(key(2, port), 1));
  EXPECT_TRUE(peer(3000, 1));
  const Result fifth = peer(3001, 1);
  ASSERT_FALSE(fifth);
  EXPECT_EQ(fifth.error(), Refusal::no_resources);
  EXPECT_TRUE(peer(3000, 2)) << "another of what is there";
  ASSERT_TRUE(apply(Remove{.key = key(1, 3000)}) && apply(Remove{.key = key(1, 3001)}));
  under.pass(Seconds{121});
  Install set = wish(key(3, 3000), 4000);
  set.port_count = 2;
  set.filters.assign(5, {.remote_peers = *Prefix::parse("203.0.113.0/24"), .remote_port = {}});
  const Result excessive = apply(set);
  ASSERT_FALSE(excessive) << "ten, two ports have them";
  EXPECT_EQ(excessive.error(), Refusal::excessive_filters);
  set.filters.resize(4);
  EXPECT_TRUE(apply(set));
}

TEST_F(Nat44Test, who_asks_just_when_a_mapping_ends_gets_it_again) {
  Install wanted = wish(key(1, 3000), 4000);
  wanted.lifetime = Seconds{100};
  ASSERT_TRUE(apply(wanted));
  for (const int late : {0, 1, 100, 200, 267}) {
    under.wait(Seconds{100} + Milliseconds{late});
    const Result again = apply(wanted);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->external_port, Port{4000}) << late;
    under.pass(Seconds{2});
    EXPECT_EQ(in(at(4000), static_cast<unsigned>(late)), inside(1, 3000)) << late;
    ASSERT_TRUE(apply(wanted));
  }
  EXPECT_EQ(under.device().counters().repairs, 0U);
}

TEST_F(Nat44Test, a_port_that_traffic_uses_is_nobody_elses) {
  restart_with([](Nat44Settings& settings) { settings.hold_down = Seconds{1}; });
  Install wanted = wish(key(1, 3000), 4000);
  wanted.lifetime = Seconds{100};
  ASSERT_TRUE(apply(wanted));
  under.pass(Seconds{90});
  ASSERT_TRUE(under.send_outbound(key(1, 3000), 1));
  under.pass(Seconds{20});
  Install other = wish(key(2, 3000), 4000);
  other.match = Match::exact;
  EXPECT_FALSE(apply(other)) << "a flow still leaves from it";
  under.pass(Seconds{290});
  EXPECT_TRUE(apply(other));
}

TEST_F(Nat44Test, mapping_and_deleting_in_turns_takes_no_room) {
  restart_with([](Nat44Settings& settings) { settings.mappings_max = 10; });
  for (int turn = 0; turn < 100; ++turn) {
    ASSERT_TRUE(install(key(1, 3000), 4000)) << turn;
    ASSERT_TRUE(apply(Remove{.key = key(1, 3000)}));
  }
  for (std::uint16_t port = 3001; port < 3010; ++port) EXPECT_TRUE(install(key(2, port))) << port;
}

TEST_F(Nat44Test, packets_of_no_flow_do_not_get_inside) {
  for (const char* flags : {"S", "SA", "R", "F", ""}) {
    const auto came = under.router().send_in_from_outside(
        PacketBuilder("203.0.113.7", to_string(under.inside_address(1))).tcp(5555, 3000, flags).build());
    EXPECT_THAT(came, IsEmpty()) << flags;
  }
}

TEST_F(Nat44Test, peer_makes_no_flow_to_an_address_of_its_own_pool) {
  ASSERT_TRUE(install(key(2, 3000), 5000));
  const Result refused = apply(InstallPeer{.key = key(1, 3000),
                                           .remote_peer = at(5000),
                                           .external_address = IpAddress::unspecified(Family::ipv4),
                                           .external_port = {},
                                           .lifetime = Seconds{100}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::remote_peer_invalid);
}

TEST_F(Nat44Test, hosts_that_are_not_inside_get_nothing) {
  MappingKey elsewhere = key(1, 3000);
  elsewhere.internal_address = *IpAddress::parse("203.0.113.77");
  const Result result = install(elsewhere);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), Refusal::not_inside);
  MappingKey realm = key(1, 3000);
  realm.realm = Realm{1};
  const Result other = install(realm);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error(), Refusal::not_inside);
}

TEST_F(Nat44Test, what_nobody_asked_for_does_not_get_inside) {
  const auto sent = [&] {
    return under.router().send_in_from_outside(
        PacketBuilder("203.0.113.7", to_string(under.inside_address(1))).udp(5555, 3000).build());
  };
  EXPECT_THAT(sent(), IsEmpty());
  restart_with([](Nat44Settings& settings) { settings.drops_unasked = false; });
  EXPECT_THAT(sent(), SizeIs(1)) << "if others are to decide";
}

TEST_F(Nat44Test, a_table_that_was_flushed_deleted_or_changed_is_repaired_and_flows_live_on) {
  ASSERT_TRUE(install(key(1, 3000), 4000));
  Install filtered = wish(key(1, 3001), 4001);
  filtered.filters = {{.remote_peers = Prefix(under.remote_peer(1).address, 128), .remote_port = {}}};
  ASSERT_TRUE(apply(filtered));
  const auto flow = under.send_outbound(key(2, 3000), 1);
  ASSERT_TRUE(flow);
  under.device().look_after_table();
  EXPECT_EQ(under.device().counters().repairs, 0U) << "its own changes are none of somebody else";
  const std::vector<std::string> harm{"flush ruleset", "delete table ip portolan_nat44",
                                      "flush table ip portolan_nat44", "flush map ip portolan_nat44 inbound"};
  for (std::size_t i = 0; i < harm.size(); ++i) {
    nft(harm[i]);
    EXPECT_FALSE(in(at(4000), static_cast<unsigned>(20 + i))) << harm[i];
    EXPECT_EQ(under.send_outbound(key(2, 3000), 1), flow) << harm[i] << ", before anybody looks";
    under.device().look_after_table();
    EXPECT_EQ(under.device().counters().repairs, i + 1);
    EXPECT_EQ(in(at(4000), static_cast<unsigned>(30 + i)), inside(1, 3000)) << harm[i];
    EXPECT_EQ(in(at(4001), 1), inside(1, 3001)) << harm[i];
    EXPECT_FALSE(in(at(4001), 2)) << harm[i];
    EXPECT_EQ(under.send_outbound(key(2, 3000), 1), flow) << harm[i];
  }
}

TEST_F(Nat44Test, tables_of_others_are_not_touched_and_their_changes_are_no_concern) {
  nft("add table inet theirs");
  nft("add chain inet theirs forward '{ type filter hook forward priority 0; policy drop; }'");
  nft("add rule inet theirs forward ct state established,related accept");
  nft("add rule inet theirs forward ip protocol 253 accept");  // the test's own markers
  under.device().look_after_table();
  EXPECT_EQ(under.device().counters().repairs, 0U);
  ASSERT_TRUE(install(key(1, 3000), 4000));
  EXPECT_FALSE(in(at(4000), 1)) << "their policy counts";
  nft("add rule inet theirs forward ct status dnat accept");
  EXPECT_TRUE(in(at(4000), 2)) << "the rule that operations.md gives";
  restart_with([](Nat44Settings&) {});
  nft("list table inet theirs > /dev/null");
}

TEST_F(Nat44Test, a_batch_that_finds_no_table_is_not_lost) {
  ASSERT_TRUE(install(key(1, 3000), 4000));
  nft("delete table ip portolan_nat44");
  ASSERT_TRUE(install(key(1, 3001), 4001));
  EXPECT_EQ(in(at(4000)), inside(1, 3000));
  EXPECT_EQ(in(at(4001)), inside(1, 3001));
}

TEST_F(Nat44Test, what_a_killed_program_left_stays_until_the_server_has_looked_at_it) {
  ASSERT_TRUE(install(key(1, 3000), 4000));
  ASSERT_TRUE(install(key(1, 3001), 4001));
  Install filtered = wish(key(1, 3002), 4002);
  filtered.filters = {{.remote_peers = *Prefix::parse("203.0.113.8/31"), .remote_port = {}}};
  ASSERT_TRUE(apply(filtered));
  const auto flow = under.send_outbound(key(2, 3000), 1);
  under.restart(Nat44UnderTest::settings(), true);
  EXPECT_EQ(in(at(4000), 1), inside(1, 3000));
  EXPECT_EQ(in(at(4001), 1), inside(1, 3001));
  EXPECT_EQ(under.send_outbound(key(2, 3000), 1), flow);
  ASSERT_TRUE(install(key(1, 3000), 4000));
  under.device().reconciled();
  EXPECT_EQ(in(at(4000), 2), inside(1, 3000));
  EXPECT_FALSE(in(at(4001), 2)) << "nobody wanted it any more";
  EXPECT_FALSE(in(at(4002), 2));
  ASSERT_TRUE(apply(filtered)) << "as new";
  EXPECT_TRUE(in(at(4002), 1));
}

TEST_F(Nat44Test, a_table_of_another_kind_is_made_anew) {
  ASSERT_TRUE(install(key(1, 3000), 4000));
  Nat44Settings settings = Nat44UnderTest::settings();
  settings.mappings_max = 100;
  under.restart(settings, true);
  ASSERT_TRUE(install(key(1, 3000), 4000));
  EXPECT_EQ(in(at(4000)), inside(1, 3000));
}

TEST_F(Nat44Test, at_the_end_the_table_goes_or_stays) {
  under.device().set_stays_at_exit(true);
  restart_with([](Nat44Settings&) {});
  nft("list table ip portolan_nat44 > /dev/null");
  under.end();
  EXPECT_THROW(nft("list table ip portolan_nat44 2>/dev/null"), std::runtime_error);
}

TEST_F(Nat44Test, an_established_flow_goes_on_while_thousands_of_mappings_are_made) {
  restart_with([](Nat44Settings& settings) {
    settings.mappings_max = 65536;
    settings.explicit_ports = {.first = Port{1024}, .last = Port{32767}};
  });
  const auto flow = under.send_outbound(key(9, 3000), 1);
  ASSERT_TRUE(flow);
  constexpr std::uint16_t batches = 100;
  constexpr std::uint16_t per_batch = 200;
  for (std::uint16_t i = 0; i < batches; ++i) {
    std::vector<Operation> operations;
    operations.reserve(per_batch);
    for (std::uint16_t j = 0; j < per_batch; ++j)
      operations.emplace_back(
          wish(key(1 + i % 8U, static_cast<std::uint16_t>(10000 + i / 8 * per_batch + j))));
    for (const Result& result : under.apply(std::move(operations))) ASSERT_TRUE(result);
    ASSERT_EQ(in(*flow, 1), inside(9, 3000)) << i;
    ASSERT_EQ(under.send_outbound(key(9, 3000), 1), flow) << i;
  }
  ASSERT_TRUE(install(key(9, 4000)));
  EXPECT_EQ(in(*flow, 1), inside(9, 3000));
}

}  // namespace
}  // namespace portolan::device::testing
