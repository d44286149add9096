// SPDX-License-Identifier: BSD-2-Clause
//
// Changes to the host against the real kernel: made once, undone wholly, also after a kill.
#include "io/host_network.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/netns/private_network.h"
#include "io/nft_table.h"
#include "io/sysctl.h"
#include "io/testing.h"
#include "io/tun.h"

namespace portolan::io {
namespace {

using testing::address;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

auto prefix(std::string_view text) -> Prefix { return Prefix::parse(text).value(); }

class HostNetworkTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    inside_.emplace(opened("nat64"));
    outside_.emplace(opened("wan0"));
    ASSERT_TRUE(write_sysctl("net.ipv4.ip_forward", "0"));
    ASSERT_TRUE(write_sysctl("net.ipv6.conf.all.forwarding", "0"));
  }

  static auto opened(std::string_view name) -> Tun {
    auto tun = Tun::open({.name = std::string{name}});
    if (!tun) throw std::runtime_error(tun.error());
    return std::move(*tun);
  }
  auto changes() -> HostChanges {
    auto made = HostChanges::open({.journal = journal()});
    if (!made) throw std::runtime_error(made.error());
    return std::move(*made);
  }
  /// Runs `work` in a process that is killed right after, as by the kernel's OOM killer.
  void in_killed_process(const HostChangesOptions& options, const std::function<void(HostChanges&)>& work) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto theirs = HostChanges::open(options);
      if (theirs) work(*theirs);
      if (theirs && !HasFailure()) ::raise(SIGKILL);
      ::_exit(1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the work itself failed";
  }
  void in_killed_process(const std::function<void(HostChanges&)>& work) {
    in_killed_process({.journal = journal()}, work);
  }
  /// What the daemon of the lab does to its gateway.
  static void make_all(HostChanges& to) {
    ASSERT_TRUE(to.set_sysctl("net.ipv4.ip_forward", "1"));
    ASSERT_TRUE(to.add_address(address("192.0.2.1"), 28, "wan0"));
    ASSERT_TRUE(to.add_route(prefix("192.0.2.14/32"), "nat64"));
    ASSERT_TRUE(to.add_route(prefix("2001:db8:64:ff9b::/96"), "nat64"));
    const auto four = to.add_proxy_neighbour(address("192.0.2.14"), "wan0");
    ASSERT_TRUE(four) << four.error();
    const auto six = to.add_proxy_neighbour(address("2001:db8::14"), "wan0");
    ASSERT_TRUE(six) << six.error();
  }
  /// Everything make_all() touches, as the kernel has it.
  auto snapshot() -> std::vector<std::string> {
    std::vector<std::string> lines;
    for (const auto& name : {"net.ipv4.ip_forward", "net/ipv6/conf/wan0/proxy_ndp"})
      lines.push_back(std::string{name} + "=" + read_sysctl(name).value());
    for (const Tun* tun : {&*inside_, &*outside_}) {
      const auto addresses = netlink().addresses(tun->interface_index());
      for (const auto& entry : addresses.value()) lines.push_back(to_string(entry.address));
      const auto neighbours = netlink().proxy_neighbours(tun->interface_index());
      for (const auto& entry : neighbours.value()) lines.push_back("proxy " + to_string(entry.address));
    }
    for (const auto* file : {"/proc/thread-self/net/route", "/proc/thread-self/net/ipv6_route"}) {
      std::ifstream stream{file};
      for (std::string line; std::getline(stream, line);)
        if (line.starts_with("nat64") || line.ends_with("nat64")) lines.push_back(line);
    }
    return lines;
  }
  auto journal() const -> std::filesystem::path { return folder_.path() / "run" / "host"; }
  auto outside_index() const -> unsigned { return outside_->interface_index(); }
  auto inside_index() const -> unsigned { return inside_->interface_index(); }
  void drop_inside() { inside_.reset(); }

  const std::vector<std::string> all_lines{
      "sysctl net.ipv4.ip_forward 0 -> 1",     "address 192.0.2.1/28 dev wan0",
      "route 192.0.2.14/32 dev nat64",         "route 2001:db8:64:ff9b::/96 dev nat64",
      "proxy-neighbour 192.0.2.14 dev wan0",   "sysctl net/ipv6/conf/wan0/proxy_ndp 0 -> 1",
      "proxy-neighbour 2001:db8::14 dev wan0",
  };

 private:
  testing::TemporaryFolder folder_;
  std::optional<Tun> inside_;
  std::optional<Tun> outside_;
};

// --- netlink ----------------------------------------------------------------------------------------

TEST_F(HostNetworkTest, missing_interface_is_nullopt_or_an_error_that_names_it) {
  const auto found = netlink().find_interface("nosuchdev0");
  ASSERT_TRUE(found) << found.error();
  EXPECT_FALSE(found->has_value());
  const auto overlong = netlink().find_interface("a-name-no-interface-has");
  ASSERT_TRUE(overlong);
  EXPECT_FALSE(overlong->has_value());
  const auto wanted = netlink().interface("nosuchdev0");
  ASSERT_FALSE(wanted);
  EXPECT_EQ(wanted.error(), "interface nosuchdev0 does not exist");
}

TEST_F(HostNetworkTest, adding_and_deleting_twice_is_told_apart) {
  const InterfaceAddress entry{.address = address("192.0.2.1"), .prefix_length = 28, .mark = portolan_mark};
  EXPECT_EQ(netlink().add_address(outside_index(), entry), true);
  EXPECT_EQ(netlink().add_address(outside_index(), entry), false);
  EXPECT_THAT(netlink().addresses(outside_index()).value(), ElementsAre(entry));
  EXPECT_EQ(netlink().delete_address(outside_index(), entry), true);
  EXPECT_EQ(netlink().delete_address(outside_index(), entry), false);

  for (const auto* text : {"198.51.100.0/24", "2001:db8:1::/48"}) {
    EXPECT_EQ(netlink().add_route(prefix(text), inside_index(), portolan_mark), true);
    EXPECT_EQ(netlink().add_route(prefix(text), inside_index(), portolan_mark), false);
    EXPECT_EQ(netlink().delete_route(prefix(text), inside_index(), portolan_mark), true);
    EXPECT_EQ(netlink().delete_route(prefix(text), inside_index(), portolan_mark), false);
  }

  for (const auto* text : {"192.0.2.14", "2001:db8::14"}) {
    const ProxyNeighbour neighbour{.address = address(text), .mark = portolan_mark};
    EXPECT_EQ(netlink().add_proxy_neighbour(outside_index(), neighbour), true);
    EXPECT_EQ(netlink().add_proxy_neighbour(outside_index(), neighbour), false);
    EXPECT_THAT(netlink().proxy_neighbours(outside_index()).value(), ElementsAre(neighbour));
    EXPECT_THAT(netlink().proxy_neighbours(inside_index()).value(), IsEmpty());
    EXPECT_EQ(netlink().delete_proxy_neighbour(outside_index(), neighbour), true);
    EXPECT_EQ(netlink().delete_proxy_neighbour(outside_index(), neighbour), false);
  }
}

TEST_F(HostNetworkTest, what_carries_another_mark_is_left_alone) {
  const ProxyNeighbour theirs{.address = address("192.0.2.14"), .mark = 4};
  ASSERT_TRUE(netlink().add_proxy_neighbour(outside_index(), theirs));
  const ProxyNeighbour ours{.address = address("192.0.2.14"), .mark = portolan_mark};
  EXPECT_EQ(netlink().add_proxy_neighbour(outside_index(), ours), false);
  EXPECT_EQ(netlink().delete_proxy_neighbour(outside_index(), ours), false);
  EXPECT_THAT(netlink().proxy_neighbours(outside_index()).value(), ElementsAre(theirs));

  for (const auto* text : {"198.51.100.0/24", "2001:db8:1::/48"}) {
    ASSERT_TRUE(netlink().add_route(prefix(text), inside_index(), 4));
    EXPECT_EQ(netlink().delete_route(prefix(text), inside_index(), portolan_mark), false);
    EXPECT_EQ(netlink().delete_route(prefix(text), inside_index(), 4), true);
  }
}

TEST_F(HostNetworkTest, route_to_another_interface_is_an_error_with_a_remedy) {
  for (const auto* text : {"198.51.100.0/24", "2001:db8:1::/48"}) {
    ASSERT_TRUE(netlink().add_route(prefix(text), outside_index(), portolan_mark));
    const auto again = netlink().add_route(prefix(text), inside_index(), portolan_mark);
    ASSERT_FALSE(again) << text;
    EXPECT_THAT(again.error(), HasSubstr(text));
    EXPECT_THAT(again.error(), HasSubstr("delete it first"));
  }
}

TEST_F(HostNetworkTest, errors_carry_the_kernel_s_own_words) {
  const auto failed = netlink().set_link(inside_index(), {.mtu = 10});
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error(), HasSubstr("Invalid argument ("));
}

TEST_F(HostNetworkTest, forwarding_that_is_off_is_told_with_the_remedy) {
  const auto complaint = forwarding_complaint(Family::ipv6);
  ASSERT_TRUE(complaint);
  EXPECT_THAT(*complaint, HasSubstr("sysctl net.ipv6.conf.all.forwarding=1"));
  ASSERT_TRUE(write_sysctl("net.ipv6.conf.all.forwarding", "1"));
  EXPECT_FALSE(forwarding_complaint(Family::ipv6));
  EXPECT_TRUE(forwarding_complaint(Family::ipv4));
}

// --- changes ----------------------------------------------------------------------------------------

TEST_F(HostNetworkTest, changes_are_listed_idempotent_and_undone_at_exit) {
  const auto before = snapshot();
  {
    HostChanges ours = changes();
    make_all(ours);
    EXPECT_EQ(ours.list(), all_lines);
    const auto with_changes = snapshot();
    EXPECT_NE(with_changes, before);
    make_all(ours);
    EXPECT_EQ(ours.list(), all_lines);
    EXPECT_EQ(snapshot(), with_changes);
  }
  EXPECT_EQ(snapshot(), before);
}

TEST_F(HostNetworkTest, undo_is_complete_and_may_be_repeated) {
  const auto before = snapshot();
  HostChanges ours = changes();
  make_all(ours);
  EXPECT_THAT(ours.undo(), IsEmpty());
  EXPECT_THAT(ours.list(), IsEmpty());
  EXPECT_EQ(snapshot(), before);
  EXPECT_THAT(ours.undo(), IsEmpty());
}

TEST_F(HostNetworkTest, what_was_there_before_is_neither_listed_nor_undone) {
  ASSERT_TRUE(write_sysctl("net.ipv4.ip_forward", "1"));
  ASSERT_TRUE(netlink().add_address(outside_index(), {.address = address("192.0.2.1"), .prefix_length = 28}));
  ASSERT_TRUE(netlink().add_route(prefix("192.0.2.14/32"), inside_index(), 4));
  ASSERT_TRUE(netlink().add_proxy_neighbour(outside_index(), {.address = address("192.0.2.14"), .mark = 4}));
  const auto before = snapshot();
  {
    HostChanges ours = changes();
    make_all(ours);
    EXPECT_THAT(ours.list(), ElementsAre("route 2001:db8:64:ff9b::/96 dev nat64",
                                         "sysctl net/ipv6/conf/wan0/proxy_ndp 0 -> 1",
                                         "proxy-neighbour 2001:db8::14 dev wan0"));
  }
  EXPECT_EQ(snapshot(), before);
}

TEST_F(HostNetworkTest, what_somebody_changed_since_is_left_alone) {
  {
    HostChanges ours = changes();
    ASSERT_TRUE(ours.set_sysctl("net.ipv4.conf.wan0.rp_filter", "2"));
    ASSERT_TRUE(ours.add_route(prefix("192.0.2.14/32"), "nat64"));
    ASSERT_TRUE(write_sysctl("net.ipv4.conf.wan0.rp_filter", "1"));
    ASSERT_TRUE(netlink().delete_route(prefix("192.0.2.14/32"), inside_index(), portolan_mark));
    ASSERT_TRUE(netlink().add_route(prefix("192.0.2.14/32"), inside_index(), 4));
  }
  EXPECT_EQ(read_sysctl("net.ipv4.conf.wan0.rp_filter"), "1");
  EXPECT_EQ(netlink().delete_route(prefix("192.0.2.14/32"), inside_index(), 4), true);
}

TEST_F(HostNetworkTest, setting_changed_twice_goes_back_to_its_first_value) {
  ASSERT_TRUE(write_sysctl("net.ipv4.conf.wan0.rp_filter", "0"));
  {
    HostChanges ours = changes();
    ASSERT_TRUE(ours.set_sysctl("net.ipv4.conf.wan0.rp_filter", "1"));
    ASSERT_TRUE(ours.set_sysctl("net.ipv4.conf.wan0.rp_filter", "2"));
    EXPECT_THAT(ours.list(), ElementsAre("sysctl net.ipv4.conf.wan0.rp_filter 0 -> 2"));
  }
  EXPECT_EQ(read_sysctl("net.ipv4.conf.wan0.rp_filter"), "0");
}

TEST_F(HostNetworkTest, one_change_can_be_withdrawn) {
  HostChanges ours = changes();
  make_all(ours);
  EXPECT_EQ(ours.remove_proxy_neighbour(address("192.0.2.14"), "wan0"), true);
  EXPECT_EQ(ours.remove_proxy_neighbour(address("192.0.2.14"), "wan0"), false);
  EXPECT_EQ(ours.remove_route(prefix("192.0.2.14/32"), "nat64"), true);
  EXPECT_EQ(ours.list().size(), all_lines.size() - 2);
  EXPECT_EQ(netlink().proxy_neighbours(outside_index()).value().size(), 1U);
}

TEST_F(HostNetworkTest, refused_change_leaves_no_trace) {
  HostChanges ours = changes();
  EXPECT_FALSE(ours.add_route(prefix("192.0.2.14/32"), "nosuchdev0"));
  EXPECT_FALSE(ours.add_address(address("192.0.2.1"), 33, "wan0"));
  EXPECT_FALSE(ours.set_sysctl("net.ipv4.no_such_setting", "1"));
  EXPECT_FALSE(ours.set_sysctl("net.ipv4.ip_forward", "1 1"));
  EXPECT_THAT(ours.list(), IsEmpty());
  std::ifstream stream{journal()};
  std::string line;
  std::getline(stream, line);
  EXPECT_THAT(line, HasSubstr("portolan-host-changes 1 boot "));
  EXPECT_FALSE(std::getline(stream, line)) << line;
}

TEST_F(HostNetworkTest, interface_gone_with_its_changes_is_no_failure) {
  HostChanges ours = changes();
  make_all(ours);
  drop_inside();
  EXPECT_THAT(ours.undo(), IsEmpty());
}

// --- after a kill -----------------------------------------------------------------------------------

TEST_F(HostNetworkTest, killed_run_is_undone_by_the_next) {
  const auto before = snapshot();
  in_killed_process(make_all);
  EXPECT_NE(snapshot(), before);
  HostChanges ours = changes();
  EXPECT_EQ(ours.leftovers(), all_lines);
  EXPECT_THAT(ours.list(), IsEmpty());
  auto undone = ours.undo_leftovers();
  std::ranges::reverse(undone);
  EXPECT_EQ(undone, all_lines);
  EXPECT_EQ(snapshot(), before);
  EXPECT_THAT(ours.leftovers(), IsEmpty());
}

TEST_F(HostNetworkTest, what_a_killed_run_made_and_the_next_wants_is_taken_over) {
  const auto before = snapshot();
  in_killed_process([&](HostChanges& theirs) {
    make_all(theirs);
    ASSERT_TRUE(theirs.add_proxy_neighbour(address("192.0.2.13"), "wan0"));
  });
  const auto with_changes = snapshot();
  {
    HostChanges ours = changes();
    make_all(ours);
    EXPECT_EQ(snapshot(), with_changes) << "nothing was repeated or taken away meanwhile";
    EXPECT_EQ(ours.list(), all_lines);
    EXPECT_THAT(ours.undo_leftovers(), ElementsAre("proxy-neighbour 192.0.2.13 dev wan0"));
  }
  EXPECT_EQ(snapshot(), before) << "what was taken over goes back to what the killed run had found";
}

TEST_F(HostNetworkTest, two_kills_in_a_row_lose_nothing) {
  const auto before = snapshot();
  for (int i = 0; i < 2; ++i) {
    in_killed_process(make_all);
  }
  in_killed_process(
      [&](HostChanges& theirs) { ASSERT_TRUE(theirs.add_route(prefix("198.51.100.0/24"), "nat64")); });
  HostChanges ours = changes();
  EXPECT_EQ(ours.undo_leftovers().size(), all_lines.size() + 1);
  EXPECT_EQ(snapshot(), before);
}

TEST_F(HostNetworkTest, killed_before_undoing_leftovers_keeps_them_for_the_next) {
  const auto before = snapshot();
  in_killed_process(make_all);
  in_killed_process([&](HostChanges& theirs) { ASSERT_EQ(theirs.leftovers(), all_lines); });
  EXPECT_THAT(changes().undo(), IsEmpty());
  EXPECT_EQ(snapshot(), before);
}

TEST_F(HostNetworkTest, setting_left_over_and_wanted_otherwise_keeps_its_first_value) {
  ASSERT_TRUE(write_sysctl("net.ipv4.conf.wan0.rp_filter", "0"));
  in_killed_process(
      [&](HostChanges& theirs) { ASSERT_TRUE(theirs.set_sysctl("net.ipv4.conf.wan0.rp_filter", "1")); });
  {
    HostChanges ours = changes();
    ASSERT_TRUE(ours.set_sysctl("net.ipv4.conf.wan0.rp_filter", "2"));
    EXPECT_THAT(ours.undo_leftovers(), IsEmpty());
    EXPECT_EQ(read_sysctl("net.ipv4.conf.wan0.rp_filter"), "2");
  }
  EXPECT_EQ(read_sysctl("net.ipv4.conf.wan0.rp_filter"), "0");
}

TEST_F(HostNetworkTest, journal_of_another_namespace_is_dropped) {
  in_killed_process([&](HostChanges& theirs) { ASSERT_TRUE(theirs.set_sysctl("net.ipv4.ip_forward", "1")); });
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  ASSERT_TRUE(write_sysctl("net.ipv4.ip_forward", "1"));
  HostChanges ours = changes();
  EXPECT_THAT(ours.leftovers(), IsEmpty());
  EXPECT_THAT(ours.undo(), IsEmpty());
  EXPECT_EQ(read_sysctl("net.ipv4.ip_forward"), "1");
}

TEST_F(HostNetworkTest, damaged_journal_lines_are_passed_over) {
  in_killed_process(
      [&](HostChanges& theirs) { ASSERT_TRUE(theirs.add_proxy_neighbour(address("192.0.2.14"), "wan0")); });
  {
    std::ofstream stream{journal(), std::ios::app};
    stream << "route\nroute 192.0.2.0/99 dev nat64\naddress 192.0.2.1 dev wan0\naddress x/24 dev wan0\n"
           << "address 192.0.2.1/9999 dev wan0\nsysctl a b\n\nwhat 1 dev 2\nproxy-neighb";
  }
  EXPECT_THAT(changes().leftovers(), ElementsAre("proxy-neighbour 192.0.2.14 dev wan0"));
}

TEST_F(HostNetworkTest, second_live_instance_is_refused) {
  const HostChanges first = changes();
  const auto second = HostChanges::open({.journal = journal()});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("second instance"));
}

TEST_F(HostNetworkTest, a_table_of_a_killed_run_goes_or_stays_as_the_next_wants) {
  const NftTableName name{.family = Family::ipv6, .name = "portolan_test"};
  auto table = NftTable::open(name);
  ASSERT_TRUE(table) << table.error();
  const auto leave_behind = [&] {
    in_killed_process({.journal = journal()}, [&](HostChanges& host) {
      if (!host.note_table(name, false)) ::_exit(1);
    });
    ASSERT_TRUE(table->load("table ip6 portolan_test { }"));
  };
  leave_behind();
  {
    HostChanges next = changes();
    EXPECT_THAT(next.leftovers(), ElementsAre("nft-table ip6 portolan_test"));
    ASSERT_TRUE(next.note_table(name, true));
    EXPECT_THAT(next.undo_leftovers(), IsEmpty());
  }
  EXPECT_EQ(table->exists(), true) << "it was to stay";
  leave_behind();
  {
    HostChanges next = changes();
    ASSERT_TRUE(next.note_table(name, false));
    EXPECT_THAT(next.undo_leftovers(), IsEmpty());
    EXPECT_EQ(table->exists(), true);
    EXPECT_THAT(next.list(), ElementsAre("nft-table ip6 portolan_test"));
  }
  EXPECT_EQ(table->exists(), false) << "undone at exit";
  leave_behind();
  EXPECT_THAT(changes().undo_leftovers(), ElementsAre("nft-table ip6 portolan_test"));
  EXPECT_EQ(table->exists(), false) << "nobody wants it";
}

TEST_F(HostNetworkTest, without_a_journal_marked_neighbours_are_found) {
  ASSERT_TRUE(netlink().add_proxy_neighbour(outside_index(), {.address = address("192.0.2.12"), .mark = 4}));
  in_killed_process({}, [&](HostChanges& theirs) {
    ASSERT_TRUE(theirs.add_proxy_neighbour(address("192.0.2.13"), "wan0"));
    ASSERT_TRUE(theirs.add_proxy_neighbour(address("192.0.2.14"), "wan0"));
  });
  auto ours = HostChanges::open({});
  ASSERT_TRUE(ours) << ours.error();
  ASSERT_TRUE(ours->claim_marked_neighbours("wan0"));
  ASSERT_TRUE(ours->add_proxy_neighbour(address("192.0.2.14"), "wan0"));
  EXPECT_THAT(ours->undo_leftovers(), ElementsAre("proxy-neighbour 192.0.2.13 dev wan0"));
  EXPECT_THAT(ours->list(), ElementsAre("proxy-neighbour 192.0.2.14 dev wan0"));
  EXPECT_THAT(ours->undo(), IsEmpty());
  EXPECT_EQ(netlink().proxy_neighbours(outside_index()).value().size(), 1U) << "somebody else's stays";
}

}  // namespace
}  // namespace portolan::io
