// SPDX-License-Identifier: BSD-2-Clause
//
// What holds for any packet and any history: payloads arrive as they were sent, every checksum is
// right, and the tables agree with a model that is easy to believe.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

constexpr const char* inside = Engine::inside;
constexpr const char* pool = Engine::pool;

auto test_config() -> Config {
  Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  config.pool = {*Ipv4Address::parse(pool)};
  config.limits = {.bindings = 64,
                   .sessions = 128,
                   .subscribers = 16,
                   .sessions_per_subscriber = 64,
                   .hold_downs = 16,
                   .errors_per_second = 100,
                   .fragments = 256};
  return config;
}

/// With any filtering, and prefixes of all lengths, any of them first.
auto any_config() -> Config {
  Config config = test_config();
  const auto filtering = rc::gen::element(Filtering::endpoint_independent, Filtering::address_dependent);
  config.filtering = {.udp = *filtering, .tcp = *filtering, .icmp = *filtering};
  std::vector<Prefix> prefixes;
  for (const char* each : {"2001:db8:64:ff9b::/96", "2001:db9::/32", "2001:dba:100::/40", "2001:dbb:122::/48",
                           "2001:dbc:122:300::/56", "2001:dbd:122:344::/64"})
    prefixes.push_back(*Prefix::parse(each));
  std::swap(prefixes.front(), prefixes[*rc::gen::inRange<std::size_t>(0, prefixes.size())]);
  config.prefix = prefixes.front();
  config.more_prefixes.assign(prefixes.begin() + 1, prefixes.end());
  return config;
}

/// `remote` as a host inside sees it in a prefix.
auto seen_in(const Prefix& prefix, const std::string& remote) -> Ipv6Address {
  std::uint8_t octets[4];
  store32(octets, Ipv4Address::parse(remote)->value);
  Ipv6Address address;
  embed(make_embedding(prefix), octets, address.octets.data());
  return address;
}

/// A prefix of `config`.
auto any_prefix_of(const Config& config) -> Prefix {
  const auto number = *rc::gen::inRange<std::size_t>(0, config.more_prefixes.size() + 1);
  return number == 0 ? config.prefix : config.more_prefixes[number - 1];
}

/// Sends octets through an engine; the metadata is updated. Fragments are put together again.
auto through(Nat64& engine, TimePoint now, const Octets& packet, Offload& offload) -> std::optional<Octets> {
  Octets buffer(Frame::headroom_min);
  buffer.insert(buffer.end(), packet.begin(), packet.end());
  Frame frame{.buffer = std::as_writable_bytes(std::span(buffer)),
              .offset = Frame::headroom_min,
              .size = packet.size(),
              .offload = offload};
  if (engine.process(now, frame).action != Action::forward) return std::nullopt;
  offload = frame.offload;
  const auto octets_of = [](std::span<const std::byte> sent) {
    const auto* data = reinterpret_cast<const std::uint8_t*>(sent.data());
    return Octets(data, data + sent.size());
  };
  std::vector<Octets> sent{octets_of(frame.packet())};
  for (; !engine.output().empty(); engine.pop_output()) sent.push_back(octets_of(engine.output()));
  return sent.size() == 1 ? sent.front() : reassemble(sent);
}

auto public_address() -> rc::Gen<std::string> {
  return rc::gen::map(rc::gen::tuple(rc::gen::inRange(1, 224), rc::gen::arbitrary<std::uint8_t>(),
                                     rc::gen::arbitrary<std::uint8_t>(), rc::gen::arbitrary<std::uint8_t>()),
                      [](const auto& parts) {
                        const auto [a, b, c, d] = parts;
                        return fmt::format("{}.{}.{}.{}", a == 127 || a == 192 ? 198 : a, b, c, d);
                      });
}

enum class Transport { udp, tcp, echo };

struct Exchange {
  Transport transport = Transport::udp;
  std::string remote;
  std::uint16_t inside_port = 0;
  std::uint16_t remote_port = 0;
  bool is_partial = false;
  bool dont_fragment = false;
  std::uint8_t tos = 0;
  Octets there;
  Octets back;
};

auto any_exchange() -> rc::Gen<Exchange> {
  // The whole range from the first case on: some packets are fragmented, some are not.
  const auto size = rc::gen::resize(100, rc::gen::inRange<std::size_t>(0, 1401));
  const auto payload =
      rc::gen::map(rc::gen::pair(size, rc::gen::arbitrary<std::uint32_t>()), [](const auto& size_and_seed) {
        std::minstd_rand random(size_and_seed.second);
        Octets octets(size_and_seed.first);
        std::ranges::generate(octets, [&] { return static_cast<std::uint8_t>(random() >> 8U); });
        return octets;
      });
  return rc::gen::build<Exchange>(
      rc::gen::set(&Exchange::transport, rc::gen::element(Transport::udp, Transport::tcp, Transport::echo)),
      rc::gen::set(&Exchange::remote, public_address()),
      rc::gen::set(&Exchange::inside_port, rc::gen::arbitrary<std::uint16_t>()),
      rc::gen::set(&Exchange::remote_port, rc::gen::arbitrary<std::uint16_t>()),
      rc::gen::set(&Exchange::is_partial, rc::gen::arbitrary<bool>()),
      rc::gen::set(&Exchange::dont_fragment, rc::gen::arbitrary<bool>()),
      rc::gen::set(&Exchange::tos, rc::gen::arbitrary<std::uint8_t>()),
      rc::gen::set(&Exchange::there, payload), rc::gen::set(&Exchange::back, payload));
}

auto make_packet(const Exchange& exchange, const std::string& from, const std::string& to,
                 std::uint16_t source_port, std::uint16_t destination_port, const Octets& payload,
                 bool is_request) -> PacketBuilder {
  PacketBuilder packet(from, to);
  switch (exchange.transport) {
    case Transport::udp: packet.udp(source_port, destination_port); break;
    case Transport::tcp: packet.tcp(source_port, destination_port, is_request ? "S" : "SA"); break;
    case Transport::echo:
      if (is_request)
        packet.echo_request(source_port);
      else
        packet.echo_reply(destination_port);
  }
  packet.payload(payload).tos(exchange.tos);
  if (exchange.is_partial) packet.partial_checksum();
  if (exchange.dont_fragment && !is_request) packet.dont_fragment();
  return packet;
}

auto offload_for(const Exchange& exchange, std::uint16_t header) -> Offload {
  Offload offload{};
  if (!exchange.is_partial) return offload;
  offload.flags = Offload::needs_csum;
  offload.csum_start = header;
  offload.csum_offset = exchange.transport == Transport::udp   ? 6
                        : exchange.transport == Transport::tcp ? 16
                                                               : 2;
  return offload;
}

/// Checks lengths and the checksum, completed first if it is partial; returns what is wrong.
auto fault_of(const Octets& packet, const Offload& offload) -> std::string {
  const auto text = describe(packet, offload);
  const auto at = text.find("BAD");
  return at == std::string::npos ? "" : text;
}

RC_GTEST_PROP(Nat64Property, a_request_and_its_answer_keep_payload_tos_and_endpoints, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  const Config config = any_config();
  Nat64 engine(config, random);
  const TimePoint now{Seconds{1000}};
  const auto exchange = *any_exchange();
  const Ipv6Address remote = seen_in(any_prefix_of(config), exchange.remote);
  const std::string remote6 = to_string(remote);

  Offload offload = offload_for(exchange, 40);
  const auto there = through(
      engine, now,
      make_packet(exchange, inside, remote6, exchange.inside_port, exchange.remote_port, exchange.there, true)
          .build(),
      offload);
  RC_ASSERT(there.has_value());
  RC_ASSERT(fault_of(*there, offload) == "");
  RC_ASSERT(payload_of(*there) == exchange.there);
  RC_ASSERT((*there)[1] == exchange.tos);
  RC_ASSERT(there->size() ==
            make_packet(exchange, inside, remote6, 0, 0, exchange.there, true).build().size() - 20);
  const bool is_echo = exchange.transport == Transport::echo;
  const auto external =
      static_cast<std::uint16_t>((*there)[is_echo ? 24 : 20] << 8U | (*there)[is_echo ? 25 : 21]);

  offload = offload_for(exchange, 20);
  const auto back = through(
      engine, now,
      make_packet(exchange, exchange.remote, pool, exchange.remote_port, external, exchange.back, false)
          .build(),
      offload);
  RC_ASSERT(back.has_value());
  RC_ASSERT(fault_of(*back, offload) == "");
  RC_ASSERT(payload_of(*back) == exchange.back);
  RC_ASSERT((((*back)[0] << 4U | (*back)[1] >> 4U) & 0xff) == exchange.tos);
  const auto inner =
      static_cast<std::uint16_t>((*back)[is_echo ? 44 : 42] << 8U | (*back)[is_echo ? 45 : 43]);
  RC_ASSERT(inner == exchange.inside_port);
  Ipv6Address to;
  std::copy_n(back->begin() + 24, 16, to.octets.begin());
  RC_ASSERT(to == *Ipv6Address::parse(inside));
  Ipv6Address from;
  std::copy_n(back->begin() + 8, 16, from.octets.begin());
  RC_ASSERT(from == remote);
  engine.check_invariants();
}

RC_GTEST_PROP(Nat64Property, who_begins_from_outside_is_answered_with_payload_tos_and_endpoints, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  const Config config = any_config();
  Nat64 engine(config, random);
  const TimePoint now{Seconds{1000}};
  auto exchange = *any_exchange();
  RC_PRE(exchange.transport != Transport::echo && exchange.inside_port != 0);
  const MappingKey key{.realm = {},
                       .internal_address = *IpAddress::parse(inside),
                       .protocol = exchange.transport == Transport::udp ? Protocol::udp : Protocol::tcp,
                       .external_family = Family::ipv4,
                       .internal_port = Port{exchange.inside_port}};
  const auto mapped = engine.install(now, key, {}, Seconds{1000});
  RC_ASSERT(mapped.has_value());
  const std::uint16_t external = mapped->external.port.value;

  exchange.dont_fragment = false;
  Offload offload = offload_for(exchange, 20);
  const auto there = through(
      engine, now,
      make_packet(exchange, exchange.remote, pool, exchange.remote_port, external, exchange.there, true)
          .build(),
      offload);
  RC_ASSERT(there.has_value());
  RC_ASSERT(fault_of(*there, offload) == "");
  RC_ASSERT(payload_of(*there) == exchange.there);
  RC_ASSERT((((*there)[0] << 4U | (*there)[1] >> 4U) & 0xff) == exchange.tos);
  Ipv6Address from;
  std::copy_n(there->begin() + 8, 16, from.octets.begin());
  RC_ASSERT(from == seen_in(config.prefix, exchange.remote));

  offload = offload_for(exchange, 40);
  const auto back = through(engine, now,
                            make_packet(exchange, inside, to_string(from), exchange.inside_port,
                                        exchange.remote_port, exchange.back, false)
                                .build(),
                            offload);
  RC_ASSERT(back.has_value());
  RC_ASSERT(fault_of(*back, offload) == "");
  RC_ASSERT(payload_of(*back) == exchange.back);
  RC_ASSERT((*back)[1] == exchange.tos);
  RC_ASSERT(((*back)[20] << 8U | (*back)[21]) == external);
  RC_ASSERT(((*back)[22] << 8U | (*back)[23]) == exchange.remote_port);
  engine.check_invariants();
}

/// 0 and 0xffff are the same number to a checksum.
void write_zero_checksum_as_ffff(Octets& packet, Transport transport) {
  const std::size_t at = 40 + (transport == Transport::udp ? 6U : transport == Transport::tcp ? 16U : 2U);
  if (at + 2 <= packet.size() && packet[at] == 0 && packet[at + 1] == 0) packet[at] = packet[at + 1] = 0xff;
}

RC_GTEST_PROP(Nat64Property, an_error_about_any_translated_packet_reaches_its_sender, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  const Config config = any_config();
  Nat64 engine(config, random);
  const TimePoint now{Seconds{1000}};
  auto exchange = *any_exchange();
  exchange.is_partial = false;
  const auto sent = make_packet(exchange, inside, to_string(seen_in(any_prefix_of(config), exchange.remote)),
                                exchange.inside_port, exchange.remote_port, exchange.there, true)
                        .build();
  Offload offload{};
  const auto there = through(engine, now, sent, offload);
  RC_ASSERT(there.has_value());
  // Of an even size: half a checksum cannot be mended.
  Octets quoted = *there;
  quoted.resize(std::min(quoted.size(), 2 * *rc::gen::inRange<std::size_t>(14, 300)));
  const auto error =
      through(engine, now, PacketBuilder("203.0.113.1", pool).icmp(11, 0, 0, quoted).build(), offload);
  RC_ASSERT(error.has_value());
  RC_ASSERT(find_fault(*error) == "");
  RC_ASSERT(error->size() <= 1280U);
  // What it quotes is what was sent, the hop limit apart, as far as it goes; TCP's checksum counts too.
  Octets expected(sent.begin(),
                  sent.begin() + static_cast<std::ptrdiff_t>(std::min(sent.size(), error->size() - 48)));
  Octets actual(error->begin() + 48, error->begin() + 48 + static_cast<std::ptrdiff_t>(expected.size()));
  expected[7] = actual[7] = 0;
  for (Octets* octets : {&expected, &actual}) write_zero_checksum_as_ffff(*octets, exchange.transport);
  RC_ASSERT(actual == expected);
}

/// The translator's bindings as the rules say they must be.
class Model {
 public:
  using Key = std::pair<int, std::uint16_t>;  // host, internal port
  struct Entry {
    std::uint16_t external = 0;
    std::optional<TimePoint> explicit_until;
    std::optional<TimePoint> traffic_until;
    std::optional<TimePoint> peer_until;
    bool was_explicit = false;
    Key first;  // of the set it is explicit in
    std::uint16_t port_count = 1;

    [[nodiscard]] auto is_implicit() const -> bool { return traffic_until || peer_until; }
  };
  std::map<Key, Entry> entries;

  void expire(TimePoint now) {
    for (auto it = entries.begin(); it != entries.end();) {
      Entry& entry = it->second;
      for (auto* until : {&entry.explicit_until, &entry.traffic_until, &entry.peer_until})
        if (*until && **until <= now) until->reset();
      it = entry.explicit_until || entry.is_implicit() ? std::next(it) : entries.erase(it);
    }
  }
  [[nodiscard]] auto find(const Key& key) -> Entry* {
    const auto found = entries.find(key);
    return found == entries.end() ? nullptr : &found->second;
  }
};

/// An engine and its model, to which the same things happen.
class History {
 public:
  explicit History(std::uint64_t seed) : random_(seed), engine_(test_config(), random_) {}

  void outbound(const Model::Key& key) {
    Offload offload{};
    const auto out =
        through(engine_, now_, PacketBuilder(host_name(key), Engine::far6).udp(key.second, far_port).build(),
                offload);
    RC_ASSERT(out.has_value());
    const auto external = static_cast<std::uint16_t>((*out)[20] << 8U | (*out)[21]);
    if (const auto* known = model_.find(key)) RC_ASSERT(external == known->external);
    auto& entry = model_.entries[key];
    entry.external = external;
    entry.traffic_until = now_ + Seconds{300};
  }

  void install(const Model::Key& key, std::uint16_t suggested, bool exact, Seconds lifetime,
               std::uint16_t port_count) {
    const auto* known = model_.find(key);
    const bool is_explicit = known != nullptr && known->explicit_until;
    const auto* next = model_.find({key.first, key.second + 1});
    const auto made = engine_.install(
        now_, key_of(key), {.external_address = {}, .external_port = Port{suggested}, .exact = exact},
        lifetime, {.filters = {}, .port_count = port_count, .preserve_parity = false});
    if (is_explicit && known->first != key) {
      RC_ASSERT(!made);
      RC_ASSERT(made.error() == InstallError::no_resources);
      return;
    }
    if (!made) {
      RC_ASSERT(exact);
      RC_ASSERT(made.error() == InstallError::cannot_provide_external);
      if (known != nullptr) RC_ASSERT(known->external != suggested);
      return;
    }
    const External& external = made->external;
    if (known != nullptr) RC_ASSERT(external.port.value == known->external);
    if (exact) RC_ASSERT(external.port.value == suggested);
    if (is_explicit)
      RC_ASSERT(external.port_count == known->port_count);
    else
      RC_ASSERT(external.port_count >= 1 && external.port_count <= port_count);
    if (!is_explicit && next != nullptr && external.port_count > 1)
      RC_ASSERT(!next->explicit_until && next->external == external.port.value + 1);
    TimePoint until = now_ + lifetime;
    for (std::uint16_t i = 0; i < external.port_count; ++i) {
      auto& entry = model_.entries[{key.first, static_cast<std::uint16_t>(key.second + i)}];
      for (const auto& each : {entry.traffic_until, entry.peer_until})
        until = std::max(until, each.value_or(until));
    }
    // Sessions are kept in ticks, lifetimes in whole seconds.
    RC_ASSERT(now_ + made->lifetime > until - Seconds{1});
    RC_ASSERT(now_ + made->lifetime < until + Seconds{1});
    for (std::uint16_t i = 0; i < external.port_count; ++i) {
      auto& entry = model_.entries[{key.first, static_cast<std::uint16_t>(key.second + i)}];
      entry.external = static_cast<std::uint16_t>(external.port.value + i);
      entry.explicit_until = now_ + made->lifetime;
      entry.was_explicit = true;
      entry.first = key;
      entry.port_count = external.port_count;
    }
  }

  void remove(const Model::Key& key) {
    const auto removed = engine_.remove(now_, key_of(key));
    auto* known = model_.find(key);
    const bool is_explicit = known != nullptr && known->explicit_until;
    if (known == nullptr || (is_explicit && known->first != key)) {
      RC_ASSERT(!removed);
      RC_ASSERT(removed.error() == RemoveError::no_mapping);
      return;
    }
    RC_ASSERT(removed.has_value() == known->was_explicit);
    if (!removed) RC_ASSERT(removed.error() == RemoveError::outbound_mapping);
    if (!removed) return;
    RC_ASSERT(removed->external.port.value == known->external);
    if (!is_explicit) return;
    bool stays = false;
    for (std::uint16_t i = 0; i < removed->external.port_count; ++i) {
      auto* entry = model_.find({key.first, static_cast<std::uint16_t>(key.second + i)});
      RC_ASSERT(entry != nullptr && entry->first == key);
      entry->explicit_until.reset();
      stays = stays || entry->is_implicit();
    }
    RC_ASSERT((removed->remaining > Seconds{0}) == stays);
    model_.expire(now_);
  }

  void install_peer(const Model::Key& key, Seconds lifetime) {
    const auto* known = model_.find(key);
    const auto made = engine_.install_peer(now_, key_of(key), far(), {}, lifetime);
    RC_ASSERT(made.has_value());
    RC_ASSERT(made->remaining >= lifetime);
    if (known != nullptr) RC_ASSERT(made->external.port.value == known->external);
    auto& entry = model_.entries[key];
    entry.external = made->external.port.value;
    // It is kept in whole seconds.
    const TimePoint until{std::chrono::ceil<Seconds>((now_ + lifetime).time_since_epoch())};
    entry.peer_until = std::max(entry.peer_until.value_or(until), until);
  }

  void release_peer(const Model::Key& key) {
    const auto released = engine_.release_peer(now_, key_of(key), far());
    auto* known = model_.find(key);
    RC_ASSERT(released.has_value() == (known != nullptr && known->is_implicit()));
    if (!released) return;
    RC_ASSERT((released->remaining > Seconds{0}) == known->traffic_until.has_value());
    known->peer_until.reset();
    model_.expire(now_);
  }

  void pass(Nanoseconds time) {
    // The engine is late by a slot of its wheel at most, never early: the model looks a moment earlier.
    const TimePoint until = now_ + time;
    while (engine_.next_deadline() && *engine_.next_deadline() <= until) {
      now_ = std::max(now_, *engine_.next_deadline());
      engine_.advance(now_);
    }
    now_ = until;
    engine_.advance(now_);
    const auto settled = now_ - Milliseconds{270};
    for (const auto& [key, entry] : model_.entries)
      for (const auto& each : {entry.explicit_until, entry.traffic_until, entry.peer_until})
        if (each && *each > settled && *each <= now_ + Milliseconds{2})
          RC_DISCARD("on the edge of a deadline");
    model_.expire(now_);
  }

  /// A new address instead of the old one: explicit mappings move, what else there is ends.
  void change_pool() {
    is_at_other_ = !is_at_other_;
    const auto changes = engine_.set_pool(now_, {*Ipv4Address::parse(is_at_other_ ? "192.0.2.15" : pool)});
    std::map<Model::Key, Model::Entry> moved;
    std::size_t lost_peers = 0;
    for (const auto& [key, entry] : model_.entries)
      if (entry.peer_until) ++lost_peers;
    for (const PoolChange& change : changes) {
      RC_ASSERT(change.kind != PoolChange::Kind::lost);
      if (change.kind == PoolChange::Kind::lost_peer) {
        RC_ASSERT(change.remote_peer == far());
        RC_ASSERT(lost_peers-- > 0U);
        continue;
      }
      for (const auto& [key, entry] : model_.entries) {
        if (!entry.explicit_until || key_of(entry.first) != change.key) continue;
        RC_ASSERT(entry.port_count == change.external.port_count);
        auto& there = moved[key] = entry;
        there.external =
            static_cast<std::uint16_t>(change.external.port.value + key.second - entry.first.second);
        there.traffic_until.reset();
        there.peer_until.reset();
      }
    }
    RC_ASSERT(lost_peers == 0U);
    model_.entries = std::move(moved);
  }

  void check() const {
    engine_.check_invariants();
    const Counters counters = engine_.counters();
    RC_ASSERT(counters.bindings == model_.entries.size());
    std::set<std::uint16_t> externals;
    std::size_t explicit_entries = 0;
    for (const auto& [key, entry] : model_.entries) {
      RC_ASSERT(externals.insert(entry.external).second);
      if (entry.explicit_until) ++explicit_entries;
    }
    RC_ASSERT(counters.explicit_bindings == explicit_entries);
  }

 private:
  static constexpr std::uint16_t far_port = 53;

  static auto far() -> Endpoint { return {*IpAddress::parse(Engine::far6), Port{far_port}}; }
  static auto host_name(const Model::Key& key) -> std::string {
    return "2001:db8:113::" + std::to_string(key.first + 1);
  }
  static auto key_of(const Model::Key& key) -> MappingKey {
    return {.realm = {},
            .internal_address = *IpAddress::parse(host_name(key)),
            .protocol = Protocol::udp,
            .external_family = Family::ipv4,
            .internal_port = Port{key.second}};
  }

  SeededRandom random_;
  Nat64 engine_;
  TimePoint now_{Seconds{1000}};
  Model model_;
  bool is_at_other_ = false;
};

RC_GTEST_PROP(Nat64Property, any_history_of_traffic_and_mappings_agrees_with_the_model, ()) {
  History history(*rc::gen::arbitrary<std::uint64_t>());
  const auto steps = *rc::gen::container<std::vector<std::tuple<std::uint8_t, std::uint8_t, std::uint8_t>>>(
      rc::gen::tuple(rc::gen::inRange<std::uint8_t>(0, 16), rc::gen::inRange<std::uint8_t>(0, 9),
                     rc::gen::arbitrary<std::uint8_t>()));
  for (const auto& [what, who, value] : steps) {
    const Model::Key key{who % 3, static_cast<std::uint16_t>(3000 + who / 3)};
    const auto suggested = static_cast<std::uint16_t>(3000 + value % 4);
    const Seconds lifetime{10 + value * 4};
    switch (what) {
      case 0:
      case 1:
      case 2: history.outbound(key); break;
      case 3:
      case 4: history.install(key, suggested, false, lifetime, 1); break;
      case 5: history.install(key, suggested, true, lifetime, 1); break;
      case 6:
      case 7:
        history.install(key, suggested, false, lifetime, static_cast<std::uint16_t>(2 + value % 2));
        break;
      case 8:
      case 9: history.remove(key); break;
      case 10: history.install_peer(key, lifetime); break;
      case 11: history.release_peer(key); break;
      case 12: history.change_pool(); break;
      case 13: history.pass(Seconds{value}); break;
      default: history.pass(Milliseconds{value * 50});
    }
    history.check();
  }
}

/// Prefixes near what peers look like from inside: the translation prefix's, and some of them changed.
auto any_filter(const Prefix& translation) -> rc::Gen<RemoteFilter> {
  return rc::gen::map(
      rc::gen::tuple(rc::gen::inRange(0U, 129U), rc::gen::inRange(0U, 128U), rc::gen::inRange(0, 4),
                     rc::gen::inRange<std::uint16_t>(0, 3), rc::gen::inRange<std::uint32_t>(0, 4)),
      [translation](const auto& parts) {
        const auto [length, flipped, flips, port, peer] = parts;
        Embedding embedding{};
        std::copy_n(translation.address().bits().octets.begin(), 16, embedding.prefix);
        embedding.length = static_cast<std::uint8_t>(translation.length());
        const std::uint8_t address[4] = {203, 0, 113, static_cast<std::uint8_t>(peer)};
        Ipv6Address seen;
        embed(embedding, address, seen.octets.data());
        if (flips == 0) seen.octets[flipped / 8] ^= static_cast<std::uint8_t>(1U << flipped % 8);
        return RemoteFilter{.remote_peers = Prefix{IpAddress{seen}, length}, .remote_port = Port{port}};
      });
}

RC_GTEST_PROP(Nat64Property, filters_are_about_peers_as_the_inside_sees_them, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  Config config = test_config();
  config.prefix = *Prefix::parse(*rc::gen::element<std::string>(
      "2001:db8::/32", "2001:db8:100::/40", "2001:db8:122::/48", "2001:db8:122:300::/56",
      "2001:db8:122:344::/64", "2001:db8:122:344::/96"));
  config.answers_unsolicited = false;
  Nat64 engine(config, random);
  Embedding embedding{};
  std::copy_n(config.prefix.address().bits().octets.begin(), 16, embedding.prefix);
  embedding.length = static_cast<std::uint8_t>(config.prefix.length());
  const TimePoint now{Seconds{1000}};
  const MappingKey key{.realm = {},
                       .internal_address = *IpAddress::parse("fd00::1"),
                       .protocol = Protocol::udp,
                       .external_family = Family::ipv4,
                       .internal_port = Port{4000}};
  std::map<std::pair<int, int>, bool> sessions;  // (peer, its port): whether the inside began it
  for (int round = 0; round < 4; ++round) {
    const auto filters =
        *rc::gen::resize(4, rc::gen::container<std::vector<RemoteFilter>>(any_filter(config.prefix)));
    const auto seen = [&](int peer) {
      const std::uint8_t address[4] = {203, 0, 113, static_cast<std::uint8_t>(peer)};
      Ipv6Address embedded;
      embed(embedding, address, embedded.octets.data());
      return IpAddress{embedded};
    };
    const auto is_allowed = [&](int peer, int port) {
      return filters.empty() || std::ranges::any_of(filters, [&](const RemoteFilter& filter) {
               return filter.remote_peers.contains(seen(peer)) &&
                      (filter.remote_port == Port{0} || filter.remote_port.value == port);
             });
    };
    RC_ASSERT(engine
                  .install(now, key, {.external_address = {}, .external_port = Port{4000}, .exact = true},
                           Seconds{1000}, {.filters = filters, .port_count = 1, .preserve_parity = false})
                  .has_value());
    std::erase_if(sessions, [&](const auto& session) {
      return !session.second && !is_allowed(session.first.first, session.first.second);
    });
    for (int peer = 0; peer < 4; ++peer)
      for (int port = 1; port < 3; ++port) {
        Offload offload{};
        if (*rc::gen::inRange(0, 10) == 0) {
          RC_ASSERT(through(engine, now,
                            PacketBuilder("fd00::1", to_string(seen(peer)))
                                .udp(4000, static_cast<std::uint16_t>(port))
                                .build(),
                            offload)
                        .has_value());
          sessions.try_emplace({peer, port}, true);
        }
        const auto arrived = through(engine, now,
                                     PacketBuilder("203.0.113." + std::to_string(peer), pool)
                                         .udp(static_cast<std::uint16_t>(port), 4000)
                                         .build(),
                                     offload);
        RC_ASSERT(arrived.has_value() == (sessions.contains({peer, port}) || is_allowed(peer, port)));
        if (arrived) sessions.try_emplace({peer, port}, false);
      }
    engine.check_invariants();
    RC_ASSERT(engine.counters().sessions == sessions.size());
  }
}

}  // namespace
}  // namespace portolan::nat::test
