// SPDX-License-Identifier: BSD-2-Clause
//
// `store = "memory"`: what the server has promised is in the server's own memory and nowhere else. A restart
// loses every mapping, which clients find out by the epoch (RFC 6887 s8.5).
#pragma once

#include <functional>
#include <utility>

#include "store/store.h"

namespace portolan::store {

/// Takes every commit and keeps nothing: nobody would ever read it.
class NoStore final : public Store {
 public:
  /// `post` runs a function later on the caller's thread.
  NoStore(Completion completion, std::function<void(std::function<void()>)> post)
      : completion_(std::move(completion)), post_(std::move(post)) {}

  void commit(CommitId commit, std::vector<Row> /*rows*/) override {
    post_([this, commit] { completion_(commit, true); });
  }
  [[nodiscard]] auto load() const -> std::expected<std::vector<Row>, std::string> override {
    return std::vector<Row>{};
  }

 private:
  Completion completion_;
  std::function<void(std::function<void()>)> post_;
};

}  // namespace portolan::store
