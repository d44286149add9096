// SPDX-License-Identifier: BSD-2-Clause
#include "server/updates.h"

#include <algorithm>

namespace portolan::server {

Updates::Updates(Random& random) : rounds_(0, ContractKeyHash(HashKey::generate(random))) {}

void Updates::begin(TimePoint now, const ContractKey& moved) { begin(now, moved, Round{}); }

void Updates::begin(TimePoint now, const Contract& lost, bool is_deleted) {
  begin(now, lost.key, Round{.lost = lost, .is_deleted = is_deleted});
}

void Updates::begin(TimePoint now, const ContractKey& key, Round round) {
  round.number = ++last_round_;
  rounds_[key] = std::move(round);
  queues_[0].push_back({.due = now, .key = key, .round = last_round_});
}

void Updates::cease(const ContractKey& key) {
  if (!rounds_.empty()) rounds_.erase(key);
}

auto Updates::take_due(TimePoint now) -> std::optional<Update> {
  for (std::size_t nth = 0; nth < queues_.size(); ++nth) {
    auto& queue = queues_[nth];
    while (!queue.empty() && queue.front().due <= now) {
      const Entry entry = queue.front();
      queue.pop_front();
      const auto round = rounds_.find(entry.key);
      if (round == rounds_.end() || round->second.number != entry.round) continue;
      const bool is_last = nth + 1 == queues_.size();
      Update update{.key = entry.key, .lost = round->second.lost, .is_deleted = round->second.is_deleted};
      if (is_last)
        rounds_.erase(round);
      else
        queues_[nth + 1].push_back({.due = now + intervals[nth + 1], .key = entry.key, .round = entry.round});
      return update;
    }
  }
  return {};
}

auto Updates::next_due() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  for (const auto& queue : queues_)
    if (!queue.empty() && (!next || queue.front().due < *next)) next = queue.front().due;
  return next;
}

void EpochAnnouncements::begin(TimePoint now, const Recipient& recipient) {
  std::size_t waiting = 0;
  for (const auto& queue : queues_) waiting += queue.size();
  if (waiting < waiting_max) queues_[0].push_back({.due = now, .recipient = recipient});
}

auto EpochAnnouncements::take_due(TimePoint now) -> std::optional<Recipient> {
  for (std::size_t nth = 0; nth < queues_.size(); ++nth) {
    if (queues_[nth].empty() || queues_[nth].front().due > now) continue;
    const Recipient recipient = queues_[nth].front().recipient;
    queues_[nth].pop_front();
    if (nth + 1 < queues_.size())
      queues_[nth + 1].push_back({.due = now + intervals[nth + 1], .recipient = recipient});
    return recipient;
  }
  return {};
}

auto EpochAnnouncements::next_due() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  for (const auto& queue : queues_)
    if (!queue.empty() && (!next || queue.front().due < *next)) next = queue.front().due;
  return next;
}

void RestartAnnouncements::begin(TimePoint now, unsigned count) {
  left_ = count;
  due_ = now;
  interval_ = Milliseconds{250};
}

auto RestartAnnouncements::take_due(TimePoint now) -> bool {
  if (left_ == 0 || now < due_) return false;
  --left_;
  due_ = now + interval_;
  interval_ *= 2;
  return true;
}

auto RestartAnnouncements::next_due() const -> std::optional<TimePoint> {
  return left_ == 0 ? std::nullopt : std::optional(due_);
}

}  // namespace portolan::server
