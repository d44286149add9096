// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/lines.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "io/host_addresses.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

auto passed(Traffic::Kind kind, const Endpoint& source, const Endpoint& destination,
            std::span<const std::byte> payload) -> Traffic {
  return {.kind = kind,
          .time = io::monotonic_now(),
          .wall_time = io::wall_now(),
          .source = source,
          .destination = destination,
          .payload = {payload.begin(), payload.end()}};
}

auto server_of(const ServerChoice& choice) -> Endpoint {
  return {.address = choice.server.address, .port = choice.port};
}

}  // namespace

auto to_string(Traffic::Kind kind) -> std::string_view {
  switch (kind) {
    case Traffic::Kind::sent: return "sent";
    case Traffic::Kind::received: return "received";
    case Traffic::Kind::announced: return "announced";
  }
  return "unknown";
}

auto trouble_text(const io::SystemError& error) -> std::string {
  if (error.number == ECONNREFUSED) return "nothing listens there: is the server running?";
  return to_string(error);
}

Lines::Lines(io::EventLoop& loop, LineHandlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}

auto Lines::to(const ServerOptions& options, Port source_port) -> std::expected<Line*, Exit> {
  auto choice = choose_server(options);
  if (!choice) return std::unexpected(choice.error());
  const auto known = std::ranges::find_if(lines_, [&](const Line& line) {
    return server_of(line.choice) == server_of(*choice) &&
           line.choice.server.interface_index == choice->server.interface_index &&
           line.choice.client_address == choice->client_address &&
           (source_port == Port{} || line.socket.local_endpoint().port == source_port);
  });
  if (known != lines_.end()) return &*known;
  io::UdpOptions socket_options;
  socket_options.bind_address = choice->client_address;
  socket_options.bind_port = source_port;
  socket_options.scope_id = choice->server.interface_index;
  auto socket = io::UdpSocket::open(socket_options);
  if (!socket)
    return std::unexpected(Exit{
        .status = exit_usage,
        .text = fmt::format("{}: give --internal-address and --source-port of this host", socket.error())});
  if (const auto connected = socket->connect(server_of(*choice), choice->server.interface_index); !connected)
    return std::unexpected(Exit{.status = exit_no_answer, .text = connected.error()});
  if (lines_.size() == lines_max) lines_.pop_front();
  Line& line =
      lines_.emplace_back(Line{.choice = *std::move(choice), .socket = *std::move(socket), .readable = {}});
  line.readable = loop_.on_readable(line.socket.descriptor(), [this, &line] { receive(line); });
  return &line;
}

auto Lines::send(Line& line, std::span<const std::byte> message) const
    -> std::expected<Traffic, std::string> {
  const io::SendResult result = line.socket.send({.destination = server_of(line.choice),
                                                  .scope_id = line.choice.server.interface_index,
                                                  .local_address = {},
                                                  .interface_index = 0,
                                                  .payload = message});
  if (result.sent == 0)
    return std::unexpected(
        fmt::format("{}: {} octets cannot be sent: {}", line.choice.endpoint_text(), message.size(),
                    result.error ? to_string(*result.error) : "the socket's buffer is full"));
  auto traffic = passed(Traffic::Kind::sent, line.socket.local_endpoint(), server_of(line.choice), message);
  handlers_.passed(traffic);
  return traffic;
}

auto Lines::hear_announcements() -> std::expected<void, std::string> {
  io::UdpOptions options;
  options.bind_port = Port{wire::client_port};
  options.shares_port = true;
  auto socket = io::UdpSocket::open(options);
  if (!socket) return std::unexpected(socket.error());
  const auto interfaces = io::named_interfaces();
  if (!interfaces) return std::unexpected(interfaces.error());
  // An interface may have one family only, or be down: what can be heard is.
  for (const io::NamedInterface& interface : *interfaces)
    for (const auto* group : {"224.0.0.1", "ff02::1"})
      static_cast<void>(socket->join(*IpAddress::parse(group), interface.index));
  announcements_.emplace(*std::move(socket));
  announced_ = loop_.on_readable(announcements_->descriptor(), [this] { receive_announcements(); });
  return {};
}

void Lines::receive(Line& line) const {
  const auto datagrams = line.socket.receive();
  if (!datagrams) return handlers_.troubled(server_of(line.choice), trouble_text(datagrams.error()));
  // What is heard may make lines, and so end this one.
  std::vector<Traffic> heard;
  for (const io::ReceivedDatagram& datagram : *datagrams)
    heard.push_back(
        passed(Traffic::Kind::received, datagram.source, line.socket.local_endpoint(), datagram.payload));
  for (const Traffic& traffic : heard) handlers_.passed(traffic);
}

void Lines::receive_announcements() {
  const auto datagrams = announcements_->receive();
  if (!datagrams) return;
  for (const io::ReceivedDatagram& datagram : *datagrams)
    handlers_.passed(passed(Traffic::Kind::announced, datagram.source,
                            {.address = datagram.local_address, .port = Port{wire::client_port}},
                            datagram.payload));
}

}  // namespace portolan
