// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/router_device.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "io/log.h"
#include "io/netlink.h"
#include "io/sysctl.h"
#include "io/system.h"

namespace portolan::device {
namespace {

constexpr unsigned host_prefix_length = 32;

}  // namespace

RouterDevice::RouterDevice(io::EventLoop& loop, Handlers handlers)
    : loop_(loop), handlers_(std::move(handlers)) {}

auto RouterDevice::surroundings(Random& random) -> NftablesDevice::Surroundings {
  return {.completion = handlers_.completion,
          .events = handlers_.events,
          .inventory = handlers_.inventory,
          .now = io::monotonic_now,
          .post = [this](std::function<void()> task) { loop_.post(std::move(task)); },
          .random = &random};
}

auto RouterDevice::start(const Nat44Settings& settings, io::EventLoop& loop, Random& random,
                         io::HostChanges& host, Handlers handlers)
    -> std::expected<std::unique_ptr<RouterDevice>, std::string> {
  std::unique_ptr<RouterDevice> router(new RouterDevice(loop, std::move(handlers)));
  router->name_ = "nat44";
  router->outside_ = settings.outside;
  router->host_ = &host;
  if (const auto complaint = io::forwarding_complaint(Family::ipv4))
    io::log::warn("forwarding-off", "{complaint}", *complaint);
  Nat44Settings at_start = settings;
  if (settings.pool.empty()) {
    auto followed = io::FollowedAddress::open(settings.outside);
    if (!followed) return std::unexpected(followed.error());
    router->followed_.emplace(*std::move(followed));
    if (const auto looked = router->followed_->look(io::monotonic_now()); !looked)
      return std::unexpected(fmt::format("nat44.outside {}: {}", settings.outside, looked.error()));
    if (const auto address = router->followed_->address()) {
      at_start.pool = {*address};
      io::log::info("nat44-address-at-start", "nat44: the external address is {address}, that of {interface}",
                    *address, settings.outside);
    } else {
      io::log::warn("nat44-no-address-yet",
                    "nat44: {interface} has no IPv4 address yet; hosts are told so until it has one",
                    settings.outside);
    }
  } else {
    // The watch first: so that nothing is missed.
    auto watch = io::AddressWatch::open();
    if (!watch) return std::unexpected(watch.error());
    router->pool_watch_.emplace(*std::move(watch));
    if (const auto taken = router->take_addresses(settings.pool); !taken)
      return std::unexpected(taken.error());
  }
  const io::NftTableName table{.family = Family::ipv4, .name = std::string(nat44_table)};
  if (const auto noted = host.note_table(table, settings.stays_at_exit); !noted)
    return std::unexpected(noted.error());
  auto device = NftablesDevice::start(at_start, router->surroundings(random));
  if (!device) return std::unexpected(device.error());
  router->device_ = *std::move(device);
  router->follow();
  return router;
}

auto RouterDevice::start(const Firewall6Settings& settings, io::EventLoop& loop, Random& random,
                         io::HostChanges& host, Handlers handlers)
    -> std::expected<std::unique_ptr<RouterDevice>, std::string> {
  std::unique_ptr<RouterDevice> router(new RouterDevice(loop, std::move(handlers)));
  router->name_ = "firewall6";
  router->outside_ = settings.outside;
  if (const auto complaint = io::forwarding_complaint(Family::ipv6))
    io::log::warn("forwarding-off", "{complaint}", *complaint);
  const io::NftTableName table{.family = Family::ipv6, .name = std::string(firewall6_table)};
  if (const auto noted = host.note_table(table, settings.stays_at_exit); !noted)
    return std::unexpected(noted.error());
  auto device = NftablesDevice::start(settings, router->surroundings(random));
  if (!device) return std::unexpected(device.error());
  router->device_ = *std::move(device);
  router->follow();
  return router;
}

auto RouterDevice::take_addresses(const std::vector<Ipv4Address>& pool) -> std::expected<void, std::string> {
  auto netlink = io::Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  const auto interface = netlink->interface(outside_);
  if (!interface)
    return std::unexpected(
        fmt::format("nat44.outside: {}: create it first, or correct the name", interface.error()));
  const auto own = netlink->addresses(interface->index);
  if (!own) return std::unexpected(own.error());
  std::vector<Ipv4Address> taken;
  for (const Ipv4Address address : pool) {
    const auto present = std::ranges::find(*own, IpAddress{address}, &io::InterfaceAddress::address);
    if (present != own->end() && present->prefix_length != host_prefix_length) continue;
    // Its own, not a proxy's: the kernel answers for no others on the link that they are of, and only what
    // the host takes in itself is known to have come when a port was nobody's. One that a killed run left is
    // taken over.
    if (auto added = host_->add_address(IpAddress{address}, host_prefix_length, outside_); !added) {
      give_up_addresses(taken);
      return added;
    }
    if (present != own->end()) continue;
    taken.push_back(address);
  }
  return {};
}

void RouterDevice::give_up_addresses(const std::vector<Ipv4Address>& addresses) {
  for (const Ipv4Address address : addresses)
    if (const auto removed = host_->remove_address(IpAddress{address}, host_prefix_length, outside_);
        !removed)
      io::log::warn("left-on-host", "left on this host: {what}", removed.error());
}

void RouterDevice::give_up_addresses_but(const std::vector<Ipv4Address>& kept,
                                         const std::vector<Ipv4Address>& addresses) {
  std::vector<Ipv4Address> others;
  std::ranges::copy_if(addresses, std::back_inserter(others),
                       [&](Ipv4Address address) { return std::ranges::find(kept, address) == kept.end(); });
  give_up_addresses(others);
}

void RouterDevice::look_at_pool() {
  const auto taken = take_addresses(device_->pool());
  std::string trouble = taken ? std::string() : taken.error();
  if (!trouble.empty() && trouble != trouble_)
    io::log::error("nat44-pool-trouble", "nat44: pool: {error}", trouble);
  trouble_ = std::move(trouble);
}

void RouterDevice::follow() {
  timer_ = loop_.timer([this] {
    device_->advance();
    arm();
  });
  table_watch_ = loop_.on_readable(device_->descriptor(), [this] {
    device_->look_after_table();
    arm();
  });
  if (followed_) {
    look_timer_ = loop_.timer([this] { look_at_address(); });
    address_watch_ = loop_.on_readable(followed_->watch().descriptor(), [this] {
      if (followed_->watch().take()) look_at_address();
    });
    if (const auto next = followed_->next_look()) look_timer_.arm(*next);
  }
  if (pool_watch_)
    address_watch_ = loop_.on_readable(pool_watch_->descriptor(), [this] {
      if (pool_watch_->take()) look_at_pool();
    });
  arm();
}

void RouterDevice::look_at_address() {
  const bool was_settled = is_settled();
  const auto changed = followed_->look(io::monotonic_now());
  std::string trouble = changed ? std::string() : changed.error();
  if (!trouble.empty() && trouble != trouble_)
    io::log::error("nat44-address-trouble", "nat44: {error}, tried again", trouble);
  trouble_ = std::move(trouble);
  if (const auto next = followed_->next_look())
    look_timer_.arm(*next);
  else
    look_timer_.disarm();
  if (changed && *changed) {
    const auto address = followed_->address();
    if (address)
      io::log::info("nat44-address-is", "nat44: the external address is {address}", *address);
    else
      io::log::warn("nat44-no-address", "nat44: {interface} has no IPv4 address any more", outside_);
    device_->set_pool(address ? std::vector{*address} : std::vector<Ipv4Address>{});
    arm();
  }
  const bool has_changed = (changed && *changed) || is_settled() != was_settled;
  if (has_changed && handlers_.changed) handlers_.changed();
}

void RouterDevice::arm() {
  if (flow_watch_.is_active() && !device_->keeps_flows()) {
    flow_watch_.cancel();
    device_->stop_watching_flows();
  } else if (!flow_watch_.is_active() && device_->flow_descriptor() >= 0) {
    flow_watch_ = loop_.on_readable(device_->flow_descriptor(), [this] { device_->look_at_flows(); });
  }
  if (const auto next = device_->next_deadline())
    timer_.arm(*next);
  else
    timer_.disarm();
}

void RouterDevice::apply(BatchId batch, std::vector<Operation> operations) {
  device_->apply(batch, std::move(operations));
  arm();
}

void RouterDevice::reconciled() {
  device_->reconciled();
  arm();
}

auto RouterDevice::prepare_reload(const Nat44Settings& wanted) -> std::expected<void, std::string> {
  if (followed_ || wanted.pool == device_->pool()) return {};
  return take_addresses(wanted.pool);
}

void RouterDevice::reload(const Nat44Settings& wanted) {
  const std::vector<Ipv4Address> before = device_->pool();
  if (followed_ || wanted.pool == before) return;
  device_->set_pool(wanted.pool);
  give_up_addresses_but(wanted.pool, before);
  arm();
}

void RouterDevice::withdraw_reload(const Nat44Settings& wanted) {
  if (!followed_) give_up_addresses_but(device_->pool(), wanted.pool);
}

auto RouterDevice::is_settled() const -> bool {
  return !followed_ || (followed_->is_settled() && followed_->address().has_value());
}

auto RouterDevice::followed_address() const -> std::optional<Ipv4Address> {
  return followed_ ? followed_->address() : std::nullopt;
}

void RouterDevice::log_counters() const {
  const auto& counters = device_->counters();
  io::log::info("table-counters",
                "{device}: {batches} batches, {repairs} repairs, {failed_repairs} failed repairs", name_,
                counters.batches, counters.repairs, counters.failed_repairs);
}

}  // namespace portolan::device
