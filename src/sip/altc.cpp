// SPDX-License-Identifier: BSD-2-Clause
#include "sip/altc.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace portolan::sip {
namespace {

/// One more than RTP's; RTP on the last port has no other.
auto rtcp_port_beside(Port rtp) -> Port {
  return rtp.value == std::numeric_limits<std::uint16_t>::max()
             ? rtp
             : Port{static_cast<std::uint16_t>(rtp.value + 1)};
}

auto verdict_on(const std::vector<Alternative>& alternatives, const Endpoint& plain) -> AltcVerdict {
  if (alternatives.empty()) return AltcVerdict::absent;
  if (alternatives.size() != 2) return AltcVerdict::not_two;
  if (alternatives[0].rtp.address.family() == alternatives[1].rtp.address.family())
    return AltcVerdict::several_of_a_family;
  const bool has_duplicate =
      std::ranges::any_of(alternatives, [&](const Alternative& each) { return each.rtp == plain; });
  return has_duplicate ? AltcVerdict::used : AltcVerdict::no_duplicate;
}

}  // namespace

auto to_string(AltcVerdict verdict) -> std::string_view {
  switch (verdict) {
    case AltcVerdict::absent: return "no altc";
    case AltcVerdict::used: return "altc is used";
    case AltcVerdict::not_two: return "altc is ignored: there are not two of them";
    case AltcVerdict::several_of_a_family: return "altc is ignored: both are of one address family";
    case AltcVerdict::no_duplicate: return "altc is ignored: none repeats c= and m=";
    case AltcVerdict::no_family_of_ours: return "altc is ignored: none is of an address family of this host";
  }
  return "?";
}

auto plain_ends(const Description& description, const Media& medium) -> std::optional<Ends> {
  const auto address = description.address_of(medium);
  if (!address) return {};
  return Ends{.rtp = {.address = *address, .port = medium.port},
              .rtcp = {.address = medium.rtcp_address.value_or(*address),
                       .port = medium.rtcp_port.value_or(rtcp_port_beside(medium.port))}};
}

auto choose_ends(const Description& offer, const Media& medium, std::span<const Family> families)
    -> std::optional<Choice> {
  const auto plain = plain_ends(offer, medium);
  if (!plain) return {};
  Choice choice{.ends = *plain, .verdict = verdict_on(medium.alternatives, plain->rtp)};
  if (choice.verdict != AltcVerdict::used) return choice;
  std::vector<Alternative> ordered = medium.alternatives;
  std::ranges::stable_sort(ordered, {}, [](const Alternative& each) { return each.number.value_or(0); });
  const auto chosen = std::ranges::find_if(ordered, [&](const Alternative& each) {
    return std::ranges::find(families, each.rtp.address.family()) != families.end();
  });
  if (chosen == ordered.end()) {
    choice.verdict = AltcVerdict::no_family_of_ours;
    return choice;
  }
  if (chosen->rtp == plain->rtp) return choice;
  choice.ends.rtp = chosen->rtp;
  // An address that a=rtcp names holds whatever is chosen; a port alone belongs to m= (RFC 6947 s4.2.1).
  if (!medium.rtcp_address)
    choice.ends.rtcp = {.address = chosen->rtp.address,
                        .port = chosen->rtcp_port.value_or(rtcp_port_beside(chosen->rtp.port))};
  return choice;
}

}  // namespace portolan::sip
