// SPDX-License-Identifier: BSD-2-Clause
//
// What goes into the client engine and what comes out of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"
#include "base/time.h"
#include "wire/message.h"

namespace portolan::client {

/// Names a wish or an announcement of one engine; never used twice.
enum class Handle : std::uint64_t {};

/// A mapping somebody wants. Its internal address is the engine's client address.
struct MapWish {
  Protocol protocol = Protocol::tcp;
  Port internal_port;  ///< 0: all ports
  Port suggested_external_port;
  /// Its family is the family wanted, its value a preference unless all zeros.
  IpAddress suggested_external_address = IpAddress::unspecified(Family::ipv4);
  Seconds lifetime{7200};  ///< at least 1 s, less than 2^32 s
  bool prefer_failure = false;
  std::optional<Nonce> nonce;  ///< unless given, the engine draws one
};

/// A mapping as the server granted it.
struct Mapping {
  Protocol protocol = Protocol::all;
  Endpoint internal;
  Endpoint external;
  Nonce nonce;
  Seconds lifetime{0};  ///< as granted, but no longer than Config::lifetime_max
  TimePoint expires;
  std::uint32_t epoch_time_s = 0;
};

/// The wish is fulfilled.
struct Granted {
  Handle handle;
  Mapping mapping;
};
/// The same mapping, for longer.
struct Renewed {
  Handle handle;
  Mapping mapping;
};
/// The server moved the mapping to another external address or port.
struct Changed {
  Handle handle;
  Mapping mapping;
  Endpoint previous_external;
};
/// The server said no. A wish is asked for again after `lifetime`; a deletion only if the refusal is a
/// passing one, else the handle is gone.
struct Refused {
  Handle handle;
  wire::ResultCode result;
  Seconds lifetime;  ///< bounded to a sane range
  std::uint32_t epoch_time_s;
};
/// There is no such mapping any more. The wish is asked for again.
struct Lost {
  enum class Reason : std::uint8_t { expired, withdrawn };
  Handle handle;
  Mapping mapping;
  Reason reason;
};
/// The deletion is done and the handle gone. The server may keep the mapping for a while after its last
/// traffic (RFC 6887 s15).
struct Deleted {
  Handle handle;
  Seconds remaining;
  std::uint32_t epoch_time_s;
};
/// The server answered an ANNOUNCE; the handle is gone.
struct Announced {
  Handle handle;
  wire::ResultCode result;
  std::uint32_t epoch_time_s;
  Nanoseconds round_trip;  ///< since the latest transmission
};
/// No answer yet to `transmissions` requests, the one just sent included.
struct Retransmitted {
  Handle handle;
  unsigned transmissions;
};
/// The exchange has failed by Config::retransmission's limits; the handle is gone.
struct NoAnswer {
  Handle handle;
};
/// The Epoch Time says that the server may have lost its state; mappings are asked for again.
struct ServerRestarted {
  std::uint32_t epoch_time_s;
};
/// The server does not speak version 2 but `version`, 0 being NAT-PMP; requests wait for `lifetime`.
struct VersionRefused {
  std::uint8_t version;
  Seconds lifetime;
};

using Event = std::variant<Granted, Renewed, Changed, Refused, Lost, Deleted, Announced, Retransmitted,
                           NoAnswer, ServerRestarted, VersionRefused>;

/// A datagram to send from the client address.
struct Send {
  Endpoint to;
  wire::Datagram datagram;
};

struct Actions {
  std::vector<Send> send;
  std::vector<Event> events;
};

/// What receive() made of a datagram.
enum class Reception : std::uint8_t {
  accepted,
  not_from_server,   ///< another source address or port
  malformed,         ///< no version 2 response
  of_no_request,     ///< matches nothing this engine asked for
  not_as_suggested,  ///< PREFER_FAILURE was asked for and something else granted (RFC 6887 s13.2)
};
[[nodiscard]] auto to_string(Reception reception) -> std::string_view;

}  // namespace portolan::client
