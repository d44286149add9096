// SPDX-License-Identifier: BSD-2-Clause
//
// Flows through a NAT of the real kernel: a gateway, a host inside and a host outside.
#include "io/conntrack.h"

#include <fcntl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/child_program.h"
#include "io/file_descriptor.h"
#include "io/netns/private_network.h"
#include "io/sysctl.h"
#include "io/testing.h"
#include "io/udp.h"

namespace portolan::io {
namespace {

using testing::address;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::octets_of;
using ::testing::SizeIs;
using testing::text_of;
using testing::wait_readable;

auto endpoint(std::string_view text, unsigned port) -> Endpoint {
  return {.address = address(text), .port = Port{static_cast<std::uint16_t>(port)}};
}

auto socket_address(const Endpoint& endpoint) -> sockaddr_in {
  sockaddr_in found{};
  found.sin_family = AF_INET;
  found.sin_port = htons(endpoint.port.value);
  found.sin_addr.s_addr = htonl(endpoint.address.ipv4().value);
  return found;
}

/// This test's process is the gateway: i0 leads to the host inside, w0 to the one outside. It masquerades
/// with ports from 40000 on and drops what comes from outside unasked.
class ConntrackTest : public testing::PrivateNetwork {
 protected:
  static constexpr std::string_view rules = R"(
table ip gateway {
  chain translate { type nat hook postrouting priority srcnat; oifname "w0" meta l4proto { tcp, udp } masquerade to :40000-50000
    oifname "w0" masquerade
  }
  chain forward { type filter hook forward priority filter; policy drop;
    iifname "i0" accept
    ct state established,related accept
  }
}
table ip6 gateway {
  chain translate { type nat hook postrouting priority srcnat; }
  chain forward { type filter hook forward priority filter; policy drop;
    iifname "i0" accept
    ct state established,related accept
  }
}
)";

  void SetUp() override {
    PrivateNetwork::SetUp();
    gateway_ = here();
    skip_duplicate_detection();
    add_host(inside_, "i0", "198.51.100", "2001:db8:1:");
    add_host(outside_, "w0", "192.0.2", "2001:db8:2:");
    ASSERT_TRUE(write_sysctl(forwarding_sysctl(Family::ipv4), "1"));
    ASSERT_TRUE(write_sysctl(forwarding_sysctl(Family::ipv6), "1"));
    run("nft", {"-f", "-"}, rules);
    auto opened = Conntrack::open();
    ASSERT_TRUE(opened) << opened.error();
    conntrack_.emplace(std::move(*opened));
  }
  void TearDown() override { enter(gateway_); }

  auto conntrack() -> Conntrack& { return conntrack_.value(); }
  auto udp_inside(std::string_view at, unsigned port) -> UdpSocket { return udp(inside_, at, port); }
  auto udp_outside(std::string_view at, unsigned port) -> UdpSocket { return udp(outside_, at, port); }
  /// Listens for TCP outside.
  auto listener(const Endpoint& at) -> FileDescriptor {
    FileDescriptor made = tcp(outside_, at);
    EXPECT_EQ(::listen(made.get(), 1), 0);
    return made;
  }
  auto tcp_inside(const Endpoint& at) -> FileDescriptor { return tcp(inside_, at); }
  auto tcp_outside(const Endpoint& at) -> FileDescriptor { return tcp(outside_, at); }
  /// What ping(8) of the host inside says of one outside.
  auto ping_outside(std::string_view host) -> int {
    enter(inside_);
    const auto end = run_program("ping", {"-c", "1", "-w", "5", "-e", "77", std::string{host}}, "");
    enter(gateway_);
    return end.value().exit_code;
  }

  auto found(const FlowTuple& tuple) -> std::optional<Flow> {
    auto answer = conntrack().find(tuple);
    if (!answer) throw std::runtime_error(to_string(answer.error()));
    return *answer;
  }
  auto created(const FlowTuple& original, const Endpoint& leaves_as, Seconds lifetime = Seconds{600}) -> int {
    const auto done = conntrack().create(original, leaves_as, lifetime);
    return done ? 0 : done.error().number;
  }
  static void send(UdpSocket& from, const Endpoint& to, std::string_view text) {
    const OutgoingDatagram datagram{.destination = to, .payload = octets_of(text)};
    ASSERT_EQ(from.send(datagram).sent, 1U) << text;
  }
  /// "TEXT from ENDPOINT" of the next datagram.
  static auto received(UdpSocket& at) -> std::string {
    if (!wait_readable(at.descriptor())) return "nothing";
    const auto batch = at.receive();
    if (!batch || batch->empty()) return "an error";
    const auto& datagram = batch->front();
    return fmt::format("{} from {}", text_of(datagram.payload), to_string(datagram.source));
  }

  const Endpoint client = endpoint("198.51.100.7", 4000);
  const Endpoint mapped = endpoint("192.0.2.1", 20000);
  const Endpoint peer = endpoint("192.0.2.9", 5000);
  const FlowTuple outbound{.protocol = Protocol::udp, .source = client, .destination = peer};

 private:
  static auto here() -> FileDescriptor {
    return FileDescriptor{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
  }
  static void enter(const FileDescriptor& network) { ASSERT_EQ(::setns(network.get(), CLONE_NEWNET), 0); }
  /// It would hold up the first packets for seconds.
  static void skip_duplicate_detection() {
    ASSERT_TRUE(write_sysctl("net.ipv6.conf.default.dad_transmits", "0"));
  }
  static void run(const std::string& program, std::vector<std::string> arguments,
                  std::string_view input = {}) {
    const auto end = run_program(program, std::move(arguments), input);
    ASSERT_TRUE(end) << end.error();
    ASSERT_EQ(end->exit_code, 0) << end->errors;
  }
  static void ip(const std::string& lines) { run("ip", {"-batch", "-"}, lines); }
  /// A network namespace with an eth0 that leads to `link` of the gateway, which is .1 and the host .7 and
  /// .9.
  void add_host(FileDescriptor& network, std::string_view link, std::string_view net4,
                std::string_view net6) {
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
    network = here();
    skip_duplicate_detection();
    enter(gateway_);
    ip(
        fmt::format("link add {0} type veth peer name eth0 netns /proc/{1}/fd/{2}\n"
                    "address add {3}.1/24 dev {0}\naddress add {4}:1/64 dev {0} nodad\nlink set {0} up\n",
                    link, ::getpid(), network.get(), net4, net6));
    enter(network);
    ip(
        fmt::format("link set lo up\naddress add {0}.7/24 dev eth0\naddress add {0}.9/24 dev eth0\n"
                    "address add {1}:7/64 dev eth0 nodad\nlink set eth0 up\n"
                    "route add default via {0}.1\nroute add default via {1}:1\n",
                    net4, net6));
    enter(gateway_);
  }
  auto udp(const FileDescriptor& network, std::string_view at, unsigned port) -> UdpSocket {
    enter(network);
    auto opened =
        UdpSocket::open({.bind_address = address(at), .bind_port = Port{static_cast<std::uint16_t>(port)}});
    enter(gateway_);
    if (!opened) throw std::runtime_error(opened.error());
    return std::move(*opened);
  }
  auto tcp(const FileDescriptor& network, const Endpoint& at) -> FileDescriptor {
    enter(network);
    FileDescriptor made{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    enter(gateway_);
    const auto name = socket_address(at);
    EXPECT_EQ(::bind(made.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return made;
  }

  FileDescriptor gateway_;
  FileDescriptor inside_;
  FileDescriptor outside_;
  std::optional<Conntrack> conntrack_;
};

TEST_F(ConntrackTest, flow_of_a_host_is_found_by_both_its_tuples) {
  UdpSocket host = udp_inside("198.51.100.7", 4000);
  UdpSocket far = udp_outside("192.0.2.9", 5000);
  EXPECT_FALSE(found(outbound));
  send(host, peer, "hello");
  ASSERT_TRUE(wait_readable(far.descriptor()));
  const auto flow = found(outbound);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->original, outbound);
  EXPECT_EQ(flow->reply.source, peer);
  EXPECT_EQ(flow->reply.destination.address, mapped.address);
  EXPECT_GE(flow->reply.destination.port, Port{40000});
  EXPECT_EQ(flow->status & IPS_SRC_NAT, IPS_SRC_NAT);
  EXPECT_GT(flow->expires_in, Seconds{0});
  EXPECT_EQ(found(flow->reply).value().original, outbound);
  EXPECT_FALSE(found(outbound.reversed()));
}

TEST_F(ConntrackTest, created_flow_leaves_from_its_mapped_port_and_answers_come_back) {
  UdpSocket host = udp_inside("198.51.100.7", 4000);
  UdpSocket far = udp_outside("192.0.2.9", 5000);
  ASSERT_EQ(created(outbound, mapped), 0);
  const auto flow = found(outbound);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->reply, (FlowTuple{Protocol::udp, peer, mapped}));
  EXPECT_EQ(flow->status & (IPS_ASSURED | IPS_SEEN_REPLY | IPS_SRC_NAT), IPS_ASSURED | IPS_SRC_NAT);
  EXPECT_GT(flow->expires_in, Seconds{590});
  EXPECT_LE(flow->expires_in, Seconds{600});

  send(host, peer, "hello");
  EXPECT_EQ(received(far), "hello from 192.0.2.1:20000");
  send(far, mapped, "answer");
  EXPECT_EQ(received(host), "answer from 192.0.2.9:5000");
  EXPECT_LE(found(outbound).value().expires_in, Seconds{300});  // as of all flows with packets
}

TEST_F(ConntrackTest, created_flow_lets_its_peer_begin_and_nobody_else) {
  UdpSocket host = udp_inside("198.51.100.7", 4000);
  UdpSocket far = udp_outside("192.0.2.9", 5000);
  UdpSocket stranger = udp_outside("192.0.2.7", 5000);
  ASSERT_EQ(created(outbound, mapped), 0);
  send(stranger, mapped, "let me in");
  send(far, mapped, "first");
  EXPECT_EQ(received(host), "first from 192.0.2.9:5000");
  send(host, peer, "second");
  EXPECT_EQ(received(far), "second from 192.0.2.1:20000");
}

TEST_F(ConntrackTest, removed_flow_lets_nobody_in) {
  UdpSocket host = udp_inside("198.51.100.7", 4000);
  UdpSocket far = udp_outside("192.0.2.9", 5000);
  ASSERT_EQ(created(outbound, mapped), 0);
  EXPECT_TRUE(conntrack().remove({Protocol::udp, peer, mapped}).value());  // by its answers
  EXPECT_FALSE(conntrack().remove(outbound).value());
  EXPECT_FALSE(found(outbound));
  send(far, mapped, "late");
  // What the host sends next is a new flow, elsewhere.
  send(host, peer, "new");
  const auto heard = received(far);
  EXPECT_THAT(heard, ::testing::StartsWith("new from 192.0.2.1:4"));
  send(far, found(outbound).value().reply.destination, "answer");
  EXPECT_EQ(received(host), "answer from 192.0.2.9:5000");
}

TEST_F(ConntrackTest, tcp_opens_on_a_created_flow) {
  const FlowTuple stream{.protocol = Protocol::tcp, .source = client, .destination = peer};
  const FileDescriptor server = listener(peer);
  ASSERT_EQ(created(stream, mapped), 0);
  const FileDescriptor host = tcp_inside(client);
  const auto there = socket_address(peer);
  ASSERT_EQ(::connect(host.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there), 0)
      << errno_text("connect", errno);
  ASSERT_TRUE(wait_readable(server.get()));
  sockaddr_in from{};
  socklen_t size = sizeof from;
  const FileDescriptor accepted{::accept(server.get(), reinterpret_cast<sockaddr*>(&from), &size)};
  ASSERT_TRUE(accepted);
  EXPECT_EQ(ntohs(from.sin_port), 20000);
  EXPECT_EQ(ntohl(from.sin_addr.s_addr), mapped.address.ipv4().value);
  ASSERT_EQ(::send(accepted.get(), "data", 4, 0), 4);
  ASSERT_TRUE(wait_readable(host.get()));
  std::array<char, 8> data{};
  EXPECT_EQ(::recv(host.get(), data.data(), data.size(), 0), 4);
  const auto flow = found(stream);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->status & IPS_SEEN_REPLY, IPS_SEEN_REPLY);
  EXPECT_GT(flow->expires_in, Seconds{600});  // that of streams that are open
}

TEST_F(ConntrackTest, tcp_that_the_peer_begins_opens_on_a_created_flow) {
  const FlowTuple stream{.protocol = Protocol::tcp, .source = client, .destination = peer};
  ASSERT_EQ(created(stream, mapped), 0);
  // The host waits for it, as with a mapping.
  const FileDescriptor server = tcp_inside(client);
  ASSERT_EQ(::listen(server.get(), 1), 0);
  const FileDescriptor far = tcp_outside(peer);
  const auto there = socket_address(mapped);
  EXPECT_EQ(::connect(far.get(), reinterpret_cast<const sockaddr*>(&there), sizeof there), 0)
      << errno_text("connect", errno);
}

TEST_F(ConntrackTest, flow_that_is_there_is_not_made_again) {
  ASSERT_EQ(created(outbound, mapped, Seconds{600}), 0);
  EXPECT_EQ(created(outbound, mapped, Seconds{9000}), EEXIST);
  EXPECT_EQ(created(outbound, endpoint("192.0.2.1", 20001), Seconds{9000}), EEXIST);
  // Another host, whose answers would be the same.
  const FlowTuple other{
      .protocol = Protocol::udp, .source = endpoint("198.51.100.9", 4000), .destination = peer};
  EXPECT_EQ(created(other, mapped), EEXIST);
  EXPECT_FALSE(found(other));
  EXPECT_LE(found(outbound).value().expires_in, Seconds{600});
  // To another peer the mapped port serves again.
  const FlowTuple elsewhere{
      .protocol = Protocol::udp, .source = client, .destination = endpoint("192.0.2.7", 5000)};
  EXPECT_EQ(created(elsewhere, mapped), 0);
}

TEST_F(ConntrackTest, flow_is_kept_longer_or_shorter) {
  ASSERT_EQ(created(outbound, mapped), 0);
  ASSERT_TRUE(conntrack().keep(outbound, Seconds{86400}));
  EXPECT_GT(found(outbound).value().expires_in, Seconds{86300});
  EXPECT_LE(found(outbound).value().expires_in, Seconds{86400});
  ASSERT_TRUE(conntrack().keep(outbound, Seconds{50}));
  EXPECT_LE(found(outbound).value().expires_in, Seconds{50});
  ASSERT_TRUE(conntrack().keep(outbound, Seconds::max()));
  EXPECT_GT(found(outbound).value().expires_in, Seconds{86400});
  const auto missing = conntrack().keep(outbound.reversed(), Seconds{5});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().number, ENOENT);
}

TEST_F(ConntrackTest, flow_of_a_host_can_be_kept) {
  UdpSocket host = udp_inside("198.51.100.7", 4000);
  UdpSocket far = udp_outside("192.0.2.9", 5000);
  send(host, peer, "hello");
  ASSERT_TRUE(wait_readable(far.descriptor()));
  ASSERT_TRUE(conntrack().keep(outbound, Seconds{7200}));
  EXPECT_GT(found(outbound).value().expires_in, Seconds{7000});
}

TEST_F(ConntrackTest, source_that_is_its_own_mapping_is_not_translated) {
  const FlowTuple plain{
      .protocol = Protocol::udp, .source = endpoint("192.0.2.1", 4000), .destination = peer};
  ASSERT_EQ(created(plain, plain.source), 0);
  EXPECT_EQ(found(plain).value().reply, plain.reversed());
  EXPECT_EQ(found(plain).value().status & IPS_NAT_MASK, 0U);
}

TEST_F(ConntrackTest, ipv6_flow_lets_its_peer_begin) {
  UdpSocket host = udp_inside("2001:db8:1::7", 4000);
  UdpSocket far = udp_outside("2001:db8:2::7", 5000);
  const FlowTuple flow{.protocol = Protocol::udp,
                       .source = endpoint("2001:db8:1::7", 4000),
                       .destination = endpoint("2001:db8:2::7", 5000)};
  ASSERT_EQ(created(flow, flow.source), 0);
  EXPECT_EQ(found(flow).value().reply, flow.reversed());
  EXPECT_EQ(found(flow.reversed()).value().original, flow);
  send(far, flow.source, "first");
  EXPECT_EQ(received(host), "first from [2001:db8:2::7]:5000");
  ASSERT_TRUE(conntrack().keep(flow, Seconds{4000}));
  EXPECT_GT(found(flow).value().expires_in, Seconds{3900});
  EXPECT_TRUE(conntrack().remove(flow).value());
  EXPECT_FALSE(conntrack().remove(flow).value());
}

TEST_F(ConntrackTest, ipv6_flow_can_be_translated_too) {
  UdpSocket host = udp_inside("2001:db8:1::7", 4000);
  UdpSocket far = udp_outside("2001:db8:2::7", 5000);
  const FlowTuple flow{.protocol = Protocol::udp,
                       .source = endpoint("2001:db8:1::7", 4000),
                       .destination = endpoint("2001:db8:2::7", 5000)};
  ASSERT_EQ(created(flow, endpoint("2001:db8:2::1", 20000)), 0);
  send(host, flow.destination, "hello");
  EXPECT_EQ(received(far), "hello from [2001:db8:2::1]:20000");
}

TEST_F(ConntrackTest, echo_is_found_by_its_identifier) {
  ASSERT_EQ(ping_outside("192.0.2.9"), 0);
  const FlowTuple echo{.protocol = Protocol::icmp,
                       .source = endpoint("198.51.100.7", 77),
                       .destination = endpoint("192.0.2.9", 77)};
  const auto flow = found(echo);
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->original, echo);
  EXPECT_EQ(flow->reply.protocol, Protocol::icmp);
  EXPECT_EQ(flow->reply.source.address, address("192.0.2.9"));
  EXPECT_EQ(found(flow->reply).value().original, echo);
  EXPECT_TRUE(conntrack().remove(flow->reply).value());
  EXPECT_FALSE(found(echo));
}

TEST_F(ConntrackTest, protocols_without_ports_are_flows_too) {
  const FlowTuple tunnel{.protocol = Protocol{50},
                         .source = endpoint("198.51.100.7", 0),
                         .destination = endpoint("192.0.2.9", 0)};
  ASSERT_EQ(created(tunnel, endpoint("192.0.2.1", 0)), 0);
  EXPECT_EQ(found(tunnel).value().reply.destination, endpoint("192.0.2.1", 0));
}

TEST_F(ConntrackTest, sctp_flows_have_ports) {
  const FlowTuple association{.protocol = Protocol::sctp, .source = client, .destination = peer};
  ASSERT_EQ(created(association, mapped), 0);
  EXPECT_EQ(found(association).value().reply, (FlowTuple{Protocol::sctp, peer, mapped}));
}

TEST_F(ConntrackTest, tuple_of_two_families_is_refused) {
  EXPECT_NE(created({.protocol = Protocol::udp, .source = client, .destination = endpoint("2001:db8::1", 1)},
                    mapped),
            0);
  EXPECT_NE(created(outbound, endpoint("2001:db8::1", 1)), 0);
}

TEST_F(ConntrackTest, flows_wanted_are_listed) {
  constexpr unsigned many = 3000;
  for (unsigned number = 0; number < many; ++number) {
    const FlowTuple flow{
        .protocol = Protocol::udp, .source = endpoint("198.51.100.7", 1000 + number), .destination = peer};
    ASSERT_EQ(created(flow, endpoint("192.0.2.1", 10000 + number)), 0);
  }
  const FlowTuple six{.protocol = Protocol::tcp,
                      .source = endpoint("2001:db8:1::7", 1),
                      .destination = endpoint("2001:db8:2::7", 2)};
  ASSERT_EQ(created(six, six.source), 0);
  const auto all = [](const Flow&) { return true; };
  EXPECT_THAT(conntrack().list(Family::ipv4, all).value(), SizeIs(many));
  const auto of_six = conntrack().list(Family::ipv6, all).value();
  ASSERT_THAT(of_six, SizeIs(1));
  EXPECT_EQ(of_six.front().original, six);
  const auto one = conntrack().list(
      Family::ipv4, [](const Flow& flow) { return flow.reply.destination.port == Port{10007}; });
  ASSERT_THAT(one.value(), SizeIs(1));
  EXPECT_EQ(one->front().original.source, endpoint("198.51.100.7", 1007));
  EXPECT_GT(one->front().expires_in, Seconds{500});
}

TEST_F(ConntrackTest, end_of_a_flow_is_told) {
  auto watch = FlowWatch::open();
  ASSERT_TRUE(watch) << watch.error();
  std::vector<Flow> ended;
  const auto note = [&](const Flow& flow) { ended.push_back(flow); };
  ASSERT_EQ(created(outbound, mapped), 0);
  ASSERT_TRUE(conntrack().keep(outbound, Seconds{300}));
  EXPECT_TRUE(watch->take(note));
  EXPECT_THAT(ended, IsEmpty());
  ASSERT_TRUE(conntrack().remove(outbound).value());
  ASSERT_TRUE(wait_readable(watch->descriptor()));
  EXPECT_TRUE(watch->take(note));
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended.front().original, outbound);
  EXPECT_EQ(ended.front().reply, (FlowTuple{Protocol::udp, peer, mapped}));
}

TEST_F(ConntrackTest, flow_that_ran_out_is_told) {
  auto watch = FlowWatch::open();
  ASSERT_TRUE(watch) << watch.error();
  ASSERT_EQ(created(outbound, mapped, Seconds{1}), 0);
  const TimePoint limit = monotonic_now() + Seconds{10};
  while (found(outbound)) ASSERT_LT(monotonic_now(), limit);
  ASSERT_TRUE(wait_readable(watch->descriptor()));
  std::vector<FlowTuple> ended;
  EXPECT_TRUE(watch->take([&](const Flow& flow) { ended.push_back(flow.original); }));
  EXPECT_THAT(ended, ElementsAre(outbound));
}

TEST_F(ConntrackTest, lost_words_are_told) {
  auto watch = FlowWatch::open();
  ASSERT_TRUE(watch) << watch.error();
  const int room = 1;  // the kernel makes it the least there is
  ASSERT_EQ(::setsockopt(watch->descriptor(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
  constexpr unsigned many = 200;
  for (unsigned number = 0; number < many; ++number) {
    FlowTuple flow = outbound;
    flow.source.port = Port{static_cast<std::uint16_t>(1000 + number)};
    ASSERT_EQ(created(flow, flow.source), 0);
    ASSERT_TRUE(conntrack().remove(flow).value());
  }
  unsigned count = 0;
  EXPECT_FALSE(watch->take([&](const Flow&) { ++count; }));
  EXPECT_LT(count, many);
  EXPECT_TRUE(watch->take([](const Flow&) {}));
}

}  // namespace
}  // namespace portolan::io
