// SPDX-License-Identifier: BSD-2-Clause
//
// What the commands tell: one or two plain lines, or one JSON object on one line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/events.h"
#include "portolan/options.h"
#include "wire/protocol.h"

namespace portolan {

/// What is asked for, and of whom, as shown.
struct Asked {
  MapCommand command;
  IpAddress client_address;
  /// Of the client address, or the third party's.
  Endpoint internal;
  std::string server;
  Nonce nonce;
  /// What the server told, if it was asked.
  std::vector<client::Nat64Prefix> nat64_prefixes;
};

/// "tcp port 8080 of 2001:db8:112::2", "tcp ports 5000 to 5003 of ...", "all of udp to ...", "all traffic to
/// ...".
[[nodiscard]] auto subject_text(const Asked& asked) -> std::string;

/// What of the command can't be asked of a host with the client address, as the option's name, what is wrong
/// and what to do; nothing if all can. Filters and remote peer are addresses as that host sees them (RFC 6887
/// s12.1, s13.3).
[[nodiscard]] auto objection_text(const Asked& asked) -> std::optional<std::string>;

/// Where the mapping is reachable, and for how long; of a remote peer, from where it sees the connection.
[[nodiscard]] auto granted_text(const Asked& asked, const client::Mapping& mapping) -> std::string;
/// How to renew and delete a mapping that outlives the command.
[[nodiscard]] auto remedy_text(const Asked& asked, const client::Mapping& mapping) -> std::string;
[[nodiscard]] auto deleted_text(const Asked& asked, const client::Deleted& event) -> std::string;
/// What a server means by an error, where that is the same for whatever was asked; else empty.
[[nodiscard]] auto meaning_of(wire::ResultCode result) -> std::string_view;
/// Why the server said no, and what to do about it.
[[nodiscard]] auto refused_text(const Asked& asked, const client::Refused& event) -> std::string;
/// The server speaks something else.
[[nodiscard]] auto version_text(const std::string& server, const client::VersionRefused& event)
    -> std::string;
/// An ANNOUNCE's answer.
[[nodiscard]] auto announced_text(const std::string& server, const client::Announced& event) -> std::string;

/// JSON objects, without line end. Fields that have no value are null. With --keep, where several objects
/// follow each other, "event" tells what happened.
[[nodiscard]] auto granted_json(const Asked& asked, const client::Mapping& mapping) -> std::string;
[[nodiscard]] auto deleted_json(const Asked& asked, const client::Deleted& event) -> std::string;
[[nodiscard]] auto refused_json(const Asked& asked, const client::Refused& event) -> std::string;
[[nodiscard]] auto event_json(const Asked& asked, const char* event, const client::Mapping& mapping)
    -> std::string;
/// An end without a PCP answer: result null and the error in words.
[[nodiscard]] auto failed_json(const Asked& asked, const std::string& error) -> std::string;
[[nodiscard]] auto announced_json(const std::string& server, const client::Announced& event) -> std::string;
[[nodiscard]] auto announce_failed_json(const std::string& server, const std::string& error) -> std::string;

}  // namespace portolan
