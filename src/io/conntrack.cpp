// SPDX-License-Identifier: BSD-2-Clause
#include "io/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include "io/netlink_request.h"

namespace portolan::io {
namespace {

constexpr auto type_of(unsigned message) -> std::uint16_t {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8U | message);
}

auto request_of(unsigned message, unsigned flags, Family family) -> Request {
  nfgenmsg header{};
  header.nfgen_family = family == Family::ipv4 ? AF_INET : AF_INET6;
  header.version = NFNETLINK_V0;
  return {type_of(message), flags, header};
}

/// The number of an attribute is that of IPv4 and, `to_ipv6` further, that of IPv6.
void put_address(nlmsghdr* message, std::uint16_t attribute, std::uint16_t to_ipv6,
                 const IpAddress& address) {
  const auto& octets = address.bits().octets;
  if (address.is_ipv4()) return mnl_attr_put(message, attribute, 4, octets.data() + 12);
  mnl_attr_put(message, static_cast<std::uint16_t>(attribute + to_ipv6), octets.size(), octets.data());
}

auto read_address(const nlattr* attribute) -> IpAddress {
  Ipv6Address address;
  if (mnl_attr_get_payload_len(attribute) == address.octets.size()) {
    std::memcpy(address.octets.data(), mnl_attr_get_payload(attribute), address.octets.size());
    return IpAddress{address};
  }
  std::uint32_t value = 0;
  if (mnl_attr_get_payload_len(attribute) == sizeof value)
    std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return IpAddress{Ipv4Address{ntohl(value)}};
}

auto read_port(const nlattr* attribute) -> Port { return Port{ntohs(mnl_attr_get_u16(attribute))}; }

/// How the kernel's tuples of a protocol tell flows between the same two hosts apart.
enum class Marks : std::uint8_t { none, ports, identifier };

auto marks_of(Protocol protocol) -> Marks {
  switch (static_cast<int>(protocol)) {
    case IPPROTO_TCP:
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE:
    case IPPROTO_SCTP:
    case IPPROTO_DCCP:
    case IPPROTO_GRE: return Marks::ports;
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: return Marks::identifier;
    default: return Marks::none;
  }
}

/// In  is_answer: of ICMP, echo replies instead of requests; otherwise of no meaning
void put_tuple(nlmsghdr* message, std::uint16_t attribute, const FlowTuple& tuple, bool is_answer) {
  nlattr* nest = mnl_attr_nest_start(message, attribute);
  nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
  put_address(message, CTA_IP_V4_SRC, CTA_IP_V6_SRC - CTA_IP_V4_SRC, tuple.source.address);
  put_address(message, CTA_IP_V4_DST, CTA_IP_V6_DST - CTA_IP_V4_DST, tuple.destination.address);
  mnl_attr_nest_end(message, addresses);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, static_cast<std::uint8_t>(tuple.protocol));
  const auto source = htons(tuple.source.port.value);
  switch (marks_of(tuple.protocol)) {
    case Marks::ports:
      mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, source);
      mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(tuple.destination.port.value));
      break;
    case Marks::identifier: {
      const bool is_old = tuple.protocol == Protocol::icmp;
      const int type = is_old ? (is_answer ? ICMP_ECHOREPLY : ICMP_ECHO)
                              : (is_answer ? ICMP6_ECHO_REPLY : ICMP6_ECHO_REQUEST);
      mnl_attr_put_u16(message, is_old ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID, source);
      mnl_attr_put_u8(message, is_old ? CTA_PROTO_ICMP_TYPE : CTA_PROTO_ICMPV6_TYPE,
                      static_cast<std::uint8_t>(type));
      mnl_attr_put_u8(message, is_old ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, 0);
      break;
    }
    case Marks::none: break;
  }
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, nest);
}

auto read_tuple(const nlattr* attribute) -> FlowTuple {
  FlowTuple tuple{.protocol = Protocol::all, .source = {}, .destination = {}};
  const auto read_ip = [&](int type, const nlattr* part) {
    if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC) tuple.source.address = read_address(part);
    if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST) tuple.destination.address = read_address(part);
  };
  const auto read_protocol = [&](int type, const nlattr* part) {
    if (type == CTA_PROTO_NUM) tuple.protocol = static_cast<Protocol>(mnl_attr_get_u8(part));
    if (type == CTA_PROTO_SRC_PORT) tuple.source.port = read_port(part);
    if (type == CTA_PROTO_DST_PORT) tuple.destination.port = read_port(part);
    if (type == CTA_PROTO_ICMP_ID || type == CTA_PROTO_ICMPV6_ID)
      tuple.source.port = tuple.destination.port = read_port(part);
  };
  for_each_nested(attribute, [&](int type, const nlattr* part) {
    if (type == CTA_TUPLE_IP) for_each_nested(part, read_ip);
    if (type == CTA_TUPLE_PROTO) for_each_nested(part, read_protocol);
  });
  return tuple;
}

auto read_flow(const nlmsghdr* message) -> Flow {
  Flow flow{.original = {}, .reply = {}};
  for_each_attribute<nfgenmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == CTA_TUPLE_ORIG) flow.original = read_tuple(attribute);
    if (type == CTA_TUPLE_REPLY) flow.reply = read_tuple(attribute);
    if (type == CTA_TIMEOUT) flow.expires_in = Seconds{ntohl(mnl_attr_get_u32(attribute))};
    if (type == CTA_STATUS) flow.status = ntohl(mnl_attr_get_u32(attribute));
  });
  return flow;
}

void put_lifetime(nlmsghdr* message, Seconds lifetime) {
  constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
  mnl_attr_put_u32(message, CTA_TIMEOUT,
                   htonl(static_cast<std::uint32_t>(std::clamp<std::int64_t>(lifetime.count(), 0, most))));
}

/// Has the kernel map the source to `mapped`, and nothing else.
void put_source_mapping(nlmsghdr* message, Protocol protocol, const Endpoint& mapped) {
  nlattr* nest = mnl_attr_nest_start(message, CTA_NAT_SRC);
  for (const std::uint16_t bound : {CTA_NAT_V4_MINIP, CTA_NAT_V4_MAXIP})
    put_address(message, bound, CTA_NAT_V6_MINIP - CTA_NAT_V4_MINIP, mapped.address);
  if (marks_of(protocol) != Marks::none) {
    nlattr* ports = mnl_attr_nest_start(message, CTA_NAT_PROTO);
    for (const std::uint16_t bound : {CTA_PROTONAT_PORT_MIN, CTA_PROTONAT_PORT_MAX})
      mnl_attr_put_u16(message, bound, htons(mapped.port.value));
    mnl_attr_nest_end(message, ports);
  }
  mnl_attr_nest_end(message, nest);
}

}  // namespace

struct Conntrack::State {
  NetlinkSocket socket;

  auto carry_out(Request& request, const char* operation) -> std::expected<void, SystemError>;
  template <typename Ask>
  auto either_way(const FlowTuple& tuple, Ask ask) -> std::expected<bool, SystemError>;
};

Conntrack::Conntrack(std::unique_ptr<State> state) : state_(std::move(state)) {}
Conntrack::Conntrack(Conntrack&&) noexcept = default;
auto Conntrack::operator=(Conntrack&&) noexcept -> Conntrack& = default;
Conntrack::~Conntrack() = default;

auto Flow::is_answered() const -> bool { return (status & IPS_SEEN_REPLY) != 0; }
auto Flow::is_translated() const -> bool { return (status & IPS_NAT_MASK) != 0; }

auto Conntrack::open() -> std::expected<Conntrack, std::string> {
  Conntrack conntrack{std::make_unique<State>()};
  if (const auto opened = conntrack.state_->socket.open(NETLINK_NETFILTER); !opened)
    return std::unexpected(fmt::format("connection tracking: {}", to_string(opened.error())));
  // The first question to see whether questions are answered.
  const Endpoint nobody{.address = IpAddress{Ipv4Address{}}, .port = {}};
  if (const auto found = conntrack.find({.source = nobody, .destination = nobody}); !found) {
    const int number = found.error().number;
    if (number == EPERM) return std::unexpected("connection tracking: needs CAP_NET_ADMIN");
    if (number == EOPNOTSUPP || number == EINVAL)
      return std::unexpected(
          "connection tracking: this kernel does not tell of it (modprobe nf_conntrack_netlink)");
    return std::unexpected(fmt::format("connection tracking: {}", to_string(found.error())));
  }
  return conntrack;
}

auto Conntrack::State::carry_out(Request& request, const char* operation)
    -> std::expected<void, SystemError> {
  const auto answer = socket.ask(request);
  if (answer) return {};
  return std::unexpected(SystemError{.number = answer.error().number, .operation = operation});
}

/// The kernel finds a flow by either of its tuples, whichever it is told it is. Only of ICMP one has to know
/// whether it is the answers'. False: there is none.
template <typename Ask>
auto Conntrack::State::either_way(const FlowTuple& tuple, Ask ask) -> std::expected<bool, SystemError> {
  for (const bool is_answer : {false, true}) {
    if (is_answer && marks_of(tuple.protocol) != Marks::identifier) break;
    const std::expected<void, SystemError> done = ask(is_answer);
    if (done) return true;
    if (done.error().number != ENOENT) return std::unexpected(done.error());
  }
  return false;
}

auto Conntrack::find(const FlowTuple& tuple) -> std::expected<std::optional<Flow>, SystemError> {
  Flow flow;
  const auto found = state_->either_way(tuple, [&](bool is_answer) -> std::expected<void, SystemError> {
    auto request = request_of(IPCTNL_MSG_CT_GET, NLM_F_ACK, tuple.source.address.family());
    put_tuple(*request, CTA_TUPLE_ORIG, tuple, is_answer);
    const auto answer =
        state_->socket.ask(request, [&](const nlmsghdr* message) { flow = read_flow(message); });
    if (answer) return {};
    return std::unexpected(SystemError{.number = answer.error().number, .operation = "IPCTNL_MSG_CT_GET"});
  });
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::nullopt;
  return flow;
}

auto Conntrack::create(const FlowTuple& original, const Endpoint& mapped_source, Seconds lifetime)
    -> std::expected<void, SystemError> {
  // The kernel passes over a mapped source of another family.
  const Family family = original.source.address.family();
  if (original.destination.address.family() != family || mapped_source.address.family() != family)
    return std::unexpected(SystemError{.number = EINVAL, .operation = "IPCTNL_MSG_CT_NEW"});
  auto request = request_of(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, family);
  put_tuple(*request, CTA_TUPLE_ORIG, original, false);
  // The kernel makes of it what answers to the mapped source are.
  put_tuple(*request, CTA_TUPLE_REPLY, original.reversed(), true);
  if (mapped_source != original.source) put_source_mapping(*request, original.protocol, mapped_source);
  // Assured: it stays when the table is full. It has seen no answer: to rules the first packet is a new
  // flow's.
  mnl_attr_put_u32(*request, CTA_STATUS, htonl(IPS_CONFIRMED | IPS_ASSURED));
  put_lifetime(*request, lifetime);
  if (original.protocol == Protocol::tcp) {
    // As after a SYN that was lost: one of either side may follow.
    nlattr* information = mnl_attr_nest_start(*request, CTA_PROTOINFO);
    nlattr* tcp = mnl_attr_nest_start(*request, CTA_PROTOINFO_TCP);
    mnl_attr_put_u8(*request, CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_SYN_SENT);
    mnl_attr_nest_end(*request, tcp);
    mnl_attr_nest_end(*request, information);
  }
  return state_->carry_out(request, "IPCTNL_MSG_CT_NEW");
}

auto Conntrack::keep(const FlowTuple& original, Seconds lifetime) -> std::expected<void, SystemError> {
  auto request = request_of(IPCTNL_MSG_CT_NEW, NLM_F_ACK, original.source.address.family());
  put_tuple(*request, CTA_TUPLE_ORIG, original, false);
  put_lifetime(*request, lifetime);
  return state_->carry_out(request, "IPCTNL_MSG_CT_NEW");
}

auto Conntrack::remove(const FlowTuple& tuple) -> std::expected<bool, SystemError> {
  return state_->either_way(tuple, [&](bool is_answer) {
    auto request = request_of(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, tuple.source.address.family());
    // Without a tuple it would be all flows.
    put_tuple(*request, CTA_TUPLE_ORIG, tuple, is_answer);
    return state_->carry_out(request, "IPCTNL_MSG_CT_DELETE");
  });
}

auto Conntrack::list(Family family, const std::function<bool(const Flow&)>& wanted)
    -> std::expected<std::vector<Flow>, SystemError> {
  auto request = request_of(IPCTNL_MSG_CT_GET, NLM_F_DUMP, family);
  auto listed = state_->socket.list<Flow>(request, [&](const nlmsghdr* message, auto& flows) {
    const Flow flow = read_flow(message);
    if (wanted(flow)) flows.push_back(flow);
  });
  if (listed) return std::move(*listed);
  return std::unexpected(SystemError{.number = listed.error().number, .operation = "IPCTNL_MSG_CT_GET"});
}

struct FlowWatch::State {
  std::unique_ptr<mnl_socket, Closer> socket;
  alignas(nlmsghdr) std::array<std::byte, 32768> words{};
};

FlowWatch::FlowWatch(std::unique_ptr<State> state) : state_(std::move(state)) {}
FlowWatch::FlowWatch(FlowWatch&&) noexcept = default;
auto FlowWatch::operator=(FlowWatch&&) noexcept -> FlowWatch& = default;
FlowWatch::~FlowWatch() = default;

auto FlowWatch::open() -> std::expected<FlowWatch, std::string> {
  auto state = std::make_unique<State>();
  state->socket.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!state->socket)
    return std::unexpected(fmt::format("connection tracking: {}", errno_text("netlink socket", errno)));
  // Many flows end at once. Room, not memory.
  constexpr int room = 8 << 20;
  const int descriptor = mnl_socket_get_fd(state->socket.get());
  if (::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
    static_cast<void>(::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
  if (mnl_socket_bind(state->socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(fmt::format("connection tracking: {}", errno_text("netlink bind", errno)));
  int group = NFNLGRP_CONNTRACK_DESTROY;
  if (mnl_socket_setsockopt(state->socket.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
    return std::unexpected(
        fmt::format("connection tracking: {}", errno_text("NETLINK_ADD_MEMBERSHIP", errno)));
  return FlowWatch{std::move(state)};
}

auto FlowWatch::descriptor() const -> int { return mnl_socket_get_fd(state_->socket.get()); }

auto FlowWatch::take(const std::function<void(const Flow&)>& ended) -> bool {
  bool is_all = true;
  for (;;) {
    const auto got = ::recv(descriptor(), state_->words.data(), state_->words.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      is_all = false;
      continue;
    }
    if (got < 0) return is_all;
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(state_->words.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      if (message->nlmsg_type == type_of(IPCTNL_MSG_CT_DELETE)) ended(read_flow(message));
  }
}

}  // namespace portolan::io
