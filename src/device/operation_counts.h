// SPDX-License-Identifier: BSD-2-Clause
//
// What a device was asked for and how it answered, counted from outside: no device counts for itself.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/time.h"
#include "device/device.h"

namespace portolan::device {

inline constexpr std::size_t operation_kinds = std::variant_size_v<Operation>;
inline constexpr std::size_t refusal_count = std::to_underlying(Refusal::profile_unsupported) + 1;
/// Of the operation at `kind` in Operation: "install" and so on.
[[nodiscard]] auto operation_name(std::size_t kind) -> std::string_view;
/// "no_resources" and so on.
[[nodiscard]] auto refusal_name(Refusal refusal) -> std::string_view;

struct OperationCounters {
  /// By Operation's index: carried out; and not, by Refusal.
  std::array<std::uint64_t, operation_kinds> applied{};
  std::array<std::array<std::uint64_t, refusal_count>, operation_kinds> refused{};
  /// From apply() to the answer, in seconds.
  DurationHistogram batch_seconds;
  /// Batches without an answer yet.
  std::size_t outstanding = 0;
};

class OperationCounts {
 public:
  void begins(TimePoint now, BatchId batch, std::span<const Operation> operations);
  void ends(TimePoint now, BatchId batch, std::span<const Result> results);
  [[nodiscard]] auto counters() const -> const OperationCounters& { return counters_; }

 private:
  struct Batch {
    TimePoint since;
    std::vector<std::uint8_t> kinds;
  };
  std::unordered_map<std::uint64_t, Batch> batches_;
  OperationCounters counters_;
};

/// `device` with its operations counted in `counts`; whoever made it has its answers pass answering().
class CountedDevice final : public Device {
 public:
  using Clock = std::function<TimePoint()>;

  CountedDevice(std::unique_ptr<Device> device, std::shared_ptr<OperationCounts> counts, Clock clock)
      : counts_(std::move(counts)), clock_(std::move(clock)), device_(std::move(device)) {}

  void apply(BatchId batch, std::vector<Operation> operations) override {
    counts_->begins(clock_(), batch, operations);
    device_->apply(batch, std::move(operations));
  }
  void reconcile(BatchId batch, std::vector<Operation> operations) override {
    counts_->begins(clock_(), batch, operations);
    device_->reconcile(batch, std::move(operations));
  }
  void reconciled() override { device_->reconciled(); }

  /// The completion to make the device with; `completion` is the one it is to have.
  [[nodiscard]] static auto answering(std::shared_ptr<OperationCounts> counts, Clock clock,
                                      Completion completion) -> Completion {
    return [counts = std::move(counts), clock = std::move(clock), completion = std::move(completion)](
               BatchId batch, std::vector<Result> results) {
      counts->ends(clock(), batch, results);
      completion(batch, std::move(results));
    };
  }

 private:
  std::shared_ptr<OperationCounts> counts_;
  Clock clock_;
  std::unique_ptr<Device> device_;
};

}  // namespace portolan::device
