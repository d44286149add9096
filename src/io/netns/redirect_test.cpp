// SPDX-License-Identifier: BSD-2-Clause
//
// Packets to some ports of an address of the host's go elsewhere; the host keeps the others.
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file_descriptor.h"
#include "io/host_network.h"
#include "io/netns/private_network.h"
#include "io/reserved_ports.h"
#include "io/sysctl.h"
#include "io/testing.h"
#include "io/tun.h"

namespace portolan::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::wait_readable;

constexpr Ipv4Address own{0xc0000201};
constexpr Ipv4Address peer{0xc000020a};
constexpr Redirect wanted{.destination = own, .ports = {Port{40000}, Port{49999}}};
constexpr auto reserved = "net.ipv4.ip_local_reserved_ports";

using Octets = std::vector<std::uint8_t>;

void put16(Octets& octets, std::size_t at, unsigned value) {
  octets.at(at) = static_cast<std::uint8_t>(value >> 8U);
  octets.at(at + 1) = static_cast<std::uint8_t>(value);
}

void put_checksum(Octets& packet) {
  unsigned sum = 0;
  for (std::size_t i = 0; i < 20; i += 2) sum += static_cast<unsigned>(packet[i] << 8U | packet[i + 1]);
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  put16(packet, 10, ~sum & 0xffffU);
}

auto ipv4(unsigned protocol, Ipv4Address source, Ipv4Address destination, const Octets& payload) -> Octets {
  Octets packet(20);
  packet[0] = 0x45;
  put16(packet, 2, static_cast<unsigned>(20 + payload.size()));
  packet[8] = 64;
  packet[9] = static_cast<std::uint8_t>(protocol);
  put16(packet, 12, source.value >> 16U);
  put16(packet, 14, source.value & 0xffffU);
  put16(packet, 16, destination.value >> 16U);
  put16(packet, 18, destination.value & 0xffffU);
  put_checksum(packet);
  packet.insert(packet.end(), payload.begin(), payload.end());
  return packet;
}

/// The first octets of a transport header.
auto ports(unsigned source, unsigned destination) -> Octets {
  Octets header(20);
  put16(header, 0, source);
  put16(header, 2, destination);
  return header;
}
auto echo(std::uint8_t type, unsigned identifier) -> Octets {
  Octets message(8);
  message[0] = type;
  put16(message, 4, identifier);
  return message;
}
auto error(std::uint8_t type, const Octets& quoted) -> Octets {
  Octets message(8);
  message[0] = type;
  message.insert(message.end(), quoted.begin(), quoted.end());
  return message;
}
/// `field`: flags and fragment offset.
auto fragmented(unsigned field, Octets packet) -> Octets {
  put16(packet, 6, field);
  put16(packet, 10, 0);
  put_checksum(packet);
  return packet;
}
constexpr unsigned icmp = 1;
constexpr unsigned tcp = 6;
constexpr unsigned udp = 17;

class RedirectTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    inside_.emplace(opened("nat64"));
    outside_.emplace(opened("wan0"));
    add_address(outside_->interface_index(), "192.0.2.1", 28);
  }
  static auto opened(std::string_view name) -> Tun {
    auto tun = Tun::open({.name = std::string{name}});
    if (!tun) throw std::runtime_error(tun.error());
    return std::move(*tun);
  }
  auto changes() -> HostChanges {
    auto made = HostChanges::open({.journal = folder_.path() / "host"});
    if (!made) throw std::runtime_error(made.error());
    return std::move(*made);
  }
  void in_killed_process(const std::function<void(HostChanges&)>& work) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto theirs = changes();
      work(theirs);
      if (!HasFailure()) ::raise(SIGKILL);
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the work itself failed";
  }
  /// Has `packet` come in from outside.
  void come_in(const Octets& packet) {
    std::vector<std::byte> frame(Tun::header_bytes + packet.size());
    std::memcpy(frame.data() + Tun::header_bytes, packet.data(), packet.size());
    const auto written = outside_->write(frame);
    ASSERT_TRUE(written) << to_string(written.error());
  }
  /// The next IPv4 packet redirected; empty if none comes.
  auto redirected() -> Octets {
    std::vector<std::byte> buffer(Tun::buffer_bytes);
    while (wait_readable(inside_->descriptor())) {
      const auto got = inside_->read(buffer);
      if (!got) throw std::runtime_error(to_string(got.error()));
      const auto* octets = reinterpret_cast<const std::uint8_t*>(buffer.data());
      if (*got > Tun::header_bytes && octets[Tun::header_bytes] >> 4U == 4)
        return {octets + Tun::header_bytes, octets + *got};
    }
    return {};
  }
  /// True if the packet is redirected. Packets keep their order: one that is redirected in any case shows
  /// that the other was not.
  auto is_redirected(const Octets& packet) -> bool {
    const auto marker = ipv4(udp, peer, own, ports(++markers_, 40000));
    come_in(packet);
    come_in(marker);
    const auto first = redirected();
    if (first == marker) return false;
    EXPECT_EQ(first, packet);
    EXPECT_EQ(redirected(), marker);
    return true;
  }
  void reopen_inside() {
    inside_.reset();
    inside_.emplace(opened("nat64"));
  }
  void reopen_outside() {
    outside_.reset();
    outside_.emplace(opened("wan0"));
    add_address(outside_->interface_index(), "192.0.2.1", 28);
  }
  auto outside_index() const -> unsigned { return outside_->interface_index(); }

 private:
  testing::TemporaryFolder folder_;
  std::optional<Tun> inside_;
  std::optional<Tun> outside_;
  unsigned markers_ = 1000;
};

TEST_F(RedirectTest, takes_the_ports_of_the_range_and_leaves_the_host_its_own) {
  auto mine = changes();
  const auto done = mine.redirect(wanted, "wan0", "nat64");
  ASSERT_TRUE(done) << done.error();
  for (const unsigned protocol : {tcp, udp}) {
    for (const unsigned port : {40000U, 40001U, 45000U, 49999U})
      EXPECT_TRUE(is_redirected(ipv4(protocol, peer, own, ports(9, port)))) << protocol << " to " << port;
    for (const unsigned port : {22U, 39999U, 50000U, 0U, 65535U})
      EXPECT_FALSE(is_redirected(ipv4(protocol, peer, own, ports(40000, port))))
          << protocol << " to " << port;
    EXPECT_FALSE(is_redirected(ipv4(protocol, peer, Ipv4Address{own.value + 1}, ports(9, 40000))));
  }
  EXPECT_FALSE(is_redirected(ipv4(132, peer, own, ports(9, 40000))));
}

TEST_F(RedirectTest, takes_answers_to_pings_by_their_identifier_but_no_pings) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  EXPECT_TRUE(is_redirected(ipv4(icmp, peer, own, echo(0, 40000))));
  EXPECT_TRUE(is_redirected(ipv4(icmp, peer, own, echo(0, 49999))));
  EXPECT_FALSE(is_redirected(ipv4(icmp, peer, own, echo(0, 39999))));
  EXPECT_FALSE(is_redirected(ipv4(icmp, peer, own, echo(8, 40000))));
}

TEST_F(RedirectTest, takes_errors_about_what_came_from_the_range) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  for (const std::uint8_t type : {std::uint8_t{3}, std::uint8_t{11}, std::uint8_t{12}}) {
    for (const unsigned protocol : {tcp, udp}) {
      EXPECT_TRUE(
          is_redirected(ipv4(icmp, peer, own, error(type, ipv4(protocol, own, peer, ports(40000, 80))))));
      EXPECT_FALSE(
          is_redirected(ipv4(icmp, peer, own, error(type, ipv4(protocol, own, peer, ports(50000, 80))))));
      EXPECT_FALSE(
          is_redirected(ipv4(icmp, peer, own, error(type, ipv4(protocol, peer, own, ports(40000, 80))))));
    }
    EXPECT_TRUE(is_redirected(ipv4(icmp, peer, own, error(type, ipv4(icmp, own, peer, echo(8, 40000))))));
    EXPECT_FALSE(is_redirected(ipv4(icmp, peer, own, error(type, ipv4(icmp, own, peer, echo(8, 50000))))));
  }
  EXPECT_FALSE(is_redirected(ipv4(icmp, peer, own, error(5, ipv4(udp, own, peer, ports(40000, 80))))));
}

TEST_F(RedirectTest, takes_fragments_whatever_their_ports_are) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  for (const unsigned protocol : {tcp, udp, icmp}) {
    for (const unsigned fragment : {0x2000U, 0x0001U, 0x0010U, 0x1000U, 0x1fffU, 0x2010U})
      EXPECT_TRUE(is_redirected(fragmented(fragment, ipv4(protocol, peer, own, ports(9, 22))))) << fragment;
    EXPECT_FALSE(is_redirected(fragmented(0x4000, ipv4(protocol, peer, own, ports(9, 22)))))
        << "it may not be fragmented";
  }
  EXPECT_FALSE(is_redirected(fragmented(0x2000, ipv4(50, peer, own, ports(9, 22)))));
  EXPECT_FALSE(
      is_redirected(fragmented(0x2000, ipv4(udp, peer, Ipv4Address{own.value + 1}, ports(9, 40000)))));
  EXPECT_TRUE(is_redirected(fragmented(0x4000, ipv4(udp, peer, own, ports(9, 40000)))));
}

TEST_F(RedirectTest, one_that_cannot_be_made_leaves_the_one_before) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(mine.redirect({.destination = peer, .ports = wanted.ports}, "wan0", "nat65"));
    EXPECT_FALSE(netlink().set_redirect(outside_index(), wanted, 9999, portolan_mark));
    EXPECT_TRUE(is_redirected(ipv4(udp, peer, own, ports(9, 40001))));
    ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  }
}

TEST_F(RedirectTest, another_one_stands_in_place_of_the_first) {
  auto mine = changes();
  ASSERT_TRUE(
      mine.redirect({.destination = Ipv4Address{own.value + 1}, .ports = wanted.ports}, "wan0", "nat64"));
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  EXPECT_THAT(mine.list(),
              ElementsAre("ingress-hook dev wan0", "redirect 192.0.2.1 ports 40000-49999 dev wan0 to nat64"));
  EXPECT_FALSE(is_redirected(ipv4(udp, peer, Ipv4Address{own.value + 1}, ports(9, 40000))));
}

TEST_F(RedirectTest, is_undone_wholly) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  EXPECT_THAT(mine.undo(), IsEmpty());
  // With our hook gone it can be had anew.
  EXPECT_EQ(netlink().add_ingress_hook(outside_index()), true);
}

TEST_F(RedirectTest, leaves_a_hook_that_was_there_or_that_others_use_by_now) {
  ASSERT_EQ(netlink().add_ingress_hook(outside_index()), true);
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  EXPECT_THAT(mine.list(), ElementsAre("redirect 192.0.2.1 ports 40000-49999 dev wan0 to nat64"));
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(netlink().delete_ingress_hook(outside_index()), true);

  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  const OriginMark theirs = 1;
  ASSERT_TRUE(netlink().set_redirect(outside_index(), wanted, outside_index(), theirs));
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(netlink().add_ingress_hook(outside_index()), false) << "their filter needs it";
  EXPECT_EQ(netlink().delete_redirect(outside_index(), theirs), true);
}

TEST_F(RedirectTest, a_killed_run_leaves_what_the_next_makes_anew_or_undoes) {
  in_killed_process([](HostChanges& theirs) { ASSERT_TRUE(theirs.redirect(wanted, "wan0", "nat64")); });
  // Another interface of the same name.
  reopen_inside();
  {
    auto mine = changes();
    EXPECT_THAT(mine.leftovers(), ElementsAre("ingress-hook dev wan0",
                                              "redirect 192.0.2.1 ports 40000-49999 dev wan0 to nat64"));
    ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
    EXPECT_THAT(mine.leftovers(), IsEmpty());
    EXPECT_TRUE(is_redirected(ipv4(udp, peer, own, ports(9, 40001))));
  }
  EXPECT_EQ(netlink().delete_redirect(outside_index(), portolan_mark), false);
  in_killed_process([](HostChanges& theirs) { ASSERT_TRUE(theirs.redirect(wanted, "wan0", "nat64")); });
  auto mine = changes();
  mine.undo_leftovers();
  EXPECT_EQ(netlink().delete_redirect(outside_index(), portolan_mark), false);
  EXPECT_EQ(netlink().add_ingress_hook(outside_index()), true);
}

// --- reserved ports ----------------------------------------------------------------------------------

TEST_F(RedirectTest, ports_are_reserved_beside_those_of_others) {
  ASSERT_TRUE(write_sysctl(reserved, "8080,50000-50010"));
  auto mine = changes();
  ASSERT_TRUE(mine.reserve_ports(wanted.ports));
  EXPECT_EQ(read_sysctl(reserved), "8080,40000-50010");
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(read_sysctl(reserved), "8080,50000-50010");
}

/// The kernel takes a list a page at a time, and gives it all at once or cut.
TEST_F(RedirectTest, a_long_list_of_others_stays_whole) {
  std::string theirs;
  for (int port = 1; port < 40'000; port += 2) theirs += fmt::format("{},", port);
  theirs.pop_back();
  ASSERT_TRUE(write_sysctl(reserved, theirs));
  ASSERT_EQ(read_sysctl(reserved), theirs);
  auto mine = changes();
  ASSERT_TRUE(mine.reserve_ports(wanted.ports));
  EXPECT_EQ(read_sysctl(reserved), theirs + "-49999") << "39999 is theirs";
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(read_sysctl(reserved), theirs);
}

TEST_F(RedirectTest, the_last_reserved_ports_leave_an_empty_list) {
  auto mine = changes();
  ASSERT_TRUE(mine.reserve_ports(wanted.ports));
  EXPECT_EQ(read_sysctl(reserved), "40000-49999");
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(read_sysctl(reserved), "");
}

TEST_F(RedirectTest, ports_reserved_by_others_stay_and_half_of_them_are_an_error) {
  ASSERT_TRUE(write_sysctl(reserved, "30000-60000"));
  auto mine = changes();
  ASSERT_TRUE(mine.reserve_ports(wanted.ports));
  EXPECT_THAT(mine.list(), IsEmpty());
  ASSERT_TRUE(write_sysctl(reserved, "30000-40000"));
  const auto refused = mine.reserve_ports(wanted.ports);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("1 of these 10000 already: reserve all of them, or none"));
  EXPECT_EQ(read_sysctl(reserved), "30000-40000");
}

TEST_F(RedirectTest, ports_of_a_killed_run_are_free_again) {
  in_killed_process([](HostChanges& theirs) { ASSERT_TRUE(theirs.reserve_ports(wanted.ports)); });
  auto mine = changes();
  mine.undo_leftovers();
  EXPECT_EQ(read_sysctl(reserved), "");
}

TEST_F(RedirectTest, other_ports_of_a_killed_run_do_not_stand_in_the_way) {
  ASSERT_TRUE(write_sysctl(reserved, "8080"));
  for (const PortRange& old : {PortRange{Port{40001}, Port{50000}}, PortRange{Port{30000}, Port{60000}},
                               PortRange{Port{45000}, Port{45000}}, PortRange{Port{50000}, Port{60000}}}) {
    in_killed_process([&](HostChanges& theirs) { ASSERT_TRUE(theirs.reserve_ports(old)); });
    in_killed_process([](HostChanges& theirs) { ASSERT_TRUE(theirs.reserve_ports(wanted.ports)); });
    auto mine = changes();
    ASSERT_TRUE(mine.reserve_ports(wanted.ports)) << to_string(old);
    EXPECT_EQ(read_sysctl(reserved), "8080,40000-49999")
        << to_string(old) << ": others are free to choose from";
    mine.undo_leftovers();
    EXPECT_EQ(read_sysctl(reserved), "8080,40000-49999") << to_string(old);
    mine.undo();
    EXPECT_EQ(read_sysctl(reserved), "8080") << to_string(old);
  }
}

TEST_F(RedirectTest, ports_are_counted_that_are_left_to_choose_from) {
  ASSERT_TRUE(write_sysctl("net.ipv4.ip_local_port_range", "39990 50009"));
  EXPECT_EQ(free_choice_without(wanted.ports), 20U);
  ASSERT_TRUE(write_sysctl(reserved, "39990-39999,60000"));
  EXPECT_EQ(free_choice_without(wanted.ports), 10U);
  auto mine = changes();
  ASSERT_TRUE(mine.reserve_ports(wanted.ports));
  EXPECT_EQ(free_choice_without(wanted.ports), 10U) << "reserved already or not";
}

TEST_F(RedirectTest, sockets_are_told_that_have_reserved_ports) {
  struct Bound {
    Bound(int family, int kind, std::uint16_t port) : socket(::socket(family, kind | SOCK_CLOEXEC, 0)) {
      sockaddr_in6 address{};
      address.sin6_family = static_cast<sa_family_t>(family);
      address.sin6_port = htons(port);
      EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                       family == AF_INET ? sizeof(sockaddr_in) : sizeof address),
                0);
      if (kind == SOCK_STREAM) {
        EXPECT_EQ(::listen(socket.get(), 1), 0);
      }
    }
    FileDescriptor socket;
  };
  EXPECT_THAT(sockets_at(wanted.ports), IsEmpty());
  const Bound sockets[]{{AF_INET, SOCK_STREAM, 40000},  {AF_INET, SOCK_DGRAM, 49999},
                        {AF_INET6, SOCK_STREAM, 40001}, {AF_INET6, SOCK_DGRAM, 40001},
                        {AF_INET, SOCK_DGRAM, 39999},   {AF_INET, SOCK_DGRAM, 50000}};
  EXPECT_THAT(sockets_at(wanted.ports), ElementsAre("tcp 40000", "tcp 40001", "udp 40001", "udp 49999"));
}

TEST_F(RedirectTest, is_made_anew_on_another_interface_of_the_same_name) {
  auto mine = changes();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  reopen_outside();
  ASSERT_TRUE(mine.redirect(wanted, "wan0", "nat64"));
  EXPECT_TRUE(is_redirected(ipv4(udp, peer, own, ports(9, 40001))));
  EXPECT_THAT(mine.list(),
              ElementsAre("ingress-hook dev wan0", "redirect 192.0.2.1 ports 40000-49999 dev wan0 to nat64"));
  EXPECT_THAT(mine.undo(), IsEmpty());
  EXPECT_EQ(netlink().add_ingress_hook(outside_index()), true);
}

}  // namespace
}  // namespace portolan::io
