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
                   .hosts = 16,
                   .sessions_per_host = 64,
                   .hold_downs = 16,
                   .errors_per_second = 100};
  return config;
}

/// Sends octets through an engine; the metadata is updated. Fragments are put together again.
auto through(Nat64& engine, TimePoint now, const Octets& packet, Offload& offload) -> std::optional<Octets> {
  Octets buffer(Frame::headroom_min);
  buffer.insert(buffer.end(), packet.begin(), packet.end());
  Frame frame{.buffer = std::as_writable_bytes(std::span(buffer)),
              .offset = Frame::headroom_min,
              .size = packet.size(),
              .offload = offload};
  if (engine.process(now, frame).action == Action::drop) return std::nullopt;
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
  Nat64 engine(test_config(), random);
  const TimePoint now{Seconds{1000}};
  const auto exchange = *any_exchange();
  const std::string remote6 = "2001:db8:64:ff9b::" + exchange.remote;

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
}

/// 0 and 0xffff are the same number to a checksum.
void write_zero_checksum_as_ffff(Octets& packet, Transport transport) {
  const std::size_t at = 40 + (transport == Transport::udp ? 6U : transport == Transport::tcp ? 16U : 2U);
  if (at + 2 <= packet.size() && packet[at] == 0 && packet[at + 1] == 0) packet[at] = packet[at + 1] = 0xff;
}

RC_GTEST_PROP(Nat64Property, an_error_about_any_translated_packet_reaches_its_sender, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  Nat64 engine(test_config(), random);
  const TimePoint now{Seconds{1000}};
  auto exchange = *any_exchange();
  exchange.is_partial = false;
  const auto sent = make_packet(exchange, inside, "2001:db8:64:ff9b::" + exchange.remote,
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
  struct Entry {
    std::uint16_t external = 0;
    std::optional<TimePoint> explicit_until;
    std::optional<TimePoint> implicit_until;
  };
  using Key = std::pair<int, std::uint16_t>;  // host, internal port
  std::map<Key, Entry> entries;

  void expire(TimePoint now) {
    for (auto it = entries.begin(); it != entries.end();) {
      Entry& entry = it->second;
      if (entry.explicit_until && *entry.explicit_until <= now) entry.explicit_until.reset();
      if (entry.implicit_until && *entry.implicit_until <= now) entry.implicit_until.reset();
      it = entry.explicit_until || entry.implicit_until ? std::next(it) : entries.erase(it);
    }
  }
};

RC_GTEST_PROP(Nat64Property, any_history_of_traffic_and_mappings_agrees_with_the_model, ()) {
  SeededRandom random(*rc::gen::arbitrary<std::uint64_t>());
  Nat64 engine(test_config(), random);
  TimePoint now{Seconds{1000}};
  Model model;
  const auto host_name = [](int host) { return "2001:db8:113::" + std::to_string(host + 1); };
  const auto steps = *rc::gen::container<std::vector<std::tuple<std::uint8_t, std::uint8_t, std::uint8_t>>>(
      rc::gen::tuple(rc::gen::inRange<std::uint8_t>(0, 8), rc::gen::inRange<std::uint8_t>(0, 6),
                     rc::gen::arbitrary<std::uint8_t>()));
  for (const auto& [what, who, value] : steps) {
    const int host = who % 3;
    const auto port = static_cast<std::uint16_t>(3000 + who / 3);
    const MappingKey key{.realm = {},
                         .internal_address = *IpAddress::parse(host_name(host)),
                         .protocol = Protocol::udp,
                         .internal_port = Port{port},
                         .external_family = Family::ipv4};
    const auto known = model.entries.find({host, port});
    Offload offload{};
    if (what <= 1) {
      const auto out =
          through(engine, now, PacketBuilder(host_name(host), Engine::far6).udp(port, 53).build(), offload);
      RC_ASSERT(out.has_value());
      const auto external = static_cast<std::uint16_t>((*out)[20] << 8U | (*out)[21]);
      if (known != model.entries.end()) RC_ASSERT(external == known->second.external);
      auto& entry = model.entries[{host, port}];
      entry.external = external;
      entry.implicit_until = now + Seconds{300};
    } else if (what <= 3) {
      const auto lifetime = Seconds{10 + value * 4};
      const auto suggested = static_cast<std::uint16_t>(3000 + value % 4);
      const bool exact = what == 3;
      const auto made = engine.install(
          now, key, {.external_address = {}, .external_port = Port{suggested}, .exact = exact}, lifetime);
      if (!made) {
        RC_ASSERT(exact);
        RC_ASSERT(made.error() == InstallError::cannot_provide_external);
        if (known != model.entries.end()) RC_ASSERT(known->second.external != suggested);
      } else {
        if (known != model.entries.end()) RC_ASSERT(made->port.value == known->second.external);
        if (exact) RC_ASSERT(made->port.value == suggested);
        auto& entry = model.entries[{host, port}];
        entry.external = made->port.value;
        entry.explicit_until = now + lifetime;
      }
    } else if (what == 4) {
      const auto removed = engine.remove(now, key);
      const bool was_explicit = known != model.entries.end() && known->second.explicit_until.has_value();
      RC_ASSERT(removed.has_value() == was_explicit);
      if (was_explicit) {
        RC_ASSERT(removed->external.port.value == known->second.external);
        RC_ASSERT((removed->remaining > Seconds{0}) == known->second.implicit_until.has_value());
        known->second.explicit_until.reset();
        model.expire(now);
      }
    } else {
      // The engine is late by a slot of its wheel at most, never early: the model looks a moment earlier.
      const TimePoint until = now + Milliseconds{value * (what == 7 ? 1000 : 50)};
      while (engine.next_deadline() && *engine.next_deadline() <= until) {
        now = std::max(now, *engine.next_deadline());
        engine.advance(now);
      }
      now = until;
      engine.advance(now);
      const auto settled = now - Milliseconds{270};
      for (const auto& [each, entry] : model.entries) {
        const auto is_near = [&](const std::optional<TimePoint>& time) {
          return time && *time > settled && *time <= now + Milliseconds{2};
        };
        if (is_near(entry.explicit_until) || is_near(entry.implicit_until))
          RC_DISCARD("on the edge of a deadline");
      }
      model.expire(now);
    }
    engine.check_invariants();
    const Counters counters = engine.counters();
    RC_ASSERT(counters.bindings == model.entries.size());
    std::set<std::uint16_t> externals;
    std::size_t explicit_entries = 0;
    for (const auto& [each, entry] : model.entries) {
      RC_ASSERT(externals.insert(entry.external).second);
      if (entry.explicit_until) ++explicit_entries;
    }
    RC_ASSERT(counters.explicit_bindings == explicit_entries);
  }
}

}  // namespace
}  // namespace portolan::nat::test
