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
#include "wire/options.h"

namespace portolan::server {

/// An answer with its octets kept alive.
struct Answer {
  Endpoint client;
  std::vector<std::byte> octets;

  [[nodiscard]] auto response() const -> wire::Response {
    const auto decoded = wire::decode_response(octets, {.version_1 = true});
    PORTOLAN_CHECK(decoded);
    return *decoded;
  }
  [[nodiscard]] auto map() const -> wire::MapResponse { return std::get<wire::MapResponse>(response().body); }
  [[nodiscard]] auto peer() const -> wire::PeerResponse {
    return std::get<wire::PeerResponse>(response().body);
  }
  /// Codes of its options, in order.
  [[nodiscard]] auto options() const -> std::vector<wire::OptionCode> {
    std::vector<wire::OptionCode> codes;
    for (const wire::Option& option : response().options) codes.push_back(option.code);
    return codes;
  }
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

/// Values of a PEER request; defaults ask for UDP 3938 towards 198.51.100.7:5060.
struct PeerAsk {
  const char* from = "2001:db8:112::1";
  std::uint16_t internal_port = 3938;
  std::uint16_t suggested_external_port = 0;
  std::uint32_t lifetime_s = 3600;
  std::uint8_t nonce = 1;
  const char* remote_peer = "2001:db8:64:ff9b::198.51.100.7";
  std::uint16_t remote_peer_port = 5060;
};

inline auto encode(const PeerAsk& ask) -> wire::Datagram {
  Nonce nonce;
  nonce.octets.fill(std::byte{ask.nonce});
  return wire::encode_request(
      {.opcode = wire::Opcode::peer,
       .requested_lifetime_s = ask.lifetime_s,
       .client_address = *IpAddress::parse(ask.from),
       .body = wire::PeerRequest{.nonce = nonce,
                                 .protocol = Protocol::udp,
                                 .internal_port = Port{ask.internal_port},
                                 .suggested_external_port = Port{ask.suggested_external_port},
                                 .suggested_external_address = IpAddress::unspecified(Family::ipv4),
                                 .remote_peer_port = Port{ask.remote_peer_port},
                                 .remote_peer_address = *IpAddress::parse(ask.remote_peer)},
       .options = {}});
}

/// The octets of a request with `options` behind it.
template <typename... Options>
auto with(wire::Datagram request, const Options&... options) -> std::vector<std::byte> {
  PORTOLAN_CHECK((wire::append_option(request, options) && ...));
  return {request.octets().begin(), request.octets().end()};
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
    inbound.reserve(datagrams.size());
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
    results.reserve(apply.operations.size());
    for (const auto& operation : apply.operations)
      results.push_back(refuses(operation) ? device::Result(std::unexpected(*device_refuses))
                                           : nat.apply(now, operation));
    server.applied(now, apply.batch, results);
    collect();
    return true;
  }
  /// The device goes out of reach. Batches that were not answered wait for reconciled(), but those that
  /// reconcile; with `has_done_next` it has carried out the next one, and its answer is lost.
  void disconnect(bool has_done_next = false) {
    if (has_done_next && !applying.empty())
      for (const auto& operation : applying.front().operations) static_cast<void>(nat.apply(now, operation));
    std::deque<Apply> unanswered = std::exchange(applying, {});
    is_connected = is_reconciled = false;
    for (Apply& apply : unanswered) {
      if (!apply.reconciles)
        parked.push_back(std::move(apply));
      else
        answer_unreachable(apply);
    }
  }
  /// The device starts anew, out of reach, and has forgotten everything but its configuration.
  void restart_device(device::SimulatedConfig config, bool has_done_next = false) {
    disconnect(has_done_next);
    nat = device::SimulatedNat(std::move(config));
  }
  /// The device has been out of reach for too long.
  void give_up() {
    for (const Apply& apply : std::exchange(parked, {})) answer_unreachable(apply);
  }
  /// The device is back, and tells what it has in parts of `part` things.
  void connect(std::size_t part = 1000) {
    is_connected = true;
    const device::Inventory whole = nat.inventory(now);
    bool is_first = true;
    for (std::size_t i = 0; i < whole.profiles.size(); ++i, is_first = false) {
      server.connected(now, {.profiles = {whole.profiles[i]}, .is_first = is_first, .is_last = false});
      collect();
    }
    for (std::size_t first = 0;; first += part) {
      device::Inventory inventory{.is_first = is_first && first == 0};
      for (std::size_t i = first; i < first + part; ++i) {
        if (i < whole.mappings.size()) inventory.mappings.push_back(whole.mappings[i]);
        if (i < whole.peers.size()) inventory.peers.push_back(whole.peers[i]);
      }
      inventory.is_last = first + part >= std::max(whole.mappings.size(), whole.peers.size());
      server.connected(now, inventory);
      collect();
      if (inventory.is_last) return;
    }
  }

  /// The store answers the outstanding commit. Returns false if there is none.
  auto commit_next() -> bool {
    if (!committing) return false;
    const Commit commit = std::move(*committing);
    committing.reset();
    if (!store_fails) {
      for (const store::Row& row : commit.rows) {
        if (const auto* put = std::get_if<store::PutMapping>(&row)) {
          stored[put->contract.key] = put->contract;
          stored_since[put->contract.key] = put->state_since;
        } else if (const auto* drop = std::get_if<store::DropMapping>(&row))
          stored.erase(drop->key);
        else if (const auto* path = std::get_if<store::PutPath>(&row))
          stored_paths[path->number] = *path;
        else if (const auto* user = std::get_if<store::PutUser>(&row))
          stored_users[user->user.users] = user->user;
        else if (const auto* gone = std::get_if<store::DropUser>(&row))
          stored_users.erase(gone->users);
        else if (const auto* fixed = std::get_if<store::PutStatic>(&row))
          stored_statics[fixed->mapping.key] = fixed->mapping;
        else if (const auto* dropped = std::get_if<store::DropStatic>(&row))
          stored_statics.erase(dropped->key);
        else
          stored_epoch = std::get<store::PutEpoch>(row);
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

  /// Lets an operation of the operator's come to its end; what it was refused at once is its end too.
  auto outcome_of(const std::expected<OperationId, Failure>& begun) -> std::expected<Outcome, Failure> {
    collect();
    if (!begun) return std::unexpected(begun.error());
    for (int turn = 0; turn < 100; ++turn) {
      const auto found = std::ranges::find(finished, *begun, &Finished::id);
      if (found != finished.end()) return found->result;
      pass(turn < 50 ? Milliseconds{10} : Milliseconds{1000});
    }
    PORTOLAN_CHECK(false);
    return {};
  }
  /// Why it was not done, if it was not.
  auto reason_of(const std::expected<OperationId, Failure>& begun) -> std::optional<Failure::Reason> {
    const auto result = outcome_of(begun);
    return result ? std::nullopt : std::optional(result.error().reason);
  }
  /// All of a listing, page by page.
  [[nodiscard]] auto users(const UserFilter& filter = {}) const -> std::vector<UserView> {
    return all_pages<UserView>([&](const Cursor& cursor) { return server.list_users(now, filter, cursor); });
  }
  [[nodiscard]] auto mappings(const MappingFilter& filter = {}) const -> std::vector<MappingView> {
    return all_pages<MappingView>(
        [&](const Cursor& cursor) { return server.list_mappings(now, filter, cursor); });
  }

  /// The device's external addresses change, and the server hears what became of mappings, if it can.
  void set_pool(std::vector<IpAddress> pool) {
    const auto events = nat.set_pool(now, std::move(pool));
    if (!is_connected) return;
    server.happened(now, events);
    collect();
  }

  /// Sends one request, lets everything settle and returns the answer to it.
  auto ask(const MapAsk& ask) -> Answer {
    receive({ask});
    settle();
    return take_answer();
  }
  /// The same for octets from a client.
  auto ask(const char* from, std::vector<std::byte> octets) -> Answer {
    receive({{Endpoint{*IpAddress::parse(from), Port{12345}}, std::move(octets)}});
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
    if (auto broken = server.broken_invariant(now)) return broken;
    const auto at_device = nat.explicit_mappings(now);
    std::optional<std::string> found;
    server.contracts().for_each([&](const Contract& contract) {
      const auto row = stored.find(contract.key);
      if (contract.is_static == (row != stored.end()) || (!contract.is_static && row->second != contract))
        found = fmt::format("the store does not have the contract of port {}", contract.external_port);
      if (contract.expires <= now) return;
      if (contract.key.is_peer()) return;
      const auto mapping = at_device.find(contract.key.mapping);
      if (mapping == at_device.end() ||
          mapping->second != Endpoint{contract.external_address, contract.external_port})
        found = fmt::format("the device does not have the contract of port {}", contract.external_port);
    });
    for (const auto& [key, external] : nat.explicit_mappings(now + slack))
      if (server.contracts().find({.mapping = key, .remote_peer = {}}) == nullptr)
        found = fmt::format("{} is at the device without a contract", external);
    if (found) return found;
    ProfileTable profiles = server.device_profiles().wanted();
    for (const auto& [key, refusal] : server.device_profiles().refused()) profiles.erase(key);
    ProfileTable held;
    for (const device::PutProfile& profile : nat.profiles())
      held.insert_or_assign({profile.realm, profile.internal_prefix}, profile);
    if (profiles != held) return fmt::format("{} profiles wanted, {} held", profiles.size(), held.size());
    std::map<Prefix, Profile> by_hand;
    for (const UserView& view : users({.within = {}, .origin = Origin::by_hand}))
      by_hand[view.prefix] = {.users = view.prefix,
                              .policy = view.policy,
                              .allotment = view.allotment,
                              .subscriber_prefix_length = view.subscriber_prefix_length};
    if (by_hand != stored_users)
      return fmt::format("{} users were added by hand, {} are stored", by_hand.size(), stored_users.size());
    if (server.gauges().statics_by_hand != stored_statics.size())
      return fmt::format("{} static mappings were added by hand, {} are stored",
                         server.gauges().statics_by_hand, stored_statics.size());
    for (const auto& [key, mapping] : stored_statics) {
      const auto view = server.find_mapping(now, {.mapping = key, .remote_peer = {}});
      if (!view || view->origin != Origin::by_hand) return "a static mapping is stored that is none";
    }
    std::size_t promised = 0;
    server.contracts().for_each([&](const Contract& contract) { promised += contract.is_static ? 0 : 1; });
    if (stored.size() != promised)
      return fmt::format("{} contracts, {} stored", server.contracts().size(), stored.size());
    return {};
  }

  SeededRandom random;
  TimePoint now{Seconds{1000}};
  device::SimulatedNat nat;
  Server server;
  std::deque<Apply> applying;
  std::optional<Commit> committing;
  std::map<ContractKey, Contract> stored;
  std::map<ContractKey, TimePoint> stored_since;
  std::map<std::uint16_t, store::PutPath> stored_paths;
  std::map<Prefix, Profile> stored_users;
  std::map<MappingKey, StaticMapping> stored_statics;
  std::optional<store::PutEpoch> stored_epoch;
  std::deque<Answer> answers;
  /// What was multicast.
  std::deque<Answer> announced;
  std::vector<RefusedStatic> refused_statics;
  std::vector<RefusedProfile> refused_profiles;
  std::vector<Finished> finished;
  std::vector<Overruled> overruled;
  bool store_fails = false;
  bool is_connected = true;
  bool is_reconciled = true;
  /// Batches of apply() that wait until the device is back and reconciled.
  std::deque<Apply> parked;
  /// What the device says to new mappings, if anything. What it has it keeps and takes back.
  std::optional<device::Refusal> device_refuses;

  /// Takes what the server wants done: after calls that are not made here.
  void collect() {
    Actions actions = server.take_actions();
    for (Apply& apply : actions.apply) {
      if (is_connected)
        applying.push_back(std::move(apply));
      else
        parked.push_back(std::move(apply));
    }
    if (actions.reconciled) {
      is_reconciled = true;
      std::ranges::move(std::exchange(parked, {}), std::back_inserter(applying));
    }
    PORTOLAN_CHECK(actions.commit.size() + (committing ? 1 : 0) <= 1);
    for (Commit& commit : actions.commit) committing = std::move(commit);
    for (const Send& send : actions.send) {
      const auto octets = actions.octets_of(send.message);
      answers.push_back({.client = send.client, .octets = {octets.begin(), octets.end()}});
    }
    std::ranges::move(actions.refused_statics, std::back_inserter(refused_statics));
    std::ranges::move(actions.refused_profiles, std::back_inserter(refused_profiles));
    std::ranges::move(actions.finished, std::back_inserter(finished));
    std::ranges::move(actions.overruled, std::back_inserter(overruled));
    for (const Multicast& multicast : actions.multicast) {
      const auto octets = actions.octets_of(multicast.message);
      announced.push_back({.client = {}, .octets = {octets.begin(), octets.end()}});
    }
  }

 private:
  template <typename Row, typename List>
  [[nodiscard]] static auto all_pages(List list) -> std::vector<Row> {
    std::vector<Row> rows;
    for (std::optional<Cursor> cursor = Cursor{}; cursor;) {
      Page<Row> page = list(*cursor);
      PORTOLAN_CHECK(page.rows.size() <= page_rows_max);
      std::ranges::move(page.rows, std::back_inserter(rows));
      cursor = page.next;
    }
    return rows;
  }
  static auto with_epoch(Config config, TimePoint base) -> Config {
    config.epoch_base = base;
    return config;
  }
  void answer_unreachable(const Apply& apply) {
    const std::vector<device::Result> results(apply.operations.size(),
                                              std::unexpected(device::Refusal::unreachable));
    server.applied(now, apply.batch, results);
    collect();
  }
  [[nodiscard]] auto refuses(const device::Operation& operation) const -> bool {
    const auto* install = std::get_if<device::Install>(&operation);
    return device_refuses && install != nullptr && install->match == device::Match::suggested &&
           !server.contracts().find({.mapping = install->key, .remote_peer = {}});
  }
};

}  // namespace portolan::server
