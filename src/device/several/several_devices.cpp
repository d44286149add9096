// SPDX-License-Identifier: BSD-2-Clause
#include "device/several/several_devices.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace portolan::device {
namespace {

/// Of a mapping that is not there.
auto nothing(const MappingKey& key) -> Applied {
  return {.external_address = IpAddress::unspecified(key.external_family),
          .external_port = {},
          .lifetime = {},
          .port_count = 1};
}

auto is_unreachable(const Result& result) -> bool {
  return !result && result.error() == Refusal::unreachable;
}

}  // namespace

auto Served::contains(const MappingKey& key) const -> bool {
  if (key.internal_address.family() != internal_family || key.external_family != external_family)
    return false;
  return inside.empty() || std::ranges::any_of(inside, [&](const Prefix& prefix) {
           return prefix.contains(key.internal_address);
         });
}

auto SeveralDevices::Batch::is_answered() const -> bool {
  return std::ranges::all_of(shares, &Share::is_answered);
}

auto SeveralDevices::Batch::share_of(std::size_t part) -> Share* {
  const auto found = std::ranges::find(shares, part, &Share::part);
  return found == shares.end() ? nullptr : &*found;
}

SeveralDevices::SeveralDevices(Handlers handlers) : handlers_(std::move(handlers)) {}

SeveralDevices::~SeveralDevices() { *exists_ = false; }

auto SeveralDevices::add(Served served) -> Place {
  const std::size_t number = parts_.size();
  PORTOLAN_CHECK(!served.keeps_profiles ||
                 std::ranges::none_of(parts_, [](const Part& part) { return part.served.keeps_profiles; }));
  parts_.push_back(
      {.served = std::move(served), .device = {}, .is_in_reach = {}, .inventories = {}, .firsts_to_come = 0});
  return {
      .number = number,
      .completion = [this, number](BatchId id,
                                   std::vector<Result> results) { answered(number, id, std::move(results)); },
      .events = [this, number](std::vector<Event> events) { tell(number, std::move(events)); },
      .inventory = [this, number](Inventory inventory) { tell(number, std::move(inventory)); }};
}

void SeveralDevices::put(std::size_t place, std::unique_ptr<Device> device,
                         std::function<bool()> is_in_reach) {
  parts_.at(place).device = std::move(device);
  parts_[place].is_in_reach = std::move(is_in_reach);
}

auto SeveralDevices::place_of(const MappingKey& key) const -> std::optional<std::size_t> {
  const auto found =
      std::ranges::find_if(parts_, [&](const Part& part) { return part.served.contains(key); });
  if (found == parts_.end()) return {};
  return static_cast<std::size_t>(found - parts_.begin());
}

auto SeveralDevices::standing_of(const MappingKey& key) const -> Standing {
  const auto place = place_of(key);
  if (!place) return Standing::there;
  const Part& part = parts_[*place];
  if (!part.is_there()) return Standing::out_of_reach;
  const bool is_being_reconciled = reconciling_ == place && !is_aborted_;
  return part.firsts_to_come > 0 || is_being_reconciled ? Standing::awaits_reconciliation : Standing::there;
}

auto SeveralDevices::refusal_of(const MappingKey& key) const -> Refusal {
  const bool is_given = std::ranges::any_of(parts_, [&](const Part& part) {
    return part.served.internal_family == key.internal_address.family() &&
           part.served.external_family == key.external_family;
  });
  return is_given ? Refusal::not_inside : Refusal::unsupported_protocol;
}

auto SeveralDevices::part_of(const Operation& operation, Result& otherwise) const
    -> std::optional<std::size_t> {
  return std::visit(
      [&]<typename Each>(const Each& each) -> std::optional<std::size_t> {
        if constexpr (std::is_same_v<Each, PutProfile> || std::is_same_v<Each, DropProfile>) {
          if (std::is_same_v<Each, PutProfile>) otherwise = std::unexpected(Refusal::profile_unsupported);
          const auto keeps = [&](const Part& part) {
            return part.served.keeps_profiles &&
                   part.served.internal_family == each.internal_prefix.address().family();
          };
          const auto keeper = std::ranges::find_if(parts_, keeps);
          if (keeper == parts_.end()) return {};
          return static_cast<std::size_t>(keeper - parts_.begin());
        } else {
          constexpr bool is_ending = std::is_same_v<Each, Remove> || std::is_same_v<Each, ReleasePeer>;
          const auto part = place_of(each.key);
          if (is_ending)
            otherwise = nothing(each.key);
          else if (!part)
            otherwise = std::unexpected(refusal_of(each.key));
          return part;
        }
      },
      operation);
}

void SeveralDevices::apply(BatchId batch, std::vector<Operation> operations) {
  split(applied_, batch, std::move(operations), &Device::apply);
  if (is_reconciliation_over()) call_later(&SeveralDevices::tell_inventories);
}

void SeveralDevices::reconcile(BatchId batch, std::vector<Operation> operations) {
  split(reconciling_batches_, batch, std::move(operations), &Device::reconcile);
}

void SeveralDevices::split(Batches& batches, BatchId id, std::vector<Operation> operations, Carry carry) {
  Batch batch{.id = id, .results = std::vector<Result>(operations.size()), .shares = {}, .then = {}};
  std::vector<std::vector<Operation>> parts_operations(parts_.size());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const auto part = part_of(operations[i], batch.results[i]);
    if (!part) continue;
    if (!parts_[*part].is_there()) {
      batch.results[i] = std::unexpected(Refusal::unreachable);
      continue;
    }
    Share* share = batch.share_of(*part);
    if (share == nullptr) share = &batch.shares.emplace_back(Share{.part = *part, .operations = {}});
    share->operations.push_back(i);
    parts_operations[*part].push_back(std::move(operations[i]));
  }
  std::vector<std::size_t> concerned;
  std::ranges::transform(batch.shares, std::back_inserter(concerned), &Share::part);
  batches.push_back(std::move(batch));
  for (const std::size_t part : concerned)
    (parts_[part].device.get()->*carry)(id, std::move(parts_operations[part]));
  // Nobody else will.
  if (concerned.empty()) call_later(&SeveralDevices::tell_answers);
}

void SeveralDevices::answered(std::size_t part, BatchId id, std::vector<Result> results) {
  const auto apply = std::ranges::find(applied_, id, &Batch::id);
  const auto reconcile = std::ranges::find(reconciling_batches_, id, &Batch::id);
  const bool reconciles = apply == applied_.end();
  PORTOLAN_CHECK(!reconciles || reconcile != reconciling_batches_.end());
  Batch& batch = reconciles ? *reconcile : *apply;
  Share* const share = batch.share_of(part);
  PORTOLAN_CHECK(share != nullptr && !share->is_answered && share->operations.size() == results.size());
  for (std::size_t i = 0; i < results.size(); ++i) batch.results[share->operations[i]] = results[i];
  if (reconciles) return tell(part, id);
  share->is_answered = true;
  tell_answers(applied_);
}

void SeveralDevices::tell_answers() {
  tell_answers(applied_);
  tell_answers(reconciling_batches_);
}

void SeveralDevices::tell_answers(Batches& batches) {
  const bool reconciles = &batches == &reconciling_batches_;
  while (!batches.empty() && batches.front().is_answered()) {
    Batch batch = std::move(batches.front());
    batches.pop_front();
    if (reconciles && has_begun() && std::ranges::any_of(batch.results, is_unreachable)) is_aborted_ = true;
    handlers_.completion(batch.id, std::move(batch.results));
    for (Later& later : batch.then) pass_on(std::move(later));
  }
  if (reconciles && batches.empty()) tell_inventories();
}

void SeveralDevices::tell(std::size_t part, Told told) {
  const auto* const inventory = std::get_if<Inventory>(&told);
  if (inventory != nullptr && inventory->is_first) ++parts_[part].firsts_to_come;
  // It would otherwise overtake what the part said before.
  for (Batch& batch : applied_ | std::views::reverse) {
    const Share* const share = batch.share_of(part);
    if (share == nullptr || !share->is_answered) continue;
    batch.then.push_back({.part = part, .told = std::move(told)});
    return;
  }
  pass_on({.part = part, .told = std::move(told)});
}

void SeveralDevices::pass_on(Later later) {
  if (auto* const events = std::get_if<std::vector<Event>>(&later.told))
    return handlers_.events(std::move(*events));
  if (const auto* const id = std::get_if<BatchId>(&later.told)) {
    const auto batch = std::ranges::find(reconciling_batches_, *id, &Batch::id);
    PORTOLAN_CHECK(batch != reconciling_batches_.end());
    batch->share_of(later.part)->is_answered = true;
    return tell_answers(reconciling_batches_);
  }
  auto& inventory = std::get<Inventory>(later.told);
  const std::size_t number = later.part;
  inventory.is_about = [this, number](const MappingKey& key) {
    return place_of(key).value_or(number) == number;
  };
  inventory.is_about_profiles = parts_[number].served.keeps_profiles ||
                                (number == 0 && std::ranges::none_of(parts_, [](const Part& part) {
                                   return part.served.keeps_profiles;
                                 }));
  auto& inventories = parts_[number].inventories;
  // What it had before it was away is of no interest now.
  if (inventory.is_first) {
    if (!inventories.empty() && inventories.front().is_first) --parts_[number].firsts_to_come;
    inventories.clear();
  }
  inventories.push_back(std::move(inventory));
  tell_inventories();
}

auto SeveralDevices::has_begun() const -> bool {
  return reconciling_ && parts_[*reconciling_].firsts_to_come == 0;
}

auto SeveralDevices::is_reconciliation_over() const -> bool {
  return reconciling_ && reconciling_batches_.empty() && (is_aborted_ || !parts_[*reconciling_].is_there());
}

void SeveralDevices::tell_inventories() {
  if (is_reconciliation_over()) {
    reconciling_.reset();
    is_aborted_ = false;
  }
  if (!reconciling_) {
    const auto waits = [](const Part& part) {
      return !part.inventories.empty() && part.inventories.front().is_first && part.is_there();
    };
    const auto next = std::ranges::find_if(parts_, waits);
    if (next == parts_.end()) return;
    reconciling_ = static_cast<std::size_t>(next - parts_.begin());
    is_aborted_ = false;
  }
  Part& part = parts_[*reconciling_];
  auto& inventories = part.inventories;
  // The server begins anew when what it wanted for the one before is answered.
  if (!inventories.empty() && inventories.front().is_first && !reconciling_batches_.empty()) return;
  while (!inventories.empty()) {
    Inventory inventory = std::move(inventories.front());
    inventories.pop_front();
    if (inventory.is_first) --part.firsts_to_come;
    handlers_.inventory(std::move(inventory));
  }
}

void SeveralDevices::reconciled() {
  if (!has_begun()) return;
  parts_[*reconciling_].device->reconciled();
  reconciling_.reset();
  is_aborted_ = false;
  call_later(&SeveralDevices::tell_inventories);
}

void SeveralDevices::call_later(void (SeveralDevices::*function)()) {
  handlers_.post([this, function, exists = exists_] {
    if (*exists) (this->*function)();
  });
}

}  // namespace portolan::device
