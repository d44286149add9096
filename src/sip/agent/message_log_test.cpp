// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/message_log.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace portolan::sip {
namespace {

const std::string separator(72, '-');

auto endpoint(std::string_view address, std::uint16_t port) -> Endpoint {
  return {.address = *IpAddress::parse(address), .port = Port{port}};
}

auto messages_of(const std::vector<std::string>& lines) -> std::vector<MessageLog::Message> {
  MessageLog log;
  std::vector<MessageLog::Message> messages;
  for (const std::string& line : lines)
    if (auto message = log.take(line)) messages.push_back(*std::move(message));
  return messages;
}

TEST(MessageLog, lines_become_the_message_again) {
  const auto messages = messages_of({
      "send 40 bytes to udp/[2001:db8::1]:5060 at 07:26:07.833062:",
      "   " + separator,
      "   OPTIONS sip:a@b SIP/2.0",
      "   To: sip:a@b",
      "   ",
      "   " + separator,
      "recv 16 bytes from tcp/[192.0.2.13]:5061/7 at 07:26:08.000001:",
      "   " + separator,
      "   SIP/2.0 200 OK",
      "   " + separator,
  });
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0], (MessageLog::Message{.is_sent = true,
                                              .remote = endpoint("2001:db8::1", 5060),
                                              .text = "OPTIONS sip:a@b SIP/2.0\r\nTo: sip:a@b\r\n\r\n"}));
  EXPECT_EQ(messages[1], (MessageLog::Message{.protocol = Protocol::tcp,
                                              .remote = endpoint("192.0.2.13", 5061),
                                              .text = "SIP/2.0 200 OK\r\n"}));
}

TEST(MessageLog, a_line_of_the_text_that_looks_like_the_end_is_none) {
  const auto messages = messages_of({
      "recv 81 bytes from udp/[2001:db8::1]:5060 at 07:26:07.833062:",
      "   " + separator,
      "   a",
      "   " + separator,
      "   bc",
      "   " + separator,
  });
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_EQ(messages[0].text, "a\r\n" + separator + "\r\nbc\r\n");
}

TEST(MessageLog, what_sofia_cuts_is_kept_as_far_as_it_goes) {
  const std::vector<std::string> cut = {
      "recv 9000 bytes from udp/[2001:db8::1]:5060 at 07:26:07.833062:", "   " + separator, "   a",
      "   " + separator, "   *** message truncated at 3"};
  ASSERT_EQ(messages_of(cut).size(), 1U);
  EXPECT_EQ(messages_of(cut)[0].text, "a\r\n");
  // Or the next one begins before its end.
  const auto next = messages_of({
      "recv 9000 bytes from udp/[2001:db8::1]:5060 at 07:26:07.833062:",
      "   " + separator,
      "   a",
      "recv 3 bytes from udp/[2001:db8::1]:5060 at 07:26:07.833062:",
      "   " + separator,
      "   b",
      "   " + separator,
  });
  ASSERT_EQ(next.size(), 2U);
  EXPECT_EQ(next[0].text, "a\r\n");
  EXPECT_EQ(next[1].text, "b\r\n");
}

TEST(MessageLog, other_lines_are_no_messages) {
  for (const char* line : {"", "   ", "send", "send 12 bytes", "send x bytes to udp/[2001:db8::1]:5060 at 1:",
                           "recv 1 bytes from udp/[::1]:", "recv 1 bytes from udp/[::1]:65536 at",
                           "recv 1 bytes from sctp/[::1]:5060 at",
                           "recv 1 bytes from udp/[mysip.example]:5060 at", "nta: hello"}) {
    EXPECT_TRUE(messages_of({line, "   " + separator, "   a", "   " + separator}).empty()) << line;
  }
}

TEST(MessageLog, no_message_is_kept_beyond_the_limit) {
  for (const std::size_t octets :
       {MessageLog::octets_max - 1, MessageLog::octets_max, MessageLog::octets_max + 1}) {
    std::vector<std::string> lines = {
        fmt::format("recv {} bytes from tcp/[2001:db8::1]:5060 at 07:26:07.833062:", octets),
        "   " + separator};
    for (std::size_t i = 0; i < octets; i += 1000) lines.push_back("   " + std::string(998, 'a'));
    lines.push_back("   " + separator);
    const auto messages = messages_of(lines);
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0].text.size(), std::min(octets, MessageLog::octets_max));
  }
}

}  // namespace
}  // namespace portolan::sip
