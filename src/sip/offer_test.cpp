// SPDX-License-Identifier: BSD-2-Clause
#include "sip/offer.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sip/nat64.h"
#include "sip/opus_parameters.h"

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
  EXPECT_EQ(
      text,
      "v=0\r\no=client4 3867 3867 IN IP4 192.0.2.14\r\ns=Talk\r\nc=IN IP4 192.0.2.14\r\nt=0 0\r\n"
      "m=audio 42000 RTP/AVP 0 8 96 101 102\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"
      "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 maxplaybackrate=8000;maxaveragebitrate=20000;useinbandfec=1\r\n"
      "a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n"
      "a=rtpmap:102 telephone-event/48000\r\na=fmtp:102 0-15\r\na=rtcp:42777\r\n"
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

/// Two IPv6 phones without mappings, as one of them has its codecs.
auto with_codecs(std::vector<media::Codec> codecs) -> Local {
  Local local = without_mapping();
  local.codecs = std::move(codecs);
  return local;
}

auto audio_of(const Description& description) -> std::string {
  const std::string text = to_text(description);
  const std::size_t begin = text.find("m=audio");
  return text.substr(begin, text.find("\r\n", begin) - begin);
}

using enum media::Codec;

TEST(Offer, has_codecs_in_their_order_and_a_telephone_event_for_each_clock) {
  EXPECT_EQ(audio_of(make_offer(with_codecs({pcmu, pcma}))), "m=audio 7078 RTP/AVP 0 8 101");
  EXPECT_EQ(audio_of(make_offer(with_codecs({opus, pcma}))), "m=audio 7078 RTP/AVP 96 8 102 101");
  EXPECT_EQ(audio_of(make_offer(with_codecs({opus}))), "m=audio 7078 RTP/AVP 96 102 101");
}

TEST(Answer, has_the_first_offered_codec_that_this_side_has) {
  struct Case {
    std::vector<media::Codec> theirs;
    std::vector<media::Codec> ours;
    media::Codec chosen;
    const char* audio;
  };
  for (const Case& each : {Case{{pcmu, pcma, opus}, {opus, pcma, pcmu}, pcmu, "m=audio 7078 RTP/AVP 0 101"},
                           Case{{opus, pcmu}, {pcmu, pcma, opus}, opus, "m=audio 7078 RTP/AVP 96 102"},
                           Case{{pcma, opus}, {pcmu, opus}, opus, "m=audio 7078 RTP/AVP 96 102"},
                           Case{{opus, pcma}, {pcmu, pcma}, pcma, "m=audio 7078 RTP/AVP 8 101"}}) {
    const Local calling = with_codecs(each.theirs);
    const auto answer = make_answer(with_codecs(each.ours), *parse_sdp(to_text(make_offer(calling))));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->agreement.plan.codec, each.chosen);
    EXPECT_EQ(audio_of(answer->description), each.audio);
    const auto agreement = take_answer(calling, *parse_sdp(to_text(answer->description)));
    ASSERT_TRUE(agreement);
    EXPECT_EQ(agreement->plan.codec, each.chosen);
    EXPECT_EQ(agreement->plan.payload_type, answer->agreement.plan.payload_type);
    EXPECT_EQ(agreement->plan.own_payload_type, answer->agreement.plan.own_payload_type);
    EXPECT_EQ(agreement->plan.event_payload_type, answer->agreement.plan.event_payload_type);
    EXPECT_EQ(agreement->plan.event_clock_rate, media::clock_rate(each.chosen));
    EXPECT_EQ(agreement->plan.opus_wishes, answer->agreement.plan.opus_wishes);
  }
  EXPECT_EQ(make_answer(with_codecs({pcmu}), make_offer(with_codecs({opus}))).error(), Refusal::no_codec);
}

TEST(Answer, opus_has_48000_hz_and_two_channels_and_no_other_form) {
  const auto codec_of = [](const char* rtpmap) {
    const auto answer = make_answer(
        handset(), offered("m=audio 6000 RTP/AVP 111 0\r\na=rtpmap:111 " + std::string(rtpmap) + "\r\n"));
    return answer.value().agreement.plan.codec;
  };
  EXPECT_EQ(codec_of("opus/48000/2"), opus);
  EXPECT_EQ(codec_of("OPUS/48000/2"), opus);
  for (const char* other : {"opus/48000", "opus/48000/1", "opus/8000/2", "opus/48000/x", "speex/48000/2"})
    EXPECT_EQ(codec_of(other), pcmu) << other;
  // Two channels of G.711 are another format.
  EXPECT_EQ(codec_of("PCMA/8000/2"), pcmu);
  EXPECT_EQ(codec_of("PCMA/8000/1"), pcma);
}

TEST(Answer, repeats_the_payload_types_of_the_offer) {
  const auto answer = make_answer(handset(), offered("m=audio 6000 RTP/AVP 111 101 110\r\n"
                                                     "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 unheard=of\r\n"
                                                     "a=rtpmap:101 telephone-event/8000\r\n"
                                                     "a=rtpmap:110 telephone-event/48000\r\n"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->agreement.plan.own_payload_type, 111);
  EXPECT_EQ(answer->agreement.plan.event_payload_type, 110);
  const std::string text = to_text(answer->description);
  EXPECT_THAT(text,
              HasSubstr("m=audio 42000 RTP/AVP 111 110\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 max"));
  EXPECT_THAT(text, HasSubstr("a=rtpmap:110 telephone-event/48000\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("unheard")));
}

TEST(Answer, parameters_are_those_of_the_medium_whatever_is_said_of_a_source) {
  const auto answer =
      make_answer(handset(), offered("m=audio 6000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n"
                                     "a=fmtp:111 maxaveragebitrate=16000\r\n"
                                     "a=ssrc:9 fmtp:111 sprop-stereo=1;maxaveragebitrate=8000\r\n"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->agreement.plan.opus_wishes.bit_rate_max, 16000U);
}

TEST(Answer, digits_beside_opus_may_have_the_clock_that_every_phone_has) {
  const std::string opus_alone = "m=audio 6000 RTP/AVP 96 101\r\na=rtpmap:96 opus/48000/2\r\n";
  const auto answer = make_answer(handset(), offered(opus_alone + "a=rtpmap:101 telephone-event/8000\r\n"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->agreement.plan.event_payload_type, 101);
  EXPECT_EQ(answer->agreement.plan.event_clock_rate, 8000U);
  const auto none = make_answer(handset(), offered(opus_alone + "a=rtpmap:101 telephone-event/16000\r\n"));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->agreement.plan.event_payload_type);
  // But not the other way round.
  const auto g711 =
      make_answer(handset(), offered("m=audio 6000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/48000\r\n"));
  ASSERT_TRUE(g711);
  EXPECT_FALSE(g711->agreement.plan.event_payload_type);
}

TEST(TakeAnswer, what_comes_has_the_numbers_of_the_offer) {
  const auto agreement =
      take_answer(handset(), offered("m=audio 6000 RTP/AVP 120 121\r\na=rtpmap:120 opus/48000/2\r\n"
                                     "a=rtpmap:121 telephone-event/8000\r\n"));
  ASSERT_TRUE(agreement);
  EXPECT_EQ(agreement->plan.payload_type, 120);
  EXPECT_EQ(agreement->plan.own_payload_type, 96);
  EXPECT_EQ(agreement->plan.event_payload_type, 121);
  EXPECT_EQ(agreement->plan.own_event_payload_types, (std::vector<std::uint8_t>{101, 102}));
}

TEST(Offer, later_ones_keep_the_codec_in_use_and_what_numbers_mean) {
  struct Case {
    const char* offer;
    const char* later;
  };
  for (const Case& each : {Case{"m=audio 6000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
                                "m=audio 42000 RTP/AVP 8 0 96 101 102"},
                           Case{"m=audio 6000 RTP/AVP 111 110\r\na=rtpmap:111 opus/48000/2\r\n"
                                "a=rtpmap:110 telephone-event/48000\r\n",
                                "m=audio 42000 RTP/AVP 111 0 8 110 101"},
                           // Theirs have numbers that we use for others.
                           Case{"m=audio 6000 RTP/AVP 101 96\r\na=rtpmap:101 opus/48000/2\r\n"
                                "a=rtpmap:96 telephone-event/48000\r\n",
                                "m=audio 42000 RTP/AVP 101 0 8 96 97"},
                           Case{"m=audio 6000 RTP/AVP 0\r\na=rtpmap:0 opus/48000/2\r\n",
                                "m=audio 42000 RTP/AVP 0 96 8 102 101"}}) {
    Local local = handset();
    const auto answer = make_answer(local, offered(each.offer));
    ASSERT_TRUE(answer) << each.offer;
    local.agreed = answer->agreement.plan;
    const Description later = make_offer(local);
    EXPECT_EQ(audio_of(later), each.later);
    // Whoever repeats it in an answer is understood.
    const auto agreement = take_answer(local, *parse_sdp(to_text(later)));
    ASSERT_TRUE(agreement);
    EXPECT_EQ(agreement->plan.codec, local.agreed->codec);
    EXPECT_EQ(agreement->plan.own_payload_type, local.agreed->own_payload_type);
  }
}

TEST(OpusParameters, are_what_the_other_side_s_encoder_is_held_to) {
  struct Case {
    const char* parameters;
    media::OpusWishes wishes;
  };
  for (const Case& each :
       {Case{"", {.bit_rate_max = 40000}}, Case{"maxaveragebitrate=16000", {.bit_rate_max = 16000}},
        Case{"maxaveragebitrate=5999", {.bit_rate_max = 40000}},
        Case{"maxaveragebitrate=6000", {.bit_rate_max = 6000}},
        Case{"maxaveragebitrate=510000", {.bit_rate_max = 510000}},
        Case{"maxaveragebitrate=510001", {.bit_rate_max = 40000}},
        Case{"maxplaybackrate=8000", {.bit_rate_max = 12000}},
        Case{"maxplaybackrate=16000", {.bit_rate_max = 20000}},
        Case{"maxplaybackrate=7999", {.bit_rate_max = 40000}},
        Case{"maxplaybackrate=8000; maxaveragebitrate=20000; stereo=1; useinbandfec=1; usedtx=0",
             {.bit_rate_max = 20000, .in_band_fec = true}},
        Case{"CBR=1;useinbandfec=2", {.bit_rate_max = 40000, .constant_bit_rate = true}},
        Case{";;=;x;cbr;useinbandfec=;=1", {.bit_rate_max = 40000}}})
    EXPECT_EQ(opus_wishes(each.parameters), each.wishes) << each.parameters;
  const media::OpusWishes ours = opus_wishes(own_opus_parameters());
  EXPECT_EQ(ours, (media::OpusWishes{.bit_rate_max = media::opus_bit_rate, .in_band_fec = true}));
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
