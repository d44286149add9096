// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan decode`: packets field by field.
#include <chrono>
#include <cstdio>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/capture/capture_file.h"
#include "portolan/commands.h"
#include "portolan/dissection_report.h"
#include "wire/describe.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

/// Whether a packet with such ports is between a client and a server.
auto is_pcp(const io::CapturedDatagram& datagram, Port server_port) -> bool {
  const auto is_one = [&](Port port) { return port == server_port || port.value == wire::client_port; };
  return is_one(datagram.source.port) || is_one(datagram.destination.port);
}

/// "2026-11-26 19:00:00.123456 UTC".
auto time_text(Nanoseconds wall_time) -> std::string {
  const auto seconds = std::chrono::duration_cast<Seconds>(wall_time);
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(wall_time - seconds);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:06} UTC", fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                     microseconds.count());
}

auto text_of(std::span<const std::byte> datagram, const DecodeCommand& command, std::size_t indent)
    -> std::string {
  return command.shows_octets ? octets_table(datagram, indent) : wire::describe(datagram, indent);
}

void show(const io::CapturedDatagram& datagram, const DecodeCommand& command) {
  if (command.is_json) {
    nlohmann::ordered_json json{{"time", time_text(datagram.wall_time)},
                                {"source", to_string(datagram.source)},
                                {"destination", to_string(datagram.destination)},
                                {"is-cut", datagram.is_cut}};
    json.update(dissection_json(datagram.payload));
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print("{} {} > {}{}:\n{}", time_text(datagram.wall_time), datagram.source, datagram.destination,
             datagram.is_cut ? ", cut off by the capture" : "", text_of(datagram.payload, command, 2));
}

auto decode_capture(const DecodeCommand& command) -> int {
  auto reader = io::CaptureReader::open(command.capture);
  const auto fail = [](const std::string& error) {
    fmt::print(stderr, "portolan: --pcap {}\n", error);
    return exit_usage;
  };
  if (!reader) return fail(reader.error());
  std::size_t shown = 0;
  for (;;) {
    const auto datagram = reader->next();
    if (!datagram) return fail(datagram.error());
    if (!*datagram) break;
    if (!is_pcp(**datagram, command.server_port)) continue;
    show(**datagram, command);
    ++shown;
  }
  if (shown == 0)
    fmt::print(stderr, "portolan: --pcap {}: no UDP packet of port {} or {} is in it\n", command.capture,
               wire::client_port, command.server_port);
  return exit_success;
}

}  // namespace

auto run_decode(const DecodeCommand& command) -> int {
  if (!command.datagram) return decode_capture(command);
  if (command.is_json)
    fmt::print("{}\n", dissection_json(*command.datagram).dump());
  else
    fmt::print("{}", text_of(*command.datagram, command, 0));
  return exit_success;
}

}  // namespace portolan
