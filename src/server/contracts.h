// SPDX-License-Identifier: BSD-2-Clause
//
// The server's table of contracts: what it has promised to whom until when. Found by key in O(1), counted
// and listed per subscriber, expired by the second. Knows nothing of messages, devices or stores.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/contract.h"
#include "server/second_wheel.h"

namespace portolan::server {

/// Whole seconds until `contract` expires, rounded up; at least 1.
[[nodiscard]] inline auto remaining_life(const Contract& contract, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(contract.expires - now), Seconds{1});
}

class ContractTable {
 public:
  /// `random` makes the keys of the hash tables.
  explicit ContractTable(Random& random);
  // The index points into the slab.
  ContractTable(const ContractTable&) = delete;
  auto operator=(const ContractTable&) -> ContractTable& = delete;

  /// The contract of `key`, or nullptr. Valid until the table changes.
  [[nodiscard]] auto find(const ContractKey& key) const -> const Contract*;
  /// Keys of the MAP contracts that have any of the `port_count` internal ports from `mapping`'s on
  /// (RFC 7753 s4.4.1), by ascending port. Cost O(port_count + port sets of the host).
  [[nodiscard]] auto overlapping(const MappingKey& mapping, std::uint16_t port_count) const
      -> std::vector<MappingKey>;
  /// Inserts or replaces.
  void put(const Contract& contract);
  /// Erases the contract of `key`, if there is one.
  void erase(const ContractKey& key);

  /// Erases and returns one contract whose time is up at `now`, if there is one. A contract for which
  /// `is_busy` holds is looked at again a second later.
  auto take_expired(TimePoint now, const std::function<bool(const Contract&)>& is_busy)
      -> std::optional<Contract>;
  /// When take_expired() may have something.
  [[nodiscard]] auto next_expiry() const -> std::optional<TimePoint> { return wheel_.next_due(); }

  [[nodiscard]] auto size() const -> std::size_t { return index_.size(); }
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

  void for_each(const std::function<void(const Contract&)>& visit) const;
  void for_each_of(const Prefix& subscriber, const std::function<void(const Contract&)>& visit) const;

  /// Octets the table uses, without details of contracts.
  [[nodiscard]] auto memory_octets() const -> std::size_t;

 private:
  using Index = SecondWheel::Index;
  static constexpr Index none = SecondWheel::none;

  struct Slot {
    Contract contract;
    /// Neighbours among the contracts of its subscriber.
    Index previous = none;
    Index next = none;
  };
  /// Contracts are found by their place in the slab, so that a key is kept once.
  struct SlotHash {
    using is_transparent = void;
    using is_avalanching = void;
    ContractKeyHash hash;
    const std::vector<Slot>* slab;
    auto operator()(const ContractKey& key) const -> std::size_t { return hash(key); }
    auto operator()(Index index) const -> std::size_t { return hash((*slab)[index].contract.key); }
  };
  struct SlotEqual {
    using is_transparent = void;
    const std::vector<Slot>* slab;
    auto operator()(Index left, Index right) const -> bool { return left == right; }
    auto operator()(const ContractKey& left, Index right) const -> bool {
      return left == (*slab)[right].contract.key;
    }
    auto operator()(Index left, const ContractKey& right) const -> bool { return (*this)(right, left); }
  };
  struct PrefixHash {
    using is_avalanching = void;
    HashKey key;
    auto operator()(const Prefix& prefix) const -> std::size_t {
      const auto [first, second] = address_words(prefix.address().bits());
      return keyed_hash(key, {first, second, prefix.length()});
    }
  };
  struct User {
    std::uint32_t ports = 0;
    Index first = none;
    TimePoint since;
  };

  /// `mapping` with port 0: names a host's ports of one protocol.
  [[nodiscard]] static auto without_port(MappingKey mapping) -> MappingKey {
    mapping.internal_port = Port{0};
    return mapping;
  }
  void link(Index index);
  void unlink(Index index);
  void drop_if_idle(const Prefix& subscriber);

  std::vector<Slot> slab_;
  std::vector<Index> free_;
  boost::unordered_flat_set<Index, SlotHash, SlotEqual> index_;
  boost::unordered_flat_map<Prefix, User, PrefixHash> users_;
  /// First ports of the port sets of a host and protocol.
  boost::unordered_flat_map<MappingKey, std::vector<Index>, MappingKeyHash> port_sets_;
  std::size_t ports_ = 0;
  std::size_t reserved_ = 0;
  SecondWheel wheel_;
};

}  // namespace portolan::server
