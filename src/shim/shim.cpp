// SPDX-License-Identifier: BSD-2-Clause
//
// The functions of the C library that `portolan run` puts itself before; README.md says what for. Each does
// what the program asked for, then what `run` needs; where that fails, the program is none the worse.
#include "shim/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/addresses.h"
#include "shim/dual_stack.h"

namespace portolan::shim {
namespace {

/// What `portolan run` said, read once: getenv() is not for signal handlers.
struct Setting {
  sockaddr_un report_to = {};
  bool is_reporting = false;
  bool is_ipv6_only = false;
  Prefix64 prefix = {};
};
Setting setting;

Calls next;

template <typename Function>
void find(Function& function, const char* name) {
  function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

__attribute__((constructor)) void begin() {
  find(next.bind, "bind");
  find(next.listen, "listen");
  find(next.connect, "connect");
  find(next.accept4, "accept4");
  find(next.getsockname, "getsockname");
  find(next.getpeername, "getpeername");
  find(next.recvfrom, "recvfrom");
  find(next.recvmsg, "recvmsg");
  find(next.recvmmsg, "recvmmsg");
  find(next.sendto, "sendto");
  find(next.sendmsg, "sendmsg");
  find(next.sendmmsg, "sendmmsg");
  const char* const path = getenv("PORTOLAN_RUN_SOCKET");
  if (path != nullptr && strlen(path) < sizeof setting.report_to.sun_path) {
    setting.report_to.sun_family = AF_UNIX;
    memcpy(setting.report_to.sun_path, path, strlen(path));
    setting.is_reporting = true;
  }
  setting.is_ipv6_only = getenv("PORTOLAN_RUN_IPV6_ONLY") != nullptr;
  setting.prefix = parse_prefix64(getenv("PORTOLAN_RUN_PREFIX64"));
}

/// Other constructors may call us before ours ran.
auto functions() -> const Calls& {
  if (next.bind == nullptr) begin();
  return next;
}

/// Restores errno, which the program wants to be that of its own call.
class KeepErrno {
 public:
  KeepErrno() : kept_(errno) {}
  KeepErrno(const KeepErrno&) = delete;
  auto operator=(const KeepErrno&) -> KeepErrno& = delete;
  ~KeepErrno() { errno = kept_; }

 private:
  int kept_;
};

/// Tells `run`. A program that may not make sockets, or a `run` that is gone, is no matter; one that is busy
/// is waited for, but not for long: the kernel's queue may be as short as ten.
void report(int descriptor) {
  if (!setting.is_reporting) return;
  const KeepErrno keep;
  char text[report_octets_max];
  const size_t length = describe_socket(descriptor, functions().getsockname, text);
  if (length == 0) return;
  const int channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (channel < 0) return;
  constexpr timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  functions().sendto(channel, text, length, MSG_NOSIGNAL,
                     reinterpret_cast<const sockaddr*>(&setting.report_to), sizeof setting.report_to);
  close(channel);
}

/// Whether the program takes this socket of both families for one of IPv4.
auto shows_ipv4(int descriptor) -> bool {
  const KeepErrno keep;
  return setting.is_ipv6_only && is_exchanged(descriptor);
}

auto is_ipv4(const sockaddr* address, socklen_t length) -> bool {
  return address != nullptr && length >= sizeof(sockaddr_in) && address->sa_family == AF_INET;
}

auto is_ipv4_wildcard(const sockaddr* address, socklen_t length) -> bool {
  return is_ipv4(address, length) &&
         reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr == INADDR_ANY;
}

auto is_ipv6_wildcard(const sockaddr* address, socklen_t length) -> bool {
  return address != nullptr && length >= sizeof(sockaddr_in6) && address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

/// Both families have it at the same place.
auto port_of(const sockaddr* address) -> in_port_t {
  return reinterpret_cast<const sockaddr_in*>(address)->sin_port;
}

/// Messages that recvmmsg() and sendmmsg() take at a time.
constexpr unsigned messages_max = 32;

/// The place of a name in a message.
struct Name {
  sockaddr* address;
  socklen_t length;
};

/// As the program expects an address to be given.
void show(const sockaddr_in6& real, sockaddr* address, socklen_t* length) {
  if (address == nullptr || length == nullptr) return;
  const sockaddr_in shown = remembered_as_ipv4(real, setting.prefix);
  memcpy(address, &shown, *length < sizeof shown ? *length : sizeof shown);
  *length = sizeof shown;
}

/// `name` is getsockname() or getpeername(): their arguments are the same.
auto name_of(decltype(&::getsockname) name, int descriptor, sockaddr* address, socklen_t* length) -> int {
  if (!shows_ipv4(descriptor)) return name(descriptor, address, length);
  sockaddr_in6 real{};
  socklen_t real_length = sizeof real;
  const int result = name(descriptor, reinterpret_cast<sockaddr*>(&real), &real_length);
  if (result == 0) show(real, address, length);
  return result;
}

}  // namespace
}  // namespace portolan::shim

using namespace portolan::shim;  // NOLINT(google-build-using-namespace): what follows has C names

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): an attribute
#define PORTOLAN_SHIM __attribute__((visibility("default")))

extern "C" {

PORTOLAN_SHIM auto bind(int descriptor, const sockaddr* address, socklen_t length) -> int {
  const auto& call = functions();
  const bool exchanges = setting.is_ipv6_only && is_ipv4_wildcard(address, length) && is_udp(descriptor);
  int result = -1;
  {
    const KeepErrno keep;
    if (exchanges && exchange_unbound(descriptor, port_of(address), call)) result = 0;
  }
  if (result != 0) result = call.bind(descriptor, address, length);
  if (result != 0 && errno == EADDRINUSE && setting.is_ipv6_only && is_ipv6_wildcard(address, length)) {
    const int given_back = make_room(descriptor, port_of(address), call);
    if (given_back >= 0) report(given_back);
    result = call.bind(descriptor, address, length);
  }
  if (result == 0 && is_udp(descriptor)) report(descriptor);
  return result;
}

PORTOLAN_SHIM auto listen(int descriptor, int backlog) -> int {
  const auto& call = functions();
  {
    const KeepErrno keep;
    if (setting.is_ipv6_only) exchange_bound(descriptor, call);
  }
  const int result = call.listen(descriptor, backlog);
  if (result == 0) report(descriptor);
  return result;
}

PORTOLAN_SHIM auto accept4(int descriptor, sockaddr* address, socklen_t* length, int flags) -> int {
  const auto& call = functions();
  if (address == nullptr || !shows_ipv4(descriptor)) return call.accept4(descriptor, address, length, flags);
  sockaddr_in6 real{};
  socklen_t real_length = sizeof real;
  const int accepted = call.accept4(descriptor, reinterpret_cast<sockaddr*>(&real), &real_length, flags);
  if (accepted >= 0) show(real, address, length);
  return accepted;
}

PORTOLAN_SHIM auto accept(int descriptor, sockaddr* address, socklen_t* length) -> int {
  return accept4(descriptor, address, length, 0);
}

PORTOLAN_SHIM auto getsockname(int descriptor, sockaddr* address, socklen_t* length) -> int {
  return name_of(functions().getsockname, descriptor, address, length);
}

PORTOLAN_SHIM auto getpeername(int descriptor, sockaddr* address, socklen_t* length) -> int {
  return name_of(functions().getpeername, descriptor, address, length);
}

PORTOLAN_SHIM auto connect(int descriptor, const sockaddr* address, socklen_t length) -> int {
  const auto& call = functions();
  if (!is_ipv4(address, length) || !shows_ipv4(descriptor)) return call.connect(descriptor, address, length);
  const sockaddr_in6 real = real_address(*reinterpret_cast<const sockaddr_in*>(address), setting.prefix);
  return call.connect(descriptor, reinterpret_cast<const sockaddr*>(&real), sizeof real);
}

PORTOLAN_SHIM auto recvfrom(int descriptor, void* buffer, size_t size, int flags, sockaddr* address,
                            socklen_t* length) -> ssize_t {
  const auto& call = functions();
  if (address == nullptr || !shows_ipv4(descriptor))
    return call.recvfrom(descriptor, buffer, size, flags, address, length);
  sockaddr_in6 real{};
  socklen_t real_length = sizeof real;
  const ssize_t got =
      call.recvfrom(descriptor, buffer, size, flags, reinterpret_cast<sockaddr*>(&real), &real_length);
  if (got >= 0) show(real, address, length);
  return got;
}

/// What programs that were compiled with _FORTIFY_SOURCE call. Nothing is checked twice: the kernel gets the
/// smaller size. The name is the C library's.
// NOLINTNEXTLINE(readability-identifier-naming)
PORTOLAN_SHIM auto __recvfrom_chk(int descriptor, void* buffer, size_t size, size_t room, int flags,
                                  sockaddr* address, socklen_t* length) -> ssize_t {
  if (size > room) abort();
  return recvfrom(descriptor, buffer, size, flags, address, length);
}

PORTOLAN_SHIM auto recvmsg(int descriptor, msghdr* message, int flags) -> ssize_t {
  const auto& call = functions();
  if (message == nullptr || message->msg_name == nullptr || !shows_ipv4(descriptor))
    return call.recvmsg(descriptor, message, flags);
  sockaddr_in6 real{};
  msghdr copy = *message;
  copy.msg_name = &real;
  copy.msg_namelen = sizeof real;
  const ssize_t got = call.recvmsg(descriptor, &copy, flags);
  message->msg_controllen = copy.msg_controllen;
  message->msg_flags = copy.msg_flags;
  if (got >= 0) show(real, static_cast<sockaddr*>(message->msg_name), &message->msg_namelen);
  return got;
}

PORTOLAN_SHIM auto sendto(int descriptor, const void* buffer, size_t size, int flags, const sockaddr* address,
                          socklen_t length) -> ssize_t {
  const auto& call = functions();
  if (!is_ipv4(address, length) || !shows_ipv4(descriptor))
    return call.sendto(descriptor, buffer, size, flags, address, length);
  const sockaddr_in6 real = real_address(*reinterpret_cast<const sockaddr_in*>(address), setting.prefix);
  return call.sendto(descriptor, buffer, size, flags, reinterpret_cast<const sockaddr*>(&real), sizeof real);
}

PORTOLAN_SHIM auto sendmsg(int descriptor, const msghdr* message, int flags) -> ssize_t {
  const auto& call = functions();
  if (message == nullptr || !is_ipv4(static_cast<const sockaddr*>(message->msg_name), message->msg_namelen) ||
      !shows_ipv4(descriptor))
    return call.sendmsg(descriptor, message, flags);
  sockaddr_in6 real = real_address(*static_cast<const sockaddr_in*>(message->msg_name), setting.prefix);
  msghdr copy = *message;
  copy.msg_name = &real;
  copy.msg_namelen = sizeof real;
  return call.sendmsg(descriptor, &copy, flags);
}

PORTOLAN_SHIM auto recvmmsg(int descriptor, mmsghdr* messages, unsigned count, int flags, timespec* timeout)
    -> int {
  const auto& call = functions();
  if (messages == nullptr || !shows_ipv4(descriptor))
    return call.recvmmsg(descriptor, messages, count, flags, timeout);
  // Fewer than asked for may be received, as by the kernel.
  count = count < messages_max ? count : messages_max;
  sockaddr_in6 real[messages_max];
  Name shown[messages_max];
  for (unsigned i = 0; i < count; ++i) {
    msghdr& message = messages[i].msg_hdr;
    shown[i] = {.address = static_cast<sockaddr*>(message.msg_name), .length = message.msg_namelen};
    message.msg_name = &real[i];
    message.msg_namelen = sizeof real[i];
  }
  const int got = call.recvmmsg(descriptor, messages, count, flags, timeout);
  for (unsigned i = 0; i < count; ++i) {
    msghdr& message = messages[i].msg_hdr;
    message.msg_name = shown[i].address;
    message.msg_namelen = shown[i].length;
    if (static_cast<int>(i) < got) show(real[i], shown[i].address, &message.msg_namelen);
  }
  return got;
}

PORTOLAN_SHIM auto sendmmsg(int descriptor, mmsghdr* messages, unsigned count, int flags) -> int {
  const auto& call = functions();
  if (messages == nullptr || !shows_ipv4(descriptor))
    return call.sendmmsg(descriptor, messages, count, flags);
  count = count < messages_max ? count : messages_max;
  sockaddr_in6 real[messages_max];
  Name shown[messages_max];
  for (unsigned i = 0; i < count; ++i) {
    msghdr& message = messages[i].msg_hdr;
    shown[i] = {.address = static_cast<sockaddr*>(message.msg_name), .length = message.msg_namelen};
    if (!is_ipv4(shown[i].address, shown[i].length)) continue;
    real[i] = real_address(*static_cast<const sockaddr_in*>(message.msg_name), setting.prefix);
    message.msg_name = &real[i];
    message.msg_namelen = sizeof real[i];
  }
  const int sent = call.sendmmsg(descriptor, messages, count, flags);
  for (unsigned i = 0; i < count; ++i) {
    messages[i].msg_hdr.msg_name = shown[i].address;
    messages[i].msg_hdr.msg_namelen = shown[i].length;
  }
  return sent;
}

}  // extern "C"
