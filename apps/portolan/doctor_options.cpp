// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_options.h"

#include <algorithm>
#include <string_view>

#include <CLI/CLI.hpp>

#include "portolan/arguments.h"

namespace portolan {
namespace {

/// Longest wait for servers, and for advertisements, that makes sense here.
constexpr std::uint32_t wait_s_max = 600;
/// As names go (RFC 1035 s2.3.4).
constexpr std::size_t host_octets_max = 255;

void add_seconds(CLI::App& app, const std::string& name, const std::string& help, std::uint32_t minimum,
                 Seconds& seconds) {
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow a std::function.
  app.add_option_function<std::string>(
         name,
         [name, minimum, &seconds](const std::string& text) {
           seconds = Seconds{arguments::parse_number(
               name, text, minimum, wait_s_max,
               "is no wait in seconds: give a number up to " + std::to_string(wait_s_max))};
         },
         help)
      ->type_name("SECONDS");
}

}  // namespace

auto parse_host_and_port(const std::string& argument, const std::string& text) -> HostAndPort {
  const std::size_t colon = text.rfind(':');
  std::string host = text.substr(0, colon);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  const bool is_ambiguous = !is_bracketed && host.find(':') != std::string::npos;
  if (colon == std::string::npos || host.empty() || host.size() > host_octets_max || is_ambiguous)
    arguments::refuse(argument, text,
                      "names no host and port: give 192.0.2.10:7000, [2001:db8::10]:7000 or NAME:7000");
  const auto port = arguments::parse_number(argument, text.substr(colon + 1), 1, UINT16_MAX,
                                            "is no TCP port: give a number from 1 to 65535");
  return {.host = std::move(host), .port = Port{static_cast<std::uint16_t>(port)}};
}

void add_doctor(CLI::App& app, DoctorCommand& command) {
  app.add_option("--server", command.server, "PCP server to look at; all that are found unless given")
      ->type_name("NAME|ADDRESS[%ZONE]");
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow a std::function.
  app.add_option_function<std::string>(
         "--server-port",
         [&command](const std::string& text) {
           command.server_port = Port{static_cast<std::uint16_t>(arguments::parse_number(
               "--server-port", text, 1, UINT16_MAX, "is no UDP port: give a number from 1 to 65535"))};
         },
         "UDP port of the servers [5351]")
      ->type_name("PORT");
  add_seconds(app, "--timeout", "seconds to wait for servers [4]", 1, command.timeout);
  add_seconds(app, "--wait", "seconds to listen for router advertisements, which may tell a NAT64 prefix [0]",
              0, command.wait);
  app.add_flag_callback(
      "--no-anycast", [&command] { command.uses_anycast = false; },
      "leave the anycast addresses 192.0.0.9 and 2001:1::1 out");
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow a std::function.
  app.add_option_function<std::string>(
         "--probe-from",
         [&command](const std::string& text) { command.helper = parse_host_and_port("--probe-from", text); },
         "helper outside that tries to connect to this host")
      ->type_name("HOST:PORT");
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow a std::function.
  app.add_option_function<std::string>(
         "--listen-helper",
         [&command](const std::string& text) {
           const bool is_port = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
           command.listens = parse_host_and_port("--listen-helper", is_port ? "[::]:" + text : text);
           if (!IpAddress::parse(command.listens->host))
             arguments::refuse("--listen-helper", text, "is no address: give PORT or ADDRESS:PORT");
         },
         "be such a helper for others, until Ctrl-C")
      ->type_name("[ADDRESS:]PORT");
  app.add_flag("--json", command.is_json, "print one JSON object on one line instead of text");
}

void check_combination(const DoctorCommand& command) {
  if (command.listens && command.helper)
    throw CLI::ValidationError("--listen-helper",
                               "and --probe-from contradict each other: one is for the host outside");
  if (command.listens && (!command.server.empty() || command.is_json))
    throw CLI::ValidationError("--listen-helper", "looks at nothing itself: leave the other options out");
}

}  // namespace portolan
