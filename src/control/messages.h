// SPDX-License-Identifier: BSD-2-Clause
//
// The messages of the NAT control protocol as plain values: what a server and a gateway say to each other,
// and what an operator asks a gateway. nat_control.proto shows the order of a conversation; codec.h writes
// and reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "device/device.h"
#include "device/inventory.h"
#include "nat/pool_range.h"
#include "nat/view.h"

namespace portolan::control {

inline constexpr std::uint32_t protocol_version = 1;

/// Limits of a message. Whoever sends keeps them; whoever reads refuses what is beyond. A message that keeps
/// them fits into a frame.
inline constexpr std::size_t operations_max = 4096;   ///< of a batch, and results of one
inline constexpr std::size_t filters_max = 16;        ///< of a mapping
inline constexpr std::size_t rows_max = 1024;         ///< of a part: records, rows, events
inline constexpr std::size_t pool_ranges_max = 4096;  ///< of external addresses; each may be of any size
inline constexpr std::size_t prefixes_max = 64;
inline constexpr std::size_t counters_max = 1024;
inline constexpr std::size_t steps_max = 64;          ///< of a trace
inline constexpr std::size_t text_octets_max = 1024;  ///< of any text
inline constexpr Seconds lifetime_max{UINT32_MAX};

// What both sides say.

/// Asks whether the other side is there.
struct Ping {
  std::uint64_t token = 0;
  auto operator==(const Ping&) const -> bool = default;
};
/// The answer, with the same token.
struct Pong {
  std::uint64_t token = 0;
  auto operator==(const Pong&) const -> bool = default;
};

// What is said to a gateway.

enum class Role : std::uint8_t {
  reader,  ///< looks
  owner,   ///< drives the gateway; one at a time
};

/// The first message.
struct ClientHello {
  std::uint32_t version = protocol_version;
  Role role = Role::reader;
  std::uint64_t boot_id = 0;  ///< drawn anew at each start of the client
  std::string program;        ///< for the gateway's log

  auto operator==(const ClientHello&) const -> bool = default;
};

/// Owner: wants to be told what the gateway holds.
struct InventoryRequest {
  auto operator==(const InventoryRequest&) const -> bool = default;
};

/// Owner: operations as device::Device::apply() has them.
struct Batch {
  device::BatchId id;
  std::vector<device::Operation> operations;

  auto operator==(const Batch&) const -> bool = default;
};

/// Owner: what the gateway holds is what the server wants. Flows from inside may have ports from now on.
struct Reconciled {
  auto operator==(const Reconciled&) const -> bool = default;
};

/// Chosen by who asks, to tell answers apart; not 0.
struct QueryNumber {
  std::uint32_t value = 0;
  auto operator<=>(const QueryNumber&) const = default;
};

/// What there is to be shown.
enum class View : std::uint8_t { counters, pools, users, bindings, sessions, profiles };

struct Query {
  QueryNumber number;
  View view = View::counters;
  nat::RowFilter filter{};

  auto operator==(const Query&) const -> bool = default;
};

/// Which way would this packet go? From IPv6 if the addresses are. Of an echo request, the identifier stands
/// as the source's port.
struct TraceQuery {
  QueryNumber number;
  Protocol protocol = Protocol::udp;
  Endpoint source;
  Endpoint destination;
  std::uint8_t tcp_flags = 0;

  auto operator==(const TraceQuery&) const -> bool = default;
};

using Request = std::variant<ClientHello, InventoryRequest, Batch, Reconciled, Ping, Pong, Query, TraceQuery>;

// What a gateway says.

/// The answer to ClientHello.
struct GatewayHello {
  std::uint32_t version = protocol_version;
  std::uint64_t boot_id = 0;  ///< drawn anew at each start of the gateway
  std::string program;
  /// Since its start no server has said Reconciled, and its time for that is not over: flows from inside get
  /// no ports yet.
  bool awaits_reconciliation = false;
  std::vector<Prefix> prefixes;
  std::vector<nat::PoolRange> pool;
  std::uint32_t filters_per_mapping = 0;
  std::uint32_t ports_per_set = 0;

  auto operator==(const GatewayHello&) const -> bool = default;
};

/// Part of what the gateway holds for its server: profiles first, then the rest. The records of several parts
/// are different ones. What begins or ends meanwhile may be there or not.
struct InventoryPart {
  std::vector<device::MappingRecord> mappings{};
  std::vector<device::PeerRecord> peers{};
  std::vector<device::PutProfile> profiles{};
  bool is_last = false;

  auto operator==(const InventoryPart&) const -> bool = default;
};

/// Results of a batch, one for each operation, in order. Batches are answered in order.
struct BatchResult {
  device::BatchId id;
  std::vector<device::Result> results;

  auto operator==(const BatchResult&) const -> bool = default;
};

/// What happened unasked; in order with the results, as device::Device has it.
struct Events {
  std::vector<device::Event> events;

  auto operator==(const Events&) const -> bool = default;
};

/// The gateway has other external addresses. Events tell what that means to mappings.
struct PoolChanged {
  std::vector<nat::PoolRange> pool;
  auto operator==(const PoolChanged&) const -> bool = default;
};

enum class ErrorCode : std::uint8_t {
  malformed,            ///< what was sent can't be read; the connection ends
  unsupported_version,  ///< the connection ends
  owned,                ///< another server drives the gateway; the connection ends
  not_owner,            ///< only the owner may ask that
  busy,                 ///< too much is asked at once
  shutting_down,
};

struct Error {
  ErrorCode code = ErrorCode::malformed;
  std::string text;
  QueryNumber query;  ///< that it answers; 0: none

  auto operator==(const Error&) const -> bool = default;
};

struct Counter {
  std::string name;
  std::uint64_t value = 0;
  auto operator==(const Counter&) const -> bool = default;
};

struct Counters {
  QueryNumber query;
  std::vector<Counter> counters;
  auto operator==(const Counters&) const -> bool = default;
};

/// Part of the rows asked for.
template <typename Row>
struct Rows {
  QueryNumber query;
  std::vector<Row> rows;
  bool is_last = false;
  auto operator==(const Rows&) const -> bool = default;
};
using Pools = Rows<nat::PoolRow>;
using Users = Rows<nat::HostRow>;
using Bindings = Rows<nat::BindingRow>;
using Sessions = Rows<nat::SessionRow>;
using Profiles = Rows<nat::ProfileRow>;

struct Trace {
  QueryNumber query;
  bool is_forwarded = false;
  std::string drop_reason;  ///< as in the counters' names
  Endpoint source;          ///< as the packet would leave
  Endpoint destination;
  bool is_hairpinned = false;
  std::optional<nat::BindingRow> binding;  ///< that it would use, if there is one already
  std::optional<nat::SessionRow> session;  ///< the same
  std::vector<std::string> steps;          ///< what was looked at, in order, and what was found

  auto operator==(const Trace&) const -> bool = default;
};

using Reply = std::variant<GatewayHello, InventoryPart, BatchResult, Events, PoolChanged, Ping, Pong, Error,
                           Counters, Pools, Users, Bindings, Sessions, Profiles, Trace>;

}  // namespace portolan::control
