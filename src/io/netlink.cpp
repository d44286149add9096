// SPDX-License-Identifier: BSD-2-Clause
#include "io/netlink.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {
namespace {

auto family_number(const IpAddress& address) -> std::uint8_t {
  return address.is_ipv4() ? AF_INET : AF_INET6;
}

/// Length in bits of the prefix's own family.
auto own_length(const Prefix& prefix) -> std::uint8_t {
  return static_cast<std::uint8_t>(prefix.address().is_ipv4() ? prefix.length() - 96 : prefix.length());
}

void put_address(nlmsghdr* message, std::uint16_t attribute, const IpAddress& address) {
  const auto& octets = address.bits().octets;
  const std::size_t skipped = address.is_ipv4() ? 12 : 0;
  mnl_attr_put(message, attribute, octets.size() - skipped, octets.data() + skipped);
}

/// By IFLA_LINKINFO; 0 of what is no TUN with several queues.
auto tun_queues_of(const nlattr* link) -> unsigned {
  bool is_tun = false;
  unsigned queues = 0;
  for_each_nested(link, [&](int type, const nlattr* part) {
    // The kind comes before its data.
    if (type == IFLA_INFO_KIND) is_tun = mnl_attr_get_str(part) == std::string_view("tun");
    if (!is_tun || type != IFLA_INFO_DATA) return;
    for_each_nested(part, [&](int what, const nlattr* value) {
      if (what == IFLA_TUN_NUM_QUEUES || what == IFLA_TUN_NUM_DISABLED_QUEUES)
        queues += mnl_attr_get_u32(value);
    });
  });
  return queues;
}

}  // namespace

Netlink::Netlink(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
Netlink::Netlink(Netlink&&) noexcept = default;
auto Netlink::operator=(Netlink&&) noexcept -> Netlink& = default;
Netlink::~Netlink() = default;

auto Netlink::open() -> std::expected<Netlink, std::string> {
  auto socket = std::make_unique<Socket>();
  if (const auto opened = socket->open(NETLINK_ROUTE); !opened)
    return std::unexpected(to_string(opened.error()));
  return Netlink{std::move(socket)};
}

auto Netlink::find_interface(std::string_view name) -> std::expected<std::optional<Interface>, std::string> {
  if (name.empty() || name.size() >= IFNAMSIZ) return std::nullopt;
  Request request{RTM_GETLINK, 0, ifinfomsg{}};
  const std::string terminated{name};
  mnl_attr_put_strz(*request, IFLA_IFNAME, terminated.c_str());
  Interface found;
  const auto answer = socket_->ask(request, [&](const nlmsghdr* message) {
    const auto header = header_of<ifinfomsg>(message);
    found.index = static_cast<unsigned>(header.ifi_index);
    found.is_up = (header.ifi_flags & IFF_UP) != 0;
    for_each_attribute<ifinfomsg>(message, [&](int type, const nlattr* attribute) {
      if (type == IFLA_IFNAME) found.name = mnl_attr_get_str(attribute);
      if (type == IFLA_MTU) found.mtu = mnl_attr_get_u32(attribute);
      if (type == IFLA_TXQLEN) found.tx_queue_length = mnl_attr_get_u32(attribute);
      if (type == IFLA_ADDRESS && mnl_attr_get_payload_len(attribute) == 6)
        std::memcpy(found.link_address.emplace().data(), mnl_attr_get_payload(attribute), 6);
      if (type == IFLA_LINKINFO) found.tun_queues = tun_queues_of(attribute);
    });
  });
  if (answer) return found;
  if (answer.error().number == ENODEV) return std::nullopt;
  return std::unexpected(fmt::format("interface {}: {}", name, to_string(answer.error())));
}

auto Netlink::interface(std::string_view name) -> std::expected<Interface, std::string> {
  auto found = find_interface(name);
  if (!found) return std::unexpected(std::move(found.error()));
  if (!*found) return std::unexpected(fmt::format("interface {} does not exist", name));
  return std::move(**found);
}

auto Netlink::set_link(unsigned interface_index, const LinkSettings& settings)
    -> std::expected<void, std::string> {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(interface_index);
  if (settings.is_up) {
    header.ifi_change = IFF_UP;
    header.ifi_flags = *settings.is_up ? IFF_UP : 0;
  }
  Request request{RTM_NEWLINK, NLM_F_ACK, header};
  if (settings.mtu) mnl_attr_put_u32(*request, IFLA_MTU, *settings.mtu);
  if (settings.tx_queue_length) mnl_attr_put_u32(*request, IFLA_TXQLEN, *settings.tx_queue_length);
  if (settings.has_link_local) {
    nlattr* families = mnl_attr_nest_start(*request, IFLA_AF_SPEC);
    nlattr* ipv6 = mnl_attr_nest_start(*request, AF_INET6);
    mnl_attr_put_u8(*request, IFLA_INET6_ADDR_GEN_MODE,
                    *settings.has_link_local ? IN6_ADDR_GEN_MODE_EUI64 : IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(*request, ipv6);
    mnl_attr_nest_end(*request, families);
  }
  const auto answer = socket_->ask(request);
  if (answer) return {};
  return std::unexpected(fmt::format("interface {}: {}", interface_index, to_string(answer.error())));
}

auto Netlink::addresses(unsigned interface_index)
    -> std::expected<std::vector<InterfaceAddress>, std::string> {
  Request request{RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}};
  auto answer = socket_->list<InterfaceAddress>(request, [&](const nlmsghdr* message, auto& found) {
    const auto header = header_of<ifaddrmsg>(message);
    if (header.ifa_index != interface_index) return;
    InterfaceAddress entry{.prefix_length = header.ifa_prefixlen,
                           .is_tentative = (header.ifa_flags & IFA_F_TENTATIVE) != 0};
    bool has_local = false;
    for_each_attribute<ifaddrmsg>(message, [&](int type, const nlattr* attribute) {
      // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is ours where there is one.
      if (type == IFA_LOCAL || (type == IFA_ADDRESS && !has_local)) entry.address = read_address(attribute);
      has_local = has_local || type == IFA_LOCAL;
      if (type == IFA_PROTO) entry.mark = mnl_attr_get_u8(attribute);
    });
    found.push_back(entry);
  });
  if (answer) return std::move(*answer);
  return std::unexpected(
      fmt::format("addresses of interface {}: {}", interface_index, to_string(answer.error())));
}

namespace {

auto address_request(std::uint16_t type, unsigned flags, unsigned interface_index,
                     const InterfaceAddress& address) -> Request {
  ifaddrmsg header{};
  header.ifa_family = family_number(address.address);
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  header.ifa_index = interface_index;
  Request request{type, flags | NLM_F_ACK, header};
  put_address(*request, IFA_LOCAL, address.address);
  put_address(*request, IFA_ADDRESS, address.address);
  if (address.mark != 0) mnl_attr_put_u8(*request, IFA_PROTO, address.mark);
  return request;
}

auto route_request(std::uint16_t type, unsigned flags, const Prefix& prefix, unsigned interface_index,
                   OriginMark mark) -> Request {
  rtmsg header{};
  header.rtm_family = family_number(prefix.address());
  header.rtm_dst_len = own_length(prefix);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = mark;
  header.rtm_type = RTN_UNICAST;
  header.rtm_scope = prefix.address().is_ipv4() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  Request request{type, flags | NLM_F_ACK, header};
  put_address(*request, RTA_DST, prefix.address());
  mnl_attr_put_u32(*request, RTA_OIF, interface_index);
  return request;
}

auto neighbour_request(std::uint16_t type, unsigned flags, unsigned interface_index,
                       const ProxyNeighbour& neighbour) -> Request {
  ndmsg header{};
  header.ndm_family = family_number(neighbour.address);
  header.ndm_ifindex = static_cast<int>(interface_index);
  header.ndm_flags = NTF_PROXY;
  header.ndm_state = NUD_PERMANENT;
  Request request{type, flags | NLM_F_ACK, header};
  put_address(*request, NDA_DST, neighbour.address);
  if (neighbour.mark != 0) mnl_attr_put_u8(*request, NDA_PROTOCOL, neighbour.mark);
  return request;
}

/// True if the kernel did it, false if it answered `already`: there was nothing to do.
auto done_unless(const std::expected<void, Refusal>& answer, std::initializer_list<int> already,
                 std::string_view what) -> std::expected<bool, std::string> {
  if (answer) return true;
  if (std::ranges::find(already, answer.error().number) != already.end()) return false;
  return std::unexpected(fmt::format("{}: {}", what, to_string(answer.error())));
}

}  // namespace

auto Netlink::add_address(unsigned interface_index, const InterfaceAddress& address)
    -> std::expected<bool, std::string> {
  auto request = address_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, interface_index, address);
  return done_unless(socket_->ask(request), {EEXIST},
                     fmt::format("adding address {}/{}", address.address, address.prefix_length));
}

auto Netlink::delete_address(unsigned interface_index, const InterfaceAddress& address)
    -> std::expected<bool, std::string> {
  auto request = address_request(RTM_DELADDR, 0, interface_index, address);
  return done_unless(socket_->ask(request), {EADDRNOTAVAIL, ENODEV},
                     fmt::format("deleting address {}/{}", address.address, address.prefix_length));
}

/// Where the main table's route of exactly `prefix` leads; 0 if there is none or it has no interface.
auto Netlink::Socket::find_route_interface(const Prefix& prefix) -> std::expected<unsigned, Refusal> {
  rtmsg header{};
  header.rtm_family = family_number(prefix.address());
  Request request{RTM_GETROUTE, NLM_F_DUMP, header};
  const auto answer = list<unsigned>(request, [&](const nlmsghdr* message, auto& found) {
    const auto route = header_of<rtmsg>(message);
    if (route.rtm_table != RT_TABLE_MAIN || route.rtm_dst_len != own_length(prefix)) return;
    IpAddress destination = IpAddress::unspecified(prefix.address().family());
    unsigned interface_index = 0;
    for_each_attribute<rtmsg>(message, [&](int type, const nlattr* attribute) {
      if (type == RTA_DST) destination = read_address(attribute);
      if (type == RTA_OIF) interface_index = mnl_attr_get_u32(attribute);
    });
    if (destination == prefix.address()) found.push_back(interface_index);
  });
  if (!answer) return std::unexpected(answer.error());
  return answer->empty() ? 0 : answer->back();
}

auto Netlink::add_route(const Prefix& prefix, unsigned interface_index, OriginMark mark)
    -> std::expected<bool, std::string> {
  auto request = route_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, prefix, interface_index, mark);
  const auto what = fmt::format("adding route {}", prefix);
  const auto added = done_unless(socket_->ask(request), {EEXIST}, what);
  if (!added || *added) return added;
  const auto existing = socket_->find_route_interface(prefix);
  if (!existing) return std::unexpected(fmt::format("{}: {}", what, to_string(existing.error())));
  if (*existing == interface_index) return false;
  return std::unexpected(fmt::format(
      "{}: there is such a route already, to another interface (ip route show {}); delete it first", what,
      prefix));
}

auto Netlink::delete_route(const Prefix& prefix, unsigned interface_index, OriginMark mark)
    -> std::expected<bool, std::string> {
  auto request = route_request(RTM_DELROUTE, 0, prefix, interface_index, mark);
  return done_unless(socket_->ask(request), {ESRCH, ENODEV}, fmt::format("deleting route {}", prefix));
}

auto Netlink::proxy_neighbours(unsigned interface_index)
    -> std::expected<std::vector<ProxyNeighbour>, std::string> {
  ndmsg header{};
  header.ndm_flags = NTF_PROXY;
  Request request{RTM_GETNEIGH, NLM_F_DUMP, header};
  auto answer = socket_->list<ProxyNeighbour>(request, [&](const nlmsghdr* message, auto& found) {
    const auto entry = header_of<ndmsg>(message);
    if (entry.ndm_ifindex != static_cast<int>(interface_index) || (entry.ndm_flags & NTF_PROXY) == 0) return;
    ProxyNeighbour neighbour;
    for_each_attribute<ndmsg>(message, [&](int type, const nlattr* attribute) {
      if (type == NDA_DST) neighbour.address = read_address(attribute);
      if (type == NDA_PROTOCOL) neighbour.mark = mnl_attr_get_u8(attribute);
    });
    found.push_back(neighbour);
  });
  if (answer) return std::move(*answer);
  return std::unexpected(
      fmt::format("proxy neighbours of interface {}: {}", interface_index, to_string(answer.error())));
}

auto Netlink::add_proxy_neighbour(unsigned interface_index, const ProxyNeighbour& neighbour)
    -> std::expected<bool, std::string> {
  // The kernel ignores NLM_F_EXCL here and would put our mark on somebody else's entry.
  const auto existing = proxy_neighbours(interface_index);
  if (!existing) return std::unexpected(existing.error());
  const auto has_address = [&](const auto& entry) { return entry.address == neighbour.address; };
  if (std::ranges::any_of(*existing, has_address)) return false;
  auto request = neighbour_request(RTM_NEWNEIGH, NLM_F_CREATE, interface_index, neighbour);
  return done_unless(socket_->ask(request), {}, fmt::format("adding proxy neighbour {}", neighbour.address));
}

auto Netlink::delete_proxy_neighbour(unsigned interface_index, const ProxyNeighbour& neighbour)
    -> std::expected<bool, std::string> {
  const auto existing = proxy_neighbours(interface_index);
  if (!existing) return std::unexpected(existing.error());
  if (std::ranges::find(*existing, neighbour) == existing->end()) return false;
  auto request = neighbour_request(RTM_DELNEIGH, 0, interface_index, neighbour);
  return done_unless(socket_->ask(request), {ENOENT, ENODEV},
                     fmt::format("deleting proxy neighbour {}", neighbour.address));
}

}  // namespace portolan::io
