// SPDX-License-Identifier: BSD-2-Clause
//
// The server engine with a simulated NAT and a store whose answers a test gives when it likes, or
// refuses. For the server's tests, the simulator and fuzzers.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/check.h"
#include "device/simulated/simulated_nat.h"
#include "server/server.h"
#include "wire/message.h"

namespace portolan::server {

/// An answer with its datagram's octets kept alive.
struct Answer {
  Endpoint client;
  wire::Datagram datagram;

  [[nodiscard]] auto response() const -> wire::Response {
    const auto decoded = wire::decode_response(datagram.octets());
    PORTOLAN_CHECK(decoded);
    return *decoded;
  }
  [[nodiscard]] auto map() const -> wire::MapResponse { return std::get<wire::MapResponse>(response().body); }
};

/// Values of a MAP request; defaults ask for UDP 3938 from 2001:db8:112::1.
struct MapAsk {
  const char* from = "2001:db8:112::1";
  std::uint16_t internal_port = 3938;
  std::uint16_t suggested_external_port = 0;
  std::uint32_t lifetime_s = 3600;
  std::uint8_t nonce = 1;
  Protocol protocol = Protocol::udp;
  const char* suggested_external_address = "0.0.0.0";
  bool prefer_failure = false;
};

inline auto encode(const MapAsk& ask) -> wire::Datagram {
  Nonce nonce;
  nonce.octets.fill(std::byte{ask.nonce});
  wire::Datagram datagram = wire::encode_request(
      {.opcode = wire::Opcode::map,
       .requested_lifetime_s = ask.lifetime_s,
       .client_address = *IpAddress::parse(ask.from),
       .body =
           wire::MapRequest{.nonce = nonce,
                            .protocol = ask.protocol,
                            .internal_port = Port{ask.internal_port},
                            .suggested_external_port = Port{ask.suggested_external_port},
                            .suggested_external_address = *IpAddress::parse(ask.suggested_external_address)},
       .options = {}});
  if (ask.prefer_failure) PORTOLAN_CHECK(wire::append_option(datagram, wire::OptionCode::prefer_failure, {}));
  return datagram;
}

class World {
 public:
  explicit World(Config config = {}, device::SimulatedConfig device = default_device(),
                 std::uint64_t seed = 1)
      : random(seed), nat(std::move(device)), server(with_epoch(std::move(config), now), random) {}

  static auto default_device() -> device::SimulatedConfig {
    return {.pool = {*IpAddress::parse("192.0.2.14")}};
  }

  /// Hands one batch of datagrams to the server; completions wait until asked for.
  void receive(const std::vector<std::pair<Endpoint, std::vector<std::byte>>>& datagrams,
               std::size_t inside = 0) {
    std::vector<Inbound> inbound;
    for (const auto& [client, octets] : datagrams)
      inbound.push_back({.client = client,
                         .path = {.local_address = {}, .interface_index = 0, .inside = inside},
                         .payload = octets});
    server.receive(now, inbound);
    collect();
  }
  void receive(const std::vector<MapAsk>& asks) {
    std::vector<std::pair<Endpoint, std::vector<std::byte>>> datagrams;
    for (const MapAsk& ask : asks) {
      const auto octets = encode(ask);
      datagrams.push_back({Endpoint{*IpAddress::parse(ask.from), Port{12345}},
                           {octets.octets().begin(), octets.octets().end()}});
    }
    receive(datagrams);
  }

  /// The device carries out its next batch. Returns false if it has none.
  auto apply_next() -> bool {
    if (applying.empty()) return false;
    const Apply apply = std::move(applying.front());
    applying.pop_front();
    std::vector<device::Result> results;
    for (const auto& operation : apply.operations)
      results.push_back(refuses(operation) ? device::Result(std::unexpected(*device_refuses))
                                           : nat.apply(now, operation));
    server.applied(now, apply.batch, results);
    collect();
    return true;
  }
  /// The store answers the outstanding commit. Returns false if there is none.
  auto commit_next() -> bool {
    if (!committing) return false;
    const Commit commit = std::move(*committing);
    committing.reset();
    if (!store_fails) {
      for (const store::Row& row : commit.rows) {
        if (const auto* put = std::get_if<store::PutMapping>(&row))
          stored[put->mapping.key] = put->mapping;
        else
          stored.erase(std::get<store::DropMapping>(row).key);
      }
    }
    server.committed(now, commit.commit, !store_fails);
    collect();
    return true;
  }
  /// Lets device and store do all they have.
  void settle() {
    while (apply_next() || commit_next()) continue;
  }
  void pass(Nanoseconds time) {
    now += time;
    server.advance(now);
    collect();
    settle();
  }

  /// Sends one request, lets everything settle and returns the answer to it.
  auto ask(const MapAsk& ask) -> Answer {
    receive({ask});
    settle();
    return take_answer();
  }
  auto take_answer() -> Answer {
    PORTOLAN_CHECK(!answers.empty());
    Answer answer = answers.front();
    answers.pop_front();
    return answer;
  }

  /// Server, device and store agree and keep their own truths; says what doesn't hold. Meaningful when
  /// everything has settled and the server is not read-only.
  ///
  /// The device may have mappings without a contract for `slack`: an undo gives back the lifetime that was
  /// left when it was decided, and takes its time to reach the device.
  [[nodiscard]] auto disagreement(Seconds slack = Seconds{1}) const -> std::optional<std::string> {
    if (auto broken = server.broken_invariant()) return broken;
    const auto at_device = nat.explicit_mappings(now);
    std::optional<std::string> found;
    server.contracts().for_each([&](const Contract& contract) {
      const auto row = stored.find(contract.key);
      if (row == stored.end() || row->second.external_port != contract.external_port ||
          row->second.expires != contract.expires || row->second.nonce != contract.nonce)
        found = fmt::format("the store does not have the contract of port {}", contract.external_port);
      if (contract.expires <= now) return;
      const auto mapping = at_device.find(contract.key);
      if (mapping == at_device.end() ||
          mapping->second != Endpoint{contract.external_address, contract.external_port})
        found = fmt::format("the device does not have the contract of port {}", contract.external_port);
    });
    for (const auto& [key, external] : nat.explicit_mappings(now + slack))
      if (server.contracts().find(key) == nullptr)
        found = fmt::format("{} is at the device without a contract", external);
    if (found) return found;
    if (stored.size() != server.contracts().size())
      return fmt::format("{} contracts, {} stored", server.contracts().size(), stored.size());
    return {};
  }

  SeededRandom random;
  TimePoint now{Seconds{1000}};
  device::SimulatedNat nat;
  Server server;
  std::deque<Apply> applying;
  std::optional<Commit> committing;
  std::map<MappingKey, store::Mapping> stored;
  std::deque<Answer> answers;
  bool store_fails = false;
  /// What the device says to new mappings, if anything. What it has it keeps and takes back.
  std::optional<device::Refusal> device_refuses;

 private:
  static auto with_epoch(Config config, TimePoint base) -> Config {
    config.epoch_base = base;
    return config;
  }
  [[nodiscard]] auto refuses(const device::Operation& operation) const -> bool {
    const auto* install = std::get_if<device::Install>(&operation);
    return device_refuses && install != nullptr && install->match == device::Match::suggested &&
           !server.contracts().find(install->key);
  }
  void collect() {
    Actions actions = server.take_actions();
    for (Apply& apply : actions.apply) applying.push_back(std::move(apply));
    PORTOLAN_CHECK(actions.commit.size() + (committing ? 1 : 0) <= 1);
    for (Commit& commit : actions.commit) committing = std::move(commit);
    for (Send& send : actions.send) answers.push_back({.client = send.client, .datagram = send.datagram});
  }
};

}  // namespace portolan::server
