// SPDX-License-Identifier: BSD-2-Clause
//
// Redirects by tc's u32 classifier and mirred action on the ingress hook of an interface. Routes can't do it:
// packets to an address of the host's are delivered before a route is asked.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <netinet/in.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <iterator>

#include <fmt/format.h>

#include "io/netlink_request.h"

namespace portolan::io {
namespace {

/// Four octets of a packet, from the IPv4 header on, and what they must be.
struct Word {
  int offset = 0;
  std::uint32_t value = 0;
  std::uint32_t mask = 0;
};
using Words = std::vector<Word>;

constexpr std::uint32_t ingress_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS);
constexpr std::uint32_t egress_parent = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);

/// Filters of a lower preference come first; those of others that count are below this, as a rule. There are
/// two for a mark, of which one is in use: what takes its place is made at the other.
auto preference_of(OriginMark mark, unsigned which) -> std::uint32_t { return 0x5000U | which << 8U | mark; }

auto hook_message(unsigned interface_index) -> tcmsg {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(interface_index);
  header.tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  header.tcm_parent = TC_H_CLSACT;
  return header;
}

auto filter_message(unsigned interface_index, OriginMark mark, unsigned which) -> tcmsg {
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(interface_index);
  header.tcm_parent = ingress_parent;
  header.tcm_info = TC_H_MAKE(preference_of(mark, which) << 16U, htons(ETH_P_IP));
  return header;
}

/// A port or identifier in the first half of the word at `offset`.
auto in_block(int offset, const PortBlock& block) -> Word {
  return {
      .offset = offset, .value = std::uint32_t{block.value} << 16U, .mask = std::uint32_t{block.mask} << 16U};
}

/// What packets have to look like for one block of ports; any of these will do.
auto alternatives(Ipv4Address own, const PortBlock& block) -> std::vector<Words> {
  constexpr int quoted = 28;  // behind an IPv4 header without options and 8 octets of ICMP
  const auto whole = [&](std::uint32_t protocol) -> Words {
    return {{.offset = 0, .value = 0x45000000U, .mask = 0xff000000U},
            {.offset = 4, .value = 0, .mask = 0x3fffU},
            {.offset = 16, .value = own.value, .mask = 0xffffffffU},
            {.offset = 8, .value = protocol << 16U, .mask = 0xff0000U}};
  };
  // What tells most packets apart comes first: each word is compared only if those before it are right.
  const auto with = [](const Words& words, std::initializer_list<Word> more) {
    Words found = more;
    found.insert(found.end(), words.rbegin(), words.rend());
    return found;
  };
  constexpr std::uint32_t echo_reply = 0;
  constexpr std::uint32_t echo_request = 8;
  std::vector<Words> found{
      with(whole(IPPROTO_TCP), {{.offset = 20, .value = block.value, .mask = block.mask}}),
      with(whole(IPPROTO_UDP), {{.offset = 20, .value = block.value, .mask = block.mask}}),
      with(whole(IPPROTO_ICMP),
           {{.offset = 20, .value = echo_reply, .mask = 0xff000000U}, in_block(24, block)}),
  };
  // Unreachable and Time Exceeded, 3 and 11, differ in one bit; Parameter Problem is 12.
  for (const Word type : {Word{.offset = 20, .value = 0x03000000U, .mask = 0xf7000000U},
                          Word{.offset = 20, .value = 0x0c000000U, .mask = 0xff000000U}}) {
    for (const std::uint32_t protocol : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP}) {
      Words words =
          with(whole(IPPROTO_ICMP), {type,
                                     {.offset = quoted, .value = 0x45000000U, .mask = 0xff000000U},
                                     {.offset = quoted + 8, .value = protocol << 16U, .mask = 0xff0000U},
                                     {.offset = quoted + 12, .value = own.value, .mask = 0xffffffffU}});
      if (protocol == IPPROTO_ICMP) {
        words.push_back({.offset = quoted + 20, .value = echo_request << 24U, .mask = 0xff000000U});
        words.push_back(in_block(quoted + 24, block));
      } else {
        words.push_back(in_block(quoted + 20, block));
      }
      found.push_back(std::move(words));
    }
  }
  return found;
}

/// The same for fragments: one bit at least of their offset and of whether more follow is set.
auto fragments_to(Ipv4Address own) -> std::vector<Words> {
  std::vector<Words> found;
  for (const std::uint32_t protocol : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP})
    for (std::uint32_t bit = 1; bit <= 0x2000U; bit <<= 1U)
      found.push_back({{.offset = 4, .value = bit, .mask = bit},
                       {.offset = 8, .value = protocol << 16U, .mask = 0xff0000U},
                       {.offset = 0, .value = 0x40000000U, .mask = 0xf0000000U},
                       {.offset = 16, .value = own.value, .mask = 0xffffffffU}});
  return found;
}

/// Attributes of one u32 filter that redirects.
void put_filter(nlmsghdr* message, const Words& words, unsigned to_interface) {
#if defined(__clang__)
  // The kernel's struct ends in an array of no size.
#pragma clang diagnostic ignored "-Wzero-length-array"
#endif
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = static_cast<unsigned char>(words.size());
  std::vector<std::byte> match(sizeof selector + words.size() * sizeof(tc_u32_key));
  std::memcpy(match.data(), &selector, sizeof selector);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const tc_u32_key key{.mask = htonl(words[i].mask),
                         .val = htonl(words[i].value & words[i].mask),
                         .off = words[i].offset,
                         .offmask = 0};
    std::memcpy(match.data() + sizeof selector + i * sizeof key, &key, sizeof key);
  }
  tc_mirred mirred{};
  mirred.action = TC_ACT_STOLEN;
  mirred.eaction = TCA_EGRESS_REDIR;
  mirred.ifindex = to_interface;

  mnl_attr_put_strz(message, TCA_KIND, "u32");
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put(message, TCA_U32_SEL, match.size(), match.data());
  nlattr* actions = mnl_attr_nest_start(message, TCA_U32_ACT);
  nlattr* first = mnl_attr_nest_start(message, 1);
  mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
  nlattr* parameters = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
  mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof mirred, &mirred);
  for (nlattr* nest : {parameters, first, actions, options}) mnl_attr_nest_end(message, nest);
}

}  // namespace

auto blocks_of(const PortRange& ports) -> std::vector<PortBlock> {
  std::vector<PortBlock> blocks;
  std::uint32_t at = ports.first.value;
  const std::uint32_t end = std::uint32_t{ports.last.value} + 1;
  while (at < end) {
    const std::uint32_t aligned = at == 0 ? 65536 : at & (~at + 1);
    const std::uint32_t size = std::min(aligned, std::bit_floor(end - at));
    blocks.push_back(
        {.value = static_cast<std::uint16_t>(at), .mask = static_cast<std::uint16_t>(~(size - 1))});
    at += size;
  }
  return blocks;
}

auto Netlink::add_ingress_hook(unsigned interface_index) -> std::expected<bool, std::string> {
  Request request{RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, hook_message(interface_index)};
  mnl_attr_put_strz(*request, TCA_KIND, "clsact");
  const auto answer = socket_->ask(request);
  if (answer) return true;
  if (answer.error().number == EEXIST) return false;
  return std::unexpected(fmt::format("adding qdisc clsact: {}", to_string(answer.error())));
}

auto Netlink::delete_ingress_hook(unsigned interface_index) -> std::expected<bool, std::string> {
  for (const std::uint32_t parent : {ingress_parent, egress_parent}) {
    tcmsg header{};
    header.tcm_ifindex = static_cast<int>(interface_index);
    header.tcm_parent = parent;
    if (socket_->has_filters(header)) return false;
  }
  Request request{RTM_DELQDISC, NLM_F_ACK, hook_message(interface_index)};
  const auto answer = socket_->ask(request);
  if (answer) return true;
  if (answer.error().number == ENOENT || answer.error().number == EINVAL) return false;
  return std::unexpected(fmt::format("deleting qdisc clsact: {}", to_string(answer.error())));
}

auto Netlink::Socket::has_filters(const tcmsg& which) -> bool {
  Request request{RTM_GETTFILTER, NLM_F_DUMP, which};
  const auto filters =
      list<bool>(request, [](const nlmsghdr*, std::vector<bool>& found) { found.push_back(true); });
  // An error: there is no hook.
  return filters && !filters->empty();
}

auto Netlink::Socket::delete_filters(const tcmsg& which) -> std::expected<bool, std::string> {
  Request request{RTM_DELTFILTER, NLM_F_ACK, which};
  const auto answer = ask(request);
  if (answer) return true;
  // No hook, or no filter of this preference.
  if (answer.error().number == EINVAL || answer.error().number == ENOENT) return false;
  return std::unexpected(fmt::format("deleting redirects: {}", to_string(answer.error())));
}

auto Netlink::set_redirect(unsigned interface_index, const Redirect& redirect, unsigned to_interface,
                           OriginMark mark) -> std::expected<void, std::string> {
  std::vector<Words> wanted;
  for (const PortBlock& block : blocks_of(redirect.ports))
    std::ranges::move(alternatives(redirect.destination, block), std::back_inserter(wanted));
  std::ranges::move(fragments_to(redirect.destination), std::back_inserter(wanted));
  // The new ones stand before the old ones go: no packet comes to the host in between, to be refused there.
  const unsigned next = socket_->has_filters(filter_message(interface_index, mark, 0)) ? 1 : 0;
  if (const auto deleted = socket_->delete_filters(filter_message(interface_index, mark, next)); !deleted)
    return std::unexpected(deleted.error());
  for (const Words& words : wanted) {
    Request request{RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
                    filter_message(interface_index, mark, next)};
    put_filter(*request, words, to_interface);
    const auto answer = socket_->ask(request);
    if (answer) continue;
    static_cast<void>(socket_->delete_filters(filter_message(interface_index, mark, next)));
    return std::unexpected(fmt::format(
        "redirecting ports {}-{} of {} (kernel modules cls_u32, act_mirred): {}", redirect.ports.first.value,
        redirect.ports.last.value, redirect.destination, to_string(answer.error())));
  }
  const auto deleted = socket_->delete_filters(filter_message(interface_index, mark, 1 - next));
  if (!deleted) return std::unexpected(deleted.error());
  return {};
}

auto Netlink::delete_redirect(unsigned interface_index, OriginMark mark) -> std::expected<bool, std::string> {
  bool was_there = false;
  for (const unsigned which : {0U, 1U}) {
    const auto deleted = socket_->delete_filters(filter_message(interface_index, mark, which));
    if (!deleted) return deleted;
    was_there = was_there || *deleted;
  }
  return was_there;
}

}  // namespace portolan::io
