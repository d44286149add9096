// SPDX-License-Identifier: BSD-2-Clause
//
// The built program composes, sends and decodes on the loopback interface.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portolan/options.h"
#include "portolan/test_program.h"

namespace portolan {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::SizeIs;
using wire::ResultCode;
using Json = nlohmann::json;

auto nobody(const wire::Request&, std::span<const std::byte>) -> std::optional<wire::Datagram> { return {}; }

auto lines_of(const std::string& text) -> std::vector<Json> {
  std::vector<Json> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
  return lines;
}

auto towards(TestServer& server, std::vector<std::string> command) -> std::vector<std::string> {
  command.insert(command.end(), {"--server", "::1", "--server-port", server.port()});
  return command;
}

/// A directory that goes with the test.
class Send : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "portolan-send.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  std::filesystem::path directory;
};

TEST_F(Send, a_map_request_and_its_answer_field_by_field) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(towards(server, {"send", "map", "--internal-port", "80", "--nonce",
                                                   "00112233445566778899aabb", "--description", "cam"}));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.out,
              HasSubstr("  24  00 11 22 33 44 55 66 77   Mapping Nonce: 00112233445566778899aabb"));
  EXPECT_THAT(ended.out, ContainsRegex("  64  63 61 6d +Description: \"cam\" +RFC 7220 s2\n"));
  EXPECT_THAT(ended.out, ContainsRegex("Assigned External Port: 40000 +RFC 6887 s11.1\n"));
  EXPECT_THAT(ended.out, HasSubstr("1 sent, 1 received: 1 MAP SUCCESS\n"));
  ASSERT_THAT(server.got(), SizeIs(1));
  EXPECT_EQ(server.got()[0].map->internal_port, Port{80});
}

TEST_F(Send, a_refusal_has_status_1_and_silence_3) {
  TestServer refusing(TestServer::refuse(ResultCode::no_resources, Seconds{30}));
  const Ended refused = run_program(towards(refusing, {"send", "map"}));
  EXPECT_EQ(refused.status, exit_refused);
  EXPECT_THAT(refused.out, HasSubstr("1 MAP NO_RESOURCES"));
  TestServer silent(nobody);
  const Ended unanswered = run_program(towards(silent, {"send", "announce", "--timeout", "1"}));
  EXPECT_EQ(unanswered.status, exit_no_answer);
  EXPECT_THAT(unanswered.out, HasSubstr("1 sent, 0 received\n"));
}

TEST_F(Send, where_nothing_listens_is_said_at_once) {
  std::string port;
  {
    TestServer gone(nobody);
    port = gone.port();
  }
  const Ended ended =
      run_program({"send", "announce", "--server", "::1", "--server-port", port, "--timeout", "86400"});
  EXPECT_EQ(ended.status, exit_no_answer);
  EXPECT_EQ(ended.err, "portolan: [::1]:" + port + ": nothing listens there: is the server running?\n");
  EXPECT_THAT(ended.out, HasSubstr("1 sent, 0 received\n"));
}

TEST_F(Send, what_json_says_was_sent_is_what_the_capture_has) {
  TestServer server(TestServer::grant);
  const std::string capture = directory / "some.pcap";
  const Ended sent = run_program(
      towards(server, {"send", "map", "--repeat", "3", "--rate", "1000", "--json", "--pcap", capture}));
  EXPECT_EQ(sent.status, exit_success) << sent.err;
  const auto events = lines_of(sent.out);
  ASSERT_THAT(events, SizeIs(7));
  EXPECT_EQ(events.back(),
            (Json{{"event", "summary"}, {"sent", 3}, {"received", 3}, {"answers", {{"MAP SUCCESS", 3}}}}));
  const Ended decoded = run_program({"decode", "--pcap", capture, "--server-port", server.port(), "--json"});
  EXPECT_EQ(decoded.status, exit_success);
  const auto packets = lines_of(decoded.out);
  ASSERT_THAT(packets, SizeIs(6));
  for (std::size_t i = 0; i < packets.size(); ++i)
    for (const auto* key : {"source", "destination", "octets", "fields"})
      EXPECT_EQ(packets[i][key], events[i][key]);
  const Ended elsewhere = run_program({"decode", "--pcap", capture, "--server-port", "1"});
  EXPECT_THAT(elsewhere.err, HasSubstr("no UDP packet of port 5350 or 1 is in it"));
}

/// What a command of the shell prints.
auto output_of(const std::string& command) -> std::string {
  std::string text;
  FILE* const pipe = ::popen(command.c_str(), "r");
  for (std::array<char, 4096> buffer{}; std::fgets(buffer.data(), buffer.size(), pipe) != nullptr;)
    text += buffer.data();
  ::pclose(pipe);
  return text;
}

TEST_F(Send, wireshark_reads_the_capture_and_finds_its_checksums_right) {
  TestServer server(TestServer::grant);
  const std::string capture = directory / "some.pcap";
  const Ended sent = run_program(
      towards(server, {"send", "map", "--internal-port", "81", "--lifetime", "77", "--pcap", capture}));
  EXPECT_EQ(sent.status, exit_success) << sent.err;
  // 1 is a good checksum.
  EXPECT_EQ(
      output_of("tshark -r " + capture + " -d udp.port==" + server.port() +
                ",portcontrol -o udp.check_checksum:TRUE -T fields -E separator=, -e udp.checksum.status"
                " -e portcontrol.opcode -e portcontrol.lifetime_req -e portcontrol.map.internal_port"
                " 2>/dev/null"),
      "1,1,77,81\n1,1,,81\n");
}

TEST_F(Send, drafts_from_a_file_may_be_changed_on_the_command_line) {
  const std::string draft = directory / "draft.json";
  std::ofstream(draft) << R"({"opcode": "map", "protocol": "udp", "internal-port": 5000, "lifetime": 60,
                              "nonce": "00112233445566778899aabb"})";
  const Ended ended = run_program({"send", "--draft", draft, "--internal-port", "5002", "--print", "--json"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_EQ(Json::parse(ended.out)["octets"],
            "020100000000003c00000000000000000000000000000000"
            "00112233445566778899aabb11000000138a0000"
            "00000000000000000000ffff00000000");
}

TEST_F(Send, the_same_seed_prints_the_same_packet) {
  const auto print = [](const std::string& seed) {
    return run_program({"send", "announce", "--fuzz", seed, "--print"}).out;
  };
  EXPECT_EQ(print("1"), print("1"));
  EXPECT_NE(print("1"), print("2"));
}

TEST_F(Send, raw_octets_go_as_they_are) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(
      towards(server, {"send", "--raw", "02000000000000000000000000000000000000000000000001000000", "--set",
                       "27=ff", "--size", "24", "--json"}));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_EQ(lines_of(ended.out)[0]["octets"], "020000000000000000000000000000000000000000000000");
}

TEST(Decode, octets_of_each_field) {
  const Ended ended =
      run_program({"decode", "--octets", "0280000000000000", "00000e10", "000000000000000000000000"});
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.out, ContainsRegex("   8  00 00 0e 10 +Epoch Time: 3600 s +RFC 6887 s8.5\n"));
}

TEST(Decode, what_is_no_capture_is_told) {
  const Ended ended = run_program({"decode", "--pcap", "/nonexistent.pcap"});
  EXPECT_EQ(ended.status, exit_usage);
  EXPECT_THAT(ended.err, HasSubstr("/nonexistent.pcap"));
}

}  // namespace
}  // namespace portolan
