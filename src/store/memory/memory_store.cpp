// SPDX-License-Identifier: BSD-2-Clause
#include "store/memory/memory_store.h"

#include <utility>

namespace portolan::store {

MemoryStore::MemoryStore(Completion completion, std::function<void(std::function<void()>)> post)
    : completion_(std::move(completion)), post_(std::move(post)) {}

void MemoryStore::commit(CommitId commit, std::vector<Row> rows) {
  for (const Row& row : rows) {
    if (const auto* put = std::get_if<PutMapping>(&row))
      mappings_[put->mapping.key] = put->mapping;
    else
      mappings_.erase(std::get<DropMapping>(row).key);
  }
  post_([this, commit] { completion_(commit, true); });
}

auto MemoryStore::load() const -> std::vector<Mapping> {
  std::vector<Mapping> mappings;
  mappings.reserve(mappings_.size());
  for (const auto& [key, mapping] : mappings_) mappings.push_back(mapping);
  return mappings;
}

}  // namespace portolan::store
