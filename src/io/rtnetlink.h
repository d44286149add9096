// SPDX-License-Identifier: BSD-2-Clause
//
// Reading from rtnetlink with nothing but the C library: what libportolan needs to know of its host.
// netlink.h has the rest.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/address.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io::rtnetlink {

using Octets = std::span<const std::byte>;

/// A structure of the kernel's at the beginning of `octets`, which goes on behind it; nothing if it is cut.
template <typename Header>
auto take_header(Octets& octets) -> std::optional<Header> {
  if (octets.size() < sizeof(Header)) return {};
  Header header{};
  std::memcpy(&header, octets.data(), sizeof header);
  octets = octets.subspan(std::min<std::size_t>(NLMSG_ALIGN(sizeof header), octets.size()));
  return header;
}

/// Calls visit(type, payload) for each attribute; ends before the first that runs past the end.
template <typename Visit>
void for_each_attribute(Octets octets, Visit visit) {
  while (octets.size() >= sizeof(rtattr)) {
    rtattr header{};
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.rta_len < sizeof header || header.rta_len > octets.size()) return;
    visit(header.rta_type & NLA_TYPE_MASK, octets.subspan(sizeof header, header.rta_len - sizeof header));
    octets = octets.subspan(std::min<std::size_t>(RTA_ALIGN(header.rta_len), octets.size()));
  }
}

/// The same of messages.
template <typename Visit>
void for_each_message(Octets octets, Visit visit) {
  while (octets.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, octets.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > octets.size()) return;
    visit(header.nlmsg_type, octets.subspan(sizeof header, header.nlmsg_len - sizeof header));
    octets = octets.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), octets.size()));
  }
}

/// All zeros of IPv6 unless there are 4 or 16 octets.
[[nodiscard]] auto read_address(Octets octets) -> IpAddress;
/// 0 unless there are 4 octets.
[[nodiscard]] auto read_number(Octets octets) -> std::uint32_t;

/// In  groups: RTMGRP_...; flags: SOCK_...
[[nodiscard]] auto open(std::uint32_t groups, int flags) -> std::expected<FileDescriptor, SystemError>;

/// What the kernel answers to a request for all there is: calls visit(type, payload) for each message. A
/// family that the kernel was booted without has nothing.
///
/// In  type: RTM_GET...; family: AF_..., or AF_UNSPEC for both
[[nodiscard]] auto list(std::uint16_t type, int family,
                        const std::function<void(std::uint16_t, Octets)>& visit)
    -> std::expected<void, SystemError>;

}  // namespace portolan::io::rtnetlink
