// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/nat64_prefix.h"

#include <array>
#include <cstddef>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

auto prefix(std::string_view text) -> Prefix { return Prefix::parse(text).value(); }

/// A PREF64 option of 2001:db8:64:ff9b::, with these second and third octets pairs.
auto option(std::uint8_t length, std::uint16_t lifetime_and_code) -> std::vector<std::byte> {
  std::vector<std::byte> octets(16);
  constexpr std::array<std::uint8_t, 8> head{0x20, 0x01, 0x0d, 0xb8, 0x00, 0x64, 0xff, 0x9b};
  octets[0] = std::byte{38};
  octets[1] = std::byte{length};
  octets[2] = static_cast<std::byte>(lifetime_and_code >> 8U);
  octets[3] = static_cast<std::byte>(lifetime_and_code);
  for (std::size_t i = 0; i < head.size(); ++i) octets[4 + i] = std::byte{head.at(i)};
  return octets;
}

TEST(Pref64Options, lifetime_and_length_are_decoded) {
  constexpr std::array<std::string_view, 6> prefixes{"2001:db8:64:ff9b::/96", "2001:db8:64:ff9b::/64",
                                                     "2001:db8:64:ff00::/56", "2001:db8:64::/48",
                                                     "2001:db8::/40",         "2001:db8::/32"};
  for (std::size_t code = 0; code < prefixes.size(); ++code) {
    EXPECT_THAT(parse_pref64_options(option(2, static_cast<std::uint16_t>(225U << 3U | code))),
                ElementsAre(Pref64{.prefix = prefix(prefixes.at(code)), .lifetime = Seconds{1800}}));
  }
  EXPECT_EQ(parse_pref64_options(option(2, 0xfff8)).at(0).lifetime, Seconds{65528});
  EXPECT_EQ(parse_pref64_options(option(2, 0)).at(0).lifetime, Seconds{0});
}

TEST(Pref64Options, those_to_be_ignored_are) {
  EXPECT_THAT(parse_pref64_options(option(2, 6)), IsEmpty());
  EXPECT_THAT(parse_pref64_options(option(2, 7)), IsEmpty());
  EXPECT_THAT(parse_pref64_options(option(1, 8)), IsEmpty());
  EXPECT_THAT(parse_pref64_options(option(3, 8)), IsEmpty());
  EXPECT_THAT(parse_pref64_options(option(0, 8)), IsEmpty());
  auto other = option(2, 8);
  other[0] = std::byte{25};
  EXPECT_THAT(parse_pref64_options(other), IsEmpty());
  const auto one = option(2, 8);
  other.insert(other.end(), one.begin(), one.end());
  EXPECT_THAT(parse_pref64_options(other), SizeIs(1));
  EXPECT_THAT(parse_pref64_options(std::span(one).first(15)), IsEmpty());
}

auto prefixes_of(const std::vector<std::string_view>& answers) -> std::vector<Prefix> {
  std::vector<IpAddress> addresses;
  addresses.reserve(answers.size());
  for (const std::string_view answer : answers) addresses.push_back(IpAddress::parse(answer).value());
  return prefixes_of_answers(addresses);
}

TEST(Ipv4OnlyAnswers, the_place_of_the_address_tells_the_length) {
  // RFC 6052 s2.2's places.
  EXPECT_THAT(prefixes_of({"2001:db8:c000:aa::"}), ElementsAre(prefix("2001:db8::/32")));
  EXPECT_THAT(prefixes_of({"2001:db8:1c0:0:aa::"}), ElementsAre(prefix("2001:db8:100::/40")));
  EXPECT_THAT(prefixes_of({"2001:db8:122:c000:0:aa00::"}), ElementsAre(prefix("2001:db8:122::/48")));
  EXPECT_THAT(prefixes_of({"2001:db8:122:3c0:0:aa::"}), ElementsAre(prefix("2001:db8:122:300::/56")));
  EXPECT_THAT(prefixes_of({"2001:db8:122:344:c0:0:aa00::"}), ElementsAre(prefix("2001:db8:122:344::/64")));
  EXPECT_THAT(prefixes_of({"64:ff9b::192.0.0.170"}), ElementsAre(prefix("64:ff9b::/96")));
  EXPECT_THAT(prefixes_of({"2001:db8:122:344::192.0.0.171"}), ElementsAre(prefix("2001:db8:122:344::/96")));
}

TEST(Ipv4OnlyAnswers, each_prefix_comes_once_in_the_order_received) {
  EXPECT_THAT(
      prefixes_of({"2001:db8:43::192.0.0.171", "2001:db8:42::192.0.0.170", "2001:db8:43::192.0.0.170"}),
      ElementsAre(prefix("2001:db8:43::/96"), prefix("2001:db8:42::/96")));
}

TEST(Ipv4OnlyAnswers, an_address_that_stands_there_twice_leaves_it_to_the_other_one) {
  EXPECT_THAT(prefixes_of({"2001:db8:c000:aa::192.0.0.170"}), IsEmpty());
  // The first is there twice, the second one once, and this is what the DNS64 put in.
  EXPECT_THAT(prefixes_of({"c000:aa:c000:aa::192.0.0.171"}), ElementsAre(prefix("c000:aa:c000:aa::/96")));
}

TEST(Ipv4OnlyAnswers, answers_of_a_portal_tell_nothing) {
  EXPECT_THAT(prefixes_of({"2001:db8::80", "192.0.0.170", "::"}), IsEmpty());
}

/// The table of RFC 6052 s2.4.
TEST(Synthesize, as_in_the_rfc) {
  const std::vector<std::pair<std::string_view, std::string_view>> examples = {
      {"2001:db8::/32", "2001:db8:c000:221::"},
      {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
      {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
      {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
      {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
      {"2001:db8:122:344::/96", "2001:db8:122:344::c000:221"},
  };
  for (const auto& [text, expected] : examples)
    EXPECT_EQ(synthesize(prefix(text), Ipv4Address{0xc0000221}), IpAddress::parse(expected));
}

class LearnedPrefixes : public ::testing::Test {
 protected:
  static auto at(int seconds) -> TimePoint { return TimePoint{Seconds{seconds}}; }
  void learn(int now, PrefixSource source, std::string_view text, int lifetime, std::uint32_t interface = 1) {
    learned.learn(at(now), source, interface, {.prefix = prefix(text), .lifetime = Seconds{lifetime}});
  }
  auto in_use() -> std::vector<Prefix> {
    std::vector<Prefix> found;
    for (const auto& entry : learned.in_use()) found.push_back(entry.prefix);
    return found;
  }
  Nat64Prefixes learned;
};

TEST_F(LearnedPrefixes, the_best_source_counts_alone) {
  learn(0, PrefixSource::dns, "2001:db8:1::/96", 100);
  EXPECT_THAT(in_use(), ElementsAre(prefix("2001:db8:1::/96")));
  learn(0, PrefixSource::router_advertisement, "2001:db8:2::/96", 50);
  learn(0, PrefixSource::router_advertisement, "2001:db8:3::/96", 60);
  EXPECT_THAT(in_use(), ElementsAre(prefix("2001:db8:2::/96"), prefix("2001:db8:3::/96")));
  learn(0, PrefixSource::pcp, "2001:db8:4::/96", 10);
  EXPECT_THAT(in_use(), ElementsAre(prefix("2001:db8:4::/96")));
  EXPECT_EQ(learned.next_deadline(), at(10));
  learned.advance(at(10));
  EXPECT_THAT(in_use(), SizeIs(2));
  learned.advance(at(60));
  EXPECT_THAT(in_use(), ElementsAre(prefix("2001:db8:1::/96")));
  learned.advance(at(100));
  EXPECT_THAT(in_use(), IsEmpty());
  EXPECT_EQ(learned.next_deadline(), std::nullopt);
}

TEST_F(LearnedPrefixes, a_repetition_prolongs_and_a_lifetime_of_zero_takes_back) {
  learn(0, PrefixSource::router_advertisement, "2001:db8:2::/96", 50);
  learn(40, PrefixSource::router_advertisement, "2001:db8:2::/96", 50);
  learned.advance(at(60));
  EXPECT_THAT(in_use(), SizeIs(1));
  learn(61, PrefixSource::router_advertisement, "2001:db8:2::/96", 0, 2);
  EXPECT_THAT(in_use(), SizeIs(1)) << "another link's advertisement is none of its business";
  learn(61, PrefixSource::router_advertisement, "2001:db8:2::/96", 0);
  EXPECT_THAT(in_use(), IsEmpty());
}

TEST_F(LearnedPrefixes, a_source_that_answers_anew_is_forgotten_first) {
  learn(0, PrefixSource::dns, "2001:db8:1::/96", 100, 0);
  learn(0, PrefixSource::dns, "2001:db8:2::/96", 100, 3);
  learned.forget(PrefixSource::dns, 0);
  EXPECT_THAT(in_use(), ElementsAre(prefix("2001:db8:2::/96")));
}

TEST_F(LearnedPrefixes, prefixes_beyond_the_limit_are_not_learned) {
  for (std::size_t i = 1; i <= Nat64Prefixes::prefixes_max + 1; ++i) {
    learn(0, PrefixSource::router_advertisement, "2001:db8:1::/96", 100, static_cast<std::uint32_t>(i));
    EXPECT_THAT(in_use(), SizeIs(std::min(i, Nat64Prefixes::prefixes_max)));
  }
}

}  // namespace
}  // namespace portolan::discovery
