// SPDX-License-Identifier: BSD-2-Clause
#include "store/memory/memory_store.h"

#include <deque>

#include "store/contract_test.h"

namespace portolan::store {
namespace {

class MemoryUnderTest final : public StoreUnderTest {
 public:
  auto commit(std::vector<Row> rows) -> bool override {
    completed_.clear();
    store_.commit({++last_}, std::move(rows));
    EXPECT_TRUE(completed_.empty()) << "completion from inside commit()";
    for (const auto& task : std::exchange(posted_, {})) task();
    EXPECT_EQ(completed_, std::vector{last_});
    return ok_;
  }
  auto load() const -> std::vector<Row> override { return *store_.load(); }

 private:
  std::uint64_t last_ = 0;
  bool ok_ = false;
  std::vector<std::uint64_t> completed_;
  std::deque<std::function<void()>> posted_;
  MemoryStore store_{[this](CommitId commit, bool ok) {
                       completed_.push_back(commit.value);
                       ok_ = ok;
                     },
                     [this](std::function<void()> task) { posted_.push_back(std::move(task)); }};
};

INSTANTIATE_TYPED_TEST_SUITE_P(Memory, StoreContract, MemoryUnderTest);

}  // namespace
}  // namespace portolan::store
