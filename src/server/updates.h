// SPDX-License-Identifier: BSD-2-Clause
//
// When messages nobody asked for are due (RFC 6887 s14): mapping updates three times each, restart
// announcements at intervals that double. Only the timing; the server writes the messages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/contract.h"
#include "base/random.h"
#include "base/time.h"

namespace portolan::server {

/// Mapping updates: at once, 250 ms later, 500 ms after that; none after a refresh (RFC 6887 s14.2).
class Updates {
 public:
  explicit Updates(Random& random);

  struct Update {
    ContractKey key;
    /// The contract as it was, if it is gone.
    std::optional<Contract> lost;
    /// The operator deleted it.
    bool is_deleted = false;
  };

  /// Begins anew for a contract that was moved, or lost, or deleted by the operator; its first update is due
  /// at `now`.
  void begin(TimePoint now, const ContractKey& moved);
  void begin(TimePoint now, const Contract& lost, bool is_deleted = false);
  /// The client refreshed the mapping, or it is gone: no more updates.
  void cease(const ContractKey& key);
  /// One contract whose update is due at `now`, if there is one.
  [[nodiscard]] auto take_due(TimePoint now) -> std::optional<Update>;
  [[nodiscard]] auto next_due() const -> std::optional<TimePoint>;

 private:
  static constexpr std::array<Milliseconds, 3> intervals{Milliseconds{0}, Milliseconds{250},
                                                         Milliseconds{500}};
  struct Entry {
    TimePoint due;
    ContractKey key;
    std::uint64_t round;
  };
  // One queue for each transmission: in each, entries are in order of time.
  std::array<std::deque<Entry>, intervals.size()> queues_;
  struct Round {
    std::uint64_t number = 0;
    std::optional<Contract> lost;
    bool is_deleted = false;
  };
  void begin(TimePoint now, const ContractKey& key, Round round);
  /// The round of each key whose client is being told; entries of earlier rounds are void.
  boost::unordered_flat_map<ContractKey, Round, ContractKeyHash> rounds_;
  std::uint64_t last_round_ = 0;
};

/// Announcements to single clients whose epoch began anew and who get no mapping update: three each, at
/// intervals that double (RFC 6887 s14.1.3).
class EpochAnnouncements {
 public:
  /// Announcements that wait; beyond them clients learn of their epoch by their next answer.
  static constexpr std::size_t waiting_max = 65'536;

  struct Recipient {
    Endpoint client;
    std::uint16_t path = 0;
    Prefix subscriber;
  };

  /// The first one is due at `now`.
  void begin(TimePoint now, const Recipient& recipient);
  /// Whom to send one at `now`, if anyone; it counts as sent.
  [[nodiscard]] auto take_due(TimePoint now) -> std::optional<Recipient>;
  [[nodiscard]] auto next_due() const -> std::optional<TimePoint>;

 private:
  static constexpr std::array<Milliseconds, 3> intervals{Milliseconds{0}, Milliseconds{250},
                                                         Milliseconds{500}};
  struct Entry {
    TimePoint due;
    Recipient recipient;
  };
  // One queue for each transmission: in each, entries are in order of time.
  std::array<std::deque<Entry>, intervals.size()> queues_;
};

/// Restart announcements: 250 ms after the first the second, then after twice as long each (RFC 6887
/// s14.1.3).
class RestartAnnouncements {
 public:
  /// `count` announcements, the first due at `now`.
  void begin(TimePoint now, unsigned count);
  /// Whether one is due at `now`; it counts as sent.
  [[nodiscard]] auto take_due(TimePoint now) -> bool;
  [[nodiscard]] auto next_due() const -> std::optional<TimePoint>;

 private:
  unsigned left_ = 0;
  TimePoint due_{};
  Milliseconds interval_{};
};

}  // namespace portolan::server
