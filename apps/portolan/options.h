// SPDX-License-Identifier: BSD-2-Clause
//
// The command line of `portolan` as values.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"
#include "base/time.h"
#include "client/engine.h"
#include "portolan/agent_options.h"
#include "portolan/run_options.h"
#include "wire/compose.h"
#include "wire/protocol.h"

namespace portolan {

/// Exit statuses.
constexpr int exit_success = 0;
constexpr int exit_refused = 1;
constexpr int exit_usage = 2;
constexpr int exit_no_answer = 3;

/// What the commands that ask a server have in common.
struct ServerOptions {
  std::string server;  ///< empty: the default router
  Port server_port{wire::server_port};
  std::optional<IpAddress> internal_address;
  Seconds timeout{10};
  bool is_json = false;
  bool is_verbose = false;
};

/// Of `map`, and with a remote peer of `peer`.
struct MapCommand {
  ServerOptions common;
  client::Wish wish;
  client::Speech speech = client::Speech::automatic;
  bool is_deletion = false;
  bool is_kept = false;
  std::string agent_socket;
};
struct AnnounceCommand {
  ServerOptions common;
};
struct DiscoverCommand {
  Seconds wait{0};  ///< for router advertisements
  bool uses_anycast = true;
  bool is_json = false;
};
struct HostAndPort {
  std::string host;
  Port port;
  auto operator==(const HostAndPort&) const -> bool = default;
};
struct DoctorCommand {
  std::string server;  ///< empty: all that are found
  Port server_port{wire::server_port};
  Seconds timeout{4};
  Seconds wait{0};  ///< for router advertisements
  bool uses_anycast = true;
  /// Who tries to connect to this host.
  std::optional<HostAndPort> helper;
  /// Helps others there instead; the host is an address.
  std::optional<HostAndPort> listens;
  bool is_json = false;
};
struct DecodeCommand {
  std::optional<std::vector<std::byte>> datagram;
  /// A capture file instead; "-" is standard input.
  std::string capture;
  /// Of the server in the capture.
  Port server_port{wire::server_port};
  bool shows_octets = false;
  bool is_json = false;
};
/// A message as it is to be composed, and how it is to be sent.
struct SendCommand {
  enum class Kind : std::uint8_t { pcp, nat_pmp_address, nat_pmp_map };

  ServerOptions common;
  /// None: `raw` is the message.
  std::optional<Kind> kind;
  std::optional<std::vector<std::byte>> raw;
  /// Of NAT-PMP as well, as far as it has such fields.
  wire::Draft::Pcp pcp;
  std::optional<std::uint32_t> lifetime;
  std::optional<IpAddress> client_address;
  std::optional<Nonce> nonce;
  std::vector<wire::Edit> edits;
  std::optional<std::size_t> size;
  std::optional<std::uint32_t> fuzz_seed;
  Port source_port;
  std::uint32_t repeat = 1;
  /// A second.
  std::uint32_t rate = 1;
  std::string capture;
  bool only_prints = false;
  /// A file of steps instead, or the name of one that comes with the program.
  std::string sequence;
};
struct StudioCommand {
  /// Who is asked unless the page says otherwise.
  ServerOptions common;
  /// Of this host's own.
  IpAddress listen_address = *IpAddress::parse("127.0.0.1");
  Port listen_port;  ///< 0: any
};
using Command = std::variant<MapCommand, AnnounceCommand, DiscoverCommand, DoctorCommand, AgentCommand,
                             AskAgentCommand, RunCommand, DecodeCommand, SendCommand, StudioCommand>;

/// Reason to end without asking anybody: help, the version, a mistake, no network.
struct Exit {
  int status = exit_success;
  std::string text;
};

/// The packet that `draft`, a JSON object as of arguments_of_json(), is about; what it does not say of the
/// server is as in `common`. It names no files, and is one packet. Errors  text: which member is wrong, and
/// the remedy
[[nodiscard]] auto parse_draft(std::string_view draft, const ServerOptions& common)
    -> std::expected<SendCommand, std::string>;

/// Parses the arguments behind the program's name. A mistake is told with argument, value and remedy.
[[nodiscard]] auto parse_command_line(std::span<const char* const> arguments) -> std::expected<Command, Exit>;

}  // namespace portolan
