// SPDX-License-Identifier: BSD-2-Clause
#include "sip/sdp.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace portolan::sip {
namespace {

auto address(const char* text) -> IpAddress { return *IpAddress::parse(text); }

constexpr const char* head =
    "v=0\r\no=client4 3867 3868 IN IP4 192.0.2.14\r\ns=Talk\r\nc=IN IP4 192.0.2.14\r\nt=0 0\r\n";

auto media_of(const std::string& lines) -> Media {
  const auto description = parse_sdp(head + ("m=audio 7056 RTP/AVP 0 101\r\n" + lines));
  EXPECT_TRUE(description) << description.error().text;
  return description ? description->media.at(0) : Media{};
}

TEST(Sdp, a_description_is_read_line_by_line) {
  const auto description =
      parse_sdp(std::string(head) +
                "m=audio 42000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
                "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-11\r\na=rtcp:42777\r\n"
                "a=altc:1 IP6 2001:db8:64::2 7078/7091\r\na=altc:2 IP4 192.0.2.14 42000\r\n"
                "a=sendonly\r\nm=video 0 RTP/AVP 99\r\n");
  ASSERT_TRUE(description) << description.error().text;
  EXPECT_EQ(description->user, "client4");
  EXPECT_EQ(description->session_id, 3867U);
  EXPECT_EQ(description->version, 3868U);
  EXPECT_EQ(description->address, address("192.0.2.14"));
  ASSERT_EQ(description->media.size(), 2U);
  const Media& audio = description->media[0];
  EXPECT_EQ(audio.port.value, 42000);
  EXPECT_EQ(audio.rtcp_port, Port{42777});
  EXPECT_FALSE(audio.rtcp_address);
  EXPECT_EQ(audio.direction, Direction::sendonly);
  ASSERT_EQ(audio.formats.size(), 2U);
  EXPECT_EQ(audio.formats[1].encoding, "telephone-event");
  EXPECT_EQ(audio.formats[1].parameters, "0-11");
  ASSERT_EQ(audio.alternatives.size(), 2U);
  EXPECT_EQ(audio.alternatives[0].number, 1U);
  EXPECT_EQ(audio.alternatives[0].rtp, (Endpoint{address("2001:db8:64::2"), Port{7078}}));
  EXPECT_EQ(audio.alternatives[0].rtcp_port, Port{7091});
  EXPECT_FALSE(audio.alternatives[1].rtcp_port);
  EXPECT_EQ(description->media[1].port.value, 0);
  EXPECT_EQ(parse_sdp(to_text(*description)), description);
}

TEST(Sdp, line_ends_may_be_bare_and_unknown_lines_are_read_over) {
  const auto description = parse_sdp(
      "v=0\no=- 1 2 IN IP6 2001:db8::1\ns=-\ni=who\nb=AS:80\nc=IN IP6 2001:db8::1\n"
      "t=0 0\nz=what\na=tool:x\nm=audio 6000 RTP/AVP 8\na=silenceSupp:off\n");
  ASSERT_TRUE(description) << description.error().text;
  EXPECT_EQ(description->origin, address("2001:db8::1"));
  EXPECT_EQ(description->media.at(0).formats.at(0).payload_type, 8);
}

TEST(Sdp, the_trace_s_older_altc_goes_to_the_medium_that_it_repeats) {
  // As in the INVITE shown at IETF 85, with documentation addresses.
  const auto description = parse_sdp(
      "v=0\r\no=client4 3867 3867 IN IP4 192.0.2.14\r\ns=Talk\r\nc=IN IP4 192.0.2.14\r\nb=AS:256\r\nt=0 0\r\n"
      "m=audio 7056 RTP/AVP 111 110 3 101\r\na=rtpmap:111 speex/16000\r\na=fmtp:111 vbr=on\r\n"
      "m=video 9056 RTP/AVP 102 99\r\na=rtpmap:102 H264/90000\r\n"
      "a=altc: IP6 2001:db8:3000:6c73:ea54:cef:2730:1 45678\r\na=altc: IP4 192.0.2.14 7056\r\n");
  ASSERT_TRUE(description) << description.error().text;
  EXPECT_TRUE(description->media[1].alternatives.empty());
  ASSERT_EQ(description->media[0].alternatives.size(), 2U);
  EXPECT_FALSE(description->media[0].alternatives[0].number);
  EXPECT_EQ(description->media[0].alternatives[1].rtp.port.value, 7056);
}

TEST(Sdp, older_altc_stays_where_it_belongs_and_numbered_altc_where_it_stands) {
  const std::string two_media = std::string(head) + "m=audio 7056 RTP/AVP 0\r\nm=video 9056 RTP/AVP 99\r\n";
  const auto own = parse_sdp(two_media + "a=altc: IP6 2001:db8::1 9056\r\na=altc: IP4 192.0.2.14 9056\r\n");
  ASSERT_TRUE(own);
  EXPECT_EQ(own->media[1].alternatives.size(), 2U);
  const auto numbered =
      parse_sdp(two_media + "a=altc:1 IP6 2001:db8::1 9056\r\na=altc:2 IP4 192.0.2.14 7056\r\n");
  ASSERT_TRUE(numbered);
  EXPECT_EQ(numbered->media[1].alternatives.size(), 2U);
}

TEST(Sdp, altc_that_can_t_be_read_is_none) {
  for (const char* line :
       {"a=altc:1 IP6 192.0.2.1 5000", "a=altc:1 IP4 2001:db8::1 5000", "a=altc:x IP4 192.0.2.1 5000",
        "a=altc:1 IP4 192.0.2.1 0", "a=altc:1 IP4 192.0.2.1 65536", "a=altc:1 IP4 192.0.2.1",
        "a=altc:1 IP4 192.0.2.1 5000/x", "a=altc:1 IP5 192.0.2.1 5000", "a=altc:", "a=altc",
        "a=altc:-1 IP4 192.0.2.1 5000", "a=altc:99999999999 IP4 192.0.2.1 5000"})
    EXPECT_TRUE(media_of(std::string(line) + "\r\n").alternatives.empty()) << line;
  EXPECT_EQ(media_of("a=altc:1 IP4 192.0.2.1 5000/5001\r\n").alternatives.size(), 1U);
}

TEST(Sdp, channels_are_one_unless_named) {
  const auto formats_of = [](const std::string& lines) {
    const auto description = parse_sdp(head + ("m=audio 7056 RTP/AVP 96\r\n" + lines));
    return description ? description->media.at(0).formats : std::vector<Format>{};
  };
  EXPECT_EQ(formats_of("a=rtpmap:96 opus/48000/2\r\n").at(0).channels, 2U);
  EXPECT_EQ(formats_of("a=rtpmap:96 L16/44100/1\r\n").at(0).channels, 1U);
  EXPECT_EQ(formats_of("a=rtpmap:96 L16/44100\r\n").at(0).channels, 1U);
  // What can't be read is none.
  for (const char* line : {"a=rtpmap:96 opus/48000/x\r\n", "a=rtpmap:96 opus/48000/0\r\n",
                           "a=rtpmap:96 opus/48000/2/2\r\n", "a=rtpmap:96 opus/48000/4294967296\r\n"})
    EXPECT_EQ(formats_of(line).at(0).encoding, "") << line;
  const auto description =
      parse_sdp(std::string(head) + "m=audio 7056 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n");
  ASSERT_TRUE(description);
  EXPECT_NE(to_text(*description).find("a=rtpmap:96 opus/48000/2\r\n"), std::string::npos);
}

TEST(Sdp, altc_at_session_level_is_none) {
  const auto description =
      parse_sdp(std::string(head) + "a=altc:1 IP4 192.0.2.14 7056\r\nm=audio 7056 RTP/AVP 0\r\n");
  ASSERT_TRUE(description);
  EXPECT_TRUE(description->media[0].alternatives.empty());
}

TEST(Sdp, rtcp_may_name_an_address) {
  const Media medium = media_of("a=rtcp:53020 IN IP6 2001:db8::9\r\n");
  EXPECT_EQ(medium.rtcp_port, Port{53020});
  EXPECT_EQ(medium.rtcp_address, address("2001:db8::9"));
  EXPECT_FALSE(media_of("a=rtcp:0\r\n").rtcp_port);
  EXPECT_FALSE(media_of("a=rtcp:no\r\n").rtcp_port);
}

TEST(Sdp, what_is_no_description_is_an_error_with_its_line) {
  struct Case {
    std::string text;
    std::size_t line;
  };
  for (const Case& each :
       {Case{"", 0}, Case{"v=1\r\n", 1}, Case{"o=- 1 1 IN IP4 192.0.2.1\r\n", 1}, Case{"v=0\r\ns=-\r\n", 0},
        Case{"v=0\r\nhello\r\n", 2}, Case{"v=0\r\no=- x 1 IN IP4 a\r\n", 2},
        Case{std::string(head) + "c=IN IP4 phone.example\r\n", 6},
        Case{std::string(head) + "m=audio 70000 RTP/AVP 0\r\n", 6},
        Case{std::string(head) + "m=audio x RTP/AVP 0\r\n", 6},
        Case{std::string(head) + "m=audio 7056 RTP/AVP\r\n", 6},
        Case{std::string(head) + "m=au\x01io 7056 RTP/AVP 0\r\n", 6}}) {
    const auto description = parse_sdp(each.text);
    ASSERT_FALSE(description) << each.text;
    EXPECT_EQ(description.error().line, each.line) << each.text << description.error().text;
    EXPECT_FALSE(description.error().text.empty());
  }
}

auto many(std::size_t count, const std::string& what) -> std::string {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += what;
  return text;
}

TEST(Sdp, lists_are_as_long_as_their_limits_and_no_longer) {
  const std::string medium = "m=audio 7056 RTP/AVP 0\r\n";
  for (const std::size_t count : {media_max - 1, media_max, media_max + 1})
    EXPECT_EQ(parse_sdp(head + many(count, medium)).has_value(), count <= media_max) << count;
  for (const std::size_t count : {formats_max - 1, formats_max, formats_max + 1})
    EXPECT_EQ(parse_sdp(std::string(head) + "m=audio 7056 RTP/AVP" + many(count, " 0") + "\r\n").has_value(),
              count <= formats_max)
        << count;
  for (const std::size_t count : {alternatives_max - 1, alternatives_max, alternatives_max + 1})
    EXPECT_EQ(parse_sdp(head + medium + many(count, "a=altc:1 IP4 192.0.2.1 5000\r\n")).has_value(),
              count <= alternatives_max)
        << count;
  const std::size_t rest = sdp_octets_max - std::string(head).size();
  for (const std::size_t count : {rest - 1, rest, rest + 1})
    EXPECT_EQ(parse_sdp(head + many(count, "\n")).has_value(), count <= rest) << count;
}

}  // namespace
}  // namespace portolan::sip
