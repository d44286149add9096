// SPDX-License-Identifier: BSD-2-Clause
//
// What the translator tells a log of, and what it does not.
#include "nat/events.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat {
namespace {

/// Keeps what it is told, in words.
class Notebook final : public EventSink {
 public:
  void put(const Event& event) noexcept override { events.push_back(event); }
  auto take() -> std::vector<std::string> {
    std::vector<std::string> words;
    words.reserve(events.size());
    for (const Event& event : events) words.push_back(in_words(event));
    events.clear();
    return words;
  }

  std::vector<Event> events;

 private:
  static auto in_words(const Event& event) -> std::string {
    if (event.kind == EventKind::exhausted)
      return fmt::format("exhausted {} for {}, packets {}", to_string(event.reason), event.internal,
                         event.packets);
    if (event.kind == EventKind::block_allocated || event.kind == EventKind::block_released)
      return fmt::format("{} {}/{} {} {}-{}", to_string(event.kind), event.internal, event.prefix_length,
                         event.external, event.external_port, event.last_port);
    std::string text = fmt::format("{} {} {}:{} {}:{}", to_string(event.kind), event.protocol, event.internal,
                                   event.internal_port, event.external, event.external_port);
    if (event.remote != Ipv4Address{}) text += fmt::format(" {}:{}", event.remote, event.remote_port);
    return text;
  }
};

using Words = std::vector<std::string>;

class EventsTest : public test::Engine {
 protected:
  void log(EventRules rules) {
    rules_ = std::move(rules);
    engine->set_events(&notebook, rules_);
  }
  void send_udp(std::uint16_t port, const char* host = inside, const char* to = far6) {
    send(test::PacketBuilder(host, to).udp(port, 53).build());
  }

  Notebook notebook;

 private:
  EventRules rules_;
};

TEST_F(EventsTest, a_flow_is_told_from_its_beginning_to_its_end_and_no_packet_between) {
  log({.everybody = EventLevel::sessions, .of = {}});
  for (int i = 0; i < 3; ++i) send_udp(5000);
  EXPECT_EQ(notebook.take(), (Words{"binding-created udp 2001:db8:112::2:5000 192.0.2.14:5000",
                                    "session-created udp 2001:db8:112::2:5000 192.0.2.14:5000"}));
  pass(config.timeouts.udp + Seconds{1});
  EXPECT_EQ(notebook.take(), (Words{"session-deleted udp 2001:db8:112::2:5000 192.0.2.14:5000",
                                    "binding-deleted udp 2001:db8:112::2:5000 192.0.2.14:5000"}));
}

TEST_F(EventsTest, nothing_is_told_by_default) {
  send_udp(5000);
  log({});
  send_udp(5001);
  EXPECT_EQ(notebook.take(), Words{});
}

TEST_F(EventsTest, destinations_are_told_only_if_asked_for) {
  log({.everybody = EventLevel::sessions, .of = {}, .tells_destinations = true});
  send_udp(5000);
  EXPECT_EQ(notebook.take().back(),
            "session-created udp 2001:db8:112::2:5000 192.0.2.14:5000 198.51.100.7:53");
}

TEST_F(EventsTest, levels_are_each_subscribers_and_the_longest_prefix_counts) {
  log({.everybody = EventLevel::none,
       .of = {{.internal = *Prefix::parse("2001:db8:112::/48"), .level = EventLevel::sessions},
              {.internal = *Prefix::parse("2001:db8:112::2/128"), .level = EventLevel::bindings},
              {.internal = *Prefix::parse("2001:db8:112::3/128"), .level = EventLevel::none}}});
  send_udp(5000, "2001:db8:112::2");
  send_udp(5000, "2001:db8:112::3");
  send_udp(5001, "2001:db8:112::4");
  send_udp(5002, other_inside);
  EXPECT_EQ(notebook.take(), (Words{"binding-created udp 2001:db8:112::2:5000 192.0.2.14:5000",
                                    "binding-created udp 2001:db8:112::4:5001 192.0.2.14:5001",
                                    "session-created udp 2001:db8:112::4:5001 192.0.2.14:5001"}));
}

TEST_F(EventsTest, of_blocks_only_they_are_told_and_what_lies_outside_of_them) {
  config.allowance.port_block_size = 64;
  restart();
  log({.everybody = EventLevel::blocks, .of = {}});
  send_udp(5000);
  send_udp(5001);
  map(Protocol::tcp, 80, 80);
  const auto told = notebook.take();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_TRUE(told[0].starts_with("block-allocated 2001:db8:112::2/128 192.0.2.14 ")) << told[0];
  EXPECT_EQ(told[1], "binding-created tcp 2001:db8:112::2:80 192.0.2.14:80");
  unmap(Protocol::tcp, 80);
  EXPECT_EQ(notebook.take(), Words{"binding-deleted tcp 2001:db8:112::2:80 192.0.2.14:80"});
  pass(config.timeouts.udp + 2 * config.timeouts.hold_down + Seconds{2});
  std::string released = told[0];
  released.replace(0, std::string("block-allocated").size(), "block-released");
  EXPECT_EQ(notebook.take(), Words{released});
}

// RFC 7422 s2: what the plan tells needs no log.
TEST_F(EventsTest, of_a_plan_only_dynamic_ports_are_told) {
  PoolRange range = *Ipv4Address::parse(pool);
  range.ports = {.first = Port{1024}, .last = Port{1023 + 192}};
  config.pool = {range};
  config.deterministic = {.inside = *Prefix::parse("2001:db8:112::2/127"), .dynamic_factor = 1};
  ASSERT_TRUE(check(config)) << check(config).error();
  restart();
  log({.everybody = EventLevel::blocks, .of = {}});
  for (std::uint16_t i = 0; i < 64; ++i) send_udp(static_cast<std::uint16_t>(5000 + i));
  EXPECT_EQ(notebook.take(), Words{});
  send_udp(6000);
  send_udp(1200, other_inside);
  const auto told = notebook.take();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_TRUE(told[0].starts_with("binding-created udp 2001:db8:112::2:6000 192.0.2.14:1")) << told[0];
  EXPECT_EQ(told[1], "binding-created udp 2001:db8:113::3:1200 192.0.2.14:1200");
}

TEST_F(EventsTest, a_mapping_that_moves_to_another_address_ends_and_begins) {
  log({.everybody = EventLevel::bindings, .of = {}});
  map(Protocol::udp, 5060, 5060);
  notebook.take();
  engine->set_pool(now, {*Ipv4Address::parse("192.0.2.15")});
  EXPECT_EQ(notebook.take(), (Words{"binding-deleted udp 2001:db8:112::2:5060 192.0.2.14:5060",
                                    "binding-created udp 2001:db8:112::2:5060 192.0.2.15:5060"}));
}

TEST_F(EventsTest, exhaustion_is_told_a_few_times_whatever_else_is_and_with_how_many_packets) {
  config.allowance.ports_max = 1;
  restart();
  log({});
  send_udp(5000);
  for (int i = 0; i < 100; ++i) send_udp(5001);
  EXPECT_EQ(notebook.take(), Words{"exhausted subscriber_ports_exhausted for 2001:db8:112::2, packets 1"});
  pass(EventSource::exhaustion_period);
  send_udp(5001);
  EXPECT_EQ(notebook.take(), Words{"exhausted subscriber_ports_exhausted for 2001:db8:112::2, packets 100"});
}

TEST_F(EventsTest, exhaustion_is_told_of_so_many_hosts_in_a_period_and_no_more) {
  config.allowance.ports_max = 1;
  restart();
  log({});
  const auto exhaust = [&](std::uint32_t hosts) {
    for (std::uint32_t i = 0; i < hosts; ++i) {
      const auto host = fmt::format("2001:db8:112::{:x}", 0x100 + i);
      send_udp(5000, host.c_str());
      send_udp(5001, host.c_str());
    }
    const std::size_t told = notebook.events.size();
    notebook.events.clear();
    pass(EventSource::exhaustion_period);
    return told;
  };
  constexpr std::uint32_t limit = EventSource::exhaustions_max;
  EXPECT_EQ(exhaust(limit - 1), limit - 1);
  EXPECT_EQ(exhaust(limit), limit);
  EXPECT_EQ(exhaust(limit + 1), limit);
}

TEST_F(EventsTest, packets_that_pass_without_a_session_are_not_told_as_dropped) {
  config.limits.sessions = 2;
  restart();
  log({});
  map(Protocol::udp, 5060, 5060);
  send_udp(5000);
  send_udp(5060);
  EXPECT_EQ(engine->counters().without_session, 1U);
  EXPECT_EQ(notebook.take(), Words{});
}

TEST_F(EventsTest, every_resource_that_is_used_up_is_told) {
  config.limits.bindings = 1;
  restart();
  log({});
  send_udp(5000);
  send_udp(5001);
  EXPECT_EQ(notebook.take(), Words{"exhausted bindings_exhausted for 2001:db8:112::2, packets 1"});
  config.limits.bindings = 1000;
  config.limits.sessions = 1;
  restart();
  log({});
  send_udp(5000);
  send_udp(5000, inside, "2001:db8:64:ff9b::198.51.100.8");
  EXPECT_EQ(notebook.take(), Words{"exhausted sessions_exhausted for 2001:db8:112::2, packets 1"});
  // From outside: which address it came to.
  config.limits.sessions = 2;
  restart();
  log({});
  send_udp(5000);
  send(test::PacketBuilder(far4, pool).udp(7, 5000).build());
  ASSERT_EQ(notebook.events.size(), 1U);
  EXPECT_EQ(notebook.events.front().external, *Ipv4Address::parse(pool));
  EXPECT_EQ(notebook.events.front().internal, Ipv6Address{});
}

TEST(EventSource, holds_as_many_rules_as_its_limit_says) {
  for (const std::size_t count : {EventRules::rules_max - 1, EventRules::rules_max}) {
    EventRules rules;
    for (std::size_t i = 0; i < count; ++i)
      rules.of.push_back({.internal = *Prefix::parse(fmt::format("2001:db8:{:x}::/48", i)),
                          .level = i % 2 == 0 ? EventLevel::bindings : EventLevel::sessions});
    Notebook notebook;
    EventSource source;
    source.set(&notebook, rules);
    for (std::size_t i = 0; i < count; ++i)
      EXPECT_EQ(source.level_of(*Ipv6Address::parse(fmt::format("2001:db8:{:x}::1", i))), rules.of[i].level);
    EXPECT_EQ(source.level_of(*Ipv6Address::parse(fmt::format("2001:db8:{:x}::1", count))), EventLevel::none);
  }
  EventRules too_many;
  too_many.of.resize(EventRules::rules_max + 1);
  EXPECT_DEATH(EventSource().set(nullptr, too_many), "");
}

TEST(EventSource, without_a_listener_it_is_off) {
  EventSource source;
  source.set(nullptr, {.everybody = EventLevel::sessions, .of = {}});
  EXPECT_FALSE(source.is_on());
  source.exhausted({}, {.kind = EventKind::exhausted, .reason = DropReason::ports_exhausted});
}

}  // namespace
}  // namespace portolan::nat
