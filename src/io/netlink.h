// SPDX-License-Identifier: BSD-2-Clause
//
// The kernel's interfaces, addresses, routes and proxy neighbours through rtnetlink: one request at a
// time, answered before the call returns. It changes what it is told to and remembers nothing;
// HostChanges remembers.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"

namespace portolan::io {

/// Who made a route, an address or a neighbour entry, shown as `proto` by ip(8): the kernel keeps this
/// octet with it.
using OriginMark = std::uint8_t;
/// Ours.
inline constexpr OriginMark portolan_mark = 0x50;

struct Interface {
  unsigned index = 0;
  std::string name = {};
  unsigned mtu = 0;
  unsigned tx_queue_length = 0;
  bool is_up = false;
  std::optional<std::array<std::uint8_t, 6>> link_address = {};  ///< of what has one of such a length
  unsigned tun_queues = 0;  ///< descriptors that processes have of a TUN made for several, 0 of anything else
};

struct LinkSettings {
  std::optional<unsigned> mtu = {};
  std::optional<unsigned> tx_queue_length = {};
  std::optional<bool> is_up = {};
  /// False: the kernel makes no IPv6 link-local address, and so sends no router solicitations.
  std::optional<bool> has_link_local = {};
};

/// An address of an interface; prefix_length in bits of the address's own family, as ip(8) shows it.
struct InterfaceAddress {
  IpAddress address = {};
  unsigned prefix_length = 0;
  OriginMark mark = 0;        ///< 0 where the kernel keeps none (before Linux 5.18)
  bool is_tentative = false;  ///< read only: IPv6 duplicate detection goes on, it cannot be bound yet
  auto operator==(const InterfaceAddress&) const -> bool = default;
};

/// An address the host answers ARP or neighbour solicitations for on behalf of others.
struct ProxyNeighbour {
  IpAddress address = {};
  OriginMark mark = 0;
  auto operator==(const ProxyNeighbour&) const -> bool = default;
};

/// IPv4 packets that come in on one interface and go out on another, before the host takes them for its own:
/// TCP and UDP to `ports` of `destination`, echo replies whose identifier is such a number, ICMP errors about
/// packets that came from there, and fragments of all three, whose ports nobody knows. The host does not see
/// them, unless they are given back to it. Packets with IPv4 options are not among them.
struct Redirect {
  Ipv4Address destination = {};
  PortRange ports = {};
  auto operator==(const Redirect&) const -> bool = default;
};

/// Ports that share their first bits, as classifiers compare them.
struct PortBlock {
  std::uint16_t value = 0;
  std::uint16_t mask = 0;
  auto operator==(const PortBlock&) const -> bool = default;
};
/// The fewest blocks that make up `ports`: one if their count is a power of two and divides the first; 30 at
/// worst.
[[nodiscard]] auto blocks_of(const PortRange& ports) -> std::vector<PortBlock>;

/// A connection to rtnetlink. Errors are text with the kernel's own explanation where it gives one.
/// Adding returns true if it was added, false if the same was there already; deleting returns true if
/// it was deleted, false if there was none. Thread: one at a time.
class Netlink {
 public:
  [[nodiscard]] static auto open() -> std::expected<Netlink, std::string>;
  Netlink(Netlink&&) noexcept;
  auto operator=(Netlink&&) noexcept -> Netlink&;
  ~Netlink();

  /// nullopt if there is no interface of that name.
  [[nodiscard]] auto find_interface(std::string_view name)
      -> std::expected<std::optional<Interface>, std::string>;
  /// As find_interface(), but absence is an error: "interface NAME does not exist".
  [[nodiscard]] auto interface(std::string_view name) -> std::expected<Interface, std::string>;
  [[nodiscard]] auto set_link(unsigned interface_index, const LinkSettings& settings)
      -> std::expected<void, std::string>;

  [[nodiscard]] auto addresses(unsigned interface_index)
      -> std::expected<std::vector<InterfaceAddress>, std::string>;
  [[nodiscard]] auto add_address(unsigned interface_index, const InterfaceAddress& address)
      -> std::expected<bool, std::string>;
  [[nodiscard]] auto delete_address(unsigned interface_index, const InterfaceAddress& address)
      -> std::expected<bool, std::string>;

  /// Routes `prefix` to the interface, in the main table. A route of the same prefix elsewhere is an error.
  [[nodiscard]] auto add_route(const Prefix& prefix, unsigned interface_index, OriginMark mark)
      -> std::expected<bool, std::string>;
  /// Deletes only a route that carries `mark`.
  [[nodiscard]] auto delete_route(const Prefix& prefix, unsigned interface_index, OriginMark mark)
      -> std::expected<bool, std::string>;

  [[nodiscard]] auto proxy_neighbours(unsigned interface_index)
      -> std::expected<std::vector<ProxyNeighbour>, std::string>;
  /// An entry of somebody else stays as it is, mark included.
  [[nodiscard]] auto add_proxy_neighbour(unsigned interface_index, const ProxyNeighbour& neighbour)
      -> std::expected<bool, std::string>;
  /// Deletes only an entry that carries the mark.
  [[nodiscard]] auto delete_proxy_neighbour(unsigned interface_index, const ProxyNeighbour& neighbour)
      -> std::expected<bool, std::string>;

  /// Has an interface's incoming packets looked at, by a qdisc clsact. One that is there will do.
  [[nodiscard]] auto add_ingress_hook(unsigned interface_index) -> std::expected<bool, std::string>;
  /// Deletes it unless filters hang on it.
  [[nodiscard]] auto delete_ingress_hook(unsigned interface_index) -> std::expected<bool, std::string>;
  /// Redirects packets that come in on an interface with an ingress hook to another's output, instead of what
  /// was redirected under this mark before. The mark is the low octet of the filters' preference.
  [[nodiscard]] auto set_redirect(unsigned interface_index, const Redirect& redirect, unsigned to_interface,
                                  OriginMark mark) -> std::expected<void, std::string>;
  [[nodiscard]] auto delete_redirect(unsigned interface_index, OriginMark mark)
      -> std::expected<bool, std::string>;

 private:
  struct Socket;
  explicit Netlink(std::unique_ptr<Socket> socket);
  std::unique_ptr<Socket> socket_;
};

}  // namespace portolan::io
