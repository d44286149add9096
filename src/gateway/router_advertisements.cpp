// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/router_advertisements.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/log.h"
#include "io/sysctl.h"

namespace portolan::gateway {
namespace {

/// A link-local address that goes with `own`: the same at each start, so that hosts know who withdraws what.
auto address_beside(const IpAddress& own) -> IpAddress {
  // FNV-1a: any spread does, there are few on a link.
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const std::uint8_t octet : own.bits().octets) hash = (hash ^ octet) * 0x100000001b3U;
  Ipv6Address address;
  address.octets[0] = 0xfe;
  address.octets[1] = 0x80;
  for (unsigned i = 0; i < 8; ++i) address.octets[8 + i] = static_cast<std::uint8_t>(hash >> (56 - 8 * i));
  // It tells of no hardware address (RFC 4291 s2.5.1).
  address.octets[8] &= 0xfdU;
  return IpAddress{address};
}

}  // namespace

auto RouterAdvertisements::start(AdvertisementSettings settings, std::vector<Prefix> nat64_prefixes,
                                 io::EventLoop& loop)
    -> std::expected<std::unique_ptr<RouterAdvertisements>, std::string> {
  auto socket = io::RouterSocket::open();
  if (!socket) return std::unexpected(socket.error());
  // The watch first: so no change is missed between the first look and the first word.
  auto watch = io::AddressWatch::open(Family::ipv6);
  if (!watch) return std::unexpected(watch.error());
  auto netlink = io::Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  std::unique_ptr<RouterAdvertisements> made(
      new RouterAdvertisements(std::move(settings), std::move(nat64_prefixes), loop, *std::move(socket),
                               *std::move(netlink), *std::move(watch)));
  made->look_at_all();
  return made;
}

RouterAdvertisements::RouterAdvertisements(AdvertisementSettings settings, std::vector<Prefix> nat64_prefixes,
                                           io::EventLoop& loop, io::RouterSocket socket, io::Netlink netlink,
                                           io::AddressWatch watch)
    : settings_(std::move(settings)),
      nat64_prefixes_(std::move(nat64_prefixes)),
      socket_(std::move(socket)),
      netlink_(std::move(netlink)),
      address_watch_(std::move(watch)),
      solicitations_(loop.on_readable(socket_.descriptor(), [this] { receive(); })),
      changes_(loop.on_readable(address_watch_.descriptor(),
                                [this] {
                                  if (address_watch_.take()) look_at_all();
                                })),
      timer_(loop.timer([this] { send_due(); })) {
  for (const std::string& interface : settings_.interfaces) add_link(interface);
}

RouterAdvertisements::~RouterAdvertisements() {
  for (Link& link : links_) withdraw(link);
}

void RouterAdvertisements::add_link(const std::string& interface) {
  links_.emplace_back(interface, settings_.intervals, random_);
}

auto RouterAdvertisements::find_sender(const std::string& interface) -> std::expected<Sender, std::string> {
  const auto found = netlink_.interface(interface);
  if (!found) return std::unexpected(found.error());
  if (!found->is_up) return std::unexpected("it is down");
  const auto addresses = netlink_.addresses(found->index);
  if (!addresses) return std::unexpected(addresses.error());
  std::optional<IpAddress> own;
  std::vector<Prefix> prefixes;
  for (const io::InterfaceAddress& each : *addresses) {
    if (each.address.is_ipv4() || each.is_tentative) continue;
    if (!each.address.is_link_local()) {
      const Prefix prefix(each.address, 64);
      if (each.prefix_length == 64 && prefixes.size() < advertised_prefixes_max &&
          std::ranges::find(prefixes, prefix) == prefixes.end())
        prefixes.push_back(prefix);
    } else if (!own && each.address != settings_.source) {
      own = each.address;
    }
  }
  if (!own) return std::unexpected("it has no IPv6 link-local address yet");
  if (settings_.mode == AdvertisementMode::alone)
    return Sender{
        .interface = *found, .source = settings_.source.value_or(address_beside(*own)), .prefixes = {}};
  // RFC 4861 s6.2.4: a host sends none.
  const auto forwards = io::read_sysctl(fmt::format("net/ipv6/conf/{}/forwarding", interface));
  if (!forwards) return std::unexpected(forwards.error());
  if (*forwards == "0")
    return std::unexpected("it does not forward IPv6 packets: set sysctl net.ipv6.conf.all.forwarding=1");
  if (!settings_.prefixes.empty()) prefixes = settings_.prefixes;
  return Sender{.interface = *found, .source = *own, .prefixes = std::move(prefixes)};
}

void RouterAdvertisements::look_at_all() {
  for (Link& link : links_) look_at(link);
  send_due();
}

void RouterAdvertisements::look_at(Link& link) {
  const auto sender = find_sender(link.interface);
  if (!sender) {
    link.index = 0;
    link.schedule.end();
    return tell(link, sender.error());
  }
  if (link.index == sender->interface.index && link.source == sender->source) return;
  if (const auto joined = socket_.join(sender->interface.index); !joined) return tell(link, joined.error());
  link.index = sender->interface.index;
  link.source = sender->source;
  link.schedule.begin(io::monotonic_now());
  link.trouble.clear();
  io::log::info("advertisements-sent", "router advertisements: sent on {interface} from {source}",
                link.interface, link.source);
}

void RouterAdvertisements::receive() {
  const TimePoint now = io::monotonic_now();
  while (true) {
    const auto received = socket_.receive();
    if (!received) {
      io::log::warn("advertisements-unheard", "router advertisements: {error}", to_string(received.error()));
      break;
    }
    if (!*received) break;
    const io::RouterSocket::Received& message = **received;
    const auto link = std::ranges::find(links_, message.interface_index, &Link::index);
    if (link == links_.end() || message.interface_index == 0) continue;
    if (!is_solicitation(message.message, message.source, message.hop_limit)) {
      compare(*link, message);
      continue;
    }
    ++counters_.solicitations;
    link->schedule.solicited(now);
  }
  arm();
}

void RouterAdvertisements::compare(const Link& link, const io::RouterSocket::Received& message) {
  auto theirs = nat64_prefixes_of(message.message, message.source, message.hop_limit);
  auto ours = nat64_prefixes_;
  std::ranges::sort(ours);
  if (!theirs || theirs->empty() || *theirs == ours) return;
  const std::string told = fmt::format("{}", fmt::join(*theirs, ", "));
  std::string difference = fmt::format("{} {} {}", message.source, link.interface, told);
  if (difference == difference_) return;
  difference_ = std::move(difference);
  io::log::warn(
      "advertisements-differ",
      "router advertisements: {router} on {interface} tells hosts of NAT64 prefixes {theirs}, not {ours}",
      message.source, link.interface, told, fmt::format("{}", fmt::join(ours, ", ")));
}

void RouterAdvertisements::send_due() {
  const TimePoint now = io::monotonic_now();
  for (Link& link : links_) {
    // Addresses and prefixes are those of the moment.
    if (link.index == 0) look_at(link);
    if (!link.schedule.take_due(now)) continue;
    const auto sender = find_sender(link.interface);
    if (sender && sender->source == link.source)
      send(link, *sender, settings_.lifetime);
    else
      look_at(link);
  }
  arm();
}

void RouterAdvertisements::send(Link& link, const Sender& sender, Seconds nat64_lifetime) {
  Advertisement advertisement{.is_managed = settings_.is_managed,
                              .has_other_config = settings_.has_other_config,
                              .nat64_prefixes = nat64_prefixes_,
                              .nat64_lifetime = nat64_lifetime};
  if (settings_.mode == AdvertisementMode::whole) {
    advertisement.hop_limit = settings_.hop_limit;
    advertisement.router_lifetime = settings_.router_lifetime;
    advertisement.link_address = sender.interface.link_address;
    advertisement.mtu = settings_.mtu;
    for (const Prefix& prefix : sender.prefixes)
      advertisement.prefixes.push_back(
          {.prefix = prefix, .valid = settings_.valid_lifetime, .preferred = settings_.preferred_lifetime});
    advertisement.dns_servers = settings_.dns_servers;
    advertisement.dns_lifetime = settings_.router_lifetime;
  }
  const auto sent = socket_.advertise(sender.interface.index, sender.source, encode(advertisement));
  if (sent) {
    ++counters_.sent;
    return;
  }
  ++counters_.unsent;
  tell(link, to_string(sent.error()));
}

void RouterAdvertisements::withdraw(Link& link) {
  if (link.index == 0) return;
  // If the interface has gone, so have its hosts.
  if (const auto sender = find_sender(link.interface); sender && sender->source == link.source)
    send(link, *sender, Seconds{0});
}

void RouterAdvertisements::reload(AdvertisementSettings wanted) {
  if (wanted == settings_) return;
  const bool is_same_sender = wanted.mode == settings_.mode && wanted.source == settings_.source;
  std::vector<Link> kept;
  for (Link& link : links_) {
    if (is_same_sender && std::ranges::find(wanted.interfaces, link.interface) != wanted.interfaces.end()) {
      link.schedule = AdvertisementSchedule(wanted.intervals, random_, link.schedule.latest());
      kept.push_back(std::move(link));
    } else {
      withdraw(link);
    }
  }
  links_ = std::move(kept);
  settings_ = std::move(wanted);
  for (const std::string& interface : settings_.interfaces)
    if (std::ranges::find(links_, interface, &Link::interface) == links_.end()) add_link(interface);
  // Each has something new to say.
  for (Link& link : links_)
    if (link.index != 0) link.schedule.begin(io::monotonic_now());
  look_at_all();
}

void RouterAdvertisements::arm() {
  std::optional<TimePoint> next;
  for (const Link& link : links_) {
    const TimePoint due = link.schedule.next().value_or(io::monotonic_now() + retry);
    next = next ? std::min(*next, due) : due;
  }
  if (next) timer_.arm(*next);
}

void RouterAdvertisements::tell(Link& link, std::string trouble) {
  if (trouble == link.trouble) return;
  link.trouble = std::move(trouble);
  io::log::warn("advertisements-not-sent",
                "router advertisements: none on {interface}, tried again: {trouble}", link.interface,
                link.trouble);
}

void RouterAdvertisements::log_counters() const {
  io::log::info("advertisements",
                "router advertisements: {sent} sent, {unsent} unsent; solicitations {solicitations}",
                counters_.sent, counters_.unsent, counters_.solicitations);
}

}  // namespace portolan::gateway
