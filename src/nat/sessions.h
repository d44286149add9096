// SPDX-License-Identifier: BSD-2-Clause
//
// The session tables (RFC 6146 s3.2): a flat table with one entry per direction for lookups, and a
// record per session for what packets in steady state need not touch. Idle sessions are found by a
// timer wheel: an entry's `last` moves with each packet, the wheel is told only when a lifetime gets
// shorter, and a session that comes up too early is put back.
#pragma once

#include <cstdint>
#include <optional>

#include "base/lazy_array.h"
#include "base/random.h"
#include "base/time.h"
#include "base/timer_wheel.h"
#include "nat/config.h"
#include "nat/embedding.h"
#include "nat/flat_table.h"
#include "nat/session_entry.h"
#include "nat/tcp_state.h"

namespace portolan::nat {

/// Coarse time of session entries: 2^20 ns, going round after 52 days. Differences are what counts.
[[nodiscard]] inline auto session_tick(TimePoint time) -> std::uint32_t {
  return static_cast<std::uint32_t>(time.time_since_epoch().count() >> 20U);
}
inline constexpr Nanoseconds session_tick_length{1 << 20};

/// What the two entries of a session don't hold.
struct Session {
  std::uint32_t slots[2];  ///< of its entries, by Direction
  std::uint32_t binding;
  std::uint32_t previous;  ///< neighbours among its binding's sessions
  std::uint32_t next;
  std::uint32_t since;       ///< tick at which its lifetime began anew, other than by `last`
  std::uint32_t kept_until;  ///< it lives until then whatever its packets do (PEER); 0: not so; in seconds
  TcpState state;            ///< TCP only
  bool is_tcp;
  bool is_udp;
  bool is_outbound;  ///< an inside packet began it
};

class Sessions {
 public:
  /// Entries are in memory of their own until a BPF program wants to read them.
  class Memory {
   public:
    explicit Memory(std::uint32_t capacity)
        : capacity_(capacity), entries_(std::size_t{capacity} + probe_max) {}
    [[nodiscard]] auto at(std::uint32_t slot) -> SessionEntry& { return entries_[slot]; }
    [[nodiscard]] auto at(std::uint32_t slot) const -> const SessionEntry& { return entries_[slot]; }
    [[nodiscard]] auto capacity() const -> std::uint32_t { return capacity_; }

   private:
    std::uint32_t capacity_;
    LazyArray<SessionEntry> entries_;
  };

  Sessions(const Config& config, Random& random);

  /// The entry that rewrites packets with `key`, or null. Cost: one cache line mostly.
  template <typename Key>
  [[nodiscard]] auto find(const Key& key) -> SessionEntry* {
    const std::uint32_t slot = table_.find(hash_key(secret_, key), key);
    return slot == Table::no_slot ? nullptr : &table_.at(slot);
  }

  /// Adds a session whose two entries are `outward` and its counterpart; their tuple, deltas and
  /// protocol are set. Returns its number, or 0 if the table is full.
  [[nodiscard]] auto add(const SessionEntry& outward, const SessionEntry& inward, const Session& session,
                         TimePoint now) -> std::uint32_t;
  void erase(std::uint32_t number);

  /// Moves a TCP session on.
  void segment(std::uint32_t number, Direction side, TcpEvent event, TimePoint now);
  /// ESTABLISHED ran out: TRANS for a last while (RFC 6146 s3.5.2.2).
  void decline(std::uint32_t number, TimePoint now);

  /// From now on its inside knows the remote address by another prefix: that of the two entries given.
  void set_prefix(std::uint32_t number, const SessionEntry& outward, const SessionEntry& inward);

  /// Keeps a session until `until` at least, whether packets come or not (RFC 6887 s12.3). Resets and
  /// both sides' FINs undo it.
  void keep(std::uint32_t number, TimePoint until, TimePoint now);
  /// Undoes keep(): the session lives as its packets let it. Returns when it ends if none comes.
  auto let_go(std::uint32_t number, TimePoint now) -> TimePoint;
  /// As if the session's last packet had been so long ago that it would end now.
  void make_idle(std::uint32_t number, TimePoint now);

  /// When the session ends if no packet comes. `outbound_only`: packets from outside don't count.
  [[nodiscard]] auto deadline(const Session& session, TimePoint now, bool outbound_only) -> TimePoint;

  /// A session the wheel brings up; it must be put back or erased.
  [[nodiscard]] auto pop_due(TimePoint now) -> std::optional<std::uint32_t> { return wheel_.pop_due(now); }
  void put_back(std::uint32_t number, TimePoint deadline, TimePoint now) {
    wheel_.schedule(number, deadline, now);
  }
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint> { return wheel_.next_deadline(); }

  [[nodiscard]] auto operator[](std::uint32_t number) -> Session& { return sessions_[number]; }
  [[nodiscard]] auto operator[](std::uint32_t number) const -> const Session& { return sessions_[number]; }
  [[nodiscard]] auto entry(std::uint32_t number, Direction direction) const -> const SessionEntry& {
    return table_.at(sessions_[number].slots[static_cast<std::size_t>(direction)]);
  }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  /// All numbers are smaller.
  [[nodiscard]] auto end() const -> std::uint32_t { return numbers_.end(); }
  /// Whether `number`, one handed out, is a session now.
  [[nodiscard]] auto is_used(std::uint32_t number) const -> bool {
    const SessionEntry& entry = this->entry(number, Direction::from_ipv6);
    return entry.session == number && entry.direction == Direction::from_ipv6;
  }

 private:
  using Table = FlatTable<SessionEntry, Memory>;

  [[nodiscard]] auto lifetime(const Session& session) const -> Seconds;
  void erase_entry(std::uint32_t slot);

  Timeouts timeouts_;
  TableSecret secret_{};
  Table table_;
  Numbers numbers_;
  LazyArray<Session> sessions_;
  TimerWheel wheel_;
};

}  // namespace portolan::nat
