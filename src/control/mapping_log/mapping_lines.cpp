// SPDX-License-Identifier: BSD-2-Clause
#include "control/mapping_log/mapping_lines.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "io/event_file.h"

namespace portolan::control {
namespace {

/// RFC 8158 s4.3 natEvent; a firewall's mapping is none.
enum class Bib : std::uint8_t { created = 0, deleted = 1 };
auto nat_event_of(const MappingKey& key, Bib event) -> std::optional<unsigned> {
  constexpr unsigned nat44_bib_create = 8;
  constexpr unsigned nat64_bib_create = 10;
  const auto offset = static_cast<unsigned>(std::to_underlying(event));
  if (key.external_family == Family::ipv6) return {};
  return (key.internal_address.is_ipv4() ? nat44_bib_create : nat64_bib_create) + offset;
}

void append_address(std::string_view before, std::string_view after, const IpAddress& address,
                    std::string& out) {
  fmt::format_to(std::back_inserter(out), R"(,"{}IPv{}{}":"{}")", before, address.is_ipv4() ? 4 : 6, after,
                 address);
}

void append_mapping(Nanoseconds time, std::string_view event, std::optional<unsigned> nat_event,
                    const Contract& mapping, std::string& out) {
  const MappingKey& key = mapping.key.mapping;
  const auto add = [&]<typename... Values>(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Values>(values)...);
  };
  io::append_event(time, event, out);
  if (nat_event) add(R"(,"natEvent":{})", *nat_event);
  add(R"(,"protocolIdentifier":{})", std::to_underlying(key.protocol));
  if (key.realm != Realm{}) add(R"(,"realm":{})", key.realm.value);
  append_address("source", "Address", key.internal_address, out);
  add(R"(,"sourceTransportPort":{})", key.internal_port.value);
  append_address("postNATSource", "Address", mapping.external_address, out);
  add(R"(,"postNAPTSourceTransportPort":{})", mapping.external_port.value);
  if (mapping.port_count > 1) add(R"(,"portSetSize":{})", mapping.port_count);
  if (mapping.is_static)
    out += R"(,"origin":"operator")";
  else if (mapping.details && mapping.details->third_party_client)
    add(R"(,"thirdPartyClient":"{}")", *mapping.details->third_party_client);
}

void append_block(Nanoseconds time, bool is_allocated, const Prefix& subscriber, const IpAddress& external,
                  Port first, Port last, std::string& out) {
  io::append_event(time, is_allocated ? "block-allocated" : "block-released", out);
  fmt::format_to(std::back_inserter(out), R"(,"natEvent":{})", is_allocated ? 16 : 17);
  append_address("source", "Address", subscriber.address(), out);
  const bool is_ipv4 = subscriber.address().is_ipv4();
  fmt::format_to(std::back_inserter(out), R"(,"sourceIPv{}PrefixLength":{})", is_ipv4 ? 4 : 6,
                 subscriber.length() - (is_ipv4 ? 96U : 0U));
  append_address("postNATSource", "Address", external, out);
  fmt::format_to(std::back_inserter(out), R"(,"portRangeStart":{},"portRangeEnd":{}}}{})", first.value,
                 last.value, '\n');
}

}  // namespace

void MappingLines::made(Nanoseconds time, const Contract& mapping, std::string& out) {
  if (enter(time, mapping, out)) return;
  append_mapping(time, "binding-created", nat_event_of(mapping.key.mapping, Bib::created), mapping, out);
  out += "}\n";
}

void MappingLines::present(Nanoseconds time, const Contract& mapping, std::string& out) {
  if (enter(time, mapping, out)) return;
  append_mapping(time, "binding-present", {}, mapping, out);
  out += "}\n";
}

void MappingLines::moved(Nanoseconds time, const Contract& mapping, std::string& out) {
  // What was said by a block's line has none to take back.
  if (leave(time, mapping, out)) return made(time, mapping, out);
  append_mapping(time, "binding-moved", {}, mapping, out);
  out += "}\n";
}

void MappingLines::ended(Nanoseconds time, const Contract& mapping, std::string_view why, std::string& out) {
  if (leave(time, mapping, out)) return;
  append_mapping(time, "binding-deleted", nat_event_of(mapping.key.mapping, Bib::deleted), mapping, out);
  fmt::format_to(std::back_inserter(out), R"(,"reason":"{}"}}{})", why, '\n');
}

auto MappingLines::enter(Nanoseconds time, const Contract& mapping, std::string& out) -> bool {
  const auto ports = ports_of_ ? ports_of_(mapping) : std::nullopt;
  if (!ports || ports->contained(mapping.external_port, mapping.port_count) != mapping.port_count)
    return false;
  const Place place{mapping.external_address, ports->first};
  // The block that begins next, and the one before it, are those that may overlap.
  auto found = blocks_.lower_bound(place);
  const bool is_there = found != blocks_.end() && found->first == place &&
                        found->second.subscriber == mapping.subscriber && found->second.last == ports->last;
  if (!is_there) {
    const auto overlaps = [&](const auto& block) {
      return block->first.first == place.first && block->first.second <= ports->last &&
             ports->first <= block->second.last;
    };
    if (found != blocks_.end() && overlaps(found)) return false;
    if (found != blocks_.begin() && overlaps(std::prev(found))) return false;
    found = blocks_.emplace_hint(
        found, place, Block{.last = ports->last, .subscriber = mapping.subscriber, .mappings = {}});
    places_.emplace(mapping.subscriber, place);
    append_block(time, true, mapping.subscriber, place.first, place.second, ports->last, out);
  }
  std::vector<std::size_t>& mappings = found->second.mappings;
  const std::size_t hash = hash_(mapping.key);
  // One that is told twice, as present and as made, is in it once.
  if (std::ranges::find(mappings, hash) == mappings.end()) mappings.push_back(hash);
  return true;
}

auto MappingLines::leave(Nanoseconds time, const Contract& mapping, std::string& out) -> bool {
  const std::size_t hash = hash_(mapping.key);
  const auto [first, last] = places_.equal_range(mapping.subscriber);
  for (auto at = first; at != last; ++at) {
    const auto block = blocks_.find(at->second);
    std::vector<std::size_t>& mappings = block->second.mappings;
    const auto found = std::ranges::find(mappings, hash);
    if (found == mappings.end()) continue;
    *found = mappings.back();
    mappings.pop_back();
    if (!mappings.empty()) return true;
    append_block(time, false, block->second.subscriber, block->first.first, block->first.second,
                 block->second.last, out);
    blocks_.erase(block);
    places_.erase(at);
    return true;
  }
  return false;
}

}  // namespace portolan::control
