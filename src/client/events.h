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
#include "base/time.h"
#include "client/wish.h"
#include "wire/message.h"

namespace portolan::client {

/// Names a wish or an announcement of one engine; never used twice.
enum class Handle : std::uint64_t {};

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
  enum class Reason : std::uint8_t {
    expired,
    withdrawn,        ///< by the server
    address_changed,  ///< this host is asking from another address now
    server_gone,      ///< this host does not use the server any more
  };
  Handle handle;
  Mapping mapping;
  Reason reason;
};
/// The deletion is done and the handle gone. The server may keep the mapping for a while after its last
/// traffic (RFC 6887 s15). A PEER mapping can't be deleted: it is no longer renewed (RFC 6887 s12.3).
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
/// The server does not speak version 2 but `version`, 0 being NAT-PMP. What can't be asked in a version that
/// it speaks waits for `lifetime`.
struct VersionRefused {
  std::uint8_t version;
  Seconds lifetime;
};

/// The server speaks nothing but NAT-PMP (RFC 6886), which is spoken from now on.
struct FellBackToNatPmp {};
/// Config::unanswered_max requests in a row had no answer. They go on; told once until there is one.
struct Unresponsive {};
/// The server told the prefixes of its NAT64, the first one being for addresses that no other one names
/// (RFC 7225 s4.3). They replace all it told before.
struct Nat64PrefixesLearned {
  std::vector<Nat64Prefix> prefixes;
};

using Event =
    std::variant<Granted, Renewed, Changed, Refused, Lost, Deleted, Announced, Retransmitted, NoAnswer,
                 ServerRestarted, VersionRefused, FellBackToNatPmp, Unresponsive, Nat64PrefixesLearned>;

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
  malformed,         ///< no response of a version spoken here
  of_no_request,     ///< matches nothing this engine asked for
  not_as_suggested,  ///< PREFER_FAILURE was asked for and something else granted (RFC 6887 s13.2)
};
[[nodiscard]] auto to_string(Reception reception) -> std::string_view;

}  // namespace portolan::client
