// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 through its device interface: the suite every device runs, and the worker's own promises,
// over a link in memory and a clock that the test moves.
#include "device/nat64/nat64_device.h"

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <span>
#include <thread>

#include <gtest/gtest.h>

#include "device/contract_test.h"
#include "device/nat64/memory_link_test.h"
#include "device/pool_contract_test.h"
#include "device/port_range_contract_test.h"
#include "device/profile_contract_test.h"
#include "nat/testing/test_packets.h"

namespace portolan::device {
namespace {

using nat::test::Octets;
using nat::test::PacketBuilder;

constexpr const char* pool = "192.0.2.14";
constexpr std::uint16_t peer_port = 5555;
constexpr const char* far6 = "2001:db8:64:ff9b::198.51.100.7";

/// The caller's event loop: functions posted from anywhere run when the test says so.
class Loop {
 public:
  void post(std::function<void()> function) {
    const std::scoped_lock lock(mutex_);
    posted_.push_back(std::move(function));
    arrived_.notify_all();
  }
  void run_until(const std::function<bool()>& done) {
    while (!done()) {
      std::function<void()> next;
      {
        std::unique_lock lock(mutex_);
        arrived_.wait(lock, [&] { return !posted_.empty(); });
        next = std::move(posted_.front());
        posted_.pop_front();
      }
      next();
    }
  }
  /// What is left, without waiting.
  auto take() -> std::deque<std::function<void()>> {
    const std::scoped_lock lock(mutex_);
    return std::exchange(posted_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> posted_;
};

auto test_config() -> nat::Config {
  nat::Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  config.pool = {*Ipv4Address::parse(pool)};
  config.limits.bindings = config.limits.sessions = 4096;
  return config;
}

/// With `Count` workers. Packets come to them in turn, whosever they are: being steered well makes workers
/// faster, being steered badly must make nothing wrong.
template <std::size_t Count>
class WorkersUnderTest final : public DeviceUnderTest {
 public:
  auto apply(std::vector<Operation> operations) -> std::vector<Result> override {
    const BatchId batch{++last_batch_};
    device_->apply(batch, std::move(operations));
    loop_.run_until([&] { return !answered_.empty() && answered_.back().first == batch; });
    return answered_.back().second;
  }
  void pass(Seconds time) override {
    clock_ns_ += std::chrono::nanoseconds(time).count();
    settle();
  }
  auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> override {
    PacketBuilder packet(to_string(from.internal_address), to_string(remote_peer(peer).address));
    if (from.protocol == Protocol::udp)
      packet.udp(from.internal_port.value, peer_port);
    else
      packet.tcp(from.internal_port.value, peer_port, "S");
    const auto sent = exchange(packet.build());
    if (sent.size() != 1 || sent[0][0] >> 4U != 4) return std::nullopt;
    return Endpoint{address4(sent[0], 12), port(sent[0], 20)};
  }
  auto send_inbound(Protocol protocol, const Endpoint& external, unsigned peer)
      -> std::optional<Endpoint> override {
    PacketBuilder packet("198.51.100." + std::to_string(7 + peer), to_string(external.address));
    if (protocol == Protocol::udp)
      packet.udp(peer_port, external.port.value);
    else
      packet.tcp(peer_port, external.port.value, "S");
    const auto sent = exchange(packet.build());
    if (sent.size() != 1 || sent[0][0] >> 4U != 6) return std::nullopt;
    Ipv6Address inside;
    std::copy_n(sent[0].begin() + 24, 16, inside.octets.begin());
    return Endpoint{IpAddress{inside}, port(sent[0], 42)};
  }
  auto set_pool(const std::vector<IpAddress>& addresses) -> std::vector<Event> override {
    std::vector<nat::PoolRange> addresses4;
    addresses4.reserve(addresses.size());
    for (const IpAddress& address : addresses) addresses4.emplace_back(address.ipv4());
    device_->set_pool(addresses4);
    settle();
    return std::exchange(events_, {});
  }
  auto inside_address(unsigned host) const -> IpAddress override {
    return *IpAddress::parse("2001:db8:112::" + std::to_string(host));
  }
  auto external_address() const -> IpAddress override { return *IpAddress::parse(pool); }
  auto other_external_address() const -> IpAddress override { return *IpAddress::parse("192.0.2.15"); }
  auto remote_peer(unsigned peer) const -> Endpoint override {
    return {*IpAddress::parse("2001:db8:64:ff9b::198.51.100." + std::to_string(7 + peer)), Port{peer_port}};
  }
  auto unreachable_peer() const -> Endpoint override {
    return {*IpAddress::parse("2001:db8:dead::1"), Port{peer_port}};
  }

  /// Waits until the first worker has done a task, and so looked at its timers before.
  void settle() {
    for (int turn = 0; turn < 2; ++turn) {
      bool is_done = false;
      device_->workers().submit([&](TimePoint, nat::Nat64&) { loop_.post([&] { is_done = true; }); });
      loop_.run_until([&] { return is_done; });
    }
  }

  auto device() -> Nat64Device& { return *device_; }
  auto wire(std::size_t worker = 0) -> Wire& { return wires_.at(worker); }
  /// Has the next worker translate `packet`, and returns what it sends.
  auto exchange(const Octets& packet) -> std::vector<Octets> {
    return wires_.at(next_++ % Count).exchange(packet);
  }
  auto loop() -> Loop& { return loop_; }
  auto answered() -> std::vector<std::pair<BatchId, std::vector<Result>>>& { return answered_; }
  void destroy_device() { device_.reset(); }

 private:
  static auto address4(const Octets& packet, std::size_t at) -> IpAddress {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8U | packet[at + i];
    return IpAddress{Ipv4Address{value}};
  }
  static auto port(const Octets& packet, std::size_t at) -> Port {
    return Port{static_cast<std::uint16_t>(packet[at] << 8U | packet[at + 1])};
  }

  std::atomic<std::int64_t> clock_ns_{1'000'000'000'000'000};
  std::array<Wire, Count> wires_;
  std::size_t next_ = 0;
  Loop loop_;
  std::uint64_t last_batch_ = 0;
  std::vector<std::pair<BatchId, std::vector<Result>>> answered_;
  std::vector<Event> events_;
  std::unique_ptr<Nat64Device> device_ = std::make_unique<Nat64Device>(
      links_to(wires_), std::make_unique<SeededRandom>(1),
      [this] { return TimePoint{Nanoseconds{clock_ns_.load()}}; }, test_config(),
      [this](BatchId batch, std::vector<Result> results) {
        answered_.emplace_back(batch, std::move(results));
      },
      [this](std::function<void()> function) { loop_.post(std::move(function)); },
      [this](std::vector<Event> events) { events_ = std::move(events); });
};

using Nat64UnderTest = WorkersUnderTest<1>;
using NumbersOfWorkers = ::testing::Types<WorkersUnderTest<1>, WorkersUnderTest<2>, WorkersUnderTest<4>>;
INSTANTIATE_TYPED_TEST_SUITE_P(Nat64, DeviceContract, NumbersOfWorkers);
INSTANTIATE_TYPED_TEST_SUITE_P(Nat64, DevicePoolContract, NumbersOfWorkers);
INSTANTIATE_TYPED_TEST_SUITE_P(Nat64, DevicePortRangeContract, NumbersOfWorkers);
INSTANTIATE_TYPED_TEST_SUITE_P(Nat64, DeviceProfileContract, NumbersOfWorkers);

auto install(std::uint16_t port) -> Operation {
  return Install{.key = {.realm = {},
                         .internal_address = *IpAddress::parse("2001:db8:112::2"),
                         .protocol = Protocol::udp,
                         .external_family = Family::ipv4,
                         .internal_port = Port{port}},
                 .external_address = IpAddress::unspecified(Family::ipv4),
                 .external_port = Port{port},
                 .match = Match::suggested,
                 .lifetime = Seconds{600}};
}

TEST(Nat64Device, many_batches_are_answered_once_each_and_in_order) {
  Nat64UnderTest under;
  constexpr std::uint64_t batches = 500;
  for (std::uint64_t i = 1; i <= batches; ++i)
    under.device().apply(BatchId{i}, {install(static_cast<std::uint16_t>(2000 + i)), install(1999)});
  EXPECT_TRUE(under.answered().empty()) << "never from inside apply()";
  under.loop().run_until([&] { return under.answered().size() == batches; });
  for (std::uint64_t i = 1; i <= batches; ++i) {
    EXPECT_EQ(under.answered()[i - 1].first, BatchId{i});
    EXPECT_EQ(under.answered()[i - 1].second.size(), 2U);
  }
}

TEST(Nat64Device, batches_beyond_the_limit_are_refused_in_their_turn) {
  Nat64UnderTest under;
  for (std::uint64_t i = 1; i <= Nat64Device::batches_max + 1; ++i)
    under.device().apply(BatchId{i}, {install(2000)});
  under.loop().run_until([&] { return under.answered().size() == Nat64Device::batches_max + 1; });
  const auto& answered = under.answered();
  EXPECT_TRUE(answered[Nat64Device::batches_max - 1].second.at(0));
  ASSERT_FALSE(answered.back().second.at(0));
  EXPECT_EQ(answered.back().second.at(0).error(), Refusal::no_resources);
  EXPECT_TRUE(under.apply({install(2000)}).at(0)) << "and once answered, there is room again";
}

TEST(Nat64Device, answers_that_come_after_its_end_reach_nobody) {
  Nat64UnderTest under;
  under.device().apply(BatchId{1}, {install(2000)});
  under.settle();
  under.device().apply(BatchId{2}, {install(2001)});
  under.destroy_device();
  for (const auto& late : under.loop().take()) late();
  EXPECT_LE(under.answered().size(), 1U);
}

TEST(Nat64Device, packets_wait_for_what_was_promised) {
  Wire wire;
  Loop loop;
  std::size_t answered = 0;
  Nat64Device device(
      links_to(std::span(&wire, 1)), std::make_unique<SeededRandom>(1),
      [] { return TimePoint{Seconds{1000}}; }, test_config(),
      [&](BatchId, const std::vector<Result>&) { ++answered; },
      [&](std::function<void()> function) { loop.post(std::move(function)); }, {}, true);
  wire.send(PacketBuilder("2001:db8:112::2", far6).udp(3000, 53).build());
  for (std::uint64_t i = 1; i <= 50; ++i) {
    device.reconcile(BatchId{i}, {install(static_cast<std::uint16_t>(2000 + i))});
    loop.run_until([&] { return answered == i; });
  }
  EXPECT_EQ(device.counters().packets_read, 0U);
  device.reconciled();
  EXPECT_EQ(wire.exchange(PacketBuilder("2001:db8:112::2", far6).udp(3000, 53).build()).size(), 2U);
}

TEST(Nat64Device, a_superpacket_crosses_with_its_offload_metadata) {
  Nat64UnderTest under;
  Octets payload(40000, 0x5a);
  const auto sent = under.wire().exchange(
      PacketBuilder("2001:db8:112::2", far6).tcp(3000, 80, "S").payload(payload).partial_checksum().build(),
      {.flags = nat::Offload::needs_csum,
       .gso_type = nat::Offload::gso_tcpv6,
       .hdr_len = 60,
       .gso_size = 1440,
       .csum_start = 40,
       .csum_offset = 16});
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].size(), 20 + 20 + payload.size());
}

TEST(Nat64Device, errors_for_the_sender_are_sent) {
  Nat64UnderTest under;
  const auto sent =
      under.wire().exchange(PacketBuilder("2001:db8:112::2", far6).udp(3000, 53).ttl(1).build());
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(nat::test::find_fault(sent[0]), "");
  EXPECT_EQ(sent[0][40], 3) << "time exceeded";
}

TEST(Nat64Device, counters_are_read_from_another_thread) {
  Nat64UnderTest under;
  EXPECT_TRUE(under.apply({install(2000)}).at(0));
  EXPECT_TRUE(under.send_inbound(Protocol::udp, {*IpAddress::parse(pool), Port{2000}}, 0));
  under.settle();
  const WorkerCounters counters = under.device().counters();
  EXPECT_EQ(counters.packets_read, 1U);
  EXPECT_EQ(counters.nat.explicit_bindings, 1U);
  EXPECT_EQ(counters.nat.packets(nat::Direction::from_ipv4, nat::Kind::udp), 1U);
}

TEST(Nat64Device, traffic_batches_and_counters_from_many_threads_at_once) {
  Nat64UnderTest under;
  std::atomic<bool> is_over = false;
  std::thread watcher([&] {
    while (!is_over) static_cast<void>(under.device().counters());
  });
  std::thread traffic([&] {
    for (std::uint16_t port = 1; port <= 300; ++port)
      static_cast<void>(under.wire().exchange(
          PacketBuilder("2001:db8:112::2", far6).udp(static_cast<std::uint16_t>(10000 + port), 53).build()));
  });
  for (std::uint16_t port = 2000; port < 2300; ++port) EXPECT_TRUE(under.apply({install(port)}).at(0));
  traffic.join();
  is_over = true;
  watcher.join();
}

}  // namespace
}  // namespace portolan::device
