// SPDX-License-Identifier: BSD-2-Clause
//
// A store that lasts as long as the process: `store = "memory"`. A restart loses every mapping, which
// clients find out by the epoch (RFC 6887 s8.5).
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "store/store.h"

namespace portolan::store {

class MemoryStore final : public Store {
 public:
  /// `post` runs a function later on the caller's thread.
  MemoryStore(Completion completion, std::function<void(std::function<void()>)> post);

  void commit(CommitId commit, std::vector<Row> rows) override;
  [[nodiscard]] auto load() const -> std::expected<std::vector<Row>, std::string> override;

 private:
  Completion completion_;
  std::function<void(std::function<void()>)> post_;
  std::map<ContractKey, PutMapping> mappings_;
  std::map<std::uint16_t, PutPath> paths_;
  std::map<Prefix, PutUser> users_;
  std::map<MappingKey, PutStatic> statics_;
  std::optional<PutEpoch> epoch_;
};

}  // namespace portolan::store
