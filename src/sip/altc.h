// SPDX-License-Identifier: BSD-2-Clause
//
// Which address of a medium counts, where its description gives several (RFC 6947).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "sip/sdp.h"

namespace portolan::sip {

/// Where one side receives.
struct Ends {
  Endpoint rtp;
  Endpoint rtcp;
  auto operator==(const Ends&) const -> bool = default;
};

/// What became of the altc attributes of an offer.
enum class AltcVerdict : std::uint8_t {
  absent,
  used,
  not_two,              ///< RFC 6947 s4.1: there are two
  several_of_a_family,  ///< RFC 6947 s4.1: one per address type
  no_duplicate,         ///< RFC 6947 s4.2.1: none repeats c= and m=, so a middlebox may have changed those
  no_family_of_ours,
};
[[nodiscard]] auto to_string(AltcVerdict verdict) -> std::string_view;

struct Choice {
  Ends ends;
  AltcVerdict verdict = AltcVerdict::absent;
};

/// Where `medium` of an offer is to be sent to by one who has addresses of `families`: the most preferred
/// altc address among them, or, if the attributes break a rule, what c= and m= say.
///
/// Spec    RFC 6947 s4.1, s4.2.1; RFC 3605 s2.1 (a=rtcp)
/// Errors  nothing: the medium has no address
[[nodiscard]] auto choose_ends(const Description& offer, const Media& medium,
                               std::span<const Family> families) -> std::optional<Choice>;

/// What c=, m= and a=rtcp say, as in an answer, which has no altc (RFC 6947 s4.2.2).
[[nodiscard]] auto plain_ends(const Description& description, const Media& medium) -> std::optional<Ends>;

}  // namespace portolan::sip
