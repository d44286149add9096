// SPDX-License-Identifier: BSD-2-Clause
#include "sip/offer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sip/nat64.h"

namespace portolan::sip {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

auto address(const char* text) -> IpAddress { return *IpAddress::parse(text); }
auto endpoint(const char* text, std::uint16_t port) -> Endpoint { return {address(text), Port{port}}; }

/// A handset of the slides' test, and its mappings.
auto handset() -> Local {
  Local local;
  local.user = "client4";
  local.session_id = local.version = 3867;
  local.internal = {.rtp = endpoint("2001:db8:64::2", 7078), .rtcp = endpoint("2001:db8:64::2", 7091)};
  local.external = Ends{.rtp = endpoint("192.0.2.14", 42000), .rtcp = endpoint("192.0.2.14", 42777)};
  local.nat64_prefix = Prefix::parse("2001:db8:64:ff9b::/96");
  return local;
}

auto without_mapping() -> Local {
  Local local = handset();
  local.external.reset();
  return local;
}

auto offered(const std::string& body) -> Description {
  const auto description =
      parse_sdp("v=0\r\no=13 1 1 IN IP4 192.0.2.11\r\ns=-\r\nc=IN IP4 192.0.2.11\r\nt=0 0\r\n" + body);
  EXPECT_TRUE(description) << description.error().text;
  return description.value_or(Description{});
}

TEST(Offer, carries_the_mapped_address_and_both_alternatives) {
  const std::string text = to_text(make_offer(handset()));
  EXPECT_EQ(text,
            "v=0\r\no=client4 3867 3867 IN IP4 192.0.2.14\r\ns=Talk\r\nc=IN IP4 192.0.2.14\r\nt=0 0\r\n"
            "m=audio 42000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=rtcp:42777\r\n"
            "a=altc:1 IP6 2001:db8:64::2 7078/7091\r\na=altc:2 IP4 192.0.2.14 42000\r\na=sendrecv\r\n");
}

TEST(Offer, without_a_mapping_has_the_host_s_own_address_and_no_alternative) {
  const std::string text = to_text(make_offer(without_mapping()));
  EXPECT_THAT(text, HasSubstr("c=IN IP6 2001:db8:64::2\r\n"));
  EXPECT_THAT(text, HasSubstr("m=audio 7078 "));
  EXPECT_THAT(text, Not(HasSubstr("altc")));
}

TEST(Answer, to_an_ipv4_phone_has_the_mapped_address_and_reaches_it_through_the_nat64) {
  const auto answer = make_answer(
      handset(),
      offered("m=audio 6000 RTP/AVP 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=rtcp:6777\r\n"));
  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->agreement.plan.codec, media::Codec::pcma);
  EXPECT_EQ(answer->agreement.plan.event_payload_type, 96);
  EXPECT_EQ(answer->agreement.plan.remote_rtp, endpoint("2001:db8:64:ff9b::c000:20b", 6000));
  EXPECT_EQ(answer->agreement.plan.remote_rtcp, endpoint("2001:db8:64:ff9b::c000:20b", 6777));
  EXPECT_EQ(answer->agreement.altc, AltcVerdict::absent);
  const std::string text = to_text(answer->description);
  EXPECT_THAT(text, HasSubstr("c=IN IP4 192.0.2.14\r\n"));
  EXPECT_THAT(text, HasSubstr("m=audio 42000 RTP/AVP 8 96\r\n"));
  EXPECT_THAT(text, HasSubstr("a=rtcp:42777\r\n"));
}

TEST(Answer, between_two_ipv6_phones_chooses_ip6_and_has_no_altc) {
  Local other = handset();
  other.internal = {.rtp = endpoint("2001:db8:113::9", 8084), .rtcp = endpoint("2001:db8:113::9", 8085)};
  other.external = Ends{.rtp = endpoint("192.0.2.14", 50000), .rtcp = endpoint("192.0.2.14", 50001)};
  const auto answer = make_answer(other, make_offer(handset()));
  ASSERT_TRUE(answer) << to_string(answer.error());
  EXPECT_EQ(answer->agreement.family, Family::ipv6);
  EXPECT_EQ(answer->agreement.altc, AltcVerdict::used);
  EXPECT_EQ(answer->agreement.plan.remote_rtp, endpoint("2001:db8:64::2", 7078));
  EXPECT_EQ(answer->agreement.plan.remote_rtcp, endpoint("2001:db8:64::2", 7091));
  const std::string text = to_text(answer->description);
  EXPECT_THAT(text, HasSubstr("c=IN IP6 2001:db8:113::9\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("altc")));
  const auto agreement = take_answer(handset(), *parse_sdp(text));
  ASSERT_TRUE(agreement) << to_string(agreement.error());
  EXPECT_EQ(agreement->plan.remote_rtp, endpoint("2001:db8:113::9", 8084));
  EXPECT_EQ(agreement->plan.remote_rtcp, endpoint("2001:db8:113::9", 8085));
  EXPECT_EQ(agreement->altc, AltcVerdict::used);
}

TEST(Answer, ignores_altc_that_breaks_a_rule) {
  struct Case {
    const char* lines;
    AltcVerdict verdict;
  };
  const std::string medium = "m=audio 6000 RTP/AVP 0\r\n";
  for (const Case& each :
       {Case{"a=altc:1 IP6 2001:db8::9 7000\r\na=altc:2 IP4 192.0.2.11 6002\r\n", AltcVerdict::no_duplicate},
        Case{"a=altc:1 IP6 2001:db8::9 7000\r\na=altc:2 IP4 192.0.2.12 6000\r\n", AltcVerdict::no_duplicate},
        Case{"a=altc:1 IP4 192.0.2.12 7000\r\na=altc:2 IP4 192.0.2.11 6000\r\n",
             AltcVerdict::several_of_a_family},
        Case{"a=altc:1 IP4 192.0.2.11 6000\r\n", AltcVerdict::not_two},
        Case{"a=altc:1 IP6 2001:db8::9 7000\r\na=altc:2 IP4 192.0.2.11 6000\r\na=altc:3 IP6 2001:db8::8 "
             "7000\r\n",
             AltcVerdict::not_two}}) {
    const auto answer = make_answer(handset(), offered(medium + each.lines));
    ASSERT_TRUE(answer) << each.lines;
    EXPECT_EQ(answer->agreement.altc, each.verdict) << each.lines;
    EXPECT_EQ(answer->agreement.plan.remote_rtp, endpoint("2001:db8:64:ff9b::c000:20b", 6000)) << each.lines;
  }
}

TEST(Answer, takes_the_older_form_of_altc) {
  const auto answer =
      make_answer(handset(), offered("m=audio 6000 RTP/AVP 0\r\na=altc: IP6 2001:db8::9 45678\r\n"
                                     "a=altc: IP4 192.0.2.11 6000\r\n"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->agreement.plan.remote_rtp, endpoint("2001:db8::9", 45678));
  EXPECT_EQ(answer->agreement.plan.remote_rtcp, endpoint("2001:db8::9", 45679));
}

TEST(Altc, the_smaller_number_is_preferred_among_families_of_the_host) {
  const Description offer = offered(
      "m=audio 6000 RTP/AVP 0\r\na=altc:2 IP6 2001:db8::9 7000\r\n"
      "a=altc:1 IP4 192.0.2.11 6000\r\n");
  const Family both[] = {Family::ipv6, Family::ipv4};
  const Family only_ipv6[] = {Family::ipv6};
  EXPECT_EQ(choose_ends(offer, offer.media[0], both)->ends.rtp, endpoint("192.0.2.11", 6000));
  EXPECT_EQ(choose_ends(offer, offer.media[0], only_ipv6)->ends.rtp, endpoint("2001:db8::9", 7000));
  EXPECT_EQ(choose_ends(offer, offer.media[0], {})->verdict, AltcVerdict::no_family_of_ours);
}

TEST(Altc, an_rtcp_address_holds_whatever_is_chosen_and_a_port_belongs_to_the_m_line) {
  const std::string altc = "a=altc:1 IP6 2001:db8::9 7000\r\na=altc:2 IP4 192.0.2.11 6000\r\n";
  const Family only_ipv6[] = {Family::ipv6};
  Description offer = offered("m=audio 6000 RTP/AVP 0\r\na=rtcp:6777\r\n" + altc);
  EXPECT_EQ(choose_ends(offer, offer.media[0], only_ipv6)->ends.rtcp, endpoint("2001:db8::9", 7001));
  EXPECT_EQ(choose_ends(offer, offer.media[0], {})->ends.rtcp, endpoint("192.0.2.11", 6777));
  offer = offered("m=audio 6000 RTP/AVP 0\r\na=rtcp:6777 IN IP6 2001:db8::7\r\n" + altc);
  EXPECT_EQ(choose_ends(offer, offer.media[0], only_ipv6)->ends.rtcp, endpoint("2001:db8::7", 6777));
}

TEST(Answer, media_that_are_not_for_us_are_refused_in_their_places) {
  const auto answer =
      make_answer(handset(), offered("m=video 9056 RTP/AVP 99\r\nm=audio 6000 RTP/AVP 0\r\n"
                                     "m=application 9 UDP/BFCP *\r\nm=audio 6002 RTP/AVP 0\r\n"));
  ASSERT_TRUE(answer);
  const auto& media = answer->description.media;
  ASSERT_EQ(media.size(), 4U);
  EXPECT_EQ(media[0].port.value, 0);
  EXPECT_EQ(media[0].kind, "video");
  EXPECT_EQ(media[1].port.value, 42000);
  EXPECT_EQ(media[2].port.value, 0);
  EXPECT_EQ(media[2].format_list, "*");
  EXPECT_EQ(media[3].port.value, 0);
  const std::string text = to_text(answer->description);
  EXPECT_EQ(to_text(*parse_sdp(text)), text);
}

TEST(Answer, refusals_say_why) {
  const std::string audio = "m=audio 6000 RTP/AVP 0\r\n";
  EXPECT_EQ(make_answer(handset(), offered("m=video 9056 RTP/AVP 99\r\n")).error(), Refusal::no_audio);
  EXPECT_EQ(make_answer(handset(), offered("m=audio 6000 RTP/SAVP 0\r\n")).error(), Refusal::no_audio);
  EXPECT_EQ(
      make_answer(handset(), offered("m=audio 6000 RTP/AVP 3 96\r\na=rtpmap:96 speex/8000\r\n")).error(),
      Refusal::no_codec);
  Description nowhere = offered(audio);
  nowhere.address.reset();
  EXPECT_EQ(make_answer(handset(), nowhere).error(), Refusal::no_address);
  EXPECT_EQ(make_answer(without_mapping(), offered(audio)).error(), Refusal::no_mapping);
  Local local = handset();
  local.nat64_prefix.reset();
  EXPECT_EQ(make_answer(local, offered(audio)).error(), Refusal::no_nat64_prefix);
  local.internal = {.rtp = endpoint("192.0.2.99", 7078), .rtcp = endpoint("192.0.2.99", 7079)};
  EXPECT_TRUE(make_answer(local, offered(audio)));
  EXPECT_EQ(make_answer(local, offered("m=audio 6000 RTP/AVP 0\r\nc=IN IP6 2001:db8::9\r\n")).error(),
            Refusal::no_ipv6);
  for (const Refusal each : {Refusal::no_audio, Refusal::no_codec, Refusal::no_address,
                             Refusal::no_nat64_prefix, Refusal::no_mapping, Refusal::no_ipv6, Refusal::ended})
    EXPECT_GT(to_string(each).size(), 5U);
}

TEST(Answer, directions_are_the_other_side_s_turned_round) {
  struct Case {
    Direction theirs;
    Direction wanted;
    Direction ours;
  };
  using enum Direction;
  for (const Case& each : {Case{sendrecv, sendrecv, sendrecv}, Case{sendonly, sendrecv, recvonly},
                           Case{recvonly, sendrecv, sendonly}, Case{inactive, sendrecv, inactive},
                           Case{sendrecv, sendonly, sendonly}, Case{sendonly, sendonly, inactive}}) {
    Local local = handset();
    local.direction = each.wanted;
    const auto answer = make_answer(
        local, offered("m=audio 6000 RTP/AVP 0\r\na=" + std::string(to_string(each.theirs)) + "\r\n"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->agreement.direction, each.ours);
    EXPECT_EQ(answer->agreement.plan.sends, sends(each.ours));
    EXPECT_EQ(answer->agreement.plan.receives, receives(each.ours));
  }
}

TEST(Answer, an_unspecified_address_is_a_hold) {
  const auto answer = make_answer(handset(), offered("m=audio 6000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n"));
  ASSERT_TRUE(answer);
  EXPECT_FALSE(answer->agreement.plan.sends);
  EXPECT_TRUE(answer->agreement.plan.receives);
}

TEST(TakeAnswer, an_ended_medium_and_an_empty_answer_are_refusals) {
  EXPECT_EQ(take_answer(handset(), offered("m=audio 0 RTP/AVP 0\r\n")).error(), Refusal::ended);
  EXPECT_EQ(take_answer(handset(), offered("")).error(), Refusal::no_audio);
}

TEST(Nat64, ipv4_addresses_have_their_form_in_the_prefix) {
  EXPECT_EQ(as_reached(address("192.0.2.13"), Prefix::parse("2001:db8:64:ff9b::/96")),
            address("2001:db8:64:ff9b::c000:20d"));
  EXPECT_EQ(as_reached(address("192.0.2.33"), Prefix::parse("2001:db8:122:344::/64")),
            address("2001:db8:122:344:c0:2:2100::"));
  EXPECT_EQ(as_reached(address("2001:db8::1"), {}), address("2001:db8::1"));
  EXPECT_FALSE(as_reached(address("192.0.2.13"), {}));
  EXPECT_FALSE(as_reached(address("192.0.2.13"), Prefix::parse("2001:db8::/60")));
}

}  // namespace
}  // namespace portolan::sip
