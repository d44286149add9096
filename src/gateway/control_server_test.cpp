// SPDX-License-Identifier: BSD-2-Clause
//
// The protocol spoken to a gateway over a UNIX socket; the NAT64 behind it meets no packets.
#include "gateway/control_server.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/pool_counters.h"
#include "gateway/test_quiet_link.h"
#include "io/system.h"

namespace portolan::gateway {
namespace {

using ::testing::HasSubstr;

/// Somebody connected.
struct Client {
  io::Stream stream;
  control::FrameReader reader;
  std::vector<control::Reply> replies;
  bool is_closed = false;

  void send(const control::Request& request) {
    std::vector<std::byte> frame;
    control::append_frame(request, frame);
    stream.send(frame);
  }
  template <typename Message>
  [[nodiscard]] auto last() const -> const Message* {
    return replies.empty() ? nullptr : std::get_if<Message>(&replies.back());
  }
};

class ControlServerTest : public ::testing::Test {
 public:
  ~ControlServerTest() override {
    clients.clear();
    server.reset();
    device.reset();
    std::filesystem::remove_all(folder);
  }

 protected:
  ControlServerTest()
      : folder(std::filesystem::path(::testing::TempDir()) / fmt::format("control-{}", ::getpid())) {
    config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
    config.pool = {*Ipv4Address::parse("192.0.2.14")};
    config.limits.bindings = 60'000;
    std::vector<std::unique_ptr<device::PacketLink>> links;
    links.push_back(std::make_unique<test::QuietLink>());
    device.emplace(
        std::move(links), std::make_unique<io::SystemRandom>(), io::monotonic_now, config,
        [this](device::BatchId, const std::vector<device::Result>& results) { server->completed(results); },
        [this](std::function<void()> task) { loop.post(std::move(task)); },
        [this](const std::vector<device::Event>& events) { server->happened(events); });
    start(Seconds{3600});
  }

  void start(Seconds grace) {
    server.reset();
    server.emplace(loop, *device,
                   control::GatewayHello{.boot_id = 7, .program = "test", .prefixes = {}, .pool = {}}, grace);
    const auto listening = server->listen(
        {.kind = io::StreamAddress::Kind::unix_socket, .path = folder / "control.sock", .endpoint = {}}, {});
    ASSERT_TRUE(listening) << listening.error();
    address = *listening;
  }

  auto connect() -> Client& {
    Client& client = *clients.emplace_back(std::make_unique<Client>());
    io::StreamHandlers handlers;
    handlers.received = [this, &client](std::span<const std::byte> octets) {
      client.reader.add(octets);
      for (;;) {
        const auto message = client.reader.next();
        if (!message || !*message) break;
        client.replies.push_back(control::decode_reply(**message).value());
      }
      loop.stop();
    };
    handlers.closed = [this, &client](const std::string&) {
      client.is_closed = true;
      loop.stop();
    };
    client.stream = io::Stream::connect(loop, address, {}, std::move(handlers));
    return client;
  }
  auto greet(control::Role role) -> Client& {
    Client& client = connect();
    client.send(control::ClientHello{.role = role, .program = "a test"});
    run_until([&] { return !client.replies.empty(); });
    return client;
  }
  void run_until(auto condition) {
    while (!condition()) loop.run();
  }
  template <typename Message>
  auto ask(Client& client, const control::Request& request) -> Message {
    client.replies.clear();
    client.send(request);
    run_until([&] { return client.last<Message>() != nullptr || client.is_closed; });
    return *client.last<Message>();
  }

  auto inventory(Client& owner) -> std::vector<device::MappingRecord> {
    owner.replies.clear();
    owner.send(control::InventoryRequest{});
    run_until([&] {
      const auto* part = owner.last<control::InventoryPart>();
      return part != nullptr && part->is_last;
    });
    parts = owner.replies.size();
    std::vector<device::MappingRecord> mappings;
    for (const control::Reply& reply : owner.replies)
      std::ranges::copy(std::get<control::InventoryPart>(reply).mappings, std::back_inserter(mappings));
    return mappings;
  }

  static auto install(std::uint16_t port, const char* host = "2001:db8:112::2") -> device::Install {
    return {.key = {.realm = {},
                    .internal_address = *IpAddress::parse(host),
                    .protocol = Protocol::udp,
                    .external_family = Family::ipv4,
                    .internal_port = Port{port}},
            .external_address = IpAddress::unspecified(Family::ipv4),
            .external_port = Port{port},
            .lifetime = Seconds{3600}};
  }

  std::filesystem::path folder;
  io::EventLoop loop;
  nat::Config config;
  io::StreamAddress address;
  std::optional<ControlServer> server;
  std::optional<device::Nat64Device> device;
  std::vector<std::unique_ptr<Client>> clients;
  std::size_t parts = 0;  // of the last inventory
};

TEST_F(ControlServerTest, an_owner_installs_mappings_and_reads_them_back) {
  Client& owner = greet(control::Role::owner);
  const auto* hello = owner.last<control::GatewayHello>();
  ASSERT_NE(hello, nullptr);
  EXPECT_EQ(hello->boot_id, 7U);
  EXPECT_TRUE(hello->awaits_reconciliation);
  const auto result = ask<control::BatchResult>(
      owner, control::Batch{.id = {41}, .operations = {install(5000), install(5001), device::Remove{}}});
  EXPECT_EQ(result.id.value, 41U);
  ASSERT_EQ(result.results.size(), 3U);
  EXPECT_EQ(result.results[1]->external_port, Port{5001});
  const auto mappings = inventory(owner);
  ASSERT_EQ(mappings.size(), 2U);
  EXPECT_EQ(mappings[0].key, install(5000).key);
  EXPECT_EQ(mappings[0].external_port, Port{5000});
}

TEST_F(ControlServerTest, the_inventory_is_whole_and_marked_at_its_end) {
  Client& owner = greet(control::Role::owner);
  control::Batch batch;
  for (std::uint16_t i = 0; i < 3000; ++i)
    batch.operations.emplace_back(install(static_cast<std::uint16_t>(10'000 + i)));
  ask<control::BatchResult>(owner, batch);
  EXPECT_EQ(inventory(owner).size(), 3000U);
  EXPECT_GT(parts, 2U);
}

TEST_F(ControlServerTest, reconciled_lets_flows_from_inside_begin) {
  Client& owner = greet(control::Role::owner);
  const control::TraceQuery flow{
      .number = {1},
      .protocol = Protocol::udp,
      .source = {*IpAddress::parse("2001:db8:112::2"), Port{5000}},
      .destination = {*IpAddress::parse("2001:db8:64:ff9b::198.51.100.7"), Port{53}}};
  EXPECT_EQ(ask<control::Trace>(owner, flow).drop_reason, "not_reconciled");
  EXPECT_FALSE(server->is_reconciled());
  owner.send(control::Reconciled{});
  EXPECT_TRUE(ask<control::Trace>(owner, flow).is_forwarded);
  EXPECT_TRUE(server->is_reconciled());
}

TEST_F(ControlServerTest, after_its_grace_time_a_gateway_waits_no_longer) {
  start(Seconds{0});
  while (!server->is_reconciled()) {
    const io::Timer turn = loop.at(io::monotonic_now() + Milliseconds{1}, [this] { loop.stop(); });
    loop.run();
  }
  EXPECT_FALSE(greet(control::Role::reader).last<control::GatewayHello>()->awaits_reconciliation);
}

TEST_F(ControlServerTest, mappings_stay_when_their_server_goes) {
  Client& first = greet(control::Role::owner);
  ask<control::BatchResult>(first, control::Batch{.id = {1}, .operations = {install(5000)}});
  first.stream.close();
  run_until([&] {
    const io::Timer turn = loop.at(io::monotonic_now() + Milliseconds{1}, [this] { loop.stop(); });
    loop.run();
    return !server->has_owner();
  });
  Client& second = greet(control::Role::owner);
  EXPECT_EQ(inventory(second).size(), 1U);
}

TEST_F(ControlServerTest, a_reader_may_look_and_nothing_else) {
  Client& reader = greet(control::Role::reader);
  const auto refused = ask<control::Error>(reader, control::Batch{.id = {1}, .operations = {install(5000)}});
  EXPECT_EQ(refused.code, control::ErrorCode::not_owner);
  EXPECT_EQ(ask<control::Error>(reader, control::Reconciled{}).code, control::ErrorCode::not_owner);
  EXPECT_EQ(ask<control::Error>(reader, control::InventoryRequest{}).code, control::ErrorCode::not_owner);
  const auto counters = ask<control::Counters>(reader, control::Query{.number = {9}});
  EXPECT_EQ(counters.query.value, 9U);
  EXPECT_THAT(counters.counters,
              ::testing::Contains(control::Counter{.name = "explicit_bindings", .value = 0}));
  EXPECT_THAT(control::pool_of(counters.counters), ::testing::SizeIs(3));
  EXPECT_EQ(
      ask<control::Pools>(reader, control::Query{.number = {1}, .view = control::View::pools}).rows.size(),
      1U);
  EXPECT_TRUE(
      ask<control::Users>(reader, control::Query{.number = {1}, .view = control::View::users}).is_last);
  EXPECT_TRUE(
      ask<control::Sessions>(reader, control::Query{.number = {1}, .view = control::View::sessions}).is_last);
  EXPECT_TRUE(ask<control::Bindings>(reader, control::Query{.number = {1}, .view = control::View::bindings})
                  .rows.empty());
}

TEST_F(ControlServerTest, a_second_server_is_turned_away_while_the_first_answers) {
  Client& first = greet(control::Role::owner);
  first.replies.clear();
  Client& second = connect();
  second.send(control::ClientHello{.role = control::Role::owner, .program = "second"});
  run_until([&] { return first.last<control::Ping>() != nullptr; });
  EXPECT_TRUE(second.replies.empty());
  first.send(control::Pong{first.last<control::Ping>()->token});
  run_until([&] { return second.is_closed; });
  EXPECT_EQ(second.last<control::Error>()->code, control::ErrorCode::owned);
  EXPECT_EQ(ask<control::BatchResult>(first, control::Batch{.id = {2}, .operations = {}}).id.value, 2U);
}

TEST_F(ControlServerTest, a_second_server_takes_over_from_one_that_is_silent) {
  Client& first = greet(control::Role::owner);
  Client& second = connect();
  second.send(control::ClientHello{.role = control::Role::owner, .program = "second"});
  run_until([&] { return second.last<control::GatewayHello>() != nullptr; });
  run_until([&] { return first.is_closed; });
  EXPECT_EQ(ask<control::BatchResult>(second, control::Batch{.id = {1}, .operations = {}}).id.value, 1U);
}

TEST_F(ControlServerTest, who_does_not_speak_the_protocol_is_turned_away) {
  Client& early = connect();
  early.send(control::Query{.number = {1}});
  run_until([&] { return early.is_closed; });
  EXPECT_THAT(early.last<control::Error>()->text, HasSubstr("first message must be a hello"));
  Client& newer = connect();
  newer.send(control::ClientHello{.version = control::protocol_version + 1, .program = "new"});
  run_until([&] { return newer.is_closed; });
  EXPECT_EQ(newer.last<control::Error>()->code, control::ErrorCode::unsupported_version);
  Client& large = greet(control::Role::reader);
  const std::vector<std::byte> length{std::byte{0x81}, std::byte{0x80}, std::byte{0x80}, std::byte{0x02}};
  large.stream.send(length);
  run_until([&] { return large.is_closed; });
  EXPECT_THAT(large.last<control::Error>()->text, HasSubstr("longer than 4194304"));
}

TEST_F(ControlServerTest, connections_have_a_limit) {
  for (std::size_t i = 0; i < ControlServer::connections_max; ++i)
    ASSERT_NE(greet(control::Role::reader).last<control::GatewayHello>(), nullptr);
  Client& more = connect();
  run_until([&] { return more.is_closed; });
  EXPECT_TRUE(more.replies.empty());
}

TEST_F(ControlServerTest, batches_beyond_the_limit_wait_and_are_all_answered) {
  Client& owner = greet(control::Role::owner);
  owner.replies.clear();
  constexpr std::size_t count = ControlServer::batches_max * 3;
  for (std::size_t i = 0; i < count; ++i)
    owner.send(control::Batch{.id = {i}, .operations = {install(static_cast<std::uint16_t>(20'000 + i))}});
  run_until([&] { return owner.replies.size() == count; });
  for (std::size_t i = 0; i < count; ++i)
    EXPECT_EQ(std::get<control::BatchResult>(owner.replies[i]).id.value, i);
}

TEST_F(ControlServerTest, a_reader_that_pauses_gets_every_row_once_it_goes_on) {
  Client& owner = greet(control::Role::owner);
  constexpr std::uint32_t count = 50'000;  // some megabytes: more than may wait for a reader
  for (std::uint32_t first = 0; first < count; first += control::operations_max) {
    control::Batch batch{.id = {first}, .operations = {}};
    for (std::uint32_t i = first; i < std::min<std::uint32_t>(count, first + control::operations_max); ++i)
      batch.operations.emplace_back(install(static_cast<std::uint16_t>(10'000 + i)));
    ask<control::BatchResult>(owner, batch);
  }
  Client& reader = greet(control::Role::reader);
  reader.replies.clear();
  reader.stream.set_reading(false);
  reader.send(control::Query{.number = {1}, .view = control::View::bindings});
  // Others are served meanwhile.
  for (std::uint32_t i = 0; i < 500; ++i) ask<control::Pong>(owner, control::Ping{i});
  EXPECT_LE(reader.replies.size(), 2U) << "what was on its way already";
  reader.stream.set_reading(true);
  run_until([&] { return reader.last<control::Bindings>() && reader.last<control::Bindings>()->is_last; });
  std::set<std::uint16_t> ports;
  std::size_t rows = 0;
  for (const control::Reply& reply : reader.replies)
    for (const nat::BindingRow& row : std::get<control::Bindings>(reply).rows) {
      ports.insert(row.internal.port.value);
      ++rows;
    }
  EXPECT_EQ(rows, count);
  EXPECT_EQ(ports.size(), count);
}

TEST_F(ControlServerTest, who_asks_again_too_early_is_told_so) {
  Client& reader = greet(control::Role::reader);
  reader.replies.clear();
  reader.send(control::Query{.number = {1}, .view = control::View::sessions});
  reader.send(control::Query{.number = {2}, .view = control::View::sessions});
  run_until([&] { return reader.replies.size() == 2; });
  const auto* const busy = std::get_if<control::Error>(reader.replies.data());
  ASSERT_NE(busy, nullptr);
  EXPECT_EQ(busy->code, control::ErrorCode::busy);
  EXPECT_EQ(busy->query.value, 2U);
  EXPECT_EQ(std::get<control::Sessions>(reader.replies[1]).query.value, 1U);
}

TEST_F(ControlServerTest, profiles_are_inventory_before_all_else_and_are_shown) {
  Client& owner = greet(control::Role::owner);
  std::vector<device::PutProfile> profiles;
  std::vector<device::Operation> operations{install(5000)};
  for (unsigned i = 0; i < 1000; ++i) {
    const auto prefix = Prefix::parse(fmt::format("2001:db8:112:{:x}::/64", i));
    profiles.push_back({.realm = {},
                        .internal_prefix = *prefix,
                        .subscriber_prefix_length = 0,
                        .external_address = *IpAddress::parse("192.0.2.14"),
                        .external_ports = {.first = Port{2000}, .last = Port{2999}},
                        .port_block_size = 64,
                        .ports_max = i,
                        .sessions_max = 200,
                        .sessions_per_second_max = 20});
    operations.emplace_back(profiles.back());
  }
  operations.emplace_back(device::DropProfile{.realm = {}, .internal_prefix = profiles[7].internal_prefix});
  profiles.erase(profiles.begin() + 7);
  ask<control::BatchResult>(owner, control::Batch{.id = {1}, .operations = operations});
  EXPECT_EQ(inventory(owner).size(), 1U);
  std::vector<device::PutProfile> held;
  bool is_other_before = false;
  for (const control::Reply& reply : owner.replies) {
    const auto& part = std::get<control::InventoryPart>(reply);
    EXPECT_TRUE(part.profiles.empty() || !is_other_before);
    is_other_before = is_other_before || !part.mappings.empty() || !part.peers.empty();
    std::ranges::copy(part.profiles, std::back_inserter(held));
  }
  EXPECT_TRUE(is_other_before);
  EXPECT_EQ(held, profiles);
  Client& reader = greet(control::Role::reader);
  const auto rows =
      ask<control::Profiles>(reader, control::Query{.number = {3},
                                                    .view = control::View::profiles,
                                                    .filter = {.internal = profiles[99].internal_prefix}});
  std::vector<nat::ProfileRow> shown;
  run_until([&] { return reader.last<control::Profiles>()->is_last; });
  for (const control::Reply& reply : reader.replies)
    std::ranges::copy(std::get<control::Profiles>(reply).rows, std::back_inserter(shown));
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_EQ(shown[0].internal, profiles[99].internal_prefix);
  EXPECT_EQ(shown[0].asked.ports_max, 100U);
  EXPECT_EQ(shown[0].subscribers, 0U);
}

TEST_F(ControlServerTest, what_a_change_of_the_pool_does_is_told_to_the_owner) {
  Client& owner = greet(control::Role::owner);
  ask<control::BatchResult>(owner, control::Batch{.id = {1}, .operations = {install(5000)}});
  owner.replies.clear();
  const Ipv4Address other = *Ipv4Address::parse("192.0.2.15");
  device->set_pool({other});
  server->pool_changed({other});
  run_until([&] { return owner.replies.size() == 2; });
  EXPECT_EQ(std::get<control::PoolChanged>(owner.replies[0]).pool.front().first, other);
  const auto& moved = std::get<device::Moved>(std::get<control::Events>(owner.replies[1]).events.front());
  EXPECT_EQ(moved.external_address, IpAddress{other});
}

}  // namespace
}  // namespace portolan::gateway
