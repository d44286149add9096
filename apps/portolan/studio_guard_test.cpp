// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/studio_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/random.h"

namespace portolan {
namespace {

using testing::HasSubstr;
using Fields = std::vector<std::pair<std::string, std::string>>;

class Guard : public testing::Test {
 protected:
  auto ask(const std::string& target, Fields fields, const std::string& method = "GET")
      -> std::optional<io::HttpReply> {
    if (std::ranges::none_of(fields, [](const auto& field) { return field.first == "host"; }))
      fields.emplace_back("host", "127.0.0.1:8000");
    const io::HttpCall call(
        {.method = method, .target = target, .fields = std::move(fields), .has_length = false}, "", 0, "",
        {});
    return guard.refusal(call);
  }
  auto status(const std::string& target, Fields fields, const std::string& method = "GET") -> unsigned {
    const auto reply = ask(target, std::move(fields), method);
    return reply ? reply->status : 200;
  }
  auto cookie() -> std::string {
    const auto reply = ask("/?token=" + guard.token(), {});
    EXPECT_EQ(reply->status, 303U);
    for (const auto& [name, value] : reply->fields)
      if (name == "Set-Cookie") {
        EXPECT_THAT(value, HasSubstr("; HttpOnly; SameSite=Strict; Path=/"));
        return value.substr(0, value.find(';'));
      }
    return {};
  }

  SeededRandom random{1};
  StudioGuard guard{random, *IpAddress::parse("192.0.2.7")};
};

TEST_F(Guard, the_token_is_good_once_and_the_cookie_from_then_on) {
  EXPECT_EQ(status("/", {}), 403U);
  EXPECT_EQ(status("/?token=", {}), 403U);
  EXPECT_EQ(status("/?token=" + std::string(64, '0'), {}), 403U);
  const std::string known = cookie();
  EXPECT_EQ(status("/", {{"cookie", known}}), 200U);
  EXPECT_EQ(status("/", {{"cookie", "other=1; " + known}}), 200U);
  EXPECT_EQ(status("/?token=" + guard.token(), {}), 403U);
  EXPECT_EQ(status("/?token=" + guard.token(), {{"cookie", known}}), 303U);
  EXPECT_EQ(status("/", {{"cookie", known + "0"}}), 403U);
  EXPECT_EQ(status("/", {{"cookie", known.substr(0, known.size() - 1)}}), 403U);
}

TEST_F(Guard, names_that_are_not_this_host_s_are_refused) {
  const std::string known = cookie();
  for (const auto* host : {"127.0.0.1:8000", "localhost:1", "[::1]:8000", "127.9.9.9", "192.0.2.7:8000"})
    EXPECT_EQ(status("/", {{"host", host}, {"cookie", known}}), 200U) << host;
  for (const auto* host : {"example.net:8000", "localhost.example.net", "192.0.2.1", "[::1", "", "128.0.0.1",
                           "127.0.0.1.example.net"})
    EXPECT_EQ(status("/", {{"host", host}, {"cookie", known}}), 403U) << host;
  EXPECT_EQ(status("/", {{"host", "localhost"}, {"host", "localhost"}, {"cookie", known}}), 403U);
  EXPECT_EQ(status("/?token=" + guard.token(), {{"host", "example.net"}}), 403U);
}

TEST_F(Guard, requests_of_other_pages_are_refused) {
  const std::string known = cookie();
  const std::pair<std::string, std::string> json{"content-type", "application/json"};
  EXPECT_EQ(status("/api/send", {{"cookie", known}, json, {"origin", "http://127.0.0.1:8000"}}, "POST"),
            200U);
  for (const auto* origin : {"http://example.net", "null", "https://127.0.0.1:8000", "http://127.0.0.1:8001"})
    EXPECT_EQ(status("/api/send", {{"cookie", known}, json, {"origin", origin}}, "POST"), 403U) << origin;
  EXPECT_EQ(status("/", {{"cookie", known}, {"sec-fetch-site", "cross-site"}}), 403U);
  EXPECT_EQ(status("/", {{"cookie", known}, {"sec-fetch-site", "same-site"}}), 403U);
  EXPECT_EQ(status("/api/send", {{"cookie", known}, {"content-type", "text/plain"}}, "POST"), 415U);
  EXPECT_EQ(status("/api/send", {{"cookie", known}}, "POST"), 415U);
}

TEST(Target, members_of_the_query) {
  EXPECT_EQ(path_of("/a?b=c"), "/a");
  EXPECT_EQ(query_value("/a?bb=1&b=2", "b"), "2");
  EXPECT_EQ(query_value("/a?b=", "b"), "");
  EXPECT_EQ(query_value("/a", "b"), "");
}

}  // namespace
}  // namespace portolan
