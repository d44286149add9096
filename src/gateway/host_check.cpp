// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/host_check.h"

#include <set>

#include <fmt/format.h>

#include "io/child_program.h"
#include "io/netlink.h"

namespace portolan::gateway {

auto check_host(const Named& named) -> HostCheck {
  HostCheck found;
  if (!named.tls.certificate.empty())
    if (const auto loaded = io::TlsIdentity::load(named.tls); !loaded) found.errors.push_back(loaded.error());
  if (named.runs_nft)
    if (const auto end = io::run_program("nft", {"--version"}, ""); !end || end->exit_code != 0)
      found.errors.emplace_back("devices \"nat44\" and \"firewall6\" need nft(8): install nftables");
  auto netlink = io::Netlink::open();
  if (!netlink) return found;
  for (const std::string& interface : std::set(named.interfaces.begin(), named.interfaces.end()))
    if (const auto there = netlink->interface(interface); !there)
      found.notes.push_back(fmt::format("{} on this host yet: is that its name?", there.error()));
  return found;
}

}  // namespace portolan::gateway
