// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_lines.h"

#include <gtest/gtest.h>

namespace portolan::gateway {
namespace {

using nat::DropReason;
using nat::EventKind;

// 2026-01-02T03:04:05.006007Z
constexpr Nanoseconds moment{1'767'323'045'006'007'008};

auto line_of(const nat::Event& event) -> std::string {
  std::string line;
  append_line({.time = moment.count(), .event = event}, line);
  return line;
}

auto flow(EventKind kind) -> nat::Event {
  return {.kind = kind,
          .protocol = Protocol::udp,
          .is_outbound = true,
          .internal_port = 5000,
          .external_port = 5001,
          .internal = *Ipv6Address::parse("2001:db8:112::2"),
          .external = *Ipv4Address::parse("192.0.2.14")};
}

auto exhaustion(DropReason reason) -> nat::Event {
  return {.kind = EventKind::exhausted,
          .reason = reason,
          .internal = *Ipv6Address::parse("2001:db8:112::2"),
          .packets = 7};
}

TEST(EventLines, of_bindings) {
  constexpr const char* rest =
      R"("protocolIdentifier":17,"sourceIPv6Address":"2001:db8:112::2","sourceTransportPort":5000,)"
      R"("postNATSourceIPv4Address":"192.0.2.14","postNAPTSourceTransportPort":5001})"
      "\n";
  EXPECT_EQ(line_of(flow(EventKind::binding_created)),
            std::string(R"({"time":"2026-01-02T03:04:05.006007Z","event":"binding-created","natEvent":10,)") +
                rest);
  EXPECT_EQ(line_of(flow(EventKind::binding_deleted)),
            std::string(R"({"time":"2026-01-02T03:04:05.006007Z","event":"binding-deleted","natEvent":11,)") +
                rest);
}

TEST(EventLines, of_sessions_with_destinations_if_they_are_told) {
  nat::Event event = flow(EventKind::session_created);
  const std::string without = line_of(event);
  EXPECT_EQ(without,
            R"({"time":"2026-01-02T03:04:05.006007Z","event":"session-created","natEvent":6,)"
            R"("protocolIdentifier":17,"sourceIPv6Address":"2001:db8:112::2","sourceTransportPort":5000,)"
            R"("postNATSourceIPv4Address":"192.0.2.14","postNAPTSourceTransportPort":5001,)"
            R"("natOriginatingAddressRealm":1})"
            "\n");
  event.kind = EventKind::session_deleted;
  event.is_outbound = false;
  event.remote = *Ipv4Address::parse("198.51.100.7");
  event.remote_port = 53;
  EXPECT_TRUE(line_of(event).ends_with(
      R"("natOriginatingAddressRealm":2,"postNATDestinationIPv4Address":"198.51.100.7",)"
      R"("postNAPTDestinationTransportPort":53})"
      "\n"))
      << line_of(event);
}

TEST(EventLines, of_blocks) {
  EXPECT_EQ(line_of({.kind = EventKind::block_allocated,
                     .prefix_length = 64,
                     .external_port = 1024,
                     .last_port = 1087,
                     .internal = *Ipv6Address::parse("2001:db8:112::"),
                     .external = *Ipv4Address::parse("192.0.2.14")}),
            R"({"time":"2026-01-02T03:04:05.006007Z","event":"block-allocated","natEvent":16,)"
            R"("sourceIPv6Address":"2001:db8:112::","sourceIPv6PrefixLength":64,)"
            R"("postNATSourceIPv4Address":"192.0.2.14","portRangeStart":1024,"portRangeEnd":1087})"
            "\n");
}

TEST(EventLines, of_exhaustion) {
  constexpr const char* start = R"({"time":"2026-01-02T03:04:05.006007Z","event":)";
  EXPECT_EQ(line_of(exhaustion(DropReason::subscriber_ports_exhausted)),
            std::string(start) +
                R"("quota-exceeded","natEvent":13,"natQuotaExceededEvent":3,)"
                R"("reason":"subscriber_ports_exhausted","packets":7,"sourceIPv6Address":"2001:db8:112::2"})"
                "\n");
  EXPECT_EQ(line_of(exhaustion(DropReason::subscriber_rate_exceeded)),
            std::string(start) +
                R"("quota-exceeded","natEvent":13,"reason":"subscriber_rate_exceeded","packets":7,)"
                R"("sourceIPv6Address":"2001:db8:112::2"})"
                "\n");
  EXPECT_TRUE(line_of(exhaustion(DropReason::ports_exhausted))
                  .starts_with(std::string(start) + R"("addresses-exhausted","natEvent":3,)"));
  nat::Event of_an_address = exhaustion(DropReason::ports_exhausted);
  of_an_address.external = *Ipv4Address::parse("192.0.2.14");
  EXPECT_TRUE(line_of(of_an_address).starts_with(std::string(start) + R"("ports-exhausted","natEvent":12,)"));
  EXPECT_EQ(place_of(of_an_address), ", from 2001:db8:112::2, at 192.0.2.14");
  EXPECT_EQ(place_of(nat::Event{.kind = EventKind::exhausted}), "");
}

}  // namespace
}  // namespace portolan::gateway
