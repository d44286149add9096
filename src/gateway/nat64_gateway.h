// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 of this host: a TUN, what makes the host hand packets to it, and the device that translates.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device/device.h"
#include "device/nat64/nat64_device.h"
#include "gateway/nat64_settings.h"
#include "gateway/own_address.h"
#include "io/event_loop.h"
#include "io/host_network.h"

namespace portolan::gateway {

class Nat64Gateway final : public device::Device {
 public:
  using Post = std::function<void(std::function<void()>)>;

  /// Makes the TUN, begins to translate, and has the host route to it. `host` outlives the gateway, and
  /// undoes the changes that are listed there. `post` and `awaits_reconciliation` as in Nat64Device. Errors
  /// text for the operator; changes made so far are listed in `host`
  [[nodiscard]] static auto start(const Nat64Settings& settings, io::HostChanges& host, Completion completion,
                                  Post post, EventHandler events, bool awaits_reconciliation = false)
      -> std::expected<std::unique_ptr<Nat64Gateway>, std::string>;

  void apply(device::BatchId batch, std::vector<device::Operation> operations) override {
    device_.apply(batch, std::move(operations));
  }
  void reconciled() override { device_.reconciled(); }

  /// Takes `wanted`, which differs in nothing that is fixed at start: routes to new addresses come first,
  /// then the engine takes over, then routes to old addresses go. Errors  text for the operator; nothing has
  /// changed
  [[nodiscard]] auto reload(const Nat64Settings& wanted) -> std::expected<void, std::string>;

  /// Follows the gateway's own address, if the settings have one, and tells `changed` when it has changed the
  /// pool, or is_pool_settled(). `loop` outlives the gateway.
  void follow(io::EventLoop& loop, std::function<void()> changed);

  /// Whether the pool has what was promised before the start: not while the own address may yet come, for
  /// promises at it would move to other addresses; nor while there is none.
  [[nodiscard]] auto is_pool_settled() const -> bool {
    return !own_ || (own_->is_settled() && !pool().empty());
  }
  /// The addresses of the moment.
  [[nodiscard]] auto pool() const -> std::vector<nat::PoolRange>;
  [[nodiscard]] auto settings() const -> const Nat64Settings& { return settings_; }
  [[nodiscard]] auto device() -> device::Nat64Device& { return device_; }
  /// Writes what has been counted so far to the log.
  void log_counters() const;

 private:
  Nat64Gateway(const Nat64Settings& settings, io::HostChanges& host, io::Tun tun, Completion completion,
               Post post, EventHandler events, bool awaits_reconciliation);

  [[nodiscard]] auto route() -> std::expected<void, std::string>;
  /// What reload() no longer needs of the host, or could not have in full.
  void release(const std::vector<Prefix>& routes, const std::vector<Ipv4Address>& neighbours);

  void arm_next_look();
  /// Whether the pool has changed with the gateway's own address.
  auto look_at_own_address() -> bool;
  void take_own_address();

  Nat64Settings settings_;
  io::HostChanges& host_;
  device::Nat64Device device_;
  std::optional<OwnAddress> own_;
  std::string own_trouble_;  ///< as last told
  io::Watch watch_;
  io::Timer timer_;
};

}  // namespace portolan::gateway
