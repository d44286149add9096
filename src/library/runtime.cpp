// SPDX-License-Identifier: BSD-2-Clause
#include "library/runtime.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string_view>
#include <utility>

#include "wire/protocol.h"

namespace portolan::library {
namespace {

/// Datagrams taken from a socket at a time.
constexpr std::size_t receive_at_once = 16;

/// The DNS is asked again after this if no server answered, if there was no prefix, and never sooner after an
/// answer.
constexpr Seconds unanswered_pause{60};
/// Where the kernel could not be asked what this host has, for want of descriptors, say.
constexpr Seconds look_pause{3};
/// Changes of the network come in bursts.
constexpr Seconds settle_time{1};
constexpr Seconds without_prefix_pause = std::chrono::hours{1};
constexpr Seconds answered_pause_min{60};

auto options_for(const IpAddress& bind_address) -> io::UdpOptions {
  io::UdpOptions options;
  options.bind_address = bind_address;
  options.receive_max = receive_at_once;
  return options;
}

}  // namespace

auto Runtime::open(client::Speech speech, bool uses_anycast)
    -> std::expected<std::unique_ptr<Runtime>, std::string> {
  auto poll = io::PollSet::open();
  if (!poll) return std::unexpected(to_string(poll.error()));
  // Without word of changes the client goes on with what it has.
  std::optional<io::NetworkWatch> watch;
  if (auto opened = io::NetworkWatch::open(io::Advertisements::heard))
    if (!poll->add(opened->descriptor())) watch = std::move(*opened);
  return std::unique_ptr<Runtime>(new Runtime(speech, uses_anycast, std::move(*poll), std::move(watch)));
}

Runtime::Runtime(client::Speech speech, bool uses_anycast, io::PollSet poll,
                 std::optional<io::NetworkWatch> watch)
    : poll_(std::move(poll)),
      watch_(std::move(watch)),
      uses_anycast_(uses_anycast),
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

/// Their addresses are tried in the order in which the program named them.
auto Runtime::named_servers(const discovery::View& view) const -> std::vector<client::Server> {
  std::vector<client::Server> servers;
  std::vector<std::string> remarks;  // portolan discover shows such to people
  for (const NamedServer& server : named_) {
    client::Server made{.name = server.name, .paths = {}};
    for (const auto& [endpoint, zone] : server.addresses) {
      const auto interface = std::ranges::find(view.interfaces, zone, &discovery::InterfaceName::name);
      if (!zone.empty() && interface == view.interfaces.end()) continue;
      const discovery::Server single{.origin = discovery::Origin::told,
                                     .interface = zone.empty() ? discovery::InterfaceName{} : *interface,
                                     .addresses = {endpoint.address}};
      for (const discovery::Way& way : discovery::ways_to(single, view, remarks))
        made.paths.push_back(way.path(endpoint.port));
    }
    if (made.paths.empty()) continue;
    discovery::add_other_paths(view, made);
    servers.push_back(std::move(made));
  }
  return servers;
}

void Runtime::find_servers() {
  auto view = named_.empty() ? discovery::look_around() : discovery::look_at_addresses();
  if (!view) {
    // What was known is no worse for it.
    look_again_ = io::monotonic_now() + look_pause;
    return poll_.arm(next_deadline());
  }
  look_again_.reset();
  view->findings.uses_anycast = uses_anycast_;
  const auto servers = named_.empty()
                           ? discovery::client_servers(*view, Port{wire::server_port}, view->remarks)
                           : named_servers(*view);
  engine_.set_servers(io::monotonic_now(), servers);
  hear(servers, view->findings.host_addresses);
  carry_out();
}

/// On the links that the paths' addresses are on. A server may announce itself that has not answered yet.
void Runtime::hear(const std::vector<client::Server>& servers, const std::vector<HostAddress>& addresses) {
  for (const client::Server& server : servers)
    for (const client::Path& path : server.paths) {
      const auto found = std::ranges::find(addresses, path.client_address, &HostAddress::address);
      if (found != addresses.end()) hear(path.server.address.family(), found->interface_index);
    }
}

void Runtime::take_news() {
  const io::NetworkNews news = watch_->take();
  for (const std::uint32_t interface_index : news.left)
    prefixes_.forget(discovery::PrefixSource::router_advertisement, interface_index);
  for (const io::AdvertisedOptions& options : news.advertised)
    for (const discovery::Pref64& learned : discovery::parse_pref64_options(options.octets))
      prefixes_.learn(io::monotonic_now(), discovery::PrefixSource::router_advertisement,
                      options.interface_index, learned);
  if (!news.has_changed) return;
  find_servers();
  // Another network may have another DNS64; a question under way goes the old way.
  question_.reset();
  ask_again_ = io::monotonic_now() + settle_time;
}

void Runtime::ask_dns() {
  if (std::exchange(asks_dns_, true)) return;
  begin_question();
  poll_.arm(next_deadline());
}

void Runtime::begin_question() {
  question_.reset();
  auto question = io::DnsQuestion::ask(std::string(discovery::ipv4only_name), io::monotonic_now());
  if (!question) return take_answer(std::unexpected(question.error()));
  question_ = std::move(*question);
  watch_question();
}

void Runtime::watch_question() {
  // Without being watched, the deadline looks at it.
  static_cast<void>(poll_.add(question_->descriptor()));
}

void Runtime::proceed_question() {
  const auto answer = question_->proceed(io::monotonic_now());
  if (!answer) return watch_question();
  question_.reset();
  take_answer(*answer);
}

void Runtime::take_answer(const io::DnsQuestion::Answer& answer) {
  const TimePoint now = io::monotonic_now();
  if (!answer) {
    // What was known holds for as long as it was said to.
    ask_again_ = now + unanswered_pause;
    return;
  }
  prefixes_.forget(discovery::PrefixSource::dns, 0);
  const auto found = discovery::prefixes_of_answers(answer->addresses);
  const Seconds lifetime = std::max(answer->time_to_live, answered_pause_min);
  // Until the next answer has had its time.
  for (const Prefix& prefix : found)
    prefixes_.learn(now, discovery::PrefixSource::dns, 0,
                    {.prefix = prefix, .lifetime = lifetime + unanswered_pause});
  ask_again_ = now + (found.empty() ? without_prefix_pause : lifetime);
}

void Runtime::tell_prefixes() {
  std::vector<Prefix> prefixes;
  std::string_view source = to_string(discovery::PrefixSource::dns);
  for (const auto& entry : network_prefixes()) {
    prefixes.push_back(entry.prefix);
    source = to_string(entry.source);
  }
  if (prefixes == told_prefixes_) return;
  told_prefixes_ = prefixes;
  client::Nat64PrefixesLearned learned;
  for (const Prefix& prefix : prefixes) learned.prefixes.push_back({.prefix = prefix, .ipv4_prefixes = {}});
  events_.push_back({.wish = {}, .server = std::string(source), .path = {}, .event = std::move(learned)});
}

auto Runtime::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next = engine_.next_deadline();
  const auto consider = [&next](std::optional<TimePoint> when) {
    if (when) next = next ? std::min(*next, *when) : when;
  };
  consider(prefixes_.next_deadline());
  consider(look_again_);
  if (question_)
    consider(question_->deadline());
  else if (asks_dns_)
    consider(ask_again_);
  return next;
}

auto Runtime::network_prefixes() const -> std::vector<discovery::Nat64Prefixes::Entry> {
  discovery::Nat64Prefixes prefixes = prefixes_;
  prefixes.advance(io::monotonic_now());
  return prefixes.in_use();
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
  if (watch_ && is_ready(watch_->descriptor())) take_news();
  const TimePoint now = io::monotonic_now();
  if (look_again_ && now >= *look_again_) find_servers();
  if (question_ && (is_ready(question_->descriptor()) || now >= question_->deadline()))
    proceed_question();
  else if (!question_ && asks_dns_ && ask_again_ && now >= *ask_again_)
    begin_question();
  prefixes_.advance(now);
  tell_prefixes();
  engine_.advance(now);
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
  for (const io::ReceivedDatagram& datagram : *datagrams) {
    if (observer_)
      observer_(
          {.local = from.socket.local_endpoint(), .remote = datagram.source, .octets = datagram.payload});
    engine_.receive(now, path.client_address, datagram.interface_index, datagram.source, datagram.payload);
  }
}

void Runtime::receive_announcements(Listener& listener) {
  const auto datagrams = listener.socket.receive();
  if (!datagrams) return;
  for (const io::ReceivedDatagram& datagram : *datagrams) {
    if (observer_)
      observer_({.local = {.address = datagram.local_address, .port = Port{wire::client_port}},
                 .remote = datagram.source,
                 .octets = datagram.payload});
    engine_.receive(io::monotonic_now(), std::nullopt, datagram.interface_index, datagram.source,
                    datagram.payload);
  }
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
  if (found->second.socket.join(client::announcement_group(family), interface_index))
    joined.push_back(interface_index);
}

void Runtime::carry_out() {
  client::ClientActions actions = engine_.take_actions();
  match_sockets();
  for (const client::ClientSend& datagram : actions.send) send(datagram);
  std::ranges::move(actions.events, std::back_inserter(events_));
  poll_.arm(next_deadline());
}

void Runtime::match_sockets() {
  const auto paths = engine_.paths();
  std::erase_if(sockets_, [&paths](const PathSocket& socket) {
    return std::ranges::none_of(
        paths, [&socket](const client::Path& path) { return client::is_same_way(path, socket.path); });
  });
  for (const client::Path& path : paths) {
    const auto serves = [&path](const PathSocket& socket) { return client::is_same_way(path, socket.path); };
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
      sockets_, [&send](const PathSocket& socket) { return client::is_same_way(send.path, socket.path); });
  if (found == sockets_.end()) return;
  if (observer_)
    observer_({.is_sent = true,
               .local = found->socket.local_endpoint(),
               .remote = send.path.server,
               .octets = send.datagram.octets()});
  // What is not sent is sent again.
  static_cast<void>(found->socket.send({.destination = send.path.server,
                                        .scope_id = send.path.interface_index,
                                        .local_address = {},
                                        .interface_index = 0,
                                        .payload = send.datagram.octets()}));
}

}  // namespace portolan::library
