// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/keeper.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "io/resolve.h"
#include "portolan/keeper_report.h"

namespace portolan {
auto Keeper::open(io::EventLoop& loop, KeeperSettings settings, Handlers handlers)
    -> std::expected<std::unique_ptr<Keeper>, std::string> {
  auto watch = io::NetworkWatch::open(io::Advertisements::ignored);
  if (!watch) return std::unexpected(watch.error());
  std::unique_ptr<Keeper> keeper(
      new Keeper(loop, std::move(settings), std::move(*watch), std::move(handlers)));
  keeper->look();
  return keeper;
}

Keeper::Keeper(io::EventLoop& loop, KeeperSettings settings, io::NetworkWatch watch, Handlers handlers)
    : loop_(loop),
      settings_(std::move(settings)),
      watch_(std::move(watch)),
      handlers_(std::move(handlers)),
      client_({}, random_) {
  network_ = loop_.on_readable(watch_.descriptor(), [this] { hear_network(); });
  settled_ = loop_.timer([this] { look(); });
  resolve_again_ = loop_.timer([this] { look(); });
  due_ = loop_.timer([this] {
    client_.advance(io::monotonic_now());
    carry_out();
  });
}

auto Keeper::add(std::string name, const client::ClientWish& wish, std::vector<client::Held> held,
                 client::Nonces nonces) -> client::WishId {
  const auto id = client_.add(io::monotonic_now(), wish, std::move(held), std::move(nonces));
  names_[id] = std::move(name);
  const auto remark = wish.client_address ? remark_on(*wish.client_address) : std::nullopt;
  if (remark && std::ranges::find(noted_, *remark) == noted_.end()) {
    handlers_.note(*remark);
    noted_.push_back(*remark);
  }
  return id;
}

void Keeper::remove(client::WishId id) { client_.remove(io::monotonic_now(), id); }

auto Keeper::name_of(const client::ClientEvent& event) const -> std::string {
  const auto name = event.wish ? names_.find(*event.wish) : names_.end();
  return name == names_.end() ? "" : name->second;
}

void Keeper::hear_network() {
  if (watch_.take().has_changed && !settled_.is_armed()) settled_.arm(io::monotonic_now() + settle_time);
}

void Keeper::look() {
  auto view = discovery::look_around();
  if (!view) {
    settled_.arm(io::monotonic_now() + look_pause);
    return note_news({view.error()});
  }
  view_ = std::move(*view);
  view_.findings.uses_anycast = settings_.uses_anycast;
  tell_servers();
  carry_out();
}

void Keeper::use(KeeperSettings settings) {
  if (settings == settings_) return;
  settings_ = std::move(settings);
  told_.clear();
  lookup_.reset();
  lookup_failure_.clear();
  resolve_again_.disarm();
  look();
}

/// Names are looked up until each is known.
void Keeper::add_told_servers(std::vector<std::string>& remarks) {
  while (told_.size() < settings_.servers.size()) {
    const std::string& name = settings_.servers[told_.size()];
    const auto addresses = io::resolve_address(name);
    if (!addresses) {
      look_up(name);
      break;
    }
    take(*addresses);
  }
  if (!lookup_failure_.empty()) remarks.push_back(lookup_failure_);
  view_.findings.told = told_;
}

void Keeper::take(const std::vector<io::ScopedAddress>& addresses) {
  discovery::Findings::Told told;
  for (const io::ScopedAddress& each : addresses) {
    if (told.addresses.size() < discovery::server_addresses_max) told.addresses.push_back(each.address);
    if (each.interface_index != 0) told.interface = {.index = each.interface_index, .name = each.interface};
  }
  told_.push_back(std::move(told));
}

void Keeper::look_up(const std::string& name) {
  if (lookup_ || resolve_again_.is_armed()) return;
  lookup_ = io::NameLookup::start(loop_, name, [this](const auto& addresses) {
    lookup_.reset();
    lookup_failure_ = addresses ? "" : addresses.error();
    if (addresses)
      take(*addresses);
    else
      resolve_again_.arm(io::monotonic_now() + resolve_pause);
    look();
  });
}

void Keeper::tell_servers() {
  std::vector<std::string> remarks = view_.remarks;
  add_told_servers(remarks);
  const auto before = std::exchange(servers_, {});
  // A list of servers that were told is the only one, also while its names are not resolved.
  if (settings_.servers.empty() || !told_.empty())
    servers_ = discovery::client_servers(view_, settings_.server_port, remarks);
  if (servers_.empty() && !lookup_)
    remarks.emplace_back("there is no PCP server to ask now; waiting for the network");
  client_.set_servers(io::monotonic_now(), servers_);
  for (const IpAddress& address : client_.named_addresses())
    if (auto remark = remark_on(address)) remarks.push_back(std::move(*remark));
  note_news(std::move(remarks));
  note_address_changes(before);
}

auto Keeper::remark_on(const IpAddress& client_address) const -> std::optional<std::string> {
  // Without a server nothing is asked for, whatever address is named.
  if (servers_.empty() || client_.has_path_from(client_address)) return {};
  const auto& addresses = view_.findings.host_addresses;
  if (std::ranges::find(addresses, client_address, &HostAddress::address) == addresses.end())
    return fmt::format("no mapping for {} now: this host does not have that address", client_address);
  return fmt::format("no mapping for {} now: no PCP server can be asked from that address", client_address);
}

/// What was so at the last look is no news.
void Keeper::note_news(std::vector<std::string> remarks) {
  for (const std::string& remark : remarks)
    if (std::ranges::find(noted_, remark) == noted_.end()) handlers_.note(remark);
  noted_ = std::move(remarks);
}

void Keeper::note_address_changes(const std::vector<client::Server>& before) {
  for (const client::Server& server : servers_) {
    const auto known = std::ranges::find(before, server.name, &client::Server::name);
    if (known == before.end()) {
      handlers_.note(
          fmt::format("asking the PCP server {} from {}", server.name, server.paths.front().client_address));
      continue;
    }
    const IpAddress& old_address = known->paths.front().client_address;
    const IpAddress& new_address = server.paths.front().client_address;
    if (old_address == new_address) continue;
    const bool is_there = std::ranges::find(view_.findings.host_addresses, old_address,
                                            &HostAddress::address) != view_.findings.host_addresses.end();
    handlers_.note(fmt::format("this host's address was {} and is {} now ({}): its mappings move",
                               old_address, new_address,
                               is_there ? "traffic leaves from it" : "the old one is gone"));
  }
  for (const client::Server& server : before)
    if (std::ranges::find(servers_, server.name, &client::Server::name) == servers_.end())
      handlers_.note(fmt::format("the PCP server {} is out of reach from here", server.name));
}

void Keeper::carry_out() {
  use_channels();
  client::ClientActions actions = client_.take_actions();
  if (!actions.send.empty() ||
      std::ranges::any_of(actions.events, [](const auto& event) { return changes_mapping(event.event); }))
    handlers_.keeping();
  for (const client::ClientSend& send : actions.send) {
    const auto channel = std::ranges::find_if(
        channels_, [&](const auto& each) { return client::is_same_way(each->path, send.path); });
    // Without a socket the datagram is lost, as on the way; the engine asks again.
    if (channel == channels_.end()) continue;
    (*channel)->socket.send({.destination = send.path.server,
                             .scope_id = send.path.interface_index,
                             .payload = send.datagram.octets()});
  }
  for (const client::ClientEvent& event : actions.events) handlers_.happened(event);
  std::erase_if(names_, [this](const auto& entry) { return !client_.is_known(entry.first); });
  if (const auto deadline = client_.next_deadline())
    due_.arm(*deadline);
  else
    due_.disarm();
}

void Keeper::use_channels() {
  const auto wanted = client_.paths();
  std::erase_if(channels_, [&](const auto& channel) {
    return std::ranges::none_of(
        wanted, [&](const client::Path& path) { return client::is_same_way(channel->path, path); });
  });
  for (const client::Path& path : wanted) {
    const bool is_open = std::ranges::any_of(
        channels_, [&](const auto& channel) { return client::is_same_way(channel->path, path); });
    if (!is_open) open_channel(path);
  }
  use_announcements();
}

void Keeper::open_channel(const client::Path& path) {
  auto socket = io::UdpSocket::open({.bind_address = path.client_address, .scope_id = path.interface_index});
  // The address may be gone already; the kernel tells, and the next look finds another one.
  if (!socket) return;
  if (!socket->connect(path.server, path.interface_index)) return;
  channels_.push_back(std::make_unique<Channel>(
      Channel{.path = path, .socket = std::move(*socket), .readable = {}, .hinted = 0}));
  Channel& channel = *channels_.back();
  channel.readable = loop_.on_readable(channel.socket.descriptor(), [this, &channel] { receive(channel); });
}

void Keeper::receive(Channel& channel) {
  const client::Path path = channel.path;
  const auto datagrams = channel.socket.receive();
  if (!datagrams) {
    const int number = datagrams.error().number;
    if (number != channel.hinted)
      handlers_.note(fmt::format("{} cannot be asked now: {}", path.server.address, std::strerror(number)));
    channel.hinted = number;
    client_.unreachable(io::monotonic_now(), path);
  } else {
    if (!datagrams->empty()) channel.hinted = 0;
    for (const io::ReceivedDatagram& datagram : *datagrams)
      client_.receive(io::monotonic_now(), path.client_address, datagram.interface_index, datagram.source,
                      datagram.payload);
  }
  // The channel may be gone after this.
  carry_out();
}

auto Keeper::interface_of(const client::Path& path) const -> std::uint32_t {
  if (path.interface_index != 0) return path.interface_index;
  const auto found =
      std::ranges::find(view_.findings.host_addresses, path.client_address, &HostAddress::address);
  return found == view_.findings.host_addresses.end() ? 0 : found->interface_index;
}

void Keeper::use_announcements() {
  std::vector<std::pair<Family, std::uint32_t>> wanted;
  for (const auto& channel : channels_) {
    const std::pair one(channel->path.server.address.family(), interface_of(channel->path));
    if (one.second != 0 && std::ranges::find(wanted, one) == wanted.end()) wanted.push_back(one);
  }
  const auto is_wanted = [&](const auto& each) {
    return std::ranges::find(wanted, std::pair(each->family, each->interface_index)) != wanted.end();
  };
  std::erase_if(announcements_, [&](const auto& each) { return !is_wanted(each); });
  for (const auto& [family, interface_index] : wanted) {
    const bool is_heard = std::ranges::any_of(announcements_, [&](const auto& each) {
      return each->family == family && each->interface_index == interface_index;
    });
    if (is_heard) continue;
    auto socket = io::UdpSocket::open({.bind_address = IpAddress::unspecified(family),
                                       .bind_port = Port{wire::client_port},
                                       .shares_port = true});
    // Announcements only speed up recovery, which comes with the next renewal at the latest.
    if (!socket || !socket->join(client::announcement_group(family), interface_index)) continue;
    announcements_.push_back(std::make_unique<Announcements>(Announcements{
        .family = family, .interface_index = interface_index, .socket = std::move(*socket), .readable = {}}));
    Announcements& added = *announcements_.back();
    added.readable = loop_.on_readable(added.socket.descriptor(), [this, &added] { hear(added); });
  }
}

void Keeper::hear(Announcements& announcements) {
  const auto datagrams = announcements.socket.receive();
  if (!datagrams) return;
  for (const io::ReceivedDatagram& datagram : *datagrams)
    client_.receive(io::monotonic_now(), std::nullopt, datagram.interface_index, datagram.source,
                    datagram.payload);
  carry_out();
}

}  // namespace portolan
