// SPDX-License-Identifier: BSD-2-Clause
#include "io/host_addresses.h"

#include <linux/if_addr.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>

#include "io/rtnetlink.h"

namespace portolan::io {
namespace {

using rtnetlink::Octets;

constexpr std::uint32_t for_ever = UINT32_MAX;

auto time_of(std::uint32_t seconds, TimePoint now) -> std::optional<TimePoint> {
  if (seconds == for_ever) return {};
  return now + Seconds{seconds};
}

auto read_host_address(Octets octets, TimePoint now) -> std::optional<HostAddress> {
  const auto header = rtnetlink::take_header<ifaddrmsg>(octets);
  if (!header) return {};
  HostAddress entry;
  entry.interface_index = header->ifa_index;
  entry.prefix_length = header->ifa_prefixlen;
  std::uint32_t flags = header->ifa_flags;
  bool has_local = false;
  rtnetlink::for_each_attribute(octets, [&](int type, Octets value) {
    // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is ours where there is one.
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && !has_local))
      entry.address = rtnetlink::read_address(value);
    has_local = has_local || type == IFA_LOCAL;
    if (type == IFA_FLAGS) flags = rtnetlink::read_number(value);
    if (type != IFA_CACHEINFO) return;
    if (const auto lifetimes = rtnetlink::take_header<ifa_cacheinfo>(value)) {
      entry.preferred_until = time_of(lifetimes->ifa_prefered, now);
      entry.valid_until = time_of(lifetimes->ifa_valid, now);
    }
  });
  // To IPv4 the same bit means "not the first of its network".
  entry.is_temporary = !entry.address.is_ipv4() && (flags & IFA_F_TEMPORARY) != 0;
  entry.is_deprecated = (flags & IFA_F_DEPRECATED) != 0;
  const bool is_checked = (flags & IFA_F_TENTATIVE) == 0 || (flags & IFA_F_OPTIMISTIC) != 0;
  entry.is_usable = is_checked && (flags & IFA_F_DADFAILED) == 0;
  return entry;
}

}  // namespace

auto named_interfaces() -> std::expected<std::vector<NamedInterface>, std::string> {
  const std::unique_ptr<struct if_nameindex, decltype(&::if_freenameindex)> list(::if_nameindex(),
                                                                                 &::if_freenameindex);
  if (!list)
    return std::unexpected("interfaces: " + to_string(SystemError{.number = errno, .operation = "netlink"}));
  std::vector<NamedInterface> found;
  for (const auto* entry = list.get(); entry->if_index != 0; ++entry)
    found.push_back({.index = entry->if_index, .name = entry->if_name});
  return found;
}

auto host_addresses() -> std::expected<std::vector<HostAddress>, std::string> {
  std::vector<HostAddress> found;
  const TimePoint now = monotonic_now();
  const auto listed = rtnetlink::list(RTM_GETADDR, AF_UNSPEC, [&](std::uint16_t type, Octets octets) {
    if (type != RTM_NEWADDR) return;
    if (const auto entry = read_host_address(octets, now)) found.push_back(*entry);
  });
  if (!listed) return std::unexpected("addresses: " + to_string(listed.error()));
  return found;
}

}  // namespace portolan::io
