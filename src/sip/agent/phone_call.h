// SPDX-License-Identifier: BSD-2-Clause
//
// What a phone keeps of one call; for its own files only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "io/udp.h"
#include "media/session.h"
#include "sip/agent/agent.h"
#include "sip/agent/mappings.h"
#include "sip/agent/phone.h"
#include "sip/agent/server_lookup.h"
#include "sip/offer.h"

namespace portolan::sip {

struct Phone::Call {
  Call(unsigned given, io::UdpSocket rtp_socket, io::UdpSocket rtcp_socket, std::string name, Random& random)
      : number(given),
        rtp(std::move(rtp_socket)),
        rtcp(std::move(rtcp_socket)),
        session(std::move(name), random) {}

  unsigned number;
  bool is_outgoing = false;
  /// The INVITE goes to a name that is to be found first.
  bool seeks_way = false;
  CallState state = CallState::preparing;
  bool is_ended = false;
  std::optional<CallId> id;
  std::string remote;
  /// Where the INVITE goes, if not to the server.
  std::string next_hop;
  std::optional<ServerLookup> lookup;
  Agent::Watch lookup_watch;
  io::UdpSocket rtp;
  io::UdpSocket rtcp;
  Agent::Watch rtp_watch;
  Agent::Watch rtcp_watch;
  std::unique_ptr<MediaMapping> mapping;
  /// Until when the mapping is waited for.
  TimePoint patience;
  media::Session session;
  Local local;
  std::optional<Agreement> agreement;
  /// Their first offer, which waits to be answered; no value: we are to offer.
  std::optional<Description> offered;
  bool wants_answer = false;
  bool is_refused_here = false;
  /// An offer of ours is under way, or another one is to be made.
  bool is_changing = false;
  bool wants_change = false;
  std::optional<TimePoint> retry_at;
  /// What the descriptions so far said of us.
  std::optional<Ends> told;
  /// No value: nothing was said yet.
  std::optional<Endpoint> told_place;
};

}  // namespace portolan::sip
