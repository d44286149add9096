// SPDX-License-Identifier: BSD-2-Clause
//
// The durable copy of what the server has promised. The server restores itself from it at start and
// reaches it otherwise only by commits, answered later, because a commit waits for the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <variant>
#include <vector>

#include "base/contract.h"

namespace portolan::store {

/// Numbers commits of one server run, ascending.
struct CommitId {
  std::uint64_t value = 0;
  auto operator<=>(const CommitId&) const = default;
};

/// Inserts or replaces the row of `contract.key`. Its `expires` is on the server's monotonic time line: a
/// store that outlives the process turns it into wall time; its `path` means nothing after a restart.
struct PutMapping {
  Contract contract;
};
/// Deletes the row of `key`; no row is no error.
struct DropMapping {
  ContractKey key;
};
using Row = std::variant<PutMapping, DropMapping>;

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
  /// Everything committed, in no order. For start-up.
  [[nodiscard]] virtual auto load() const -> std::vector<Contract> = 0;
};

}  // namespace portolan::store
