// SPDX-License-Identifier: BSD-2-Clause
#include "wire/compose.h"

#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/options.h"
#include "wire/test_octets.h"
#include "wire/test_values.h"

namespace portolan::wire {
namespace {

auto map_draft() -> Draft::Pcp {
  Draft::Pcp pcp;
  pcp.opcode = 1;
  pcp.requested_lifetime_s = 7200;
  pcp.client_address = *IpAddress::parse("2001:db8:112::2");
  pcp.body.nonce = *Nonce::parse("00112233445566778899aabb");
  pcp.body.protocol = Protocol::tcp;
  pcp.body.internal_port = Port{8080};
  pcp.body.suggested_external_port = Port{8081};
  pcp.body.suggested_external_address = *IpAddress::parse("0.0.0.0");
  return pcp;
}

auto composed(const Draft& draft) -> std::string {
  const auto octets = compose(draft);
  return octets ? hex(*octets) : octets.error();
}

constexpr const char* map_hex =
    "0201000000001c2020010db801120000000000000000000200112233445566778899aabb060000001f901f91"
    "00000000000000000000ffff00000000";

TEST(Compose, a_map_request_as_its_rfc_has_it) { EXPECT_EQ(composed({.content = map_draft()}), map_hex); }

TEST(Compose, options_stand_in_the_order_wanted_with_padding) {
  auto pcp = map_draft();
  pcp.options = {{.code = OptionCode::description, .data = octets("63616d")},
                 {.code = OptionCode::prefer_failure}};
  EXPECT_EQ(composed({.content = pcp}), map_hex + std::string("8000000363616d00") + "02000000");
}

TEST(Compose, an_option_may_lie_about_its_length) {
  auto pcp = map_draft();
  pcp.options = {{.code = OptionCode::filter, .data = octets("01"), .claimed_length = std::uint16_t{20}}};
  EXPECT_EQ(composed({.content = pcp}), map_hex + std::string("0300001401000000"));
}

TEST(Compose, octets_are_changed_added_and_cut_by_hand) {
  EXPECT_EQ(composed({.content = octets("0200"), .edits = {{.offset = 1, .octets = octets("81")}}}), "0281");
  EXPECT_EQ(composed({.content = octets("02"), .edits = {{.offset = 3, .octets = octets("ff")}}}),
            "020000ff");
  EXPECT_EQ(composed({.content = octets("020304"), .size = 1}), "02");
  EXPECT_EQ(composed({.content = octets("02"), .edits = {{.offset = 0, .octets = octets("09")}}, .size = 3}),
            "090000");
}

TEST(Compose, other_versions_and_opcodes) {
  Draft::Pcp pcp;
  pcp.version = 3;
  pcp.opcode = 99;
  EXPECT_EQ(composed({.content = pcp}), "036300000000000000000000000000000000000000000000");
  EXPECT_EQ(composed({.content = nat_pmp::Request{nat_pmp::AddressRequest{}}}), "0000");
}

TEST(Compose, what_no_datagram_holds_is_refused_in_words) {
  const std::vector<std::byte> largest(draft_octets_max);
  EXPECT_EQ(compose({.content = largest})->size(), draft_octets_max);
  EXPECT_EQ(composed({.content = std::vector<std::byte>(draft_octets_max + 1)}),
            "65508 octets: a datagram has 65507 at most");
  EXPECT_EQ(composed({.content = octets("02"), .size = 70'000}),
            "70000 octets: a datagram has 65507 at most");
  EXPECT_EQ(
      composed({.content = octets("02"), .edits = {{.offset = draft_octets_max, .octets = octets("01")}}}),
      "octets at 65507: a datagram has 65507 at most");
  auto pcp = map_draft();
  pcp.options.resize(draft_options_max);
  EXPECT_TRUE(compose({.content = pcp}));
  pcp.options.resize(draft_options_max + 1);
  EXPECT_EQ(composed({.content = pcp}), "257 options: 256 are the most");
  pcp.options = {{.code = OptionCode::description, .data = std::vector<std::byte>(UINT16_MAX + 1)}};
  EXPECT_EQ(composed({.content = pcp}), "option 128 has 65536 octets: its length field goes to 65535");
}

RC_GTEST_PROP(Compose, what_is_composed_by_the_rules_is_what_the_encoder_makes, ()) {
  Request request;
  request.version = *rc::gen::element(version_1, version_2);
  request.opcode = Opcode::peer;
  request.requested_lifetime_s = any_number();
  request.client_address = any_address();
  PeerRequest body{any_nonce(),   any_protocol(), any_port(),   any_port(),
                   any_address(), any_port(),     any_address()};
  if (request.version == version_1) body.nonce = Nonce{};
  request.body = body;
  const Datagram encoded = encode_request(request);
  Draft::Pcp pcp;
  pcp.version = request.version;
  pcp.opcode = 2;
  pcp.requested_lifetime_s = request.requested_lifetime_s;
  pcp.client_address = request.client_address;
  pcp.body = body;
  RC_ASSERT(composed({.content = pcp}) == hex(encoded.octets()));
}

TEST(Mutate, the_same_seed_makes_the_same_octets_and_others_differ) {
  const auto message = octets(map_hex);
  const auto mutated = [&](std::uint64_t seed) {
    SeededRandom random(seed);
    auto copy = message;
    mutate(copy, random);
    return copy;
  };
  EXPECT_EQ(mutated(1), mutated(1));
  std::size_t changed = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) changed += mutated(seed) != message ? 1U : 0U;
  EXPECT_GT(changed, 90U);
  SeededRandom random(7);
  std::vector<std::byte> largest(draft_octets_max);
  for (int i = 0; i < 200; ++i) {
    mutate(largest, random);
    ASSERT_LE(largest.size(), draft_octets_max);
  }
}

}  // namespace
}  // namespace portolan::wire
