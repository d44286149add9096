// SPDX-License-Identifier: BSD-2-Clause
//
// What each command does with the engine.
#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "control/management/api.h"

namespace portolan::management {
namespace {

constexpr std::string_view lines = "application/x-ndjson";

auto object(const Row& row, unsigned status = 200) -> io::HttpReply {
  return {.status = status, .body = to_json(row) + '\n'};
}

auto stream(std::unique_ptr<io::HttpBody> body) -> io::HttpReply {
  return {.content_type = std::string(lines), .stream = std::move(body)};
}

auto failed(const server::Failure& failure) -> io::HttpReply { return reply_of(error_of(failure)); }

auto not_found(std::string message) -> io::HttpReply {
  return reply_of({.code = "not-found", .message = std::move(message), .remedy = "list what there is"});
}

auto outcome_of(const server::Outcome& outcome) -> io::HttpReply {
  return object({{"deleted", std::uint64_t{outcome.deleted}}, {"kept", std::uint64_t{outcome.kept}}});
}

auto origin_of(const Arguments& arguments) -> std::optional<server::Origin> {
  const auto text = arguments.get<std::string>("origin");
  if (!text) return {};
  for (const auto origin : {server::Origin::configured, server::Origin::by_hand, server::Origin::dynamic})
    if (to_string(origin) == *text) return origin;
  return {};
}

auto family_of(const Arguments& arguments) -> std::optional<Family> {
  const auto text = arguments.get<std::string>("external-family");
  if (!text) return {};
  return *text == "ipv6" ? Family::ipv6 : Family::ipv4;
}

auto realm_of(const Arguments& arguments) -> std::optional<Realm> {
  const auto number = arguments.get<std::int64_t>("realm");
  if (!number) return {};
  return Realm{static_cast<std::uint16_t>(*number)};
}

auto mapping_filter_of(const Arguments& arguments) -> server::MappingFilter {
  return {.user = arguments.get<Prefix>("internal-src-address"),
          .realm = realm_of(arguments),
          .protocol = arguments.get<Protocol>("transport-protocol"),
          .internal_port = arguments.get<Port>("internal-src-port"),
          .external_address = arguments.get<IpAddress>("external-src-address"),
          .external_port = arguments.get<Port>("external-src-port"),
          .origin = origin_of(arguments)};
}

/// Of `show map` and `add map`.
auto key_of(const Arguments& arguments, Family external) -> MappingKey {
  return {.realm = realm_of(arguments).value_or(Realm{}),
          .internal_address = *arguments.get<IpAddress>("internal-src-address"),
          .protocol = *arguments.get<Protocol>("transport-protocol"),
          .external_family = external,
          .internal_port = *arguments.get<Port>("internal-src-port")};
}

template <typename T>
void take_number(const Arguments& arguments, std::string_view name, T& value) {
  if (const auto given = arguments.get<std::int64_t>(name)) value = static_cast<T>(*given);
}

void take_flag(const Arguments& arguments, std::string_view name, bool& value) {
  if (const auto given = arguments.get<bool>(name)) value = *given;
}

void take_seconds(const Arguments& arguments, std::string_view name, Seconds& value) {
  if (const auto given = arguments.get<std::int64_t>(name)) value = Seconds{*given};
}

/// Changes of `profile` what is given.
void take_rights(const Arguments& arguments, server::Profile& profile) {
  server::Policy& policy = profile.policy;
  server::Allotment& allotment = profile.allotment;
  if (const auto address = arguments.get<IpAddress>("external-src-address"))
    allotment.external_address = *address;
  if (const auto ports = arguments.get<PortRange>("port-range")) {
    policy.external_ports = *ports;
    allotment.external_ports = *ports;
  }
  take_number(arguments, "mappings-per-user-max", policy.mappings_max);
  if (const auto length = arguments.get<std::int64_t>("subscriber-prefix-length"))
    profile.subscriber_prefix_length = static_cast<std::uint8_t>(*length);
  take_flag(arguments, "map", policy.map);
  take_flag(arguments, "peer", policy.peer);
  take_flag(arguments, "third-party", policy.third_party);
  if (const auto nonce = arguments.get<std::string>("nonce"))
    policy.nonce = *nonce == "relaxed" ? server::NoncePolicy::relaxed : server::NoncePolicy::strict;
  if (auto protocols = arguments.list<Protocol>("protocols")) policy.protocols = *std::move(protocols);
  if (const auto ports = arguments.get<PortRange>("internal-ports")) policy.internal_ports = *ports;
  take_number(arguments, "filters-max", policy.filters_max);
  take_number(arguments, "port-set-max", policy.port_set_max);
  if (const auto size = arguments.get<std::int64_t>("port-block-size"))
    allotment.port_block_size =
        *size == 0 ? device::PutProfile::no_port_blocks : static_cast<std::uint16_t>(*size);
  take_number(arguments, "ports-per-subscriber-max", allotment.ports_max);
  take_number(arguments, "sessions-per-subscriber-max", allotment.sessions_max);
  take_number(arguments, "new-sessions-per-second-max", allotment.sessions_per_second_max);
}

auto limit_of(const Arguments& arguments) -> std::uint64_t {
  const auto limit = arguments.get<std::int64_t>("limit");
  return limit ? static_cast<std::uint64_t>(*limit) : std::numeric_limits<std::uint64_t>::max();
}

template <typename View>
auto lines_of(const server::Page<View>& page, const char* kind) -> Listing::Lines {
  Listing::Lines made{.rows = {}, .next = page.next};
  for (const View& view : page.rows) {
    Row row = row_of(view);
    if (kind != nullptr) row.emplace(row.begin(), "kind", std::string(kind));
    made.rows.push_back(std::move(row));
  }
  return made;
}

}  // namespace

auto Api::user_pages(server::UserFilter filter, bool with_kind) const -> Listing::Pages {
  return [this, filter, with_kind](const server::Cursor& cursor) {
    return lines_of(server_.list_users(now(), filter, cursor), with_kind ? "user" : nullptr);
  };
}

auto Api::mapping_pages(server::MappingFilter filter, bool with_kind) const -> Listing::Pages {
  return [this, filter, with_kind](const server::Cursor& cursor) {
    return lines_of(server_.list_mappings(now(), filter, cursor), with_kind ? "mapping" : nullptr);
  };
}

auto Api::list_users(const Arguments& arguments) -> io::HttpReply {
  const server::UserFilter filter{.within = arguments.get<Prefix>("subscriber"),
                                  .origin = origin_of(arguments)};
  return stream(std::make_unique<Listing>(std::vector{user_pages(filter, false)}, limit_of(arguments)));
}

auto Api::list_mappings(const Arguments& arguments) -> io::HttpReply {
  return stream(std::make_unique<Listing>(std::vector{mapping_pages(mapping_filter_of(arguments), false)},
                                          limit_of(arguments)));
}

auto Api::export_all() -> io::HttpReply {
  return stream(std::make_unique<Listing>(std::vector{user_pages({}, true), mapping_pages({}, true)},
                                          std::numeric_limits<std::uint64_t>::max()));
}

auto Api::show_user(const Arguments& arguments) const -> io::HttpReply {
  const Prefix asked = *arguments.get<Prefix>("subscriber");
  // The most specific one that has all of it.
  for (unsigned length = asked.length() + 1; length-- > 0;)
    if (const auto user = server_.find_user(now(), Prefix{asked.address(), length}))
      return object(row_of(*user));
  return not_found(fmt::format("no user has {}", asked));
}

auto Api::show_mapping(const Arguments& arguments) const -> io::HttpReply {
  ContractKey key;
  if (const auto address = arguments.get<IpAddress>("internal-dst-address"))
    key.remote_peer = {*address, arguments.get<Port>("internal-dst-port").value_or(Port{})};
  const auto family = family_of(arguments);
  for (const Family external : {Family::ipv4, Family::ipv6}) {
    if (family && *family != external) continue;
    key.mapping = key_of(arguments, external);
    if (const auto mapping = server_.find_mapping(now(), key)) return object(row_of(*mapping));
  }
  return not_found(fmt::format("{} port {} of {} is not mapped", key.mapping.protocol,
                               key.mapping.internal_port.value, key.mapping.internal_address));
}

auto Api::list_pools() const -> io::HttpReply {
  std::vector<Row> rows;
  for (const Pool& pool : surroundings_.pools()) rows.push_back(row_of(pool));
  return stream(std::make_unique<RowList>(std::move(rows)));
}

auto Api::show_status(const Caller& caller) const -> io::HttpReply {
  const ProgramStatus status = surroundings_.status();
  Row row{{"version", status.version},
          {"uptime", static_cast<std::uint64_t>(status.uptime.count())},
          {"epoch", std::uint64_t{server_.epoch_time_s(now(), Prefix{})}},
          {"devices", status.devices},
          {"store", status.store}};
  if (!status.store_error.empty()) row.emplace_back("store-error", status.store_error);
  const Row gauges = row_of(server_.gauges());
  row.insert(row.end(), gauges.begin(), gauges.end());
  row.emplace_back("access", std::string(caller.access == Command::Access::write ? "write" : "read"));
  return object(row);
}

auto Api::list_counters(const Arguments& arguments) const -> io::HttpReply {
  std::vector<Counter> counters = counters_of(server_.counters());
  for (Counter& counter : surroundings_.counters()) counters.push_back(std::move(counter));
  const io::HttpCounters& http = service_.counters();
  counters.insert(counters.end(), {{"management", "connections", http.accepted},
                                   {"management", "requests", http.requests},
                                   {"management", "dropped", http.dropped},
                                   {"management", "stalled", http.stalled},
                                   {"management", "idle", http.idle},
                                   {"management", "event-gaps", followers_.gaps()}});
  for (std::size_t i = 0; i < http.refused.size(); ++i)
    counters.push_back({"management", fmt::format("refused-{}", to_string(static_cast<io::HttpProblem>(i))),
                        http.refused[i]});
  for (const auto& [code, times] : refused_)
    counters.push_back({"management", fmt::format("denied-{}", code), times});
  const auto group = arguments.get<std::string>("group");
  std::vector<Row> rows;
  for (const Counter& counter : counters)
    if (!group || counter.group == *group) rows.push_back(row_of(counter));
  if (rows.empty()) return not_found(fmt::format("no counter is of group '{}'", group.value_or("")));
  return stream(std::make_unique<RowList>(std::move(rows)));
}

auto Api::watch(const Arguments& arguments) -> io::HttpReply {
  std::optional<std::uint64_t> after;
  if (const auto number = arguments.get<std::int64_t>("after")) after = static_cast<std::uint64_t>(*number);
  auto body = followers_.follow(arguments.get<Prefix>("subscriber"), after);
  if (body) return stream(std::move(body));
  return reply_of(
      {.code = "too-many-watchers",
       .message = fmt::format("{} clients follow events, and there may be no more", Followers::followers_max),
       .remedy = "end one of them"});
}

void Api::add_user(const Arguments& arguments, io::HttpCall call) {
  server::Profile profile{.users = *arguments.get<Prefix>("subscriber"), .policy = surroundings_.policy()};
  const server::RuntimeSettings settings = server_.runtime_settings();
  profile.policy.map = settings.map;
  profile.policy.peer = settings.peer;
  profile.policy.third_party = settings.third_party;
  profile.policy.mappings_max = settings.mappings_per_user_max;
  profile.policy.filters_max = settings.filters_max;
  profile.policy.port_set_max = settings.port_set_max;
  take_rights(arguments, profile);
  const std::string subscriber = to_string(profile.users);
  await(server_.add_user(now(), std::move(profile)), std::move(call), [subscriber](const server::Outcome&) {
    return object({{"subscriber", subscriber}, {"added", true}}, 201);
  });
}

void Api::set_user(const Arguments& arguments, io::HttpCall call) {
  const Prefix prefix = *arguments.get<Prefix>("subscriber");
  const auto user = server_.find_user(now(), prefix);
  if (!user) return call.reply(not_found(fmt::format("there is no user {}", prefix)));
  server::Profile profile{.users = prefix, .policy = user->policy, .allotment = user->allotment};
  if (user->subscriber_prefix_length)
    profile.subscriber_prefix_length = static_cast<std::uint8_t>(*user->subscriber_prefix_length);
  take_rights(arguments, profile);
  await(server_.change_user(now(), std::move(profile)), std::move(call),
        [this, prefix](const server::Outcome&) {
          const auto changed = server_.find_user(now(), prefix);
          return changed ? object(row_of(*changed)) : not_found(fmt::format("{} is gone again", prefix));
        });
}

void Api::delete_user(const Arguments& arguments, io::HttpCall call) {
  await(server_.delete_user(now(), *arguments.get<Prefix>("subscriber")), std::move(call), outcome_of);
}

void Api::add_mapping(const Arguments& arguments, io::HttpCall call) {
  const auto address = arguments.get<IpAddress>("external-src-address");
  const Family family = address ? address->family() : family_of(arguments).value_or(Family::ipv4);
  server::Config::StaticMapping mapping{.key = key_of(arguments, family),
                                        .external_address = address.value_or(IpAddress::unspecified(family)),
                                        .external_port = *arguments.get<Port>("external-src-port")};
  if (const auto peers = arguments.list<Prefix>("peers"))
    for (const Prefix& peer : *peers)
      mapping.filters.push_back({.remote_peers = peer, .remote_port = Port{}});
  mapping.description = arguments.get<std::string>("description").value_or("");
  if (const auto lifetime = arguments.get<std::int64_t>("lifetime"))
    mapping.expires = now() + Seconds{*lifetime};
  const ContractKey key{.mapping = mapping.key, .remote_peer = {}};
  await(server_.add_mapping(now(), std::move(mapping)), std::move(call), [this, key](const server::Outcome&) {
    const auto added = server_.find_mapping(now(), key);
    return added ? object(row_of(*added), 201) : not_found("the mapping is gone again");
  });
}

void Api::delete_mappings(const Arguments& arguments, io::HttpCall call) {
  const server::MappingFilter filter = mapping_filter_of(arguments);
  const bool is_all = arguments.get<bool>("all").value_or(false);
  const bool has_filter = arguments.has("internal-src-address") || arguments.has("transport-protocol") ||
                          arguments.has("internal-src-port") || arguments.has("external-src-address") ||
                          arguments.has("external-src-port") || arguments.has("origin") ||
                          arguments.has("realm");
  if (is_all == has_filter)
    return call.reply(reply_of({.code = is_all ? "invalid" : "missing-parameter",
                                .message = is_all ? "'all' does not go with a parameter that restricts it"
                                                  : "nothing says which mappings are meant",
                                .field = "all",
                                .remedy = "say which mappings, or all=true for every one"}));
  await(server_.delete_mappings(now(), filter), std::move(call), [](const server::Outcome& outcome) {
    if (outcome.deleted == 0 && outcome.kept == 0) return not_found("no mapping fits");
    return outcome_of(outcome);
  });
}

auto Api::set(const Arguments& arguments) -> io::HttpReply {
  if (arguments.is_empty())
    return reply_of({.code = "missing-parameter",
                     .message = "nothing is to be set",
                     .remedy = "name a setting and its value; GET /v1/settings lists them"});
  server::RuntimeSettings settings = server_.runtime_settings();
  take_seconds(arguments, "minimum-lifetime", settings.minimum_lifetime);
  take_seconds(arguments, "maximum-lifetime", settings.maximum_lifetime);
  take_seconds(arguments, "short-error-lifetime", settings.short_error_lifetime);
  take_seconds(arguments, "long-error-lifetime", settings.long_error_lifetime);
  take_number(arguments, "announcements", settings.announcements);
  take_flag(arguments, "map", settings.map);
  take_flag(arguments, "peer", settings.peer);
  take_flag(arguments, "third-party", settings.third_party);
  take_number(arguments, "mappings-per-user-max", settings.mappings_per_user_max);
  take_number(arguments, "filters-max", settings.filters_max);
  take_number(arguments, "port-set-max", settings.port_set_max);
  if (const auto done = server_.set(settings); !done) return failed(done.error());
  surroundings_.changed();
  return object(row_of(server_.runtime_settings()));
}

auto Api::announce(const Arguments& arguments) -> io::HttpReply {
  const bool begins_epoch = arguments.get<bool>("new-epoch").value_or(false);
  Row row;
  if (const auto user = arguments.get<Prefix>("subscriber")) {
    const auto told = server_.announce_to(now(), *user, begins_epoch);
    if (!told) return failed(told.error());
    row = {{"epoch", std::uint64_t{server_.epoch_time_s(now(), *user)}}, {"clients", std::uint64_t{*told}}};
  } else {
    if (const auto done = server_.announce(now(), begins_epoch); !done) return failed(done.error());
    row = {{"epoch", std::uint64_t{server_.epoch_time_s(now(), Prefix{})}}};
  }
  surroundings_.changed();
  return object(row);
}

auto Api::reload() const -> io::HttpReply {
  if (const auto reloaded = surroundings_.reload(); !reloaded)
    return reply_of({.code = "wrong-configuration",
                     .message = fmt::format("{}", fmt::join(reloaded.error(), "; ")),
                     .remedy = "correct the file, or restart; nothing has changed"});
  return object({{"reloaded", true}});
}

void Api::run(const Caller& caller, const Command& command, const Arguments& arguments, io::HttpCall call) {
  using Run = void (*)(Api&, const Caller&, const Arguments&, io::HttpCall);
  static constexpr auto runs = std::to_array<std::pair<std::string_view, Run>>({
      {"list user", [](Api& api, const Caller&, const Arguments& given,
                       io::HttpCall from) { from.reply(api.list_users(given)); }},
      {"list map", [](Api& api, const Caller&, const Arguments& given,
                      io::HttpCall from) { from.reply(api.list_mappings(given)); }},
      {"show user", [](Api& api, const Caller&, const Arguments& given,
                       io::HttpCall from) { from.reply(api.show_user(given)); }},
      {"show map", [](Api& api, const Caller&, const Arguments& given,
                      io::HttpCall from) { from.reply(api.show_mapping(given)); }},
      {"show", [](Api& api, const Caller& asking, const Arguments&,
                  io::HttpCall from) { from.reply(api.show_status(asking)); }},
      {"list pool",
       [](Api& api, const Caller&, const Arguments&, io::HttpCall from) { from.reply(api.list_pools()); }},
      {"show settings",
       [](Api& api, const Caller&, const Arguments&, io::HttpCall from) {
         from.reply(object(row_of(api.server_.runtime_settings())));
       }},
      {"stats", [](Api& api, const Caller&, const Arguments& given,
                   io::HttpCall from) { from.reply(api.list_counters(given)); }},
      {"watch", [](Api& api, const Caller&, const Arguments& given,
                   io::HttpCall from) { from.reply(api.watch(given)); }},
      {"export",
       [](Api& api, const Caller&, const Arguments&, io::HttpCall from) { from.reply(api.export_all()); }},
      {"add user", [](Api& api, const Caller&, const Arguments& given,
                      io::HttpCall from) { api.add_user(given, std::move(from)); }},
      {"set user", [](Api& api, const Caller&, const Arguments& given,
                      io::HttpCall from) { api.set_user(given, std::move(from)); }},
      {"delete user", [](Api& api, const Caller&, const Arguments& given,
                         io::HttpCall from) { api.delete_user(given, std::move(from)); }},
      {"add map", [](Api& api, const Caller&, const Arguments& given,
                     io::HttpCall from) { api.add_mapping(given, std::move(from)); }},
      {"delete map", [](Api& api, const Caller&, const Arguments& given,
                        io::HttpCall from) { api.delete_mappings(given, std::move(from)); }},
      {"set", [](Api& api, const Caller&, const Arguments& given,
                 io::HttpCall from) { from.reply(api.set(given)); }},
      {"announce", [](Api& api, const Caller&, const Arguments& given,
                      io::HttpCall from) { from.reply(api.announce(given)); }},
      {"reload",
       [](Api& api, const Caller&, const Arguments&, io::HttpCall from) { from.reply(api.reload()); }},
  });
  const auto* const found = std::ranges::find(runs, command.name(), &std::pair<std::string_view, Run>::first);
  PORTOLAN_CHECK(found != runs.end());
  found->second(*this, caller, arguments, std::move(call));
}

}  // namespace portolan::management
