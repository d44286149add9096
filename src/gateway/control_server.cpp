// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/control_server.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "gateway/control_views.h"
#include "io/log.h"
#include "io/system.h"

namespace portolan::gateway {

using control::ErrorCode;
using device::Nat64Device;

ControlServer::ControlServer(io::EventLoop& loop, Nat64Device& device, control::GatewayHello hello,
                             Seconds reconcile_grace)
    : loop_(loop),
      device_(device),
      hello_(std::move(hello)),
      grace_(loop.timer([this] { allow_implicit("no server has come in time"); })),
      candidacy_(loop.timer([this] {
        const Number candidate = std::exchange(candidate_, 0);
        const Number silent = owner_;
        closed(silent, "it does not answer, and another server is here");
        if (find(candidate) != nullptr) make_owner(candidate);
      })) {
  hello_.awaits_reconciliation = true;
  device_.allow_implicit(false);
  grace_.arm(io::monotonic_now() + reconcile_grace);
}

ControlServer::~ControlServer() { *is_here_ = false; }

auto ControlServer::listen(const io::StreamAddress& address, const io::TlsIdentity& identity)
    -> std::expected<io::StreamAddress, std::string> {
  auto listener = io::StreamListener::open(loop_, address, identity,
                                           [this](io::Stream stream) { accepted(std::move(stream)); });
  if (!listener) return std::unexpected(listener.error());
  listeners_.push_back(*std::move(listener));
  return listeners_.back().address();
}

void ControlServer::set_identity(const io::TlsIdentity& identity) {
  for (io::StreamListener& listener : listeners_) listener.set_identity(identity);
}

void ControlServer::accepted(io::Stream stream) {
  if (connections_.size() >= connections_max) {
    io::log::warn("control-too-many",
                  "control: {peer} is turned away: {connections} connections are the most", stream.peer(),
                  connections_max);
    return;
  }
  const Number number = ++last_number_;
  io::Stream& kept = connections_[number].stream;
  kept = std::move(stream);
  io::StreamHandlers handlers;
  handlers.received = [this, number](std::span<const std::byte> octets) {
    Connection* const connection = find(number);
    if (connection == nullptr) return;
    connection->reader.add(octets);
    serve(number);
  };
  handlers.drained = [this, number] {
    Connection* const connection = find(number);
    if (connection == nullptr || !std::exchange(connection->is_part_due, false)) return;
    const auto next = connection->next_part;
    next();
  };
  handlers.closed = [this, number](const std::string& reason) { closed(number, reason); };
  kept.start(std::move(handlers));
}

auto ControlServer::find(Number number) -> Connection* {
  const auto found = connections_.find(number);
  return found == connections_.end() ? nullptr : &found->second;
}

void ControlServer::closed(Number number, const std::string& reason) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  if (!connection->has_greeted && !connection->is_finished)
    io::log::warn("control-no-hello", "control: {peer} is gone without a hello: {reason}",
                  connection->stream.peer(), reason);
  if (number == candidate_) end_candidacy();
  if (number == owner_) {
    // Nothing changes for what it installed: mappings live as long as they were to.
    io::log::info("control-server-gone", "control: the server at {peer} is gone: {reason}",
                  connection->stream.peer(), reason);
    owner_ = 0;
    if (candidate_ != 0) {
      const Number candidate = candidate_;
      end_candidacy();
      make_owner(candidate);
    }
  }
  connections_.erase(number);
}

void ControlServer::serve(Number number) {
  for (;;) {
    Connection* const connection = find(number);
    if (connection == nullptr || connection->is_finished) return;
    const bool is_full = number == owner_ && applied_.size() >= batches_max;
    connection->stream.set_reading(!is_full);
    if (is_full) return;
    const auto message = connection->reader.next();
    if (!message) return expel(number, ErrorCode::malformed, message.error());
    if (!*message) return;
    auto request = control::decode_request(**message);
    if (!request) return expel(number, ErrorCode::malformed, request.error());
    handle(number, *std::move(request));
  }
}

void ControlServer::send(Number number, const control::Reply& reply) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  frame_.clear();
  control::append_frame(reply, frame_);
  connection->stream.send(frame_);
}

void ControlServer::refuse(Number number, ErrorCode code, std::string text, control::QueryNumber query) {
  text.resize(std::min(text.size(), control::text_octets_max));
  send(number, control::Error{.code = code, .text = std::move(text), .query = query});
}

void ControlServer::expel(Number number, ErrorCode code, std::string text) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  io::log::warn("control-turned-away", "control: {peer} is turned away: {reason}", connection->stream.peer(),
                text);
  refuse(number, code, std::move(text));
  connection->is_finished = true;
  connection->stream.finish();
}

auto ControlServer::is_owner(Number number, std::string_view what) -> bool {
  if (number == owner_) return true;
  refuse(number, ErrorCode::not_owner, fmt::format("{} is for the server that drives the gateway", what));
  return false;
}

void ControlServer::handle(Number number, control::Request request) {
  Connection& connection = *find(number);
  if (!connection.has_greeted && !std::holds_alternative<control::ClientHello>(request))
    return expel(number, ErrorCode::malformed, "the first message must be a hello");
  std::visit([&](auto& each) { handle(number, each); }, request);
}

void ControlServer::handle(Number number, control::ClientHello& hello) {
  Connection& connection = *find(number);
  if (connection.has_greeted) return expel(number, ErrorCode::malformed, "a second hello");
  if (hello.version != control::protocol_version)
    return expel(
        number, ErrorCode::unsupported_version,
        fmt::format("version {} is not spoken here, but {}", hello.version, control::protocol_version));
  connection.has_greeted = true;
  if (hello.role == control::Role::reader) return send(number, hello_);
  if (owner_ == 0) return make_owner(number);
  if (candidate_ != 0) return expel(number, ErrorCode::owned, "another server drives this gateway");
  candidate_ = number;
  candidacy_.arm(io::monotonic_now() + owner_answer_max);
  send(owner_, control::Ping{++ping_token_});
}

void ControlServer::make_owner(Number number) {
  owner_ = number;
  io::log::info("control-server-drives", "control: the server at {peer} drives this gateway",
                find(number)->stream.peer());
  send(number, hello_);
}

void ControlServer::end_candidacy() {
  candidate_ = 0;
  candidacy_.disarm();
}

void ControlServer::handle(Number number, control::Ping& ping) { send(number, control::Pong{ping.token}); }

void ControlServer::handle(Number number, control::Pong& pong) {
  if (number != owner_ || candidate_ == 0 || pong.token != ping_token_) return;
  const Number candidate = candidate_;
  end_candidacy();
  expel(candidate, ErrorCode::owned, "another server drives this gateway");
}

void ControlServer::handle(Number number, control::Batch& batch) {
  if (!is_owner(number, "a batch")) return;
  applied_.push_back({.connection = number, .batch = batch.id});
  device_.apply({++last_batch_}, std::move(batch.operations));
}

void ControlServer::completed(const std::vector<device::Result>& results) {
  const Applied answered = applied_.front();
  applied_.pop_front();
  send(answered.connection, control::BatchResult{.id = answered.batch, .results = results});
  if (applied_.size() + 1 == batches_max && owner_ != 0) serve(owner_);
}

void ControlServer::happened(const std::vector<device::Event>& events) {
  for (std::size_t at = 0; at < events.size(); at += control::rows_max) {
    const auto part = std::span(events).subspan(at, std::min(control::rows_max, events.size() - at));
    send(owner_, control::Events{{part.begin(), part.end()}});
  }
}

void ControlServer::pool_changed(std::vector<nat::PoolRange> pool) {
  hello_.pool = pool;
  send(owner_, control::PoolChanged{std::move(pool)});
}

void ControlServer::handle(Number number, control::Reconciled& /*reconciled*/) {
  if (is_owner(number, "reconciled")) allow_implicit("the server has what it promised");
}

void ControlServer::allow_implicit(std::string_view why) {
  if (is_reconciled()) return;
  hello_.awaits_reconciliation = false;
  grace_.disarm();
  device_.allow_implicit(true);
  io::log::info("control-implicit-allowed",
                "control: flows from inside get external ports from now on: {why}", why);
}

auto ControlServer::may_begin(Number number, control::QueryNumber query) -> bool {
  if (!find(number)->next_part) return true;
  refuse(number, ErrorCode::busy, "the last answer is still being sent", query);
  return false;
}

void ControlServer::part_sent(Number number, bool is_last) {
  Connection* const connection = find(number);
  if (connection == nullptr) return;
  if (is_last) {
    connection->next_part = {};
  } else if (connection->stream.queued() > rows_queued_max) {
    connection->is_part_due = true;
  } else {
    const auto next = connection->next_part;
    next();
  }
}

void ControlServer::handle(Number number, control::InventoryRequest& /*request*/) {
  if (is_owner(number, "the inventory") && may_begin(number, {})) inventory_from(number, {});
}

void ControlServer::inventory_from(Number number, Nat64Device::Cursor from) {
  find(number)->next_part = [] {};
  device_.inventory(
      from, [this, number, is_here = is_here_](Nat64Device::InventoryPart part, Nat64Device::Cursor next) {
        Connection* const connection = *is_here ? find(number) : nullptr;
        if (connection == nullptr) return;
        if (next.is_end || !part.mappings.empty() || !part.peers.empty() || !part.profiles.empty())
          send(number, control::InventoryPart{.mappings = std::move(part.mappings),
                                              .peers = std::move(part.peers),
                                              .profiles = std::move(part.profiles),
                                              .is_last = next.is_end});
        connection->next_part = [this, number, next] { inventory_from(number, next); };
        part_sent(number, next.is_end);
      });
}

template <typename Row>
void ControlServer::rows_from(Number number, const control::Query& query, Nat64Device::Cursor from) {
  find(number)->next_part = [] {};
  auto take = [this, number, query, is_here = is_here_](std::vector<Row> rows, Nat64Device::Cursor next) {
    Connection* const connection = *is_here ? find(number) : nullptr;
    if (connection == nullptr) return;
    if (next.is_end || !rows.empty())
      send(number,
           control::Rows<Row>{.query = query.number, .rows = std::move(rows), .is_last = next.is_end});
    connection->next_part = [this, number, query, next] { rows_from<Row>(number, query, next); };
    part_sent(number, next.is_end);
  };
  if constexpr (std::is_same_v<Row, nat::BindingRow>)
    device_.bindings(query.filter, from, std::move(take));
  else if constexpr (std::is_same_v<Row, nat::SessionRow>)
    device_.sessions(query.filter, from, std::move(take));
  else if constexpr (std::is_same_v<Row, nat::HostRow>)
    device_.hosts(query.filter, from, std::move(take));
  else if constexpr (std::is_same_v<Row, nat::ProfileRow>)
    device_.profiles(query.filter, from, std::move(take));
  else
    device_.pools(query.filter, from, std::move(take));
}

void ControlServer::handle(Number number, control::Query& query) {
  if (!may_begin(number, query.number)) return;
  switch (query.view) {
    case control::View::counters:
      return send(number,
                  control::Counters{.query = query.number, .counters = counters_of(device_.counters())});
    case control::View::pools: return rows_from<nat::PoolRow>(number, query, {});
    case control::View::users: return rows_from<nat::HostRow>(number, query, {});
    case control::View::bindings: return rows_from<nat::BindingRow>(number, query, {});
    case control::View::sessions: return rows_from<nat::SessionRow>(number, query, {});
    case control::View::profiles: return rows_from<nat::ProfileRow>(number, query, {});
  }
}

void ControlServer::handle(Number number, control::TraceQuery& query) {
  if (!may_begin(number, query.number)) return;
  find(number)->next_part = [] {};
  device_.trace({.protocol = query.protocol,
                 .source = query.source,
                 .destination = query.destination,
                 .tcp_flags = query.tcp_flags},
                [this, number, query, is_here = is_here_](const nat::TraceResult& result) {
                  if (!*is_here || find(number) == nullptr) return;
                  send(number, trace_of(query, result));
                  part_sent(number, true);
                });
}

}  // namespace portolan::gateway
