// SPDX-License-Identifier: BSD-2-Clause
#include "io/netlink_request.h"

#include <arpa/inet.h>

#include <string_view>

#include <fmt/format.h>

namespace portolan::io {
namespace {

auto refusal_of(const nlmsghdr* message) -> Refusal {
  nlmsgerr error{};
  std::memcpy(&error, mnl_nlmsg_get_payload(message), sizeof error);
  Refusal refusal{.number = -error.error, .explanation = {}};
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return refusal;
  // The attributes stand behind the error and as much of our request as the kernel returns.
  std::size_t offset = sizeof error;
  if ((message->nlmsg_flags & NLM_F_CAPPED) == 0) offset += error.msg.nlmsg_len - sizeof(nlmsghdr);
  for_each_attribute(message, offset, [&](int type, const nlattr* attribute) {
    if (type == NLMSGERR_ATTR_MSG)
      refusal.explanation = static_cast<const char*>(mnl_attr_get_payload(attribute));
  });
  return refusal;
}

}  // namespace

auto read_address(const nlattr* attribute) -> IpAddress {
  const auto* payload = mnl_attr_get_payload(attribute);
  if (mnl_attr_get_payload_len(attribute) == 4) {
    std::uint32_t value = 0;
    std::memcpy(&value, payload, 4);
    return IpAddress{Ipv4Address{ntohl(value)}};
  }
  Ipv6Address address;
  if (mnl_attr_get_payload_len(attribute) == 16) std::memcpy(address.octets.data(), payload, 16);
  return IpAddress{address};
}

auto to_string(const Refusal& refusal) -> std::string {
  std::string text = errno_text("netlink", refusal.number);
  if (!refusal.explanation.empty()) text += fmt::format(" ({})", refusal.explanation);
  if (refusal.number == EPERM) text += ": needs CAP_NET_ADMIN";
  return text;
}

auto NetlinkSocket::ask(Request& request, const std::function<void(const nlmsghdr*)>& visit)
    -> std::expected<void, Refusal> {
  (*request)->nlmsg_seq = ++sequence;
  if (mnl_socket_sendto(socket.get(), *request, (*request)->nlmsg_len) < 0)
    return std::unexpected(Refusal{.number = errno, .explanation = {}});
  const bool is_dump = ((*request)->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  bool is_torn = false;
  while (true) {
    const auto got = mnl_socket_recvfrom(socket.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(Refusal{.number = errno, .explanation = {}});
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_seq != sequence) continue;  // the rest of an answer that was given up
      is_torn = is_torn || (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (message->nlmsg_type == NLMSG_DONE) {
        if (is_torn) return std::unexpected(Refusal{.number = torn_list, .explanation = {}});
        const int code = mnl_nlmsg_get_payload_len(message) < sizeof(int) ? 0 : header_of<int>(message);
        if (code < 0) return std::unexpected(Refusal{.number = -code, .explanation = {}});
        return {};
      }
      if (message->nlmsg_type != NLMSG_ERROR) {
        if (visit) visit(message);
        // A question about one object is answered by one message, and by an acknowledgement if asked.
        if (!is_dump && ((*request)->nlmsg_flags & NLM_F_ACK) == 0) return {};
        continue;
      }
      auto refusal = refusal_of(message);
      if (refusal.number == 0) return {};
      return std::unexpected(std::move(refusal));
    }
  }
}

auto NetlinkSocket::open(int protocol) -> std::expected<void, SystemError> {
  socket.reset(mnl_socket_open2(protocol, SOCK_CLOEXEC));
  if (!socket) return std::unexpected(SystemError{.number = errno, .operation = "netlink socket"});
  int on = 1;
  // Without it errors are only numbers; kernels before 4.12 do without.
  static_cast<void>(mnl_socket_setsockopt(socket.get(), NETLINK_EXT_ACK, &on, sizeof on));
  if (mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(SystemError{.number = errno, .operation = "netlink bind"});
  return {};
}

}  // namespace portolan::io
