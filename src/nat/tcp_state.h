// SPDX-License-Identifier: BSD-2-Clause
//
// The TCP state machine of RFC 6146 s3.5.2.2 as a pure function. CLOSED is the absence of a session.
#pragma once

#include <cstdint>

#include "nat/packet.h"
#include "nat/session_entry.h"

namespace portolan::nat {

enum class TcpState : std::uint8_t { v4_init, v6_init, established, v4_fin, v6_fin, v4_and_v6_fin, trans };

enum class TcpEvent : std::uint8_t { syn, fin, rst, other };

/// The event a segment with these flags is. RST counts before FIN, FIN before SYN.
[[nodiscard]] constexpr auto tcp_event(std::uint8_t flags) -> TcpEvent {
  if ((flags & tcp::rst) != 0) return TcpEvent::rst;
  if ((flags & tcp::fin) != 0) return TcpEvent::fin;
  if ((flags & tcp::syn) != 0) return TcpEvent::syn;
  return TcpEvent::other;
}

/// Whether segments refresh the session's lifetime in `state`; else its timer runs from the last
/// transition.
[[nodiscard]] constexpr auto is_refreshing(TcpState state) -> bool {
  return state == TcpState::established || state == TcpState::v4_fin || state == TcpState::v6_fin;
}

/// Whether one side has sent a SYN, and the other none yet.
[[nodiscard]] constexpr auto is_opening(TcpState state) -> bool {
  return state == TcpState::v4_init || state == TcpState::v6_init;
}

struct TcpTransition {
  TcpState state;
  bool restart;  ///< the lifetime begins anew, with the time that belongs to `state`
};

/// What `event`, a segment that arrived from `side`, does to a session in `state`.
[[nodiscard]] constexpr auto next_state(TcpState state, Direction side, TcpEvent event) -> TcpTransition {
  const bool from_v6 = side == Direction::from_ipv6;
  switch (state) {
    case TcpState::v4_init:
      if (from_v6 && event == TcpEvent::syn) return {TcpState::established, true};
      return {state, false};
    case TcpState::v6_init:
      if (event == TcpEvent::syn) return {from_v6 ? state : TcpState::established, true};
      return {state, false};
    case TcpState::established:
      if (event == TcpEvent::fin) return {from_v6 ? TcpState::v6_fin : TcpState::v4_fin, true};
      if (event == TcpEvent::rst) return {TcpState::trans, true};
      return {state, true};
    case TcpState::v4_fin:
      if (from_v6 && event == TcpEvent::fin) return {TcpState::v4_and_v6_fin, true};
      return {state, true};
    case TcpState::v6_fin:
      if (!from_v6 && event == TcpEvent::fin) return {TcpState::v4_and_v6_fin, true};
      return {state, true};
    case TcpState::v4_and_v6_fin:
      // A SYN opens a new connection on the old one's ports (RFC 9293 s3.6.1). RFC 6146 would let
      // it run on the old session's last 4 minutes and then cut it.
      if (event == TcpEvent::syn) return {from_v6 ? TcpState::v6_init : TcpState::v4_init, true};
      return {state, false};
    case TcpState::trans:
      if (event == TcpEvent::rst) return {state, false};
      return {TcpState::established, true};
  }
  return {state, false};
}

}  // namespace portolan::nat
