// SPDX-License-Identifier: BSD-2-Clause
//
// The server's table of contracts: what it has promised to whom until when. Found by key in O(1), counted
// and listed per subscriber, expired by their deadlines. Knows nothing of messages, devices or stores.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/contract.h"
#include "base/hash_index.h"
#include "base/timer_wheel.h"

namespace portolan::server {

/// Longer than any process lives: a device knows no end of time.
inline constexpr Seconds forever{100LL * 365 * 86400};

/// Whole seconds until `contract` expires, rounded up; at least 1.
[[nodiscard]] inline auto remaining_life(const Contract& contract, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(contract.expires - now), Seconds{1});
}

/// It ends by itself, unless somebody prolongs it.
[[nodiscard]] inline auto has_end(const Contract& contract, TimePoint now) -> bool {
  return contract.expires - now < forever / 2;
}

class ContractTable {
 public:
  /// For at most `maximum` contracts; `random` makes the keys of the hash tables.
  ContractTable(std::size_t maximum, Random& random);

  /// Where a contract is, to spare the search: right or wrong, it changes no result. 0: unknown.
  using Place = std::uint32_t;
  /// Who has contracts, or reservations.
  struct Subscriber {
    Prefix prefix;
    /// Mapped and reserved.
    std::uint32_t ports = 0;
    std::uint32_t contracts = 0;
    /// The last one put; 0: none.
    Place first = 0;
    /// When its present state began.
    TimePoint since;
  };

  /// The contract of `key`, or nullptr. Valid until the table changes.
  [[nodiscard]] auto find(const ContractKey& key, Place hint = 0) const -> const Contract* {
    const Number number = number_of(key, hint);
    return number == 0 ? nullptr : &slab_[number].contract;
  }
  /// Of a contract of this table.
  [[nodiscard]] auto place_of(const Contract& contract) const -> Place;
  /// A call soon; what is not known of it is guessed by fetch().
  struct Upcoming {
    enum class Call : std::uint8_t { find, put, erase };
    Call call = Call::find;
    Prefix subscriber;
    std::uint32_t hash = 0;
    Place place = 0;
    std::uint32_t user_hash = 0;
    std::uint32_t user = 0;
  };
  /// About the contract of `key`, of `subscriber`.
  [[nodiscard]] auto upcoming(Upcoming::Call call, const ContractKey& key, const Prefix& subscriber,
                              Place hint = 0) const -> Upcoming {
    const bool looks_up = hint == 0 || call == Upcoming::Call::erase;
    return {.call = call, .subscriber = subscriber, .hash = looks_up ? hash_of(key) : 0, .place = hint};
  }
  /// With many contracts, memory takes longer than all else a search costs: starts fetching what `calls`, not
  /// more than fetched_together_max, touch. What is guessed wrongly is only slower.
  void fetch(std::span<Upcoming> calls) const;
  /// Keys of the MAP contracts that have any of the `port_count` internal ports from `mapping`'s on
  /// (RFC 7753 s4.4.1), by ascending port. Cost O(port_count + port sets of the host).
  [[nodiscard]] auto overlapping(const MappingKey& mapping, std::uint16_t port_count) const
      -> std::vector<MappingKey>;
  /// Inserts or replaces.
  auto put(TimePoint now, const Contract& contract, Place hint = 0) -> Place;
  /// Erases the contract of `key`, if there is one.
  void erase(const ContractKey& key, Place hint = 0);

  /// Erases and returns one contract whose time is up at `now`, if it finds one with `looks` looks; each is
  /// taken off. A contract for which `is_busy` holds is looked at again a second later.
  auto take_expired(TimePoint now, const std::function<bool(const Contract&)>& is_busy, std::size_t& looks)
      -> std::optional<Contract>;
  /// When take_expired() may have something.
  [[nodiscard]] auto next_expiry() const -> std::optional<TimePoint> { return wheel_.next_deadline(); }

  [[nodiscard]] auto size() const -> std::size_t { return numbers_.used(); }
  /// Ports of all contracts.
  [[nodiscard]] auto ports() const -> std::size_t { return ports_; }
  [[nodiscard]] auto has_port_sets() const -> bool { return !port_sets_.empty(); }

  /// Counts `ports` more of `subscriber` that are about to be mapped; release() takes them back, after
  /// put(): a subscriber without either has no state. What is in the table is counted by put() and erase().
  void reserve(TimePoint now, const Prefix& subscriber, std::uint32_t ports);
  void release(const Prefix& subscriber, std::uint32_t ports);
  /// Ports mapped and reserved of `subscriber`.
  [[nodiscard]] auto count_of(const Prefix& subscriber) const -> std::size_t;
  /// Reservations of all.
  [[nodiscard]] auto reserved() const -> std::size_t { return reserved_; }
  /// When the present state of `subscriber` began, if it has any.
  [[nodiscard]] auto state_since(const Prefix& subscriber) const -> std::optional<TimePoint>;
  /// Lets the state of `subscriber` begin at `now`, if it has any.
  void restart_state(TimePoint now, const Prefix& subscriber);

  /// Notes that nothing is to be done about the contract of `key` in `round`, which is not 0.
  void confirm(const ContractKey& key, std::uint32_t round);
  /// The first contract from `cursor` on, a place, that was not confirmed in `round`; `cursor` goes on behind
  /// it. Nothing after `looks` looks, each of which is taken off, or at the end: then has_more() is false.
  /// Valid until the table changes.
  [[nodiscard]] auto next_unconfirmed(Place& cursor, std::uint32_t round, std::size_t& looks) const
      -> const Contract*;
  [[nodiscard]] auto has_more(Place cursor) const -> bool { return cursor < slab_.size(); }

  /// The first contract from `cursor` on, as next_unconfirmed() finds it.
  [[nodiscard]] auto next(Place& cursor, std::size_t& looks) const -> const Contract* {
    return next_unconfirmed(cursor, no_round, looks);
  }
  /// The same of subscribers that have contracts.
  [[nodiscard]] auto next_subscriber(Place& cursor, std::size_t& looks) const -> const Subscriber*;
  [[nodiscard]] auto has_more_subscribers(Place cursor) const -> bool { return cursor < users_.size(); }
  [[nodiscard]] auto subscribers() const -> std::size_t { return user_numbers_.used(); }
  /// Nothing if it has neither contracts nor reservations.
  [[nodiscard]] auto find_subscriber(const Prefix& subscriber) const -> const Subscriber* {
    const Number user = user_of(subscriber);
    return user == 0 ? nullptr : &users_[user];
  }
  /// The last contract put of a subscriber of this table, or nullptr.
  [[nodiscard]] auto first_of(const Subscriber& subscriber) const -> const Contract* {
    return subscriber.first == 0 ? nullptr : &slab_[subscriber.first].contract;
  }

  void for_each(const std::function<void(const Contract&)>& visit) const;
  void for_each_of(const Prefix& subscriber, const std::function<void(const Contract&)>& visit) const;

 private:
  /// Place in the slab; 0: none.
  using Number = Place;
  /// One that never is.
  static constexpr std::uint32_t no_round = 0xffffffff;

  struct alignas(64) Slot {
    /// Neighbours among the contracts of its subscriber.
    Number previous = 0;
    Number next = 0;
    /// 0: the slot is not in use.
    Number user = 0;
    /// Last round in which it was confirmed.
    std::uint32_t confirmed = 0;
    Contract contract;
  };
  static_assert(sizeof(Slot) == 128, "two cache lines");
  [[nodiscard]] auto hash_of(const ContractKey& key) const -> std::uint32_t {
    return static_cast<std::uint32_t>(hash_(key) >> 32U);
  }
  [[nodiscard]] auto hash_of(const Prefix& subscriber) const -> std::uint32_t {
    const auto [first, second] = subscriber.address().bits().words();
    return static_cast<std::uint32_t>(keyed_hash(user_hash_, {first, second, subscriber.length()}) >> 32U);
  }
  [[nodiscard]] auto number_of(const ContractKey& key, Place hint = 0) const -> Number {
    if (hint != 0 && slab_[hint].user != 0 && slab_[hint].contract.key == key) return hint;
    return index_.find(hash_of(key), [&](Number number) { return slab_[number].contract.key == key; });
  }
  void fetch_new(Number number) const;
  void fetch_neighbours(Number number) const;
  void fetch_links(Number number) const;
  [[nodiscard]] auto user_of(const Prefix& subscriber) const -> Number;
  auto make_user(const Prefix& subscriber) -> Number;
  void link(Number number);
  void unlink(Number number);
  void drop_if_idle(Number user);

  ContractKeyHash hash_;
  HashKey user_hash_;
  Numbers numbers_;
  std::vector<Slot> slab_;
  /// Both grow: as long as they are small they shall be near.
  HashIndex index_;
  Numbers user_numbers_;
  std::vector<Subscriber> users_;
  HashIndex user_index_;
  /// First ports of the port sets of a host and protocol.
  boost::unordered_flat_map<MappingKey, std::vector<Number>, MappingKeyHash> port_sets_;
  std::size_t ports_ = 0;
  std::size_t reserved_ = 0;
  TimerWheel wheel_;
};

}  // namespace portolan::server
