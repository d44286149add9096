// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 engine alone, for nat64_bench.py. Each session has a binding of its own, 16 of them a host, so
// that every table holds as many entries as there are sessions. Prints numbers on one line.
//
//   nat64_engine speed N           ns per packet of one flow, ns per packet of N sessions in random order,
//                                  new sessions per second until there are N
//   nat64_engine memory N          resident octets per session, of N
//   nat64_engine expiry N          CPU time in ns of the longest call of advance() while N sessions expire
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "harness.h"
#include "io/memory.h"
#include "nat/checksum.h"
#include "nat/nat64.h"

namespace {

using namespace portolan;  // NOLINT(google-build-using-namespace): a program of one file

constexpr std::size_t payload = 64;
constexpr std::size_t packet_size = 40 + 8 + payload;
constexpr std::uint32_t sessions_of_host = 16;
constexpr std::uint32_t sessions_of_address = 60'000;
constexpr std::size_t packets_measured = 2'000'000;
constexpr int expiry_runs = 4;

auto make_config(std::uint32_t sessions) -> nat::Config {
  nat::Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  for (std::uint32_t i = 0; i <= sessions / sessions_of_address; ++i)
    config.pool.emplace_back(Ipv4Address{0xc6336400U + i});
  config.limits.sessions = sessions;
  config.limits.bindings = sessions;
  config.limits.subscribers = sessions / sessions_of_host + 1;
  return config;
}

/// UDP from session number `number`.
class Traffic {
 public:
  Traffic() : buffer_(nat::Frame::headroom_min + packet_size) {
    std::uint8_t* packet = template_.data();
    nat::store32(packet, 0x60000000U);
    nat::store16(packet + 4, 8 + payload);
    packet[6] = 17;
    packet[7] = 64;
    const auto from = Ipv6Address::parse("2001:db8:112::");
    const auto to = Ipv6Address::parse("2001:db8:64:ff9b::203.0.113.1");
    std::memcpy(packet + 8, from->octets.data(), 16);
    std::memcpy(packet + 24, to->octets.data(), 16);
    nat::store16(packet + 42, 53);
    nat::store16(packet + 44, 8 + payload);
    nat::store16(packet + 46, 0x1234);  // any: the engine adjusts it, right or wrong
  }

  auto frame(std::uint32_t number) -> nat::Frame& {
    auto* packet = reinterpret_cast<std::uint8_t*>(buffer_.data() + nat::Frame::headroom_min);
    std::memcpy(packet, template_.data(), packet_size);
    nat::store32(packet + 12, number / sessions_of_host);
    nat::store16(packet + 40, static_cast<std::uint16_t>(10000 + number % sessions_of_host));
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

void fill(nat::Nat64& engine, Traffic& traffic, TimePoint now, std::uint32_t sessions) {
  for (std::uint32_t i = 0; i < sessions; ++i) forward(engine, now, traffic.frame(i));
  PORTOLAN_CHECK(engine.counters().sessions == sessions);
}

/// CPU time of this thread: what else the machine does is not in it.
auto cpu_time() -> std::int64_t {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return std::int64_t{spent.tv_sec} * 1'000'000'000 + spent.tv_nsec;
}

template <typename Work>
auto nanoseconds_per(std::size_t count, Work work) -> double {
  const std::int64_t before = cpu_time();
  work();
  return static_cast<double>(cpu_time() - before) / static_cast<double>(count);
}

auto resident() -> std::int64_t {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0;
  std::int64_t pages = 0;
  statm >> size >> pages;
  return pages * 4096;
}

constexpr TimePoint start{Seconds{1000}};

void speed(std::uint32_t sessions) {
  SeededRandom random(1);
  SeededRandom order(2);
  Traffic traffic;
  nat::Nat64 engine(make_config(sessions), random);
  const double make = nanoseconds_per(sessions, [&] { fill(engine, traffic, start, sessions); });
  std::vector<std::uint32_t> shuffled(1 << 20U);
  for (std::uint32_t& each : shuffled) each = static_cast<std::uint32_t>(order.below(sessions));
  const double cold = nanoseconds_per(packets_measured, [&] {
    for (std::size_t i = 0; i < packets_measured; ++i)
      forward(engine, start, traffic.frame(shuffled[i % shuffled.size()]));
  });
  const double hot = nanoseconds_per(packets_measured, [&] {
    for (std::size_t i = 0; i < packets_measured; ++i) forward(engine, start, traffic.frame(7));
  });
  std::printf("%.1f %.1f %.0f\n", hot, cold, 1e9 / make);
}

void memory(std::uint32_t sessions) {
  SeededRandom random(1);
  Traffic traffic;
  const std::int64_t before = resident();
  nat::Nat64 engine(make_config(sessions), random);
  fill(engine, traffic, start, sessions);
  std::printf("%.1f\n", static_cast<double>(resident() - before) / sessions);
}

/// A run fills and empties the engine in the same way each time, so that a call takes as long as in its
/// fastest run: a machine under a hypervisor stands still for milliseconds, unseen.
void expiry(std::uint32_t sessions) {
  std::vector<std::int64_t> calls;
  for (int run = 0; run < expiry_runs; ++run) {
    SeededRandom random(1);
    Traffic traffic;
    nat::Nat64 engine(make_config(sessions), random);
    fill(engine, traffic, start, sessions);
    const TimePoint later = start + engine.config().timeouts.udp + Seconds{1};
    for (std::size_t call = 0; engine.counters().sessions > 0; ++call) {
      const std::int64_t before = cpu_time();
      engine.advance(later);
      const std::int64_t spent = cpu_time() - before;
      if (call == calls.size())
        calls.push_back(spent);
      else
        calls[call] = std::min(calls[call], spent);
    }
  }
  std::printf("%lld\n", static_cast<long long>(*std::ranges::max_element(calls)));
}

}  // namespace

auto main(int argc, char** argv) -> int {
  io::allocate_huge_pages(argv);  // as portoland does
  const std::string_view what = argc == 3 ? argv[1] : "";
  const auto sessions = static_cast<std::uint32_t>(argc == 3 ? std::strtoul(argv[2], nullptr, 10) : 0);
  if (sessions == 0 || sessions > 10'000'000) {
    std::fputs("usage: nat64_engine speed|memory|expiry SESSIONS\n", stderr);
    return 2;
  }
  if (what == "speed") speed(sessions);
  if (what == "memory") memory(sessions);
  if (what == "expiry") expiry(sessions);
  return 0;
}
