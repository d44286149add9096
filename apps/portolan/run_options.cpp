// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/run_options.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <system_error>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client/servers.h"
#include "portolan/agent_config.h"
#include "portolan/agent_options.h"
#include "portolan/arguments.h"

namespace portolan {
namespace {

using arguments::parse_number;
using arguments::refuse;

void add_lifetime(CLI::App& app, Seconds& lifetime) {
  app.add_option_function<std::string>(
         "--lifetime",
         [&lifetime](const std::string& text) {
           lifetime = Seconds{parse_number("--lifetime", text,
                                           static_cast<std::uint32_t>(agent_lifetime_min.count()),
                                           static_cast<std::uint32_t>(agent_lifetime_max.count()),
                                           "is no lifetime: give seconds from 120 to 86400")};
         },
         "seconds to ask for, again and again [7200]")
      ->type_name("SECONDS");
}

/// "tcp:8080", for either family.
void add_exposed(const std::string& text, std::vector<NeededMapping>& exposed) {
  const auto protocol = text.substr(0, text.find(':'));
  const auto digits = std::string_view(text).substr(std::min(text.size(), protocol.size() + 1));
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool is_port = error == std::errc{} && end == digits.data() + digits.size() && port != 0;
  if (!is_port || (protocol != "tcp" && protocol != "udp"))
    refuse("--expose", text, "is no port of a protocol: give one such as tcp:8080 or udp:5060");
  if (exposed.size() >= 2 * exposed_max) refuse("--expose", text, "is one too many: there are at most 32");
  for (const Family family : {Family::ipv6, Family::ipv4})
    exposed.push_back({.protocol = protocol == "tcp" ? Protocol::tcp : Protocol::udp,
                       .port = Port{port},
                       .address = IpAddress::unspecified(family)});
}

}  // namespace

auto take_program(std::vector<std::string>& words) -> std::vector<std::string> {
  const auto mark = std::ranges::find(words, "--");
  if (mark == words.end()) return {};
  std::vector<std::string> program(mark + 1, words.end());
  words.erase(mark, words.end());
  return program;
}

void check_combination(const RunCommand& command, const std::vector<std::string>& rest) {
  if (!command.arguments.empty()) return;
  if (rest.empty()) throw CLI::RequiredError("COMMAND, the program to start, with -- before it,");
  if (rest.front().starts_with('-')) throw CLI::ExtrasError(rest);
  throw CLI::ArgumentMismatch(
      fmt::format("put -- before the program: portolan run -- {}", fmt::join(rest, " ")));
}

void add_run(CLI::App& app, RunCommand& command) {
  command.state = state_place("/portolan");
  app.add_option("--server", command.keeper.servers, "PCP server; those found unless given")
      ->type_name("NAME|ADDRESS[%ZONE]")
      ->expected(1, static_cast<int>(client::servers_max))
      ->allow_extra_args(false);
  add_port(app, "--server-port", command.keeper.server_port, "UDP port of the server [5351]");
  add_lifetime(app, command.lifetime);
  add_external(app, [&command](Family family) { command.external = family; });
  app.add_option_function<std::vector<std::string>>(
         "--expose",
         [&command](const std::vector<std::string>& texts) {
           for (const std::string& text : texts) add_exposed(text, command.exposed);
         },
         "map this port before the program starts, and tell it by PORTOLAN_PROTOCOL_PORT=ADDRESS:PORT")
      ->type_name("PROTOCOL:PORT")
      ->allow_extra_args(false);
  app.add_option_function<std::string>(
         "--timeout",
         [&command](const std::string& text) {
           command.patience = Seconds{parse_number("--timeout", text, 1, 86400,
                                                   "is no wait in seconds: give a number from 1 to 86400")};
         },
         "seconds to wait for what --expose names [10]")
      ->type_name("SECONDS");
  app.add_option("--hook", command.hook, "program to start when a mapping comes, moves or goes")
      ->type_name("PROGRAM");
  app.footer("Behind -- stand the program and its arguments: portolan run -- COMMAND ...");
}

}  // namespace portolan
