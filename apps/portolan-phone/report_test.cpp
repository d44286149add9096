// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/report.h"

#include <fstream>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace portolan::phone {
namespace {

using sip::PhoneEvent;
using ::testing::HasSubstr;

auto ended() -> PhoneEvent {
  PhoneEvent event{.kind = PhoneEvent::Kind::ended, .call = 3, .text = "hung up here"};
  sip::CallView view;
  view.remote = "sip:13@mysip.example";
  view.agreement = sip::Agreement{};
  view.external = sip::Ends{.rtp = {*IpAddress::parse("192.0.2.14"), Port{42000}},
                            .rtcp = {*IpAddress::parse("192.0.2.14"), Port{42777}}};
  view.statistics.packets_sent = 500;
  view.statistics.packets_received = 90;
  view.statistics.packets_expected = 100;
  view.statistics.packets_lost = 10;
  event.view = view;
  return event;
}

TEST(PhoneReport, an_ended_call_tells_its_statistics) {
  EXPECT_THAT(event_text(ended()),
              HasSubstr("call 3 ended: hung up here; sent 500 packets, received 90, lost 10.0 %"));
  const auto object = nlohmann::json::parse(event_json(ended()));
  EXPECT_EQ(object["event"], "ended");
  EXPECT_EQ(object["external"], "192.0.2.14:42000");
  EXPECT_EQ(object["external-rtcp"], "192.0.2.14:42777");
  EXPECT_EQ(object["packets-lost"], 10);
}

TEST(PhoneReport, the_codec_has_its_name_and_what_it_could_not_decode_its_count) {
  PhoneEvent event = ended();
  event.view->agreement->plan.codec = media::Codec::opus;
  event.view->statistics.packets_undecodable = 7;
  EXPECT_THAT(call_text(*event.view), HasSubstr("opus over IPv6, sendrecv"));
  const auto object = nlohmann::json::parse(event_json(event));
  EXPECT_EQ(object["codec"], "opus");
  EXPECT_EQ(object["packets-undecodable"], 7);
}

TEST(PhoneReport, errors_are_explained) {
  for (const int status : {401, 404, 408, 480, 488, 503}) {
    const PhoneEvent event{.kind = PhoneEvent::Kind::ended, .call = 1, .status = status, .text = "Phrase"};
    EXPECT_THAT(event_text(event), HasSubstr(advice(status))) << status;
    EXPECT_GT(advice(status).size(), 10U) << status;
  }
  EXPECT_EQ(event_text({.kind = PhoneEvent::Kind::unmapped, .text = "PCP is switched off"}),
            "not reachable from the IPv4 Internet: PCP is switched off");
}

TEST(PhoneReport, what_is_refused_here_has_the_reason_and_no_advice_about_the_other_side) {
  PhoneEvent event{
      .kind = PhoneEvent::Kind::ended, .call = 2, .status = 488, .is_refused_here = true, .text = "no codec"};
  event.view = sip::CallView{.number = 2, .remote = "sip:13@mysip.example"};
  EXPECT_EQ(event_text(event), "call 2 from sip:13@mysip.example was refused here: 488 no codec");
  event.view->is_outgoing = true;
  EXPECT_EQ(event_text(event), "call 2 ended: 488 no codec");
}

TEST(PhoneReport, the_manual_names_every_event_and_key) {
  std::ifstream page(PORTOLAN_PHONE_MANUAL_PAGE);
  std::set<std::string> words;
  for (std::string word; page >> word;) words.insert(word);
  for (int kind = 0; kind <= static_cast<int>(PhoneEvent::Kind::ended); ++kind)
    EXPECT_TRUE(words.contains(std::string(sip::to_string(static_cast<PhoneEvent::Kind>(kind))))) << kind;
  PhoneEvent event = ended();
  event.status = 488;
  event.place = Endpoint{};
  event.again_in = Seconds{1};
  event.view->statistics.round_trip = Nanoseconds{1};
  event.view->statistics.told = media::ReportBlock{};
  for (const auto& [key, value] : nlohmann::json::parse(event_json(event)).items())
    EXPECT_TRUE(words.contains(key)) << key;
}

TEST(PhoneReport, texts_of_strangers_make_valid_json) {
  const PhoneEvent event{.kind = PhoneEvent::Kind::incoming, .call = 1, .text = "sip:\xff\"\n@x"};
  EXPECT_EQ(nlohmann::json::parse(event_json(event))["call"], 1);
}

TEST(PhoneReport, every_kind_of_event_has_a_name_and_a_text) {
  for (int kind = 0; kind <= static_cast<int>(PhoneEvent::Kind::ended); ++kind) {
    const PhoneEvent event{.kind = static_cast<PhoneEvent::Kind>(kind), .call = 1};
    EXPECT_GT(event_text(event).size(), 3U);
    EXPECT_NE(sip::to_string(event.kind), "?");
  }
}

}  // namespace
}  // namespace portolan::phone
