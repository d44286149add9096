// SPDX-License-Identifier: BSD-2-Clause
//
// The translation engine alone: one hot flow, a million sessions in random order, new sessions, and
// their expiry, against copying the same 104-octet packet.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "harness.h"
#include "nat/checksum.h"
#include "nat/nat64.h"

namespace {

using namespace portolan;  // NOLINT(google-build-using-namespace): a program of one file

constexpr std::uint32_t sessions_max = 1'000'000;
constexpr std::size_t payload = 64;
constexpr std::size_t packet_size = 40 + 8 + payload;

auto make_config() -> nat::Config {
  nat::Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  for (std::uint32_t i = 0; i < 20; ++i) config.pool.emplace_back(Ipv4Address{0xc6336400U + i});
  config.limits.sessions = sessions_max;
  config.limits.bindings = sessions_max;
  config.limits.subscribers = 65'536;
  config.limits.sessions_per_subscriber = sessions_max;
  return config;
}

/// UDP from host number `host`, one of 20 ports, to one of 10 remote addresses.
class Traffic {
 public:
  Traffic() : buffer_(nat::Frame::headroom_min + packet_size) {
    std::uint8_t* packet = template_.data();
    nat::store32(packet, 0x60000000U);
    nat::store16(packet + 4, 8 + payload);
    packet[6] = 17;
    packet[7] = 64;
    const auto from = Ipv6Address::parse("2001:db8:112::");
    const auto to = Ipv6Address::parse("2001:db8:64:ff9b::203.0.113.0");
    std::memcpy(packet + 8, from->octets.data(), 16);
    std::memcpy(packet + 24, to->octets.data(), 16);
    nat::store16(packet + 42, 53);
    nat::store16(packet + 44, 8 + payload);
    nat::store16(packet + 46, 0x1234);  // any: the engine adjusts it, right or wrong
  }

  auto frame(std::uint32_t number) -> nat::Frame& {
    auto* packet = reinterpret_cast<std::uint8_t*>(buffer_.data() + nat::Frame::headroom_min);
    std::memcpy(packet, template_.data(), packet_size);
    nat::store32(packet + 12, number / 200);
    nat::store16(packet + 40, static_cast<std::uint16_t>(10000 + number / 10 % 20));
    packet[39] = static_cast<std::uint8_t>(number % 10);
    frame_ = {.buffer = buffer_, .offset = nat::Frame::headroom_min, .size = packet_size, .offload = {}};
    return frame_;
  }

 private:
  std::array<std::uint8_t, packet_size> template_{};
  std::vector<std::byte> buffer_;
  nat::Frame frame_;
};

void forward(nat::Nat64& engine, TimePoint now, nat::Frame& frame) {
  PORTOLAN_CHECK(engine.process(now, frame).action == nat::Action::forward);
  bench::keep(frame);
}

}  // namespace

auto main(int argc, char** argv) -> int {
  SeededRandom random(1);
  SeededRandom order(2);
  Traffic traffic;
  const TimePoint now{Seconds{1000}};

  nat::Nat64 full(make_config(), random);
  for (std::uint32_t i = 0; i < sessions_max; ++i) forward(full, now, traffic.frame(i));
  std::vector<std::uint32_t> shuffled(1 << 20U);
  for (std::uint32_t& each : shuffled) each = static_cast<std::uint32_t>(order.below(sessions_max));

  auto fresh = std::make_unique<nat::Nat64>(make_config(), random);
  std::uint32_t made = 0;
  TimePoint fresh_now = now;
  const auto expire = [&] {
    fresh_now += Seconds{301};
    while (fresh->counters().sessions > 0) fresh->advance(fresh_now);
    fresh_now += Seconds{121};
    fresh->advance(fresh_now);
  };

  return bench::run(argc, argv, "ns per packet",
                    {
                        {.name = "memcpy",
                         .is_reference = true,
                         .work =
                             [&](std::size_t count) {
                               for (std::size_t i = 0; i < count; ++i) bench::keep(traffic.frame(7));
                             },
                         .count = 1'000'000},
                        {.name = "one flow",
                         .work =
                             [&](std::size_t count) {
                               for (std::size_t i = 0; i < count; ++i) forward(full, now, traffic.frame(7));
                             },
                         .count = 1'000'000},
                        {.name = "1e6 sessions",
                         .work =
                             [&](std::size_t count) {
                               for (std::size_t i = 0; i < count; ++i)
                                 forward(full, now, traffic.frame(shuffled[i % shuffled.size()]));
                             },
                         .count = 500'000},
                        {.name = "new session and its expiry",
                         .work =
                             [&](std::size_t count) {
                               for (std::size_t i = 0; i < count; ++i)
                                 forward(*fresh, fresh_now, traffic.frame(made++));
                               made = 0;
                               expire();
                             },
                         .count = 500'000},
                    });
}
