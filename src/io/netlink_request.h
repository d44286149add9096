// SPDX-License-Identifier: BSD-2-Clause
//
// How this folder speaks netlink: messages under construction, answers, refusals. For its files only.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <libmnl/libmnl.h>

#include "io/netlink.h"
#include "io/system.h"

namespace portolan::io {

/// A message under construction, room for every request of ours.
class Request {
 public:
  template <typename Header>
  Request(std::uint16_t type, unsigned flags, const Header& header) {
    message_ = mnl_nlmsg_put_header(buffer_.data());
    message_->nlmsg_type = type;
    message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
    std::memcpy(mnl_nlmsg_put_extra_header(message_, sizeof header), &header, sizeof header);
  }
  auto operator*() -> nlmsghdr* { return message_; }

 private:
  alignas(nlmsghdr) std::array<std::byte, 1024> buffer_{};
  nlmsghdr* message_;
};

/// Why the kernel refused: errno, and its own words if it has any.
struct Refusal {
  int number = 0;
  std::string explanation;
};

[[nodiscard]] auto to_string(const Refusal& refusal) -> std::string;

/// The address of either family that an attribute holds; unspecified if it holds none.
[[nodiscard]] auto read_address(const nlattr* attribute) -> IpAddress;

/// Calls `visit(type, attribute)` for each attribute behind the first `offset` octets of the payload.
template <typename Visit>
void for_each_attribute(const nlmsghdr* message, std::size_t offset, Visit visit) {
  const auto call = [](const nlattr* attribute, void* context) -> int {
    (*static_cast<Visit*>(context))(mnl_attr_get_type(attribute), attribute);
    return MNL_CB_OK;
  };
  static_cast<void>(mnl_attr_parse(message, static_cast<unsigned>(offset), call, &visit));
}
template <typename Header, typename Visit>
void for_each_attribute(const nlmsghdr* message, Visit visit) {
  for_each_attribute(message, sizeof(Header), std::move(visit));
}

/// The same for those in `parent`.
template <typename Visit>
void for_each_nested(const nlattr* parent, Visit visit) {
  const auto call = [](const nlattr* attribute, void* context) -> int {
    (*static_cast<Visit*>(context))(mnl_attr_get_type(attribute), attribute);
    return MNL_CB_OK;
  };
  static_cast<void>(mnl_attr_parse_nested(parent, call, &visit));
}

template <typename Header>
auto header_of(const nlmsghdr* message) -> Header {
  Header header{};
  std::memcpy(&header, mnl_nlmsg_get_payload(message), sizeof header);
  return header;
}

/// Refusal::number of a list that changed while the kernel told it: entries may be missing.
constexpr int torn_list = EAGAIN;

struct Closer {
  void operator()(mnl_socket* socket) const { static_cast<void>(mnl_socket_close(socket)); }
};

/// One request at a time, answered before the call returns.
struct NetlinkSocket {
  std::unique_ptr<mnl_socket, Closer> socket;
  std::uint32_t sequence = 0;
  alignas(nlmsghdr) std::array<std::byte, 32768> buffer{};

  /// For a protocol of the family, NETLINK_ROUTE say. Errors  errno and what failed
  [[nodiscard]] auto open(int protocol) -> std::expected<void, SystemError>;
  /// Sends one request and reads until its end; `visit` sees each message of the answer.
  auto ask(Request& request, const std::function<void(const nlmsghdr*)>& visit = {})
      -> std::expected<void, Refusal>;
  template <typename Entry, typename Visit>
  auto list(Request& request, Visit visit) -> std::expected<std::vector<Entry>, Refusal>;
};

/// `visit(message, entries)` for each message of a list, from the start again if the list was torn.
template <typename Entry, typename Visit>
auto NetlinkSocket::list(Request& request, Visit visit) -> std::expected<std::vector<Entry>, Refusal> {
  constexpr int attempts_max = 10;
  std::expected<void, Refusal> answer;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    std::vector<Entry> entries;
    answer = ask(request, [&](const nlmsghdr* message) { visit(message, entries); });
    if (answer) return entries;
    if (answer.error().number != torn_list) break;
  }
  return std::unexpected(answer.error());
}

struct Netlink::Socket : NetlinkSocket {
  auto find_route_interface(const Prefix& prefix) -> std::expected<unsigned, Refusal>;
  /// Filters of one preference.
  auto has_filters(const tcmsg& which) -> bool;
  auto delete_filters(const tcmsg& which) -> std::expected<bool, std::string>;
};

}  // namespace portolan::io
