// SPDX-License-Identifier: BSD-2-Clause
//
// The gateway's own address, followed on an interface of the kernel's as time is told to go.
#include "gateway/own_address.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "io/sysctl.h"
#include "io/testing.h"
#include "io/tun.h"

namespace portolan::gateway {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr Ipv4Address first{0xc0000201};
constexpr Ipv4Address second{0xc6336402};  // of another network: it does not go with the first
const OwnAddressSettings own_settings{
    .interface = "wan0", .ports = {.first = Port{40960}, .last = Port{65535}}, .weight = 1};
constexpr auto reserved = "net.ipv4.ip_local_reserved_ports";

class OwnAddressTest : public io::testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    auto opened = io::HostChanges::open({.journal = folder_.path() / "host"});
    ASSERT_TRUE(opened) << opened.error();
    host_.emplace(*std::move(opened));
    inside_.emplace(made("nat64"));
    outside_.emplace(made("wan0"));
  }
  static auto made(std::string_view name) -> io::Tun {
    auto tun = io::Tun::open({.name = std::string{name}});
    if (!tun) throw std::runtime_error(tun.error());
    return std::move(*tun);
  }
  auto opened(const OwnAddressSettings& settings = own_settings) -> OwnAddress {
    auto own = OwnAddress::open(settings, "nat64", *host_);
    if (!own) throw std::runtime_error(own.error());
    return *std::move(own);
  }
  auto refusal(const OwnAddressSettings& settings = own_settings) -> std::string {
    const auto own = OwnAddress::open(settings, "nat64", *host_);
    return own ? "" : own.error();
  }
  void add(Ipv4Address address) {
    const auto added = netlink().add_address(outside_->interface_index(),
                                             {.address = IpAddress{address}, .prefix_length = 28});
    ASSERT_TRUE(added) << added.error();
  }
  void take_away(Ipv4Address address) {
    const auto gone = netlink().delete_address(outside_->interface_index(),
                                               {.address = IpAddress{address}, .prefix_length = 28});
    ASSERT_TRUE(gone && *gone);
  }
  /// Looks at a second of this test's; whether the address is another then.
  auto look(OwnAddress& own, int second_of_test) -> bool {
    const auto changed = own.look(at(second_of_test));
    if (!changed) throw std::runtime_error(changed.error());
    return *changed;
  }
  static auto at(int second_of_test) -> TimePoint { return TimePoint{Seconds{1000 + second_of_test}}; }
  void replace_outside() {
    outside_.reset();
    outside_.emplace(made("wan0"));
  }
  void lose_outside() { outside_.reset(); }
  void find_outside() { outside_.emplace(made("wan0")); }
  auto outside_index() const -> unsigned { return outside_->interface_index(); }
  auto host() -> io::HostChanges& { return *host_; }

 private:
  io::testing::TemporaryFolder folder_;
  std::optional<io::HostChanges> host_;
  std::optional<io::Tun> inside_;
  std::optional<io::Tun> outside_;
};

TEST_F(OwnAddressTest, is_taken_when_it_comes_and_followed) {
  OwnAddress own = opened();
  EXPECT_FALSE(look(own, 0));
  EXPECT_EQ(own.address(), std::nullopt);
  EXPECT_THAT(host().list(), ElementsAre("reserved-ports 40960-65535"));
  add(first);
  EXPECT_TRUE(own.watch().take());
  EXPECT_FALSE(own.watch().take());
  EXPECT_TRUE(look(own, 1));
  EXPECT_EQ(own.address(), first);
  EXPECT_THAT(host().list(), Contains("redirect 192.0.2.1 ports 40960-65535 dev wan0 to nat64"));
  EXPECT_FALSE(look(own, 2));

  // Another one beside it changes nothing, until the first is gone.
  add(second);
  EXPECT_FALSE(look(own, 3));
  take_away(first);
  EXPECT_TRUE(own.watch().take());
  EXPECT_TRUE(look(own, 4));
  EXPECT_EQ(own.address(), second);
  EXPECT_THAT(host().list(), AllOf(Contains("redirect 198.51.100.2 ports 40960-65535 dev wan0 to nat64"),
                                   Not(Contains(HasSubstr("192.0.2.1 ")))));
}

TEST_F(OwnAddressTest, that_is_gone_is_waited_for) {
  OwnAddress own = opened();
  add(first);
  EXPECT_TRUE(look(own, 0));
  take_away(first);
  const int last = static_cast<int>(OwnAddress::patience.count());
  EXPECT_FALSE(look(own, 10));
  EXPECT_EQ(own.next_look(), at(10 + last));
  EXPECT_FALSE(look(own, 10 + last - 1));
  EXPECT_EQ(own.address(), first);
  EXPECT_TRUE(look(own, 10 + last));
  EXPECT_EQ(own.address(), std::nullopt);
  EXPECT_THAT(host().list(), Not(Contains(HasSubstr("redirect"))));
  EXPECT_EQ(own.next_look(), std::nullopt);
  add(first);
  EXPECT_TRUE(look(own, 100));

  // Back in time, it was never away; and the time is counted anew.
  take_away(first);
  EXPECT_FALSE(look(own, 101));
  add(first);
  EXPECT_FALSE(look(own, 102));
  EXPECT_EQ(own.next_look(), std::nullopt);
  take_away(first);
  EXPECT_FALSE(look(own, 101 + last));
}

TEST_F(OwnAddressTest, that_is_late_is_waited_for_at_the_start) {
  constexpr auto patience = static_cast<int>(OwnAddress::patience.count());
  OwnAddress late = opened();
  EXPECT_FALSE(look(late, 0));
  EXPECT_FALSE(late.is_settled());
  EXPECT_EQ(late.next_look(), at(patience)) << "though nothing is told";
  EXPECT_FALSE(look(late, patience - 1));
  EXPECT_FALSE(late.is_settled());
  EXPECT_FALSE(look(late, patience));
  EXPECT_TRUE(late.is_settled());
  EXPECT_EQ(late.next_look(), std::nullopt);
  OwnAddress soon = opened();
  EXPECT_FALSE(look(soon, 0));
  add(first);
  EXPECT_TRUE(look(soon, 1));
  EXPECT_TRUE(soon.is_settled());
  EXPECT_EQ(soon.next_look(), std::nullopt);
}

TEST_F(OwnAddressTest, is_handed_over_by_another_interface_of_the_same_name) {
  OwnAddress own = opened();
  add(first);
  EXPECT_TRUE(look(own, 0));
  lose_outside();
  EXPECT_FALSE(look(own, 1));
  find_outside();
  add(first);
  EXPECT_FALSE(look(own, 2)) << "the address is the same";
  EXPECT_EQ(netlink().delete_redirect(outside_index(), io::portolan_mark), true) << "nothing is redirected";
}

TEST_F(OwnAddressTest, failures_are_told_and_tried_again) {
  OwnAddress own = opened({.interface = "wan0", .ports = own_settings.ports, .weight = 1});
  add(first);
  // A redirect to an interface that is not there.
  auto astray = OwnAddress::open(own_settings, "nat65", host());
  ASSERT_TRUE(astray) << astray.error();
  const auto changed = astray->look(at(0));
  ASSERT_FALSE(changed);
  EXPECT_THAT(changed.error(), HasSubstr("nat65"));
  EXPECT_EQ(astray->address(), std::nullopt);
  EXPECT_EQ(astray->next_look(), at(0) + OwnAddress::retry);
  EXPECT_TRUE(look(own, 0));
}

TEST_F(OwnAddressTest, needs_a_host_that_has_ports_left_and_lets_its_own_source_through) {
  ASSERT_TRUE(io::write_sysctl("net.ipv4.ip_local_port_range", "40704 65535"));
  EXPECT_EQ(refusal(), "");
  EXPECT_THAT(host().undo(), IsEmpty());
  ASSERT_TRUE(io::write_sysctl("net.ipv4.ip_local_port_range", "40705 65535"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("40960-65535 leave this host 255 ports"), HasSubstr("needs 256"),
                               HasSubstr("ip_local_port_range")));
  EXPECT_EQ(io::read_sysctl(reserved), "");
  ASSERT_TRUE(io::write_sysctl("net.ipv4.ip_local_port_range", "32768 60999"));
  ASSERT_TRUE(io::write_sysctl("net.ipv4.conf.all.rp_filter", "2"));
  EXPECT_THAT(refusal(), AllOf(HasSubstr("net.ipv4.conf.all.rp_filter is 2"), HasSubstr("set it to 0")));
}

TEST_F(OwnAddressTest, ports_that_a_killed_run_left_are_the_hosts_again) {
  const io::testing::TemporaryFolder folder;
  auto killed = io::HostChanges::open({.journal = folder.path() / "killed"});
  ASSERT_TRUE(killed && killed->reserve_ports({.first = Port{32768}, .last = Port{40959}}));
  std::filesystem::copy_file(folder.path() / "killed", folder.path() / "left");
  auto host = io::HostChanges::open({.journal = folder.path() / "left"});
  ASSERT_TRUE(host) << host.error();
  const auto own = OwnAddress::open(own_settings, "nat64", *host);
  ASSERT_TRUE(own) << own.error();
  EXPECT_EQ(io::read_sysctl(reserved), "40960-65535");
}

TEST_F(OwnAddressTest, the_tun_lets_the_hosts_own_source_through) {
  const OwnAddress own = opened();
  ASSERT_TRUE(own.prepare_tun());
  EXPECT_EQ(io::read_sysctl("net.ipv4.conf.nat64.accept_local"), "1");
  EXPECT_EQ(io::read_sysctl("net.ipv4.conf.nat64.rp_filter"), "0");
}

}  // namespace
}  // namespace portolan::gateway
