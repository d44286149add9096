// SPDX-License-Identifier: BSD-2-Clause
//
// Offers and answers (RFC 3264) of a phone with one audio stream, that receives at an IPv6 address of its own
// and, if PCP gave it one, at an external IPv4 address.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "media/codec.h"
#include "media/session.h"
#include "sip/altc.h"
#include "sip/sdp.h"

namespace portolan::sip {

/// What this side has.
struct Local {
  std::string user = "-";
  std::uint64_t session_id = 0;
  /// One more with each description that differs (RFC 3264 s8).
  std::uint64_t version = 0;
  /// At this host, of its address family.
  Ends internal;
  /// As the IPv4 Internet reaches it, by mappings.
  std::optional<Ends> external;
  /// By which this host reaches IPv4 addresses.
  std::optional<Prefix> nat64_prefix;
  /// In the order of preference.
  std::vector<media::Codec> codecs = {media::Codec::pcmu, media::Codec::pcma, media::Codec::opus};
  /// What is agreed on so far. Its codec goes before the others in a later offer, so that a call on hold does
  /// not change it, and payload types keep their meaning (RFC 3264 s8.3.2).
  std::optional<media::Plan> agreed;
  /// What we want: on hold, less than sendrecv.
  Direction direction = Direction::sendrecv;
  /// Offers both addresses, by altc.
  bool offers_alternatives = true;
};

/// What both sides agreed on.
struct Agreement {
  media::Plan plan;
  /// Ours.
  Direction direction = Direction::sendrecv;
  /// Of the addresses in use.
  Family family = Family::ipv6;
  AltcVerdict altc = AltcVerdict::absent;
};

enum class Refusal : std::uint8_t {
  no_audio,         ///< no audio by RTP/AVP is offered
  no_codec,         ///< none of ours
  no_address,       ///< of the audio, that can be read
  no_nat64_prefix,  ///< its address is IPv4, and how to reach that is not known
  no_mapping,       ///< its address is IPv4, and this host has none that could receive from there
  no_ipv6,          ///< its address is IPv6, and this host has none
  ended,            ///< the answer refuses the audio
};
/// As a sentence without end.
[[nodiscard]] auto to_string(Refusal refusal) -> std::string_view;

/// Spec  RFC 3264 s5.1; RFC 6947 s4.1; RFC 3605 s2.1; RFC 7587 s7
[[nodiscard]] auto make_offer(const Local& local) -> Description;

struct Answer {
  Description description;
  Agreement agreement;
};
/// Audio is the first medium that can be; all others are refused. Its codec is the first one offered that
/// this side has, whatever order it would have them in. Spec  RFC 3264 s6, s6.1; RFC 6947 s4.2; RFC 7587 s7.1
[[nodiscard]] auto make_answer(const Local& local, const Description& offer)
    -> std::expected<Answer, Refusal>;

/// What an answer to make_offer(local) means.
/// Spec  RFC 3264 s7; RFC 6947 s4.2.2
[[nodiscard]] auto take_answer(const Local& local, const Description& answer)
    -> std::expected<Agreement, Refusal>;

}  // namespace portolan::sip
