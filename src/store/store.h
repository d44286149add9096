// SPDX-License-Identifier: BSD-2-Clause
//
// The durable copy of what the server has promised. The server restores itself from it at start and
// reaches it otherwise only by commits, answered later, because a commit waits for the disk.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "base/contract.h"
#include "base/static_mapping.h"
#include "base/user.h"

namespace portolan::store {

/// Numbers commits of one server run, ascending.
struct CommitId {
  std::uint64_t value = 0;
  auto operator<=>(const CommitId&) const = default;
};

// Times are on the server's monotonic time line: a store that outlives the process turns them into wall time
// and back.

/// Inserts or replaces the row of `contract.key`.
struct PutMapping {
  Contract contract;
  /// When the state of its subscriber began, where each has an epoch of its own (RFC 6887 s8.5).
  TimePoint state_since{};
};
/// Deletes the row of `key`; no row is no error.
struct DropMapping {
  ContractKey key;
};
/// The server's epoch begins at `base` (RFC 6887 s8.5).
struct PutEpoch {
  TimePoint base;
};
/// What Contract::path `number` stands for: the address that requests came to, on the inside interface
/// `interface`.
struct PutPath {
  std::uint16_t number = 0;
  IpAddress local_address;
  std::string interface;
};
/// Inserts or replaces the user of the same prefix, added by hand.
struct PutUser {
  Profile user;
};
/// Deletes it; none is no error.
struct DropUser {
  Prefix users;
};
/// Inserts or replaces the static mapping of the same key, added by hand.
struct PutStatic {
  StaticMapping mapping;
};
/// Deletes it; none is no error.
struct DropStatic {
  MappingKey key;
};
using Row =
    std::variant<PutMapping, DropMapping, PutEpoch, PutPath, PutUser, DropUser, PutStatic, DropStatic>;

/// Keeps rows durably.
///
/// The server has one commit outstanding at a time. A commit is all or nothing; `completion` is called
/// once for each, never from inside commit(), on the thread that called it. An empty commit asks
/// whether the store can write again.
class Store {
 public:
  using Completion = std::function<void(CommitId, bool ok)>;

  virtual ~Store() = default;
  virtual void commit(CommitId commit, std::vector<Row> rows) = 0;
  /// Everything committed, as rows that make it of nothing: no two with one key, number or epoch. For
  /// start-up. Errors  text for the operator: what is damaged, and what to do
  [[nodiscard]] virtual auto load() const -> std::expected<std::vector<Row>, std::string> = 0;
};

}  // namespace portolan::store
