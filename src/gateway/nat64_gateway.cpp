// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_gateway.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/log.h"
#include "io/reserved_ports.h"
#include "io/sysctl.h"
#include "io/system.h"
#include "io/tun.h"
#include "nat/port_plan.h"

namespace portolan::gateway {
namespace {

/// Those of `some` that are not in `other`.
template <typename Each>
auto only_in(std::vector<Each> some, std::vector<Each> other) -> std::vector<Each> {
  std::vector<Each> found;
  std::ranges::sort(some);
  std::ranges::sort(other);
  std::ranges::set_difference(some, other, std::back_inserter(found));
  return found;
}

/// What the host has to hand to the NAT64 for a pool: routes to prefixes, and if it answers for the
/// addresses, each of them.
auto claims_of(const Nat64Settings& settings) -> std::vector<Prefix> {
  std::vector<Prefix> claims;
  for (const nat::PoolRange& range : settings.pool)
    std::ranges::copy(prefixes_of(range), std::back_inserter(claims));
  return claims;
}
auto proxied_by(const Nat64Settings& settings) -> std::vector<Ipv4Address> {
  return settings.outside.empty() ? std::vector<Ipv4Address>{} : addresses_of(settings.pool);
}

void log(const device::WorkerCounters& counters) {
  const nat::Counters& nat = counters.nat;
  io::log::info("nat64-tables",
                "nat64: bindings {bindings} ({explicit} explicit), sessions {sessions}, subscribers "
                "{subscribers}, hold-downs {hold_downs}; made {bindings_made} and {sessions_made}",
                nat.bindings, nat.explicit_bindings, nat.sessions, nat.subscribers, nat.hold_downs,
                nat.bindings_made, nat.sessions_made);
  for (const nat::Direction direction : {nat::Direction::from_ipv6, nat::Direction::from_ipv4}) {
    for (std::size_t kind = 0; kind < nat::kind_count; ++kind)
      if (const auto packets = nat.packets(direction, static_cast<nat::Kind>(kind)); packets != 0)
        io::log::info("nat64-translated", "nat64: {kind} from {family}: {packets} packets",
                      nat::to_string(static_cast<nat::Kind>(kind)),
                      direction == nat::Direction::from_ipv6 ? "IPv6" : "IPv4", packets);
  }
  for (std::size_t reason = 0; reason < nat::drop_reason_count; ++reason)
    if (const auto drops = nat.drops(static_cast<nat::DropReason>(reason)); drops != 0)
      io::log::info("nat64-dropped", "nat64: dropped {reason}: {packets}",
                    nat::to_string(static_cast<nat::DropReason>(reason)), drops);
  if (nat.without_session != 0)
    io::log::info("nat64-without-session",
                  "nat64: session limits reached: {packets} packets of mappings passed without a session",
                  nat.without_session);
  if (nat.reassembled != 0 || nat.fragmented_packets != 0)
    io::log::info("nat64-fragments",
                  "nat64: packets that came in fragments: {reassembled}; {waiting} wait for the rest",
                  nat.reassembled, nat.fragmented_packets);
  if (counters.read_by_worker.size() > 1)
    io::log::info("nat64-workers",
                  "nat64: packets read by worker: {packets}; waited for another {turns_waited} times",
                  fmt::format("{}", fmt::join(counters.read_by_worker, ", ")), counters.turns_waited);
  if (nat.left_to_host != 0)
    io::log::info("nat64-left-to-host", "nat64: packets to its own address given back to the host: {packets}",
                  nat.left_to_host);
  io::log::info("nat64-errors",
                "nat64: errors made {made}, not made for their rate {rate_limited}, lost {lost}; packets "
                "unread {unread}, unsent {unsent}",
                nat.errors_generated, nat.errors_rate_limited, nat.outputs_lost, counters.packets_unread,
                counters.packets_unsent);
}

}  // namespace

auto Nat64Gateway::start(const Nat64Settings& settings, io::HostChanges& host, Completion completion,
                         Post post, EventHandler events, bool awaits_reconciliation)
    -> std::expected<std::unique_ptr<Nat64Gateway>, std::string> {
  if (const auto fine = nat::check(nat64_config(settings)); !fine) return std::unexpected(fine.error());
  for (const Family family : {Family::ipv6, Family::ipv4}) {
    if (settings.manage_forwarding)
      if (const auto set = host.set_sysctl(io::forwarding_sysctl(family), "1"); !set)
        return std::unexpected(set.error());
    if (const auto complaint = io::forwarding_complaint(family))
      io::log::warn("forwarding-off", "{complaint}", *complaint);
  }

  std::optional<OwnAddress> own;
  // A record of the variables by which a port tells its subscriber (RFC 7422 s3).
  if (settings.deterministic)
    if (const auto plan = nat::PortPlan::make(*settings.deterministic, settings.pool,
                                              settings.allowance.subscriber_prefix_length))
      io::log::info("deterministic-ports", "deterministic ports: {plan}",
                    plan->describe(settings.allowance.ports_max));
  if (settings.own_address) {
    auto opened = OwnAddress::open(*settings.own_address, settings.tun, host);
    if (!opened) return std::unexpected(opened.error());
    own = *std::move(opened);
  }

  io::TunOptions options;
  options.name = settings.tun;
  options.mtu = settings.mtu;
  options.queues = settings.workers;
  auto tun = io::Tun::open(options);
  if (!tun) return std::unexpected(tun.error());
  io::log::info("tun-ready", "TUN {tun}: offloads {offloads}, workers {workers}", tun->name(),
                io::to_string(tun->offloads()), settings.workers);
  if (settings.workers > 1)
    if (const auto steered = tun->steer(io::Steering(settings.allowance.subscriber_prefix_length)); !steered)
      io::log::warn(
          "tun-not-steered",
          "TUN {tun}: {error}: the kernel spreads flows over the workers by their hash, not subscribers",
          tun->name(), to_string(steered.error()));
  if (own)
    if (const auto prepared = own->prepare_tun(); !prepared) return std::unexpected(prepared.error());

  // The engine translates before anything is routed to it.
  std::unique_ptr<Nat64Gateway> gateway(new Nat64Gateway(settings, host, *std::move(tun),
                                                         std::move(completion), std::move(post),
                                                         std::move(events), awaits_reconciliation));
  if (const auto routed = gateway->route(); !routed) return std::unexpected(routed.error());
  if (own) {
    gateway->own_ = std::move(own);
    if (const auto looked = gateway->own_->look(io::monotonic_now()); !looked)
      return std::unexpected(looked.error());
    gateway->take_own_address();
  }
  return gateway;
}

Nat64Gateway::Nat64Gateway(const Nat64Settings& settings, io::HostChanges& host, io::Tun tun,
                           Completion completion, Post post, EventHandler events, bool awaits_reconciliation)
    : settings_(settings),
      host_(host),
      device_(device::links_of(std::move(tun)), std::make_unique<io::SystemRandom>(), io::monotonic_now,
              nat64_config(settings), std::move(completion), std::move(post), std::move(events),
              awaits_reconciliation) {}

auto Nat64Gateway::route() -> std::expected<void, std::string> {
  for (const Prefix& prefix : all_prefixes(settings_))
    if (const auto routed = host_.add_route(prefix, settings_.tun); !routed) return routed;
  for (const Prefix& prefix : claims_of(settings_))
    if (const auto routed = host_.add_route(prefix, settings_.tun); !routed) return routed;
  for (const Ipv4Address address : proxied_by(settings_))
    if (const auto added = host_.add_proxy_neighbour(IpAddress{address}, settings_.outside); !added)
      return added;
  // The kernel answers ARP for others up to 0.8 s late, to let the real owner go first. There is none.
  if (!settings_.outside.empty()) {
    const auto name = fmt::format("net/ipv4/neigh/{}/proxy_delay", settings_.outside);
    if (const auto set = host_.set_sysctl(name, "0"); !set)
      io::log::warn("proxy-delay-stays", "{error}: a first packet from outside may wait up to 0.8 s",
                    set.error());
  }
  return {};
}

auto Nat64Gateway::pool() const -> std::vector<nat::PoolRange> {
  return pool_with(settings_, own_ ? own_->address() : std::nullopt);
}

void Nat64Gateway::take_own_address() {
  const OwnAddressSettings& own = own_->settings();
  const auto address = own_->address();
  if (!address)
    io::log::warn(
        "own-address-missing",
        "nat64.own_address: {interface} has no IPv4 address; its ports are in the pool as soon as it has one",
        own.interface);
  else if (std::ranges::any_of(settings_.pool, [&](const auto& range) { return range.contains(*address); }))
    io::log::warn("own-address-in-pool-twice",
                  "nat64.own_address: {address} of {interface} is in nat64.pool too: take it away there",
                  *address, own.interface);
  else
    io::log::info("own-address-in-pool",
                  "nat64.own_address: ports {ports} of {address} on {interface} are in the pool",
                  io::to_string(own.ports), *address, own.interface);
  device_.set_pool(pool());
}

auto Nat64Gateway::look_at_own_address() -> bool {
  const auto changed = own_->look(io::monotonic_now());
  const std::string trouble = changed ? std::string{} : changed.error();
  if (!trouble.empty() && trouble != own_trouble_)
    io::log::error("own-address-trouble", "nat64.own_address, tried again: {error}", trouble);
  own_trouble_ = trouble;
  arm_next_look();
  if (!changed || !*changed) return false;
  take_own_address();
  return true;
}

void Nat64Gateway::arm_next_look() {
  if (const auto next = own_->next_look())
    timer_.arm(*next);
  else
    timer_.disarm();
}

void Nat64Gateway::follow(io::EventLoop& loop, std::function<void()> changed) {
  if (!own_) return;
  const auto look = [this, changed = std::move(changed)] {
    const bool was_settled = own_->is_settled();
    if (look_at_own_address() || own_->is_settled() != was_settled) changed();
  };
  timer_ = loop.timer(look);
  // As the look at the start left it.
  arm_next_look();
  watch_ = loop.on_readable(own_->watch().descriptor(), [this, look] {
    if (own_->watch().take()) look();
  });
}

auto Nat64Gateway::reload(const Nat64Settings& wanted) -> std::expected<void, std::string> {
  const auto routes = only_in(claims_of(wanted), claims_of(settings_));
  const auto neighbours = only_in(proxied_by(wanted), proxied_by(settings_));
  const auto claim = [&]() -> std::expected<void, std::string> {
    for (const Prefix& prefix : routes)
      if (const auto routed = host_.add_route(prefix, settings_.tun); !routed) return routed;
    for (const Ipv4Address address : neighbours)
      if (const auto added = host_.add_proxy_neighbour(IpAddress{address}, settings_.outside); !added)
        return added;
    return {};
  };
  if (const auto claimed = claim(); !claimed) {
    release(routes, neighbours);
    return claimed;
  }
  const auto old_routes = only_in(claims_of(settings_), claims_of(wanted));
  const auto old_neighbours = only_in(proxied_by(settings_), proxied_by(wanted));
  settings_ = wanted;
  device_.set_pool(pool());
  release(old_routes, old_neighbours);
  return {};
}

void Nat64Gateway::release(const std::vector<Prefix>& routes, const std::vector<Ipv4Address>& neighbours) {
  const auto warn = [](const std::expected<bool, std::string>& removed) {
    if (!removed) io::log::warn("left-on-host", "left on this host: {what}", removed.error());
  };
  for (const Ipv4Address address : neighbours)
    warn(host_.remove_proxy_neighbour(IpAddress{address}, settings_.outside));
  for (const Prefix& prefix : routes) warn(host_.remove_route(prefix, settings_.tun));
}

void Nat64Gateway::log_counters() const { log(device_.counters()); }

}  // namespace portolan::gateway
