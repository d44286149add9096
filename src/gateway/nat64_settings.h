// SPDX-License-Identifier: BSD-2-Clause
//
// Section [nat64] of a daemon's configuration: what it may say, and what that means to the engine.
// docs/man/portoland.toml.5 describes every key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/port_range.h"
#include "nat/config.h"
#include "nat/events.h"

namespace portolan::gateway {

/// The gateway's own IPv4 address, of which the NAT64 has some ports.
struct OwnAddressSettings {
  std::string interface;
  PortRange ports{};
  std::uint32_t weight = 1;

  auto operator==(const OwnAddressSettings&) const -> bool = default;
};

/// What is written down of bindings, sessions and port blocks, and where.
struct EventSettings {
  nat::EventRules rules;
  /// Empty: standard output.
  std::filesystem::path path;

  /// Whether anything is.
  [[nodiscard]] auto is_on() const -> bool {
    return rules.everybody != nat::EventLevel::none || !rules.of.empty();
  }
};

struct Nat64Settings {
  Prefix prefix;
  std::vector<Prefix> more_prefixes;
  std::vector<Prefix> untranslated;
  bool answer_untranslated = true;
  std::vector<nat::PoolRange> pool;
  /// In the pool too, as long as there is one.
  std::optional<OwnAddressSettings> own_address;
  std::optional<nat::Deterministic> deterministic;
  /// What subscribers have whose profile does not say otherwise.
  nat::Allowance allowance{.subscriber_prefix_length = 64};
  /// Interface on which the pool's addresses are answered for; empty: they are routed here by others.
  std::string outside;
  std::string tun = "nat64";
  /// Threads that translate, each with a queue of the TUN.
  unsigned workers = 1;
  unsigned mtu = 1500;
  unsigned lowest_ipv6_mtu = 1280;
  /// 0: none.
  unsigned mss_max = 0;
  nat::Filterings filtering;
  bool answer_unsolicited = true;
  bool preserve_ports = true;
  bool copy_traffic_class = true;
  bool complete_udp_checksums = true;
  /// Whether the daemon turns forwarding on, and off again at its end if it was off.
  bool manage_forwarding = false;
  nat::Limits limits;
  nat::Timeouts timeouts;
  EventSettings events;
};

/// The translation prefixes, `prefix` first.
[[nodiscard]] auto all_prefixes(const Nat64Settings& settings) -> std::vector<Prefix>;
/// All addresses of `pool`, one by one.
[[nodiscard]] auto addresses_of(const std::vector<nat::PoolRange>& pool) -> std::vector<Ipv4Address>;
/// The fewest prefixes that are `range`.
[[nodiscard]] auto prefixes_of(const nat::PoolRange& range) -> std::vector<Prefix>;

/// The pool, with `own` in it if there is one. An address that is in the pool anyway is there once.
[[nodiscard]] auto pool_with(const Nat64Settings& settings, std::optional<Ipv4Address> own)
    -> std::vector<nat::PoolRange>;

/// What the settings mean to the engine, the gateway's own address apart; whether it is a NAT64 that can be
/// had is nat::check()'s to say.
[[nodiscard]] auto nat64_config(const Nat64Settings& settings) -> nat::Config;

}  // namespace portolan::gateway
