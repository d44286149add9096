// SPDX-License-Identifier: BSD-2-Clause
#include "library/runtime.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "wire/protocol.h"

namespace portolan::library {
namespace {

/// Datagrams taken from a socket at a time.
constexpr std::size_t receive_at_once = 16;

auto options_for(const IpAddress& bind_address) -> io::UdpOptions {
  io::UdpOptions options;
  options.bind_address = bind_address;
  options.receive_max = receive_at_once;
  return options;
}

/// The address the kernel would use towards `destination`; nothing is sent.
auto source_towards(const IpAddress& destination, std::uint32_t scope_id, const std::string& device)
    -> std::optional<IpAddress> {
  io::UdpOptions options = options_for(IpAddress::unspecified(destination.family()));
  options.device = device;
  auto socket = io::UdpSocket::open(options);
  if (!socket || !socket->connect({.address = destination, .port = Port{wire::server_port}}, scope_id))
    return {};
  return socket->local_endpoint().address;
}

/// Towards a link-local server that is the address towards the rest of the world: a mapping to a link-local
/// address would reach nobody (RFC 6887 s8.4). Any global destination stands for that world.
auto client_address_for(const ServerAddress& server, std::uint32_t scope_id) -> std::optional<IpAddress> {
  if (!server.endpoint.address.is_link_local()) return source_towards(server.endpoint.address, scope_id, {});
  const auto source = source_towards(*IpAddress::parse("2001:db8::1"), 0, server.zone);
  if (!source || source->is_link_local()) return {};
  return source;
}

/// Groups of restart announcements (RFC 6887 s14.1.1).
auto announcement_group(Family family) -> IpAddress {
  return *IpAddress::parse(family == Family::ipv4 ? "224.0.0.1" : "ff02::1");
}

auto is_same_way(const client::Path& left, const client::Path& right) -> bool {
  return left.server == right.server && left.interface_index == right.interface_index &&
         left.client_address == right.client_address;
}

}  // namespace

auto Runtime::open(client::Speech speech) -> std::expected<std::unique_ptr<Runtime>, std::string> {
  auto poll = io::PollSet::open();
  if (!poll) return std::unexpected(to_string(poll.error()));
  // Without word of changes the client goes on with what it has.
  std::optional<io::plain::HostNews> news;
  if (auto opened = io::plain::HostNews::open())
    if (!poll->add(opened->descriptor())) news = std::move(*opened);
  return std::unique_ptr<Runtime>(new Runtime(speech, std::move(*poll), std::move(news)));
}

Runtime::Runtime(client::Speech speech, io::PollSet poll, std::optional<io::plain::HostNews> news)
    : poll_(std::move(poll)),
      news_(std::move(news)),
      engine_({.speech = speech, .retransmission = {}}, random_) {}

auto Runtime::use_servers(const std::vector<std::string>& servers) -> std::expected<void, std::string> {
  if (servers.size() > client::servers_max)
    return std::unexpected("there are more than " + std::to_string(client::servers_max) + " servers");
  std::vector<NamedServer> named;
  for (const std::string& text : servers) {
    auto addresses = parse_server(text);
    if (!addresses) return std::unexpected(addresses.error());
    const auto is_known = [&text](const NamedServer& server) { return server.name == text; };
    if (std::ranges::none_of(named, is_known))
      named.push_back({.name = text, .addresses = std::move(*addresses)});
  }
  named_ = std::move(named);
  find_servers();
  return {};
}

void Runtime::find_servers() {
  std::vector<NamedServer> wanted = named_;
  if (wanted.empty()) {
    if (const auto routers = io::plain::default_routers())
      for (const io::Router& router : *routers) {
        const std::string zone = router.address.is_link_local() ? router.interface : "";
        wanted.push_back(
            {.name = to_string(router.address) + "%" + router.interface,
             .addresses = {{.endpoint = {router.address, Port{wire::server_port}}, .zone = zone}}});
      }
  }
  std::vector<client::Server> servers;
  for (const NamedServer& server : wanted) {
    client::Server found{.name = server.name, .paths = {}};
    for (const ServerAddress& address : server.addresses) {
      const std::uint32_t index = address.zone.empty() ? 0 : io::plain::interface_index(address.zone);
      if (!address.zone.empty() && index == 0) continue;
      if (const auto source = client_address_for(address, index))
        found.paths.push_back(
            {.server = address.endpoint, .interface_index = index, .client_address = *source});
    }
    if (!found.paths.empty()) servers.push_back(std::move(found));
  }
  engine_.set_servers(io::monotonic_now(), servers);
  carry_out();
}

void Runtime::step(std::optional<Nanoseconds> timeout) {
  const io::PollSet::Ready ready = poll_.wait(timeout);
  const auto is_ready = [&ready](int descriptor) {
    return std::ranges::find(ready.readable, descriptor) != ready.readable.end();
  };
  // Receiving may close sockets and open others: descriptors are looked up one by one.
  for (const int descriptor : ready.readable) {
    const auto found = std::ranges::find_if(sockets_, [descriptor](const PathSocket& socket) {
      return socket.socket.descriptor() == descriptor;
    });
    if (found != sockets_.end()) receive(*found);
  }
  for (auto& [family, listener] : listeners_)
    if (is_ready(listener.socket.descriptor())) receive_announcements(listener);
  if (news_ && is_ready(news_->descriptor()) && news_->take()) find_servers();
  engine_.advance(io::monotonic_now());
  carry_out();
}

void Runtime::receive(PathSocket& from) {
  const client::Path path = from.path;
  const auto datagrams = from.socket.receive();
  const TimePoint now = io::monotonic_now();
  if (!datagrams) {
    const int number = datagrams.error().number;
    if (number == ECONNREFUSED || number == EHOSTUNREACH || number == ENETUNREACH || number == EACCES)
      engine_.unreachable(now, path);
    return;
  }
  std::uint32_t interface_index = 0;
  for (const io::ReceivedDatagram& datagram : *datagrams) {
    const client::Reception reception = engine_.receive(now, path.client_address, datagram.interface_index,
                                                        datagram.source, datagram.payload);
    if (reception == client::Reception::accepted) interface_index = datagram.interface_index;
  }
  // Now it is known by which interface the server comes.
  if (interface_index != 0) hear(path.server.address.family(), interface_index);
}

void Runtime::receive_announcements(Listener& listener) {
  const auto datagrams = listener.socket.receive();
  if (!datagrams) return;
  for (const io::ReceivedDatagram& datagram : *datagrams)
    engine_.receive(io::monotonic_now(), std::nullopt, datagram.interface_index, datagram.source,
                    datagram.payload);
}

void Runtime::hear(Family family, std::uint32_t interface_index) {
  auto found = listeners_.find(family);
  if (found == listeners_.end()) {
    io::UdpOptions options = options_for(IpAddress::unspecified(family));
    options.bind_port = Port{wire::client_port};
    options.shares_port = true;
    auto socket = io::UdpSocket::open(options);
    // Announcements only speed up recovery, which comes with the next renewal at the latest.
    if (!socket || poll_.add(socket->descriptor())) return;
    found = listeners_.emplace(family, Listener{.socket = std::move(*socket), .joined = {}}).first;
  }
  auto& joined = found->second.joined;
  if (std::ranges::find(joined, interface_index) != joined.end()) return;
  if (found->second.socket.join(announcement_group(family), interface_index))
    joined.push_back(interface_index);
}

void Runtime::carry_out() {
  client::ClientActions actions = engine_.take_actions();
  match_sockets();
  for (const client::ClientSend& datagram : actions.send) send(datagram);
  std::ranges::move(actions.events, std::back_inserter(events_));
  poll_.arm(engine_.next_deadline());
}

void Runtime::match_sockets() {
  const auto paths = engine_.paths();
  std::erase_if(sockets_, [&paths](const PathSocket& socket) {
    return std::ranges::none_of(
        paths, [&socket](const client::Path& path) { return is_same_way(path, socket.path); });
  });
  for (const client::Path& path : paths) {
    const auto serves = [&path](const PathSocket& socket) { return is_same_way(path, socket.path); };
    if (std::ranges::any_of(sockets_, serves)) continue;
    auto socket = io::UdpSocket::open(options_for(path.client_address));
    // An address that is gone: word of it is under way.
    if (!socket || !socket->connect(path.server, path.interface_index) || poll_.add(socket->descriptor()))
      continue;
    sockets_.push_back({.path = path, .socket = std::move(*socket)});
  }
}

void Runtime::send(const client::ClientSend& send) {
  const auto found = std::ranges::find_if(
      sockets_, [&send](const PathSocket& socket) { return is_same_way(send.path, socket.path); });
  if (found == sockets_.end()) return;
  // What is not sent is sent again.
  static_cast<void>(found->socket.send({.destination = send.path.server,
                                        .scope_id = send.path.interface_index,
                                        .local_address = {},
                                        .interface_index = 0,
                                        .payload = send.datagram.octets()}));
}

}  // namespace portolan::library
