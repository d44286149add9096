// SPDX-License-Identifier: BSD-2-Clause
//
// Tells hosts on inside links of the NAT64 by router advertisements (RFC 8781), at their request and unasked.
//
// What hosts have of a router is kept by its address. So an advertisement from the router's own address
// always says that it is their default router, until the end and in the last one too: a lifetime of 0 would
// take the default route from every host at once. In mode alone they come from another address, whose router
// lifetime of 0 says nothing of the router's.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "gateway/advertisement.h"
#include "gateway/advertisement_settings.h"
#include "io/address_watch.h"
#include "io/event_loop.h"
#include "io/netlink.h"
#include "io/router_socket.h"
#include "io/system.h"

namespace portolan::gateway {

class RouterAdvertisements {
 public:
  /// How soon an interface is looked at again that can't be advertised on.
  static constexpr Seconds retry{10};

  /// Begins on each interface as soon as it is there. `loop` outlives it. Takes CAP_NET_RAW.
  /// Errors  text for the operator
  [[nodiscard]] static auto start(AdvertisementSettings settings, std::vector<Prefix> nat64_prefixes,
                                  io::EventLoop& loop)
      -> std::expected<std::unique_ptr<RouterAdvertisements>, std::string>;
  RouterAdvertisements(const RouterAdvertisements&) = delete;
  auto operator=(const RouterAdvertisements&) -> RouterAdvertisements& = delete;
  /// Withdraws the NAT64's prefixes from all hosts: the only advertisement that does not wait its turn.
  ~RouterAdvertisements();

  /// Withdraws them where `wanted` does not advertise them, or no longer from the same address.
  void reload(AdvertisementSettings wanted);
  /// Writes what has been counted so far to the log.
  void log_counters() const;

 private:
  struct Link {
    Link(std::string name, AdvertisementSchedule::Intervals intervals, Random& random)
        : interface(std::move(name)), schedule(intervals, random) {}

    std::string interface;
    AdvertisementSchedule schedule;
    /// Where advertisements go out, and from which address; 0 while they can't.
    unsigned index = 0;
    IpAddress source;
    std::string trouble;  ///< as last told
  };
  /// An interface that can be advertised on.
  struct Sender {
    io::Interface interface;
    IpAddress source;
    std::vector<Prefix> prefixes;
  };

  RouterAdvertisements(AdvertisementSettings settings, std::vector<Prefix> nat64_prefixes,
                       io::EventLoop& loop, io::RouterSocket socket, io::Netlink netlink,
                       io::AddressWatch watch);

  [[nodiscard]] auto find_sender(const std::string& interface) -> std::expected<Sender, std::string>;
  void add_link(const std::string& interface);
  void look_at_all();
  void look_at(Link& link);
  void receive();
  /// Spec  RFC 8781 s5.2
  void compare(const Link& link, const io::RouterSocket::Received& message);
  void send_due();
  void send(Link& link, const Sender& sender, Seconds nat64_lifetime);
  void withdraw(Link& link);
  void arm();
  void tell(Link& link, std::string trouble);

  AdvertisementSettings settings_;
  std::vector<Prefix> nat64_prefixes_;
  io::RouterSocket socket_;
  io::Netlink netlink_;
  io::AddressWatch address_watch_;
  io::SystemRandom random_;
  std::vector<Link> links_;
  std::string difference_;  ///< to another router, as last told
  struct {
    std::uint64_t sent = 0;
    std::uint64_t unsent = 0;
    std::uint64_t solicitations = 0;
  } counters_;
  io::Watch solicitations_;
  io::Watch changes_;
  io::Timer timer_;
};

}  // namespace portolan::gateway
