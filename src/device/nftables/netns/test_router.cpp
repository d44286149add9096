// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/netns/test_router.h"

#include <poll.h>
#include <sched.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "io/sysctl.h"

namespace portolan::device::testing {
namespace {

/// Addresses that only markers use: on either side.
constexpr const char* marker_inside = "198.18.0.1";
constexpr const char* marker_outside = "198.18.1.1";
constexpr std::uint8_t marker_protocol = 253;

template <typename T>
auto value(std::expected<T, std::string> result) -> T {
  if (!result) throw std::runtime_error(result.error());
  return *std::move(result);
}

auto own_namespace() -> bool {
  if (::unshare(CLONE_NEWNET) != 0)
    throw std::runtime_error(io::errno_text("unshare(CLONE_NEWNET)", errno) + "; run as root");
  // Packets of one processor keep their order.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
  ::sched_setaffinity(0, sizeof one, &one);
  return true;
}

auto tun_of(std::string_view name) -> io::Tun { return value(io::Tun::open({.name = std::string(name)})); }

auto address_at(const Octets& packet, std::size_t at, std::size_t size) -> IpAddress {
  if (size == 4) {
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 4; ++i) bits = bits << 8U | packet.at(at + i);
    return IpAddress{Ipv4Address{bits}};
  }
  Ipv6Address bits;
  for (std::size_t i = 0; i < 16; ++i) bits.octets.at(i) = packet.at(at + i);
  return IpAddress{bits};
}

auto endpoint_of(const Octets& packet, bool is_destination) -> Endpoint {
  const bool is_ipv4 = packet.at(0) >> 4U == 4;
  const std::size_t size = is_ipv4 ? 4 : 16;
  const std::size_t address = (is_ipv4 ? 12U : 8U) + (is_destination ? size : 0U);
  const std::size_t port = (is_ipv4 ? 20U : 40U) + (is_destination ? 2U : 0U);
  return {address_at(packet, address, size),
          Port{static_cast<std::uint16_t>(packet.at(port) << 8U | packet.at(port + 1))}};
}

}  // namespace

auto source_of(const Octets& packet) -> Endpoint { return endpoint_of(packet, false); }
auto destination_of(const Octets& packet) -> Endpoint { return endpoint_of(packet, true); }

void nft(const std::string& arguments) {
  // NOLINTNEXTLINE(cert-env33-c): arguments are the test's own.
  if (std::system(("PATH=$PATH:/usr/sbin nft " + arguments).c_str()) != 0)
    throw std::runtime_error("nft " + arguments);
}

Router::Router() : inside_((own_namespace(), tun_of(inside))), outside_(tun_of(outside)) {
  netlink_.emplace(value(io::Netlink::open()));
  conntrack_.emplace(value(io::Conntrack::open()));
  for (const char* name : {"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"})
    if (const auto set = io::write_sysctl(name, "1"); !set) throw std::runtime_error(set.error());
  add_route(std::string(marker_inside) + "/32", inside);
  add_route(std::string(marker_outside) + "/32", outside);
}

void Router::add_address(std::string_view interface, std::string_view address, unsigned prefix_length) {
  const unsigned index = value(netlink_->interface(interface)).index;
  value(netlink_->add_address(
      index, {.address = IpAddress::parse(address).value(), .prefix_length = prefix_length}));
}

void Router::delete_address(std::string_view interface, std::string_view address, unsigned prefix_length) {
  const unsigned index = value(netlink_->interface(interface)).index;
  value(netlink_->delete_address(
      index, {.address = IpAddress::parse(address).value(), .prefix_length = prefix_length}));
}

void Router::add_route(std::string_view prefix, std::string_view interface) {
  const unsigned index = value(netlink_->interface(interface)).index;
  value(netlink_->add_route(Prefix::parse(prefix).value(), index, io::portolan_mark));
}

auto Router::exchange(io::Tun& in, io::Tun& out, const Octets& packet) -> std::vector<Octets> {
  const auto write = [&](const Octets& octets) {
    std::vector<std::byte> buffer(io::Tun::header_bytes);
    for (const std::uint8_t octet : octets) buffer.push_back(std::byte{octet});
    if (const auto written = in.write(buffer); !written) throw std::runtime_error(to_string(written.error()));
  };
  const std::uint16_t marker = ++marker_;
  const bool goes_inside = &out == &inside_;
  write(packet);
  write(nat::test::PacketBuilder(goes_inside ? marker_outside : marker_inside,
                                 goes_inside ? marker_inside : marker_outside)
            .protocol(marker_protocol)
            .identification(marker)
            .payload("marker")
            .build());
  std::vector<Octets> came;
  std::vector<std::byte> buffer(io::Tun::buffer_bytes);
  for (;;) {
    pollfd waiting{.fd = out.descriptor(), .events = POLLIN, .revents = 0};
    constexpr int patience_ms = 10000;
    if (::poll(&waiting, 1, patience_ms) != 1) throw std::runtime_error("the marker did not come out");
    const auto got = out.read(buffer);
    if (!got) throw std::runtime_error(to_string(got.error()));
    Octets octets;
    for (std::size_t i = io::Tun::header_bytes; i < *got; ++i)
      octets.push_back(std::to_integer<std::uint8_t>(buffer[i]));
    if (octets.size() < 20) continue;
    if (octets[0] >> 4U == 4 && octets[9] == marker_protocol) {
      if ((octets[4] << 8U | octets[5]) == marker) return came;
      continue;
    }
    // What the kernel says of itself is of no interest.
    if (octets[0] >> 4U == packet[0] >> 4U) came.push_back(std::move(octets));
  }
}

void Router::age(Seconds time) {
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    const auto flows = conntrack_->list(family, [](const io::Flow&) { return true; });
    if (!flows) throw std::runtime_error(to_string(flows.error()));
    for (const io::Flow& flow : *flows) {
      if (flow.expires_in <= time) {
        static_cast<void>(conntrack_->remove(flow.original));
      } else {
        // The kernel tells whole seconds, of which one has just begun.
        static_cast<void>(conntrack_->keep(flow.original, flow.expires_in + Seconds{1} - time));
      }
    }
  }
}

}  // namespace portolan::device::testing
