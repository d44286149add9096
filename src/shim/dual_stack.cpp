// SPDX-License-Identifier: BSD-2-Clause
#include "shim/dual_stack.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <initializer_list>

namespace portolan::shim {
namespace {

/// An IPv4 program's socket has no use for what it does with IPv6 multicast and with fragments of IPv6
/// packets. A program that turns multicast loops off and wants just these as well does not exist.
constexpr int mark_hops = 201;

auto option(int descriptor, int level, int name) -> int {
  int value = -1;
  socklen_t length = sizeof value;
  return getsockopt(descriptor, level, name, &value, &length) == 0 ? value : -1;
}

auto set_option(int descriptor, int level, int name, int value) -> bool {
  return setsockopt(descriptor, level, name, &value, sizeof value) == 0;
}

auto mark(int descriptor, int type) -> bool {
  const bool has_second = type == SOCK_STREAM
                              ? set_option(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG, 1)
                              : set_option(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, mark_hops);
  return has_second && set_option(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
}

struct Setting {
  int level;
  int name;
};

/// What a program may have set before it binds or listens.
void copy_settings(int from, int to) {
  constexpr Setting numbers[] = {
      {SOL_SOCKET, SO_REUSEADDR},
      {SOL_SOCKET, SO_REUSEPORT},
      {SOL_SOCKET, SO_KEEPALIVE},
      {SOL_SOCKET, SO_BROADCAST},
      {SOL_SOCKET, SO_TIMESTAMP},
      {SOL_SOCKET, SO_PRIORITY},
      {IPPROTO_IP, IP_TOS},
      {IPPROTO_IP, IP_TTL},
      {IPPROTO_IP, IP_PKTINFO},
      {IPPROTO_IP, IP_RECVERR},
      {IPPROTO_IP, IP_FREEBIND},
      {IPPROTO_TCP, TCP_NODELAY},
      {IPPROTO_TCP, TCP_KEEPIDLE},
      {IPPROTO_TCP, TCP_KEEPINTVL},
      {IPPROTO_TCP, TCP_KEEPCNT},
      {IPPROTO_TCP, TCP_FASTOPEN},
      {IPPROTO_TCP, TCP_DEFER_ACCEPT},
      {IPPROTO_TCP, TCP_USER_TIMEOUT},
  };
  for (const Setting& setting : numbers) {
    const int value = option(from, setting.level, setting.name);
    if (value > 0) set_option(to, setting.level, setting.name, value);
  }
  // The kernel tells twice of what was asked for.
  for (const int name : {SO_RCVBUF, SO_SNDBUF}) {
    const int value = option(from, SOL_SOCKET, name);
    if (value > 1 && value != option(to, SOL_SOCKET, name)) set_option(to, SOL_SOCKET, name, value / 2);
  }
  for (const int name : {SO_RCVTIMEO, SO_SNDTIMEO, SO_LINGER}) {
    char value[sizeof(timeval)] = {};
    socklen_t length = sizeof value;
    if (getsockopt(from, SOL_SOCKET, name, value, &length) == 0)
      setsockopt(to, SOL_SOCKET, name, value, length);
  }
  const int flags = fcntl(from, F_GETFL);
  if (flags >= 0) fcntl(to, F_SETFL, flags);
}

auto is_ipv4(int descriptor) -> bool { return option(descriptor, SOL_SOCKET, SO_DOMAIN) == AF_INET; }

/// A socket of both families with the settings of `like`; -1 if there can be none.
auto make(int like) -> int {
  const int type = option(like, SOL_SOCKET, SO_TYPE);
  const int made = socket(AF_INET6, type | SOCK_CLOEXEC, option(like, SOL_SOCKET, SO_PROTOCOL));
  if (made < 0) return -1;
  if (set_option(made, IPPROTO_IPV6, IPV6_V6ONLY, 0) && mark(made, type)) {
    copy_settings(like, made);
    return made;
  }
  close(made);
  return -1;
}

auto bind_wildcard(int descriptor, sa_family_t family, in_port_t port, const Calls& calls) -> bool {
  sockaddr_in6 name{};
  name.sin6_family = family;
  name.sin6_port = port;  // stands where that of IPv4 does
  return calls.bind(descriptor, reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0;
}

/// What was put in the place of IPv4 sockets by this process, the latest ones.
constexpr unsigned exchanged_max = 64;
int exchanged[exchanged_max];
unsigned exchanged_count = 0;

/// `made` takes the number of `descriptor`, in one step.
auto put_in_place(int made, int descriptor) -> bool {
  const int flags = fcntl(descriptor, F_GETFD);
  const bool is_done = flags >= 0 && dup3(made, descriptor, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0) >= 0;
  close(made);
  exchanged[__atomic_fetch_add(&exchanged_count, 1, __ATOMIC_RELAXED) % exchanged_max] = descriptor;
  return is_done;
}

/// The descriptor of an exchanged socket of that type at that port; -1 if there is none.
auto find_exchanged(int type, in_port_t port, const Calls& calls) -> int {
  for (const int descriptor : exchanged) {
    sockaddr_in6 name{};
    socklen_t length = sizeof name;
    // Numbers are used again: what it is now counts. 0 is of places not used yet.
    if (descriptor > 0 && is_exchanged(descriptor) && option(descriptor, SOL_SOCKET, SO_TYPE) == type &&
        calls.getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &length) == 0 &&
        name.sin6_port == port && IN6_IS_ADDR_UNSPECIFIED(&name.sin6_addr))
      return descriptor;
  }
  return -1;
}

/// Peers whose IPv4 addresses do not lead back to them, the latest ones: a program answers soon or not at
/// all.
struct Peer {
  in_addr shown;
  in6_addr address;
  uint32_t scope;
  in_port_t port;
};
constexpr unsigned peers_max = 64;
Peer peers[peers_max];
unsigned next_peer = 0;
/// Not waited for: who holds it may be what a signal handler has interrupted.
char peers_lock = 0;

auto lock_peers() -> bool { return !__atomic_test_and_set(&peers_lock, __ATOMIC_ACQUIRE); }
void unlock_peers() { __atomic_clear(&peers_lock, __ATOMIC_RELEASE); }

void remember(const in_addr& shown, const sockaddr_in6& real) {
  if (!lock_peers()) return;
  unsigned place = next_peer;
  for (unsigned i = 0; i < peers_max; ++i)
    if (peers[i].port == real.sin6_port && peers[i].shown.s_addr == shown.s_addr) place = i;
  if (place == next_peer) next_peer = (next_peer + 1) % peers_max;
  peers[place] = {
      .shown = shown, .address = real.sin6_addr, .scope = real.sin6_scope_id, .port = real.sin6_port};
  unlock_peers();
}

}  // namespace

auto is_udp(int descriptor) -> bool {
  return option(descriptor, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM &&
         option(descriptor, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_UDP;
}

auto is_exchanged(int descriptor) -> bool {
  if (option(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP) != 0) return false;
  return option(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG) == 1 ||
         option(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS) == mark_hops;
}

auto exchange_unbound(int descriptor, in_port_t port, const Calls& calls) -> bool {
  if (!is_ipv4(descriptor)) return false;
  const int made = make(descriptor);
  if (made < 0) return false;
  if (!bind_wildcard(made, AF_INET6, port, calls)) {
    close(made);
    return false;
  }
  return put_in_place(made, descriptor);
}

void exchange_bound(int descriptor, const Calls& calls) {
  if (!is_ipv4(descriptor) || option(descriptor, SOL_SOCKET, SO_TYPE) != SOCK_STREAM ||
      option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) != 0)
    return;
  sockaddr_in name{};
  socklen_t length = sizeof name;
  if (calls.getsockname(descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0 ||
      name.sin_family != AF_INET || name.sin_addr.s_addr != INADDR_ANY)
    return;
  const int made = make(descriptor);
  if (made < 0) return;
  // Both hold the port for a moment, so that nobody else gets it.
  const int reuse = option(descriptor, SOL_SOCKET, SO_REUSEADDR);
  set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1);
  set_option(made, SOL_SOCKET, SO_REUSEADDR, 1);
  if (!bind_wildcard(made, AF_INET6, name.sin_port, calls)) {
    set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, reuse);
    close(made);
    return;
  }
  set_option(made, SOL_SOCKET, SO_REUSEADDR, reuse);
  put_in_place(made, descriptor);
}

auto make_room(int ipv6_descriptor, in_port_t port, const Calls& calls) -> int {
  const int type = option(ipv6_descriptor, SOL_SOCKET, SO_TYPE);
  // A socket of both families has no room beside one of IPv4 either.
  if (option(ipv6_descriptor, IPPROTO_IPV6, IPV6_V6ONLY) != 1) return -1;
  const int descriptor = find_exchanged(type, port, calls);
  if (descriptor < 0) return -1;
  const int made = socket(AF_INET, type | SOCK_CLOEXEC, option(descriptor, SOL_SOCKET, SO_PROTOCOL));
  if (made < 0) return -1;
  copy_settings(descriptor, made);
  // While a socket listens, this is the longest its queue may be.
  tcp_info info{};
  socklen_t length = sizeof info;
  const bool listens = option(descriptor, SOL_SOCKET, SO_ACCEPTCONN) == 1 &&
                       getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &length) == 0;
  // The port is nobody's for a moment: it can't be had twice.
  if (!put_in_place(made, descriptor) || !bind_wildcard(descriptor, AF_INET, port, calls)) return -1;
  if (listens) calls.listen(descriptor, static_cast<int>(info.tcpi_sacked));
  return descriptor;
}

auto remembered_as_ipv4(const sockaddr_in6& real, const Prefix64& prefix) -> sockaddr_in {
  sockaddr_in shown{};
  shown.sin_family = AF_INET;
  shown.sin_port = real.sin6_port;
  shown.sin_addr = to_ipv4(real.sin6_addr, prefix);
  const in6_addr back = to_ipv6(shown.sin_addr, prefix);
  if (!IN6_ARE_ADDR_EQUAL(&back, &real.sin6_addr)) remember(shown.sin_addr, real);
  return shown;
}

auto real_address(const sockaddr_in& shown, const Prefix64& prefix) -> sockaddr_in6 {
  sockaddr_in6 real{};
  real.sin6_family = AF_INET6;
  real.sin6_port = shown.sin_port;
  real.sin6_addr = to_ipv6(shown.sin_addr, prefix);
  if (!lock_peers()) return real;
  for (const Peer& peer : peers) {
    if (peer.port != shown.sin_port || peer.shown.s_addr != shown.sin_addr.s_addr) continue;
    real.sin6_addr = peer.address;
    real.sin6_scope_id = peer.scope;
  }
  unlock_peers();
  return real;
}

}  // namespace portolan::shim
