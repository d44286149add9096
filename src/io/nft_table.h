// SPDX-License-Identifier: BSD-2-Clause
//
// One nftables table of ours: what it consists of is text that nft(8) loads, the elements of its sets and
// maps go by netlink, in transactions. What it is told it forgets; the device remembers.
//
//   auto table = NftTable::open({.family = Family::ipv4, .name = "portolan_nat44"});
//   table->load(text);
//   NftBatch batch;
//   batch.add({.set = "inbound", .key = key, .data = data, .timeout = Seconds{120}});
//   table->commit(batch);
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "io/system.h"

namespace portolan::io {

/// The fields of a set's key or a map's value, as the kernel compares them: in network byte order, each
/// filled up with zeros to a multiple of four octets. One that stands alone is not filled up.
class NftFields {
 public:
  static constexpr std::size_t octets_max = 64;

  auto add(Protocol protocol) -> NftFields&;
  auto add(Port port) -> NftFields&;
  auto add(Ipv4Address address) -> NftFields&;
  auto add(const Ipv6Address& address) -> NftFields&;
  /// The address alone, in four or sixteen octets.
  auto add(const IpAddress& address) -> NftFields&;

  [[nodiscard]] auto octets() const -> std::span<const std::byte> { return {octets_.data(), size_}; }
  [[nodiscard]] auto is_empty() const -> bool { return size_ == 0; }
  auto operator==(const NftFields& other) const -> bool;
  /// What the kernel said; longer than octets_max is cut.
  [[nodiscard]] static auto of(std::span<const std::byte> octets) -> NftFields;

  /// Field at `offset`, a multiple of four; zero beyond the end.
  [[nodiscard]] auto protocol_at(std::size_t offset) const -> Protocol;
  [[nodiscard]] auto port_at(std::size_t offset) const -> Port;
  [[nodiscard]] auto ipv4_at(std::size_t offset) const -> Ipv4Address;
  [[nodiscard]] auto ipv6_at(std::size_t offset) const -> Ipv6Address;

 private:
  auto append(std::span<const std::byte> field) -> NftFields&;
  [[nodiscard]] auto octet_at(std::size_t offset) const -> std::uint8_t;

  std::array<std::byte, octets_max> octets_{};
  std::uint8_t size_ = 0;
};

struct NftElement {
  std::string_view set;  ///< or map; static storage, or as long as the batch
  NftFields key;
  NftFields key_end{};  ///< of an interval of several fields: its last key, included; empty: one key
  NftFields data{};     ///< of maps
  Seconds timeout{};    ///< 0: none
};

/// Changes that the kernel makes all at once, or not at all; in order. A batch may be used again after
/// clear().
class NftBatch {
 public:
  /// An element that is there already stays as it is, unless it has other data: that fails the whole batch
  /// with EBUSY.
  void add(const NftElement& element);
  /// timeout and data do not matter. An element that is not there, or has run out, fails the whole batch with
  /// ENOENT.
  void remove(const NftElement& element);
  /// Removes all elements of a set.
  void remove_all(std::string_view set);
  void clear() { changes_.clear(); }
  [[nodiscard]] auto is_empty() const -> bool { return changes_.empty(); }

 private:
  friend class NftTable;
  enum class Kind : std::uint8_t { add, remove, remove_all };
  struct Change {
    Kind kind;
    NftElement element;
  };
  std::vector<Change> changes_;
};

/// What the kernel has under a key.
struct NftFound {
  NftFields key;
  NftFields key_end{};  ///< of an interval
  NftFields data;
  Seconds expires_in{};  ///< rounded up; 0: never
};

struct NftTableName {
  Family family = Family::ipv4;  ///< table of nft's family "ip" or "ip6"
  std::string name;

  auto operator==(const NftTableName&) const -> bool = default;
};

/// Thread: one at a time.
class NftTable {
 public:
  /// Makes nothing in the kernel yet. Errors  text for the operator: no right, no nf_tables
  [[nodiscard]] static auto open(NftTableName name) -> std::expected<NftTable, std::string>;
  NftTable(NftTable&&) noexcept;
  auto operator=(NftTable&&) noexcept -> NftTable&;
  ~NftTable();

  /// Has nft(8) carry out `text` in one transaction, read from its standard input.
  /// Errors  what nft says, or that it can't be run and where to get it
  [[nodiscard]] auto load(std::string_view text) -> std::expected<void, std::string>;

  /// Cost  one system call to send and one or a few to hear that it was done, whatever the sets hold
  /// Errors  that of the first change refused; nothing has changed then. EINTR and EAGAIN of a concurrent
  /// change
  ///         are tried again
  [[nodiscard]] auto commit(const NftBatch& batch) -> std::expected<void, SystemError>;

  /// What a set has under `key`. Cost  one request, no list
  [[nodiscard]] auto find(std::string_view set, const NftFields& key)
      -> std::expected<std::optional<NftFound>, SystemError>;
  /// All elements of a set. Only for start-up and repair: it costs what the set holds.
  [[nodiscard]] auto list(std::string_view set) -> std::expected<std::vector<NftFound>, SystemError>;

  /// Whether the table is there.
  [[nodiscard]] auto exists() -> std::expected<bool, SystemError>;
  /// Deletes the table with all it has; true if there was one.
  auto remove() -> std::expected<bool, SystemError>;

  /// Has the kernel translate flows that have begun even while the table is gone: it stops when no table
  /// translates. A table of its own without rules, NAME_guard, sees to that, which goes with this object.
  /// Errors  EOPNOTSUPP: the kernel knows no tables with owners
  [[nodiscard]] auto keep_translating() -> std::expected<void, SystemError>;

  /// Readable when somebody else, or load(), has changed the ruleset.
  [[nodiscard]] auto descriptor() const -> int;
  /// Takes all words that are there: whether another process than this has deleted or changed any part of the
  /// table, elements included. What load() itself did does not count, nor elements that ran out or that
  /// packets added. Words that were lost count as such a change.
  [[nodiscard]] auto was_changed_by_others() -> bool;

 private:
  struct State;
  explicit NftTable(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
