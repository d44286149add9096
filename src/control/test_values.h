// SPDX-License-Identifier: BSD-2-Clause
//
// Messages drawn at random, for tests.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "control/messages.h"

namespace portolan::control {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : engine_(seed) {}

  /// 0 to `maximum`, ends more often than others.
  auto number(std::uint64_t maximum = UINT64_MAX) -> std::uint64_t {
    switch (engine_() % 8) {
      case 0: return 0;
      case 1: return maximum;
      case 2: return std::min<std::uint64_t>(maximum, 1);
      default: return maximum == UINT64_MAX ? engine_() : engine_() % (maximum + 1);
    }
  }
  auto flag() -> bool { return engine_() % 2 == 0; }
  auto word() -> std::uint32_t { return static_cast<std::uint32_t>(number(UINT32_MAX)); }
  auto short_word() -> std::uint16_t { return static_cast<std::uint16_t>(number(UINT16_MAX)); }
  auto port() -> Port { return Port{short_word()}; }
  auto port_count() -> std::uint16_t { return std::max<std::uint16_t>(short_word(), 1); }
  auto seconds() -> Seconds { return Seconds{word()}; }
  auto lifetime() -> Seconds { return std::max(seconds(), Seconds{1}); }
  auto protocol() -> Protocol { return static_cast<Protocol>(number(255)); }
  auto family() -> Family { return flag() ? Family::ipv4 : Family::ipv6; }
  auto ipv4() -> Ipv4Address { return Ipv4Address{word()}; }
  auto address() -> IpAddress {
    if (flag()) return IpAddress{ipv4()};
    Ipv6Address made;
    for (auto& octet : made.octets) octet = static_cast<std::uint8_t>(number(255));
    return IpAddress{made};
  }
  auto endpoint() -> Endpoint { return {address(), port()}; }
  auto prefix() -> Prefix { return Prefix{address(), static_cast<unsigned>(number(128))}; }
  auto range() -> PortRange {
    const auto [first, last] = std::minmax({port(), port()});
    return {.first = first, .last = last};
  }
  auto text() -> std::string {
    return std::string(number(text_octets_max), static_cast<char>('a' + engine_() % 26));
  }
  auto key() -> MappingKey {
    return {.realm = Realm{static_cast<std::uint16_t>(word())},
            .internal_address = address(),
            .protocol = protocol(),
            .external_family = family(),
            .internal_port = port()};
  }
  auto query_number() -> QueryNumber { return {std::max(word(), 1U)}; }

  /// Up to `maximum` elements, mostly few.
  template <typename Make>
  auto list(std::size_t maximum, Make make) -> std::vector<decltype(make())> {
    std::vector<decltype(make())> made(std::min<std::size_t>(maximum, engine_() % 4));
    std::ranges::generate(made, make);
    return made;
  }
  template <typename Make>
  auto maybe(Make make) -> std::optional<decltype(make())> {
    return flag() ? std::optional(make()) : std::nullopt;
  }

  auto filters() -> std::vector<RemoteFilter> {
    return list(filters_max, [&] { return RemoteFilter{.remote_peers = prefix(), .remote_port = port()}; });
  }
  auto operation() -> device::Operation {
    switch (engine_() % 6) {
      case 0:
        return device::Install{.key = key(),
                               .external_address = address(),
                               .external_port = port(),
                               .match = flag() ? device::Match::exact : device::Match::suggested,
                               .lifetime = lifetime(),
                               .filters = filters(),
                               .port_count = port_count(),
                               .preserve_parity = flag(),
                               .external_ports = range(),
                               .reserves_companion = flag(),
                               .is_restoration = flag(),
                               .is_bound_to_address = flag(),
                               .given_address = address()};
      case 1: return device::Remove{.key = key(), .port_count = port_count()};
      case 2:
        return device::InstallPeer{.key = key(),
                                   .remote_peer = endpoint(),
                                   .external_address = address(),
                                   .external_port = port(),
                                   .lifetime = lifetime(),
                                   .external_ports = range(),
                                   .given_address = address()};
      case 3: return profile();
      case 4: return device::DropProfile{.realm = key().realm, .internal_prefix = prefix()};
      default: return device::ReleasePeer{.key = key(), .remote_peer = endpoint()};
    }
  }
  auto profile() -> device::PutProfile {
    return {.realm = key().realm,
            .internal_prefix = prefix(),
            .subscriber_prefix_length = static_cast<std::uint8_t>(number(255)),
            .external_address = address(),
            .external_ports = range(),
            .port_block_size = short_word(),
            .ports_max = word(),
            .sessions_max = word(),
            .sessions_per_second_max = word()};
  }
  auto result() -> device::Result {
    if (flag()) return std::unexpected(static_cast<device::Refusal>(number(7)));
    return device::Applied{.external_address = address(),
                           .external_port = port(),
                           .lifetime = seconds(),
                           .port_count = port_count()};
  }
  auto event() -> device::Event {
    switch (engine_() % 3) {
      case 0:
        return device::Moved{
            .key = key(), .port_count = port_count(), .external_address = address(), .external_port = port()};
      case 1: return device::Lost{key()};
      default: return device::LostPeer{.key = key(), .remote_peer = endpoint()};
    }
  }
  auto mapping() -> device::MappingRecord {
    return {.key = key(),
            .external_address = address(),
            .external_port = port(),
            .port_count = port_count(),
            .remaining = seconds(),
            .filters = filters(),
            .external_ports = range(),
            .is_bound_to_address = flag(),
            .preserve_parity = flag()};
  }
  auto peer() -> device::PeerRecord {
    return {.key = key(),
            .remote_peer = endpoint(),
            .external_address = address(),
            .external_port = port(),
            .remaining = seconds()};
  }
  auto pool() -> std::vector<nat::PoolRange> {
    return list(pool_ranges_max, [&] {
      const auto [first, last] = std::minmax({ipv4().value, ipv4().value});
      nat::PoolRange made(Ipv4Address{first}, Ipv4Address{last});
      made.weight = std::max(static_cast<std::uint32_t>(number(nat::pool_weight_max)), 1U);
      made.ports = range();
      return made;
    });
  }
  auto filter() -> nat::RowFilter {
    return {.internal = prefix(),
            .protocol = maybe([&] { return protocol(); }),
            .internal_port = maybe([&] { return port(); }),
            .external_address = maybe([&] { return ipv4(); }),
            .external_port = maybe([&] { return port(); }),
            .remote_address = maybe([&] { return ipv4(); }),
            .remote_port = maybe([&] { return port(); }),
            .only_explicit = flag()};
  }
  auto binding() -> nat::BindingRow {
    return {.protocol = protocol(),
            .internal = endpoint(),
            .external = endpoint(),
            .is_explicit = flag(),
            .port_count = port_count(),
            .remaining = seconds(),
            .sessions = word(),
            .filters = short_word()};
  }
  auto session() -> nat::SessionRow {
    return {.protocol = protocol(),
            .internal = endpoint(),
            .external = endpoint(),
            .remote = endpoint(),
            .state = maybe([&] { return static_cast<nat::TcpState>(number(6)); }),
            .is_outbound = flag(),
            .remaining = seconds(),
            .is_kept = flag()};
  }
  auto host() -> nat::HostRow {
    return {.address = address(), .external_address = ipv4(), .bindings = word(), .sessions = word()};
  }
  auto profile_row() -> nat::ProfileRow {
    return {.internal = prefix(),
            .asked = {.subscriber_prefix_length = static_cast<std::uint8_t>(number(255)),
                      .external_address = ipv4(),
                      .port_block_size = short_word(),
                      .external_ports = range(),
                      .ports_max = word(),
                      .sessions_max = word(),
                      .sessions_per_second_max = word()},
            .subscribers = word()};
  }
  auto pool_row() -> nat::PoolRow {
    return {.address = ipv4(),
            .ports = range(),
            .bindings = {word(), word(), word()},
            .hold_downs = {word(), word(), word()}};
  }

  auto request() -> Request {
    switch (engine_() % std::variant_size_v<Request>) {
      case 0:
        return ClientHello{.version = word(),
                           .role = flag() ? Role::owner : Role::reader,
                           .boot_id = number(),
                           .program = text()};
      case 1: return InventoryRequest{};
      case 2: return Batch{.id = {number()}, .operations = list(operations_max, [&] { return operation(); })};
      case 3: return Reconciled{};
      case 4: return Ping{number()};
      case 5: return Pong{number()};
      case 6:
        return Query{.number = query_number(), .view = static_cast<View>(number(5)), .filter = filter()};
      default:
        return TraceQuery{.number = query_number(),
                          .protocol = protocol(),
                          .source = endpoint(),
                          .destination = endpoint(),
                          .tcp_flags = static_cast<std::uint8_t>(number(255))};
    }
  }
  auto reply() -> Reply {
    switch (engine_() % std::variant_size_v<Reply>) {
      case 0:
        return GatewayHello{.version = word(),
                            .boot_id = number(),
                            .program = text(),
                            .awaits_reconciliation = flag(),
                            .prefixes = list(prefixes_max, [&] { return prefix(); }),
                            .pool = pool(),
                            .filters_per_mapping = word(),
                            .ports_per_set = word()};
      case 1:
        return InventoryPart{.mappings = list(rows_max, [&] { return mapping(); }),
                             .peers = list(rows_max, [&] { return peer(); }),
                             .profiles = list(rows_max, [&] { return profile(); }),
                             .is_last = flag()};
      case 2: return BatchResult{.id = {number()}, .results = list(operations_max, [&] { return result(); })};
      case 3: return Events{list(rows_max, [&] { return event(); })};
      case 4: return PoolChanged{pool()};
      case 5: return Ping{number()};
      case 6: return Pong{number()};
      case 7: return Error{.code = static_cast<ErrorCode>(number(5)), .text = text(), .query = {word()}};
      case 8:
        return Counters{.query = {word()}, .counters = list(counters_max, [&] {
                                             return Counter{.name = text(), .value = number()};
                                           })};
      case 9: return rows<Pools>([&] { return pool_row(); });
      case 10: return rows<Users>([&] { return host(); });
      case 11: return rows<Bindings>([&] { return binding(); });
      case 12: return rows<Sessions>([&] { return session(); });
      case 13: return rows<Profiles>([&] { return profile_row(); });
      default:
        return Trace{.query = {word()},
                     .is_forwarded = flag(),
                     .drop_reason = text(),
                     .source = endpoint(),
                     .destination = endpoint(),
                     .is_hairpinned = flag(),
                     .binding = maybe([&] { return binding(); }),
                     .session = maybe([&] { return session(); }),
                     .steps = list(steps_max, [&] { return text(); })};
    }
  }

 private:
  template <typename Message>
  auto rows(auto make) -> Message {
    return {.query = {word()}, .rows = list(rows_max, make), .is_last = flag()};
  }

  std::mt19937_64 engine_;
};

}  // namespace portolan::control
