// SPDX-License-Identifier: BSD-2-Clause
//
// Puts a socket of both families in the place of one of IPv4, and knows such a socket again.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "shim/addresses.h"

namespace portolan::shim {

[[nodiscard]] auto is_udp(int descriptor) -> bool;

/// Whether a descriptor's socket was exchanged, or accepted by one that was, in whichever process.
[[nodiscard]] auto is_exchanged(int descriptor) -> bool;

/// The functions that the program would call without us.
struct Calls {
  decltype(&::bind) bind;
  decltype(&::listen) listen;
  decltype(&::connect) connect;
  decltype(&::accept4) accept4;
  decltype(&::getsockname) getsockname;
  decltype(&::getpeername) getpeername;
  decltype(&::recvfrom) recvfrom;
  decltype(&::recvmsg) recvmsg;
  decltype(&::recvmmsg) recvmmsg;
  decltype(&::sendto) sendto;
  decltype(&::sendmsg) sendmsg;
  decltype(&::sendmmsg) sendmmsg;
};

/// Exchanges an IPv4 socket that is to be bound to the wildcard, and binds it; port in network order.
/// False: it is as it was.
auto exchange_unbound(int descriptor, in_port_t port, const Calls& calls) -> bool;

/// Exchanges a TCP socket bound to the IPv4 wildcard, which keeps its port; does nothing to others.
void exchange_bound(int descriptor, const Calls& calls);

/// An IPv6 socket could not have a port: if that is because an exchanged one of this process has it, that one
/// becomes an IPv4 socket again, for now the program serves IPv6 itself. Out its descriptor, or -1
auto make_room(int ipv6_descriptor, in_port_t port, const Calls& calls) -> int;

/// What the program is to see of a peer. Peers whose IPv4 address does not lead back to them are remembered
/// with their port, for answers.
[[nodiscard]] auto remembered_as_ipv4(const sockaddr_in6& real, const Prefix64& prefix) -> sockaddr_in;

/// Where the program means to send to.
[[nodiscard]] auto real_address(const sockaddr_in& shown, const Prefix64& prefix) -> sockaddr_in6;

}  // namespace portolan::shim
