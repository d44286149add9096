// SPDX-License-Identifier: BSD-2-Clause
#include "sim/client_run.h"

#include <algorithm>
#include <array>
#include <span>

#include <fmt/format.h>

#include "client/requests.h"
#include "wire/nat_pmp.h"

namespace portolan::sim {
namespace {

constexpr std::size_t hosts_count = 4;
constexpr std::uint16_t ports = 3;
constexpr Seconds lifetime_max_here{600};
constexpr std::size_t network_packets_max = 4096;
/// The longest error, half an hour, behind the longest retransmission, and then the life of another's
/// mapping.
constexpr Seconds long_quiet{4200};

/// IPv4 addresses of a host, which come back to it.
constexpr std::uint16_t addresses_per_host = 48;

auto server_address(Family family) -> IpAddress {
  return *IpAddress::parse(family == Family::ipv6 ? "2001:db8:112::1" : "198.51.100.254");
}

/// What a host behind a NAT64, or a NAT44, sees of somebody.
auto remote_prefix(Family family) -> Prefix {
  return *Prefix::parse(family == Family::ipv6 ? "2001:db8:64::/96" : "203.0.113.128/25");
}
auto remote_peer(Family family) -> Endpoint {
  return {.address = *IpAddress::parse(family == Family::ipv6 ? "2001:db8:64::c633:6407" : "203.0.113.207"),
          .port = Port{5060}};
}

auto external(unsigned number) -> IpAddress { return IpAddress{Ipv4Address{0xc000020eU + number}}; }

auto is_nat_pmp(std::span<const std::byte> octets) -> bool {
  return !octets.empty() && octets.front() == std::byte{wire::nat_pmp::version};
}

auto server_config(Family family) -> server::Config {
  server::Config config;
  config.minimum_lifetime = Seconds{30};
  config.maximum_lifetime = lifetime_max_here;
  config.policy.mappings_max = 8;
  config.inside[0].interface = "phone0";
  config.inside[0].subscriber_prefix_length = 128;
  config.inside[0].families = {family};
  return config;
}

auto device_config(const std::vector<IpAddress>& pool) -> device::SimulatedConfig {
  return {.pool = pool, .first_port = Port{4000}, .last_port = Port{4063}};
}

}  // namespace

ClientRun::ClientRun(Choices& choices, std::uint64_t seed)
    : choices_(choices),
      family_(choices.one_in(2) ? Family::ipv4 : Family::ipv6),
      server_endpoint_{.address = server_address(family_), .port = Port{5351}} {
  begin_server(seed);
  now_ = server_->now;
  PORTOLAN_CHECK(server_->server.restore(now_, {}, {}).has_value());
  server_->settle();
  for (std::size_t i = 0; i < hosts_count; ++i) {
    Host& host = hosts_.emplace_back();
    host.random = std::make_unique<SeededRandom>(seed * hosts_count + i + 1);
    host.client = std::make_unique<client::Client>(client::ClientConfig{}, *host.random);
    change_address(i);
  }
}

void ClientRun::begin_server(std::uint64_t seed) {
  const std::vector<IpAddress> pool{external(static_cast<unsigned>(choices_.below(2)))};
  server_ = std::make_unique<server::World>(server_config(family_), device_config(pool), seed);
  learn(pool);
}

void ClientRun::change_pool(const std::vector<IpAddress>& pool) {
  learn(pool);
  server_->set_pool(pool);
}

/// NAT-PMP tells the address apart from mappings.
void ClientRun::learn(const std::vector<IpAddress>& pool) {
  if (family_ == Family::ipv4) server_->server.learn_address(server_->now, pool.front().ipv4());
}

void ClientRun::tell_servers(Host& host) {
  client::Server router{.name = "router",
                        .paths = {{.server = server_endpoint_, .client_address = host.address}}};
  for (const IpAddress& address : host.addresses)
    if (address != host.address)
      router.other_paths.push_back({.server = server_endpoint_, .client_address = address});
  host.client->set_servers(now_, {router});
}

auto ClientRun::address_of(std::size_t host, std::uint16_t number) const -> IpAddress {
  if (family_ == Family::ipv4)
    return IpAddress{Ipv4Address{
        0xc6336401U + static_cast<std::uint32_t>(host * addresses_per_host + number % addresses_per_host)}};
  Ipv6Address address = server_endpoint_.address.bits();
  address.octets[13] = static_cast<std::uint8_t>(host + 1);
  address.octets[14] = static_cast<std::uint8_t>(number >> 8U);
  address.octets[15] = static_cast<std::uint8_t>(number);
  return IpAddress{address};
}

void ClientRun::change_address(std::size_t index) {
  Host& host = hosts_[index];
  // The old one is lost at once, or deprecated.
  if (choices_.one_in(2)) host.addresses.clear();
  host.address = address_of(index, ++last_address_);
  host.addresses.insert(host.address);
  tell_servers(host);
  carry_out(index);
}

auto ClientRun::seen_by_server(const Host& host, std::size_t index, const IpAddress& source) const
    -> IpAddress {
  if (!host.is_behind_nat) return source;
  if (family_ == Family::ipv4) return IpAddress{Ipv4Address{0xcb007101U + static_cast<std::uint32_t>(index)}};
  Ipv6Address address = server_endpoint_.address.bits();
  address.octets[12] = 0xff;
  address.octets[15] = static_cast<std::uint8_t>(index + 1);
  return IpAddress{address};
}

void ClientRun::transmit(const Packet& packet) {
  if (is_partitioned_ || choices_.below(1000) < loss_per_mille_ || network_.size() >= network_packets_max)
    return;
  const std::uint64_t copies = loss_per_mille_ != 0 && choices_.one_in(10) ? 2 : 1;
  for (std::uint64_t i = 0; i < copies; ++i) {
    const Milliseconds delay{static_cast<Milliseconds::rep>(
        1 + (loss_per_mille_ != 0 && choices_.one_in(10) ? choices_.below(4000) : choices_.below(30)))};
    network_.emplace(now_ + delay, packet);
  }
}

void ClientRun::carry_out(std::size_t index) {
  Host& host = hosts_[index];
  client::ClientActions actions = host.client->take_actions();
  for (const client::ClientEvent& event : actions.events)
    if (const auto* granted = std::get_if<client::Granted>(&event.event)) {
      ++granted_;
      if (granted->mapping.is_nat_pmp) ++granted_by_nat_pmp_;
    }
  for (const client::ClientSend& send : actions.send) {
    if (!host.addresses.contains(send.path.client_address)) continue;
    const auto octets = send.datagram.octets();
    transmit(
        {.host = index,
         .is_to_server = true,
         .client = {.address = seen_by_server(host, index, send.path.client_address), .port = Port{40000}},
         .octets = {octets.begin(), octets.end()}});
  }
}

void ClientRun::send_answers() {
  for (; !server_->answers.empty(); server_->answers.pop_front()) {
    server::Answer& answer = server_->answers.front();
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      const bool is_here = std::ranges::any_of(hosts_[i].addresses, [&](const IpAddress& address) {
        return seen_by_server(hosts_[i], i, address) == answer.client.address;
      });
      if (is_here) transmit({.host = i, .client = answer.client, .octets = answer.octets});
    }
  }
  for (; !server_->announced.empty(); server_->announced.pop_front()) {
    const std::vector<std::byte>& octets = server_->announced.front().octets;
    if (speaks_only_nat_pmp_ && !is_nat_pmp(octets)) continue;
    for (std::size_t i = 0; i < hosts_.size(); ++i)
      transmit({.host = i, .is_multicast = true, .client = {}, .octets = octets});
  }
}

void ClientRun::deliver(const Packet& packet) {
  if (packet.is_to_server) {
    if (now_ < server_back_) return;
    if (speaks_only_nat_pmp_ && !is_nat_pmp(packet.octets)) return refuse_version(packet);
    server_->receive({{packet.client, packet.octets}});
    server_->settle();
    return;
  }
  Host& host = hosts_[packet.host];
  if (packet.is_multicast) {
    host.client->receive(now_, std::nullopt, 0, server_endpoint_, packet.octets);
  } else {
    for (const IpAddress& address : host.addresses)
      if (seen_by_server(host, packet.host, address) == packet.client.address)
        host.client->receive(now_, address, 0, server_endpoint_, packet.octets);
  }
  carry_out(packet.host);
}

/// RFC 6886 s3.5: to any version but its own.
void ClientRun::refuse_version(const Packet& request) {
  const auto epoch = std::chrono::floor<Seconds>(now_.time_since_epoch());
  std::vector<std::byte> octets(wire::nat_pmp::unsupported_version_octets);
  const std::size_t size =
      wire::nat_pmp::write_response({.result = wire::nat_pmp::ResultCode::unsupported_version,
                                     .epoch_time_s = static_cast<std::uint32_t>(epoch.count()),
                                     .body = wire::nat_pmp::UnsupportedVersion{}},
                                    octets);
  octets.resize(size);
  transmit({.host = request.host, .client = request.client, .octets = std::move(octets)});
}

auto ClientRun::run_until(TimePoint end) -> std::optional<std::string> {
  for (std::uint64_t turns = 0;; ++turns) {
    if (turns > 1'000'000) return "time does not pass";
    TimePoint next = end;
    if (!network_.empty()) next = std::min(next, network_.begin()->first);
    if (now_ < server_back_)
      next = std::min(next, server_back_);
    else if (const auto deadline = server_->server.next_deadline())
      next = std::min(next, *deadline);
    for (const Host& host : hosts_)
      if (const auto deadline = host.client->next_deadline()) next = std::min(next, *deadline);
    const bool was_away = now_ < server_back_;
    now_ = std::max(now_, next);
    if (was_away && now_ >= server_back_) restart_server(keeps_state_);
    if (now_ >= server_back_) server_->pass(now_ - server_->now);
    if (!network_.empty() && network_.begin()->first <= now_) {
      const Packet packet = std::move(network_.begin()->second);
      network_.erase(network_.begin());
      deliver(packet);
    }
    for (std::size_t i = 0; i < hosts_.size(); ++i) {
      hosts_[i].client->advance(now_);
      carry_out(i);
    }
    send_answers();
    if (auto wrong = broken()) return wrong;
    if (now_ >= end) return {};
  }
}

void ClientRun::restart_server(bool keeps_state) {
  auto before = std::move(server_);
  begin_server(choices_.below(1U << 30U));
  server_->now = now_;
  // Without its state it may as well be another one.
  if (!keeps_state && family_ == Family::ipv4) speaks_only_nat_pmp_ = choices_.one_in(2);
  if (speaks_only_nat_pmp_) has_always_spoken_pcp_ = false;
  std::vector<store::Row> rows;
  if (keeps_state) {
    server_->stored = before->stored;
    server_->stored_since = before->stored_since;
    server_->stored_paths = before->stored_paths;
    server_->stored_epoch = before->stored_epoch;
    for (const auto& [key, contract] : before->stored)
      rows.emplace_back(store::PutMapping{.contract = contract, .state_since = before->stored_since.at(key)});
    for (const auto& [number, path] : before->stored_paths) rows.emplace_back(path);
    if (before->stored_epoch) rows.emplace_back(*before->stored_epoch);
  }
  constexpr std::array<std::uint32_t, 1> interfaces{7};
  PORTOLAN_CHECK(server_->server.restore(now_, rows, interfaces).has_value());
  server_->connect();
  server_->settle();
}

void ClientRun::want(Host& host) {
  client::ClientWish wish;
  wish.wish.protocol = choices_.one_in(2) ? Protocol::udp : Protocol::tcp;
  wish.wish.internal_port = Port{static_cast<std::uint16_t>(8000 + choices_.below(ports))};
  wish.wish.lifetime = Seconds{static_cast<Seconds::rep>(1 + choices_.below(900))};
  if (choices_.one_in(3))
    wish.wish.suggested_external_port = Port{static_cast<std::uint16_t>(4000 + choices_.below(64))};
  if (choices_.one_in(4)) {
    // A port that somebody wishes for and another one has would be refused for as long (RFC 6887 s12.1).
    wish.wish.suggested_external_port = Port{0};
    wish.wish.internal_port.value += 100;
    wish.wish.remote_peer = remote_peer(family_);
  } else if (choices_.one_in(6))
    wish.wish.filters = {{.remote_peers = remote_prefix(family_), .remote_port = Port{0}}};
  if (choices_.one_in(6)) wish.wish.description = "sim";
  if (choices_.one_in(4)) wish.client_address = host.address;
  // Two wishes for one port of one host are for one mapping, and the nonce of one of them is wrong.
  for (const auto& [id, wanted] : host.wishes)
    if (wanted.wish.protocol == wish.wish.protocol && wanted.wish.internal_port == wish.wish.internal_port)
      return;
  host.wishes.emplace(host.client->add(now_, wish), wish);
}

void ClientRun::drop(Host& host) {
  if (host.wishes.empty()) return;
  auto chosen = host.wishes.begin();
  std::advance(chosen, choices_.below(host.wishes.size()));
  if (choices_.one_in(4))
    host.client->forget(chosen->first);
  else
    host.client->remove(now_, chosen->first);
  host.wishes.erase(chosen);
}

void ClientRun::act() {
  const std::size_t index = choices_.below(hosts_.size());
  Host& host = hosts_[index];
  switch (choices_.below(14)) {
    case 0:
    case 1:
    case 2: want(host); break;
    case 3: drop(host); break;
    case 4: change_address(index); break;
    case 5: loss_per_mille_ = choices_.one_in(2) ? choices_.below(600) : 0; break;
    case 6: is_partitioned_ = choices_.one_in(3); break;
    case 7:
      keeps_state_ = choices_.one_in(2);
      server_back_ = now_ + Milliseconds{static_cast<Milliseconds::rep>(1 + choices_.below(60'000))};
      break;
    case 8:
      if (now_ >= server_back_) change_pool({external(static_cast<unsigned>(choices_.below(3)))});
      break;
    case 9: host.is_behind_nat = choices_.one_in(3); break;
    case 10: server_->store_fails = choices_.one_in(3); break;
    case 11:
      server_->device_refuses =
          choices_.one_in(3) ? std::optional(device::Refusal::no_resources) : std::nullopt;
      break;
    default: break;  // only time passes
  }
  if (now_ >= server_back_) server_->settle();
  carry_out(index);
}

auto ClientRun::step() -> std::optional<std::string> {
  act();
  const Milliseconds pause{static_cast<Milliseconds::rep>(choices_.one_in(8) ? choices_.below(2'000'000)
                                                                             : choices_.below(20'000))};
  return run_until(now_ + pause);
}

auto ClientRun::run_out() -> std::optional<std::string> {
  loss_per_mille_ = 0;
  is_partitioned_ = false;
  server_back_ = std::min(server_back_, now_ + Seconds{1});
  if (auto wrong = run_until(now_ + Seconds{2})) return wrong;
  server_->store_fails = false;
  server_->device_refuses.reset();
  for (Host& host : hosts_) host.is_behind_nat = false;
  if (auto wrong = run_until(now_ + long_quiet)) return wrong;
  // A renewal may be on its way.
  for (int i = 0; i < 1000 && !network_.empty(); ++i)
    if (auto wrong = run_until(now_ + Milliseconds{1})) return wrong;
  return difference();
}

auto ClientRun::broken() const -> std::optional<std::string> {
  for (const Host& host : hosts_)
    if (auto wrong = host.client->broken_invariant()) return "client: " + *wrong;
  if (now_ >= server_back_)
    if (auto wrong = server_->server.broken_invariant(now_)) return "server: " + *wrong;
  return {};
}

auto ClientRun::difference() const -> std::optional<std::string> {
  if (auto wrong = server_->disagreement(lifetime_max_here)) return "server: " + *wrong;
  std::size_t held_in_all = 0;
  for (const Host& host : hosts_) {
    for (const auto& [id, asked] : host.wishes) {
      const client::Wish& wish = asked.wish;
      const auto held = host.client->held(id);
      const bool is_at_home = !asked.client_address || host.addresses.contains(*asked.client_address);
      const bool can_be = is_at_home && (!speaks_only_nat_pmp_ ||
                                         client::nat_pmp_objection(wish) == wire::ResultCode::success);
      if (held.size() != (can_be ? 1U : 0U))
        return fmt::format("{} mappings for one wish that {} be", held.size(), can_be ? "can" : "can't");
      held_in_all += held.size();
      for (const client::Held& one : held)
        if (auto wrong = difference(wish, one.mapping)) return wrong;
    }
  }
  const std::size_t contracts = server_->server.contracts().size();
  if (contracts != held_in_all) return fmt::format("{} contracts, {} held", contracts, held_in_all);
  return {};
}

auto ClientRun::difference(const client::Wish& wish, const client::Mapping& mapping) const
    -> std::optional<std::string> {
  if (speaks_only_nat_pmp_ && !mapping.is_nat_pmp) return "a mapping of PCP with who never spoke it";
  if (has_always_spoken_pcp_ && mapping.is_nat_pmp) return "NAT-PMP with who speaks PCP";
  const Contract* contract =
      server_->server.contracts().find({.mapping = {.realm = {},
                                                    .internal_address = mapping.internal.address,
                                                    .protocol = mapping.protocol,
                                                    .external_family = mapping.external.address.family(),
                                                    .internal_port = mapping.internal.port},
                                        .remote_peer = mapping.remote_peer.value_or(Endpoint{})});
  if (contract == nullptr) return fmt::format("the server knows nothing of {}", mapping.external);
  if (Endpoint{contract->external_address, contract->external_port} != mapping.external)
    return fmt::format("the client has {}, the server port {}", mapping.external, contract->external_port);
  if (!mapping.is_nat_pmp && contract->nonce != mapping.nonce)
    return fmt::format("another nonce of {}", mapping.external);
  if (contract->filters().empty() == mapping.is_filtered || wish.filters.empty() == mapping.is_filtered)
    return fmt::format("{} is filtered at one end only", mapping.external);
  const Nanoseconds apart = contract->expires - mapping.expires;
  if (apart < -Seconds{2} || apart > Seconds{2})
    return fmt::format("{} ends at different times, {} ms apart", mapping.external,
                       std::chrono::duration_cast<Milliseconds>(apart).count());
  return {};
}

}  // namespace portolan::sim
