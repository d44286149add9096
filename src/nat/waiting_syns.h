// SPDX-License-Identifier: BSD-2-Clause
//
// SYNs from outside that nobody inside waits for, yet: V4 INIT without a binding or against the filter
// (RFC 6146 s3.5.2.2). Each is kept for 6 seconds, in which a SYN from inside may meet it; the one from
// outside is sent again by its sender then. Met by none, it is answered (RFC 5382 s4.3 REQ-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/random.h"
#include "base/time.h"
#include "nat/parse.h"
#include "nat/session_entry.h"

namespace portolan::nat {

class WaitingSyns {
 public:
  static constexpr Seconds wait{6};                 // TCP_INCOMING_SYN of RFC 6146 s4
  static constexpr std::uint32_t octets_max = 128;  // room for the longest headers, 60 + 60

  /// Room for `maximum` SYNs.
  WaitingSyns(std::uint32_t maximum, Random& random);

  /// Keeps the SYN `packet`. One sent again changes nothing: its sender is answered for the first.
  /// Returns false if there is no room. Cost O(1).
  [[nodiscard]] auto add(TimePoint now, const OutsideKey& key, const Packet& packet) -> bool;
  /// Forgets the SYN with that key; whether there was one. Cost O(1), less if none waits at all.
  auto take(const OutsideKey& key) -> bool;
  /// The first octets of one that has waited long enough, and is forgotten; they stay as they are until the
  /// next add().
  [[nodiscard]] auto pop_due(TimePoint now) -> std::optional<std::span<std::uint8_t>>;
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  void check_invariants() const;

 private:
  struct Syn {
    OutsideKey key;
    std::int64_t until;
    std::uint32_t older;
    std::uint32_t newer;
    std::uint32_t size;
    std::array<std::uint8_t, octets_max> octets;
  };

  [[nodiscard]] auto hash_of(const OutsideKey& key) const -> std::uint32_t;
  [[nodiscard]] auto find(const OutsideKey& key) const -> std::uint32_t;
  void forget(std::uint32_t number);

  HashKey hash_;
  Numbers numbers_;
  LazyArray<Syn> syns_;
  HashIndex index_;
  // In order of arrival, which is that of their deadlines.
  std::uint32_t oldest_ = 0;
  std::uint32_t newest_ = 0;
};

}  // namespace portolan::nat
