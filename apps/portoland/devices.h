// SPDX-License-Identifier: BSD-2-Clause
//
// The devices that the settings name, as one device of the server, and what of them is no part of device.h:
// other settings, counters, when each is ready.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/metrics/nat64_metrics.h"
#include "control/metrics/pcp_metrics.h"
#include "device/device.h"
#include "device/operation_counts.h"
#include "device/pool_use.h"
#include "device/several/several_devices.h"
#include "gateway/event_log.h"
#include "gateway/nat64_gateway.h"
#include "gateway/router_advertisements.h"
#include "io/event_loop.h"
#include "io/host_network.h"
#include "io/system.h"
#include "portoland/beginnings.h"
#include "portoland/config.h"

namespace portolan::portoland {

class Devices {
 public:
  /// What devices need of the daemon. `loop` and `host` outlive them; `boot_id` is drawn anew at each start.
  struct Wiring {
    io::EventLoop& loop;
    io::HostChanges& host;
    std::uint64_t boot_id = 0;
    device::Device::Completion completion;
    device::Device::EventHandler events;
    device::Device::InventoryHandler inventory;
    /// The external address of IPv4 hosts, where it is the interface's of the moment; none if there is none.
    std::function<void(std::optional<Ipv4Address>)> address;
  };

  /// Makes all of them. Errors  text for the operator; changes made so far are listed in `host`
  [[nodiscard]] static auto start(const Settings& settings, Wiring wiring)
      -> std::expected<std::unique_ptr<Devices>, std::string>;
  Devices(const Devices&) = delete;
  auto operator=(const Devices&) -> Devices& = delete;
  ~Devices();

  [[nodiscard]] auto device() -> device::Device& { return *device_; }
  /// Has `inventory` told of each device in this process that has become ready since: it has begun with the
  /// process, and has nothing yet. One in another process says itself when it is there and what it has.
  void connect() { beginnings_.connect(); }
  /// How the device that has `key` stands.
  [[nodiscard]] auto standing_of(const MappingKey& key) const -> device::Standing;
  /// Gives each what of `wanted` is its own. Errors: nothing has changed
  [[nodiscard]] auto reload(const Settings& wanted) -> std::expected<void, std::string>;
  /// Opens the log of the NAT64 in this process again, if there is one; `settings` are the present ones.
  void reopen_log(const Settings& settings);
  /// How much of its external ports each has left, of those that can tell.
  struct Pool {
    DeviceKind kind{};
    std::vector<device::PoolUse> use;
  };
  [[nodiscard]] auto pools() const -> std::vector<Pool>;
  /// Writes what each has counted to the log.
  void log_counters() const;
  struct Metrics {
    std::vector<control::DeviceMetrics> devices;
    std::vector<control::TableMetrics> tables;
    /// Of one in this process, and of its log.
    std::optional<control::Nat64Metrics> nat64;
    std::optional<io::EventFile::Counters> nat64_log;
  };
  /// Hands what they have counted to `take`, on the loop's thread, now or later; never if the devices go
  /// before.
  void gather_metrics(std::function<void(Metrics)> take) const;

 private:
  using Place = device::SeveralDevices::Place;
  using Made = std::expected<std::unique_ptr<device::Device>, std::string>;

  explicit Devices(Wiring wiring) : wiring_(std::move(wiring)) {}

  /// One that is counted.
  [[nodiscard]] auto make(DeviceKind kind, const Settings& settings, Place place) -> Made;
  [[nodiscard]] auto make_bare(DeviceKind kind, const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto make_nat64(const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto make_remote(const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto make_nat44(const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto make_firewall6(const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto make_simulated(const Settings& settings, const Place& place) -> Made;
  [[nodiscard]] auto posting() -> std::function<void(std::function<void()>)>;

  Wiring wiring_;
  io::SystemRandom random_;
  Beginnings beginnings_;
  /// How a device takes other settings. All prepare before any reloads; what prepare() did is withdrawn if
  /// that of a later one fails. One that cannot withdraw is the last.
  struct Reload {
    std::function<std::expected<void, std::string>(const Settings&)> prepare;
    std::function<void(const Settings&)> carry_out = [](const Settings&) {};
    std::function<void(const Settings&)> withdraw = [](const Settings&) {};
  };
  std::vector<Reload> reloads_;
  std::vector<std::function<void()>> log_counters_;
  struct Counted {
    DeviceKind kind{};
    std::shared_ptr<device::OperationCounts> counts;
  };
  std::vector<Counted> counted_;
  struct PoolOf {
    DeviceKind kind{};
    std::function<std::vector<device::PoolUse>()> use;
  };
  std::vector<PoolOf> pools_;
  /// Of those that have tables.
  std::vector<std::function<control::TableMetrics()>> table_metrics_;
  /// The NAT64 in this process, if there is one.
  gateway::Nat64Gateway* nat64_ = nullptr;
  /// Of the one in another process.
  std::function<bool()> is_remote_in_reach_;
  std::unique_ptr<device::Device> device_;
  /// The same, if it is made of several.
  const device::SeveralDevices* several_ = nullptr;
  /// Of the NAT64 in this process; goes before it.
  std::optional<gateway::EventLog> event_log_;
  /// Of its prefixes; go before it.
  std::unique_ptr<gateway::RouterAdvertisements> advertisements_;
};

}  // namespace portolan::portoland
