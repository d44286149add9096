// SPDX-License-Identifier: BSD-2-Clause
//
// Commands against a server that answers as it should, or not.
#include "portolanctl/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_http_server.h"
#include "io/testing.h"
#include "portolanctl/shell.h"

namespace portolan::ctl {
namespace {

using io::testing::HttpTestServer;
using io::testing::TemporaryFolder;
using Answer = HttpTestServer::Answer;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* rows_type = "application/x-ndjson";
constexpr const char* object_type = "application/json";

auto mapping(int port, std::string_view host = "2001:db8:112::7") -> std::string {
  return fmt::format(
      R"({{"subscriber":"2001:db8:112::/64","transport-protocol":"tcp","internal-src-address":"{}",)"
      R"("internal-src-port":{},"external-src-address":"192.0.2.14","external-src-port":{}}})"
      "\n",
      host, port, port);
}

class SessionTest : public ::testing::Test {
 protected:
  struct Ran {
    Outcome outcome;
    std::string out;
    std::string err;
  };

  /// One line against a server that answers so.
  auto run(const std::string& line, const HttpTestServer::Policy& policy) -> Ran {
    const io::StreamAddress address{
        .kind = io::StreamAddress::Kind::unix_socket, .path = folder.path() / "a.sock", .endpoint = {}};
    HttpTestServer server(address, {}, policy);
    Session session(catalogue, {.addresses = {server.address()}}, Seconds{1}, {}, false);
    const auto common = common_options(false);
    const Words words = split(line);
    const auto invocation = parse(catalogue, common, words.words);
    if (!invocation)
      return {.outcome = {.status = exit_usage, .error = invocation.error().text}, .out = {}, .err = {}};
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const auto outcome = session.run(*invocation);
    Ran ran;
    ran.out = ::testing::internal::GetCapturedStdout();
    ran.err = ::testing::internal::GetCapturedStderr();
    if (outcome)
      ran.outcome = *outcome;
    else
      ran.outcome = {.status = exit_usage, .error = outcome.error().text};
    requests = server.requests();
    return ran;
  }
  auto run(const std::string& line, const Answer& answer) -> Ran {
    return run(line, [&](const std::string&) { return answer; });
  }

  Catalogue catalogue = management::built_in_catalogue();
  TemporaryFolder folder;
  std::vector<std::string> requests;
};

TEST_F(SessionTest, rows_are_listed) {
  const Ran ran =
      run("list map --protocol tcp", HttpTestServer::chunked(rows_type, {mapping(80), mapping(8080)}));
  EXPECT_EQ(ran.outcome.status, exit_done) << ran.outcome.error;
  EXPECT_THAT(ran.out, HasSubstr("Subscriber"));
  EXPECT_THAT(ran.out,
              HasSubstr("2001:db8:112::/64  tcp       2001:db8:112::7        80  192.0.2.14        80"));
  EXPECT_THAT(ran.out, HasSubstr("8080"));
  EXPECT_THAT(requests.front(), HasSubstr("GET /v1/mappings?transport-protocol=tcp HTTP/1.1"));
}

TEST_F(SessionTest, rows_as_json_are_lines_of_the_api) {
  const Ran ran = run("list map --json", HttpTestServer::chunked(rows_type, {mapping(80), mapping(8080)}));
  EXPECT_EQ(ran.out, mapping(80) + mapping(8080));
}

TEST_F(SessionTest, an_object_is_shown_member_by_member) {
  const Answer answer =
      HttpTestServer::whole(200, object_type, R"({"version":"1","uptime":61,"read-only":false})");
  EXPECT_EQ(run("show", answer).out, "Version    1\nUp for     1m1s\nRead-only  no\n");
  EXPECT_EQ(run("show --json", answer).out, "{\"version\":\"1\",\"uptime\":61,\"read-only\":false}\n");
}

TEST_F(SessionTest, a_refusal_has_the_servers_words_and_status_1) {
  const Ran ran =
      run("add user 2001:db8::/64",
          HttpTestServer::whole(409, object_type,
                                R"({"error":{"code":"limit","message":"no \u001b room","remedy":"wait"}})"));
  EXPECT_EQ(ran.outcome.status, exit_refused);
  EXPECT_EQ(ran.outcome.error, "no \\x1b room: wait");
  EXPECT_EQ(ran.out, "");
}

TEST_F(SessionTest, a_listing_cut_short_shows_what_came_and_fails) {
  const Ran ran = run("list map", HttpTestServer::begun(rows_type, {mapping(80)}));
  EXPECT_EQ(ran.outcome.status, exit_failure);
  EXPECT_THAT(ran.out, HasSubstr("192.0.2.14"));
  EXPECT_THAT(ran.outcome.error, HasSubstr("The listing is not complete: 1 rows came"));
}

TEST_F(SessionTest, a_last_line_without_end_fails) {
  std::string line = mapping(80);
  line.pop_back();
  EXPECT_THAT(run("list map", HttpTestServer::chunked(rows_type, {line})).outcome.error,
              HasSubstr("has no end"));
}

TEST_F(SessionTest, another_content_type_is_no_management_interface) {
  const Ran ran = run("list map", HttpTestServer::whole(200, "text/html", "<html>"));
  EXPECT_EQ(ran.outcome.status, exit_failure);
  EXPECT_THAT(ran.outcome.error, HasSubstr("'text/html', not 'application/x-ndjson'"));
}

TEST_F(SessionTest, a_line_without_end_is_not_waited_for) {
  const std::string part(Lines::octets_max / 4, 'x');
  const Ran ran = run("list map", HttpTestServer::begun(rows_type, {part, part, part, part, "x"}));
  EXPECT_EQ(ran.outcome.status, exit_failure);
  EXPECT_THAT(ran.outcome.error, HasSubstr("has no end"));
}

TEST_F(SessionTest, lines_that_are_not_json_fail) {
  for (const char* line : {"no\n", "[]\n", "{\"a\":\"\xff\"}\n", "\n"}) {
    EXPECT_THAT(run("list map", HttpTestServer::chunked(rows_type, {line})).outcome.error, HasSubstr("JSON"))
        << line;
    EXPECT_THAT(run("list map --json", HttpTestServer::chunked(rows_type, {line})).outcome.error,
                HasSubstr("JSON"));
  }
}

TEST_F(SessionTest, a_server_that_stalls_is_given_up) {
  Answer answer = HttpTestServer::begun(rows_type, {mapping(80)});
  answer.is_closed = false;
  const Ran ran = run("list map", answer);
  EXPECT_EQ(ran.outcome.status, exit_failure);
  EXPECT_THAT(ran.outcome.error, HasSubstr("said nothing for 1 s"));
}

TEST_F(SessionTest, who_is_not_there_has_status_3) {
  Session session(catalogue,
                  {.addresses = {{.kind = io::StreamAddress::Kind::unix_socket,
                                  .path = folder.path() / "none.sock",
                                  .endpoint = {}}}},
                  Seconds{1}, {}, false);
  const std::vector<std::string> texts{"list", "map"};
  std::string line;
  const auto words = joined(texts, line);
  const auto outcome = session.run(*parse(catalogue, {}, words));
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, exit_failure);
  EXPECT_THAT(outcome->error, HasSubstr("none.sock: No such file or directory\nDoes it run"));
}

TEST_F(SessionTest, heartbeats_are_for_programs) {
  const Answer answer = HttpTestServer::chunked(
      rows_type,
      {"{\"sequence\":1,\"event\":\"heartbeat\"}\n", "{\"sequence\":2,\"event\":\"mapping-created\"}\n"});
  EXPECT_THAT(run("watch", answer).out, Not(HasSubstr("heartbeat")));
  EXPECT_THAT(run("watch", answer).out, HasSubstr("mapping-created"));
  EXPECT_THAT(run("watch --json", answer).out, HasSubstr("heartbeat"));
}

TEST_F(SessionTest, an_export_is_json_whether_asked_for_or_not) {
  const Ran ran =
      run("export", HttpTestServer::chunked(rows_type, {"{\"kind\":\"user\",\"subscriber\":\"::/0\"}\n"}));
  EXPECT_EQ(ran.out, "{\"kind\":\"user\",\"subscriber\":\"::/0\"}\n");
}

/// A server with mappings, that counts what it is told to delete.
auto with_mappings(const std::vector<std::string>& rows, int& deletions) -> HttpTestServer::Policy {
  return [rows, &deletions](const std::string& request) {
    if (request.starts_with("GET")) return HttpTestServer::chunked(rows_type, rows);
    ++deletions;
    return HttpTestServer::whole(200, object_type, fmt::format("{{\"deleted\":{}}}", rows.size()));
  };
}

TEST_F(SessionTest, what_deletes_several_is_refused_where_nobody_can_be_asked) {
  int deletions = 0;
  const Ran ran =
      run("delete map --user 2001:db8:112::/64", with_mappings({mapping(80), mapping(81)}, deletions));
  EXPECT_EQ(ran.outcome.status, exit_usage);
  EXPECT_THAT(ran.outcome.error, HasSubstr("Delete these 2 mappings? Nobody can be asked here: add --yes"));
  EXPECT_THAT(ran.err, HasSubstr("192.0.2.14        81"));
  EXPECT_EQ(deletions, 0);
}

TEST_F(SessionTest, with_yes_it_is_done) {
  int deletions = 0;
  const Ran ran = run("delete map --all --yes", with_mappings({mapping(80), mapping(81)}, deletions));
  EXPECT_EQ(ran.outcome.status, exit_done) << ran.outcome.error;
  EXPECT_EQ(deletions, 1);
  EXPECT_EQ(ran.out, "Deleted  2\n");
}

TEST_F(SessionTest, one_mapping_needs_no_question) {
  int deletions = 0;
  EXPECT_EQ(
      run("delete map tcp 2001:db8:112:0::7 80", with_mappings({mapping(80)}, deletions)).outcome.status,
      exit_done);
  EXPECT_EQ(deletions, 1);
  EXPECT_THAT(requests.front(), HasSubstr("internal-src-address=2001%3Adb8%3A112%3A0%3A%3A7"));
}

TEST_F(SessionTest, of_many_that_would_go_the_first_are_shown) {
  std::vector<std::string> rows;
  for (int i = 1; i <= 25; ++i) rows.push_back(mapping(i));
  int deletions = 0;
  const Ran ran = run("delete map --all", with_mappings(rows, deletions));
  EXPECT_THAT(ran.err, HasSubstr("\n... and 15 more\n"));
  EXPECT_THAT(ran.err, HasSubstr("192.0.2.14        10  "));
  EXPECT_THAT(ran.err, Not(HasSubstr("192.0.2.14        11  ")));
}

TEST_F(SessionTest, a_user_with_mappings_goes_only_if_that_is_agreed_to) {
  int deletions = 0;
  EXPECT_EQ(
      run("delete user 2001:db8::/32", with_mappings({mapping(80), mapping(81)}, deletions)).outcome.status,
      exit_usage);
  EXPECT_THAT(requests.front(), HasSubstr("/v1/mappings?internal-src-address=2001%3Adb8%3A%3A%2F32 "));
  EXPECT_EQ(deletions, 0);
  EXPECT_EQ(run("delete user 2001:db8::/32", with_mappings({mapping(80)}, deletions)).outcome.status,
            exit_done);
  EXPECT_EQ(deletions, 1);
}

TEST_F(SessionTest, mappings_of_the_configuration_do_not_count_as_they_stay) {
  std::string configured = mapping(81);
  configured.insert(1, R"("origin":"configured",)");
  int deletions = 0;
  EXPECT_EQ(run("delete map --all", with_mappings({mapping(80), configured}, deletions)).outcome.status,
            exit_done);
  EXPECT_EQ(deletions, 1);
}

TEST_F(SessionTest, what_concerns_everybody_is_agreed_to_first) {
  EXPECT_THAT(run("announce", HttpTestServer::whole(200, object_type, "{}")).outcome.error,
              HasSubstr("add --yes"));
  EXPECT_TRUE(requests.empty());
  EXPECT_EQ(run("announce --yes", HttpTestServer::whole(200, object_type, "{}")).outcome.status, exit_done);
}

TEST_F(SessionTest, a_script_ends_at_the_first_line_that_fails) {
  const io::StreamAddress address{
      .kind = io::StreamAddress::Kind::unix_socket, .path = folder.path() / "b.sock", .endpoint = {}};
  HttpTestServer server(address, {}, [](const std::string& request) {
    return request.starts_with("POST")
               ? HttpTestServer::whole(409, object_type, R"({"error":{"message":"no","remedy":"wait"}})")
               : HttpTestServer::chunked(rows_type, {});
  });
  Session session(catalogue, {.addresses = {server.address()}}, Seconds{1}, {}, false);
  const auto script = [&](const std::string& text) {
    std::istringstream stream(text);
    ::testing::internal::CaptureStderr();
    const int status = run_script(catalogue, session, stream, false);
    return std::pair(status, ::testing::internal::GetCapturedStderr());
  };
  EXPECT_EQ(script("# nothing\n\nlist map\nlist user").first, exit_done);
  EXPECT_EQ(script("list map\nreload\nlist user\n"),
            std::pair(exit_refused, std::string("line 2: no: wait\n")));
  EXPECT_EQ(server.requests().size(), 4U);
  EXPECT_EQ(script("list mpa\n").first, exit_usage);
  EXPECT_EQ(script("exit\nlist mpa\n").first, exit_done);
  EXPECT_EQ(script("list \"map\n").first, exit_usage);
  EXPECT_THAT(script("list map #" + std::string(line_octets_max, 'x')).second,
              HasSubstr("line 1: a line is longer than 65536 octets"));
}

TEST_F(SessionTest, values_for_completion_are_distinct_and_harmless) {
  const io::StreamAddress address{
      .kind = io::StreamAddress::Kind::unix_socket, .path = folder.path() / "c.sock", .endpoint = {}};
  HttpTestServer server(address, {}, [](const std::string&) {
    return HttpTestServer::chunked(
        rows_type, {"{\"subscriber\":\"2001:db8:1::/64\"}\n", "{\"subscriber\":\"2001:db8:1::/64\"}\n",
                    "{\"subscriber\":\"2001:db8:2\\u001b\"}\n", "{\"subscriber\":\"2002::/16\"}\n"});
  });
  Session session(catalogue, {.addresses = {server.address()}}, Seconds{1}, {}, false);
  const Parameter& subscriber = catalogue.find("GET", "/v1/users")->parameters.front();
  EXPECT_THAT(session.values(subscriber, {}, "2001:db8:"), ::testing::ElementsAre("2001:db8:1::/64"));
  EXPECT_THAT(server.requests().front(), HasSubstr("GET /v1/users?subscriber=2001%3Adb8%3A%3A%2F32 "));
}

}  // namespace
}  // namespace portolan::ctl
