// SPDX-License-Identifier: BSD-2-Clause
#include "device/operation_counts.h"

#include <algorithm>
#include <chrono>

namespace portolan::device {

auto operation_name(std::size_t kind) -> std::string_view {
  constexpr std::array<std::string_view, operation_kinds> names{
      "install", "remove", "install_peer", "release_peer", "put_profile", "drop_profile"};
  return names.at(kind);
}

auto refusal_name(Refusal refusal) -> std::string_view {
  switch (refusal) {
    case Refusal::cannot_provide_external: return "cannot_provide_external";
    case Refusal::no_resources: return "no_resources";
    case Refusal::unsupported_protocol: return "unsupported_protocol";
    case Refusal::not_inside: return "not_inside";
    case Refusal::network_failure: return "network_failure";
    case Refusal::excessive_filters: return "excessive_filters";
    case Refusal::outbound_mapping: return "outbound_mapping";
    case Refusal::remote_peer_invalid: return "remote_peer_invalid";
    case Refusal::unreachable: return "unreachable";
    case Refusal::profile_unsupported: return "profile_unsupported";
  }
  return "unknown";
}

void OperationCounts::begins(TimePoint now, BatchId batch, std::span<const Operation> operations) {
  Batch begun{.since = now, .kinds = std::vector<std::uint8_t>(operations.size())};
  std::ranges::transform(operations, begun.kinds.begin(), [](const Operation& operation) {
    return static_cast<std::uint8_t>(operation.index());
  });
  batches_.insert_or_assign(batch.value, std::move(begun));
  counters_.outstanding = batches_.size();
}

void OperationCounts::ends(TimePoint now, BatchId batch, std::span<const Result> results) {
  const auto found = batches_.extract(batch.value);
  if (found.empty()) return;
  counters_.outstanding = batches_.size();
  const Batch& done = found.mapped();
  for (std::size_t i = 0; i < std::min(results.size(), done.kinds.size()); ++i) {
    const std::size_t kind = done.kinds[i];
    if (results[i])
      ++counters_.applied[kind];
    else
      ++counters_.refused[kind][std::to_underlying(results[i].error())];
  }
  counters_.batch_seconds.observe(std::chrono::duration<double>(now - done.since).count());
}

}  // namespace portolan::device
