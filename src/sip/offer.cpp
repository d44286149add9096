// SPDX-License-Identifier: BSD-2-Clause
#include "sip/offer.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "sip/nat64.h"
#include "sip/opus_parameters.h"
#include "sip/text.h"

namespace portolan::sip {
namespace {

constexpr std::string_view event_encoding = "telephone-event";
constexpr std::string_view event_parameters = "0-15";
/// The one that every phone has.
constexpr std::uint32_t usual_event_clock_rate = 8000;
constexpr std::string_view audio_transport = "RTP/AVP";

/// Ours, of what has no static payload type; another one if it is taken.
constexpr std::uint8_t opus_payload_type = 96;
constexpr std::uint8_t usual_event_payload_type = 101;
constexpr std::uint8_t other_event_payload_type = 102;
/// Where dynamic ones begin (RFC 3551 s3).
constexpr std::uint8_t dynamic_payload_type_min = 96;

auto format_of(media::Codec codec, std::uint8_t payload_type) -> Format {
  return {.payload_type = payload_type,
          .encoding = std::string(media::to_string(codec)),
          .clock_rate = media::clock_rate(codec),
          .channels = media::channels(codec),
          .parameters = codec == media::Codec::opus ? own_opus_parameters() : std::string()};
}

auto event_format(std::uint8_t payload_type, std::uint32_t clock_rate) -> Format {
  return {.payload_type = payload_type,
          .encoding = std::string(event_encoding),
          .clock_rate = clock_rate,
          .parameters = std::string(event_parameters)};
}

auto is_codec(const Format& format, media::Codec codec) -> bool {
  if (format.encoding.empty()) return media::static_payload_type(codec) == format.payload_type;
  return is_same_word(format.encoding, media::to_string(codec)) &&
         format.clock_rate == media::clock_rate(codec) && format.channels == media::channels(codec);
}

auto is_event(const Format& format) -> bool { return is_same_word(format.encoding, event_encoding); }

/// In the order of an offer.
auto codecs_of(const Local& local) -> std::vector<media::Codec> {
  std::vector<media::Codec> codecs = local.codecs;
  const auto in_use = local.agreed ? std::ranges::find(codecs, local.agreed->codec) : codecs.end();
  if (in_use != codecs.end()) std::rotate(codecs.begin(), in_use, in_use + 1);
  return codecs;
}

/// Digits have the clock of the audio that they interrupt, as they have its timestamps (RFC 4733 s2.1): one
/// telephone-event for each clock of our codecs. That of 8000 Hz is offered in any case: many phones have it
/// alone, beside Opus too.
auto event_clock_rates(const std::vector<media::Codec>& codecs) -> std::vector<std::uint32_t> {
  std::vector<std::uint32_t> clock_rates;
  const auto add = [&](std::uint32_t clock_rate) {
    if (std::ranges::find(clock_rates, clock_rate) == clock_rates.end()) clock_rates.push_back(clock_rate);
  };
  for (const media::Codec codec : codecs) add(media::clock_rate(codec));
  add(usual_event_clock_rate);
  return clock_rates;
}

/// Gives each format of a description a number of its own.
class PayloadTypes {
 public:
  auto take(std::uint8_t preferred) -> std::uint8_t {
    std::uint8_t next = preferred;
    for (std::uint8_t other = dynamic_payload_type_min; is_taken(next); ++other) next = other;
    taken_.push_back(next);
    return next;
  }

 private:
  [[nodiscard]] auto is_taken(std::uint8_t number) const -> bool {
    return std::ranges::find(taken_, number) != taken_.end();
  }
  std::vector<std::uint8_t> taken_;  // a handful
};

/// All that an offer has: codecs, and behind them telephone-events.
auto offered_formats(const Local& local) -> std::vector<Format> {
  PayloadTypes payload_types;
  const auto& agreed = local.agreed;
  const bool has_agreed_event = agreed && !agreed->own_event_payload_types.empty();
  // What is in use keeps its number, so it is taken first.
  const std::uint8_t agreed_payload_type =
      agreed ? payload_types.take(agreed->own_payload_type) : std::uint8_t{0};
  const std::uint8_t agreed_event_payload_type =
      has_agreed_event ? payload_types.take(agreed->own_event_payload_types.front()) : std::uint8_t{0};
  const std::vector<media::Codec> codecs = codecs_of(local);
  std::vector<Format> formats;
  for (const media::Codec codec : codecs) {
    const bool is_agreed = agreed && agreed->codec == codec;
    formats.push_back(format_of(
        codec, is_agreed
                   ? agreed_payload_type
                   : payload_types.take(media::static_payload_type(codec).value_or(opus_payload_type))));
  }
  for (const std::uint32_t clock_rate : event_clock_rates(codecs)) {
    const bool is_agreed = has_agreed_event && agreed->event_clock_rate == clock_rate;
    formats.push_back(event_format(
        is_agreed ? agreed_event_payload_type
                  : payload_types.take(clock_rate == usual_event_clock_rate ? usual_event_payload_type
                                                                            : other_event_payload_type),
        clock_rate));
  }
  return formats;
}

void set_formats(Media& medium, std::vector<Format> formats) {
  medium.format_list.clear();
  for (const Format& format : formats)
    medium.format_list += fmt::format("{}{}", medium.format_list.empty() ? "" : " ", format.payload_type);
  medium.formats = std::move(formats);
}

struct CommonCodec {
  media::Codec codec;
  const Format* format;  // of the medium
};
/// The first one of theirs that is one of ours.
auto common_codec(const Local& local, const Media& medium) -> std::optional<CommonCodec> {
  for (const Format& format : medium.formats)
    for (const media::Codec codec : local.codecs)
      if (is_codec(format, codec)) return CommonCodec{.codec = codec, .format = &format};
  return {};
}

/// The telephone-event that goes with a codec, or else the one of 8000 Hz. By that one digits still arrive,
/// with durations of its clock; they are better than none.
auto event_of(const Media& medium, media::Codec codec) -> std::optional<Format> {
  for (const std::uint32_t clock_rate : {media::clock_rate(codec), usual_event_clock_rate})
    for (const Format& format : medium.formats)
      if (is_event(format) && format.clock_rate == clock_rate) return format;
  return {};
}

auto begin_description(const Local& local, const Ends& ends) -> Description {
  Description description;
  description.user = local.user;
  description.session_id = local.session_id;
  description.version = local.version;
  description.origin = ends.rtp.address;
  description.name = "Talk";
  description.address = ends.rtp.address;
  return description;
}

/// An a=rtcp without address belongs to m=, which is how altc wants it (RFC 6947 s4.2.1).
void set_ends(Media& medium, const Ends& ends) {
  medium.port = ends.rtp.port;
  medium.rtcp_port = ends.rtcp.port;
}

/// Our direction, of what we want and they say of themselves (RFC 3264 s6.1).
auto our_direction(Direction wanted, Direction theirs) -> Direction {
  return direction_of(sends(wanted) && receives(theirs), receives(wanted) && sends(theirs));
}

/// Reached as this host reaches it, with codec and direction. Payload types are theirs: an answer of ours
/// repeats them.
auto agree(const Local& local, const Description& theirs, const Media& medium, const Ends& ends)
    -> std::expected<Agreement, Refusal> {
  const auto common = common_codec(local, medium);
  if (!common) return std::unexpected(Refusal::no_codec);
  Agreement agreement;
  agreement.family = ends.rtp.address.family();
  agreement.plan.codec = common->codec;
  agreement.plan.payload_type = agreement.plan.own_payload_type = common->format->payload_type;
  if (common->codec == media::Codec::opus)
    agreement.plan.opus_wishes = opus_wishes(common->format->parameters);
  if (const auto event = event_of(medium, common->codec)) {
    agreement.plan.event_payload_type = event->payload_type;
    agreement.plan.event_clock_rate = event->clock_rate;
    agreement.plan.own_event_payload_types = {event->payload_type};
  }
  agreement.plan.remote_rtp.port = ends.rtp.port;
  agreement.plan.remote_rtcp.port = ends.rtcp.port;
  const bool is_ipv4_host = local.internal.rtp.address.is_ipv4();
  if (is_ipv4_host && agreement.family == Family::ipv6) return std::unexpected(Refusal::no_ipv6);
  const auto reached = [&](const IpAddress& address) -> std::optional<IpAddress> {
    return is_ipv4_host ? address : as_reached(address, local.nat64_prefix);
  };
  const auto rtp = reached(ends.rtp.address);
  const auto rtcp = reached(ends.rtcp.address);
  if (!rtp || !rtcp) return std::unexpected(Refusal::no_nat64_prefix);
  agreement.plan.remote_rtp.address = *rtp;
  agreement.plan.remote_rtcp.address = *rtcp;
  agreement.direction = our_direction(local.direction, theirs.direction_of(medium));
  // The address that says "hold" in an older way (RFC 3264 s8.4).
  if (ends.rtp.address.is_unspecified())
    agreement.direction = direction_of(false, receives(agreement.direction));
  agreement.plan.sends = sends(agreement.direction);
  agreement.plan.receives = receives(agreement.direction);
  return agreement;
}

/// They send by the numbers of our offer, whatever those of their answer are (RFC 3264 s5.1), and digits by
/// any telephone-event of it.
void number_as_offered(media::Plan& plan, const std::vector<Format>& offered) {
  std::vector<std::uint8_t>& events = plan.own_event_payload_types;
  events.clear();
  for (const Format& format : offered) {
    if (is_codec(format, plan.codec)) plan.own_payload_type = format.payload_type;
    if (!plan.event_payload_type || !is_event(format)) continue;
    const bool is_chosen = format.clock_rate == plan.event_clock_rate;
    events.insert(is_chosen ? events.begin() : events.end(), format.payload_type);
  }
}

auto is_audio(const Media& medium) -> bool {
  return medium.kind == "audio" && medium.transport == audio_transport && medium.port.value != 0;
}

}  // namespace

auto to_string(Refusal refusal) -> std::string_view {
  switch (refusal) {
    case Refusal::no_audio: return "no audio over RTP is offered";
    case Refusal::no_codec: return "no codec that is offered is one of this phone's";
    case Refusal::no_address: return "the audio has no address that can be read";
    case Refusal::no_nat64_prefix: return "the audio's address is IPv4, and the NAT64's prefix is not known";
    case Refusal::no_mapping: return "the audio's address is IPv4, and no PCP server gave this host one";
    case Refusal::no_ipv6: return "the audio's address is IPv6, and this host has none";
    case Refusal::ended: return "the other side refused the audio";
  }
  return "?";
}

auto make_offer(const Local& local) -> Description {
  const Ends& ends = local.external ? *local.external : local.internal;
  Description offer = begin_description(local, ends);
  Media medium;
  set_ends(medium, ends);
  set_formats(medium, offered_formats(local));
  medium.direction = local.direction;
  if (local.external && local.offers_alternatives && !local.internal.rtp.address.is_ipv4()) {
    // Without translation is better: IPv6 first.
    medium.alternatives = {
        {.number = 1, .rtp = local.internal.rtp, .rtcp_port = local.internal.rtcp.port},
        {.number = 2, .rtp = ends.rtp, .rtcp_port = {}},
    };
  }
  offer.media.push_back(std::move(medium));
  return offer;
}

auto make_answer(const Local& local, const Description& offer) -> std::expected<Answer, Refusal> {
  const auto offered = std::ranges::find_if(offer.media, is_audio);
  if (offered == offer.media.end()) return std::unexpected(Refusal::no_audio);
  const std::array families{local.internal.rtp.address.family()};
  const auto choice = choose_ends(offer, *offered, families);
  if (!choice) return std::unexpected(Refusal::no_address);
  auto agreement = agree(local, offer, *offered, choice->ends);
  if (!agreement) return std::unexpected(agreement.error());
  agreement->altc = choice->verdict;
  const bool is_internal = agreement->family == local.internal.rtp.address.family();
  if (!is_internal && !local.external) return std::unexpected(Refusal::no_mapping);
  const Ends& ends = local.external && agreement->family == Family::ipv4 ? *local.external : local.internal;
  Answer answer{.description = begin_description(local, ends), .agreement = *agreement};
  for (const Media& each : offer.media) {
    Media medium;
    medium.kind = each.kind;
    medium.transport = each.transport;
    medium.format_list = each.format_list;
    if (&each == &*offered) {
      const media::Plan& plan = agreement->plan;
      std::vector<Format> formats{format_of(plan.codec, plan.payload_type)};
      if (plan.event_payload_type)
        formats.push_back(event_format(*plan.event_payload_type, plan.event_clock_rate));
      set_formats(medium, std::move(formats));
      set_ends(medium, ends);
      medium.direction = agreement->direction;
    }
    answer.description.media.push_back(std::move(medium));
  }
  return answer;
}

auto take_answer(const Local& local, const Description& answer) -> std::expected<Agreement, Refusal> {
  if (answer.media.empty()) return std::unexpected(Refusal::no_audio);
  const Media& medium = answer.media.front();
  if (medium.port.value == 0) return std::unexpected(Refusal::ended);
  const auto ends = plain_ends(answer, medium);
  if (!ends) return std::unexpected(Refusal::no_address);
  auto agreement = agree(local, answer, medium, *ends);
  if (agreement) number_as_offered(agreement->plan, offered_formats(local));
  // The family of its c= line is what it chose (RFC 6947 s4.2.2).
  if (agreement && local.external && local.offers_alternatives && agreement->family == Family::ipv6)
    agreement->altc = AltcVerdict::used;
  return agreement;
}

}  // namespace portolan::sip
