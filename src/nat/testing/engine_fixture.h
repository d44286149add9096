// SPDX-License-Identifier: BSD-2-Clause
//
// A translator on the bench: the lab's addresses, a clock that the test moves, packets as octets.
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "nat/nat64.h"
#include "nat/testing/test_packets.h"

namespace portolan::nat::test {

class Engine : public ::testing::Test {
 public:
  static constexpr const char* inside = "2001:db8:112::2";
  static constexpr const char* other_inside = "2001:db8:113::3";
  static constexpr const char* pool = "192.0.2.14";
  static constexpr const char* far4 = "198.51.100.7";
  static constexpr const char* far6 = "2001:db8:64:ff9b::198.51.100.7";

 protected:
  Engine() {
    config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
    config.pool = {*Ipv4Address::parse(pool)};
    config.limits = {.bindings = 1000,
                     .sessions = 1000,
                     .subscribers = 100,
                     .sessions_per_subscriber = 500,
                     .hold_downs = 100,
                     .errors_per_second = 1000,
                     .fragments = 256};
    restart();
  }

  /// Begins anew with the present config.
  void restart() { engine = std::make_unique<Nat64>(config, random); }

  /// What leaves for `packet`, or nothing if it was dropped; `offload` is that of the packet, before
  /// and after.
  auto send_raw(const Octets& packet, Offload* offload = nullptr) -> std::optional<Octets> {
    constexpr std::size_t slack = 16;
    Octets buffer(Frame::headroom_min + packet.size() + slack);
    std::ranges::copy(packet, buffer.begin() + Frame::headroom_min);
    Frame frame{.buffer = std::as_writable_bytes(std::span(buffer)),
                .offset = Frame::headroom_min,
                .size = packet.size(),
                .offload = offload != nullptr ? *offload : Offload{}};
    verdict = engine->process(now, frame);
    engine->check_invariants();
    if (verdict.action != Action::forward) return std::nullopt;
    if (offload != nullptr) *offload = frame.offload;
    const auto out = frame.packet();
    const auto* data = reinterpret_cast<const std::uint8_t*>(out.data());
    return Octets(data, data + out.size());
  }

  /// The same in words.
  auto send(const Octets& packet) -> std::string {
    const auto out = send_raw(packet);
    if (verdict.action == Action::keep) return "kept";
    return out ? describe(*out) : "dropped: " + std::string(to_string(verdict.reason));
  }

  /// The next packet the translator made, in words; empty if there is none.
  auto take_output() -> std::string {
    const auto output = engine->output();
    if (output.empty()) return "";
    const auto* data = reinterpret_cast<const std::uint8_t*>(output.data());
    auto text = describe(Octets(data, data + output.size()));
    engine->pop_output();
    return text;
  }

  static auto key(Protocol protocol, std::uint16_t port, const char* host = inside) -> MappingKey {
    return {.realm = {},
            .internal_address = *IpAddress::parse(host),
            .protocol = protocol,
            .external_family = Family::ipv4,
            .internal_port = Port{port}};
  }
  auto map(Protocol protocol, std::uint16_t port, std::uint16_t external, const char* host = inside,
           Seconds lifetime = Seconds{86400}) -> std::uint16_t {
    const auto made =
        engine->install(now, key(protocol, port, host),
                        {.external_address = {}, .external_port = Port{external}, .exact = false}, lifetime);
    engine->check_invariants();
    return made ? made->external.port.value : std::uint16_t{0};
  }
  auto unmap(Protocol protocol, std::uint16_t port, const char* host = inside) -> std::optional<Removed> {
    const auto removed = engine->remove(now, key(protocol, port, host));
    engine->check_invariants();
    return removed ? std::optional(*removed) : std::nullopt;
  }

  /// Moves the clock to each deadline on the way.
  void pass(Nanoseconds time) {
    const TimePoint until = now + time;
    for (;;) {
      const auto deadline = engine->next_deadline();
      if (!deadline || *deadline > until) break;
      now = std::max(now, *deadline);
      engine->advance(now);
      engine->check_invariants();
    }
    now = until;
    engine->advance(now);
    engine->check_invariants();
  }

  Config config;
  SeededRandom random{1};
  std::unique_ptr<Nat64> engine;
  // Far from zero, as a machine's clock is.
  TimePoint now{Seconds{1'000'000}};
  Verdict verdict;
};

}  // namespace portolan::nat::test
