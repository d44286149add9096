// SPDX-License-Identifier: BSD-2-Clause
//
// Simulates a PCP server among hosts that ask at random, a device and a store that answer late, refuse
// and fail, and a network that duplicates and delays. After every step it checks that nothing
// acknowledged is lost:
//
// - what an answer promised is in the store until its lifetime ends or a deletion is acknowledged;
// - no two contracts share an external endpoint, quotas hold, reservations and waiting requests add up;
// - whenever all is quiet and the store writes, server, device and store agree.
#include <deque>
#include <map>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "server/test_world.h"
#include "sim/simulator.h"

namespace portolan::server {
namespace {

constexpr unsigned hosts = 6;
constexpr unsigned ports = 4;
constexpr std::size_t network_datagrams_max = 64;
constexpr Seconds lifetime_max_here{600};

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed)
      : random_(seed),
        world_({.minimum_lifetime = Seconds{5},
                .maximum_lifetime = lifetime_max_here,
                .mappings_max = 18,
                .policy = {.mappings_max = 5},
                .batches_in_flight_max = 6,
                .deferred_max = 8,
                .expiries_per_advance_max = 2,
                .inside = {{.subscriber_prefix_length = 128}}},
               {.pool = {*IpAddress::parse("192.0.2.14")}, .first_port = Port{4000}, .last_port = Port{4040}},
               seed) {}

  /// One random step and all checks. Returns what doesn't hold.
  auto step() -> std::optional<std::string> {
    act();
    note_promises();
    if (auto broken = world_.server.broken_invariant(world_.now)) return broken;
    if (auto lost = lost_promise()) return lost;
    return {};
  }

  /// Lets everything become quiet with a working store and compares server, device and store.
  auto quiesce() -> std::optional<std::string> {
    world_.store_fails = false;
    world_.device_refuses.reset();
    world_.settle();
    note_promises();
    const auto is_due = [this] {
      return world_.server.next_deadline().value_or(TimePoint::max()) <= world_.now;
    };
    while (world_.server.is_read_only() || is_due()) {
      world_.pass(Seconds{1});
      note_promises();
    }
    world_.settle();
    note_promises();
    if (auto lost = lost_promise()) return lost;
    if (!world_.applying.empty() || world_.committing) return "work is left although all is quiet";
    return world_.disagreement(lifetime_max_here);
  }

  /// Without requests everything comes to its end, everywhere.
  auto run_out() -> std::optional<std::string> {
    if (auto broken = quiesce()) return broken;
    world_.pass(lifetime_max_here);
    world_.pass(lifetime_max_here);
    if (auto broken = quiesce()) return broken;
    if (world_.server.contracts().size() != 0) return "contracts are left";
    if (!world_.stored.empty()) return "rows are left";
    if (!world_.nat.explicit_mappings(world_.now).empty()) return "mappings are left at the device";
    return {};
  }

  [[nodiscard]] auto answered() const -> std::uint64_t { return answered_; }

 private:
  struct Promise {
    Endpoint external;
    Nonce nonce;
    TimePoint until;
  };

  void act() {
    switch (random_.below(16)) {
      case 0: world_.store_fails = random_.below(3) == 0; break;
      case 1:
        world_.device_refuses =
            random_.below(4) == 0 ? std::optional(device::Refusal::no_resources) : std::nullopt;
        break;
      case 2: world_.pass(Milliseconds{static_cast<int>(random_.below(40'000))}); break;
      case 3: outbound(); break;
      case 4:
      case 5:
      case 6: world_.commit_next(); break;
      case 7:
      case 8:
      case 9: world_.apply_next(); break;
      case 10: world_.settle(); break;
      default: deliver(); break;
    }
  }

  void outbound() {
    // A NAT that refuses installs has no free ports; new implicit mappings would be another matter.
    world_.nat.outbound(world_.now, {.realm = {},
                                     .internal_address = host(),
                                     .protocol = Protocol::udp,
                                     .external_family = Family::ipv4,
                                     .internal_port = port()});
  }

  /// Delivers 1 to 4 datagrams: new ones, or old ones again and out of order.
  void deliver() {
    std::vector<std::pair<Endpoint, std::vector<std::byte>>> batch;
    for (std::uint64_t i = 0; i <= random_.below(4); ++i) {
      if (network_.empty() || random_.below(3) != 0) network_.push_back(request());
      batch.push_back(network_[random_.below(network_.size())]);
      if (network_.size() > network_datagrams_max) network_.pop_front();
    }
    world_.receive(batch);
  }

  auto request() -> std::pair<Endpoint, std::vector<std::byte>> {
    const IpAddress from = host();
    Nonce nonce;
    nonce.octets.fill(static_cast<std::byte>(random_.below(20) == 0 ? 2 : 1));
    const bool deletes = random_.below(4) == 0;
    wire::Datagram datagram = wire::encode_request(
        {.opcode = wire::Opcode::map,
         .requested_lifetime_s = deletes ? 0 : static_cast<std::uint32_t>(1 + random_.below(700)),
         .client_address = from,
         .body = wire::MapRequest{.nonce = nonce,
                                  .protocol = Protocol::udp,
                                  .internal_port = port(),
                                  .suggested_external_port = Port{static_cast<std::uint16_t>(
                                      random_.below(2) == 0 ? 0 : 4000 + random_.below(41))},
                                  .suggested_external_address =
                                      deletes ? deletion_mark() : IpAddress::unspecified(Family::ipv4)},
         .options = {}});
    if (random_.below(5) == 0)
      PORTOLAN_CHECK(wire::append_option(datagram, wire::OptionCode::prefer_failure, {}));
    std::vector<std::byte> octets(datagram.octets().begin(), datagram.octets().end());
    if (random_.below(20) == 0) octets[1] = std::byte{0};  // ANNOUNCE, what follows being its options
    if (random_.below(20) == 0)
      octets[random_.below(octets.size())] ^= static_cast<std::byte>(random_.below(256));
    return {Endpoint{from, Port{12345}}, std::move(octets)};
  }

  void note_promises() {
    while (!world_.answers.empty()) {
      const Answer answer = world_.take_answer();
      ++answered_;
      const auto decoded = wire::decode_response(answer.octets);
      if (!decoded) {
        // A copy of a request that is too short for its opcode is too short for an answer (RFC 6887 s8.2).
        PORTOLAN_CHECK(answer.octets.at(3) == static_cast<std::byte>(wire::ResultCode::malformed_request));
        continue;
      }
      const wire::Response& response = *decoded;
      const auto* map = std::get_if<wire::MapResponse>(&response.body);
      if (map == nullptr || response.result != wire::ResultCode::success) continue;
      const MappingKey key{.realm = {},
                           .internal_address = answer.client.address,
                           .protocol = map->protocol,
                           .external_family = Family::ipv4,
                           .internal_port = map->internal_port};
      if (map->assigned_external_address != *IpAddress::parse("192.0.2.14"))
        promises_.erase(key);
      else
        promises_[key] = {.external = {map->assigned_external_address, map->assigned_external_port},
                          .nonce = map->nonce,
                          .until = world_.now + Seconds{response.lifetime_s}};
    }
  }

  auto lost_promise() -> std::optional<std::string> {
    for (auto entry = promises_.begin(); entry != promises_.end();) {
      const auto& [key, promise] = *entry;
      // Answers round a lifetime up to whole seconds.
      if (promise.until <= world_.now + Seconds{1}) {
        entry = promises_.erase(entry);
        continue;
      }
      const auto row = world_.stored.find({.mapping = key, .remote_peer = {}});
      if (row == world_.stored.end() || row->second.nonce != promise.nonce ||
          row->second.expires + Seconds{1} < promise.until ||
          row->second.external_port != promise.external.port)
        return fmt::format(
            "{} port {} was promised as {} for {} s more; the store has {}", key.internal_address,
            key.internal_port, promise.external,
            std::chrono::ceil<Seconds>(promise.until - world_.now).count(),
            row == world_.stored.end()
                ? "nothing"
                : fmt::format("port {} for {} s", row->second.external_port,
                              std::chrono::ceil<Seconds>(row->second.expires - world_.now).count()));
      ++entry;
    }
    return {};
  }

  /// Deletions suggest this address, which answers copy: so they are told from renewals, whose address is
  /// the pool's, also where a bit of it was changed on the way.
  static auto deletion_mark() -> IpAddress { return *IpAddress::parse("198.51.100.9"); }

  auto host() -> IpAddress {
    Ipv6Address address = *Ipv6Address::parse("2001:db8:112::");
    address.octets[15] = static_cast<std::uint8_t>(1 + random_.below(hosts));
    return IpAddress{address};
  }
  auto port() -> Port { return Port{static_cast<std::uint16_t>(3000 + random_.below(ports))}; }

  SeededRandom random_;
  World world_;
  std::deque<std::pair<Endpoint, std::vector<std::byte>>> network_;
  std::map<MappingKey, Promise> promises_;
  std::uint64_t answered_ = 0;
};

auto simulate_run(std::uint64_t seed, std::uint64_t steps) -> std::optional<std::string> {
  Simulation simulation(seed);
  for (std::uint64_t step = 1; step <= steps; ++step) {
    if (auto broken = simulation.step()) return fmt::format("step {}: {}", step, *broken);
    if (step % 500 != 0) continue;
    if (auto broken = simulation.quiesce()) return fmt::format("quiet after step {}: {}", step, *broken);
  }
  if (auto left = simulation.run_out()) return fmt::format("run out: {}", *left);
  if (simulation.answered() < steps / 20) return fmt::format("only {} answers", simulation.answered());
  return {};
}

}  // namespace
}  // namespace portolan::server

auto main(int argc, char** argv) -> int {
  return portolan::sim::simulate(
      {.name = "server_sim",
       .description = "Simulates the PCP server engine and checks that nothing acknowledged is lost",
       .steps = 5000,
       .run = portolan::server::simulate_run},
      argc, argv);
}
