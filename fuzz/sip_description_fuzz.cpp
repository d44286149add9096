// SPDX-License-Identifier: BSD-2-Clause
//
// Session descriptions as strangers send them. Properties: what was read comes back from what is written;
// limits hold; an answer has a medium for each one offered, no altc, and is understood by the same parser;
// what was agreed on can be sent to, and is kept by a later offer.
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "base/check.h"
#include "sip/offer.h"

namespace portolan::sip {
namespace {

auto phone(bool has_mapping) -> Local {
  const IpAddress own = *IpAddress::parse("2001:db8:64::2");
  Local local;
  local.user = "client4";
  local.internal = {.rtp = {own, Port{7078}}, .rtcp = {own, Port{7079}}};
  if (has_mapping) {
    const IpAddress outside = *IpAddress::parse("192.0.2.14");
    local.external = Ends{.rtp = {outside, Port{42000}}, .rtcp = {outside, Port{42777}}};
  }
  local.nat64_prefix = Prefix::parse("2001:db8:64:ff9b::/96");
  return local;
}

void check_agreement(const Agreement& agreement) {
  PORTOLAN_CHECK(!agreement.plan.remote_rtp.address.is_ipv4());
  PORTOLAN_CHECK(!agreement.plan.remote_rtcp.address.is_ipv4());
  PORTOLAN_CHECK(agreement.plan.sends == sends(agreement.direction));
}

/// After whatever was agreed on, numbers of a later offer are of one format each, and mean what they meant.
void check_later_offer(Local local, const media::Plan& agreed) {
  local.agreed = agreed;
  const Description later = make_offer(local);
  const auto& formats = later.media.front().formats;
  std::set<std::uint8_t> payload_types;
  for (const Format& each : formats) payload_types.insert(each.payload_type);
  PORTOLAN_CHECK(payload_types.size() == formats.size());
  const auto again = take_answer(local, later);
  PORTOLAN_CHECK(again && again->plan.codec == agreed.codec);
  PORTOLAN_CHECK(again->plan.own_payload_type == agreed.own_payload_type);
}

void check_answer(const Description& offer, bool has_mapping) {
  const Local local = phone(has_mapping);
  const auto answer = make_answer(local, offer);
  if (!answer) {
    PORTOLAN_CHECK(!to_string(answer.error()).empty());
    return;
  }
  check_agreement(answer->agreement);
  PORTOLAN_CHECK(answer->description.media.size() == offer.media.size());
  for (const Media& medium : answer->description.media) PORTOLAN_CHECK(medium.alternatives.empty());
  const auto again = parse_sdp(to_text(answer->description));
  PORTOLAN_CHECK(again.has_value());
  check_later_offer(local, answer->agreement.plan);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto description = parse_sdp(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!description) {
    PORTOLAN_CHECK(!description.error().text.empty());
    return 0;
  }
  PORTOLAN_CHECK(description->media.size() <= media_max);
  for (const Media& medium : description->media)
    PORTOLAN_CHECK(medium.formats.size() <= formats_max && medium.alternatives.size() <= alternatives_max);
  const auto again = parse_sdp(to_text(*description));
  // What is written may be longer than what was read, and too long.
  PORTOLAN_CHECK(again ? *again == *description : again.error().text.starts_with("longer"));
  check_answer(*description, true);
  check_answer(*description, false);
  if (const auto agreement = take_answer(phone(true), *description)) check_agreement(*agreement);
  return 0;
}

}  // namespace portolan::sip
