// SPDX-License-Identifier: BSD-2-Clause
#include "server/server.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portolan::server {

using wire::ResultCode;

namespace {

/// How long the server waits between attempts to write while read-only.
constexpr Seconds write_attempt_interval{1};

/// Whole seconds until `expires`, rounded up; at least 1.
auto remaining_life(const Contract& contract, TimePoint now) -> Seconds {
  return std::max(std::chrono::ceil<Seconds>(contract.expires - now), Seconds{1});
}

/// A suggestion fits a mapping if what it specifies is the mapping's (RFC 6887 s11.3 item 1, s13.2).
auto suggests(const wire::MapRequest& map, const Contract& contract) -> bool {
  return (map.suggested_external_address.is_unspecified() ||
          map.suggested_external_address == contract.external_address) &&
         map.suggested_external_port == contract.external_port;
}

auto result_code_of(device::Refusal refusal) -> ResultCode {
  switch (refusal) {
    case device::Refusal::cannot_provide_external: return ResultCode::cannot_provide_external;
    case device::Refusal::no_resources: return ResultCode::no_resources;
    case device::Refusal::unsupported_protocol: return ResultCode::unsupp_protocol;
    case device::Refusal::not_inside: return ResultCode::not_authorized;
    case device::Refusal::network_failure: return ResultCode::network_failure;
    case device::Refusal::excessive_filters: return ResultCode::excessive_remote_peers;
    case device::Refusal::outbound_mapping: return ResultCode::not_authorized;
    case device::Refusal::remote_peer_invalid: return ResultCode::malformed_request;
  }
  return ResultCode::no_resources;
}

}  // namespace

Server::Server(Config config, Random& random)
    : config_(std::move(config)),
      contracts_(random),
      in_flight_(0, MappingKeyHash(HashKey::generate(random))) {
  PORTOLAN_CHECK(config_.minimum_lifetime >= Seconds{1});
  PORTOLAN_CHECK(config_.minimum_lifetime <= config_.maximum_lifetime);
  PORTOLAN_CHECK(config_.maximum_lifetime <= lifetime_max);
}

void Server::receive(TimePoint now, std::span<const Inbound> datagrams) {
  Batch batch;
  for (const Inbound& datagram : datagrams) admit(now, datagram, batch);
  submit(std::move(batch));
}

// RFC 6887 s8.2, in its order.
void Server::admit(TimePoint now, const Inbound& datagram, Batch& batch) {
  using wire::RequestError;
  const auto request = wire::decode_request(datagram.payload);
  if (!request) {
    switch (request.error()) {
      case RequestError::shorter_than_2:
      case RequestError::shorter_than_header: ++counters_.dropped_too_short; return;
      case RequestError::is_response: ++counters_.dropped_response; return;
      case RequestError::unsupported_version:
        return answer_error(now, datagram, ResultCode::unsupp_version, wire::long_error_lifetime, false);
      case RequestError::too_long:
      case RequestError::not_multiple_of_4:
      case RequestError::too_short_for_opcode:
        return answer_error(now, datagram, ResultCode::malformed_request, wire::long_error_lifetime, false);
    }
    return;
  }
  if (request->client_address != datagram.client.address)
    return answer_error(now, datagram, ResultCode::address_mismatch);

  switch (request->opcode) {
    case wire::Opcode::announce: {
      ++counters_.announce_requests;
      if (const auto options = refuse_mandatory_options(request->options); !options)
        return answer_error(now, datagram, options.error());
      ++counters_.answers[std::to_underlying(ResultCode::success)];
      actions_.send.push_back({.client = datagram.client,
                               .path = datagram.path,
                               .datagram = wire::encode_response({.opcode = wire::Opcode::announce,
                                                                  .result = ResultCode::success,
                                                                  .lifetime_s = 0,
                                                                  .epoch_time_s = epoch_time_s(now),
                                                                  .body = wire::Announce{},
                                                                  .options = {}})});
      return;
    }
    case wire::Opcode::map: ++counters_.map_requests; return decide_map(now, datagram, *request, batch);
    default: ++counters_.other_requests; return answer_error(now, datagram, ResultCode::unsupp_opcode);
  }
}

// RFC 6887 s11.3, in its order, up to what only the device can say.
void Server::decide_map(TimePoint now, const Inbound& datagram, const wire::Request& request, Batch& batch) {
  const auto& map = std::get<wire::MapRequest>(request.body);
  const auto options = read_map_options(request.options);
  if (!options) return answer_error(now, datagram, options.error());
  if (const auto shape = check_map_shape(map); !shape) return answer_error(now, datagram, shape.error());

  const MappingKey key{.realm = {},
                       .internal_address = datagram.client.address,
                       .protocol = map.protocol,
                       .internal_port = map.internal_port,
                       .external_family = config_.external_family};
  if (in_flight_.contains(key)) return defer(datagram, key);

  const Contract* contract = contracts_.find(key);
  if (contract != nullptr && contract->nonce != map.nonce)
    return answer_error(now, datagram, ResultCode::not_authorized, remaining_life(*contract, now));
  if (const auto sense = check_map_options(map, request.requested_lifetime_s, *options); !sense)
    return answer_error(now, datagram, sense.error());
  if (contract != nullptr && options->prefer_failure && !suggests(map, *contract))
    return answer_error(now, datagram, ResultCode::cannot_provide_external, remaining_life(*contract, now));

  const bool deletes = request.requested_lifetime_s == 0;
  Item item{.client = datagram.client,
            .path = datagram.path,
            .datagram = {datagram.payload.begin(), datagram.payload.end()},
            .map = map,
            .options = *options,
            .key = key,
            .subscriber = subscriber_of(datagram.client.address, datagram.path),
            .lifetime = deletes ? Seconds{0}
                                : std::clamp(Seconds{request.requested_lifetime_s}, config_.minimum_lifetime,
                                             config_.maximum_lifetime),
            .before = contract != nullptr ? std::optional(*contract) : std::nullopt,
            .outcome = {}};
  // Deleting what does not exist succeeds, so that a repeated deletion is answered like the first (s15.1).
  if (deletes && contract == nullptr)
    return answer_map(now, item, map.suggested_external_address, map.suggested_external_port, Seconds{0});
  if (is_undoing_ || is_read_only_) return decide_read_only(now, item);
  if (contract == nullptr) {
    if (contracts_.count_of(item.subscriber) >= config_.mappings_per_user_max)
      return answer_error(now, datagram, ResultCode::user_ex_quota);
    if (contracts_.size() + contracts_.reserved() >= config_.mappings_max)
      return answer_error(now, datagram, ResultCode::no_resources);
  }
  if (pipeline_.size() >= config_.batches_in_flight_max) {
    ++counters_.dropped_overload;
    return;
  }
  if (contract == nullptr) contracts_.reserve(item.subscriber);
  in_flight_.try_emplace(key);
  batch.items.push_back(std::move(item));
}

void Server::decide_read_only(TimePoint now, const Item& item) {
  if (item.lifetime > Seconds{0} && item.before && item.before->expires > now)
    return answer_map(now, item, item.before->external_address, item.before->external_port,
                      remaining_life(*item.before, now));
  answer_error(now, {.client = item.client, .path = item.path, .payload = item.datagram},
               ResultCode::no_resources);
}

void Server::defer(const Inbound& datagram, const MappingKey& key) {
  if (deferred_ >= config_.deferred_max) {
    ++counters_.dropped_overload;
    return;
  }
  ++deferred_;
  in_flight_.at(key).push_back({.client = datagram.client,
                                .path = datagram.path,
                                .datagram = {datagram.payload.begin(), datagram.payload.end()}});
}

void Server::submit(Batch batch) {
  if (batch.items.empty()) return;
  batch.id = {++last_batch_};
  Apply apply{.batch = batch.id, .operations = {}};
  apply.operations.reserve(batch.items.size());
  for (const Item& item : batch.items) apply.operations.push_back(operation_for(item));
  actions_.apply.push_back(std::move(apply));
  pipeline_.push_back(std::move(batch));
}

auto Server::operation_for(const Item& item) -> device::Operation {
  if (item.lifetime == Seconds{0}) return device::Remove{item.key};
  // A renewal suggests what is mapped: should the device have lost it, it comes back there if it can,
  // and the client learns the new place otherwise.
  return device::Install{
      .key = item.key,
      .external_address = item.before ? item.before->external_address : item.map.suggested_external_address,
      .external_port = item.before ? item.before->external_port : item.map.suggested_external_port,
      .match = item.options.prefer_failure ? device::Match::exact : device::Match::suggested,
      .lifetime = item.lifetime};
}

void Server::applied(TimePoint now, device::BatchId batch, std::span<const device::Result> results) {
  if (undo_ && undo_->id == batch) return undone(now, results);
  const auto found = std::ranges::find(pipeline_, batch, &Batch::id);
  PORTOLAN_CHECK(found != pipeline_.end() && !found->is_applied);
  PORTOLAN_CHECK(results.size() == found->items.size());
  for (std::size_t i = 0; i < results.size(); ++i) settle(now, found->items[i], results[i]);
  found->is_applied = true;
  undo_if_possible(now);
  commit_if_possible(now);
}

void Server::settle(TimePoint now, Item& item, const device::Result& result) {
  item.outcome = result;
  if (!item.before) contracts_.release(item.subscriber);
  if (!result) return;
  if (item.lifetime == Seconds{0}) return contracts_.erase(item.key);
  contracts_.put({.key = item.key,
                  .external_address = result->external_address,
                  .external_port = result->external_port,
                  .nonce = item.map.nonce,
                  .expires = now + result->lifetime,
                  .subscriber = item.subscriber});
}

void Server::commit_if_possible(TimePoint now) {
  if (commit_ || is_undoing_ || is_read_only_) return;
  const auto first_unapplied = std::ranges::find(pipeline_, false, &Batch::is_applied);
  const auto batches = static_cast<std::size_t>(first_unapplied - pipeline_.begin());
  std::vector<store::Row> rows = housekeeping_;
  for (std::size_t i = 0; i < batches; ++i)
    for (const Item& item : pipeline_[i].items) append_row(item, rows);
  if (rows.empty()) {
    if (batches > 0) finish(now, batches);
    return;
  }
  commit_ = {.id = {++last_commit_}, .batches = batches, .housekeeping = std::exchange(housekeeping_, {})};
  actions_.commit.push_back({.commit = commit_->id, .rows = std::move(rows)});
}

void Server::append_row(const Item& item, std::vector<store::Row>& rows) const {
  if (!*item.outcome) return;
  if (item.lifetime == Seconds{0}) return rows.emplace_back(store::DropMapping{item.key}), void();
  const Contract* contract = contracts_.find(item.key);
  PORTOLAN_CHECK(contract != nullptr);
  rows.emplace_back(store::PutMapping{{.key = contract->key,
                                       .external_address = contract->external_address,
                                       .external_port = contract->external_port,
                                       .nonce = contract->nonce,
                                       .expires = contract->expires}});
}

void Server::committed(TimePoint now, store::CommitId commit, bool ok) {
  PORTOLAN_CHECK(commit_ && commit_->id == commit);
  OutstandingCommit done = std::move(*commit_);
  commit_.reset();
  if (ok) {
    is_read_only_ = false;
    finish(now, done.batches);
    return commit_if_possible(now);
  }
  ++counters_.failed_commits;
  housekeeping_.insert(housekeeping_.begin(), done.housekeeping.begin(), done.housekeeping.end());
  next_write_attempt_ = now + write_attempt_interval;
  if (is_read_only_) return;
  is_undoing_ = true;
  undo_if_possible(now);
}

/// Answers the oldest `batches`, which are durable or changed nothing.
void Server::finish(TimePoint now, std::size_t batches) {
  std::vector<Batch> done;
  for (std::size_t i = 0; i < batches; ++i) {
    done.push_back(std::move(pipeline_.front()));
    pipeline_.pop_front();
  }
  for (const Batch& batch : done)
    for (const Item& item : batch.items) answer(now, item);
  release_keys(now, std::move(done));
}

/// Once the device is done with every uncommitted batch, takes all of them back, newest first.
void Server::undo_if_possible(TimePoint now) {
  if (!is_undoing_ || undo_) return;
  if (std::ranges::find(pipeline_, false, &Batch::is_applied) != pipeline_.end()) return;
  Apply apply{.batch = {++last_batch_}, .operations = {}};
  Undo undo{.id = apply.batch, .keys = {}};
  for (auto batch = pipeline_.rbegin(); batch != pipeline_.rend(); ++batch) {
    for (auto item = batch->items.rbegin(); item != batch->items.rend(); ++item) {
      if (!*item->outcome) continue;
      const bool lives_on = item->before && item->before->expires > now;
      if (lives_on) {
        contracts_.put(*item->before);
        apply.operations.emplace_back(device::Install{.key = item->key,
                                                      .external_address = item->before->external_address,
                                                      .external_port = item->before->external_port,
                                                      .match = device::Match::exact,
                                                      .lifetime = remaining_life(*item->before, now)});
      } else {
        contracts_.erase(item->key);
        if (item->before) housekeeping_.emplace_back(store::DropMapping{item->key});
        apply.operations.emplace_back(device::Remove{item->key});
      }
      undo.keys.push_back(item->key);
    }
  }
  undo_ = std::move(undo);
  actions_.apply.push_back(std::move(apply));
}

void Server::undone(TimePoint now, std::span<const device::Result> results) {
  PORTOLAN_CHECK(results.size() == undo_->keys.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i]) continue;
    // The device lost the mapping for good: the contract can't be kept.
    ++counters_.refused_undos;
    contracts_.erase(undo_->keys[i]);
    housekeeping_.emplace_back(store::DropMapping{undo_->keys[i]});
  }
  undo_.reset();
  is_undoing_ = false;
  is_read_only_ = true;
  std::vector<Batch> batches(std::make_move_iterator(pipeline_.begin()),
                             std::make_move_iterator(pipeline_.end()));
  pipeline_.clear();
  for (Batch& batch : batches) {
    for (Item& item : batch.items) {
      if (!*item.outcome) {
        answer(now, item);
        continue;
      }
      const Contract* contract = contracts_.find(item.key);
      item.before = contract != nullptr ? std::optional(*contract) : std::nullopt;
      decide_read_only(now, item);
    }
  }
  release_keys(now, std::move(batches));
}

/// Lets the requests that waited for `batches` be decided, in order of arrival for each mapping.
void Server::release_keys(TimePoint now, std::vector<Batch> batches) {
  std::vector<Deferred> waiting;
  for (const Batch& batch : batches) {
    for (const Item& item : batch.items) {
      const auto found = in_flight_.find(item.key);
      PORTOLAN_CHECK(found != in_flight_.end());
      std::ranges::move(found->second, std::back_inserter(waiting));
      in_flight_.erase(found);
    }
  }
  deferred_ -= waiting.size();
  Batch batch;
  for (const Deferred& deferred : waiting)
    admit(now, {.client = deferred.client, .path = deferred.path, .payload = deferred.datagram}, batch);
  submit(std::move(batch));
}

void Server::advance(TimePoint now) {
  const auto is_busy = [this](const MappingKey& key) { return in_flight_.contains(key); };
  for (std::size_t i = 0; i < config_.expiries_per_advance_max; ++i) {
    const auto contract = contracts_.take_expired(now, is_busy);
    if (!contract) break;
    ++counters_.expired;
    housekeeping_.emplace_back(store::DropMapping{contract->key});
  }
  if (is_read_only_ && !commit_ && now >= next_write_attempt_) {
    commit_ = {.id = {++last_commit_}, .batches = 0, .housekeeping = std::exchange(housekeeping_, {})};
    actions_.commit.push_back({.commit = commit_->id, .rows = commit_->housekeeping});
  }
  commit_if_possible(now);
}

auto Server::next_deadline() const -> std::optional<TimePoint> {
  auto deadline = contracts_.next_expiry();
  if (is_read_only_ && !commit_)
    deadline = std::min(deadline.value_or(next_write_attempt_), next_write_attempt_);
  return deadline;
}

auto Server::take_actions() -> Actions { return std::exchange(actions_, {}); }

auto Server::epoch_time_s(TimePoint now) const -> std::uint32_t {
  return static_cast<std::uint32_t>(std::chrono::floor<Seconds>(now - config_.epoch_base).count());
}

void Server::answer(TimePoint now, const Item& item) {
  const device::Result& outcome = *item.outcome;
  const Inbound datagram{.client = item.client, .path = item.path, .payload = item.datagram};
  if (!outcome) return answer_error(now, datagram, result_code_of(outcome.error()));
  if (item.lifetime == Seconds{0})
    return answer_map(now, item, item.map.suggested_external_address, item.map.suggested_external_port,
                      outcome->lifetime);
  // The commit took its time; what is promised from now on is what is left, if anything is.
  const Contract* contract = contracts_.find(item.key);
  PORTOLAN_CHECK(contract != nullptr);
  const Seconds left = contract->expires > now ? remaining_life(*contract, now) : Seconds{0};
  answer_map(now, item, contract->external_address, contract->external_port, left);
}

void Server::answer_map(TimePoint now, const Item& item, IpAddress external_address, Port external_port,
                        Seconds lifetime) {
  Send send{.client = item.client,
            .path = item.path,
            .datagram = wire::encode_response(
                {.opcode = wire::Opcode::map,
                 .result = ResultCode::success,
                 .lifetime_s = static_cast<std::uint32_t>(lifetime.count()),
                 .epoch_time_s = epoch_time_s(now),
                 .body = wire::MapResponse{.nonce = item.map.nonce,
                                           .protocol = item.map.protocol,
                                           .internal_port = item.map.internal_port,
                                           .assigned_external_port = external_port,
                                           .assigned_external_address = external_address},
                 .options = {}})};
  if (item.options.prefer_failure)
    PORTOLAN_CHECK(wire::append_option(send.datagram, wire::OptionCode::prefer_failure, {}));
  ++counters_.answers[std::to_underlying(ResultCode::success)];
  actions_.send.push_back(std::move(send));
}

void Server::answer_error(TimePoint now, const Inbound& datagram, ResultCode result, Seconds lifetime,
                          bool parsed) {
  ++counters_.answers[std::to_underlying(result)];
  actions_.send.push_back(
      {.client = datagram.client,
       .path = datagram.path,
       .datagram = wire::encode_error(datagram.payload, result, lifetime, epoch_time_s(now), parsed)});
}

auto Server::subscriber_of(const IpAddress& client, const Path& path) const -> Prefix {
  PORTOLAN_CHECK(path.inside < config_.inside.size());
  return {client, client.is_ipv4() ? 128 : config_.inside[path.inside].subscriber_prefix_length};
}

auto Server::broken_invariant() const -> std::optional<std::string> {
  std::optional<std::string> broken;
  boost::unordered_flat_map<std::string, MappingKey> external;
  contracts_.for_each([&](const Contract& contract) {
    const auto [entry, is_new] =
        external.try_emplace(fmt::format("{} {}", contract.key.protocol,
                                         Endpoint{contract.external_address, contract.external_port}),
                             contract.key);
    if (!is_new) broken = fmt::format("two contracts share {}", entry->first);
    if (contracts_.count_of(contract.subscriber) > config_.mappings_per_user_max)
      broken = fmt::format("{} is over its quota", contract.subscriber);
  });
  if (contracts_.size() > config_.mappings_max) broken = "more contracts than mappings_max";
  std::size_t under_way = 0;
  for (const Batch& batch : pipeline_) {
    under_way += batch.items.size();
    for (const Item& item : batch.items)
      if (!in_flight_.contains(item.key)) broken = "an operation under way has no key in flight";
  }
  if (under_way != in_flight_.size()) broken = "a key in flight has no operation under way";
  std::size_t waiting = 0;
  for (const auto& [key, deferred] : in_flight_) waiting += deferred.size();
  if (waiting != deferred_ || waiting > config_.deferred_max) broken = "deferred requests are miscounted";
  if (pipeline_.empty() && contracts_.reserved() != 0) broken = "a reservation outlived its request";
  return broken;
}

}  // namespace portolan::server
