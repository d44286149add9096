// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement.h"

#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace portolan::gateway {
namespace {

auto hex(std::span<const std::byte> octets) -> std::string {
  std::string text;
  for (const std::byte octet : octets) text += fmt::format("{:02x}", std::to_integer<unsigned>(octet));
  return text;
}

auto octets(std::string_view hex_text) -> std::vector<std::byte> {
  std::vector<std::byte> result;
  for (std::size_t i = 0; i + 1 < hex_text.size(); i += 2)
    result.push_back(static_cast<std::byte>(std::stoi(std::string(hex_text.substr(i, 2)), nullptr, 16)));
  return result;
}

auto prefix(std::string_view text) -> Prefix { return Prefix::parse(text).value(); }
auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }

TEST(Advertisement, pref64_alone_is_a_header_without_router_and_one_option) {
  const Advertisement alone{.nat64_prefixes = {prefix("2001:db8:64:ff9b::/96")},
                            .nat64_lifetime = Seconds{1800}};
  EXPECT_EQ(hex(encode(alone)),
            "86000000"
            "00000000"
            "0000000000000000"
            "26020708"  // 1800 / 8 = 225 = 0xe1, three bits up is 0x708; length code 0
            "20010db80064ff9b00000000");
}

TEST(Advertisement, whole_one_says_all_a_router_says) {
  const Advertisement whole{.hop_limit = 64,
                            .is_managed = true,
                            .has_other_config = true,
                            .router_lifetime = Seconds{1800},
                            .link_address = std::array<std::uint8_t, 6>{2, 0, 0, 0, 0, 1},
                            .mtu = 1500,
                            .prefixes = {{prefix("2001:db8:1::/64"), Seconds{2592000}, Seconds{604800}}},
                            .nat64_prefixes = {prefix("2001:db8:64::/64")},
                            .nat64_lifetime = Seconds{8},
                            .dns_servers = {address("2001:db8:1::1"), address("2001:db8:1::2")},
                            .dns_lifetime = Seconds{1200}};
  EXPECT_EQ(hex(encode(whole)),
            "86000000"
            "40c00708"
            "0000000000000000"
            "0101020000000001"
            "05010000000005dc"
            "030440c0"
            "00278d00"
            "00093a80"
            "00000000"
            "20010db8000100000000000000000000"
            "26020009"
            "20010db80064000000000000"
            "19050000"
            "000004b0"
            "20010db8000100000000000000000001"
            "20010db8000100000000000000000002");
}

TEST(Advertisement, every_prefix_length_has_its_code) {
  const std::pair<const char*, unsigned> codes[] = {{"2001:db8:64::/96", 0}, {"2001:db8:64::/64", 1},
                                                    {"2001:db8:64::/56", 2}, {"2001:db8:64::/48", 3},
                                                    {"2001:db8::/40", 4},    {"2001:db8::/32", 5}};
  for (const auto& [text, code] : codes) {
    const auto message = encode({.nat64_prefixes = {prefix(text)}, .nat64_lifetime = Seconds{0}});
    EXPECT_EQ(std::to_integer<unsigned>(message.at(19)), code) << text;
  }
}

TEST(Advertisement, lifetimes_are_rounded_up_to_eight_seconds_and_only_none_is_none) {
  const std::pair<int, int> scaled[] = {{0, 0},        {1, 1},        {7, 1},        {8, 1},        {9, 2},
                                        {65520, 8190}, {65521, 8191}, {65528, 8191}, {65529, 8191}, {-1, 0}};
  for (const auto& [seconds, units] : scaled) EXPECT_EQ(scaled_lifetime(Seconds{seconds}), units) << seconds;
}

TEST(Advertisement, with_as_much_as_there_may_be_fits_any_link) {
  Advertisement most{.link_address = std::array<std::uint8_t, 6>{}, .mtu = 1280};
  most.prefixes.resize(advertised_prefixes_max);
  most.nat64_prefixes.resize(nat::prefixes_max, prefix("2001:db8:64::/96"));
  most.dns_servers.resize(advertised_servers_max);
  EXPECT_EQ(encode(most).size(), advertisement_octets_max);
}

TEST(Solicitation, is_answered_if_it_is_valid) {
  const IpAddress host = address("fe80::2");
  EXPECT_TRUE(is_solicitation(octets("8500000000000000"), host, 255));
  EXPECT_TRUE(is_solicitation(octets("8500000000000000"), IpAddress{Ipv6Address{}}, 255));
  EXPECT_TRUE(is_solicitation(octets("85000000000000000101020000000002"), host, 255));
  EXPECT_TRUE(is_solicitation(octets("8500000000000000"
                                     "c001000000000000"),
                              host, 255))
      << "an option that nobody knows";
}

TEST(Solicitation, is_dropped_as_rfc_4861_says) {
  const IpAddress host = address("fe80::2");
  EXPECT_FALSE(is_solicitation(octets("8500000000000000"), host, 254)) << "it was forwarded";
  EXPECT_FALSE(is_solicitation(octets("85010000000000"), host, 255)) << "too short";
  EXPECT_FALSE(is_solicitation(octets("8501000000000000"), host, 255)) << "another code";
  EXPECT_FALSE(is_solicitation(octets("8600000000000000"), host, 255)) << "an advertisement";
  EXPECT_FALSE(is_solicitation({}, host, 255));
  EXPECT_FALSE(is_solicitation(octets("85000000000000000100020000000002"), host, 255))
      << "option of length 0";
  EXPECT_FALSE(is_solicitation(octets("85000000000000000102020000000002"), host, 255)) << "option cut off";
  EXPECT_FALSE(is_solicitation(octets("850000000000000001"), host, 255)) << "half an option's header";
  EXPECT_FALSE(is_solicitation(octets("85000000000000000101020000000002"), IpAddress{Ipv6Address{}}, 255))
      << "nobody's link address";
}

TEST(AdvertisementOfAnother, tells_its_nat64_prefixes) {
  const Advertisement both{.router_lifetime = Seconds{1800},
                           .mtu = 1500,
                           .nat64_prefixes = {prefix("2001:db8:65::/96"), prefix("2001:db8:64::/64")},
                           .nat64_lifetime = Seconds{8}};
  const IpAddress router = address("fe80::1");
  EXPECT_EQ(nat64_prefixes_of(encode(both), router, 255),
            (std::vector{prefix("2001:db8:64::/64"), prefix("2001:db8:65::/96")}));
  Advertisement gone = both;
  gone.nat64_lifetime = Seconds{0};
  EXPECT_EQ(nat64_prefixes_of(encode(gone), router, 255), std::vector<Prefix>{});
}

TEST(AdvertisementOfAnother, that_is_not_valid_or_has_none_tells_nothing) {
  const IpAddress router = address("fe80::1");
  const auto valid = encode({.nat64_prefixes = {prefix("2001:db8:64::/64")}, .nat64_lifetime = Seconds{8}});
  EXPECT_FALSE(nat64_prefixes_of(encode({}), router, 255));
  EXPECT_FALSE(nat64_prefixes_of(valid, router, 254));
  EXPECT_FALSE(nat64_prefixes_of(valid, address("2001:db8::1"), 255));
  EXPECT_FALSE(nat64_prefixes_of(octets("8500000000000000"), router, 255));
  for (std::size_t size = 0; size < valid.size(); ++size)
    EXPECT_FALSE(nat64_prefixes_of(std::span(valid).first(size), router, 255)) << size;
  auto other_length = valid;
  other_length.at(19) |= std::byte{7};
  EXPECT_FALSE(nat64_prefixes_of(other_length, router, 255)) << "a length code that is none";
  auto other_size = octets("860000000000000000000000000000002601070900000000");
  EXPECT_FALSE(nat64_prefixes_of(other_size, router, 255)) << "an option of another length";
}

}  // namespace
}  // namespace portolan::gateway
