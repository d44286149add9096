// SPDX-License-Identifier: BSD-2-Clause
//
// Files of steps, and the built program carrying them out.
#include "portolan/sequence.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portolan/options.h"
#include "portolan/test_program.h"
#include "wire/options.h"

namespace portolan {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using wire::ResultCode;
using Json = nlohmann::json;

auto error(const std::string& json) -> std::string {
  const auto sequence = read_sequence(json);
  return sequence ? "no error" : sequence.error();
}

auto with_steps(std::size_t count) -> std::string {
  Json steps = Json::array();
  for (std::size_t i = 0; i < count; ++i) steps.push_back({{"send", {{"opcode", "announce"}}}});
  return Json{{"step", steps}}.dump();
}

TEST(Sequence, mistakes_are_told_with_step_and_remedy) {
  EXPECT_THAT(error("{"), HasSubstr("parse error"));
  EXPECT_THAT(error("[]"), HasSubstr("is no object"));
  EXPECT_THAT(error("{}"), HasSubstr("step: is wanted, a list of 1 to 256 steps"));
  EXPECT_THAT(error(R"({"step": [{"sends": {}}]})"), HasSubstr("step 1: sends: is not known: expect, name"));
  EXPECT_THAT(error(R"({"step": [{"send": {"opcode": "map", "internal-port": 70000}}]})"),
              HasSubstr("step 1: send: --internal-port: '70000' is no port"));
  EXPECT_THAT(error(R"({"step": [{"send": {"opcode": "--pcap=/x", "raw": "00"}}]})"),
              HasSubstr(R"("opcode": "--pcap=/x" is no value)"));
  EXPECT_THAT(error(R"({"step": [{"send": {"opcode": "map", "pcap": "x.pcap"}}]})"),
              HasSubstr("names no files"));
  EXPECT_THAT(error(R"({"step": [{"send": {"opcode": "map", "help": true}}]})"), HasSubstr("--help"));
  EXPECT_THAT(error(R"({"step": [{"send": {"opcode": "map", "repeat": 2}}]})"), HasSubstr("one packet"));
  EXPECT_THAT(error(R"({"step": [{}]})"), HasSubstr("step 1: neither sends nor expects"));
  EXPECT_THAT(error(R"({"step": [{"expect": "everything"}]})"), HasSubstr("is no expectation"));
  EXPECT_THAT(error(R"({"step": [{"expect": {"lifetime": [1]}}]})"), HasSubstr("is nothing to expect"));
  EXPECT_THAT(error(R"({"step": [{"expect": {"lifetime": 1}, "wait": 3601}]})"),
              HasSubstr("wait: 3601 is no time: give seconds from 0 to 3600"));
  EXPECT_THAT(error(R"({"step": [{"expect": {"lifetime": 1}, "timeout": 0}]})"),
              HasSubstr("give seconds from 1 to 3600"));
  const auto toml = read_toml_sequence("name = \"a\"\nname = 1\n");
  ASSERT_FALSE(toml);
  EXPECT_THAT(toml.error(), HasSubstr("line 2"));
}

TEST(Sequence, steps_up_to_the_limit) {
  EXPECT_TRUE(read_sequence(with_steps(sequence_steps_max - 1)));
  EXPECT_TRUE(read_sequence(with_steps(sequence_steps_max)));
  EXPECT_FALSE(read_sequence(with_steps(sequence_steps_max + 1)));
}

TEST(Sequence, every_one_that_comes_with_the_program_can_be_read) {
  EXPECT_THAT(built_in_sequences(), testing::Not(IsEmpty()));
  for (const auto& [name, text] : built_in_sequences()) {
    const auto sequence = load_sequence(std::string(name));
    ASSERT_TRUE(sequence) << sequence.error();
    EXPECT_FALSE(sequence->name.empty());
  }
}

/// A MAP answer of success with two options: 7200 s, epoch 77, UDP 3938 at 192.0.2.1.
auto some_answer() -> std::vector<std::byte> {
  wire::Response response;
  response.opcode = wire::Opcode::map;
  response.lifetime_s = 7200;
  response.epoch_time_s = 77;
  response.body = wire::MapResponse{.nonce = {},
                                    .protocol = Protocol::udp,
                                    .internal_port = Port{3938},
                                    .assigned_external_port = Port{15200},
                                    .assigned_external_address = *IpAddress::parse("192.0.2.1")};
  auto datagram = wire::encode_response(response);
  EXPECT_TRUE(wire::append_option(datagram, wire::PreferFailure{}));
  EXPECT_TRUE(wire::append_option(
      datagram, wire::Description{.text = std::as_bytes(std::span(std::string_view("cam")))}));
  const auto octets = datagram.octets();
  return {octets.begin(), octets.end()};
}

TEST(Expectation, values_fit_as_number_word_or_whole_and_ranges_include_their_ends) {
  const auto fits = [](const std::string& key, auto value) {
    const std::vector<ExpectedField> fields{{.key = key, .value = value}};
    return differences(fields, some_answer()).empty();
  };
  using Text = std::string;
  using Range = ExpectedField::Range;
  EXPECT_TRUE(fits("result-code", Text("0")));
  EXPECT_TRUE(fits("result-code", Text("SUCCESS")));
  EXPECT_TRUE(fits("result-code", Text("0 (SUCCESS)")));
  EXPECT_FALSE(fits("result-code", Text("SUCC")));
  EXPECT_TRUE(fits("lifetime", Range{7200, 7200}));
  EXPECT_TRUE(fits("lifetime", Range{0, 7201}));
  EXPECT_FALSE(fits("lifetime", Range{7201, 9999}));
  EXPECT_FALSE(fits("lifetime", Range{0, 7199}));
  EXPECT_TRUE(fits("assigned-external-ip-address", Text("192.0.2.1")));
  EXPECT_TRUE(fits("assigned-external-ip-address", Text("::ffff:192.0.2.1")));
  EXPECT_TRUE(fits("description", Text("cam")));
  EXPECT_TRUE(fits("options", Text("PREFER_FAILURE, DESCRIPTION")));
  EXPECT_FALSE(fits("options", Text("DESCRIPTION, PREFER_FAILURE")));
  EXPECT_FALSE(fits("no-such-field", Text("")));
  EXPECT_FALSE(fits("octets", Text("02")));
}

TEST(Expectation, what_differs_is_said) {
  const std::vector<ExpectedField> fields{{.key = "lifetime", .value = ExpectedField::Range{1, 60}},
                                          {.key = "epoch", .value = "77"}};
  EXPECT_THAT(differences(fields, some_answer()),
              ElementsAre("lifetime is 7200 s, 1 to 60 is expected", "epoch is not there, 77 is expected"));
  EXPECT_EQ(value_of("lifetime", some_answer()), "7200");
  EXPECT_EQ(field_key("PCP Client's IP Address"), "pcp-clients-ip-address");
}

class SendSequence : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "portolan-sequence.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  auto run(const std::string& text, const std::string& port, std::vector<std::string> more = {}) -> Ended {
    const std::string file = directory / "some.json";
    std::ofstream(file) << text;
    more.insert(more.begin(), {"send", "--sequence", file, "--server", "::1", "--server-port", port});
    return run_program(std::move(more));
  }

  std::filesystem::path directory;
};

TEST_F(SendSequence, steps_use_what_earlier_answers_said) {
  TestServer server(TestServer::grant);
  const Ended ended = run(R"({"name": "made and deleted", "step": [
      {"name": "made", "send": {"opcode": "map", "nonce": "00112233445566778899aabb"},
       "expect": {"result-code": "SUCCESS", "assigned-external-port": 40000},
       "save": {"port": "assigned-external-port", "nonce": "mapping-nonce"}},
      {"name": "deleted", "send": {"opcode": "map", "lifetime": 0, "external-port": "${port}", "nonce": "${nonce}"},
       "expect": {"lifetime": 0, "assigned-external-port": "${port}"}}]})",
                          server.port());
  EXPECT_EQ(ended.status, exit_success) << ended.out << ended.err;
  EXPECT_THAT(ended.out, ContainsRegex("^made and deleted\n  ok     made: MAP SUCCESS, [0-9.]+ ms\n"
                                       "  ok     deleted: MAP SUCCESS, [0-9.]+ ms\n"
                                       "2 steps, 0 failed, 0 not run\n$"));
  ASSERT_THAT(server.got(), SizeIs(2));
  EXPECT_EQ(server.got()[1].map->suggested_external_port, Port{40000});
  EXPECT_EQ(server.got()[1].map->nonce, server.got()[0].map->nonce);
  EXPECT_EQ(server.got()[1].from, server.got()[0].from);
}

TEST_F(SendSequence, what_is_not_as_expected_is_told_and_the_rest_still_runs) {
  TestServer server(TestServer::refuse(ResultCode::no_resources, Seconds{30}));
  const std::string text = R"({"step": [
      {"name": "refused", "send": {"opcode": "map"}, "expect": {"result-code": "SUCCESS"}},
      {"name": "unsaved", "send": {"opcode": "map", "external-port": "${port}"}},
      {"name": "noisy", "send": {"opcode": "map"}, "expect": "nothing"},
      {"name": "refused as expected", "send": {"opcode": "map"}, "expect": {"result-code": 8}}]})";
  const Ended ended = run(text, server.port());
  EXPECT_EQ(ended.status, exit_refused);
  EXPECT_THAT(ended.out, HasSubstr("result-code is 8 (NO_RESOURCES), SUCCESS is expected\n"));
  EXPECT_THAT(ended.out, HasSubstr("${port}: no step before has saved such a variable\n"));
  EXPECT_THAT(ended.out, HasSubstr("MAP NO_RESOURCES came, nothing is expected\n"));
  EXPECT_THAT(ended.out, HasSubstr("4 steps, 3 failed, 0 not run\n"));
}

TEST_F(SendSequence, silence_fails_unless_it_is_expected) {
  TestServer silent([](const auto&, auto) { return std::nullopt; });
  const Ended ended = run(R"({"step": [
      {"send": {"opcode": "map"}, "expect": "nothing", "timeout": 1},
      {"send": {"opcode": "map"}, "expect": {"result-code": 0}},
      {"expect": {"result-code": 0}, "timeout": 2}]})",
                          silent.port(), {"--json", "--timeout", "1"});
  EXPECT_EQ(ended.status, exit_refused);
  std::vector<Json> steps;
  std::istringstream stream(ended.out);
  for (std::string line; std::getline(stream, line);)
    if (const Json json = Json::parse(line); json["event"] == "step") steps.push_back(json);
  ASSERT_THAT(steps, SizeIs(3));
  EXPECT_EQ(steps[0]["passed"], true);
  EXPECT_EQ(steps[1]["differences"], (Json{"no answer came within 1 s"}));
  EXPECT_EQ(steps[2]["differences"], (Json{"no answer came within 2 s"}));
}

TEST_F(SendSequence, an_update_that_nobody_asked_for_is_heard) {
  TestServer server(TestServer::grant);
  const std::string file = directory / "some.toml";
  std::ofstream(file) << R"(
[[step]]
name = "asked for"
send = { opcode = "map", internal-port = 81 }
[[step]]
name = "told"
expect = { assigned-external-port = 50000 }
timeout = 20
)";
  Program program(
      {"send", "--sequence", file, "--server", "::1", "--server-port", server.port(), "--verbose"});
  ASSERT_TRUE(program.wait_for("ok     asked for"));
  wire::Response update;
  update.opcode = wire::Opcode::map;
  wire::MapResponse body;
  body.internal_port = Port{81};
  update.body = body;
  // Another one before it is passed over.
  for (const Port port : {Port{49999}, Port{50000}}) {
    body.assigned_external_port = port;
    update.body = body;
    server.send(server.got()[0].from, wire::encode_response(update));
  }
  const Ended ended = program.end();
  EXPECT_EQ(ended.status, exit_success) << ended.out << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("ok     told: MAP SUCCESS\n"));
}

TEST_F(SendSequence, a_file_that_cannot_be_used_is_named) {
  EXPECT_THAT(run_program({"send", "--sequence", "/nonexistent.json"}).err,
              HasSubstr("portolan: --sequence /nonexistent.json: cannot be read"));
  EXPECT_THAT(
      run_program({"send", "--sequence", "flow-01"}).err,
      HasSubstr("no sequence of that name comes with the program: --sequence list shows those that do; of "
                "a file of yours give the path, such as ./flow-01.toml"));
  EXPECT_THAT(run_program({"send", "--sequence", "flow-03"}).err, HasSubstr("(did you mean flow-02?)"));
  EXPECT_THAT(run_program({"send", "--sequence", "flow-99"}).err, HasSubstr("(did you mean flow-75?)"));
  std::ofstream(directory / "large.json") << std::string(sequence_octets_max + 1, ' ');
  EXPECT_THAT(run_program({"send", "--sequence", directory / "large.json"}).err,
              HasSubstr("is larger than 1048576 octets"));
  EXPECT_EQ(run_program({"send", "map", "--sequence", "flow-02"}).status, exit_usage);
  EXPECT_EQ(run_program({"send", "--sequence", "flow-02", "--repeat", "2"}).status, exit_usage);
}

TEST(ListOfSequences, has_names_and_titles) {
  const Ended text = run_program({"send", "--sequence", "list"});
  EXPECT_EQ(text.status, exit_success);
  EXPECT_THAT(text.out,
              HasSubstr("\nflow-53           Figures 53 and 54: THIRD_PARTY with the client's own"));
  const Ended json = run_program({"send", "--sequence", "list", "--json"});
  EXPECT_THAT(json.out, HasSubstr(R"({"sequence":"flow-53","name":"Figures 53 and 54: THIRD_PARTY)"));
  EXPECT_EQ(std::ranges::count(json.out, '\n'), std::ssize(built_in_sequences()));
}

}  // namespace
}  // namespace portolan
