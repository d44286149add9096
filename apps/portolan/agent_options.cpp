// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_options.h"

#include <cstdlib>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>

#include "portolan/arguments.h"

namespace portolan {
namespace {

using arguments::parse_port;
using arguments::refuse;

auto variable(const char* name) -> std::string {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The first of the folders that is known, with `below` in it.
auto place(std::initializer_list<std::string> folders, std::string_view below) -> std::string {
  for (const std::string& folder : folders)
    if (folder.starts_with('/')) return folder + std::string(below);
  return std::string(below.substr(1));
}

auto below_home(std::string_view folder) -> std::string {
  const std::string home = variable("HOME");
  return home.empty() ? "" : home + std::string(folder);
}

auto default_socket() -> std::string {
  return place({variable("XDG_RUNTIME_DIR"), "/run"}, "/portolan/agent.sock");
}

/// What names a mapping.
void add_name(CLI::App& app, client::Wish& wish) {
  app.add_option_function<std::string>(
         "PROTOCOL",
         [&wish](const std::string& text) {
           const auto protocol = parse_protocol(text);
           if (!protocol || *protocol == Protocol::all)
             refuse("PROTOCOL", text, "is no protocol: give tcp, udp, sctp, or a number");
           wish.protocol = *protocol;
         },
         "tcp, udp, sctp, or an IANA protocol number")
      ->required();
  app.add_option_function<std::string>(
         "INTERNAL_PORT",
         [&wish](const std::string& text) {
           wish.internal_port =
               parse_port("INTERNAL_PORT", text, "is no port: give a number from 1 to 65535");
         },
         "port of this host")
      ->required();
  add_external(app,
               [&wish](Family family) { wish.suggested_external_address = IpAddress::unspecified(family); });
  const auto peer = [&wish]() -> Endpoint& {
    if (!wish.remote_peer) wish.remote_peer.emplace();
    return *wish.remote_peer;
  };
  auto* const address = app.add_option_function<std::string>(
      "--peer-address",
      [peer](const std::string& text) { peer().address = arguments::parse_address("--peer-address", text); },
      "other end of the connection that it is for");
  auto* const port = app.add_option_function<std::string>(
      "--peer-port",
      [peer](const std::string& text) {
        peer().port = parse_port("--peer-port", text, "is no port: give a number from 1 to 65535");
      },
      "and its port");
  address->type_name("ADDRESS")->needs(port);
  port->type_name("PORT")->needs(address);
  app.add_option_function<std::string>(
         "--third-party",
         [&wish](const std::string& text) {
           wish.third_party = arguments::parse_address("--third-party", text);
         },
         "host that it is for, instead of this one")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--third-party-id",
         [&wish](const std::string& text) {
           wish.third_party_id = arguments::parse_hex("--third-party-id", text);
         },
         "and its identifier")
      ->type_name("HEX");
}

}  // namespace

void add_port(CLI::App& app, const char* name, Port& port, const std::string& what) {
  app.add_option_function<std::string>(
         name,
         [&port, name](const std::string& text) {
           port = parse_port(name, text, "is no port: give a number from 1 to 65535");
           if (port.value == 0) refuse(name, text, "is no port: give a number from 1 to 65535");
         },
         what)
      ->type_name("PORT");
}

void add_external(CLI::App& app, std::function<void(Family)> take) {
  app.add_option_function<std::string>(
         "--external",
         [take = std::move(take)](const std::string& text) {
           if (text != "ipv4" && text != "ipv6")
             refuse("--external", text, "is no family: give ipv4 or ipv6");
           take(text == "ipv4" ? Family::ipv4 : Family::ipv6);
         },
         "family of the external address: ipv4 or ipv6 [ipv4]")
      ->type_name("FAMILY");
}

void add_socket(CLI::App& app, std::string& socket) {
  socket = default_socket();
  app.add_option("--socket", socket, "the agent's socket [this user's]")->type_name("FILE");
}

auto state_place(std::string_view name) -> std::string {
  return place({variable("XDG_STATE_HOME"), below_home("/.local/state"), "/var/lib"}, name);
}

auto socket_remedy(std::string_view socket) -> std::string_view {
  const bool is_without_folder = variable("XDG_RUNTIME_DIR").empty() && socket == default_socket();
  return is_without_folder ? ": set XDG_RUNTIME_DIR, or give --socket" : "";
}

void add_agent(CLI::App& app, AgentCommand& command) {
  command.config =
      place({variable("XDG_CONFIG_HOME"), below_home("/.config"), "/etc"}, "/portolan/agent.toml");
  command.state = state_place("/portolan/agent.json");
  app.add_option_function<std::string>(
         "--config",
         [&command](const std::string& text) {
           command.config = text;
           command.is_config_given = true;
         },
         "mappings to keep [this user's portolan/agent.toml]")
      ->type_name("FILE");
  app.add_option("--state", command.state, "where to remember mappings [this user's]")->type_name("FILE");
  add_socket(app, command.socket);
  add_port(app, "--server-port", command.server_port, "UDP port of PCP servers [5351]");
  app.add_flag("--check-config", command.checks_config, "only say what is wrong with the file");
}

void add_list(CLI::App& app, AskAgentCommand& command) {
  command.request.kind = AgentRequest::Kind::list;
  add_socket(app, command.socket);
  app.add_flag("--json", command.is_json, "print one JSON object a line instead of text");
}

void add_drop(CLI::App& app, AskAgentCommand& command) {
  command.request.kind = AgentRequest::Kind::drop;
  add_name(app, command.request.wish);
  add_socket(app, command.socket);
}

}  // namespace portolan
