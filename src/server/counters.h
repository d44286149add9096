// SPDX-License-Identifier: BSD-2-Clause
//
// What the server engine counts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace portolan::server {

/// What a request asks, by format and opcode.
enum class RequestKind : std::uint8_t { announce, map, peer, nat_pmp, other, end };
inline constexpr std::size_t request_kinds = std::to_underlying(RequestKind::end);

/// What has happened since the start. Each field only grows.
struct Counters {
  /// Requests admitted, by what they ask.
  std::uint64_t announce_requests = 0;
  std::uint64_t map_requests = 0;
  std::uint64_t peer_requests = 0;
  std::uint64_t nat_pmp_requests = 0;
  std::uint64_t other_requests = 0;
  /// The same by the number of their version (NAT-PMP: 0), and the options in them by code.
  std::array<std::uint64_t, 3> versions{};
  std::array<std::uint64_t, 256> options{};
  /// Answers by result code; NAT-PMP's have those that PCP would have.
  std::array<std::uint64_t, 256> answers{};
  /// The same, first by what was asked.
  std::array<std::array<std::uint64_t, 256>, request_kinds> answers_to{};
  /// Requests for a mapping by who does not know its nonce (RFC 6887 s11.3).
  std::uint64_t nonce_mismatches = 0;
  /// Datagrams dropped without an answer, by reason.
  std::uint64_t dropped_too_short = 0;
  std::uint64_t dropped_response = 0;
  std::uint64_t dropped_overload = 0;
  /// Contracts that clients or the operator had made, renewed or changed, and deleted, durably.
  std::uint64_t made = 0;
  std::uint64_t renewed = 0;
  std::uint64_t deleted = 0;
  /// Contracts whose lifetime ran out.
  std::uint64_t expired = 0;
  /// Contracts that the device moved to another external endpoint, or lost.
  std::uint64_t moved = 0;
  std::uint64_t lost = 0;
  /// Messages nobody asked for: mapping updates, restart announcements.
  std::uint64_t updates_sent = 0;
  std::uint64_t announcements_sent = 0;
  /// Commits that failed, and operations the device would not undo thereafter.
  std::uint64_t failed_commits = 0;
  std::uint64_t refused_undos = 0;
  /// Port sets that the device still had under a key that was new here, larger than asked for: they may
  /// exceed quotas until they end.
  std::uint64_t larger_sets_found = 0;
  /// What devices lacked of what was promised or had otherwise, and had without anybody's promise.
  std::uint64_t reinstalled = 0;
  std::uint64_t unowned_removed = 0;
};

}  // namespace portolan::server
