// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64_remote/conversation.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <utility>

#include <fmt/format.h>

#include "control/pool_counters.h"

namespace portolan::device {
namespace {

/// How long a connection may take to be made and greeted.
constexpr Seconds greeting_max{10};
constexpr control::QueryNumber pool_query{1};

/// What the other side says may hold any octets.
auto shown(std::string_view text) -> std::string {
  std::string shown;
  for (const char octet : text) {
    if (octet >= ' ' && octet <= '~' && octet != '\\')
      shown += octet;
    else
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(octet));
  }
  return shown;
}

}  // namespace

Conversation::Conversation(TimePoint now, ConversationOptions options)
    : options_(std::move(options)), attempt_at_(now), retry_(options_.retry_first), lost_at_(now) {}

auto Conversation::make_batch(BatchId id, std::vector<Operation> operations, bool reconciles) -> Batch {
  Batch batch{.id = id, .operations = {}, .reconciles = reconciles, .refused = {}, .results = {}};
  for (std::size_t i = 0; i < operations.size(); ++i)
    if (!control::is_within_limits(operations[i])) batch.refused.push_back(i);
  for (const std::size_t place : batch.refused | std::views::reverse)
    operations.erase(operations.begin() + static_cast<std::ptrdiff_t>(place));
  batch.operations = std::move(operations);
  return batch;
}

void Conversation::apply(BatchId id, std::vector<Operation> operations) {
  Batch batch = make_batch(id, std::move(operations), false);
  if (has_given_up_ || parked_.size() + unanswered_.size() >= batches_max) return answer_unreachable(batch);
  if (state_ == State::repairing || state_ == State::serving) return send_batch(std::move(batch));
  parked_.push_back(std::move(batch));
}

void Conversation::reconcile(BatchId id, std::vector<Operation> operations) {
  Batch batch = make_batch(id, std::move(operations), true);
  if (state_ != State::repairing) return answer_unreachable(batch);
  send_batch(std::move(batch));
}

void Conversation::reconciled() {
  if (state_ != State::repairing || !is_inventory_whole_) return;
  state_ = State::serving;
  pool_asked_at_ = TimePoint{};
  retry_ = options_.retry_first;
  send(control::Reconciled{});
  for (Batch& batch : std::exchange(parked_, {})) send_batch(std::move(batch));
  actions_.notes.push_back({.kind = Note::Kind::reconciled, .text = {}});
}

void Conversation::send_batch(Batch batch) {
  batch.messages = 0;
  batch.results.clear();
  const auto& operations = batch.operations;
  std::size_t first = 0;
  do {
    const std::size_t count = std::min(operations.size() - first, control::operations_max);
    const auto begin = operations.begin() + static_cast<std::ptrdiff_t>(first);
    send(control::Batch{.id = batch.id, .operations = {begin, begin + static_cast<std::ptrdiff_t>(count)}});
    ++batch.messages;
    first += count;
  } while (first < operations.size());
  unanswered_.push_back(std::move(batch));
}

void Conversation::answer_unreachable(const Batch& batch) {
  actions_.told.emplace_back(
      Answer{.batch = batch.id,
             .results = std::vector<Result>(batch.operations.size() + batch.refused.size(),
                                            std::unexpected(Refusal::unreachable))});
}

void Conversation::finish(Batch batch) {
  for (const std::size_t place : batch.refused)
    batch.results.insert(batch.results.begin() + static_cast<std::ptrdiff_t>(place),
                         std::unexpected(Refusal::excessive_filters));
  actions_.told.emplace_back(Answer{.batch = batch.id, .results = std::move(batch.results)});
}

void Conversation::connected(TimePoint now) {
  if (state_ != State::connecting) return;
  state_ = State::greeting;
  heard_at_ = now;
  has_asked_ = false;
  reader_ = {};
  send(control::ClientHello{
      .role = control::Role::owner, .boot_id = options_.boot_id, .program = options_.program});
}

void Conversation::disconnected(TimePoint now, std::string_view reason) {
  if (state_ == State::waiting) return;
  const bool was_there = state_ == State::asking || state_ == State::repairing || state_ == State::serving;
  state_ = State::waiting;
  attempt_at_ = now + retry_;
  retry_ = std::min(2 * retry_, options_.retry_max);
  actions_.octets.clear();
  pool_use_.clear();
  if (was_there) lost_at_ = now;
  if (was_there || told_reason_ != reason)
    actions_.notes.push_back({.kind = Note::Kind::out_of_reach, .text = shown(reason)});
  told_reason_ = reason;
  // What repairs is found again by the next inventory; the rest goes before what was parked since.
  for (Batch& batch : std::exchange(unanswered_, {}) | std::views::reverse) {
    if (batch.reconciles)
      answer_unreachable(batch);
    else
      parked_.push_front(std::move(batch));
  }
}

void Conversation::fail(TimePoint now, std::string_view reason) {
  actions_.close = true;
  disconnected(now, reason);
}

void Conversation::received(TimePoint now, std::span<const std::byte> octets) {
  heard_at_ = now;
  has_asked_ = false;
  reader_.add(octets);
  while (state_ != State::waiting && state_ != State::connecting) {
    const auto message = reader_.next();
    if (!message) return fail(now, message.error());
    if (!*message) return;
    auto reply = control::decode_reply(**message);
    if (!reply) return fail(now, reply.error());
    std::visit([&](auto& each) { take(now, std::move(each)); }, *reply);
  }
}

void Conversation::take(TimePoint now, control::GatewayHello hello) {
  if (state_ != State::greeting) return fail(now, "it greets twice");
  const bool is_new = gateway_boot_id_ && *gateway_boot_id_ != hello.boot_id;
  gateway_boot_id_ = hello.boot_id;
  actions_.notes.push_back(
      {.kind = Note::Kind::connected,
       .text = fmt::format("{}{}", shown(hello.program), is_new ? ", which has begun anew" : "")});
  told_reason_.clear();
  has_given_up_ = false;
  state_ = State::asking;
  send(control::InventoryRequest{});
}

void Conversation::take(TimePoint now, control::InventoryPart part) {
  const bool is_first = state_ == State::asking;
  if (!is_first && (state_ != State::repairing || is_inventory_whole_))
    return fail(now, "an inventory unasked");
  state_ = State::repairing;
  is_inventory_whole_ = part.is_last;
  actions_.told.emplace_back(Inventory{.mappings = std::move(part.mappings),
                                       .peers = std::move(part.peers),
                                       .profiles = std::move(part.profiles),
                                       .is_first = is_first,
                                       .is_last = part.is_last});
}

void Conversation::take(TimePoint now, control::BatchResult result) {
  if (unanswered_.empty() || unanswered_.front().id != result.id)
    return fail(now, "it answers a batch out of turn");
  Batch& batch = unanswered_.front();
  const std::size_t wanted =
      std::min(batch.operations.size() - batch.results.size(), control::operations_max);
  if (result.results.size() != wanted) return fail(now, "it answers a batch with another number of results");
  std::ranges::move(result.results, std::back_inserter(batch.results));
  if (--batch.messages > 0) return;
  Batch done = std::move(batch);
  unanswered_.pop_front();
  finish(std::move(done));
}

void Conversation::take(TimePoint now, control::Events events) {
  if (state_ == State::greeting) return fail(now, "it does not greet");
  // What it had before is in the inventory.
  if (state_ != State::asking) actions_.told.emplace_back(std::move(events.events));
}

void Conversation::take(TimePoint /*now*/, const control::Ping& ping) { send(control::Pong{ping.token}); }

void Conversation::take(TimePoint now, const control::Error& error) { fail(now, error.text); }

void Conversation::take(TimePoint now, const control::Counters& counters) {
  if (state_ != State::serving || pool_asked_at_ || counters.query != pool_query)
    return fail(now, "it answers what was not asked");
  pool_asked_at_ = now + options_.pool_asked;
  pool_use_ = control::pool_of(counters.counters);
}

void Conversation::advance(TimePoint now) {
  if (state_ == State::waiting && now >= attempt_at_) {
    state_ = State::connecting;
    heard_at_ = now;
    actions_.connect = true;
  }
  if ((state_ == State::connecting || state_ == State::greeting) && now >= heard_at_ + greeting_max)
    fail(now, "no answer");
  if (state_ == State::asking || state_ == State::repairing || state_ == State::serving) {
    if (now >= heard_at_ + options_.silence_max) {
      fail(now, "nothing comes from it");
    } else if (state_ == State::serving && pool_asked_at_ && now >= *pool_asked_at_) {
      // Which asks whether it is there, too.
      has_asked_ = true;
      pool_asked_at_.reset();
      send(control::Query{.number = pool_query, .view = control::View::counters});
    } else if (!has_asked_ && now >= heard_at_ + options_.silence_asked) {
      has_asked_ = true;
      send(control::Ping{});
    }
  } else if (!has_given_up_ && now >= lost_at_ + options_.patience) {
    has_given_up_ = true;
    for (const Batch& batch : std::exchange(parked_, {})) answer_unreachable(batch);
  }
}

auto Conversation::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  const auto consider = [&](TimePoint due) { next = std::min(next.value_or(due), due); };
  switch (state_) {
    case State::waiting: consider(attempt_at_); break;
    case State::connecting:
    case State::greeting: consider(heard_at_ + greeting_max); break;
    case State::asking:
    case State::repairing:
    case State::serving:
      consider(heard_at_ + (has_asked_ ? options_.silence_max : options_.silence_asked));
      if (state_ == State::serving && pool_asked_at_) consider(*pool_asked_at_);
      return next;
  }
  if (!has_given_up_) consider(lost_at_ + options_.patience);
  return next;
}

auto Conversation::take_actions() -> Actions { return std::exchange(actions_, {}); }

}  // namespace portolan::device
