// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_client.h"

#include <optional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_http_server.h"
#include "io/testing.h"

namespace portolan::io {
namespace {

using ::testing::HasSubstr;
using testing::HttpTestServer;
using ::testing::StartsWith;
using testing::TemporaryFolder;
using Answer = HttpTestServer::Answer;

/// What came of one request.
struct Came {
  std::optional<HttpHead> head;
  std::string body;
  std::optional<std::expected<void, HttpFailure>> end;

  [[nodiscard]] auto failure() const -> std::string {
    if (!end) return "no end";
    return *end ? "no failure" : end->error().text;
  }
};

class HttpClientTest : public ::testing::Test {
 protected:
  [[nodiscard]] auto local(const char* name = "a.sock") const -> StreamAddress {
    return {.kind = StreamAddress::Kind::unix_socket, .path = folder.path() / name, .endpoint = {}};
  }

  auto get(const HttpServer& server, const HttpRequest& request = {}) -> Came {
    Came came;
    const HttpExchange exchange(loop, server, request,
                                {.headed = [&](const HttpHead& head) { came.head = head; },
                                 .received = [&](std::string_view octets) { came.body += octets; },
                                 .ended =
                                     [&](const auto& result) {
                                       came.end = result;
                                       loop.stop();
                                     }});
    loop.run();
    return came;
  }

  /// One request, answered so.
  auto get_answered(const Answer& answer, const HttpRequest& request = {}) -> Came {
    HttpTestServer server(local(), {}, [&](const std::string&) { return answer; });
    Came came = get({.addresses = {server.address()}}, request);
    requests = server.requests();
    return came;
  }

  TemporaryFolder folder;
  EventLoop loop;
  std::vector<std::string> requests;
};

TEST_F(HttpClientTest, an_answer_comes_whole) {
  const Came came = get_answered(HttpTestServer::whole(404, "Application/JSON; charset=utf-8", "{}"));
  EXPECT_EQ(came.failure(), "no failure");
  ASSERT_TRUE(came.head);
  EXPECT_EQ(came.head->status, 404U);
  EXPECT_EQ(came.head->content_type, "application/json");
  EXPECT_EQ(came.body, "{}");
}

TEST_F(HttpClientTest, a_request_says_who_asks_for_what) {
  HttpTestServer server(local(), {},
                        [](const std::string&) { return HttpTestServer::whole(200, "a/b", ""); });
  const Came came =
      get({.addresses = {server.address()}, .identity = {}, .host = "gateway.example:1", .token = "T0ken"},
          {.method = "POST", .target = "/v1/users?x=%20", .body = "{\"a\":1}", .silence_max = {}});
  EXPECT_EQ(came.failure(), "no failure");
  ASSERT_EQ(server.requests().size(), 1U);
  const std::string request = server.requests().front();
  EXPECT_THAT(request, StartsWith("POST /v1/users?x=%20 HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nHost: gateway.example:1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer T0ken\r\n"));
  EXPECT_THAT(request, ::testing::EndsWith("\r\nContent-Length: 7\r\n\r\n{\"a\":1}"));
}

TEST_F(HttpClientTest, chunks_come_one_after_the_other) {
  std::string long_part(300'000, 'x');
  const Came came = get_answered(HttpTestServer::chunked("application/x-ndjson", {"one\n", long_part, "\n"}));
  EXPECT_EQ(came.failure(), "no failure");
  EXPECT_EQ(came.body, "one\n" + long_part + "\n");
}

TEST_F(HttpClientTest, an_answer_in_single_octets_is_the_same) {
  Answer answer;
  for (const char octet :
       HttpTestServer::chunked("a/b", {"one", "two"}).pieces.front() + "3\r\none\r\n0\r\n\r\n")
    answer.pieces.emplace_back(1, octet);
  EXPECT_EQ(get_answered(answer).body, "one");
}

TEST_F(HttpClientTest, an_answer_cut_short_is_a_failure) {
  const Came came = get_answered(HttpTestServer::begun("a/b", {"one\n"}));
  EXPECT_EQ(came.body, "one\n");
  EXPECT_THAT(came.failure(), HasSubstr("in the middle of the answer"));
  EXPECT_FALSE(came.end->error().is_unreachable);
  Answer short_answer = HttpTestServer::whole(200, "a/b", "12345");
  short_answer.pieces.front().pop_back();
  EXPECT_THAT(get_answered(short_answer).failure(), HasSubstr("in the middle of the answer"));
}

TEST_F(HttpClientTest, no_answer_is_a_failure) {
  EXPECT_THAT(get_answered({}).failure(), HasSubstr("before an answer"));
}

TEST_F(HttpClientTest, an_answer_whose_end_is_not_told_is_a_failure) {
  EXPECT_THAT(get_answered({.pieces = {"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nsome"}}).failure(),
              HasSubstr("does not say where it ends"));
}

TEST_F(HttpClientTest, octets_that_are_not_http_are_a_failure) {
  EXPECT_THAT(get_answered({.pieces = {"SSH-2.0-OpenSSH_9.2\r\n\r\n"}, .is_closed = false}).failure(),
              HasSubstr("not HTTP"));
  EXPECT_THAT(get_answered({.pieces = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"},
                            .is_closed = false})
                  .failure(),
              HasSubstr("not HTTP"));
}

TEST_F(HttpClientTest, a_head_is_taken_up_to_its_limit) {
  const auto with_head_of = [](std::size_t octets) {
    std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ";
    head += std::string(octets - head.size() - 4, 'x') + "\r\n\r\n";
    return Answer{.pieces = {head}, .is_closed = false};
  };
  EXPECT_EQ(get_answered(with_head_of(HttpExchange::head_octets_max - 1)).failure(), "no failure");
  EXPECT_EQ(get_answered(with_head_of(HttpExchange::head_octets_max)).failure(), "no failure");
  EXPECT_THAT(get_answered(with_head_of(HttpExchange::head_octets_max + 1)).failure(),
              HasSubstr("longer than 16384 octets"));
  EXPECT_THAT(get_answered(with_head_of(10 * HttpExchange::head_octets_max)).failure(),
              HasSubstr("longer than 16384 octets"));
}

TEST_F(HttpClientTest, what_is_between_chunks_has_an_end) {
  Answer answer = HttpTestServer::begun("a/b", {"one"});
  answer.pieces.push_back("3;" + std::string(1'000'000, 'x'));
  answer.is_closed = false;
  EXPECT_THAT(get_answered(answer).failure(),
              ::testing::AnyOf(HasSubstr("has no end"), HasSubstr("not HTTP")));
}

TEST_F(HttpClientTest, a_server_that_falls_silent_is_given_up) {
  Answer answer = HttpTestServer::begun("a/b", {"one"});
  answer.is_closed = false;
  const Came came =
      get_answered(answer, {.method = "GET", .target = "/", .body = {}, .silence_max = Seconds{1}});
  EXPECT_EQ(came.body, "one");
  EXPECT_THAT(came.failure(), HasSubstr("has said nothing for 1 s"));
}

TEST_F(HttpClientTest, who_is_out_of_reach_is_named) {
  const Came came = get({.addresses = {local("none.sock"), local("neither.sock")}});
  ASSERT_TRUE(came.end && !*came.end);
  EXPECT_TRUE(came.end->error().is_unreachable);
  EXPECT_THAT(came.failure(), HasSubstr("none.sock: No such file or directory; unix:"));
  EXPECT_THAT(came.failure(), HasSubstr("neither.sock: No such file or directory"));
  EXPECT_FALSE(came.head);
}

TEST_F(HttpClientTest, the_next_address_is_tried) {
  HttpTestServer server(local(), {},
                        [](const std::string&) { return HttpTestServer::whole(200, "a/b", "here"); });
  EXPECT_EQ(get({.addresses = {local("none.sock"), server.address()}}).body, "here");
}

TEST_F(HttpClientTest, nothing_is_read_while_nothing_is_wanted) {
  const std::string body(std::size_t{8} << 20U, 'x');
  HttpTestServer server(local(), {},
                        [&](const std::string&) { return HttpTestServer::whole(200, "a/b", body); });
  std::size_t octets = 0;
  bool is_paused = false;
  HttpExchange exchange;
  HttpHandlers handlers;
  handlers.headed = [](const HttpHead&) {};
  handlers.received = [&](std::string_view part) {
    octets += part.size();
    if (!is_paused) exchange.set_reading(false);
    is_paused = true;
  };
  handlers.ended = [&](const auto&) { loop.stop(); };
  exchange = HttpExchange(loop, {.addresses = {server.address()}}, {}, std::move(handlers));
  // Many more turns than all of it would need.
  int turns = 0;
  std::function<void()> turn = [&] {
    if (!is_paused || ++turns < 5000)
      loop.post(turn);
    else
      loop.stop();
  };
  loop.post(turn);
  loop.run();
  EXPECT_LT(octets, std::size_t{1} << 20U);
  exchange.set_reading(true);
  loop.run();
  EXPECT_EQ(octets, body.size());
}

TEST_F(HttpClientTest, an_exchange_may_end_itself_in_each_handler) {
  HttpTestServer server(local(), {},
                        [](const std::string&) { return HttpTestServer::chunked("a/b", {"one", "two"}); });
  for (const int which : {0, 1, 2}) {
    int called = 0;
    HttpExchange exchange;
    const auto end = [&](int here) {
      ++called;
      if (here != which) return;
      exchange = {};
      loop.stop();
    };
    exchange = HttpExchange(loop, {.addresses = {server.address()}}, {},
                            {.headed = [&](const HttpHead&) { end(0); },
                             .received = [&](std::string_view) { end(1); },
                             .ended = [&](const auto&) { end(2); }});
    loop.run();
    EXPECT_GE(called, which + 1);
  }
}

TEST(PercentEncoding, only_what_means_nothing_in_a_query_stays) {
  EXPECT_EQ(percent_encoded("2001:db8::/64"), "2001%3Adb8%3A%3A%2F64");
  EXPECT_EQ(percent_encoded("a b&c=d+e%\xc3\xa9~-._"), "a%20b%26c%3Dd%2Be%25%C3%A9~-._");
}

}  // namespace
}  // namespace portolan::io
