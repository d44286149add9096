// SPDX-License-Identifier: BSD-2-Clause
#include "sip/offer.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <fmt/format.h>

#include "sip/nat64.h"

namespace portolan::sip {
namespace {

constexpr std::string_view event_encoding = "telephone-event";
constexpr std::uint8_t event_payload_type = 101;
constexpr std::string_view event_parameters = "0-15";
constexpr std::string_view audio_transport = "RTP/AVP";

auto is_same_word(std::string_view left, std::string_view right) -> bool {
  return std::ranges::equal(left, right, [](char one, char other) {
    return std::tolower(static_cast<unsigned char>(one)) == std::tolower(static_cast<unsigned char>(other));
  });
}

auto format_of(media::Codec codec) -> Format {
  return {.payload_type = media::static_payload_type(codec),
          .encoding = std::string(media::to_string(codec)),
          .clock_rate = media::sample_rate};
}

auto event_format(std::uint8_t payload_type) -> Format {
  return {.payload_type = payload_type,
          .encoding = std::string(event_encoding),
          .clock_rate = media::sample_rate,
          .parameters = std::string(event_parameters)};
}

auto is_codec(const Format& format, media::Codec codec) -> bool {
  if (format.encoding.empty()) return format.payload_type == media::static_payload_type(codec);
  return is_same_word(format.encoding, media::to_string(codec)) && format.clock_rate == media::sample_rate;
}

auto is_event(const Format& format) -> bool {
  return is_same_word(format.encoding, event_encoding) && format.clock_rate == media::sample_rate;
}

void set_formats(Media& medium, std::vector<Format> formats) {
  medium.format_list.clear();
  for (const Format& format : formats)
    medium.format_list += fmt::format("{}{}", medium.format_list.empty() ? "" : " ", format.payload_type);
  medium.formats = std::move(formats);
}

/// The first one of theirs that is one of ours.
auto common_codec(const Local& local, const Media& medium)
    -> std::optional<std::pair<media::Codec, std::uint8_t>> {
  for (const Format& format : medium.formats)
    for (const media::Codec codec : local.codecs)
      if (is_codec(format, codec)) return std::pair{codec, format.payload_type};
  return {};
}

auto event_of(const Media& medium) -> std::optional<std::uint8_t> {
  const auto format = std::ranges::find_if(medium.formats, is_event);
  if (format == medium.formats.end()) return {};
  return format->payload_type;
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

/// Reached as this host reaches it, with codec and direction.
auto agree(const Local& local, const Description& theirs, const Media& medium, const Ends& ends)
    -> std::expected<Agreement, Refusal> {
  const auto codec = common_codec(local, medium);
  if (!codec) return std::unexpected(Refusal::no_codec);
  Agreement agreement;
  agreement.family = ends.rtp.address.family();
  agreement.plan.codec = codec->first;
  agreement.plan.payload_type = codec->second;
  agreement.plan.event_payload_type = event_of(medium);
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

auto is_audio(const Media& medium) -> bool {
  return medium.kind == "audio" && medium.transport == audio_transport && medium.port.value != 0;
}

}  // namespace

auto to_string(Refusal refusal) -> std::string_view {
  switch (refusal) {
    case Refusal::no_audio: return "no audio over RTP is offered";
    case Refusal::no_codec: return "no codec in common: this phone has PCMU and PCMA";
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
  std::vector<Format> formats;
  for (const media::Codec codec : local.codecs) formats.push_back(format_of(codec));
  formats.push_back(event_format(event_payload_type));
  set_formats(medium, std::move(formats));
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
      std::vector<Format> formats{format_of(agreement->plan.codec)};
      formats.front().payload_type = agreement->plan.payload_type;
      if (agreement->plan.event_payload_type)
        formats.push_back(event_format(*agreement->plan.event_payload_type));
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
  // The family of its c= line is what it chose (RFC 6947 s4.2.2).
  if (agreement && local.external && local.offers_alternatives && agreement->family == Family::ipv6)
    agreement->altc = AltcVerdict::used;
  return agreement;
}

}  // namespace portolan::sip
