// SPDX-License-Identifier: BSD-2-Clause
//
// What is found on a host with real interfaces, routes and advertisements, and in the files of real DHCP
// clients.
#include "discovery/host/look.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "discovery/nat64_prefix.h"
#include "io/file_descriptor.h"
#include "io/host_addresses.h"
#include "io/netns/private_network.h"
#include "io/network_watch.h"
#include "io/source_address.h"
#include "io/testing.h"

namespace portolan::discovery {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }

void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

class LookTest : public io::testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    if (HasFatalFailure()) return;
    // The router's end forwards nothing, it only speaks; the host's end takes advertisements.
    run("ip link add router0 type veth peer name host0");
    run("sysctl -q -w net.ipv6.conf.host0.accept_ra=2 net.ipv6.conf.host0.accept_dad=0 "
        "net.ipv6.conf.host0.use_tempaddr=0 net.ipv6.conf.router0.accept_ra=0 "
        "net.ipv6.conf.router0.accept_dad=0");
    run("ip link set router0 addrgenmode none && ip link set router0 up && ip link set host0 up");
    host_index = netlink().interface("host0").value().index;
    router_index = netlink().interface("router0").value().index;
    // Advertisements come from there, so it is needed now.
    add_address(router_index, "fe80::1", 64);
  }

  auto view() -> View {
    auto seen = look_around(root.path());
    EXPECT_TRUE(seen) << seen.error();
    return std::move(seen).value_or(View{});
  }

  /// A router advertisement on the link: default router, 2001:db8:1::/64 with these lifetimes, and a PREF64
  /// option.
  void advertise(std::uint32_t valid_s, std::uint32_t preferred_s, std::uint16_t scaled_pref64) const {
    const int raw = ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6);
    ASSERT_GE(raw, 0);
    const int hops = 255;
    ::setsockopt(raw, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
    const int index = static_cast<int>(router_index);
    ::setsockopt(raw, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
    struct {
      nd_router_advert header;
      nd_opt_prefix_info prefix;
      std::array<std::uint8_t, 16> pref64;
    } packet{};
    packet.header.nd_ra_type = ND_ROUTER_ADVERT;
    packet.header.nd_ra_router_lifetime = htons(1800);
    packet.prefix.nd_opt_pi_type = ND_OPT_PREFIX_INFORMATION;
    packet.prefix.nd_opt_pi_len = 4;
    packet.prefix.nd_opt_pi_prefix_len = 64;
    packet.prefix.nd_opt_pi_flags_reserved = ND_OPT_PI_FLAG_ONLINK | ND_OPT_PI_FLAG_AUTO;
    packet.prefix.nd_opt_pi_valid_time = htonl(valid_s);
    packet.prefix.nd_opt_pi_preferred_time = htonl(preferred_s);
    ::inet_pton(AF_INET6, "2001:db8:1::", &packet.prefix.nd_opt_pi_prefix);
    packet.pref64 = {38, 2, static_cast<std::uint8_t>(scaled_pref64 >> 8U),
                     static_cast<std::uint8_t>(scaled_pref64)};
    in6_addr pref64{};
    ::inet_pton(AF_INET6, "2001:db8:64:ff9b::", &pref64);
    std::memcpy(packet.pref64.data() + 4, &pref64, 12);
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_scope_id = router_index;
    ::inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    const auto sent = ::sendto(raw, &packet, sizeof packet, 0, reinterpret_cast<sockaddr*>(&to), sizeof to);
    ::close(raw);
    ASSERT_EQ(sent, static_cast<ssize_t>(sizeof packet)) << std::strerror(errno);
  }

  /// Waits until the network's news are that `is_there` holds.
  template <typename Condition>
  void await(io::NetworkWatch& watch, Condition is_there) {
    while (!HasFatalFailure() && !is_there()) {
      ASSERT_TRUE(io::testing::wait_readable(watch.descriptor())) << "no news for 10 s";
      for (io::AdvertisedOptions& options : watch.take().advertised) advertised.push_back(std::move(options));
    }
  }

  void write(const std::string& path, const std::string& text) const {
    const auto whole = root.path() / path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }

  io::testing::TemporaryFolder root;
  std::uint32_t host_index = 0;
  std::uint32_t router_index = 0;
  std::vector<io::AdvertisedOptions> advertised;
};

TEST_F(LookTest, addresses_come_with_the_lifetimes_that_the_router_gives_them) {
  auto watch = io::NetworkWatch::open(io::Advertisements::heard).value();
  const auto host_address = [&]() -> std::optional<HostAddress> {
    const auto addresses = io::host_addresses().value();
    for (const HostAddress& entry : addresses)
      if (entry.interface_index == host_index && !entry.address.is_link_local()) return entry;
    return {};
  };
  const TimePoint before = io::monotonic_now();
  advertise(3600, 1200, 0);
  await(watch, [&] { return host_address() && host_address()->is_usable; });
  const HostAddress first = *host_address();
  EXPECT_TRUE(Prefix::parse("2001:db8:1::/64")->contains(first.address));
  EXPECT_EQ(first.prefix_length, 64U);
  EXPECT_TRUE(first.is_usable);
  EXPECT_FALSE(first.is_temporary || first.is_deprecated);
  ASSERT_TRUE(first.valid_until && first.preferred_until);
  EXPECT_EQ(*first.valid_until - *first.preferred_until, Seconds{2400});
  EXPECT_GE(*first.valid_until, before + Seconds{3599});
  EXPECT_LE(*first.valid_until, io::monotonic_now() + Seconds{3600});
  // The kernel is asked for the source as an application's traffic would be.
  const auto view = this->view();
  const auto servers = choose_servers(view.findings);
  ASSERT_FALSE(servers.empty());
  std::vector<std::string> remarks;
  const auto ways = ways_to(servers[0], view, remarks);
  ASSERT_FALSE(ways.empty());
  EXPECT_EQ(ways[0].plan.source, first.address);
  EXPECT_TRUE(ways[0].server.is_link_local());
  EXPECT_EQ(ways[0].interface.name, "host0");
  EXPECT_EQ(*ways[0].plan.valid_until - *ways[0].plan.preferred_until, Seconds{2400});
  // A router that deprecates its prefix.
  advertise(3600, 0, 0);
  await(watch, [&] { return host_address()->is_deprecated; });
}

TEST_F(LookTest, privacy_addresses_are_what_traffic_leaves_from) {
  run("sysctl -q -w net.ipv6.conf.host0.use_tempaddr=2");
  auto watch = io::NetworkWatch::open(io::Advertisements::heard).value();
  advertise(86400, 80000, 0);
  const auto temporary = [&]() -> std::optional<HostAddress> {
    const auto addresses = io::host_addresses().value();
    for (const HostAddress& entry : addresses)
      if (entry.is_temporary && entry.is_usable) return entry;
    return {};
  };
  await(watch, [&] { return temporary().has_value(); });
  const auto source = io::source_towards(address("2001:db8:ffff::1"));
  EXPECT_EQ(source.value(), temporary()->address);
}

TEST_F(LookTest, a_server_is_asked_from_other_addresses_of_the_interface_too) {
  auto watch = io::NetworkWatch::open(io::Advertisements::ignored).value();
  run("ip -6 route add default via fe80::1 dev host0");
  run("ip address add 2001:db8:1::2/64 dev host0 nodad preferred_lft 0 valid_lft 3000");
  run("ip address add 2001:db8:1::3/64 dev host0 nodad");
  run("ip address add 2001:db8:9::9/128 dev lo && ip address add 192.0.2.9/24 dev host0");
  await(watch, [] { return std::ranges::all_of(io::host_addresses().value(), &HostAddress::is_usable); });
  View seen = view();
  seen.findings.uses_anycast = false;
  const auto servers = client_servers(seen, Port{5351}, seen.remarks);
  ASSERT_EQ(servers.size(), 1U);
  ASSERT_EQ(servers[0].paths.size(), 1U);
  EXPECT_EQ(servers[0].paths[0].client_address, address("2001:db8:1::3"));
  ASSERT_EQ(servers[0].other_paths.size(), 1U) << "but not from those of another family or interface";
  EXPECT_EQ(servers[0].other_paths[0].client_address, address("2001:db8:1::2"));
  EXPECT_EQ(servers[0].other_paths[0].server, servers[0].paths[0].server);
  EXPECT_TRUE(servers[0].other_paths[0].address_valid_until);
}

TEST_F(LookTest, an_interface_that_was_left_is_told_and_not_what_it_advertised_before) {
  auto watch = io::NetworkWatch::open(io::Advertisements::heard).value();
  run("ip -6 route add default via fe80::1 dev host0 && ip -6 route add 2001:db8:5::/64 dev host0");
  run("ip -6 route del 2001:db8:5::/64 dev host0");
  EXPECT_THAT(watch.take().left, IsEmpty());
  run("ip -6 route del default via fe80::1 dev host0");
  EXPECT_THAT(watch.take().left, Contains(host_index));
  auto other = io::NetworkWatch::open(io::Advertisements::heard).value();
  advertise(3600, 3600, 225U << 3U);
  await(other, [&] { return !advertised.empty(); });
  run("ip link set host0 down");
  const io::NetworkNews news = watch.take();
  EXPECT_THAT(news.left, Contains(host_index));
  EXPECT_THAT(news.advertised, IsEmpty());
}

TEST_F(LookTest, pref64_of_an_advertisement_comes_through_the_kernel) {
  auto watch = io::NetworkWatch::open(io::Advertisements::heard).value();
  advertise(3600, 3600, 225U << 3U);
  // Other options of the advertisement come too, from newer kernels.
  const auto prefixes = [&] {
    std::vector<Pref64> all;
    for (const io::AdvertisedOptions& options : advertised)
      for (const Pref64& learned : parse_pref64_options(options.octets)) all.push_back(learned);
    return all;
  };
  await(watch, [&] { return !prefixes().empty(); });
  for (const io::AdvertisedOptions& options : advertised) EXPECT_EQ(options.interface_index, host_index);
  EXPECT_THAT(prefixes(), ElementsAre(Pref64{.prefix = Prefix::parse("2001:db8:64:ff9b::/96").value(),
                                             .lifetime = Seconds{1800}}));
}

TEST_F(LookTest, what_may_not_be_read_or_is_wrong_is_a_remark_and_no_more) {
  write("var/lib/dhcp/dhclient.host0.leases", "lease { interface \"host0\"; option unknown-158 3:1:1:1; }");
  write("var/lib/dhcpcd/host0.lease", "no lease at all");
  write("var/lib/dhcpcd/host0.lease6", std::string(lease_file_octets_max + 1, '\7'));
  write("run/systemd/netif/leases/" + std::to_string(host_index), "OPTION_158=04c0000201\n");
  write("run/systemd/netif/leases/99999", "OPTION_158=04c0000202\n");
  std::filesystem::create_directories(root.path() / "var/lib/dhcp/dhclient.folder.leases");
  const View seen = view();
  EXPECT_THAT(seen.remarks, ElementsAre(HasSubstr("dhclient.folder.leases: "),
                                        HasSubstr("dhclient.host0.leases: line 1: option"),
                                        HasSubstr("host0.lease: this is no answer of a DHCP server"),
                                        HasSubstr("host0.lease6: it has more than 262144 octets")));
  ASSERT_EQ(seen.findings.leased.size(), 1U);
  EXPECT_EQ(seen.findings.leased[0].interface, (InterfaceName{.index = host_index, .name = "host0"}));
}

TEST_F(LookTest, a_host_without_any_of_it_finds_nothing_and_says_nothing) {
  const View seen = view();
  EXPECT_THAT(seen.remarks, IsEmpty());
  EXPECT_THAT(seen.findings.leased, IsEmpty());
  EXPECT_THAT(seen.findings.routers, IsEmpty());
  EXPECT_THAT(seen.interfaces, Contains(InterfaceName{.index = host_index, .name = "host0"}));
}

TEST_F(LookTest, the_longest_interface_name_has_the_file) {
  const std::vector<InterfaceName> interfaces{{.index = 1, .name = "wlan0"},
                                              {.index = 2, .name = "wlan0-ap"}};
  EXPECT_EQ(interface_of_stem("wlan0", interfaces).index, 1U);
  EXPECT_EQ(interface_of_stem("wlan0-home", interfaces).index, 1U);
  EXPECT_EQ(interface_of_stem("wlan0-ap-home", interfaces).index, 2U);
  EXPECT_EQ(interface_of_stem("wlan01", interfaces).index, 0U);
}

/// What dnsmasq tells below.
auto told_servers4() {
  return ElementsAre(ElementsAre(address("198.51.100.1")),
                     ElementsAre(address("192.0.2.1"), address("192.0.2.2")));
}
auto told_servers6() { return ElementsAre(ElementsAre(address("2001:db8::5351"))); }

/// dnsmasq serves on router0; host0 is in a namespace of its own, where the clients run.
class DhcpTest : public LookTest {
 protected:
  void SetUp() override {
    LookTest::SetUp();
    if (HasFatalFailure()) return;
    run("ip address add 192.0.2.1/24 dev router0 && ip address add 2001:db8:1::1/64 dev router0 nodad");
    const std::string folder = root.path().string();
    run("dnsmasq --conf-file=/dev/null --port=0 --interface=router0 --bind-interfaces --user=root "
        "--pid-file=" +
        folder + "/dnsmasq.pid --dhcp-leasefile=" + folder +
        "/dnsmasq.leases "
        "--dhcp-range=192.0.2.100,192.0.2.120,1h --dhcp-range=2001:db8:1::100,2001:db8:1::1ff,64,1h "
        "--enable-ra "
        "--dhcp-option-force=158,04:c6:33:64:01:08:c0:00:02:01:c0:00:02:02 "
        "--dhcp-option-force=option6:86,20:01:0d:b8:00:00:00:00:00:00:00:00:00:00:53:51 2>/dev/null");
    run("ip netns add " + name + " && ip link set host0 netns " + name + " && ip -n " + name +
        " link set lo up && ip netns exec " + name +
        " sysctl -q -w net.ipv6.conf.host0.accept_ra=2 net.ipv6.conf.host0.accept_dad=0 && ip -n " + name +
        " link set host0 up");
  }
  void TearDown() override {
    run("kill $(cat " + root.path().string() + "/dnsmasq.pid)");
    run("ip netns del " + name);
  }
  /// In the host's namespace; what it mounts is its own.
  void run_on_host(const std::string& command) const {
    const std::string log = root.path().string() + "/client.log";
    const std::string whole = "ip netns exec " + name + " sh -c '" + command + "' >" + log + " 2>&1";
    if (std::system(whole.c_str()) == 0) return;
    std::ostringstream said;
    said << std::ifstream(log).rdbuf();
    FAIL() << whole << "\n" << said.str();
  }
  /// Goes over to the host's namespace and looks.
  auto view_of_host() -> View {
    const io::FileDescriptor there{::open(("/run/netns/" + name).c_str(), O_RDONLY | O_CLOEXEC)};
    EXPECT_EQ(::setns(there.get(), CLONE_NEWNET), 0);
    return view();
  }

  const std::string name = "portolan-dhcp-" + std::to_string(::getpid());
};

TEST_F(DhcpTest, servers_that_dhclient_was_told_are_found) {
  const std::string folder = root.path().string();
  write("4.conf", "also request unknown-158;\n");
  write("6.conf", "option dhcp6.pcp-server code 86 = string;\nalso request dhcp6.pcp-server;\n");
  std::filesystem::create_directories(root.path() / "var/lib/dhcp");
  for (const std::string family : {"4", "6"}) {
    // With a lease it goes into the background, and writes there down which process it is.
    const std::string process = fmt::format("{}/dhclient{}.pid", folder, family);
    run_on_host(
        fmt::format("dhclient -1 -{family} -cf {folder}/{family}.conf -sf /bin/true -pf {process} "
                    "-lf {folder}/var/lib/dhcp/dhclient{family}.leases host0 && "
                    "while ! [ -s {process} ]; do sleep 0.05; done && kill $(cat {process})",
                    fmt::arg("family", family), fmt::arg("folder", folder), fmt::arg("process", process)));
  }
  const View seen = view_of_host();
  EXPECT_THAT(seen.remarks, IsEmpty());
  ASSERT_EQ(seen.findings.leased.size(), 2U);
  EXPECT_THAT(seen.findings.leased[0].lease.servers, told_servers4());
  EXPECT_THAT(seen.findings.leased[1].lease.servers, told_servers6());
  EXPECT_EQ(seen.findings.leased[1].lease.addresses.size(), 1U);
}

TEST_F(DhcpTest, servers_that_dhcpcd_was_told_are_found) {
  const std::string folder = root.path().string();
  write("dhcpcd.conf", "require dhcp_server_identifier\nnoipv6rs\nia_na 1\nipv6\n");
  const std::string leases = folder + "/var/lib/dhcpcd";
  std::filesystem::create_directories(leases);
  // It keeps its leases at one place, and stays; here it has that place for itself. When both leases are
  // there it is ended with its process namespace: told to stop, dhcpcd 9.4 does not always.
  write("client.sh", "mount --bind " + leases + " /var/lib/dhcpcd\nmount -t tmpfs none /run\ndhcpcd -B -f " +
                         folder + "/dhcpcd.conf -c /bin/true host0 &\nwhile ! [ -s " + leases +
                         "/host0.lease ] || ! [ -s " + leases +
                         "/host0.lease6 ]; do kill -0 $! || exit 1; sleep 0.1; done\n");
  run_on_host("timeout 60 unshare --pid --fork sh " + folder + "/client.sh");
  const View seen = view_of_host();
  EXPECT_THAT(seen.remarks, IsEmpty());
  ASSERT_EQ(seen.findings.leased.size(), 2U);
  EXPECT_THAT(seen.findings.leased[0].lease.servers, told_servers4());
  EXPECT_THAT(seen.findings.leased[1].lease.servers, told_servers6());
}

}  // namespace
}  // namespace portolan::discovery
