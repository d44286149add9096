// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_parser.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

constexpr std::string_view simple =
    "GET /v1/users?limit=3 HTTP/1.1\r\nHost: gw.example\r\nX-Two:  b \r\n\r\n";

/// Feeds `octets` in pieces of `size`, what was not taken again with the next; returns what is left.
auto feed(HttpParser& parser, std::string_view octets, std::size_t size = 1) -> std::string {
  std::string waiting;
  while (!octets.empty() && !parser.is_complete() && !parser.problem()) {
    waiting += octets.substr(0, size);
    octets.remove_prefix(std::min(size, octets.size()));
    waiting.erase(0, parser.feed(waiting));
  }
  return waiting + std::string(octets);
}

auto problem_of(std::string_view octets, HttpLimits limits = {}) -> std::optional<HttpProblem> {
  HttpParser parser(limits);
  feed(parser, octets, octets.size());
  return parser.problem();
}

TEST(HttpParser, a_request_is_the_same_however_it_is_cut) {
  for (const std::size_t size : {std::size_t{1}, std::size_t{7}, simple.size()}) {
    HttpParser parser({});
    EXPECT_EQ(feed(parser, simple, size), "");
    ASSERT_TRUE(parser.is_complete()) << size;
    const HttpRequestHead head = parser.head();
    EXPECT_EQ(head.method, "GET");
    EXPECT_EQ(head.target, "/v1/users?limit=3");
    ASSERT_NE(head.field("host"), nullptr);
    EXPECT_EQ(*head.field("host"), "gw.example");
    EXPECT_EQ(*head.field("x-two"), "b");
    EXPECT_EQ(head.field("x-three"), nullptr);
    EXPECT_FALSE(head.has_length);
    EXPECT_TRUE(parser.is_kept());
    EXPECT_TRUE(parser.takes_chunks());
    EXPECT_EQ(parser.take_body(), "");
  }
}

TEST(HttpParser, a_body_comes_by_length_or_in_chunks) {
  for (const std::string_view text : {"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
                                      "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                                      "chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n"})
    for (const std::size_t size : {std::size_t{1}, text.size()}) {
      HttpParser parser({});
      EXPECT_EQ(feed(parser, text, size), "");
      ASSERT_TRUE(parser.is_complete()) << text;
      EXPECT_TRUE(parser.head().has_length);
      EXPECT_EQ(parser.take_body(), "hello");
    }
}

TEST(HttpParser, requests_follow_each_other) {
  HttpParser parser({});
  std::string rest =
      feed(parser, std::string(simple) + "DELETE /b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n", 200);
  ASSERT_TRUE(parser.is_complete());
  parser.reset();
  EXPECT_FALSE(parser.is_complete());
  EXPECT_EQ(feed(parser, rest, 200), "");
  ASSERT_TRUE(parser.is_complete());
  EXPECT_EQ(parser.head().method, "DELETE");
  EXPECT_FALSE(parser.is_kept());
}

TEST(HttpParser, version_1_0_ends_the_connection_and_takes_no_chunks) {
  HttpParser parser({});
  feed(parser, "GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(parser.is_complete());
  EXPECT_FALSE(parser.is_kept());
  EXPECT_FALSE(parser.takes_chunks());
}

TEST(HttpParser, who_waits_for_continue_is_noticed_once) {
  HttpParser parser({});
  feed(parser, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n");
  EXPECT_TRUE(parser.wants_continue());
  EXPECT_FALSE(parser.wants_continue());
  feed(parser, "ab");
  EXPECT_TRUE(parser.is_complete());
}

TEST(HttpParser, what_is_no_request_is_malformed) {
  for (const std::string_view text :
       {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", "GET\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost a\r\n\r\n", " GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA: b\x01\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"})
    EXPECT_EQ(problem_of(text), HttpProblem::malformed) << text;
  EXPECT_EQ(problem_of("GET / HTTP/2.0\r\n\r\n"), HttpProblem::version_unsupported);
  EXPECT_EQ(problem_of("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n"),
            HttpProblem::transfer_unsupported);
}

auto request_of(std::size_t header_octets) -> std::string {
  const std::string begin = "GET / HTTP/1.1\r\nA: ";
  return begin + std::string(header_octets - begin.size() - 4, 'a') + "\r\n\r\n";
}

TEST(HttpParser, a_header_has_a_limit) {
  const HttpLimits limits{.header_octets = 200};
  EXPECT_EQ(problem_of(request_of(199), limits), std::nullopt);
  EXPECT_EQ(problem_of(request_of(200), limits), std::nullopt);
  EXPECT_EQ(problem_of(request_of(201), limits), HttpProblem::header_too_large);
  EXPECT_TRUE(problem_of(std::string(201, 'G'), limits).has_value());
  // Of many fields, too, however they come.
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 10; ++i) many += "Field: " + std::string(20, 'a') + "\r\n";
  for (const std::size_t size : {std::size_t{1}, std::size_t{29}, many.size() + 2}) {
    HttpParser parser(limits);
    feed(parser, many + "\r\n", size);
    EXPECT_EQ(parser.problem(), HttpProblem::header_too_large) << size;
  }
  // Of chunks as well.
  EXPECT_EQ(
      problem_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(300, 'x'), limits),
      HttpProblem::header_too_large);
}

TEST(HttpParser, a_body_has_a_limit) {
  const HttpLimits limits{.body_octets = 10};
  const auto with = [](std::size_t octets) {
    return "POST / HTTP/1.1\r\nContent-Length: " + std::to_string(octets) + "\r\n\r\n" +
           std::string(octets, 'b');
  };
  EXPECT_EQ(problem_of(with(9), limits), std::nullopt);
  EXPECT_EQ(problem_of(with(10), limits), std::nullopt);
  EXPECT_EQ(problem_of(with(11), limits), HttpProblem::body_too_large);
  EXPECT_EQ(problem_of("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nbbbbbbbbbbb\r\n0\r\n\r\n",
                       limits),
            HttpProblem::body_too_large);
}

}  // namespace
}  // namespace portolan::io
