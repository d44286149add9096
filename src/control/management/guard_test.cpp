// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/guard.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace portolan::management {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

auto hex(std::string_view secret) -> std::string {
  std::string digits;
  for (const std::byte octet : io::sha256(secret))
    digits += fmt::format("{:02x}", static_cast<unsigned>(octet));
  return digits;
}

auto tokens() -> Tokens {
  return Tokens::parse(fmt::format("looks read {}\nchanges write {}\n", hex("secret-1"), hex("secret-2")))
      .value();
}

class GuardTest : public ::testing::Test {
 protected:
  auto admit(Fields fields, std::size_t listener = 1) -> std::expected<Caller, Error> {
    const io::HttpRequestHead head{.method = "GET", .target = "/", .fields = std::move(fields)};
    return guard.admit(now, io::HttpCall(head, "", listener, "somebody", [](const io::HttpReply&) {}));
  }
  auto code_of(Fields fields, std::size_t listener = 1) -> std::string {
    const auto caller = admit(std::move(fields), listener);
    return caller ? "admitted" : std::string(caller.error().code);
  }
  static auto with_host(std::string host, std::string authorization = "Bearer secret-1") -> Fields {
    return {{"host", std::move(host)}, {"authorization", std::move(authorization)}};
  }

  TimePoint now{Seconds{1000}};
  Guard guard{
      {io::parse_stream_address("unix:/a").value(), io::parse_stream_address("tls:192.0.2.1:5380").value(),
       io::parse_stream_address("tls:[::]:5380").value()},
      {"gw.example.net"},
      tokens()};
};

TEST_F(GuardTest, the_file_of_a_unix_socket_says_who_may_ask) {
  const auto caller = admit({}, 0);
  ASSERT_TRUE(caller.has_value());
  EXPECT_EQ(caller->access, Command::Access::write);
  EXPECT_EQ(caller->name, "somebody");
  EXPECT_EQ(code_of({{"host", "anything"}}, 0), "admitted");
}

TEST_F(GuardTest, over_tcp_a_token_says_what_one_may) {
  EXPECT_EQ(admit(with_host("192.0.2.1"))->access, Command::Access::read);
  EXPECT_EQ(admit(with_host("192.0.2.1", "bearer secret-2"))->access, Command::Access::write);
  EXPECT_EQ(admit(with_host("192.0.2.1", "bearer secret-2"))->name, "token changes");
  EXPECT_EQ(code_of({{"host", "192.0.2.1"}}), "no-token");
  for (const char* authorization : {"", "Bearer", "Bearer ", "Basic secret-1", "secret-1"})
    EXPECT_EQ(code_of(with_host("192.0.2.1", authorization)), "no-token") << authorization;
  for (const char* authorization :
       {"Bearer secret-3", "Bearer secret-1 ", "Bearer  secret-1", "Bearer SECRET-1"})
    EXPECT_EQ(code_of(with_host("192.0.2.1", authorization)), "wrong-token") << authorization;
}

TEST_F(GuardTest, wrong_tokens_are_slowed_down_and_right_ones_are_not) {
  for (unsigned i = 0; i < WrongTokens::per_minute_max; ++i)
    EXPECT_EQ(code_of(with_host("192.0.2.1", "Bearer x")), "wrong-token");
  EXPECT_EQ(code_of(with_host("192.0.2.1", "Bearer x")), "too-many-wrong-tokens");
  EXPECT_EQ(code_of(with_host("192.0.2.1")), "admitted");
  now += Seconds{60};
  EXPECT_EQ(code_of(with_host("192.0.2.1", "Bearer x")), "wrong-token");
}

TEST_F(GuardTest, hosts_are_those_of_this_server) {
  for (const char* host : {"192.0.2.1", "192.0.2.1:5380", "localhost", "LOCALHOST:5380",
                           "gw.example.net:5380", "GW.example.net"})
    EXPECT_EQ(code_of(with_host(host)), "admitted") << host;
  for (const char* host :
       {"", "evil.example", "192.0.2.2", "gw.example.net.evil.example", "[2001:db8::1]", "["})
    EXPECT_EQ(code_of(with_host(host)), "wrong-host") << host;
  // It listens at all addresses.
  EXPECT_EQ(code_of(with_host("[2001:db8::1]:5380"), 2), "admitted");
  EXPECT_EQ(code_of(with_host("evil.example"), 2), "wrong-host");
}

TEST_F(GuardTest, one_host_and_one_authorization_is_given) {
  EXPECT_EQ(code_of({{"authorization", "Bearer secret-1"}}), "malformed");
  EXPECT_EQ(code_of({{"host", "localhost"}, {"host", "localhost"}, {"authorization", "Bearer secret-1"}}),
            "malformed");
  EXPECT_EQ(
      code_of({{"host", "localhost"}, {"authorization", "Bearer x"}, {"authorization", "Bearer secret-1"}}),
      "malformed");
}

TEST_F(GuardTest, web_pages_of_others_are_refused_everywhere) {
  const auto from = [this](const std::string& origin, const std::string& host = "192.0.2.1:5380") {
    Fields fields = with_host(host);
    fields.emplace_back("origin", origin);
    return code_of(fields);
  };
  EXPECT_EQ(from("https://192.0.2.1:5380"), "admitted");
  EXPECT_EQ(from("https://gw.example.net:5380", "gw.example.net:5380"), "admitted");
  for (const auto* origin : {"https://evil.example", "null", "http://192.0.2.1:5380", "https://192.0.2.1", "",
                             "https://192.0.2.1:5380.evil.example"})
    EXPECT_EQ(from(origin), "browser") << origin;
  EXPECT_EQ(from("https://evil.example:5380", "evil.example:5380"), "browser");
  EXPECT_EQ(code_of({{"origin", "null"}}, 0), "browser");
  EXPECT_EQ(code_of({{"host", "localhost"}, {"origin", "https://localhost"}}, 0), "browser");
}

TEST_F(GuardTest, pages_are_served_to_who_names_this_host) {
  const auto serves = [this](const std::string& host, std::size_t listener) {
    const io::HttpRequestHead head{.method = "GET", .target = "/", .fields = {{"host", host}}};
    return guard.serves_pages(io::HttpCall(head, "", listener, "somebody", [](const io::HttpReply&) {}));
  };
  EXPECT_TRUE(serves("192.0.2.1:5380", 1));
  EXPECT_TRUE(serves("gw.example.net", 1));
  EXPECT_FALSE(serves("evil.example", 1));
  EXPECT_FALSE(serves("localhost", 0)) << "a UNIX socket has no browsers";
}

TEST(Tokens, a_file_with_mistakes_says_which) {
  const auto mistakes = [](const std::string& text) {
    const auto read = Tokens::parse(text);
    return read ? std::vector<std::string>{} : read.error();
  };
  const std::string digest = hex("a");
  EXPECT_TRUE(mistakes("\n# nobody yet\n   \n").empty());
  EXPECT_TRUE(mistakes("a\tread  " + digest + " # alice\r\n").empty());
  EXPECT_EQ(mistakes("a read"),
            std::vector<std::string>{"1: must be a name, \"read\" or \"write\", and a digest"});
  EXPECT_EQ(mistakes("\na all " + digest),
            std::vector<std::string>{"2: 'all' must be \"read\" or \"write\""});
  EXPECT_EQ(mistakes("a read " + digest.substr(1)).size(), 1U);
  EXPECT_EQ(mistakes("a read " + digest + "\na write " + digest),
            std::vector<std::string>{"2: 'a' is there twice: give each token a name"});
  EXPECT_EQ(mistakes(std::string(64, 'n') + " read " + digest).size(), 0U);
  EXPECT_EQ(mistakes(std::string(65, 'n') + " read " + digest).size(), 1U);
}

TEST(Tokens, there_is_a_limit) {
  std::string text;
  for (std::size_t i = 0; i < Tokens::tokens_max; ++i)
    text += fmt::format("n{} read {}\n", i, std::string(64, '0'));
  EXPECT_EQ(Tokens::parse(text)->size(), Tokens::tokens_max);
  EXPECT_FALSE(Tokens::parse(text + "more read " + std::string(64, '0')).has_value());
}

}  // namespace
}  // namespace portolan::management
