// SPDX-License-Identifier: BSD-2-Clause
//
// One run of PCP clients (client::Client) against the server engine with a simulated NAT and a store, over
// links that delay, lose, repeat and reorder, all under one virtual clock. Hosts want and drop mappings and
// change their addresses; links break; a NAT that knows no PCP comes between; the server restarts with its
// state or without; external addresses change; the NAT is full, or the store fails. Half of the runs are
// about IPv4, where the server may be replaced by one that speaks nothing newer than NAT-PMP, and back.
//
// After every step all engines' invariants hold. When everything is mended and has been quiet for long enough
// (no error lasts longer), each client's view is the server's: the same mappings at the same external
// endpoints with the same nonces and ends, and the server has none that nobody holds. By NAT-PMP, what it has
// words for.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "client/client.h"
#include "server/test_world.h"
#include "sim/choices.h"

namespace portolan::sim {

class ClientRun {
 public:
  ClientRun(Choices& choices, std::uint64_t seed);

  /// One decision, and the time until the next one. Returns what doesn't hold.
  auto step() -> std::optional<std::string>;
  /// Mends everything, lets it become quiet, and compares.
  auto run_out() -> std::optional<std::string>;

  /// How many mappings were granted, and how many of them by NAT-PMP.
  [[nodiscard]] auto granted() const -> std::uint64_t { return granted_; }
  [[nodiscard]] auto granted_by_nat_pmp() const -> std::uint64_t { return granted_by_nat_pmp_; }

 private:
  struct Host {
    std::unique_ptr<SeededRandom> random;
    std::unique_ptr<client::Client> client;
    std::set<IpAddress> addresses;  // packets to others don't arrive
    IpAddress address;              // the newest
    bool is_behind_nat = false;
    std::map<client::WishId, client::ClientWish> wishes;
  };
  struct Packet {
    std::size_t host = 0;
    bool is_to_server = false;
    bool is_multicast = false;
    Endpoint client;  // the source, or the destination
    std::vector<std::byte> octets;
  };

  void act();
  void want(Host& host);
  void drop(Host& host);
  void change_address(std::size_t index);
  void restart_server(bool keeps_state);
  void tell_servers(Host& host);
  /// A server as configured for these runs, with one external address.
  void begin_server(std::uint64_t seed);
  void change_pool(const std::vector<IpAddress>& pool);
  void learn(const std::vector<IpAddress>& pool);
  void refuse_version(const Packet& request);
  auto run_until(TimePoint end) -> std::optional<std::string>;
  void deliver(const Packet& packet);
  void transmit(const Packet& packet);
  void carry_out(std::size_t index);
  void send_answers();
  [[nodiscard]] auto seen_by_server(const Host& host, std::size_t index, const IpAddress& source) const
      -> IpAddress;
  [[nodiscard]] auto address_of(std::size_t host, std::uint16_t number) const -> IpAddress;
  [[nodiscard]] auto broken() const -> std::optional<std::string>;
  [[nodiscard]] auto difference() const -> std::optional<std::string>;
  [[nodiscard]] auto difference(const client::Wish& wish, const client::Mapping& mapping) const
      -> std::optional<std::string>;

  Choices& choices_;
  Family family_;
  Endpoint server_endpoint_;
  /// What the server speaks now, and whether it always spoke PCP.
  bool speaks_only_nat_pmp_ = false;
  bool has_always_spoken_pcp_ = true;
  TimePoint now_;
  std::unique_ptr<server::World> server_;
  /// The server is not running until then.
  TimePoint server_back_;
  bool keeps_state_ = false;
  std::vector<Host> hosts_;
  std::multimap<TimePoint, Packet> network_;
  std::uint64_t loss_per_mille_ = 0;
  bool is_partitioned_ = false;
  std::uint64_t granted_ = 0;
  std::uint64_t granted_by_nat_pmp_ = 0;
  std::uint16_t last_address_ = 0;
};

}  // namespace portolan::sim
