// SPDX-License-Identifier: BSD-2-Clause
//
// A router for tests: a network namespace of its own with two interfaces whose packets the test writes and
// reads. What goes in at one comes out at the other, if the kernel lets it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "io/conntrack.h"
#include "io/netlink.h"
#include "io/tun.h"
#include "nat/testing/test_packets.h"

namespace portolan::device::testing {

using nat::test::Octets;

class Router {
 public:
  /// Throws std::runtime_error where it can't be made: not as root.
  Router();

  /// "inside0" and "wan0".
  static constexpr std::string_view inside = "inside0";
  static constexpr std::string_view outside = "wan0";

  /// prefix_length in bits of the address's own family.
  void add_address(std::string_view interface, std::string_view address, unsigned prefix_length);
  void delete_address(std::string_view interface, std::string_view address, unsigned prefix_length);
  void add_route(std::string_view prefix, std::string_view interface);

  /// Sends `packet` in at one interface; what came out at the other one before a packet that is always let
  /// through.
  auto send_in_from_inside(const Octets& packet) -> std::vector<Octets> {
    return exchange(inside_, outside_, packet);
  }
  auto send_in_from_outside(const Octets& packet) -> std::vector<Octets> {
    return exchange(outside_, inside_, packet);
  }
  /// What came out at the inside for a packet that went in there: hairpin.
  auto send_back_inside(const Octets& packet) -> std::vector<Octets> {
    return exchange(inside_, inside_, packet);
  }

  /// Has the kernel's flows be older by `time`.
  void age(Seconds time);
  auto conntrack() -> io::Conntrack& { return *conntrack_; }

 private:
  auto exchange(io::Tun& in, io::Tun& out, const Octets& packet) -> std::vector<Octets>;

  std::optional<io::Netlink> netlink_;
  std::optional<io::Conntrack> conntrack_;
  io::Tun inside_;
  io::Tun outside_;
  std::uint16_t marker_ = 0;
};

/// Fields of an IPv4 or IPv6 packet without options.
[[nodiscard]] auto source_of(const Octets& packet) -> Endpoint;
[[nodiscard]] auto destination_of(const Octets& packet) -> Endpoint;

/// Runs nft(8) in the present network namespace; throws if it fails.
void nft(const std::string& arguments);

}  // namespace portolan::device::testing
