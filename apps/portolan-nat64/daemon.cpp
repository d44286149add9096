// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/daemon.h"

#include <algorithm>
#include <utility>

#include "control/metrics/program_metrics.h"
#include "gateway/nat64_metrics.h"
#include "io/log.h"
#include "io/process.h"
#include "io/system.h"

namespace portolan::nat64 {

auto Daemon::start(Settings settings, io::EventLoop& loop)
    -> std::expected<std::unique_ptr<Daemon>, std::string> {
  auto host = io::HostChanges::open({.journal = settings.runtime_directory / "nat64-host-changes"});
  if (!host) return std::unexpected(host.error());
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(settings), loop, std::move(*host)));
  if (const auto made = daemon->make(); !made) return std::unexpected(made.error());
  for (const std::string& change : daemon->host_.undo_leftovers())
    io::log::info("leftover-undone", "undid what an earlier run left: {change}", change);
  for (const std::string& change : daemon->host_.list())
    io::log::info("host-changed", "changed on this host: {change}", change);
  return daemon;
}

Daemon::Daemon(Settings settings, io::EventLoop& loop, io::HostChanges host)
    : settings_(std::move(settings)), loop_(loop), host_(std::move(host)) {}

Daemon::~Daemon() {
  advertisements_.reset();
  metrics_.reset();
  event_log_.reset();
  control_.reset();
  // The device goes before what it made on the host.
  gateway_.reset();
  for (const std::string& failure : host_.undo())
    io::log::warn("left-on-host", "left on this host: {what}", failure);
}

auto Daemon::load_identity(const Settings& wanted) -> std::expected<io::TlsIdentity, std::string> {
  if (wanted.tls.certificate.empty()) return io::TlsIdentity();
  return io::TlsIdentity::load(wanted.tls);
}

auto Daemon::make() -> std::expected<void, std::string> {
  auto event_file = gateway::EventLog::open(settings_.nat64.events);
  if (!event_file) return std::unexpected(event_file.error());
  const auto identity = load_identity(settings_);
  if (!identity) return std::unexpected(identity.error());
  auto gateway = gateway::Nat64Gateway::start(
      settings_.nat64, host_,
      [this](device::BatchId, const std::vector<device::Result>& results) { control_->completed(results); },
      [this](std::function<void()> task) { loop_.post(std::move(task)); },
      [this](const std::vector<device::Event>& events) { control_->happened(events); }, true);
  if (!gateway) return std::unexpected(gateway.error());
  gateway_ = *std::move(gateway);
  event_log_.emplace(loop_, gateway_->device());
  event_log_->use(*std::move(event_file), settings_.nat64.events);
  const nat::Limits& limits = settings_.nat64.limits;
  io::SystemRandom random;
  control_.emplace(loop_, gateway_->device(),
                   control::GatewayHello{.boot_id = random.next(),
                                         .program = "portolan-nat64 " PORTOLAN_VERSION,
                                         .prefixes = gateway::all_prefixes(settings_.nat64),
                                         .pool = gateway_->pool(),
                                         .filters_per_mapping = limits.filters_per_mapping,
                                         .ports_per_set = limits.ports_per_set},
                   settings_.reconcile_grace);
  gateway_->follow(loop_, [this] { control_->pool_changed(gateway_->pool()); });
  // Packets come from now on: flows from inside have no ports yet.
  gateway_->reconciled();
  for (const io::StreamAddress& address : settings_.listen) {
    const auto listening = control_->listen(address, *identity);
    if (!listening) return std::unexpected(listening.error());
    io::log::info("control-listens", "control: listens at {address}", to_string(*listening));
  }
  if (settings_.advertisement) {
    auto advertisements = gateway::RouterAdvertisements::start(*settings_.advertisement,
                                                               gateway::all_prefixes(settings_.nat64), loop_);
    if (!advertisements) return std::unexpected(advertisements.error());
    advertisements_ = *std::move(advertisements);
  }
  metrics_.emplace(loop_, [this](std::function<void(std::string)> take) { gather_metrics(std::move(take)); });
  for (const io::StreamAddress& address : settings_.metrics_listen) {
    const auto listening = metrics_->listen(address, *identity);
    if (!listening) return std::unexpected(listening.error());
    io::log::info("metrics-listens", "metrics: listens at {address}", to_string(*listening));
  }
  return {};
}

void Daemon::gather_metrics(std::function<void(std::string)> take) {
  loop_.post([this, asked = io::monotonic_now(), take = std::move(take)]() mutable {
    const Nanoseconds delay = io::monotonic_now() - asked;
    gateway::gather_metrics(*gateway_, [this, delay, take = std::move(take)](const auto& nat64) {
      control::Exposition out;
      control::append_program({.program = "portolan-nat64",
                               .version = PORTOLAN_VERSION,
                               .started = started_,
                               .use = io::process_use(),
                               .messages = io::log::counts(),
                               .loop_delay = delay},
                              out);
      control::append_event_logs({{.log = "nat64", .counters = event_log_->counters()}}, out);
      control::append_nat64(nat64, out);
      control::append_control({.is_driven = control_->has_owner(),
                               .awaits_reconciliation = !control_->is_reconciled(),
                               .connections = control_->connections()},
                              out);
      take(out.take());
    });
  });
}

void Daemon::log_counters() const {
  gateway_->log_counters();
  if (advertisements_) advertisements_->log_counters();
}

auto Daemon::reload(Settings wanted) -> std::expected<void, std::string> {
  auto event_file = gateway::EventLog::open(wanted.nat64.events);
  if (!event_file) return std::unexpected(event_file.error());
  const auto identity = load_identity(wanted);
  if (!identity) return std::unexpected(identity.error());
  if (const auto reloaded = gateway_->reload(wanted.nat64); !reloaded) return reloaded;
  event_log_->use(*std::move(event_file), wanted.nat64.events);
  if (advertisements_) advertisements_->reload(*wanted.advertisement);
  control_->set_identity(*identity);
  metrics_->set_identity(*identity);
  const bool is_other_pool = wanted.nat64.pool != settings_.nat64.pool;
  settings_ = std::move(wanted);
  if (is_other_pool) control_->pool_changed(gateway_->pool());
  return {};
}

}  // namespace portolan::nat64
