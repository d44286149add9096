// SPDX-License-Identifier: BSD-2-Clause
#include "store/memory/memory_store.h"

#include <utility>

namespace portolan::store {

MemoryStore::MemoryStore(Completion completion, std::function<void(std::function<void()>)> post)
    : completion_(std::move(completion)), post_(std::move(post)) {}

void MemoryStore::commit(CommitId commit, std::vector<Row> rows) {
  for (const Row& row : rows) {
    if (const auto* put = std::get_if<PutMapping>(&row))
      contracts_[put->contract.key] = put->contract;
    else
      contracts_.erase(std::get<DropMapping>(row).key);
  }
  post_([this, commit] { completion_(commit, true); });
}

auto MemoryStore::load() const -> std::vector<Contract> {
  std::vector<Contract> contracts;
  contracts.reserve(contracts_.size());
  for (const auto& [key, contract] : contracts_) contracts.push_back(contract);
  return contracts;
}

}  // namespace portolan::store
