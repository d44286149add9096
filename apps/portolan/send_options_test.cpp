// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/send_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolan/options.h"
#include "wire/compose.h"

namespace portolan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

auto parse(std::vector<const char*> arguments) -> std::expected<Command, Exit> {
  return parse_command_line(arguments);
}

auto send(std::vector<const char*> arguments) -> SendCommand {
  arguments.insert(arguments.begin(), "send");
  const auto command = parse(arguments);
  EXPECT_TRUE(command) << (command ? "" : command.error().text);
  return command ? std::get<SendCommand>(*command) : SendCommand{};
}

/// The error in words, without the hint at --help.
auto error(std::vector<const char*> arguments) -> std::string {
  arguments.insert(arguments.begin(), "send");
  const auto command = parse(arguments);
  if (command) return "no error";
  EXPECT_EQ(command.error().status, exit_usage);
  return command.error().text;
}

TEST(SendOptions, options_of_the_message_stand_in_the_order_given) {
  const SendCommand command = send({"map", "--description", "cam", "--prefer-failure", "--option",
                                    "200/9:0102", "--filter", "192.0.2.0/24,80", "--description", "two"});
  const auto& options = command.pcp.options;
  ASSERT_THAT(options, SizeIs(5));
  EXPECT_EQ(options[0].code, wire::OptionCode::description);
  EXPECT_EQ(options[1].code, wire::OptionCode::prefer_failure);
  EXPECT_EQ(options[2].code, wire::OptionCode{200});
  EXPECT_EQ(options[2].claimed_length, 9);
  EXPECT_THAT(options[2].data, ElementsAre(std::byte{1}, std::byte{2}));
  EXPECT_EQ(options[3].code, wire::OptionCode::filter);
  EXPECT_EQ(options[3].data[1], std::byte{120});
  EXPECT_EQ(options[4].data.size(), 3U);
}

TEST(SendOptions, any_version_opcode_and_octet) {
  const SendCommand command =
      send({"99", "--pcp-version", "7", "--set", "0=ff", "--set", "30=00:11", "--size", "25", "--fuzz", "3"});
  EXPECT_EQ(command.pcp.opcode, 99);
  EXPECT_EQ(command.pcp.version, 7);
  ASSERT_THAT(command.edits, SizeIs(2));
  EXPECT_EQ(command.edits[1].offset, 30U);
  EXPECT_EQ(command.size, 25U);
  EXPECT_EQ(command.fuzz_seed, 3U);
  EXPECT_THAT(send({"--raw", "0200ff"}).raw, testing::Optional(SizeIs(3)));
}

TEST(SendOptions, mistakes_are_told_with_value_and_remedy) {
  EXPECT_THAT(error({}), HasSubstr("OPCODE: is missing: give one, or the whole message with --raw"));
  EXPECT_THAT(error({"map", "--raw", "02"}), HasSubstr("--raw: is the whole message"));
  EXPECT_THAT(error({"128"}), HasSubstr("'128' is no opcode"));
  EXPECT_THAT(error({"nat-pmp-tcp", "--prefer-failure"}), HasSubstr("OPCODE: has no options"));
  EXPECT_THAT(error({"nat-pmp-udp", "--nonce", "00112233445566778899aabb"}),
              HasSubstr("--nonce: is no field of nat-pmp-udp: leave it out"));
  EXPECT_THAT(error({"nat-pmp-tcp", "--pcp-version", "1"}), HasSubstr("--pcp-version: is no field of"));
  EXPECT_THAT(error({"nat-pmp-address", "--lifetime", "1"}), HasSubstr("is no field of nat-pmp-address"));
  EXPECT_THAT(error({"announce", "--internal-port", "80"}), HasSubstr("is no field of announce"));
  EXPECT_THAT(error({"99", "--nonce", "00112233445566778899aabb"}), HasSubstr("is no field of 99"));
  EXPECT_THAT(error({"map", "--peer-port", "80"}), HasSubstr("--peer-port: is no field of map"));
  EXPECT_THAT(error({"--raw", "02", "--lifetime", "9"}), HasSubstr("--lifetime: is no field of --raw"));
  EXPECT_THAT(error({"map", "--option", "256"}), HasSubstr("'256' is no option code"));
  EXPECT_THAT(error({"map", "--option", "1:0"}), HasSubstr("'0' is no octet"));
  EXPECT_THAT(error({"map", "--set", "17"}), HasSubstr("'17' names no octets: give OFFSET=HEX"));
  EXPECT_THAT(error({"map", "--set", "65508=00"}), HasSubstr("'65508' is no place in a datagram"));
  EXPECT_THAT(error({"map", "--size", "65508"}), HasSubstr("give octets from 0 to 65507"));
  EXPECT_THAT(error({"map", "--filter", "192.0.2.1/24"}), HasSubstr("is no filter"));
  EXPECT_THAT(error({"map", "--port-set", "2,80,odd"}), HasSubstr("is no port set"));
  EXPECT_THAT(error({"map", "--repeat", "0"}), HasSubstr("give a number from 1 to 1000000"));
  EXPECT_THAT(error({"map", "--repeat", "1000001"}), HasSubstr("give a number from 1 to 1000000"));
  EXPECT_THAT(error({"map", "--rate", "100001"}), HasSubstr("give a number from 1 to 100000"));
  EXPECT_THAT(error({"map", "--draft", "/nonexistent/draft.json"}),
              HasSubstr("--draft /nonexistent/draft.json: No such file"));
}

TEST(SendOptions, each_kind_takes_the_fields_it_has) {
  EXPECT_EQ(send({"nat-pmp-udp", "--lifetime", "9", "--internal-port", "80"}).lifetime, 9);
  EXPECT_EQ(send({"announce", "--pcp-version", "1", "--lifetime", "9"}).lifetime, 9);
  EXPECT_EQ(send({"peer", "--peer-port", "80", "--internal-port", "81"}).pcp.body.remote_peer_port, Port{80});
  EXPECT_EQ(send({"--raw", "02", "--set", "0=01"}).edits.size(), 1U);
}

TEST(SendOptions, a_sequence_has_packets_of_its_own) {
  for (const std::vector<const char*>& more : {std::vector<const char*>{"map"},
                                               {"--raw", "02"},
                                               {"--set", "0=ff"},
                                               {"--lifetime", "9"},
                                               {"--rate", "5"},
                                               {"--repeat", "2"},
                                               {"--prefer-failure"},
                                               {"--print"},
                                               {"--fuzz", "1"},
                                               {"--source-port", "5350"}}) {
    std::vector<const char*> arguments{"--sequence", "flow-32"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const std::string name = more[0][0] == '-' ? more[0] : "OPCODE";
    EXPECT_THAT(error(arguments), HasSubstr("--sequence: has packets of its own: leave " + name + " out"));
  }
  EXPECT_EQ(send({"--sequence", "flow-32", "--server", "::1", "--server-port", "9", "--internal-address",
                  "::1", "--timeout", "9", "--json", "--verbose", "--pcap", "some.pcap"})
                .sequence,
            "flow-32");
}

TEST(SendOptions, a_draft_is_the_same_in_json) {
  EXPECT_THAT(
      *arguments_of_json(R"({"opcode": "map", "internal-port": 80, "prefer-failure": true, "prefix64": false,
                                     "option": ["200", "128:63616d"]})"),
      ElementsAre("map", "--internal-port=80", "--prefer-failure", "--option=200", "--option=128:63616d"));
  EXPECT_THAT(*arguments_of_json(R"({"opcode": 99})"), ElementsAre("99"));
  for (const auto* text : {"", "[]", "{", "7"})
    EXPECT_THAT(arguments_of_json(text).error(), HasSubstr("is no JSON object")) << text;
  EXPECT_EQ(
      arguments_of_json(R"({"opcode": "map", "set": {"a": 1}})").error(),
      R"("set": {"a":1} is no value of an option: give a number, a string, true or false, or a list of those)");
  EXPECT_FALSE(arguments_of_json(R"({"lifetime": 1.5})"));
}

TEST(DecodeOptions, digits_or_a_capture) {
  EXPECT_EQ(std::get<DecodeCommand>(*parse({"decode", "--pcap", "some.pcap", "--octets"})).capture,
            "some.pcap");
  for (const auto& arguments : std::vector<std::vector<const char*>>{{"decode"},
                                                                     {"decode", "02", "--pcap", "some.pcap"},
                                                                     {"decode", "02", "--json", "--octets"},
                                                                     {"decode", "0"}}) {
    const auto command = parse(arguments);
    ASSERT_FALSE(command);
    EXPECT_EQ(command.error().status, exit_usage);
  }
}

}  // namespace
}  // namespace portolan
