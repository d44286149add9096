// SPDX-License-Identifier: BSD-2-Clause
//
// The kernel's NAT44, or its firewall for IPv6, as a device: explicit mappings are elements of nftables' maps
// and sets, hosts' own traffic is connection tracking's. Every batch is one transaction, whatever is mapped
// already.
#pragma once

#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "device/nftables/elements.h"
#include "device/nftables/mappings.h"
#include "device/nftables/ruleset.h"
#include "device/nftables/settings.h"
#include "io/conntrack.h"
#include "io/nft_table.h"

namespace portolan::device {

class NftablesDevice final : public Device {
 public:
  struct Surroundings {
    Completion completion;
    EventHandler events;
    /// What the kernel was left with when it did not do what it should: the server begins anew with it.
    InventoryHandler inventory;
    std::function<TimePoint()> now;
    /// Runs a function later on the caller's thread.
    std::function<void(std::function<void()>)> post;
    Random* random = nullptr;  ///< outlives the device
  };

  /// Loads the table; elements of an earlier run stay in force until reconciled().
  /// Errors  text for the operator
  [[nodiscard]] static auto start(const Nat44Settings& settings, Surroundings surroundings)
      -> std::expected<std::unique_ptr<NftablesDevice>, std::string>;
  [[nodiscard]] static auto start(const Firewall6Settings& settings, Surroundings surroundings)
      -> std::expected<std::unique_ptr<NftablesDevice>, std::string>;
  /// Removes the table unless it is to stay, and lets go of flows that only PEER keeps.
  ~NftablesDevice() override;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override;

  /// Changes the external addresses of a NAT44; the event handler is told later what that did to mappings.
  /// What the kernel does not take at once is repaired.
  void set_pool(std::vector<Ipv4Address> pool);
  [[nodiscard]] auto pool() const -> const std::vector<Ipv4Address>& { return mappings_.pool(); }
  /// How much of a NAT44's pool mappings have.
  [[nodiscard]] auto pool_use() const -> std::vector<PoolUse> { return mappings_.pool_use(); }

  /// Does what is due.
  void advance();
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// Readable when look_after_table() has something to look at.
  [[nodiscard]] auto descriptor() const -> int { return table_.descriptor(); }
  /// Repairs the table if somebody else has changed it.
  void look_after_table();

  /// Watches for the end of flows, as long as PEER keeps any: what keeps_flows() and look_at_flows() are
  /// about. -1 if it does not.
  [[nodiscard]] auto flow_descriptor() const -> int { return flow_watch_ ? flow_watch_->descriptor() : -1; }
  [[nodiscard]] auto keeps_flows() const -> bool { return !refreshed_.empty(); }
  /// Makes flows anew that ended though PEER keeps them.
  void look_at_flows();
  /// To be called when nobody waits for flow_descriptor() any more.
  void stop_watching_flows() { flow_watch_.reset(); }

  struct Counters {
    std::uint64_t batches = 0;
    std::uint64_t repairs = 0;
    std::uint64_t failed_repairs = 0;
  };
  [[nodiscard]] auto counters() const -> const Counters& { return counters_; }
  /// Whether the table stays when the device ends.
  void set_stays_at_exit(bool stays) { kind_.stays_at_exit = stays; }

 private:
  using Number = NftablesMappings::Number;

  /// What makes one of them a NAT44, the other a firewall.
  struct Kind {
    std::string name;  ///< in the configuration, for the log
    Family family = Family::ipv4;
    std::string table;
    MappingRules rules;
    Seconds udp_idle{};
    bool stays_at_exit = false;
    /// For external addresses.
    std::function<Ruleset(const std::vector<Ipv4Address>&)> ruleset;
  };
  [[nodiscard]] static auto start(Kind kind, Surroundings surroundings)
      -> std::expected<std::unique_ptr<NftablesDevice>, std::string>;
  NftablesDevice(Kind kind, Surroundings surroundings, io::NftTable table, io::Conntrack conntrack);

  [[nodiscard]] auto load() -> std::expected<void, std::string>;
  void adopt_elements();

  auto carry_out(const Install& wanted) -> Result;
  auto carry_out(const Remove& unwanted) -> Result;
  auto carry_out(const InstallPeer& wanted) -> Result;
  auto carry_out(const ReleasePeer& unwanted) -> Result;
  auto carry_out(const PutProfile& wanted) -> Result;
  auto carry_out(const DropProfile& unwanted) -> Result;

  [[nodiscard]] auto make_flow(const io::FlowTuple& tuple, const Endpoint& external, Seconds lifetime)
      -> std::expected<void, io::SystemError>;
  /// What the socket `key` has outside by its own traffic.
  [[nodiscard]] auto traffic(const MappingKey& key) -> std::optional<Traffic>;
  [[nodiscard]] auto traffic_of_sender(const MappingKey& key) -> std::optional<Traffic>;
  /// Whether the last noted flow of the socket is the one to `remote_peer`, and how long ago it began, if it
  /// is.
  [[nodiscard]] auto noted_since(const MappingKey& key, const Endpoint& remote_peer)
      -> std::optional<Seconds>;
  /// How long a flow that PEER no longer keeps goes on by its traffic; ends it if there was none.
  auto let_go(const MappingKey& key, const Endpoint& remote_peer) -> Seconds;
  /// Gives the kernel what has changed. False: it does not have it.
  auto commit() -> bool;
  /// Has a peer that sent to a port before it was mapped get through now.
  void end_stray_flows(Protocol protocol, const Applied& mapped);
  /// Ends flows from outside that filters no longer let in.
  void end_forbidden_flows();
  /// Loads everything anew.
  auto repair() -> bool;
  void keep_refreshing(const MappingKey& key);
  /// Has the kernel keep what PEER does; whether there is anything.
  auto refresh(const MappingKey& key) -> bool;
  void tell(std::vector<Event> events);

  Kind kind_;
  Surroundings surroundings_;
  io::NftTable table_;
  io::Conntrack conntrack_;
  NftablesMappings mappings_;
  NftablesElements elements_;
  io::NftBatch batch_;
  FindTraffic find_traffic_;
  /// Sockets whose flows PEER keeps, by when the kernel is told so again.
  std::deque<std::pair<TimePoint, MappingKey>> refreshes_;
  std::unordered_set<MappingKey, MappingKeyHash> refreshed_;
  std::optional<io::FlowWatch> flow_watch_;
  /// Mappings that have got other filters in this batch.
  std::vector<MappingKey> narrowed_;
  /// What this batch has mapped.
  std::vector<std::pair<Protocol, Applied>> strayed_;
  /// Flows of hosts, as this batch has listed them.
  std::map<IpAddress, std::vector<io::Flow>> flows_of_;
  std::optional<TimePoint> next_repair_;
  Counters counters_;
};

}  // namespace portolan::device
