// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/api.h"

#include <deque>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "server/test_world.h"

namespace portolan::management {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr const char* host = "2001:db8:112::1";
constexpr const char* subscriber = "2001:db8:112::/64";

auto configuration() -> server::Config {
  server::Config config;
  config.profiles.push_back({.users = Prefix::parse("2001:db8:aaaa::/48").value()});
  return config;
}

class ApiTest : public ::testing::Test {
 protected:
  struct Answer {
    unsigned status = 0;
    std::string content_type;
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;

    [[nodiscard]] auto object() const -> json { return json::parse(body); }
    [[nodiscard]] auto error() const -> json { return object().at("error"); }
    [[nodiscard]] auto code() const -> std::string { return error().at("code").get<std::string>(); }
    /// Of a stream.
    [[nodiscard]] auto rows() const -> std::vector<json> {
      std::vector<json> rows;
      std::istringstream lines(body);
      for (std::string line; std::getline(lines, line);) rows.push_back(json::parse(line));
      return rows;
    }
  };

  /// The request with what the simulated host and its store do until it is answered.
  auto ask(const char* method, const std::string& target, const std::string& body = "",
           Command::Access access = Command::Access::write) -> Answer {
    auto waiting = begin(method, target, body, access);
    for (int turn = 0; turn < 100 && !waiting->has_value(); ++turn) pass();
    PORTOLAN_CHECK(waiting->has_value());
    return read(**waiting);
  }
  /// The reply, when there is one.
  auto begin(const char* method, const std::string& target, const std::string& body = "",
             Command::Access access = Command::Access::write)
      -> std::shared_ptr<std::optional<io::HttpReply>> {
    auto waiting = std::make_shared<std::optional<io::HttpReply>>();
    io::HttpRequestHead head{.method = method, .target = target, .fields = fields, .has_length = has_length};
    api.answer({.access = access, .name = "tester"},
               io::HttpCall(head, body, 0, "tester",
                            [waiting](io::HttpReply reply) { *waiting = std::move(reply); }));
    return waiting;
  }
  void pass() {
    world.pass(Milliseconds{100});
    deliver();
  }
  void deliver() {
    api.carried_out(world.finished);
    world.finished.clear();
  }
  /// All that a reply has; of a stream the pieces until there is none for now.
  static auto read(io::HttpReply& reply) -> Answer {
    Answer answer{.status = reply.status,
                  .content_type = reply.content_type,
                  .fields = reply.fields,
                  .body = reply.body};
    if (!reply.stream) return answer;
    bool is_ready = true;
    reply.stream->start([&] { is_ready = true; });
    while (is_ready) {
      is_ready = false;
      const io::HttpBody::Piece piece = reply.stream->next();
      answer.body += piece.octets;
      if (piece.is_last) break;
      if (!piece.octets.empty()) is_ready = true;
    }
    return answer;
  }

  std::vector<std::pair<std::string, std::string>> fields{{"content-type", "application/json"}};
  bool has_length = true;
  io::EventLoop loop;
  server::World world{configuration()};
  std::expected<void, std::vector<std::string>> reloaded;
  std::vector<Pool> pools{
      {.device = "simulated", .use = {.protocol = Protocol::udp, .ports = 4, .taken = 1}}};
  Api api{loop,
          world.server,
          {.clocks = {.now = [this] { return world.now; },
                      .wall_now = [] { return Nanoseconds{Seconds{1'000'000'000}}; }},
           .changed = [this] { world.collect(); },
           .status =
               [] {
                 return ProgramStatus{.version = "1.2",
                                      .uptime = Seconds{5},
                                      .devices = {"simulated"},
                                      .store = "memory",
                                      .store_error = {}};
               },
           .pools = [this] { return pools; },
           .policy = [] { return server::Policy{}; },
           .counters = [] { return std::vector<Counter>{{"dropped", "not-inside", 3}}; },
           .reload = [this] { return reloaded; },
           .changes = [](const std::string&, const std::string&) {},
           .refused = [](const std::string&, const std::string&) {},
           .pages = {},
           .metrics = [](const std::function<void(std::string)>& take) { take("up 1\n"); }}};
};

/// What is not as the schema of `command` says.
auto strangers(const Command& command, const json& object) -> std::vector<std::string> {
  std::vector<std::string> found;
  for (const auto& [name, value] : object.items()) {
    const auto column = std::ranges::find(command.result.columns, name, &Column::name);
    if (column == command.result.columns.end()) {
      found.push_back(name);
      continue;
    }
    const auto fits = [&](const json& element) {
      switch (column->type) {
        case Type::number:
        case Type::seconds:
        case Type::port: return element.is_number_unsigned();
        case Type::flag: return element.is_boolean();
        case Type::choice:
          return element.is_string() && std::ranges::count(column->choices, element.get<std::string>()) == 1;
        default: return element.is_string();
      }
    };
    if (column->is_list ? !value.is_array() || !std::ranges::all_of(value, fits) : !fits(value))
      found.push_back(name + " is " + value.dump());
  }
  return found;
}

TEST_F(ApiTest, every_command_is_answered_as_its_schema_says) {
  world.ask({.from = host, .internal_port = 8080});
  const std::map<std::string, std::pair<std::string, std::string>> asked{
      {"list user", {"", ""}},
      {"list map", {"", ""}},
      {"list pool", {"", ""}},
      {"show user", {fmt::format("?subscriber={}", subscriber), ""}},
      {"show map",
       {fmt::format("?transport-protocol=udp&internal-src-address={}&internal-src-port=8080", host), ""}},
      {"show", {"", ""}},
      {"show settings", {"", ""}},
      {"stats", {"", ""}},
      {"export", {"", ""}},
      {"add user", {"", R"({"subscriber": "2001:db8:bbbb::/48", "mappings-per-user-max": 3})"}},
      {"set user", {"", R"({"subscriber": "2001:db8:cccc::/48", "mappings-per-user-max": 4})"}},
      {"delete user", {"?subscriber=2001:db8:cccc::/48", ""}},
      {"add map",
       {"",
        R"({"transport-protocol": "tcp", "internal-src-address": "2001:db8:112::9", "internal-src-port": 80,
                "external-src-port": 8080})"}},
      {"delete map", {fmt::format("?internal-src-address={}", host), ""}},
      {"set", {"", R"({"maximum-lifetime": 3600})"}},
      {"announce", {"", ""}},
      {"reload", {"", ""}}};
  ASSERT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:cccc::/48"})").status, 201U);
  // An epoch that has just begun is not announced again.
  world.pass(Seconds{2});
  const Catalogue catalogue = built_in_catalogue();
  // Those that change what others look at come last.
  for (const bool writes : {false, true})
    for (const Command& command : catalogue.commands) {
      if (!command.is_remote() || command.follows || (command.access == Command::Access::write) != writes)
        continue;
      // Deleted behind being set.
      if (command.name() == "delete user") {
        ASSERT_EQ(ask("PATCH", "/v1/users", R"({"subscriber": "2001:db8:cccc::/48", "map": false})").status,
                  200U);
      }
      const auto found = asked.find(command.name());
      ASSERT_NE(found, asked.end()) << command.name();
      const Answer answer =
          ask(command.method.c_str(), command.path + found->second.first, found->second.second);
      EXPECT_EQ(answer.status, command.words.front() == "add" ? 201U : 200U) << command.name() << answer.body;
      if (command.result.shape == Result::Shape::rows) {
        EXPECT_EQ(answer.content_type, "application/x-ndjson");
        EXPECT_FALSE(answer.rows().empty()) << command.name();
        for (const json& row : answer.rows()) EXPECT_THAT(strangers(command, row), ::testing::IsEmpty());
      } else {
        EXPECT_EQ(answer.content_type, "application/json");
        EXPECT_THAT(strangers(command, answer.object()), ::testing::IsEmpty()) << command.name();
      }
      if (command.name() == "delete user") {
        ASSERT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:cccc::/48"})").status, 201U);
      }
    }
}

TEST_F(ApiTest, listings_show_what_there_is) {
  const server::Answer mapped = world.ask({.from = host, .internal_port = 8080, .lifetime_s = 600});
  const auto mappings = ask("GET", "/v1/mappings").rows();
  ASSERT_EQ(mappings.size(), 1U);
  EXPECT_EQ(mappings[0].at("subscriber"), subscriber);
  EXPECT_EQ(mappings[0].at("transport-protocol"), "udp");
  EXPECT_EQ(mappings[0].at("internal-src-address"), host);
  EXPECT_EQ(mappings[0].at("internal-src-port"), 8080);
  EXPECT_EQ(mappings[0].at("external-src-address"), "192.0.2.14");
  EXPECT_EQ(mappings[0].at("external-src-port"), mapped.map().assigned_external_port.value);
  EXPECT_EQ(mappings[0].at("lifetime"), 600);
  EXPECT_EQ(mappings[0].at("type"), "dynamic-explicit");
  const auto users = ask("GET", "/v1/users?origin=dynamic").rows();
  ASSERT_EQ(users.size(), 1U);
  EXPECT_EQ(users[0].at("subscriber"), subscriber);
  EXPECT_EQ(users[0].at("external-src-address"), "192.0.2.14");
  EXPECT_EQ(users[0].at("port-range"), "0-65535");
  EXPECT_EQ(users[0].at("mappings"), 1);
  EXPECT_TRUE(users[0].contains("epoch"));
  EXPECT_EQ(ask("GET", "/v1/user?subscriber=2001:db8:112::1").object().at("subscriber"), subscriber);
}

TEST_F(ApiTest, pools_tell_what_is_left) {
  pools = {{.device = "nat64", .use = {.protocol = Protocol::tcp, .ports = 64'512, .taken = 12}},
           {.device = "nat64", .use = {.protocol = Protocol::udp, .ports = 4, .taken = 4}},
           {.device = "nat44", .use = {.protocol = Protocol::tcp, .ports = 0, .taken = 3}}};
  const auto rows = ask("GET", "/v1/pools").rows();
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("device"), "nat64");
  EXPECT_EQ(rows[0].at("transport-protocol"), "tcp");
  EXPECT_EQ(rows[0].at("ports-taken"), 12);
  EXPECT_EQ(rows[0].at("ports-free"), 64'500);
  EXPECT_EQ(rows[1].at("ports-taken"), 4);
  EXPECT_EQ(rows[1].at("ports-free"), 0) << "used up";
  EXPECT_EQ(rows[2].at("ports-taken"), 0) << "no address is left of those it had";
}

TEST_F(ApiTest, the_status_tells_what_who_asks_may_do) {
  EXPECT_EQ(ask("GET", "/v1/status").object().at("access"), "write");
  EXPECT_EQ(ask("GET", "/v1/status", "", Command::Access::read).object().at("access"), "read");
}

TEST_F(ApiTest, listings_go_on_page_by_page_and_have_a_limit) {
  constexpr std::uint16_t many = 2 * server::page_rows_max + 3;
  world.ask({.from = host, .internal_port = 1});
  ASSERT_EQ(ask("PATCH", "/v1/settings", R"({"mappings-per-user-max": 10000})").status, 200U);
  for (std::uint16_t port = 2; port <= many; ++port) world.ask({.from = host, .internal_port = port});
  std::set<int> ports;
  for (const json& row : ask("GET", "/v1/mappings").rows())
    ports.insert(row.at("internal-src-port").get<int>());
  EXPECT_EQ(ports.size(), many);
  for (const std::size_t limit : {std::size_t{1}, server::page_rows_max, server::page_rows_max + 1})
    EXPECT_EQ(ask("GET", fmt::format("/v1/mappings?limit={}", limit)).rows().size(), limit);
  EXPECT_EQ(ask("GET", "/v1/export").rows().size(), many + 2U);
}

TEST_F(ApiTest, a_change_is_answered_when_device_and_store_have_it) {
  const auto waiting = begin("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48"})");
  EXPECT_FALSE(waiting->has_value());
  while (world.apply_next()) continue;
  deliver();
  EXPECT_FALSE(waiting->has_value());
  ASSERT_TRUE(world.commit_next());
  deliver();
  ASSERT_TRUE(waiting->has_value());
  EXPECT_EQ((*waiting)->status, 201U);
}

TEST_F(ApiTest, a_change_that_the_store_does_not_take_is_refused_and_nothing_has_changed) {
  world.store_fails = true;
  const Answer answer = ask("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48"})");
  EXPECT_EQ(answer.status, 503U);
  EXPECT_EQ(answer.code(), "not-durable");
  EXPECT_EQ(ask("GET", "/v1/user?subscriber=2001:db8:bbbb::/48").code(), "not-found");
  EXPECT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48"})").code(), "read-only");
  EXPECT_EQ(ask("GET", "/v1/status").object().at("read-only"), true);
}

TEST_F(ApiTest, what_the_configuration_has_and_what_is_there_already_is_in_conflict) {
  const Answer configured = ask("POST", "/v1/users", R"({"subscriber": "2001:db8:aaaa::/48"})");
  EXPECT_EQ(configured.status, 409U);
  EXPECT_EQ(configured.code(), "configured");
  EXPECT_EQ(ask("DELETE", "/v1/users?subscriber=2001:db8:aaaa::/48").code(), "configured");
  ASSERT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48"})").status, 201U);
  EXPECT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48"})").code(), "exists");
}

TEST_F(ApiTest, a_user_that_was_added_is_changed_and_deleted) {
  ASSERT_EQ(ask("POST", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48", "port-range": "1024-2047",
                                         "protocols": ["tcp"], "nonce": "relaxed"})")
                .status,
            201U);
  const json user =
      ask("PATCH", "/v1/users", R"({"subscriber": "2001:db8:bbbb::/48", "peer": false})").object();
  EXPECT_EQ(user.at("port-range"), "1024-2047");
  EXPECT_EQ(user.at("protocols"), json::array({"tcp"}));
  EXPECT_EQ(user.at("nonce"), "relaxed");
  EXPECT_EQ(user.at("peer"), false);
  EXPECT_EQ(user.at("map"), true);
  EXPECT_EQ(user.at("origin"), "by-hand");
  EXPECT_EQ(ask("DELETE", "/v1/users?subscriber=2001:db8:bbbb::/48").object(),
            (json{{"deleted", 0}, {"kept", 0}}));
  EXPECT_EQ(ask("DELETE", "/v1/users?subscriber=2001:db8:bbbb::/48").code(), "not-found");
}

TEST_F(ApiTest, mappings_are_added_shown_and_deleted) {
  const std::string body = R"({"transport-protocol": "tcp", "internal-src-address": "2001:db8:112::9",
      "internal-src-port": 80, "external-src-port": 8080, "external-src-address": "192.0.2.14",
      "description": "<script>alert(1)</script>\"", "peers": ["2001:db8:64:ff9b::/96"]})";
  const json added = ask("POST", "/v1/mappings", body).object();
  EXPECT_EQ(added.at("external-src-port"), 8080);
  EXPECT_EQ(added.at("type"), "static");
  EXPECT_EQ(added.at("origin"), "by-hand");
  EXPECT_EQ(added.at("description"), "<script>alert(1)</script>\"");
  EXPECT_EQ(added.at("filters"), json::array({"2001:db8:64:ff9b::/96 0"}));
  EXPECT_FALSE(added.contains("lifetime"));
  EXPECT_EQ(
      ask("GET",
          "/v1/mapping?transport-protocol=tcp&internal-src-address=2001:db8:112::9&internal-src-port=80")
          .object(),
      added);
  EXPECT_EQ(ask("POST", "/v1/mappings", body).code(), "exists");
  EXPECT_EQ(ask("DELETE", "/v1/mappings?transport-protocol=udp&internal-src-port=80").code(), "not-found");
  EXPECT_EQ(ask("DELETE", "/v1/mappings?transport-protocol=tcp&internal-src-port=80").object().at("deleted"),
            1);
  EXPECT_EQ(
      ask("GET",
          "/v1/mapping?transport-protocol=tcp&internal-src-address=2001:db8:112::9&internal-src-port=80")
          .code(),
      "not-found");
}

TEST_F(ApiTest, mappings_may_be_given_a_lifetime) {
  const auto body = [](std::string_view lifetime) {
    return fmt::format(R"({{"transport-protocol": "tcp", "internal-src-address": "2001:db8:112::9",
      "internal-src-port": 80, "external-src-port": 8080, "lifetime": {}}})",
                       lifetime);
  };
  for (const std::string_view lifetime : {"0", "31536001", "-1", "\"soon\""})
    EXPECT_EQ(ask("POST", "/v1/mappings", body(lifetime)).status, 400) << lifetime;
  EXPECT_EQ(ask("POST", "/v1/mappings", body("7200")).object().at("lifetime"), 7200);
  world.pass(Seconds{7000});
  EXPECT_EQ(ask("GET", "/v1/mappings").rows().at(0).at("lifetime"), 200);
  world.pass(Seconds{201});
  EXPECT_EQ(ask("GET", "/v1/mappings").rows().size(), 0U);
}

TEST_F(ApiTest, nothing_is_deleted_unless_it_is_said_what) {
  world.ask({.from = host});
  EXPECT_EQ(ask("DELETE", "/v1/mappings").code(), "missing-parameter");
  EXPECT_EQ(ask("DELETE", "/v1/mappings?all=false").code(), "missing-parameter");
  EXPECT_EQ(ask("DELETE", "/v1/mappings?all=true&transport-protocol=tcp").code(), "invalid");
  EXPECT_EQ(world.server.contracts().size(), 1U);
  EXPECT_EQ(ask("DELETE", "/v1/mappings?all=true").object().at("deleted"), 1);
  EXPECT_EQ(world.server.contracts().size(), 0U);
}

TEST_F(ApiTest, octets_of_clients_that_are_no_utf_8_are_replaced) {
  EXPECT_EQ(to_json({{"description", std::string("a\xff\n\xe2\x80\xa8")}}),
            R"({"description":"a\ufffd\n\u2028"})");
}

TEST_F(ApiTest, a_request_that_is_not_as_its_schema_says_is_refused) {
  for (const auto& [method, target, body, status, code, field] :
       std::vector<std::tuple<const char*, std::string, std::string, unsigned, std::string, std::string>>{
           {"GET", "/v1/nothing", "", 404, "unknown-path", ""},
           {"GET", "/", "", 404, "unknown-path", ""},
           {"PUT", "/v1/users", "", 405, "wrong-method", ""},
           {"POST", "/v1/status", "", 405, "wrong-method", ""},
           {"POST", "/metrics", "", 405, "wrong-method", ""},
           {"GET", "http://a/v1/users", "", 400, "malformed", ""},
           {"GET", "/v1/users?limit=%x", "", 400, "malformed", ""},
           {"GET", "/v1/users?colour=red", "", 400, "unknown-parameter", "colour"},
           {"GET", "/v1/users?limit=0", "", 400, "invalid", "limit"},
           {"GET", "/v1/users?limit=1&limit=2", "", 400, "invalid", "limit"},
           {"GET", "/v1/users?origin=else", "", 400, "invalid", "origin"},
           {"GET", "/v1/users", "{}", 400, "malformed", ""},
           {"GET", "/v1/user", "", 400, "missing-parameter", "subscriber"},
           {"GET", "/v1/user?subscriber=10.0.0.1%2F8", "", 400, "invalid", "subscriber"},
           {"POST", "/v1/users?subscriber=2001:db8::/32", "{}", 400, "unknown-parameter", "subscriber"},
           {"POST", "/v1/users", "{", 400, "malformed", ""},
           {"POST", "/v1/users", "[]", 400, "malformed", ""},
           {"POST", "/v1/users", "{}", 400, "missing-parameter", "subscriber"},
           {"POST", "/v1/users", R"({"subscriber": 3})", 400, "invalid", "subscriber"},
           {"POST", "/v1/users", R"({"subscriber": "2001:db8::/32", "subscriber": "2001:db8::/32"})", 400,
            "malformed", ""},
           {"POST", "/v1/users", R"({"subscriber": "2001:db8::/32", "map": "true"})", 400, "invalid", "map"},
           {"POST", "/v1/users", R"({"subscriber": "2001:db8::/32", "protocols": "tcp"})", 400, "invalid",
            "protocols"},
           {"POST", "/v1/users", R"({"subscriber": "2001:db8::/32", "filters-max": 1.5})", 400, "invalid",
            "filters-max"},
           {"POST", "/v1/users", R"({"subscriber": "2001:db8::/32", "filters-max": 65})", 400, "invalid",
            "filters-max"},
           {"PATCH", "/v1/settings", "", 400, "missing-parameter", ""},
           {"PATCH", "/v1/settings", R"({"minimum-lifetime": 3600, "maximum-lifetime": 60})", 400, "invalid",
            ""},
           {"GET", "/v1/statistics?group=none", "", 404, "not-found", ""}}) {
    const Answer answer = ask(method, target, body);
    EXPECT_EQ(answer.status, status) << method << target << body << answer.body;
    EXPECT_EQ(answer.code(), code) << method << target << body << answer.body;
    EXPECT_FALSE(answer.error().at("message").get<std::string>().empty());
    EXPECT_FALSE(answer.error().at("remedy").get<std::string>().empty());
    if (!field.empty()) {
      EXPECT_EQ(answer.error().at("field"), field);
    }
  }
  const Answer wrong = ask("PUT", "/v1/users");
  EXPECT_THAT(wrong.fields,
              ::testing::Contains(std::pair<std::string, std::string>("Allow", "POST, DELETE, GET, PATCH")));
}

TEST_F(ApiTest, lists_have_a_limit) {
  const auto with = [](std::size_t elements) {
    std::string body = R"({"subscriber": "2001:db8:bbbb::/48", "protocols": ["tcp")";
    for (std::size_t i = 1; i < elements; ++i) body += R"(, "tcp")";
    return body + "]}";
  };
  EXPECT_EQ(ask("POST", "/v1/users", with(list_elements_max + 1)).code(), "invalid");
  EXPECT_EQ(ask("POST", "/v1/users", with(list_elements_max)).status, 201U);
}

TEST_F(ApiTest, a_body_has_a_length_and_is_json) {
  has_length = false;
  const Answer answer = ask("POST", "/v1/users", "");
  EXPECT_EQ(answer.status, 411U);
  EXPECT_EQ(answer.code(), "no-length");
  // Nothing is needed here.
  EXPECT_EQ(ask("POST", "/v1/reload", "").status, 200U);
  has_length = true;
  fields = {{"content-type", "text/plain"}};
  EXPECT_EQ(ask("POST", "/v1/users", "{}").status, 415U);
  fields = {};
  EXPECT_EQ(ask("POST", "/v1/users", "{}").code(), "wrong-content-type");
  fields = {{"content-type", "application/json; charset=utf-8"}};
  EXPECT_EQ(ask("POST", "/v1/users", "{}").code(), "missing-parameter");
}

TEST_F(ApiTest, who_may_only_look_changes_nothing) {
  const Catalogue catalogue = built_in_catalogue();
  for (const Command& command : catalogue.commands) {
    if (command.access != Command::Access::write) continue;
    const Answer answer = ask(command.method.c_str(), command.path, "", Command::Access::read);
    EXPECT_EQ(answer.status, 403U) << command.name();
    EXPECT_EQ(answer.code(), "read-only-token");
  }
  EXPECT_EQ(ask("GET", "/v1/status", "", Command::Access::read).status, 200U);
}

TEST_F(ApiTest, a_reload_tells_the_mistakes) {
  EXPECT_EQ(ask("POST", "/v1/reload").object(), (json{{"reloaded", true}}));
  reloaded = std::unexpected(std::vector<std::string>{"a.toml:3: x = 1: wrong", "a.toml:4: y = 2: wrong"});
  const Answer answer = ask("POST", "/v1/reload");
  EXPECT_EQ(answer.status, 409U);
  EXPECT_THAT(answer.error().at("message").get<std::string>(), HasSubstr("a.toml:3: x = 1: wrong; a.toml:4"));
}

TEST_F(ApiTest, counters_and_metrics_are_told) {
  world.ask({.from = host});
  const auto rows = ask("GET", "/v1/statistics?group=requests").rows();
  EXPECT_THAT(rows, ::testing::Contains(json{{"group", "requests"}, {"name", "map"}, {"value", 1}}));
  EXPECT_THAT(ask("GET", "/v1/statistics").rows(),
              ::testing::Contains(json{{"group", "dropped"}, {"name", "not-inside"}, {"value", 3}}));
  const Answer metrics = ask("GET", "/metrics");
  EXPECT_EQ(metrics.body, "up 1\n");
  EXPECT_THAT(metrics.content_type, HasSubstr("text/plain; version=0.0.4"));
}

TEST_F(ApiTest, events_are_followed_and_numbered) {
  auto waiting = begin("GET", "/v1/events");
  ASSERT_TRUE(waiting->has_value());
  io::HttpReply reply = *std::move(*waiting);
  world.ask({.from = host, .internal_port = 8080});
  world.ask({.from = host, .internal_port = 8080, .lifetime_s = 0});
  deliver();
  const auto rows = read(reply).rows();
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].at("event"), "mapping-created");
  EXPECT_EQ(rows[0].at("sequence"), 1);
  EXPECT_EQ(rows[0].at("internal-src-port"), 8080);
  EXPECT_EQ(rows[0].at("time"), "2001-09-09T01:46:40.000Z");
  EXPECT_EQ(rows[1].at("event"), "mapping-deleted");
  EXPECT_EQ(rows[1].at("sequence"), 2);
  const Catalogue catalogue = built_in_catalogue();
  for (const json& row : rows)
    EXPECT_THAT(strangers(*catalogue.find("GET", "/v1/events"), row), ::testing::IsEmpty());
  // Who comes back goes on behind what it has seen.
  auto again = begin("GET", "/v1/events?after=1");
  const auto later = read(**again).rows();
  ASSERT_EQ(later.size(), 1U);
  EXPECT_EQ(later[0].at("sequence"), 2);
}

TEST_F(ApiTest, only_events_of_one_user_are_told_if_so_asked) {
  auto waiting = begin("GET", "/v1/events?subscriber=2001:db8:112::%2F64");
  ASSERT_TRUE(waiting->has_value());
  world.ask({.from = "2001:db8:113::1"});
  world.ask({.from = host});
  const auto rows = read(**waiting).rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("subscriber"), subscriber);
}

TEST_F(ApiTest, a_reader_that_falls_behind_is_told_how_much_it_missed) {
  auto waiting = begin("GET", "/v1/events");
  io::HttpReply reply = *std::move(*waiting);
  for (std::size_t i = 0; i < server::events_kept + 7; ++i)
    world.ask({.from = host, .lifetime_s = static_cast<std::uint32_t>(600 + i % 2)});
  const auto rows = read(reply).rows();
  ASSERT_EQ(rows.size(), server::events_kept + 1);
  EXPECT_EQ(rows[0].at("event"), "gap");
  EXPECT_EQ(rows[0].at("missed"), 7);
  EXPECT_EQ(rows[0].at("sequence"), 7);
  EXPECT_EQ(rows[1].at("sequence"), 8);
}

TEST_F(ApiTest, who_comes_from_another_run_gets_a_gap) {
  auto waiting = begin("GET", "/v1/events?after=1000");
  const auto rows = read(**waiting).rows();
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].at("event"), "gap");
  EXPECT_FALSE(rows[0].contains("missed"));
}

TEST_F(ApiTest, followers_have_a_limit) {
  std::vector<std::shared_ptr<std::optional<io::HttpReply>>> followers;
  for (std::size_t i = 0; i < Followers::followers_max; ++i) {
    followers.push_back(begin("GET", "/v1/events"));
    ASSERT_EQ((*followers.back())->status, 200U);
  }
  const Answer answer = ask("GET", "/v1/events");
  EXPECT_EQ(answer.status, 503U);
  EXPECT_EQ(answer.code(), "too-many-watchers");
  followers.pop_back();
  EXPECT_EQ((*begin("GET", "/v1/events"))->status, 200U);
}

TEST_F(ApiTest, a_new_epoch_is_announced) {
  world.pass(Seconds{10});
  const Answer answer = ask("POST", "/v1/announce", R"({"new-epoch": true})");
  EXPECT_EQ(answer.status, 200U) << answer.body;
  EXPECT_EQ(answer.object().at("epoch"), 0);
  world.pass(Seconds{1});
  EXPECT_FALSE(world.announced.empty());
}

}  // namespace
}  // namespace portolan::management
