// SPDX-License-Identifier: BSD-2-Clause
#include "library/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::library {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

auto address(std::string_view text, std::uint16_t port = 5351, std::string zone = {}) -> ServerAddress {
  return {.endpoint = {.address = *IpAddress::parse(text), .port = Port{port}}, .zone = std::move(zone)};
}

TEST(ServerText, is_addresses_in_the_order_to_try_them) {
  const auto server = parse_server(
      "192.0.2.1,192.0.2.2:5399,2001:db8::1,[2001:db8::2],[2001:db8::3]:5399,fe80::1%eth0,"
      "[fe80::2%eth1]:7");
  ASSERT_TRUE(server) << server.error();
  EXPECT_THAT(*server, ElementsAre(address("192.0.2.1"), address("192.0.2.2", 5399), address("2001:db8::1"),
                                   address("2001:db8::2"), address("2001:db8::3", 5399),
                                   address("fe80::1", 5351, "eth0"), address("fe80::2", 7, "eth1")));
}

TEST(ServerText, that_is_none_is_told_with_the_word_that_is_wrong) {
  for (const char* text : {"", ",", "192.0.2.1,", "router", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
                           "192.0.2.1:x", "[2001:db8::1", "[2001:db8::1]5351", "[2001:db8::1]:", "fe80::1",
                           "2001:db8::1%eth0", "0.0.0.0", "::", "192.0.2.1 "}) {
    const auto server = parse_server(text);
    ASSERT_FALSE(server) << text;
    EXPECT_THAT(server.error(), HasSubstr("is no address: write")) << text;
  }
  EXPECT_THAT(parse_server("192.0.2.1,nowhere").error(), HasSubstr("\"nowhere\""));
}

TEST(ServerText, has_a_limited_number_of_addresses) {
  std::string text = "192.0.2.1";
  for (std::size_t count = 1; count <= client::paths_max + 1; ++count, text += ",192.0.2.1")
    EXPECT_EQ(parse_server(text).has_value(), count <= client::paths_max) << count;
}

auto held() -> client::Held {
  client::Held held;
  held.server = "fe80::1%eth0, the one upstairs";
  held.mapping.protocol = Protocol::udp;
  held.mapping.internal = {.address = *IpAddress::parse("2001:db8:112::2"), .port = Port{5060}};
  held.mapping.external = {.address = *IpAddress::parse("192.0.2.14"), .port = Port{40000}};
  held.mapping.nonce = *Nonce::parse("00112233445566778899aabb");
  held.mapping.lifetime = 7200s;
  held.mapping.expires = TimePoint{1h};
  held.mapping.epoch_time_s = 77;
  held.mapping.port_count = 2;
  return held;
}

const Moment then{.now = TimePoint{10s}, .wall = 1'700'000'000s};

TEST(SavedText, brings_back_what_was_held) {
  std::vector<client::Held> all{held(), held()};
  all[1].mapping.remote_peer = Endpoint{.address = *IpAddress::parse("2001:db8:64::1"), .port = Port{443}};
  all[1].mapping.is_nat_pmp = true;
  const auto back = parse_saved(save_text(all, then), then);
  ASSERT_TRUE(back) << back.error();
  ASSERT_EQ(back->size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*back)[i].server, all[i].server);
    EXPECT_EQ((*back)[i].mapping, all[i].mapping);
  }
}

TEST(SavedText, lives_on_by_the_wall_clock) {
  const std::string text = save_text({held()}, then);
  // Another boot, 3000 s later.
  const Moment later{.now = TimePoint{5s}, .wall = then.wall + 3000s};
  EXPECT_EQ(parse_saved(text, later)->front().mapping.expires, later.now + 590s);
  const Moment too_late{.now = TimePoint{5s}, .wall = then.wall + 30000s};
  EXPECT_EQ(parse_saved(text, too_late)->front().mapping.expires, too_late.now);
  const Moment set_back{.now = TimePoint{5s}, .wall = then.wall - 30000s};
  EXPECT_EQ(parse_saved(text, set_back)->front().mapping.expires, set_back.now + 7200s);
}

TEST(SavedText, that_is_none_is_told_with_its_line) {
  const std::string good = save_text({held()}, then);
  for (std::size_t word = 0; word < 11; ++word) {
    std::string bad = good;
    std::size_t at = 0;
    for (std::size_t i = 0; i < word; ++i) at = bad.find(' ', at) + 1;
    bad[at] = '?';
    const auto parsed = parse_saved(good + bad, then);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_THAT(parsed.error(), HasSubstr("line 2"));
  }
  EXPECT_FALSE(parse_saved("\n", then));
  EXPECT_FALSE(parse_saved(good.substr(0, good.size() / 2), then));
  EXPECT_TRUE(parse_saved("", then)->empty());
}

TEST(SavedText, has_a_limited_number_of_lines) {
  std::string text;
  for (std::size_t count = 1; count <= client::servers_max + 1; ++count) {
    text += save_text({held()}, then);
    EXPECT_EQ(parse_saved(text, then).has_value(), count <= client::servers_max) << count;
  }
}

TEST(Description, of_an_address_mismatch_says_that_there_is_a_nat) {
  client::ClientEvent event{
      .wish = {},
      .server = "a",
      .path = {.server = {*IpAddress::parse("192.0.2.1"), Port{5351}},
               .client_address = *IpAddress::parse("192.0.2.2")},
      .event = client::Refused{
          .handle = {}, .result = wire::ResultCode::address_mismatch, .lifetime = 1800s, .epoch_time_s = 0}};
  EXPECT_THAT(describe(event), HasSubstr("there is a NAT between you and the PCP server at 192.0.2.1"));
}

}  // namespace
}  // namespace portolan::library
