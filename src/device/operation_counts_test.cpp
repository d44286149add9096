// SPDX-License-Identifier: BSD-2-Clause
#include "device/operation_counts.h"

#include <algorithm>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace portolan::device {
namespace {

constexpr TimePoint start{Seconds{100}};

TEST(OperationCounts, operations_are_counted_by_kind_and_answer) {
  OperationCounts counts;
  counts.begins(start, {1}, std::vector<Operation>{Install{}, Remove{}, Install{}});
  counts.begins(start, {2}, std::vector<Operation>{PutProfile{}});
  EXPECT_EQ(counts.counters().outstanding, 2U);
  // The second one is answered first, as when it reconciles.
  counts.ends(start + Seconds{1}, {2}, std::vector<Result>{std::unexpected(Refusal::unreachable)});
  counts.ends(start + Milliseconds{3}, {1},
              std::vector<Result>{Applied{}, Applied{}, std::unexpected(Refusal::no_resources)});
  const OperationCounters& counters = counts.counters();
  EXPECT_EQ(counters.outstanding, 0U);
  EXPECT_EQ(counters.applied[0], 1U);
  EXPECT_EQ(counters.applied[1], 1U);
  EXPECT_EQ(counters.refused[0][std::to_underlying(Refusal::no_resources)], 1U);
  EXPECT_EQ(counters.refused[4][std::to_underlying(Refusal::unreachable)], 1U);
  EXPECT_DOUBLE_EQ(counters.batch_seconds.sum(), 1.003);
}

TEST(OperationCounts, names_are_those_of_the_kinds) {
  const auto name_of = [](const Operation& operation) { return operation_name(operation.index()); };
  EXPECT_EQ(name_of(Install{}), "install");
  EXPECT_EQ(name_of(Remove{}), "remove");
  EXPECT_EQ(name_of(InstallPeer{}), "install_peer");
  EXPECT_EQ(name_of(ReleasePeer{}), "release_peer");
  EXPECT_EQ(name_of(PutProfile{}), "put_profile");
  EXPECT_EQ(name_of(DropProfile{}), "drop_profile");
  for (std::size_t refusal = 0; refusal < refusal_count; ++refusal)
    EXPECT_NE(refusal_name(static_cast<Refusal>(refusal)), "unknown");
  EXPECT_EQ(refusal_name(static_cast<Refusal>(refusal_count)), "unknown");
}

/// Answers each batch by refusing all of it.
class RefusingDevice final : public Device {
 public:
  explicit RefusingDevice(Completion completion) : completion_(std::move(completion)) {}
  void apply(BatchId batch, std::vector<Operation> operations) override {
    completion_(batch, std::vector<Result>(operations.size(), std::unexpected(Refusal::no_resources)));
  }
  void reconciled() override { is_reconciled = true; }

  bool is_reconciled = false;

 private:
  Completion completion_;
};

TEST(CountedDevice, passes_all_on_and_counts) {
  const auto counts = std::make_shared<OperationCounts>();
  std::vector<std::size_t> answered;
  auto inner = std::make_unique<RefusingDevice>(CountedDevice::answering(
      counts, [] { return start; },
      [&](BatchId, const std::vector<Result>& results) { answered.push_back(results.size()); }));
  RefusingDevice& device = *inner;
  CountedDevice counted(std::move(inner), counts, [] { return start; });
  counted.apply({1}, {Install{}, Install{}});
  counted.reconcile({2}, {Remove{}});
  counted.reconciled();
  EXPECT_TRUE(device.is_reconciled);
  EXPECT_EQ(answered, (std::vector<std::size_t>{2, 1}));
  EXPECT_EQ(counts->counters().refused[0][std::to_underlying(Refusal::no_resources)], 2U);
  EXPECT_EQ(counts->counters().refused[1][std::to_underlying(Refusal::no_resources)], 1U);
}

}  // namespace
}  // namespace portolan::device
