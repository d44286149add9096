// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/options.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "portolan/arguments.h"
#include "portolan/doctor_options.h"
#include "portolan/send_options.h"
#include "portolan/wish_options.h"

namespace portolan {
namespace {

using arguments::parse_address;
using arguments::parse_number;
using arguments::parse_port;
using arguments::refuse;

/// Longest wait for an answer that makes sense on a command line.
constexpr std::uint32_t timeout_s_max = 86400;

void add_server_options(CLI::App& app, ServerOptions& options) {
  app.add_option("--server", options.server, "PCP server; the default router unless given")
      ->type_name("NAME|ADDRESS[%ZONE]");
  app.add_option_function<std::string>(
         "--server-port",
         [&options](const std::string& text) {
           options.server_port = Port{static_cast<std::uint16_t>(parse_number(
               "--server-port", text, 1, UINT16_MAX, "is no UDP port: give a number from 1 to 65535"))};
         },
         "UDP port of the server [5351]")
      ->type_name("PORT");
  app.add_option_function<std::string>(
         "--internal-address",
         [&options](const std::string& text) {
           options.internal_address = parse_address("--internal-address", text);
         },
         "address of this host to use; the one its traffic would use unless given")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--timeout",
         [&options](const std::string& text) {
           options.timeout = Seconds{parse_number("--timeout", text, 1, timeout_s_max,
                                                  "is no wait in seconds: give a number from 1 to 86400")};
         },
         "seconds to wait for an answer [10]")
      ->type_name("SECONDS");
  app.add_flag("--json", options.is_json, "print one JSON object on one line instead of text");
}

/// Of commands that show packets as text, too.
void add_asking_options(CLI::App& app, ServerOptions& options) {
  add_server_options(app, options);
  app.add_flag("--verbose", options.is_verbose, "show each packet sent and received, field by field");
}

void add_discover(CLI::App& app, DiscoverCommand& command) {
  app.add_option_function<std::string>(
         "--wait",
         [&command](const std::string& text) {
           command.wait = Seconds{parse_number("--wait", text, 0, timeout_s_max,
                                               "is no wait in seconds: give a number from 0 to 86400")};
         },
         "seconds to listen for router advertisements, which may tell a NAT64 prefix [0]")
      ->type_name("SECONDS");
  app.add_flag_callback(
      "--no-anycast", [&command] { command.uses_anycast = false; },
      "leave the anycast addresses 192.0.0.9 and 2001:1::1 out");
  app.add_flag("--json", command.is_json, "print one JSON object on one line instead of text");
}

void add_studio(CLI::App& app, StudioCommand& command) {
  app.add_option_function<std::string>(
         "--listen",
         [&command](const std::string& text) {
           command.listen_address = parse_address("--listen", text);
           if (command.listen_address == IpAddress{} ||
               command.listen_address == *IpAddress::parse("0.0.0.0"))
             refuse("--listen", text,
                    "stands for all addresses, and studio knows by it who may ask: name one");
         },
         "address of this host to serve the page at [127.0.0.1]")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--port",
         [&command](const std::string& text) {
           command.listen_port = parse_port("--port", text, "is no port: give a number from 0 to 65535");
         },
         "TCP port to serve the page at [any]")
      ->type_name("PORT");
  add_server_options(app, command.common);
}

}  // namespace

auto parse_draft(std::string_view draft, const ServerOptions& common)
    -> std::expected<SendCommand, std::string> {
  auto words = arguments_of_json(draft);
  if (!words) return std::unexpected(words.error());
  CLI::App app("", "draft");
  app.set_help_flag();
  SendCommand command;
  add_send(app, command);
  add_asking_options(app, command.common);
  command.common = common;
  try {
    std::ranges::reverse(*words);
    app.parse(*std::move(words));
    check_combination(app, command);
  } catch (const CLI::ParseError& error) {
    return std::unexpected(error.what());
  }
  if (!command.capture.empty() || !command.sequence.empty())
    return std::unexpected("--pcap and --sequence are for command lines: a draft names no files");
  if (command.repeat != 1 || command.fuzz_seed)
    return std::unexpected("--repeat and --fuzz are for command lines: a draft is one packet");
  return command;
}

auto parse_command_line(std::span<const char* const> arguments) -> std::expected<Command, Exit> {
  CLI::App app("Port Control Protocol client: asks the router for external ports (RFC 6887).", "portolan");
  app.set_version_flag("--version", "portolan " PORTOLAN_VERSION);
  app.require_subcommand(0, 1);
  app.footer("portolan COMMAND --help tells more; exit status: 0 done, 1 refused, 2 usage, 3 no answer.");

  MapCommand map;
  CLI::App& map_app = *app.add_subcommand("map", "make a port of this host reachable from outside");
  add_map(map_app, map);
  add_asking_options(map_app, map.common);
  MapCommand peer;
  CLI::App& peer_app =
      *app.add_subcommand("peer", "tell how a connection of this host looks from outside, and keep it open");
  add_peer(peer_app, peer);
  add_asking_options(peer_app, peer.common);
  AnnounceCommand announce;
  CLI::App& announce_app = *app.add_subcommand("announce", "ask whether the PCP server is there");
  add_asking_options(announce_app, announce.common);
  DiscoverCommand discover;
  CLI::App& discover_app =
      *app.add_subcommand("discover", "show which PCP servers would be asked, and the NAT64 prefix");
  add_discover(discover_app, discover);
  AgentCommand agent;
  CLI::App& agent_app =
      *app.add_subcommand("agent", "keep mappings alive, those of a file and those asked for");
  add_agent(agent_app, agent);
  AskAgentCommand list;
  CLI::App& list_app = *app.add_subcommand("list", "show what the agent keeps");
  add_list(list_app, list);
  AskAgentCommand drop;
  CLI::App& drop_app = *app.add_subcommand("drop", "have the agent let go of a mapping");
  add_drop(drop_app, drop);
  RunCommand run;
  CLI::App& run_app = *app.add_subcommand("run", "start a program whose sockets get mappings");
  add_run(run_app, run);
  DoctorCommand doctor;
  CLI::App& doctor_app =
      *app.add_subcommand("doctor", "look for what keeps connections from this host, and say what to do");
  add_doctor(doctor_app, doctor);
  DecodeCommand decode;
  CLI::App& decode_app = *app.add_subcommand("decode", "show the fields of PCP packets");
  add_decode(decode_app, decode);
  SendCommand send;
  CLI::App& send_app = *app.add_subcommand("send", "compose a PCP packet, well-formed or not, and send it");
  add_send(send_app, send);
  add_asking_options(send_app, send.common);
  StudioCommand studio;
  CLI::App& studio_app =
      *app.add_subcommand("studio", "compose, send and look at PCP packets on a web page of this host");
  add_studio(studio_app, studio);

  try {
    std::vector<std::string> words(arguments.begin(), arguments.end());
    if (!words.empty() && words.front() == send_app.get_name()) {
      auto drafted = with_draft({words.begin() + 1, words.end()});
      if (!drafted)
        return std::unexpected(
            Exit{.status = exit_usage, .text = fmt::format("portolan: {}\n", drafted.error())});
      words = *std::move(drafted);
      words.insert(words.begin(), send_app.get_name());
    }
    if (!words.empty() && words.front() == run_app.get_name()) run.arguments = take_program(words);
    // What is wrong is told by what is missing.
    run_app.allow_extras(run.arguments.empty());
    // CLI11 takes the arguments from the back.
    std::ranges::reverse(words);
    app.parse(std::move(words));
    for (const auto& [parsed_app, command] : {std::pair(&map_app, &map), std::pair(&peer_app, &peer)}) {
      if (!parsed_app->parsed()) continue;
      check_combination(*command);
      return *command;
    }
    if (announce_app.parsed()) return announce;
    if (discover_app.parsed()) return discover;
    if (agent_app.parsed()) return agent;
    if (list_app.parsed()) return list;
    if (drop_app.parsed()) return drop;
    if (run_app.parsed()) {
      check_combination(run, run_app.remaining());
      return run;
    }
    if (doctor_app.parsed()) {
      check_combination(doctor);
      return doctor;
    }
    if (decode_app.parsed()) {
      check_combination(decode);
      return decode;
    }
    if (send_app.parsed()) {
      check_combination(send_app, send);
      return send;
    }
    if (studio_app.parsed()) return studio;
    return std::unexpected(Exit{.status = exit_success, .text = app.help()});
  } catch (const CLI::CallForVersion&) {
    return std::unexpected(Exit{.status = exit_success, .text = app.version() + "\n"});
  } catch (const CLI::CallForHelp&) {
    return std::unexpected(Exit{.status = exit_success, .text = app.help()});
  } catch (const CLI::ParseError& error) {
    const std::string command =
        app.get_subcommands().empty() ? "" : app.get_subcommands().front()->get_name() + " ";
    return std::unexpected(
        Exit{.status = exit_usage,
             .text = fmt::format("portolan: {}\nTry: portolan {}--help\n", error.what(), command)});
  }
}

}  // namespace portolan
