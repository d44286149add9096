// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/nat64_pool_reader.h"

#include <utility>

#include "nat/pool.h"
#include "nat/port_plan.h"

namespace portolan::gateway {
namespace {

constexpr std::string_view example =
    "write it as \"192.0.2.14\", \"192.0.2.16-192.0.2.31\" or \"192.0.2.0/24\"";

void add_range(Reader& reader, const std::string& text, const toml::node& node, Nat64Settings& settings,
               const nat::PoolRange& like) {
  const auto parsed = nat::PoolRange::parse(text);
  if (!parsed)
    return reader.fail(node, "nat64.pool", fmt::format("is no IPv4 address or range: {}", example));
  nat::PoolRange range = *parsed;
  range.weight = like.weight;
  range.ports = like.ports;
  const bool is_twice = std::ranges::any_of(settings.pool, [&](const nat::PoolRange& other) {
    return other.contains(range.first) || range.contains(other.first);
  });
  if (is_twice) return reader.fail(node, "nat64.pool", "is listed twice: remove one");
  settings.pool.push_back(range);
}

}  // namespace

auto read_port_range(Reader& reader, const toml::table& table, std::string_view where, std::string_view key,
                     PortRange& ports) -> bool {
  const toml::node* node = table.get(key);
  if (node == nullptr) return false;
  const toml::array* range = node->as_array();
  const auto port_at = [&](std::size_t index) {
    return range == nullptr ? std::nullopt : range->get(index)->value_exact<std::int64_t>();
  };
  if (range != nullptr && range->size() == 2) {
    const auto first = port_at(0);
    const auto last = port_at(1);
    if (first && last && 0 <= *first && *first <= *last && *last <= 65535) {
      ports = {.first = Port{static_cast<std::uint16_t>(*first)},
               .last = Port{static_cast<std::uint16_t>(*last)}};
      return true;
    }
  }
  reader.fail(*node, fmt::format("{}{}", where, key),
              "must be the first and the last port, such as [1024, 65535]");
  return false;
}

void read_pool(Reader& reader, const toml::table& nat64, Nat64Settings& settings) {
  const toml::node* node = nat64.get("pool");
  if (node == nullptr) return;
  const toml::array* list = node->as_array();
  if (list == nullptr || list->empty() || list->size() > pool_max)
    return reader.fail(*node, "nat64.pool",
                       fmt::format("must be a list of 1 to {}, such as [\"192.0.2.14\"]", pool_max));
  for (const toml::node& element : *list) {
    if (const auto text = element.value_exact<std::string>()) {
      add_range(reader, *text, element, settings, {});
      continue;
    }
    const toml::table* table = element.as_table();
    if (table == nullptr) {
      reader.fail(element, "nat64.pool",
                  fmt::format("must be text or a table: {}, or {{addresses = \"192.0.2.0/24\", weight = 2, "
                              "ports = [1024, 65535]}}",
                              example));
      continue;
    }
    reader.refuse_unknown(*table, "nat64.pool.", {"addresses", "weight", "ports"});
    nat::PoolRange like;
    reader.number(*table, "nat64.pool.", "weight", 1, nat::pool_weight_max, "",
                  [&](auto value) { like.weight = static_cast<std::uint32_t>(value); });
    read_port_range(reader, *table, "nat64.pool.", "ports", like.ports);
    if (table->get("addresses") == nullptr)
      reader.fail_missing(*table, "nat64.pool.addresses", std::string(example));
    else if (const auto text = reader.text(*table, "nat64.pool.", "addresses"))
      add_range(reader, *text, *table->get("addresses"), settings, like);
  }
  std::uint64_t addresses = 0;
  for (const nat::PoolRange& range : settings.pool) addresses += range.size();
  if (nat64.get("outside") != nullptr && addresses > proxied_addresses_max)
    reader.fail(*node, "nat64.pool",
                fmt::format("has {} addresses, and nat64.outside answers for {} at most: leave that out, and "
                            "have your routers send them here",
                            addresses, proxied_addresses_max));
}

void read_own_address(Reader& reader, const toml::table& nat64, Nat64Settings& settings) {
  constexpr std::string_view where = "nat64.own_address.";
  const toml::node* node = nat64.get("own_address");
  if (node == nullptr) return;
  const toml::table* table = node->as_table();
  if (table == nullptr)
    return reader.fail(*node, "nat64.own_address", "must be a table: write [nat64.own_address]");
  reader.refuse_unknown(*table, where, {"interface", "ports", "weight"});
  OwnAddressSettings& own = settings.own_address.emplace();
  if (table->get("interface") == nullptr)
    reader.fail_missing(*table, "nat64.own_address.interface",
                        "write interface = \"wan0\", the interface that has the address");
  if (auto name = reader.interface(*table, where, "interface")) own.interface = std::move(*name);
  if (table->get("ports") == nullptr)
    reader.fail_missing(*table, "nat64.own_address.ports",
                        "write ports = [40960, 65535], those of the address that the host gives away");
  if (read_port_range(reader, *table, where, "ports", own.ports) && own.ports.first < own_port_min)
    reader.fail(*table->get("ports"), "nat64.own_address.ports",
                fmt::format("begins below {}: those are for the host's own services", own_port_min.value));
  reader.number(*table, where, "weight", 1, nat::pool_weight_max, "",
                [&](auto value) { own.weight = static_cast<std::uint32_t>(value); });
  std::uint64_t addresses = 1;
  for (const nat::PoolRange& range : settings.pool) addresses += range.size();
  if (addresses > nat::Pool::addresses_max)
    reader.fail(*node, "nat64.own_address",
                fmt::format("makes a pool of {} addresses, at most {} are possible: take one from nat64.pool",
                            addresses, nat::Pool::addresses_max));
}

void read_deterministic(Reader& reader, const toml::table& nat64, Nat64Settings& settings) {
  constexpr std::string_view where = "nat64.deterministic.";
  const toml::node* node = nat64.get("deterministic");
  if (node == nullptr) return;
  const toml::table* table = node->as_table();
  if (table == nullptr)
    return reader.fail(*node, "nat64.deterministic", "must be a table: write [nat64.deterministic]");
  reader.refuse_unknown(*table, where, {"inside", "dynamic_factor", "first_port"});
  nat::Deterministic& wanted = settings.deterministic.emplace();
  if (table->get("inside") == nullptr) {
    reader.fail_missing(*table, "nat64.deterministic.inside",
                        "write the prefix that subscribers' prefixes lie in");
  } else if (const auto text = reader.text(*table, where, "inside")) {
    if (const auto prefix = Prefix::parse(*text); prefix && !prefix->address().is_ipv4())
      wanted.inside = *prefix;
    else
      reader.fail(*table->get("inside"), "nat64.deterministic.inside",
                  "is no IPv6 prefix such as \"2001:db8:112::/56\"");
  }
  reader.number(*table, where, "dynamic_factor", 0, nat::PortPlan::dynamic_factor_max,
                "; 0 leaves nobody more than its own ports",
                [&](auto value) { wanted.dynamic_factor = static_cast<std::uint32_t>(value); });
  reader.number(*table, where, "first_port", 1024, 65535, "",
                [&](auto value) { wanted.first_port = Port{static_cast<std::uint16_t>(value)}; });
  if (settings.own_address)
    reader.fail(
        *node, "nat64.deterministic",
        "and nat64.own_address exclude each other: the plan of a pool that changes tells nothing later");
}

void read_allowance(Reader& reader, const toml::table& nat64, Nat64Settings& settings) {
  nat::Allowance& allowance = settings.allowance;
  reader.number(nat64, "nat64.", "subscriber_prefix_length", 32, 128, "; 64 if each has a link of its own",
                [&](auto value) { allowance.subscriber_prefix_length = static_cast<std::uint8_t>(value); });
  const auto limit = [&](std::string_view key, std::uint32_t& value) {
    reader.number(nat64, "nat64.", key, 1, 100'000'000, "",
                  [&](auto number) { value = static_cast<std::uint32_t>(number); });
  };
  limit("ports_per_subscriber_max", allowance.ports_max);
  limit("sessions_per_subscriber_max", settings.limits.sessions_per_subscriber);
  limit("new_sessions_per_second_max", allowance.sessions_per_second_max);
  limit("profiles_max", settings.limits.profiles);
  limit("port_blocks_max", settings.limits.port_blocks);
  reader.number(nat64, "nat64.", "port_block_size", 0, nat::Allowance::port_block_max,
                ", a multiple of 64; 0 gives ports one by one",
                [&](auto value) { allowance.port_block_size = static_cast<std::uint16_t>(value); });
}

void refuse_changes_of_allowance(Comparison& nat64, const Nat64Settings& wanted,
                                 const Nat64Settings& running) {
  const nat::Allowance& one = wanted.allowance;
  const nat::Allowance& other = running.allowance;
  nat64.fixed("subscriber_prefix_length", one.subscriber_prefix_length, other.subscriber_prefix_length);
  nat64.fixed("ports_per_subscriber_max", one.ports_max, other.ports_max);
  nat64.fixed("sessions_per_subscriber_max", wanted.limits.sessions_per_subscriber,
              running.limits.sessions_per_subscriber);
  nat64.fixed("new_sessions_per_second_max", one.sessions_per_second_max, other.sessions_per_second_max);
  nat64.fixed("deterministic", wanted.deterministic, running.deterministic);
  // By another plan ports would be others', and the plan would tell wrong ones.
  if (wanted.deterministic) nat64.fixed("pool", wanted.pool, running.pool);
  nat64.fixed("port_block_size", one.port_block_size, other.port_block_size);
  nat64.fixed("profiles_max", wanted.limits.profiles, running.limits.profiles);
  nat64.fixed("port_blocks_max", wanted.limits.port_blocks, running.limits.port_blocks);
}

}  // namespace portolan::gateway
