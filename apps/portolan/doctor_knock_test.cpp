// SPDX-License-Identifier: BSD-2-Clause
//
// Both sides of a knock on the loopback interface.
#include "portolan/doctor_knock.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/system.h"

namespace portolan::doctor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const IpAddress loopback = *IpAddress::parse("127.0.0.1");
const Nonce word = *Nonce::parse("00112233445566778899aabb");

TEST(KnockLines, requests_are_read_as_they_are_written_and_nothing_else_is) {
  const KnockRequest request{.port = Port{40001}, .word = word};
  EXPECT_EQ(to_line(request), "portolan-knock 1 40001 00112233445566778899aabb\n");
  EXPECT_EQ(parse_request("portolan-knock 1 40001 00112233445566778899aabb"), request);
  for (const std::string_view line :
       {"", "GET / HTTP/1.1", "portolan-knock", "portolan-knock 2 1 00112233445566778899aabb",
        "portolan-knock 1 0 00112233445566778899aabb", "portolan-knock 1 65536 00112233445566778899aabb",
        "portolan-knock 1 -1 00112233445566778899aabb", "portolan-knock 1 80 0011",
        "portolan-knock 1 80 00112233445566778899aabb more",
        "portolan-knock  1 80 00112233445566778899aabb"}) {
    ASSERT_FALSE(parse_request(line)) << line;
    EXPECT_THAT(parse_request(line).error(), HasSubstr("portolan-knock 1 PORT WORD"));
  }
}

TEST(KnockLines, answers_are_printable) {
  const KnockAnswer done{.seen_from = loopback, .failure = {}};
  EXPECT_EQ(parse_answer("done 127.0.0.1"), done);
  EXPECT_EQ(to_line(done), "done 127.0.0.1\n");
  EXPECT_EQ(parse_answer("failed 127.0.0.1 no\x1b[31m way")->failure, "no?[31m way");
  const KnockAnswer failed{.seen_from = loopback, .failure = std::string(1000, 'x')};
  EXPECT_EQ(to_line(failed).size(), line_max);
  for (const std::string_view line : {"", "done", "done here", "perhaps 127.0.0.1"})
    EXPECT_EQ(parse_answer(line), std::nullopt) << line;
}

TEST(KnockLines, a_line_may_come_in_pieces_and_has_a_limit) {
  LineReader reader;
  const auto take = [&reader](const std::string& text) {
    return reader.take(std::as_bytes(std::span(text)));
  };
  EXPECT_EQ(take("do"), std::nullopt);
  EXPECT_EQ(take("ne\nrest"), "done");
  EXPECT_EQ(take(std::string(line_max, 'x') + "\n"), std::string(line_max, 'x'));
  EXPECT_EQ(take(std::string(line_max + 1, 'x') + "\n"), std::nullopt);
  EXPECT_TRUE(reader.is_too_long());
}

class KnockTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened =
        Knocker::open(loop, {loopback, Port{}}, [this](const std::string& line) { told.push_back(line); });
    ASSERT_TRUE(opened) << opened.error();
    knocker = std::move(*opened);
  }

  auto ask(Port port) -> std::expected<KnockAnswer, std::string> {
    std::expected<KnockAnswer, std::string> answer = std::unexpected("nobody called back");
    is_asking = true;
    const Knock knock(loop, knocker->endpoint(), {.port = port, .word = word}, [&](const auto& said) {
      answer = said;
      loop.stop();
    });
    run();
    is_asking = false;
    return answer;
  }
  void run() {
    const auto limit = loop.at(io::monotonic_now() + Seconds{30}, [this] {
      ADD_FAILURE() << "nothing happened for 30 s";
      loop.stop();
    });
    loop.run();
  }
  /// What the helper says to `text`, until it hangs up.
  auto say(const std::string& text) -> std::string {
    std::string heard;
    auto stream = io::Stream::connect(
        loop, {.kind = io::StreamAddress::Kind::tcp, .path = {}, .endpoint = knocker->endpoint()}, {},
        {.received =
             [&](std::span<const std::byte> octets) {
               for (const std::byte octet : octets) heard += static_cast<char>(octet);
             },
         .closed = [&](const std::string&) { loop.stop(); }});
    stream.send(std::as_bytes(std::span(text)));
    run();
    return heard;
  }

  io::EventLoop loop;
  std::vector<std::string> told;
  std::unique_ptr<Knocker> knocker;
  bool is_asking = false;
};

TEST_F(KnockTest, a_knock_arrives_at_the_door_with_its_word) {
  const auto door = Door::open(loop, loopback);
  ASSERT_TRUE(door) << door.error();
  bool has_arrived = false;
  (*door)->await(word, [&] {
    has_arrived = true;
    if (!is_asking) loop.stop();
  });
  EXPECT_EQ(ask((*door)->port()), (KnockAnswer{.seen_from = loopback, .failure = {}}));
  if (!has_arrived) run();
  EXPECT_TRUE(has_arrived);
  EXPECT_THAT(told, ElementsAre("127.0.0.1: knocked"));
}

TEST_F(KnockTest, another_word_is_no_knock) {
  const auto door = Door::open(loop, loopback);
  ASSERT_TRUE(door) << door.error();
  bool has_arrived = false;
  (*door)->await(*Nonce::parse("ffffffffffffffffffffffff"), [&] { has_arrived = true; });
  EXPECT_TRUE(ask((*door)->port()));
  // Behind this one, the first has been read.
  bool has_the_other = false;
  (*door)->await(word, [&] {
    has_the_other = true;
    if (!is_asking) loop.stop();
  });
  EXPECT_TRUE(ask((*door)->port()));
  if (!has_the_other) run();
  EXPECT_FALSE(has_arrived);
}

TEST_F(KnockTest, a_closed_door_is_told) {
  Port port;
  {
    const auto door = Door::open(loop, loopback);
    ASSERT_TRUE(door) << door.error();
    port = (*door)->port();
  }
  const auto answer = ask(port);
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_THAT(answer->failure.value_or(""), HasSubstr("refused"));
}

TEST_F(KnockTest, a_helper_tells_others_what_it_expects) {
  EXPECT_EQ(say("GET / HTTP/1.1\r\n\r\n"),
            "failed 127.0.0.1 expected: portolan-knock 1 PORT WORD, the word in 24 hexadecimal digits\n");
  EXPECT_THAT(say(std::string(line_max + 1, 'x')), testing::StartsWith("failed 127.0.0.1 expected:"));
}

TEST_F(KnockTest, askers_beyond_the_limit_are_sent_away) {
  const io::StreamAddress there{
      .kind = io::StreamAddress::Kind::tcp, .path = {}, .endpoint = knocker->endpoint()};
  std::vector<io::Stream> waiting(askers_max);
  std::size_t opened = 0;
  for (io::Stream& stream : waiting)
    stream = io::Stream::connect(loop, there, {},
                                 {.opened =
                                      [&] {
                                        if (++opened == waiting.size()) loop.stop();
                                      },
                                  .received = [](auto) {},
                                  .closed = [](const std::string&) {}});
  run();
  EXPECT_EQ(say("anything\n"), "");
  waiting.pop_back();
  // There is room once the helper has seen that one go.
  std::string heard;
  while (heard.empty() && !HasFailure()) heard = say("anything\n");
  EXPECT_THAT(heard, HasSubstr("expected"));
}

TEST_F(KnockTest, what_is_no_helper_is_told_as_such) {
  std::vector<io::Stream> accepted;
  auto other = io::StreamListener::open(
      loop, {.kind = io::StreamAddress::Kind::tcp, .path = {}, .endpoint = {loopback, Port{}}}, {},
      [&accepted](io::Stream stream) {
        accepted.push_back(std::move(stream));
        accepted.back().start({.received = [](auto) {}, .closed = [](const std::string&) {}});
        const std::string line = "220 mail.example ESMTP\n";
        accepted.back().send(std::as_bytes(std::span(line)));
      });
  ASSERT_TRUE(other) << other.error();
  std::string error;
  const Knock knock(loop, other->address().endpoint, {.port = Port{80}, .word = word}, [&](const auto& said) {
    error = said ? "" : said.error();
    loop.stop();
  });
  run();
  EXPECT_EQ(error, "it answers, but not as portolan doctor --listen-helper does");
}

}  // namespace
}  // namespace portolan::doctor
