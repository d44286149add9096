// SPDX-License-Identifier: BSD-2-Clause
//
// What the commands tell: one or two plain lines, or one JSON object on one line.
#pragma once

#include <string>

#include "client/events.h"
#include "portolan/options.h"
#include "wire/protocol.h"

namespace portolan {

/// What is asked for, and of whom, as shown.
struct Asked {
  MapCommand command;
  Endpoint internal;
  std::string server;
  Nonce nonce;
};

/// "tcp port 8080 of 2001:db8:112::2", "all ports of udp of ...", "all traffic to ...".
[[nodiscard]] auto subject_text(const Asked& asked) -> std::string;

/// Where the mapping is reachable, and for how long.
[[nodiscard]] auto granted_text(const Asked& asked, const client::Mapping& mapping) -> std::string;
/// How to renew and delete a mapping that outlives the command.
[[nodiscard]] auto remedy_text(const Asked& asked, const client::Mapping& mapping) -> std::string;
[[nodiscard]] auto deleted_text(const Asked& asked, const client::Deleted& event) -> std::string;
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
