// SPDX-License-Identifier: BSD-2-Clause
//
// What a phone does when its mappings come, move and go, and which offers follow from that.
#include "sip/agent/phone.h"
#include "sip/agent/phone_call.h"

namespace portolan::sip {

void Phone::look_at_mappings() {
  look_at_sip_mapping();
  for (const auto& call : calls_) {
    if (call->is_ended) continue;
    if (call->mapping != nullptr) call->mapping->update();
    prepare(*call);
    follow_mapping(*call);
  }
}

void Phone::look_at_sip_mapping() {
  const auto external = place();
  if (external == told_place_) return;
  told_place_ = external;
  if (!external) {
    tell({.kind = PhoneEvent::Kind::unmapped,
          .text = "the mapping was lost, and the PCP server gives no other one; it is asked again"});
    return;
  }
  tell({.kind = PhoneEvent::Kind::mapped, .place = external});
  if (*external == agent_->place()) return;
  agent_->set_place(*external);
  if (config_.is_registering && has_server_) agent_->register_place();
}

/// What others are told from now on is where the call's media are now; who was told otherwise hears of it as
/// soon as the call is active.
void Phone::follow_mapping(Call& call) {
  if (call.is_ended || call.state == CallState::preparing) return;
  // What is lost is asked for again; until then there is nothing better to tell.
  if (const auto ends = call.mapping != nullptr ? call.mapping->ends() : std::nullopt)
    call.local.external = ends;
  if (call.told_place && (call.local.external != call.told || agent_->place() != call.told_place))
    want_change(call);
}

/// To be called where a description of ours is sent.
void Phone::note_told(Call& call) {
  call.told = call.local.external;
  call.told_place = agent_->place();
}

void Phone::want_change(Call& call) {
  call.wants_change = true;
  send_change(call);
}

/// One offer at a time (RFC 3264 s4).
void Phone::send_change(Call& call) {
  if (!call.wants_change || call.is_changing || call.retry_at || !call.id || call.state != CallState::active)
    return;
  call.wants_change = false;
  call.is_changing = true;
  ++call.local.version;
  agent_->change(*call.id, to_text(make_offer(call.local)));
  const bool are_media_moved = call.local.external && call.local.external != call.told;
  if (are_media_moved || agent_->place() != call.told_place)
    tell({.kind = PhoneEvent::Kind::moved,
          .call = call.number,
          .place = are_media_moved ? call.local.external->rtp : agent_->place()});
  note_told(call);
}

}  // namespace portolan::sip
