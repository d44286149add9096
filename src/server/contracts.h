// SPDX-License-Identifier: BSD-2-Clause
//
// The server's table of mapping contracts: what it has promised to whom until when. Found by key in
// O(1), counted per subscriber, expired by the second. Knows nothing of messages, devices or stores.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/nonce.h"
#include "base/time.h"
#include "server/second_wheel.h"

namespace portolan::server {

/// One explicit dynamic mapping (RFC 6887 s11).
struct Contract {
  MappingKey key;
  IpAddress external_address;
  Port external_port;
  Nonce nonce;
  TimePoint expires;
  /// Whose quota it counts against.
  Prefix subscriber;
  auto operator==(const Contract&) const -> bool = default;
};

class ContractTable {
 public:
  /// `random` makes the keys of the hash tables.
  explicit ContractTable(Random& random);

  /// The contract of `key`, or nullptr. Valid until the table changes.
  [[nodiscard]] auto find(const MappingKey& key) const -> const Contract*;
  /// Inserts or replaces.
  void put(const Contract& contract);
  /// Erases the contract of `key`, if there is one.
  void erase(const MappingKey& key);

  /// Erases and returns one contract whose time is up at `now`, if there is one. A contract for whose key
  /// `is_busy` holds is looked at again a second later.
  auto take_expired(TimePoint now, const std::function<bool(const MappingKey&)>& is_busy)
      -> std::optional<Contract>;
  /// When take_expired() may have something.
  [[nodiscard]] auto next_expiry() const -> std::optional<TimePoint> { return wheel_.next_due(); }

  [[nodiscard]] auto size() const -> std::size_t { return index_.size(); }

  /// Counts a contract of `subscriber` that is about to be made; release() takes it back. Contracts in
  /// the table are counted by put() and erase().
  void reserve(const Prefix& subscriber);
  void release(const Prefix& subscriber);
  /// Contracts and reservations of `subscriber`.
  [[nodiscard]] auto count_of(const Prefix& subscriber) const -> std::size_t;
  /// Reservations of all.
  [[nodiscard]] auto reserved() const -> std::size_t { return reserved_; }

  void for_each(const std::function<void(const Contract&)>& visit) const;

  /// Octets the table uses.
  [[nodiscard]] auto memory_octets() const -> std::size_t;

 private:
  using Index = SecondWheel::Index;

  struct PrefixHash {
    using is_avalanching = void;
    HashKey key;
    auto operator()(const Prefix& prefix) const -> std::size_t {
      const auto [first, second] = address_words(prefix.address().bits());
      return keyed_hash(key, {first, second, prefix.length()});
    }
  };

  void add_to(const Prefix& subscriber);
  void take_from(const Prefix& subscriber);

  std::vector<Contract> slab_;
  std::vector<Index> free_;
  boost::unordered_flat_map<MappingKey, Index, MappingKeyHash> index_;
  boost::unordered_flat_map<Prefix, std::uint32_t, PrefixHash> users_;
  std::size_t reserved_ = 0;
  SecondWheel wheel_;
};

}  // namespace portolan::server
