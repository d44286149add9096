// SPDX-License-Identifier: BSD-2-Clause
//
// What a client asks the kernel about its host: interfaces by name, addresses with their lifetimes.
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <cstdint>

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include "io/netlink.h"
#include "io/netlink_request.h"
#include "io/system.h"

namespace portolan::io {
namespace {

constexpr std::uint32_t for_ever = UINT32_MAX;

auto time_of(std::uint32_t seconds, TimePoint now) -> std::optional<TimePoint> {
  if (seconds == for_ever) return {};
  return now + Seconds{seconds};
}

}  // namespace

auto Netlink::interfaces() -> std::expected<std::vector<Interface>, std::string> {
  Request request{RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}};
  auto answer = socket_->list<Interface>(request, [](const nlmsghdr* message, auto& found) {
    Interface entry;
    entry.index = static_cast<unsigned>(header_of<ifinfomsg>(message).ifi_index);
    for_each_attribute<ifinfomsg>(message, [&](int type, const nlattr* attribute) {
      if (type == IFLA_IFNAME) entry.name = mnl_attr_get_str(attribute);
    });
    found.push_back(std::move(entry));
  });
  if (answer) return std::move(*answer);
  return std::unexpected(fmt::format("interfaces: {}", to_string(answer.error())));
}

auto Netlink::host_addresses() -> std::expected<std::vector<HostAddress>, std::string> {
  Request request{RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}};
  const TimePoint now = monotonic_now();
  auto answer = socket_->list<HostAddress>(request, [now](const nlmsghdr* message, auto& found) {
    const auto header = header_of<ifaddrmsg>(message);
    HostAddress entry;
    entry.interface_index = header.ifa_index;
    entry.prefix_length = header.ifa_prefixlen;
    std::uint32_t flags = header.ifa_flags;
    bool has_local = false;
    for_each_attribute<ifaddrmsg>(message, [&](int type, const nlattr* attribute) {
      // On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is ours where there is one.
      if (type == IFA_LOCAL || (type == IFA_ADDRESS && !has_local)) entry.address = read_address(attribute);
      has_local = has_local || type == IFA_LOCAL;
      if (type == IFA_FLAGS) flags = mnl_attr_get_u32(attribute);
      if (type != IFA_CACHEINFO || mnl_attr_get_payload_len(attribute) < sizeof(ifa_cacheinfo)) return;
      ifa_cacheinfo lifetimes{};
      std::memcpy(&lifetimes, mnl_attr_get_payload(attribute), sizeof lifetimes);
      entry.preferred_until = time_of(lifetimes.ifa_prefered, now);
      entry.valid_until = time_of(lifetimes.ifa_valid, now);
    });
    // To IPv4 the same bit means "not the first of its network".
    entry.is_temporary = !entry.address.is_ipv4() && (flags & IFA_F_TEMPORARY) != 0;
    entry.is_deprecated = (flags & IFA_F_DEPRECATED) != 0;
    const bool is_checked = (flags & IFA_F_TENTATIVE) == 0 || (flags & IFA_F_OPTIMISTIC) != 0;
    entry.is_usable = is_checked && (flags & IFA_F_DADFAILED) == 0;
    found.push_back(entry);
  });
  if (answer) return std::move(*answer);
  return std::unexpected(fmt::format("addresses: {}", to_string(answer.error())));
}

}  // namespace portolan::io
