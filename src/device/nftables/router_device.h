// SPDX-License-Identifier: BSD-2-Clause
//
// An nftables device at work in a program: driven by the loop, its pool that of the outside interface if the
// settings say no other.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/random.h"
#include "device/device.h"
#include "device/nftables/nftables_device.h"
#include "device/nftables/settings.h"
#include "io/address_watch.h"
#include "io/event_loop.h"
#include "io/followed_address.h"
#include "io/host_network.h"

namespace portolan::device {

class RouterDevice final : public Device {
 public:
  struct Handlers {
    Completion completion;
    EventHandler events;
    /// As Device says; not called for the first time before the device is connected.
    InventoryHandler inventory;
    /// Another address is the external one, or none is; or is_settled() has changed. Not of the start.
    std::function<void()> changed;
  };
  /// Warns if the host does not forward, and answers on the outside interface for pool addresses that it does
  /// not have, listed in `host`. `loop`, `random` and `host` outlive it. Errors  text for the operator
  [[nodiscard]] static auto start(const Nat44Settings& settings, io::EventLoop& loop, Random& random,
                                  io::HostChanges& host, Handlers handlers)
      -> std::expected<std::unique_ptr<RouterDevice>, std::string>;
  [[nodiscard]] static auto start(const Firewall6Settings& settings, io::EventLoop& loop, Random& random,
                                  io::HostChanges& host, Handlers handlers)
      -> std::expected<std::unique_ptr<RouterDevice>, std::string>;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override;

  /// Takes what may change while it runs, the pool, in two steps: the first may fail, and nothing has changed
  /// then. Errors  text for the operator
  [[nodiscard]] auto prepare_reload(const Nat44Settings& wanted) -> std::expected<void, std::string>;
  void reload(const Nat44Settings& wanted);
  /// Instead of the second step.
  void withdraw_reload(const Nat44Settings& wanted);
  /// Whether there is an address that what was promised before the start can be at, or the wait for one is
  /// over.
  [[nodiscard]] auto is_settled() const -> bool;
  /// The outside interface's, if the settings say no other.
  [[nodiscard]] auto followed_address() const -> std::optional<Ipv4Address>;
  /// How much of a NAT44's pool mappings have.
  [[nodiscard]] auto pool_use() const -> std::vector<PoolUse> { return device_->pool_use(); }
  void log_counters() const;
  [[nodiscard]] auto counters() const -> const NftablesDevice::Counters& { return device_->counters(); }

 private:
  RouterDevice(io::EventLoop& loop, Handlers handlers);

  [[nodiscard]] auto take_addresses(const std::vector<Ipv4Address>& pool) -> std::expected<void, std::string>;
  void give_up_addresses(const std::vector<Ipv4Address>& addresses);
  /// Gives up those of `addresses` that `kept` does not have.
  void give_up_addresses_but(const std::vector<Ipv4Address>& kept, const std::vector<Ipv4Address>& addresses);
  /// Takes addresses of the pool again that somebody took away.
  void look_at_pool();
  [[nodiscard]] auto surroundings(Random& random) -> NftablesDevice::Surroundings;
  void follow();
  void look_at_address();
  void arm();

  io::EventLoop& loop_;
  Handlers handlers_;
  std::string name_;
  std::string outside_;
  io::HostChanges* host_ = nullptr;
  std::unique_ptr<NftablesDevice> device_;
  std::optional<io::FollowedAddress> followed_;
  std::optional<io::AddressWatch> pool_watch_;
  std::string trouble_;
  io::Timer timer_;
  io::Timer look_timer_;
  io::Watch table_watch_;
  io::Watch address_watch_;
  io::Watch flow_watch_;
};

}  // namespace portolan::device
