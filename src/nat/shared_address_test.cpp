// SPDX-License-Identifier: BSD-2-Clause
//
// An address that the host shares with the translator: what is not the translator's goes back to the host as
// it came.
#include <cstddef>

#include <gtest/gtest.h>

#include "nat/testing/engine_fixture.h"

namespace portolan::nat::test {
namespace {

class SharedAddress : public Engine {
 protected:
  SharedAddress() {
    PoolRange shared(*Ipv4Address::parse(pool));
    shared.ports = {.first = Port{40960}, .last = Port{65535}};
    shared.is_shared = true;
    config.pool = {shared};
    restart();
  }
  /// From now on the address is the translator's alone.
  void share_no_more() { static_cast<void>(engine->set_pool(now, {*Ipv4Address::parse(pool)})); }

  /// "left" if the packet, or what its fragments make up, goes back to the host as it is.
  auto fate_of(const Octets& packet, const Octets* whole = nullptr) -> std::string {
    Octets buffer(Frame::headroom_min + packet.size());
    std::ranges::copy(packet, buffer.begin() + Frame::headroom_min);
    Frame frame{.buffer = std::as_writable_bytes(std::span(buffer)),
                .offset = Frame::headroom_min,
                .size = packet.size(),
                .offload = {}};
    const Verdict each = engine->process(now, frame);
    engine->check_invariants();
    if (!engine->output().empty()) return "answered";
    if (each.action == Action::keep) return "kept";
    if (each.action == Action::forward) return "translated";
    if (each.action == Action::drop) return "dropped: " + std::string(to_string(each.reason));
    const auto out = frame.packet();
    const auto* data = reinterpret_cast<const std::uint8_t*>(out.data());
    const bool is_same = Octets(data, data + out.size()) == (whole != nullptr ? *whole : packet);
    return is_same ? "left" : "left, but changed";
  }
  static auto to_shared() -> PacketBuilder { return {far4, pool}; }

  /// `packet` in two fragments, the first with `size` octets behind its header.
  static auto cut(const Octets& packet, std::size_t size) -> std::pair<Octets, Octets> {
    const auto put = [](Octets& octets, std::size_t at, std::size_t value) {
      octets[at] = static_cast<std::uint8_t>(value >> 8U);
      octets[at + 1] = static_cast<std::uint8_t>(value);
    };
    const auto part = [&](std::size_t begin, std::size_t end, std::size_t field) {
      Octets made(packet.begin(), packet.begin() + 20);
      put(made, 2, 20 + end - begin);
      put(made, 6, field);
      put(made, 10, 0);
      put(made, 10, internet_checksum(made));
      made.insert(made.end(), packet.begin() + 20 + static_cast<std::ptrdiff_t>(begin),
                  packet.begin() + 20 + static_cast<std::ptrdiff_t>(end));
      return made;
    };
    return {part(0, size, 0x2000), part(size, packet.size() - 20, size / 8)};
  }
};

TEST_F(SharedAddress, gives_no_port_but_the_translators) {
  EXPECT_EQ(map(Protocol::udp, 4000, 50000), 50000);
  EXPECT_GE(map(Protocol::udp, 4001, 80), 40960);
  EXPECT_EQ(fate_of(to_shared().udp(53, 50000).build()), "translated");
  EXPECT_EQ(fate_of(to_shared().udp(53, 50001).build()), "dropped: no_mapping")
      << "the host has no business there";
}

TEST_F(SharedAddress, ports_that_are_the_hosts_are_left_to_it) {
  map(Protocol::udp, 4000, 50000);
  for (const std::uint16_t port : {std::uint16_t{22}, std::uint16_t{40959}}) {
    EXPECT_EQ(fate_of(to_shared().udp(53, port).build()), "left");
    EXPECT_EQ(fate_of(to_shared().tcp(5000, port, "S").build()), "left");
    EXPECT_EQ(fate_of(to_shared().udp(53, port).ttl(1).build()), "left") << "it is at its end";
  }
  EXPECT_EQ(engine->counters().left_to_host, 6U);
}

TEST_F(SharedAddress, pings_are_the_hosts_and_answers_whose_they_are) {
  ASSERT_TRUE(send_raw(PacketBuilder(inside, far6).echo_request(77).build()));
  const auto sent = send_raw(PacketBuilder(inside, far6).echo_request(77).build());
  ASSERT_TRUE(sent);
  const auto identifier = static_cast<std::uint16_t>((*sent)[24] << 8U | (*sent)[25]);
  EXPECT_EQ(fate_of(to_shared().echo_reply(identifier).build()), "translated");
  const auto other = static_cast<std::uint16_t>(identifier ^ 1U);
  EXPECT_EQ(fate_of(to_shared().echo_reply(other).build()), "left");
  EXPECT_EQ(fate_of(to_shared().echo_reply(7).build()), "left");
  EXPECT_EQ(fate_of(to_shared().echo_request(identifier).build()), "left");
  EXPECT_EQ(fate_of(to_shared().icmp(13, 0, 0, {}).build()), "left") << "the time is the host's to tell";
}

TEST_F(SharedAddress, answers_from_anywhere_are_left) {
  config.prefix = *Prefix::parse("64:ff9b::/96");
  restart();
  EXPECT_EQ(fate_of(PacketBuilder("10.0.0.1", pool).echo_reply(50000).build()), "left")
      << "the translator has no IPv6 address for who answers";
}

TEST_F(SharedAddress, errors_are_whose_packets_they_are_about) {
  map(Protocol::udp, 4000, 50000);
  const auto about = [&](const Octets& packet) { return to_shared().icmp(3, 3, 0, packet).build(); };
  EXPECT_EQ(fate_of(about(PacketBuilder(pool, far4).udp(50000, 53).payload("x").build())), "translated");
  EXPECT_EQ(fate_of(about(PacketBuilder(pool, far4).udp(50001, 53).payload("x").build())), "left");
  EXPECT_EQ(fate_of(about(PacketBuilder(pool, far4).echo_request(50000).build())), "left");
  EXPECT_EQ(fate_of(about(PacketBuilder(pool, far4).protocol(47).payload("x").build())), "left");
}

TEST_F(SharedAddress, fragments_are_whose_the_whole_packet_is) {
  map(Protocol::udp, 4000, 50000);
  const auto ours = cut(to_shared().udp(53, 50000).payload_size(1000).build(), 512);
  EXPECT_EQ(fate_of(ours.first), "kept");
  EXPECT_EQ(fate_of(ours.second), "translated");
  const Octets packet = to_shared().udp(53, 5300).payload_size(3000).build();
  const auto theirs = cut(packet, 1480);
  EXPECT_EQ(fate_of(theirs.second), "kept");
  EXPECT_EQ(fate_of(theirs.first, &packet), "left");
  const Octets ping = to_shared().echo_request(50000).payload_size(3000).build();
  const auto large = cut(ping, 1480);
  EXPECT_EQ(fate_of(large.first), "kept");
  EXPECT_EQ(fate_of(large.second, &ping), "left");
  const Octets far = PacketBuilder("127.0.0.1", pool).udp(53, 50000).payload_size(1000).build();
  EXPECT_EQ(fate_of(cut(far, 512).first), "kept");
  EXPECT_EQ(fate_of(cut(far, 512).second), "dropped: illegal_source");
}

TEST_F(SharedAddress, who_cannot_be_outside_does_not_reach_the_host_by_way_of_the_translator) {
  PoolRange other(*Ipv4Address::parse("192.0.2.15"));
  config.pool.push_back(other);
  restart();
  for (const char* source : {"127.0.0.1", "0.0.0.1", "224.0.0.1", "255.255.255.255", pool, "192.0.2.15"}) {
    // A port of the host, which the kernel redirects in fragments only.
    const auto syn = cut(PacketBuilder(source, pool).tcp(5000, 22, "S").build(), 16);
    EXPECT_EQ(fate_of(syn.first), "kept");
    EXPECT_EQ(fate_of(syn.second), "dropped: illegal_source") << source;
    EXPECT_EQ(fate_of(PacketBuilder(source, pool).udp(53, 22).build()), "dropped: illegal_source") << source;
    EXPECT_EQ(fate_of(PacketBuilder(source, pool).echo_reply(7).build()), "dropped: illegal_source");
    const Octets about = PacketBuilder(pool, far4).udp(50001, 53).payload("x").build();
    EXPECT_EQ(fate_of(PacketBuilder(source, pool).icmp(3, 3, 0, about).build()), "dropped: illegal_source");
  }
  EXPECT_EQ(engine->counters().drops(DropReason::illegal_source), 24U);
  EXPECT_EQ(engine->counters().left_to_host, 0U);
  EXPECT_EQ(fate_of(PacketBuilder("192.0.2.13", pool).udp(53, 22).build()), "left");
}

TEST_F(SharedAddress, hosts_inside_do_not_reach_the_host_by_it) {
  const std::string shared = std::string("2001:db8:64:ff9b::") + pool;
  EXPECT_EQ(fate_of(PacketBuilder(inside, shared).tcp(5000, 22, "S").build()), "dropped: no_mapping");
  EXPECT_EQ(fate_of(PacketBuilder(inside, shared).echo_request(9).build()), "dropped: no_mapping");
  map(Protocol::tcp, 8080, 50000, other_inside);
  EXPECT_EQ(fate_of(PacketBuilder(inside, shared).tcp(5000, 50000, "S").build()), "translated");
}

TEST_F(SharedAddress, may_become_the_translators_alone) {
  EXPECT_EQ(fate_of(to_shared().udp(53, 22).build()), "left");
  share_no_more();
  EXPECT_EQ(fate_of(to_shared().udp(53, 22).build()), "dropped: no_mapping");
  EXPECT_EQ(fate_of(to_shared().icmp(13, 0, 0, {}).build()), "dropped: icmp_unknown");
  EXPECT_EQ(fate_of(PacketBuilder(far4, pool)
                        .icmp(3, 3, 0, PacketBuilder(pool, far4).udp(50001, 53).payload("x").build())
                        .build()),
            "dropped: no_mapping");
}

TEST_F(SharedAddress, a_trace_says_so) {
  const auto trace = [&](Protocol protocol, const char* source, const char* destination, std::uint16_t port) {
    return engine
        ->trace(now, {.protocol = protocol,
                      .source = {*IpAddress::parse(source), Port{5000}},
                      .destination = {*IpAddress::parse(destination), Port{port}},
                      .tcp_flags = tcp::syn})
        .reason;
  };
  EXPECT_EQ(trace(Protocol::tcp, far4, pool, 22), DropReason::left_to_host);
  EXPECT_EQ(trace(Protocol::tcp, far4, pool, 50000), DropReason::no_mapping);
  EXPECT_EQ(trace(Protocol::icmp, far4, pool, 50000), DropReason::left_to_host);
  EXPECT_EQ(trace(Protocol::tcp, pool, pool, 22), DropReason::illegal_source);
  EXPECT_EQ(trace(Protocol::tcp, inside, "2001:db8:64:ff9b::192.0.2.14", 22), DropReason::no_mapping);
  share_no_more();
  EXPECT_EQ(trace(Protocol::tcp, far4, pool, 22), DropReason::no_mapping);
}

}  // namespace
}  // namespace portolan::nat::test
