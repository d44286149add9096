// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/timeline.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "io/event_loop.h"

namespace portolan {
namespace {

using Kind = Traffic::Kind;

const Endpoint host{.address = *IpAddress::parse("198.51.100.1"), .port = Port{40000}};
const Endpoint server{.address = *IpAddress::parse("198.51.100.2"), .port = Port{5351}};

/// A MAP message whose nonce and internal port are `mark`; `difference` is behind them.
auto map_message(bool is_response, std::uint8_t mark, std::uint8_t difference = 0) -> std::vector<std::byte> {
  std::vector<std::byte> octets(60);
  octets[0] = std::byte{2};
  octets[1] = std::byte{is_response ? std::uint8_t{0x81} : std::uint8_t{1}};
  octets[24] = octets[41] = std::byte{mark};
  octets[43] = std::byte{difference};
  return octets;
}

class TimelineTest : public testing::Test {
 protected:
  /// The entry that it belongs to.
  auto add(Kind kind, std::vector<std::byte> payload) -> std::optional<std::uint64_t> {
    const bool is_sent = kind == Kind::sent;
    timeline.add({.kind = kind,
                  .source = is_sent ? host : server,
                  .destination = is_sent ? server : host,
                  .payload = std::move(payload)});
    return timeline.entries().back().belongs_to;
  }
  auto send(std::uint8_t mark) -> std::optional<std::uint64_t> {
    return add(Kind::sent, map_message(false, mark));
  }
  auto receive(std::uint8_t mark, std::uint8_t difference = 0) -> std::optional<std::uint64_t> {
    return add(Kind::received, map_message(true, mark, difference));
  }

  io::EventLoop loop;
  Timeline timeline{loop};
};

TEST_F(TimelineTest, answers_belong_to_the_request_with_their_nonce_and_port) {
  EXPECT_EQ(send(1), std::nullopt);
  EXPECT_EQ(send(2), std::nullopt);
  EXPECT_EQ(receive(1), 1);
  EXPECT_EQ(receive(2), 2);
  EXPECT_EQ(receive(3), std::nullopt) << "nobody asked";
}

TEST_F(TimelineTest, what_is_sent_again_is_one_request_until_it_is_answered) {
  EXPECT_EQ(send(1), std::nullopt);
  EXPECT_EQ(send(1), 1);
  EXPECT_EQ(send(1), 1);
  EXPECT_FALSE(timeline.is_finished(1));
  EXPECT_EQ(receive(1), 1);
  EXPECT_TRUE(timeline.is_finished(1)) << "whichever of the three it was for";
  EXPECT_EQ(send(1), std::nullopt) << "another exchange";
}

TEST_F(TimelineTest, a_request_has_as_many_answers_as_it_was_sent_times) {
  send(1);
  send(1);
  EXPECT_EQ(receive(1), 1);
  EXPECT_EQ(receive(1), 1);
  EXPECT_EQ(receive(1, 7), std::nullopt) << "an update that nobody asked for, RFC 6887 s14.2";
}

TEST_F(TimelineTest, an_answer_that_is_late_goes_to_the_request_that_has_none) {
  send(1);
  add(Kind::sent, map_message(false, 1, 5));
  EXPECT_EQ(receive(1), 2);
  EXPECT_EQ(receive(1), 1);
  EXPECT_EQ(receive(1), std::nullopt);
}

TEST_F(TimelineTest, announcements_belong_to_nothing) {
  send(1);
  EXPECT_EQ(add(Kind::announced, map_message(true, 1)), std::nullopt);
  EXPECT_FALSE(timeline.is_finished(1));
}

TEST_F(TimelineTest, nothing_is_awaited_of_a_request_that_was_cleared) {
  send(1);
  send(1);
  timeline.clear();
  EXPECT_TRUE(timeline.is_finished(1));
}

TEST_F(TimelineTest, nothing_is_awaited_of_a_request_that_is_too_old_to_be_kept) {
  send(1);
  for (std::size_t more = 1; more < Timeline::entries_max; ++more) timeline.add("note", {{"text", "some"}});
  EXPECT_FALSE(timeline.is_finished(1));
  send(1);
  EXPECT_FALSE(timeline.is_finished(1)) << "the first one is gone, the repeated one is there";
  for (std::size_t more = 1; more < Timeline::entries_max; ++more) timeline.add("note", {{"text", "some"}});
  EXPECT_FALSE(timeline.is_finished(1));
  timeline.add("note", {{"text", "one more"}});
  EXPECT_TRUE(timeline.is_finished(1));
}

}  // namespace
}  // namespace portolan
