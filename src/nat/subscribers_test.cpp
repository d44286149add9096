// SPDX-License-Identifier: BSD-2-Clause
//
// Profiles and the limits of subscribers (RFC 6888 s3 REQ-4, REQ-5), through the engine and by themselves.
#include "nat/subscribers.h"

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

auto profile(const char* prefix) -> Prefix { return *Prefix::parse(prefix); }

class SubscriberLimits : public Engine {
 protected:
  auto udp(const char* from, std::uint16_t port, std::uint16_t to = 53) -> std::string {
    const auto sent = send(PacketBuilder(from, far6).udp(port, to).build());
    return sent.starts_with("dropped") ? sent : "sent";
  }
};

TEST_F(SubscriberLimits, ports_end_at_the_limit_and_the_sender_is_told) {
  config.allowance.ports_max = 2;
  config.allowance.subscriber_prefix_length = 64;
  restart();
  EXPECT_EQ(udp("2001:db8:112::1", 4000), "sent");
  EXPECT_EQ(udp("2001:db8:112::2", 4000), "sent");
  EXPECT_EQ(udp("2001:db8:112::3", 4000), "dropped: subscriber_ports_exhausted") << "the same subscriber";
  EXPECT_NE(take_output().find("icmp 1/3"), std::string::npos);
  EXPECT_EQ(udp("2001:db8:112::1", 4000, 54), "sent") << "what exists is not touched";
  EXPECT_EQ(udp("2001:db8:112:1::3", 4000), "sent");
  EXPECT_EQ(engine->counters().subscribers, 2U);
  EXPECT_EQ(engine->counters().drops(DropReason::subscriber_ports_exhausted), 1U);

  now += config.timeouts.udp + Seconds{1};
  engine->advance(now);
  EXPECT_EQ(engine->counters().subscribers, 0U);
  EXPECT_EQ(udp("2001:db8:112::3", 4000), "sent");
}

TEST_F(SubscriberLimits, a_host_behind_several_addresses_keeps_one_external_address) {
  config.pool = {*Ipv4Address::parse("192.0.2.14"), *Ipv4Address::parse("192.0.2.15"),
                 *Ipv4Address::parse("192.0.2.16"), *Ipv4Address::parse("192.0.2.17")};
  config.allowance.subscriber_prefix_length = 64;
  restart();
  const auto first = send(PacketBuilder("2001:db8:112::1", far6).udp(4000, 53).build());
  const auto address = first.substr(0, first.find(':'));
  for (const char* host : {"2001:db8:112::2", "2001:db8:112::3", "2001:db8:112::4", "2001:db8:112::5"})
    EXPECT_TRUE(send(PacketBuilder(host, far6).udp(4000, 53).build()).starts_with(address));
}

TEST_F(SubscriberLimits, sessions_end_at_the_limit_of_the_profile) {
  ASSERT_TRUE(engine->put_profile(profile("2001:db8:112::/48"), {.sessions_max = 3}));
  for (std::uint16_t to = 1; to <= 3; ++to) EXPECT_EQ(udp(inside, 4000, to), "sent");
  EXPECT_EQ(udp(inside, 4000, 4), "dropped: subscriber_sessions_exhausted");
  for (std::uint16_t to = 1; to <= 4; ++to) EXPECT_EQ(udp(other_inside, 4000, to), "sent");
  ASSERT_TRUE(engine->put_profile(profile("2001:db8:112::/48"), {.sessions_max = 4}));
  EXPECT_EQ(udp(inside, 4000, 4), "sent");
  EXPECT_EQ(udp(inside, 4000, 5), "dropped: subscriber_sessions_exhausted");
  engine->drop_profile(profile("2001:db8:112::/48"));
  EXPECT_EQ(udp(inside, 4000, 5), "sent") << "from the next packet on";
}

TEST_F(SubscriberLimits, new_sessions_in_a_second_end_at_the_limit_until_the_next) {
  ASSERT_TRUE(engine->put_profile(profile("2001:db8:112::/48"), {.sessions_per_second_max = 2}));
  now = TimePoint{Seconds{1000}};
  EXPECT_EQ(udp(inside, 4000, 1), "sent");
  EXPECT_EQ(udp(inside, 4000, 2), "sent");
  EXPECT_EQ(udp(inside, 4000, 3), "dropped: subscriber_rate_exceeded");
  EXPECT_EQ(udp(inside, 4001, 3), "dropped: subscriber_rate_exceeded");
  EXPECT_EQ(engine->counters().bindings, 1U) << "and no binding is left behind";
  EXPECT_EQ(udp(inside, 4000, 1), "sent") << "sessions that exist are not concerned";
  EXPECT_EQ(udp(other_inside, 4000, 3), "sent");
  now += Seconds{1};
  EXPECT_EQ(udp(inside, 4000, 3), "sent");
}

TEST_F(SubscriberLimits, profiles_are_taken_up_to_the_limit) {
  config.limits.profiles = 2;
  restart();
  ASSERT_TRUE(engine->put_profile(profile("2001:db8:1::/48"), {}));
  ASSERT_TRUE(engine->put_profile(profile("2001:db8:2::/48"), {}));
  const auto third = engine->put_profile(profile("2001:db8:3::/48"), {});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error(), ProfileError::no_resources);
  EXPECT_TRUE(engine->put_profile(profile("2001:db8:2::/48"), {.ports_max = 1}))
      << "one that is there changes";
  EXPECT_EQ(engine->counters().profiles, 2U);
  engine->drop_profile(profile("2001:db8:1::/48"));
  EXPECT_EQ(engine->counters().profiles, 1U);
  EXPECT_TRUE(engine->put_profile(profile("2001:db8:3::/48"), {}));
}

TEST_F(SubscriberLimits, what_is_no_inside_prefix_has_no_profile) {
  for (const char* prefix : {"::/0", "192.0.2.0/24"}) {
    const auto put = engine->put_profile(profile(prefix), {});
    ASSERT_FALSE(put) << prefix;
    EXPECT_EQ(put.error(), ProfileError::not_inside);
  }
}

TEST(SubscriberProfiles, the_longest_prefix_counts_and_a_dropped_one_waits_for_its_subscribers) {
  Config config;
  config.limits.profiles = 3;
  config.limits.subscribers = 4;
  SeededRandom random(1);
  Subscribers subscribers(config, random);
  Profiles& profiles = subscribers.profiles();
  const auto address = [](const char* text) { return *Ipv6Address::parse(text); };
  const auto ports_max = [&](const char* text) { return subscribers.allowance_of(address(text)).ports_max; };
  ASSERT_TRUE(profiles.put(address("2001:db8::"), 32, {.ports_max = 32}));
  ASSERT_TRUE(profiles.put(address("2001:db8:112::"), 48, {.ports_max = 48}));
  ASSERT_TRUE(profiles.put(address("2001:db8:112::1"), 128, {.ports_max = 128}));
  EXPECT_EQ(ports_max("2001:db8:112::1"), 128U);
  EXPECT_EQ(ports_max("2001:db8:112::2"), 48U);
  EXPECT_EQ(ports_max("2001:db8:113::1"), 32U);
  EXPECT_EQ(ports_max("2001:db9::1"), Allowance::no_maximum);

  const std::uint32_t one = subscribers.find_or_make(address("2001:db8:112::1"));
  profiles.drop(address("2001:db8:112::1"), 128);
  EXPECT_EQ(subscribers.allowance_of(one).ports_max, Allowance::no_maximum)
      << "its own number has no profile behind it now";
  EXPECT_FALSE(profiles.put(address("2001:db8:114::"), 48, {})) << "and the number is not given again yet";
  EXPECT_EQ(subscribers.find_or_make(address("2001:db8:112::1")), one);
  EXPECT_EQ(subscribers.allowance_of(one).ports_max, 48U) << "the next binding finds what counts now";
  EXPECT_TRUE(profiles.put(address("2001:db8:114::"), 48, {}));
  subscribers.forget_if_unused(one);
  EXPECT_EQ(subscribers.size(), 0U);
}

}  // namespace
}  // namespace portolan::nat::test
