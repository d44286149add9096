// SPDX-License-Identifier: BSD-2-Clause
#include "server/users.h"

#include <map>

#include <gmock/gmock.h>

#include "base/random.h"

namespace portolan::server {
namespace {

using ::testing::UnorderedElementsAreArray;

auto prefix(std::string_view text) -> Prefix { return *Prefix::parse(text); }
auto address(std::string_view text) -> IpAddress { return *IpAddress::parse(text); }

auto user(const Prefix& prefix, std::uint32_t mappings_max = 1, Origin origin = Origin::configured) -> User {
  User user{.profile = {.users = prefix}, .origin = origin};
  user.profile.policy.mappings_max = mappings_max;
  return user;
}

/// Users, and the same as whoever has no time to lose would keep them.
struct Both {
  SeededRandom random{7};
  Users users{5000, random};
  std::map<Prefix, std::uint32_t> naive;

  void put(const Prefix& prefix, std::uint32_t mappings_max) {
    ASSERT_TRUE(users.put(user(prefix, mappings_max)));
    naive[prefix] = mappings_max;
  }
  void erase(const Prefix& prefix) {
    users.erase(prefix);
    naive.erase(prefix);
  }
  [[nodiscard]] auto naive_find(const IpAddress& address) const -> std::optional<std::uint32_t> {
    for (unsigned length = 129; length-- > 0;)
      if (const auto found = naive.find(Prefix(address, length)); found != naive.end()) return found->second;
    return {};
  }
  [[nodiscard]] auto find(const IpAddress& address) const -> std::optional<std::uint32_t> {
    const User* const found = users.find(address);
    return found == nullptr ? std::nullopt : std::optional(found->profile.policy.mappings_max);
  }
};

/// Few different bits, so that prefixes lie within each other.
auto some_address(SeededRandom& random) -> IpAddress {
  if (random.below(3) == 0)
    return IpAddress{Ipv4Address{0xc6336400U + static_cast<std::uint32_t>(random.below(4) << 6U)}};
  Ipv6Address address = *Ipv6Address::parse("2001:db8::");
  for (const std::size_t octet : {4U, 7U, 8U, 15U})
    address.octets[octet] = static_cast<std::uint8_t>(random.below(3) << random.below(8));
  return IpAddress{address};
}

TEST(Users, the_most_specific_counts_and_only_of_ones_own_family) {
  SeededRandom random(1);
  Users users(10, random);
  EXPECT_EQ(users.find(address("2001:db8:112::1")), nullptr);
  for (const auto& text : {"2001:db8::/32", "2001:db8:112::/48", "192.0.2.0/24", "192.0.2.5/32"})
    ASSERT_TRUE(users.put(user(prefix(text))));
  const auto found = [&](const char* text) { return users.find(address(text))->profile.users; };
  EXPECT_EQ(found("2001:db8:112::1"), prefix("2001:db8:112::/48"));
  EXPECT_EQ(found("2001:db8:113::1"), prefix("2001:db8::/32"));
  EXPECT_EQ(found("192.0.2.5"), prefix("192.0.2.5/32"));
  EXPECT_EQ(found("192.0.2.6"), prefix("192.0.2.0/24"));
  EXPECT_EQ(users.find(address("198.51.100.1")), nullptr);
  ASSERT_TRUE(users.put(user(prefix("::/0"), 9)));
  EXPECT_EQ(found("198.51.100.1"), prefix("::/0")) << "all addresses are in it";
  EXPECT_EQ(users.find_exactly(prefix("2001:db8:112::/49")), nullptr);
}

TEST(Users, finds_what_a_naive_table_finds_while_they_come_and_go) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Both both;
    for (std::uint32_t step = 0; step < 400; ++step) {
      const IpAddress host = some_address(random);
      const unsigned least = host.is_ipv4() ? 96 : 0;
      const Prefix changed(host, least + static_cast<unsigned>(random.below(129 - least)));
      if (random.below(3) == 0 && !both.naive.empty())
        both.erase(random.below(2) == 0 ? changed : both.naive.begin()->first);
      else
        both.put(changed, step);
      for (int look = 0; look < 10; ++look) {
        const IpAddress asked = some_address(random);
        ASSERT_EQ(both.find(asked), both.naive_find(asked)) << to_string(asked) << " at step " << step;
      }
    }
    ASSERT_EQ(both.users.size(), both.naive.size());
    std::vector<Prefix> walked;
    std::vector<Prefix> expected;
    expected.reserve(both.naive.size());
    for (const auto& [each, mappings_max] : both.naive) expected.push_back(each);
    Users::Place cursor = 0;
    while (both.users.has_more(cursor)) {
      std::size_t looks = 7;
      while (const User* const each = both.users.next(cursor, looks)) walked.push_back(each->profile.users);
    }
    EXPECT_THAT(walked, UnorderedElementsAreArray(expected));
  }
}

TEST(Users, takes_as_many_as_it_says_and_knows_whose_they_are) {
  SeededRandom random(1);
  Users users(2, random);
  ASSERT_TRUE(users.put(user(prefix("2001:db8:1::/48"))));
  ASSERT_TRUE(users.put(user(prefix("2001:db8:2::/48"), 1, Origin::by_hand)));
  EXPECT_FALSE(users.put(user(prefix("2001:db8:3::/48"))));
  ASSERT_TRUE(users.put(user(prefix("2001:db8:2::/48"), 5))) << "one that is there";
  EXPECT_EQ(users.count_of(Origin::configured), 2U);
  EXPECT_EQ(users.count_of(Origin::by_hand), 0U);
  users.erase(prefix("2001:db8:1::/48"));
  users.erase(prefix("2001:db8:1::/48"));
  EXPECT_EQ(users.size(), 1U);
  EXPECT_TRUE(users.put(user(prefix("2001:db8:3::/48"))));
}

/// The first address of that block of 56 bits in 2001:db8::/32.
auto block(std::uint32_t number) -> Ipv6Address {
  Ipv6Address address = *Ipv6Address::parse("2001:db8::");
  address.octets[4] = static_cast<std::uint8_t>(number >> 16U);
  address.octets[5] = static_cast<std::uint8_t>(number >> 8U);
  address.octets[6] = static_cast<std::uint8_t>(number);
  return address;
}

TEST(Users, of_many_the_most_specific_counts) {
  constexpr std::uint32_t blocks = 100'000;
  SeededRandom random(1);
  Users users(2 * blocks + 1, random);
  ASSERT_TRUE(users.put(user(prefix("2001:db8::/32"), blocks)));
  std::uint32_t wrong = 0;
  for (std::uint32_t i = 0; i < blocks; ++i)
    for (const unsigned length : {56U, 64U})
      if (!users.put(user(Prefix(IpAddress{block(i)}, length), i + length))) ++wrong;
  ASSERT_EQ(wrong, 0U);
  const auto found = [&](const Ipv6Address& address) {
    return users.find(IpAddress{address})->profile.policy.mappings_max;
  };
  for (std::uint32_t i = 0; i < blocks; ++i) {
    Ipv6Address host = block(i);
    host.octets[15] = 1;
    if (found(host) != i + 64) ++wrong;
    host.octets[7] = 1;
    if (found(host) != i + 56) ++wrong;
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_EQ(found(block(blocks)), blocks);
  EXPECT_EQ(users.size(), 2 * blocks + 1);
}

TEST(Users, knows_who_is_around) {
  SeededRandom random(1);
  Users users(10, random);
  ASSERT_TRUE(users.put(user(prefix("::/0"))));
  ASSERT_TRUE(users.put(user(prefix("2001:db8::/32"), 2)));
  ASSERT_TRUE(users.put(user(prefix("2001:db8:112::/48"), 3)));
  const auto around = [&](std::string_view text, std::uint32_t mappings_max) {
    return users.any_around(
        prefix(text), [&](const User& each) { return each.profile.policy.mappings_max == mappings_max; });
  };
  EXPECT_TRUE(around("2001:db8:112:1::/64", 2));
  EXPECT_TRUE(around("2001:db8:112:1::/64", 3));
  EXPECT_FALSE(around("2001:db8:112::/48", 3)) << "itself";
  EXPECT_FALSE(around("2001:db8:113::/64", 3));
  EXPECT_FALSE(around("2001:db8:112:1::/64", 1)) << "who has all addresses is not around anybody";
  EXPECT_TRUE(users.has_longer_than(47));
  EXPECT_FALSE(users.has_longer_than(48));
}

}  // namespace
}  // namespace portolan::server
