// SPDX-License-Identifier: BSD-2-Clause
#include "store/memory/memory_store.h"

#include <utility>

namespace portolan::store {

MemoryStore::MemoryStore(Completion completion, std::function<void(std::function<void()>)> post)
    : completion_(std::move(completion)), post_(std::move(post)) {}

void MemoryStore::commit(CommitId commit, std::vector<Row> rows) {
  for (const Row& row : rows) {
    if (const auto* put = std::get_if<PutMapping>(&row))
      mappings_[put->contract.key] = *put;
    else if (const auto* drop = std::get_if<DropMapping>(&row))
      mappings_.erase(drop->key);
    else if (const auto* epoch = std::get_if<PutEpoch>(&row))
      epoch_ = *epoch;
    else if (const auto* path = std::get_if<PutPath>(&row))
      paths_[path->number] = *path;
    else if (const auto* put_user = std::get_if<PutUser>(&row))
      users_[put_user->user.users] = *put_user;
    else if (const auto* drop_user = std::get_if<DropUser>(&row))
      users_.erase(drop_user->users);
    else if (const auto* put_static = std::get_if<PutStatic>(&row))
      statics_[put_static->mapping.key] = *put_static;
    else if (const auto* drop_static = std::get_if<DropStatic>(&row))
      statics_.erase(drop_static->key);
  }
  post_([this, commit] { completion_(commit, true); });
}

auto MemoryStore::load() const -> std::expected<std::vector<Row>, std::string> {
  std::vector<Row> rows;
  rows.reserve(mappings_.size() + paths_.size() + users_.size() + statics_.size() + 1);
  if (epoch_) rows.emplace_back(*epoch_);
  for (const auto& [number, path] : paths_) rows.emplace_back(path);
  for (const auto& [prefix, user] : users_) rows.emplace_back(user);
  for (const auto& [key, mapping] : statics_) rows.emplace_back(mapping);
  for (const auto& [key, mapping] : mappings_) rows.emplace_back(mapping);
  return rows;
}

}  // namespace portolan::store
