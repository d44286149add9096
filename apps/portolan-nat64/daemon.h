// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-nat64 wired together: the NAT64 of this host, and the control protocol that drives it.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "gateway/control_server.h"
#include "gateway/event_log.h"
#include "gateway/nat64_gateway.h"
#include "gateway/router_advertisements.h"
#include "io/event_loop.h"
#include "io/host_network.h"
#include "io/system.h"
#include "portolan-nat64/config.h"
#include "portolan-nat64/metrics_service.h"

namespace portolan::nat64 {

class Daemon {
 public:
  /// Makes the NAT64 and what it needs of the host, and listens. `loop` outlives the daemon.
  /// Errors  text for the operator; every change to the host made so far is undone
  [[nodiscard]] static auto start(Settings settings, io::EventLoop& loop)
      -> std::expected<std::unique_ptr<Daemon>, std::string>;
  ~Daemon();

  /// Takes `wanted`, in which load_settings() has found nothing wrong, instead of the present settings.
  /// Errors  text for the operator; nothing has changed
  [[nodiscard]] auto reload(Settings wanted) -> std::expected<void, std::string>;
  /// Opens the event log again: somebody may have moved it away.
  void reopen_log() { event_log_->reopen(settings_.nat64.events); }
  [[nodiscard]] auto settings() const -> const Settings& { return settings_; }
  void log_counters() const;
  /// Hands the same, and more, to `take` as text for Prometheus, later on the loop's thread; never if the
  /// daemon goes before.
  void gather_metrics(std::function<void(std::string)> take);

 private:
  Daemon(Settings settings, io::EventLoop& loop, io::HostChanges host);
  [[nodiscard]] auto make() -> std::expected<void, std::string>;
  /// What is shown over TLS; none if none is configured. Errors  text for the operator
  [[nodiscard]] static auto load_identity(const Settings& wanted)
      -> std::expected<io::TlsIdentity, std::string>;

  Settings settings_;
  io::EventLoop& loop_;
  io::HostChanges host_;
  std::unique_ptr<gateway::Nat64Gateway> gateway_;
  std::optional<gateway::ControlServer> control_;
  std::optional<gateway::EventLog> event_log_;
  std::optional<MetricsService> metrics_;
  Nanoseconds started_ = io::wall_now();
  std::unique_ptr<gateway::RouterAdvertisements> advertisements_;
};

}  // namespace portolan::nat64
