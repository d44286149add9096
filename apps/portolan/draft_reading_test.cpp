// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/draft_reading.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "portolan/composing.h"
#include "portolan/dissection_report.h"
#include "portolan/options.h"
#include "wire/compose.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;

auto composed(const std::string& draft) -> std::vector<std::byte> {
  const auto command = parse_draft(draft, {});
  EXPECT_TRUE(command) << draft << ": " << (command ? "" : command.error());
  SeededRandom random(1);
  const auto message = command ? message_of(*command, IpAddress{}, random) : std::vector<std::byte>{};
  EXPECT_TRUE(message);
  return message ? *message : std::vector<std::byte>{};
}

const std::vector<std::string> drafts{
    R"({"opcode": "announce", "client-address": "192.0.2.1"})",
    R"({"opcode": "map", "protocol": "udp", "internal-port": 5000, "nonce": "00112233445566778899aabb",
        "options": [{"filter": "192.0.2.0/24,80"}, {"description": "cam"}, {"option": "200:0102"}, {"prefix64": true},
                    {"port-set": "2,5000,parity"}, {"third-party": "192.0.2.7"}, {"prefer-failure": true},
                    {"third-party-id": "0102"}]})",
    R"({"opcode": "peer", "pcp-version": 1, "peer-port": 80, "peer-address": "2001:db8::1"})",
    R"({"opcode": "99", "pcp-version": 2, "lifetime": 4294967295})",
    R"({"opcode": "nat-pmp-address"})",
    R"({"opcode": "nat-pmp-tcp", "internal-port": 1, "external-port": 2, "lifetime": 3})",
    R"({"opcode": "map", "option": "3/9:01", "set": ["2=ff"], "size": 70})",
    R"({"raw": ""})",
};

TEST(DraftReading, a_form_is_found_again) {
  const Json draft = draft_of_octets(composed(drafts[1]));
  EXPECT_EQ(draft["opcode"], "map");
  EXPECT_EQ(draft["protocol"], "udp");
  EXPECT_EQ(draft["nonce"], "00112233445566778899aabb");
  EXPECT_EQ(draft["options"], Json::parse(drafts[1])["options"]);
  EXPECT_FALSE(draft.contains("set"));
  EXPECT_EQ(draft_of_octets(composed(drafts[6]))["size"], 70);
}

TEST(DraftReading, a_message_that_is_cut_is_its_form_with_a_size) {
  auto message = composed(drafts[1]);
  message.resize(59);
  const Json draft = draft_of_octets(message);
  EXPECT_EQ(draft["nonce"], "00112233445566778899aabb");
  EXPECT_EQ(draft["size"], 59);
  EXPECT_FALSE(draft.contains("set"));
}

TEST(DraftReading, whatever_the_octets_are_their_draft_composes_to_them) {
  SeededRandom random(7);
  constexpr int rounds = 12;
  for (const std::string& draft : drafts)
    for (int round = 0; round < rounds; ++round) {
      auto message = composed(draft);
      if (round > 0) wire::mutate(message, random);
      const std::string found = draft_of_octets(message).dump();
      EXPECT_EQ(plain_hex(composed(found)), plain_hex(message)) << draft << " by way of " << found;
    }
}

}  // namespace
}  // namespace portolan
