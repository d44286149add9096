// SPDX-License-Identifier: BSD-2-Clause
//
// Several translation prefixes at once (RFC 6052), and destinations that are not translated (RFC 6888 s3
// REQ-6).
#include "nat/prefixes.h"

#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

constexpr const char* second6 = "2001:db8:a:b::198.51.100.7";

class TwoPrefixes : public Engine {
 protected:
  TwoPrefixes() {
    config.more_prefixes = {*Prefix::parse("2001:db8:a:b::/96")};
    restart();
  }
  auto out(const char* to, std::uint16_t port = 4000) -> std::string {
    return send(PacketBuilder(inside, to).udp(port, 53).payload("out").build());
  }
  auto in(const char* from = far4, std::uint16_t port = 4000) -> std::string {
    return send(PacketBuilder(from, pool).udp(53, port).payload("in").build());
  }
};

TEST_F(TwoPrefixes, answers_come_from_the_prefix_that_was_asked) {
  EXPECT_EQ(out(second6), "192.0.2.14:4000 > 198.51.100.7:53 udp \"out\" ttl 63");
  EXPECT_EQ(in(), "[2001:db8:a:b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");
  EXPECT_EQ(out(far6, 4001), "192.0.2.14:4001 > 198.51.100.7:53 udp \"out\" ttl 63");
  EXPECT_EQ(in(far4, 4001), "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4001 udp \"in\" ttl 63");
}

TEST_F(TwoPrefixes, who_begins_from_outside_is_seen_in_the_first) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  EXPECT_EQ(in(), "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");
  EXPECT_EQ(out(second6), "192.0.2.14:4000 > 198.51.100.7:53 udp \"out\" ttl 63")
      << "but may be answered through another";
  EXPECT_EQ(in(), "[2001:db8:a:b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");
  EXPECT_EQ(engine->counters().sessions, 1U);
}

TEST_F(TwoPrefixes, a_session_follows_the_prefix_last_used_with_right_checksums) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(out(far6), "192.0.2.14:4000 > 198.51.100.7:53 udp \"out\" ttl 63");
    EXPECT_EQ(in(), "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");
    EXPECT_EQ(out(second6), "192.0.2.14:4000 > 198.51.100.7:53 udp \"out\" ttl 63");
    EXPECT_EQ(in(), "[2001:db8:a:b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");
  }
  EXPECT_EQ(engine->counters().sessions_made, 1U);
}

TEST_F(TwoPrefixes, errors_speak_of_the_prefix_of_the_session) {
  out(second6);
  EXPECT_EQ(send(PacketBuilder("203.0.113.1", pool)
                     .icmp(11, 0, 0, PacketBuilder(pool, far4).udp(4000, 53).build())
                     .build()),
            "2001:db8:a:b::cb00:7101 > 2001:db8:112::2 icmp 3/0 "
            "[[2001:db8:112::2]:4000 > [2001:db8:a:b::c633:6407]:53 udp ttl 64 size 48] ttl 63");
  EXPECT_EQ(
      send(PacketBuilder(inside, second6)
               .icmp(1, 4, 0, PacketBuilder(second6, inside).udp(53, 4000).build())
               .build()),
      "192.0.2.14 > 198.51.100.7 icmp 3/3 [198.51.100.7:53 > 192.0.2.14:4000 udp ttl 64 size 28] ttl 63");
}

TEST_F(TwoPrefixes, an_idle_connection_is_probed_from_its_prefix) {
  send(PacketBuilder(inside, second6).tcp(4000, 80, "S").build());
  send(PacketBuilder(far4, pool).tcp(80, 4000, "SA").build());
  pass(Seconds{7201});
  EXPECT_EQ(take_output(), "[2001:db8:a:b::c633:6407]:80 > [2001:db8:112::2]:4000 tcp A ttl 64");
}

TEST_F(TwoPrefixes, no_host_is_inside_any_of_them) {
  EXPECT_EQ(send(PacketBuilder("2001:db8:a:b::1.2.3.4", far6).udp(1, 2).build()),
            "dropped: source_in_prefix");
  EXPECT_EQ(map(Protocol::udp, 4000, 0, "2001:db8:a:b::1"), 0);
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:a:c::1.2.3.4").udp(1, 2).build()),
            "dropped: destination_not_in_prefix");
}

TEST_F(TwoPrefixes, peers_and_filters_may_lie_in_any_of_them) {
  const Endpoint peer{*IpAddress::parse(second6), Port{53}};
  ASSERT_TRUE(engine->install_peer(now, key(Protocol::udp, 4000), peer, {}, Seconds{1000}));
  EXPECT_EQ(in(), "[2001:db8:a:b::c633:6407]:53 > [2001:db8:112::2]:4000 udp \"in\" ttl 63");

  const RemoteFilter filter{.remote_peers = Prefix{*IpAddress::parse(second6), 128}, .remote_port = {}};
  ASSERT_TRUE(
      engine->install(now, key(Protocol::udp, 4001), {}, Seconds{100}, {.filters = std::span(&filter, 1)}));
  EXPECT_EQ(in(far4, 4001), "[2001:db8:64:ff9b::c633:6407]:53 > [2001:db8:112::2]:4001 udp \"in\" ttl 63");
  EXPECT_EQ(in("203.0.113.9", 4001), "dropped: filtered");

  const auto changes = engine->set_pool(now, {*Ipv4Address::parse("192.0.2.15")});
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].kind, PoolChange::Kind::lost_peer);
  EXPECT_EQ(changes[0].remote_peer, peer);
}

TEST_F(TwoPrefixes, prefixes_of_all_lengths_work_at_once) {
  config.prefix = *Prefix::parse("2001:db8:122:344::/96");
  config.more_prefixes.clear();
  for (const char* prefix : {"2001:db1::/32", "2001:db2:100::/40", "2001:db3:122::/48",
                             "2001:db4:122:300::/56", "2001:db5:122:344::/64"})
    config.more_prefixes.push_back(*Prefix::parse(prefix));
  restart();
  std::uint16_t port = 4000;
  for (const char* destination :
       {"2001:db8:122:344::c633:6407", "2001:db1:c633:6407::", "2001:db2:1c6:3364:7::",
        "2001:db3:122:c633:64:700::", "2001:db4:122:3c6:33:6407::", "2001:db5:122:344:c6:3364:700::"}) {
    for (const std::uint16_t used : {port, std::uint16_t{3999}}) {
      const auto number = std::to_string(used);
      EXPECT_EQ(out(destination, used), "192.0.2.14:" + number + " > 198.51.100.7:53 udp \"out\" ttl 63");
      EXPECT_EQ(in(far4, used), "[" + to_string(*IpAddress::parse(destination)) +
                                    "]:53 > [2001:db8:112::2]:" + number + " udp \"in\" ttl 63");
    }
    ++port;
  }
  EXPECT_EQ(engine->counters().sessions, 7U);
}

TEST_F(TwoPrefixes, the_well_known_one_stands_for_global_addresses_only_and_the_other_for_all) {
  config.prefix = *Prefix::parse("64:ff9b::/96");
  config.pool = {*Ipv4Address::parse("9.9.9.9")};
  restart();
  EXPECT_EQ(send(PacketBuilder(inside, "64:ff9b::10.0.0.1").udp(4000, 53).build()),
            "dropped: non_global_ipv4");
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:a:b::10.0.0.1").udp(4000, 53).build()),
            "9.9.9.9:4000 > 10.0.0.1:53 udp ttl 63");
  EXPECT_EQ(send(PacketBuilder("10.0.0.1", "9.9.9.9").udp(53, 4000).build()),
            "[2001:db8:a:b::a00:1]:53 > [2001:db8:112::2]:4000 udp ttl 63");
  EXPECT_EQ(send(PacketBuilder("8.8.8.8", "9.9.9.9").udp(53, 4000).build()),
            "[64:ff9b::808:808]:53 > [2001:db8:112::2]:4000 udp ttl 63");
  EXPECT_EQ(send(PacketBuilder("10.0.0.9", "9.9.9.9").udp(53, 4000).build()),
            "[2001:db8:a:b::a00:9]:53 > [2001:db8:112::2]:4000 udp ttl 63")
      << "the first that may stand for it";
  EXPECT_EQ(send(PacketBuilder("10.0.0.9", "9.9.9.9")
                     .icmp(11, 0, 0, PacketBuilder("9.9.9.9", "8.8.8.8").udp(4000, 53).build())
                     .build()),
            "2001:db8:a:b::a00:9 > 2001:db8:112::2 icmp 3/0 "
            "[[2001:db8:112::2]:4000 > [64:ff9b::808:808]:53 udp ttl 64 size 48] ttl 63");
}

TEST_F(TwoPrefixes, are_checked) {
  const auto error = [&](const std::vector<const char*>& prefixes) {
    Config changed = config;
    changed.more_prefixes.clear();
    for (const char* prefix : prefixes) changed.more_prefixes.push_back(*Prefix::parse(prefix));
    const auto result = check(changed);
    return result ? std::string("fine") : result.error();
  };
  EXPECT_EQ(error({"2001:db8::/32"}), "prefix 2001:db8:64:ff9b::/96 and prefix 2001:db8::/32 overlap");
  EXPECT_EQ(error({"64:ff9b::/96", "64:ff9b::/96"}), "prefix 64:ff9b::/96 and prefix 64:ff9b::/96 overlap");
  EXPECT_NE(error({"64:ff9b:1::/49"}).find("RFC 6052 s2.2"), std::string::npos);
  std::vector<const char*> many{"2001:db9:1::/48", "2001:db9:2::/48", "2001:db9:3::/48", "2001:db9:4::/48",
                                "2001:db9:5::/48", "2001:db9:6::/48", "2001:db9:7::/48"};
  ASSERT_EQ(many.size() + 1, prefixes_max);
  EXPECT_EQ(error(many), "fine");
  many.push_back("2001:db9:8::/48");
  EXPECT_EQ(error(many), "there are 9 prefixes, at most 8 are possible");
}

class Untranslated : public Engine {
 protected:
  Untranslated() {
    config.untranslated = {*Prefix::parse("198.51.100.0/24"), *Prefix::parse("203.0.113.9/32")};
    restart();
  }
};

TEST_F(Untranslated, what_goes_there_is_dropped_and_its_sender_told) {
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4000, 53).build()), "dropped: untranslated");
  EXPECT_EQ(take_output(),
            "2001:db8:64:ff9b::c000:20e > 2001:db8:112::2 icmp 1/1 "
            "[[2001:db8:112::2]:4000 > [2001:db8:64:ff9b::c633:6407]:53 udp ttl 64 size 48] ttl 64");
  EXPECT_EQ(send(PacketBuilder(inside, far6).tcp(4000, 80, "A").build()), "dropped: untranslated");
  EXPECT_EQ(send(PacketBuilder(inside, far6).echo_request(1).build()), "dropped: untranslated");
  EXPECT_EQ(engine->counters().bindings, 0U);
  EXPECT_EQ(send(PacketBuilder(inside, "2001:db8:64:ff9b::203.0.113.8").udp(4000, 53).build()),
            "192.0.2.14:4000 > 203.0.113.8:53 udp ttl 63");
}

TEST_F(Untranslated, nobody_is_told_if_so_configured) {
  config.answers_untranslated = false;
  restart();
  EXPECT_EQ(send(PacketBuilder(inside, far6).udp(4000, 53).build()), "dropped: untranslated");
  EXPECT_EQ(take_output(), "");
}

TEST_F(Untranslated, nothing_comes_from_there_either) {
  ASSERT_EQ(map(Protocol::udp, 4000, 4000), 4000);
  ASSERT_EQ(map(Protocol::tcp, 8080, 8080), 8080);
  EXPECT_EQ(send(PacketBuilder(far4, pool).udp(53, 4000).build()), "dropped: untranslated");
  EXPECT_EQ(send(PacketBuilder(far4, pool).tcp(53, 8080, "S").build()), "dropped: untranslated");
  EXPECT_EQ(send(PacketBuilder("203.0.113.1", pool)
                     .icmp(11, 0, 0, PacketBuilder(pool, far4).udp(4000, 53).build())
                     .build()),
            "dropped: untranslated");
  EXPECT_EQ(send(PacketBuilder(inside, far6)
                     .icmp(1, 4, 0, PacketBuilder(far6, inside).udp(53, 4000).build())
                     .build()),
            "dropped: untranslated");
  EXPECT_EQ(take_output(), "");
  const auto made = engine->install_peer(now, key(Protocol::udp, 4000), {*IpAddress::parse(far6), Port{53}},
                                         {}, Seconds{100});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error(), InstallError::remote_peer_invalid);
}

TEST_F(Untranslated, prefixes_are_ipv4_ones_and_not_too_many) {
  Config changed = config;
  changed.untranslated = {*Prefix::parse("2001:db8::/32")};
  EXPECT_EQ(check(changed).error(), "untranslated prefix 2001:db8::/32 must be an IPv4 prefix");
  changed.untranslated.assign(untranslated_max, *Prefix::parse("198.51.100.0/24"));
  EXPECT_TRUE(check(changed));
  changed.untranslated.push_back(*Prefix::parse("198.51.100.0/24"));
  EXPECT_EQ(check(changed).error(), "untranslated has 257 prefixes, at most 256 are possible");
}

TEST(AddressSet, holds_its_prefixes_to_the_last_address_and_no_other) {
  const auto at = [](const char* address) { return Ipv4Address::parse(address)->value; };
  const AddressSet set({*Prefix::parse("203.0.113.0/25"), *Prefix::parse("198.51.100.4/31"),
                        *Prefix::parse("203.0.113.64/26"), *Prefix::parse("255.255.255.255/32")});
  for (const char* inside :
       {"203.0.113.0", "203.0.113.127", "203.0.113.64", "198.51.100.4", "198.51.100.5", "255.255.255.255"})
    EXPECT_TRUE(set.contains(at(inside))) << inside;
  for (const char* outside :
       {"0.0.0.0", "198.51.100.3", "198.51.100.6", "203.0.113.128", "202.255.255.255", "255.255.255.254"})
    EXPECT_FALSE(set.contains(at(outside))) << outside;
  EXPECT_FALSE(AddressSet({}).contains(at("198.51.100.4")));
  const AddressSet all({*Prefix::parse("0.0.0.0/0")});
  EXPECT_TRUE(all.contains(at("255.255.255.255")));
  EXPECT_TRUE(all.contains(at("0.0.0.0")));
}

}  // namespace
}  // namespace portolan::nat::test
