// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/devices.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "device/nat64_remote/remote_device.h"
#include "device/nftables/router_device.h"
#include "device/simulated/simulated_device.h"
#include "gateway/nat64_gateway.h"
#include "gateway/nat64_metrics.h"
#include "io/log.h"
#include "io/system.h"

namespace portolan::portoland {
namespace {

using device::Served;

/// Of a NAT64 in another process beside other devices: what waits for it holds up all that came later, so
/// nothing waits, and silence is noticed soon.
constexpr Seconds patience_beside_others{0};
constexpr Seconds silence_asked_beside_others{1};
constexpr Seconds silence_max_beside_others{3};

auto always() -> bool { return true; }

auto metrics_of(std::string device, const device::RouterDevice& router) -> control::TableMetrics {
  return {.device = std::move(device),
          .repairs = router.counters().repairs,
          .failed_repairs = router.counters().failed_repairs};
}

auto remote_identity(const Settings& settings) -> std::expected<io::TlsIdentity, std::string> {
  if (settings.remote.connect.kind != io::StreamAddress::Kind::tls) return io::TlsIdentity();
  return io::TlsIdentity::load(settings.remote.tls);
}

void tell(const device::Conversation::Note& note) {
  using Kind = device::Conversation::Note::Kind;
  switch (note.kind) {
    case Kind::connected:
      return io::log::info("remote-nat64-connected", "nat64: connected to {program}", note.text);
    case Kind::reconciled:
      return io::log::info("remote-nat64-reconciled", "nat64: has all that was promised");
    case Kind::out_of_reach:
      return io::log::warn("remote-nat64-out-of-reach", "nat64: out of reach, tried again: {reason}",
                           note.text);
  }
}

auto served_by(DeviceKind kind, const Settings& settings) -> Served {
  switch (kind) {
    case DeviceKind::nat44:
      return {
          .internal_family = Family::ipv4, .external_family = Family::ipv4, .inside = settings.nat44.inside};
    case DeviceKind::firewall6:
      return {.internal_family = Family::ipv6,
              .external_family = Family::ipv6,
              .inside = settings.firewall6.inside};
    // Which IPv6 addresses are no hosts' it says itself.
    case DeviceKind::nat64:
    case DeviceKind::nat64_remote:
    case DeviceKind::simulated: break;
  }
  return {.internal_family = Family::ipv6, .external_family = Family::ipv4, .keeps_profiles = true};
}

}  // namespace

auto Devices::start(const Settings& settings, Wiring wiring)
    -> std::expected<std::unique_ptr<Devices>, std::string> {
  std::unique_ptr<Devices> devices(new Devices(std::move(wiring)));
  const Wiring& daemon = devices->wiring_;
  if (settings.devices.size() == 1) {
    auto made = devices->make(
        settings.devices.front(), settings,
        {.completion = daemon.completion, .events = daemon.events, .inventory = daemon.inventory});
    if (!made) return std::unexpected(made.error());
    devices->device_ = *std::move(made);
    return devices;
  }
  auto owned = std::make_unique<device::SeveralDevices>(
      device::SeveralDevices::Handlers{.completion = daemon.completion,
                                       .events = daemon.events,
                                       .inventory = daemon.inventory,
                                       .post = devices->posting()});
  device::SeveralDevices* const several = owned.get();
  // Should one not start, those before it go as at the end: what uses them first.
  devices->device_ = std::move(owned);
  devices->several_ = several;
  for (const DeviceKind kind : settings.devices) {
    const Place place = several->add(served_by(kind, settings));
    auto made = devices->make(kind, settings, place);
    if (!made) return std::unexpected(made.error());
    several->put(place.number, *std::move(made),
                 kind == DeviceKind::nat64_remote ? devices->is_remote_in_reach_ : std::function<bool()>());
  }
  return devices;
}

Devices::~Devices() {
  advertisements_.reset();
  event_log_.reset();
  device_.reset();
}

auto Devices::posting() -> std::function<void(std::function<void()>)> {
  return [&loop = wiring_.loop](std::function<void()> task) { loop.post(std::move(task)); };
}

auto Devices::standing_of(const MappingKey& key) const -> device::Standing {
  const auto place = several_ != nullptr ? several_->place_of(key) : std::optional<std::size_t>(0);
  if (place && beginnings_.awaits(*place)) return device::Standing::awaits_reconciliation;
  if (several_ != nullptr) return several_->standing_of(key);
  return is_remote_in_reach_ && !is_remote_in_reach_() ? device::Standing::out_of_reach
                                                       : device::Standing::there;
}

auto Devices::reload(const Settings& wanted) -> std::expected<void, std::string> {
  for (std::size_t i = 0; i < reloads_.size(); ++i) {
    auto prepared = reloads_[i].prepare(wanted);
    if (prepared) continue;
    while (i-- > 0) reloads_[i].withdraw(wanted);
    return prepared;
  }
  for (const Reload& reload : reloads_) reload.carry_out(wanted);
  return {};
}

void Devices::reopen_log(const Settings& settings) {
  if (event_log_) event_log_->reopen(settings.nat64.events);
}

void Devices::log_counters() const {
  for (const auto& log : log_counters_) log();
}

auto Devices::pools() const -> std::vector<Pool> {
  std::vector<Pool> pools;
  pools.reserve(pools_.size());
  for (const PoolOf& each : pools_) pools.push_back({.kind = each.kind, .use = each.use()});
  return pools;
}

void Devices::gather_metrics(std::function<void(Metrics)> take) const {
  Metrics metrics;
  const auto pool_of = [&](DeviceKind kind) {
    const auto found = std::ranges::find(pools_, kind, &PoolOf::kind);
    return found == pools_.end() ? std::vector<device::PoolUse>() : found->use();
  };
  for (const Counted& each : counted_)
    metrics.devices.push_back({.device = std::string(to_string(each.kind)),
                               .operations = each.counts->counters(),
                               .is_in_reach = each.kind != DeviceKind::nat64_remote || is_remote_in_reach_(),
                               .pool = pool_of(each.kind)});
  for (const auto& table : table_metrics_) metrics.tables.push_back(table());
  if (nat64_ == nullptr) return take(std::move(metrics));
  metrics.nat64_log = event_log_->counters();
  gateway::gather_metrics(
      *nat64_, [take = std::move(take), metrics = std::move(metrics)](control::Nat64Metrics nat64) mutable {
        metrics.nat64 = std::move(nat64);
        take(std::move(metrics));
      });
}

auto Devices::make(DeviceKind kind, const Settings& settings, Place place) -> Made {
  auto counts = std::make_shared<device::OperationCounts>();
  place.completion = device::CountedDevice::answering(counts, io::monotonic_now, std::move(place.completion));
  auto made = make_bare(kind, settings, place);
  if (!made) return made;
  counted_.push_back({.kind = kind, .counts = counts});
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDeleteLeaks): it does not follow a std::function.
  return std::make_unique<device::CountedDevice>(*std::move(made), std::move(counts), io::monotonic_now);
}

auto Devices::make_bare(DeviceKind kind, const Settings& settings, const Place& place) -> Made {
  switch (kind) {
    case DeviceKind::nat64: return make_nat64(settings, place);
    case DeviceKind::nat64_remote: return make_remote(settings, place);
    case DeviceKind::nat44: return make_nat44(settings, place);
    case DeviceKind::firewall6: return make_firewall6(settings, place);
    case DeviceKind::simulated: break;
  }
  return make_simulated(settings, place);
}

auto Devices::make_nat44(const Settings& settings, const Place& place) -> Made {
  // Set below, before anything can have changed.
  auto router = std::make_shared<device::RouterDevice*>(nullptr);
  const bool follows = settings.nat44.pool.empty();
  const auto tell_address = [this, router, follows] {
    if (follows) wiring_.address((*router)->followed_address());
  };
  auto started = device::RouterDevice::start(settings.nat44, wiring_.loop, random_, wiring_.host,
                                             {.completion = place.completion,
                                              .events = place.events,
                                              .inventory = beginnings_.after(place.number, place.inventory),
                                              .changed = [this, tell_address] {
                                                tell_address();
                                                connect();
                                              }});
  if (!started) return std::unexpected(started.error());
  *router = started->get();
  tell_address();
  // The only address it may have is the one it waits for.
  const auto is_settled = [nat44 = *router] { return nat44->is_settled(); };
  beginnings_.add({.place = place.number,
                   .is_ready = is_settled,
                   .has_addresses = is_settled,
                   .inventory = place.inventory});
  reloads_.insert(
      reloads_.begin(),
      {.prepare = [nat44 = *router](const Settings& wanted) { return nat44->prepare_reload(wanted.nat44); },
       .carry_out = [nat44 = *router](const Settings& wanted) { nat44->reload(wanted.nat44); },
       .withdraw = [nat44 = *router](const Settings& wanted) { nat44->withdraw_reload(wanted.nat44); }});
  log_counters_.emplace_back([nat44 = *router] { nat44->log_counters(); });
  table_metrics_.emplace_back([nat44 = *router] { return metrics_of("nat44", *nat44); });
  pools_.push_back({.kind = DeviceKind::nat44, .use = [nat44 = *router] { return nat44->pool_use(); }});
  return *std::move(started);
}

auto Devices::make_firewall6(const Settings& settings, const Place& place) -> Made {
  auto started = device::RouterDevice::start(settings.firewall6, wiring_.loop, random_, wiring_.host,
                                             {.completion = place.completion,
                                              .events = place.events,
                                              .inventory = beginnings_.after(place.number, place.inventory),
                                              .changed = {}});
  if (!started) return std::unexpected(started.error());
  beginnings_.add(
      {.place = place.number, .is_ready = always, .has_addresses = always, .inventory = place.inventory});
  log_counters_.emplace_back([firewall6 = started->get()] { firewall6->log_counters(); });
  table_metrics_.emplace_back([firewall6 = started->get()] { return metrics_of("firewall6", *firewall6); });
  return *std::move(started);
}

auto Devices::make_simulated(const Settings& settings, const Place& place) -> Made {
  auto simulated = std::make_unique<device::SimulatedDevice>(
      device::SimulatedConfig{.pool = settings.simulated.pool,
                              .first_port = settings.simulated.first_port,
                              .last_port = settings.simulated.last_port},
      place.completion, io::monotonic_now, posting(), place.events);
  reloads_.push_back({.prepare = [](const Settings&) { return std::expected<void, std::string>{}; },
                      .carry_out = [device = simulated.get()](
                                       const Settings& wanted) { device->set_pool(wanted.simulated.pool); }});
  beginnings_.add(
      {.place = place.number, .is_ready = always, .has_addresses = always, .inventory = place.inventory});
  pools_.push_back(
      {.kind = DeviceKind::simulated, .use = [device = simulated.get()] { return device->pool_use(); }});
  io::log::warn("device-simulated", "device \"simulated\": mappings are answered, nothing is translated");
  return simulated;
}

auto Devices::make_nat64(const Settings& settings, const Place& place) -> Made {
  auto event_file = gateway::EventLog::open(settings.nat64.events);
  if (!event_file) return std::unexpected(event_file.error());
  auto gateway = gateway::Nat64Gateway::start(settings.nat64, wiring_.host, place.completion, posting(),
                                              place.events, true);
  if (!gateway) return std::unexpected(gateway.error());
  gateway::Nat64Gateway* const nat64 = gateway->get();
  beginnings_.add({.place = place.number,
                   .is_ready = [nat64] { return nat64->is_pool_settled(); },
                   .has_addresses = [nat64] { return !nat64->pool().empty(); },
                   .inventory = place.inventory});
  // What moves with the pool comes as events.
  nat64->follow(wiring_.loop, [this] { connect(); });
  event_log_.emplace(wiring_.loop, nat64->device());
  event_log_->use(*std::move(event_file), settings.nat64.events);
  reloads_.push_back({.prepare = [this, nat64](const Settings& wanted) -> std::expected<void, std::string> {
    auto file = gateway::EventLog::open(wanted.nat64.events);
    if (!file) return std::unexpected(file.error());
    if (auto reloaded = nat64->reload(wanted.nat64); !reloaded) return reloaded;
    event_log_->use(*std::move(file), wanted.nat64.events);
    if (advertisements_) advertisements_->reload(*wanted.advertisement);
    return {};
  }});
  log_counters_.emplace_back([nat64] { nat64->log_counters(); });
  pools_.push_back({.kind = DeviceKind::nat64,
                    .use = [nat64] { return device::pool_use_of(nat64->device().counters().nat); }});
  nat64_ = nat64;
  if (settings.advertisement) {
    auto advertisements = gateway::RouterAdvertisements::start(
        *settings.advertisement, gateway::all_prefixes(settings.nat64), wiring_.loop);
    if (!advertisements) return std::unexpected(advertisements.error());
    advertisements_ = *std::move(advertisements);
    log_counters_.emplace_back([this] { advertisements_->log_counters(); });
  }
  return *std::move(gateway);
}

auto Devices::make_remote(const Settings& settings, const Place& place) -> Made {
  auto identity = remote_identity(settings);
  if (!identity) return std::unexpected(identity.error());
  device::ConversationOptions options{.boot_id = wiring_.boot_id};
  if (settings.devices.size() > 1) {
    options.patience = patience_beside_others;
    options.silence_asked = silence_asked_beside_others;
    options.silence_max = silence_max_beside_others;
  }
  auto remote = std::make_unique<device::RemoteDevice>(
      wiring_.loop, settings.remote.connect, *std::move(identity), std::move(options),
      device::RemoteDevice::Handlers{.completion = place.completion,
                                     .events = place.events,
                                     .inventory = place.inventory,
                                     .note = tell});
  const auto renewed = std::make_shared<io::TlsIdentity>();
  reloads_.insert(
      reloads_.begin(),
      {.prepare = [renewed](const Settings& wanted) -> std::expected<void, std::string> {
         auto loaded = remote_identity(wanted);
         if (!loaded) return std::unexpected(loaded.error());
         *renewed = *std::move(loaded);
         return {};
       },
       .carry_out = [device = remote.get(), renewed](const Settings&) { device->set_identity(*renewed); }});
  is_remote_in_reach_ = [device = remote.get()] { return device->is_in_reach(); };
  pools_.push_back(
      {.kind = DeviceKind::nat64_remote, .use = [device = remote.get()] { return device->pool_use(); }});
  log_counters_.emplace_back([device = remote.get()] {
    io::log::info("remote-nat64-is", "the NAT64 is {state}; portolan-nat64 show tells what it has",
                  device->is_serving() ? "there" : "out of reach");
  });
  return remote;
}

}  // namespace portolan::portoland
