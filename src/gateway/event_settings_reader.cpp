// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_settings_reader.h"

#include <algorithm>
#include <array>

namespace portolan::gateway {
namespace {

void read_level(Reader& reader, const toml::table& table, std::string_view where, nat::EventLevel& level) {
  constexpr std::string_view key = "events";
  const auto text = reader.text(table, where, key);
  if (!text) return;
  constexpr std::array levels{nat::EventLevel::none, nat::EventLevel::blocks, nat::EventLevel::bindings,
                              nat::EventLevel::sessions};
  const auto* const found =
      std::ranges::find(levels, *text, [](nat::EventLevel each) { return to_string(each); });
  if (found != levels.end())
    level = *found;
  else
    reader.fail(*table.get(key), fmt::format("{}{}", where, key),
                R"(must be "none", "blocks", "bindings" or "sessions")");
}

}  // namespace

void read_events(Reader& reader, const toml::table& nat64, EventSettings& events) {
  read_level(reader, nat64, "nat64.", events.rules.everybody);
  reader.flag(nat64, "nat64.", "event_destinations", events.rules.tells_destinations);
  if (const auto path = reader.text(nat64, "nat64.", "event_log")) {
    if (path->starts_with('/') && !path->ends_with('/'))
      events.path = *path;
    else if (*path != "stdout")
      reader.fail(
          *nat64.get("event_log"), "nat64.event_log",
          R"(must be "stdout" or the absolute path of a file, such as "/var/log/portolan/nat64-events")");
  }
  constexpr std::string_view where = "nat64.events_of.";
  for (const toml::table* table : reader.tables(nat64, "events_of", nat::EventRules::rules_max)) {
    reader.refuse_unknown(*table, where, {"prefix", "events"});
    nat::EventRule rule;
    if (table->get("events") == nullptr)
      reader.fail_missing(*table, "nat64.events_of.events", "write events = \"sessions\", or less");
    read_level(reader, *table, where, rule.level);
    if (table->get("prefix") == nullptr)
      reader.fail_missing(*table, "nat64.events_of.prefix", "write whose: prefix = \"2001:db8:112::/64\"");
    if (const auto text = reader.text(*table, where, "prefix")) {
      const auto prefix = Prefix::parse(*text);
      const auto is_same = [&](const nat::EventRule& other) { return other.internal == *prefix; };
      if (!prefix || prefix->address().is_ipv4())
        reader.fail(*table->get("prefix"), "nat64.events_of.prefix",
                    "is no IPv6 prefix such as \"2001:db8:112::/64\", without bits behind the length");
      else if (std::ranges::any_of(events.rules.of, is_same))
        reader.fail(*table->get("prefix"), "nat64.events_of.prefix",
                    "is there twice: remove one of the tables");
      else
        rule.internal = *prefix;
    }
    events.rules.of.push_back(rule);
  }
}

}  // namespace portolan::gateway
