// SPDX-License-Identifier: BSD-2-Clause
#include "control/codec.h"

#include "control/codec_values.h"

#include <google/protobuf/arena.h>

namespace portolan::control {
namespace detail {
namespace {

// Messages to a gateway.

void write(const ClientHello& hello, v1::ToGateway& message) {
  v1::ClientHello& out = *message.mutable_hello();
  out.set_version(hello.version);
  out.set_role(hello.role == Role::owner ? v1::OWNER : v1::READER);
  out.set_boot_id(hello.boot_id);
  write_text(hello.program, *out.mutable_program());
}

auto read(const v1::ClientHello& in, Faults& faults) -> ClientHello {
  if (!v1::Role_IsValid(in.role())) faults.add("role", "is unknown");
  return {.version = in.version(),
          .role = in.role() == v1::OWNER ? Role::owner : Role::reader,
          .boot_id = in.boot_id(),
          .program = read_text(in.program(), "program", faults)};
}

void write(const InventoryRequest& /*request*/, v1::ToGateway& message) { message.mutable_inventory(); }
void write(const Reconciled& /*reconciled*/, v1::ToGateway& message) { message.mutable_reconciled(); }
void write(const Ping& ping, auto& message) { message.mutable_ping()->set_token(ping.token); }
void write(const Pong& pong, auto& message) { message.mutable_pong()->set_token(pong.token); }

void write(const Batch& batch, v1::ToGateway& message) {
  v1::Batch& out = *message.mutable_batch();
  out.set_id(batch.id.value);
  write_list(batch.operations, operations_max, out.mutable_operations(), write_operation);
}

auto read(const v1::Batch& in, Faults& faults) -> Batch {
  return {.id = {in.id()},
          .operations = read_list<device::Operation>(in.operations(), operations_max, "operations", faults,
                                                     read_operation)};
}

auto read_query_number(std::uint32_t number, Faults& faults) -> QueryNumber {
  if (number == 0) faults.add("number", "is 0");
  return {number};
}

auto mutable_query(View view, v1::ToGateway& message) -> v1::Query& {
  switch (view) {
    case View::counters: return *message.mutable_counters();
    case View::pools: return *message.mutable_pools();
    case View::users: return *message.mutable_users();
    case View::bindings: return *message.mutable_bindings();
    case View::profiles: return *message.mutable_profiles();
    case View::sessions: break;
  }
  return *message.mutable_sessions();
}

void write(const Query& query, v1::ToGateway& message) {
  v1::Query& out = mutable_query(query.view, message);
  const nat::RowFilter& filter = query.filter;
  out.set_number(query.number.value);
  if (filter.internal != Prefix{}) write_prefix(filter.internal, *out.mutable_internal());
  if (filter.protocol) out.set_protocol(std::to_underlying(*filter.protocol));
  if (filter.internal_port) out.set_internal_port(filter.internal_port->value);
  if (filter.external_address) out.set_external_address(filter.external_address->value);
  if (filter.external_port) out.set_external_port(filter.external_port->value);
  if (filter.remote_address) out.set_remote_address(filter.remote_address->value);
  if (filter.remote_port) out.set_remote_port(filter.remote_port->value);
  out.set_only_explicit(filter.only_explicit);
}

auto read(const v1::Query& in, View view, Faults& faults) -> Query {
  Query query{.number = read_query_number(in.number(), faults), .view = view};
  nat::RowFilter& filter = query.filter;
  if (in.has_internal()) filter.internal = read_prefix(in.internal(), faults);
  if (in.has_protocol()) filter.protocol = read_protocol(in.protocol(), faults);
  if (in.has_internal_port()) filter.internal_port = read_port(in.internal_port(), faults);
  if (in.has_external_address()) filter.external_address = Ipv4Address{in.external_address()};
  if (in.has_external_port()) filter.external_port = read_port(in.external_port(), faults);
  if (in.has_remote_address()) filter.remote_address = Ipv4Address{in.remote_address()};
  if (in.has_remote_port()) filter.remote_port = read_port(in.remote_port(), faults);
  filter.only_explicit = in.only_explicit();
  return query;
}

void write(const TraceQuery& query, v1::ToGateway& message) {
  v1::TraceQuery& out = *message.mutable_trace();
  out.set_number(query.number.value);
  out.set_protocol(std::to_underlying(query.protocol));
  write_endpoint(query.source, *out.mutable_source());
  write_endpoint(query.destination, *out.mutable_destination());
  out.set_tcp_flags(query.tcp_flags);
}

auto read(const v1::TraceQuery& in, Faults& faults) -> TraceQuery {
  return {.number = read_query_number(in.number(), faults),
          .protocol = read_protocol(in.protocol(), faults),
          .source = read_endpoint(in.source(), faults),
          .destination = read_endpoint(in.destination(), faults),
          .tcp_flags = narrow<std::uint8_t>(in.tcp_flags(), "tcp_flags", faults)};
}

auto read(const v1::ToGateway& in, Faults& faults) -> Request {
  switch (in.message_case()) {
    case v1::ToGateway::kHello: return read(in.hello(), faults);
    case v1::ToGateway::kInventory: return InventoryRequest{};
    case v1::ToGateway::kBatch: return read(in.batch(), faults);
    case v1::ToGateway::kReconciled: return Reconciled{};
    case v1::ToGateway::kPing: return Ping{in.ping().token()};
    case v1::ToGateway::kPong: return Pong{in.pong().token()};
    case v1::ToGateway::kCounters: return read(in.counters(), View::counters, faults);
    case v1::ToGateway::kPools: return read(in.pools(), View::pools, faults);
    case v1::ToGateway::kUsers: return read(in.users(), View::users, faults);
    case v1::ToGateway::kBindings: return read(in.bindings(), View::bindings, faults);
    case v1::ToGateway::kSessions: return read(in.sessions(), View::sessions, faults);
    case v1::ToGateway::kProfiles: return read(in.profiles(), View::profiles, faults);
    case v1::ToGateway::kTrace: return read(in.trace(), faults);
    case v1::ToGateway::MESSAGE_NOT_SET: break;
  }
  faults.add("message", "is none known here");
  return {};
}

// Messages from a gateway.

void write(const GatewayHello& hello, v1::FromGateway& message) {
  v1::GatewayHello& out = *message.mutable_hello();
  out.set_version(hello.version);
  out.set_boot_id(hello.boot_id);
  write_text(hello.program, *out.mutable_program());
  out.set_awaits_reconciliation(hello.awaits_reconciliation);
  write_list(hello.prefixes, prefixes_max, out.mutable_prefixes(), write_prefix);
  write_list(hello.pool, pool_ranges_max, out.mutable_pool(), write_pool_range);
  out.set_filters_per_mapping(hello.filters_per_mapping);
  out.set_ports_per_set(hello.ports_per_set);
}

auto read(const v1::GatewayHello& in, Faults& faults) -> GatewayHello {
  return {.version = in.version(),
          .boot_id = in.boot_id(),
          .program = read_text(in.program(), "program", faults),
          .awaits_reconciliation = in.awaits_reconciliation(),
          .prefixes = read_list<Prefix>(in.prefixes(), prefixes_max, "prefixes", faults, read_prefix),
          .pool = read_list<nat::PoolRange>(in.pool(), pool_ranges_max, "pool", faults, read_pool_range),
          .filters_per_mapping = in.filters_per_mapping(),
          .ports_per_set = in.ports_per_set()};
}

void write(const InventoryPart& part, v1::FromGateway& message) {
  v1::InventoryPart& out = *message.mutable_inventory();
  write_list(part.mappings, rows_max, out.mutable_mappings(), write_mapping);
  write_list(part.peers, rows_max, out.mutable_peers(), write_peer);
  write_list(part.profiles, rows_max, out.mutable_profiles(), write_profile);
  out.set_is_last(part.is_last);
}

auto read(const v1::InventoryPart& in, Faults& faults) -> InventoryPart {
  return {
      .mappings = read_list<device::MappingRecord>(in.mappings(), rows_max, "mappings", faults, read_mapping),
      .peers = read_list<device::PeerRecord>(in.peers(), rows_max, "peers", faults, read_peer),
      .profiles = read_list<device::PutProfile>(in.profiles(), rows_max, "profiles", faults, read_profile),
      .is_last = in.is_last()};
}

void write(const BatchResult& result, v1::FromGateway& message) {
  v1::BatchResult& out = *message.mutable_result();
  out.set_id(result.id.value);
  write_list(result.results, operations_max, out.mutable_results(), write_result);
}

auto read(const v1::BatchResult& in, Faults& faults) -> BatchResult {
  return {.id = {in.id()},
          .results = read_list<device::Result>(in.results(), operations_max, "results", faults, read_result)};
}

void write(const Events& events, v1::FromGateway& message) {
  write_list(events.events, rows_max, message.mutable_events()->mutable_events(), write_event);
}

void write(const PoolChanged& changed, v1::FromGateway& message) {
  write_list(changed.pool, pool_ranges_max, message.mutable_pool_changed()->mutable_pool(), write_pool_range);
}

void write(const Error& error, v1::FromGateway& message) {
  v1::Error& out = *message.mutable_error();
  out.set_code(write_number(error_codes, error.code));
  write_text(error.text, *out.mutable_text());
  out.set_query(error.query.value);
}

auto read(const v1::Error& in, Faults& faults) -> Error {
  return {.code = read_number(error_codes, in.code(), "code", faults),
          .text = read_text(in.text(), "text", faults),
          .query = {in.query()}};
}

void write(const Counters& counters, v1::FromGateway& message) {
  v1::Counters& out = *message.mutable_counters();
  out.set_query(counters.query.value);
  write_list(counters.counters, counters_max, out.mutable_counters(), [](const Counter& counter, auto& made) {
    write_text(counter.name, *made.mutable_name());
    made.set_value(counter.value);
  });
}

auto read(const v1::Counters& in, Faults& faults) -> Counters {
  const auto read_counter = [](const v1::Counter& counter, Faults& found) {
    return Counter{.name = read_text(counter.name(), "name", found), .value = counter.value()};
  };
  return {.query = {in.query()},
          .counters = read_list<Counter>(in.counters(), counters_max, "counters", faults, read_counter)};
}

template <typename Row>
void write_rows(const Rows<Row>& rows, auto* list, auto& out) {
  out.set_query(rows.query.value);
  write_list(rows.rows, rows_max, list, [](const Row& row, auto& made) { write_row(row, made); });
  out.set_is_last(rows.is_last);
}

template <typename Row>
auto read_rows(const auto& list, const auto& in, Faults& faults) -> Rows<Row> {
  return {.query = {in.query()},
          .rows = read_list<Row>(list, rows_max, "rows", faults,
                                 [](const auto& row, Faults& found) { return read_row(row, found); }),
          .is_last = in.is_last()};
}

void write(const Pools& rows, v1::FromGateway& message) {
  v1::Pools& out = *message.mutable_pools();
  write_rows(rows, out.mutable_pools(), out);
}
void write(const Users& rows, v1::FromGateway& message) {
  v1::Users& out = *message.mutable_users();
  write_rows(rows, out.mutable_users(), out);
}
void write(const Bindings& rows, v1::FromGateway& message) {
  v1::Bindings& out = *message.mutable_bindings();
  write_rows(rows, out.mutable_bindings(), out);
}
void write(const Sessions& rows, v1::FromGateway& message) {
  v1::Sessions& out = *message.mutable_sessions();
  write_rows(rows, out.mutable_sessions(), out);
}
void write(const Profiles& rows, v1::FromGateway& message) {
  v1::Profiles& out = *message.mutable_profiles();
  write_rows(rows, out.mutable_profiles(), out);
}

void write(const Trace& trace, v1::FromGateway& message) {
  v1::Trace& out = *message.mutable_trace();
  out.set_query(trace.query.value);
  out.set_is_forwarded(trace.is_forwarded);
  write_text(trace.drop_reason, *out.mutable_drop_reason());
  write_endpoint(trace.source, *out.mutable_source());
  write_endpoint(trace.destination, *out.mutable_destination());
  out.set_is_hairpinned(trace.is_hairpinned);
  if (trace.binding) write_row(*trace.binding, *out.mutable_binding());
  if (trace.session) write_row(*trace.session, *out.mutable_session());
  write_list(trace.steps, steps_max, out.mutable_steps(), write_text);
}

auto read(const v1::Trace& in, Faults& faults) -> Trace {
  const auto read_step = [](const std::string& step, Faults& found) {
    return read_text(step, "steps", found);
  };
  Trace trace{.query = {in.query()},
              .is_forwarded = in.is_forwarded(),
              .drop_reason = read_text(in.drop_reason(), "drop_reason", faults),
              .source = read_endpoint(in.source(), faults),
              .destination = read_endpoint(in.destination(), faults),
              .is_hairpinned = in.is_hairpinned(),
              .binding = {},
              .session = {},
              .steps = read_list<std::string>(in.steps(), steps_max, "steps", faults, read_step)};
  if (in.has_binding()) trace.binding = read_row(in.binding(), faults);
  if (in.has_session()) trace.session = read_row(in.session(), faults);
  return trace;
}

auto read(const v1::FromGateway& in, Faults& faults) -> Reply {
  switch (in.message_case()) {
    case v1::FromGateway::kHello: return read(in.hello(), faults);
    case v1::FromGateway::kInventory: return read(in.inventory(), faults);
    case v1::FromGateway::kResult: return read(in.result(), faults);
    case v1::FromGateway::kEvents:
      return Events{read_list<device::Event>(in.events().events(), rows_max, "events", faults, read_event)};
    case v1::FromGateway::kPing: return Ping{in.ping().token()};
    case v1::FromGateway::kPong: return Pong{in.pong().token()};
    case v1::FromGateway::kPoolChanged:
      return PoolChanged{read_list<nat::PoolRange>(in.pool_changed().pool(), pool_ranges_max, "pool", faults,
                                                   read_pool_range)};
    case v1::FromGateway::kError: return read(in.error(), faults);
    case v1::FromGateway::kCounters: return read(in.counters(), faults);
    case v1::FromGateway::kPools: return read_rows<nat::PoolRow>(in.pools().pools(), in.pools(), faults);
    case v1::FromGateway::kUsers: return read_rows<nat::HostRow>(in.users().users(), in.users(), faults);
    case v1::FromGateway::kBindings:
      return read_rows<nat::BindingRow>(in.bindings().bindings(), in.bindings(), faults);
    case v1::FromGateway::kSessions:
      return read_rows<nat::SessionRow>(in.sessions().sessions(), in.sessions(), faults);
    case v1::FromGateway::kProfiles:
      return read_rows<nat::ProfileRow>(in.profiles().profiles(), in.profiles(), faults);
    case v1::FromGateway::kTrace: return read(in.trace(), faults);
    case v1::FromGateway::MESSAGE_NOT_SET: break;
  }
  faults.add("message", "is none known here");
  return {};
}

template <typename Wire, typename Message>
void append(const Message& message, std::vector<std::byte>& out) {
  google::protobuf::Arena arena;
  Wire& wire = *google::protobuf::Arena::CreateMessage<Wire>(&arena);
  std::visit([&](const auto& each) { write(each, wire); }, message);
  const std::size_t size = wire.ByteSizeLong();
  PORTOLAN_CHECK(size <= message_octets_max);
  for (std::size_t left = size;; left >>= 7U) {
    const bool is_last = left < 0x80;
    out.push_back(static_cast<std::byte>((left & 0x7fU) | (is_last ? 0U : 0x80U)));
    if (is_last) break;
  }
  out.resize(out.size() + size);
  wire.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(out.data() + out.size() - size));
}

template <typename Wire, typename Message>
auto decode(std::span<const std::byte> octets) -> std::expected<Message, std::string> {
  google::protobuf::Arena arena;
  Wire& wire = *google::protobuf::Arena::CreateMessage<Wire>(&arena);
  if (octets.size() > message_octets_max ||
      !wire.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
    return std::unexpected("not the encoding of a message");
  Faults faults;
  Message message = read(wire, faults);
  if (faults.any()) return std::unexpected(faults.text());
  return message;
}

}  // namespace
}  // namespace detail

void append_frame(const Request& message, std::vector<std::byte>& out) {
  detail::append<v1::ToGateway>(message, out);
}
void append_frame(const Reply& message, std::vector<std::byte>& out) {
  detail::append<v1::FromGateway>(message, out);
}

auto decode_request(std::span<const std::byte> message) -> std::expected<Request, std::string> {
  return detail::decode<v1::ToGateway, Request>(message);
}
auto decode_reply(std::span<const std::byte> message) -> std::expected<Reply, std::string> {
  return detail::decode<v1::FromGateway, Reply>(message);
}

auto is_within_limits(const device::Operation& operation) -> bool {
  const auto* const install = std::get_if<device::Install>(&operation);
  return install == nullptr || install->filters.size() <= filters_max;
}

}  // namespace portolan::control
