// SPDX-License-Identifier: BSD-2-Clause
#include "client/client.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace portolan::client {
namespace {

/// Whether a server says that it is there (RFC 6887 s14.1.3).
auto announces_itself(std::span<const std::byte> datagram) -> bool {
  const auto response = wire::decode_response(datagram);
  return response && response->result == wire::ResultCode::success &&
         std::holds_alternative<wire::Announce>(response->body);
}

/// Appends the paths from one address.
void add_paths_from(const IpAddress& client_address, const std::vector<Path>& paths,
                    std::vector<Path>& found) {
  std::ranges::copy_if(paths, std::back_inserter(found),
                       [&client_address](const Path& path) { return path.client_address == client_address; });
}

auto handle_of(const Event& event) -> std::optional<Handle> {
  return std::visit(
      [](const auto& happened) -> std::optional<Handle> {
        if constexpr (requires { happened.handle; }) return happened.handle;
        return {};
      },
      event);
}

}  // namespace

Client::Client(const ClientConfig& config, Random& random) : config_(config), random_(random) {}

auto Client::suits(const ClientWish& wish, const Association& association) -> bool {
  const IpAddress& client = association.current().client_address;
  if (!wish.server.empty() && wish.server != association.server.name) return false;
  if (wish.client_address != association.client_address) return false;
  if (wish.client_family && *wish.client_family != client.family()) return false;
  // An IPv4 host has no use for an external IPv6 address.
  if (client.is_ipv4() && !wish.wish.suggested_external_address.is_ipv4()) return false;
  if (wish.wish.remote_peer && wish.wish.remote_peer->address.family() != client.family()) return false;
  return std::ranges::all_of(wish.wish.filters, [&client](const RemoteFilter& filter) {
    return filter.remote_peers.address().family() == client.family();
  });
}

void Client::set_servers(TimePoint now, const std::vector<Server>& servers) {
  servers_ = servers;
  if (servers_.size() > servers_max) servers_.resize(servers_max);
  for (Server& server : servers_) {
    PORTOLAN_CHECK(!server.paths.empty());
    if (server.paths.size() > paths_max) server.paths.resize(paths_max);
    if (server.other_paths.size() > other_paths_max) server.other_paths.resize(other_paths_max);
  }
  for (auto entry = associations_.begin(); entry != associations_.end();) {
    if (const auto server = offered(entry->first)) {
      use_paths(now, entry->second, *server);
      ++entry;
      continue;
    }
    const std::string& name = entry->first.server;
    const bool is_listed = std::ranges::find(servers_, name, &Server::name) != servers_.end();
    leave(now, entry->second, is_listed ? Lost::Reason::address_changed : Lost::Reason::server_gone, true);
    entry = associations_.erase(entry);
  }
  associate(now, {});
  for (const IpAddress& client_address : named_addresses()) associate(now, client_address);
  drop_ended();
}

auto Client::offered(const Place& place) const -> std::optional<Server> {
  const auto server = std::ranges::find(servers_, place.server, &Server::name);
  if (server == servers_.end()) return {};
  if (!place.client_address) return *server;
  Server from{.name = server->name, .paths = {}};
  add_paths_from(*place.client_address, server->paths, from.paths);
  add_paths_from(*place.client_address, server->other_paths, from.paths);
  if (from.paths.size() > paths_max) from.paths.resize(paths_max);
  return from.paths.empty() ? std::nullopt : std::optional(std::move(from));
}

void Client::associate(TimePoint now, const std::optional<IpAddress>& client_address) {
  for (const Server& server : servers_) {
    const Place place{.server = server.name, .client_address = client_address};
    if (associations_.contains(place)) continue;
    auto there = offered(place);
    if (!there) continue;
    Association& added = associations_[place];
    added.client_address = client_address;
    added.server = std::move(*there);
    start(now, added);
  }
}

void Client::use_paths(TimePoint now, Association& association, const Server& server) {
  const Path before = association.current();
  const auto same =
      std::ranges::find_if(server.paths, [&before](const Path& path) { return is_same_way(path, before); });
  if (same != server.paths.end() && association.engine) {
    association.server = server;
    association.path = static_cast<std::size_t>(same - server.paths.begin());
    association.engine->limit_lifetimes(same->address_valid_until);
    return;
  }
  if (association.server.paths == server.paths) return;
  // Nothing that was learnt about the old ways counts for the new ones (RFC 6887 s8.3).
  const bool keeps_address = server.paths.front().client_address == before.client_address;
  leave(now, association, Lost::Reason::address_changed, !keeps_address);
  association.server = server;
  association.path = 0;
  association.tried = 0;
  start(now, association);
}

void Client::start(TimePoint now, Association& association) {
  const Path& path = association.current();
  Config config;
  config.server = path.server;
  config.client_address = path.client_address;
  config.speech = config_.speech;
  config.retransmission = config_.retransmission;
  config.lifetime_max = config_.lifetime_max;
  if (association.server.paths.size() > 1) config.unanswered_max = unanswered_max;
  association.engine = std::make_unique<Engine>(config, random_);
  association.engine->limit_lifetimes(path.address_valid_until);
  association.retry_at.reset();
  for (auto& [id, state] : wishes_)
    if (!state.is_removed) ask(now, association, id, state);
  collect(now, association);
}

void Client::ask(TimePoint now, Association& association, WishId id, WishState& state) {
  if (!association.engine || !suits(state.wish, association)) return;
  const std::string& server = association.server.name;
  Wish wish = state.wish.wish;
  const auto known = state.nonces.find(server);
  if (known != state.nonces.end()) wish.nonce = known->second;
  if (state.wish.nonce_for) wish.nonce = state.wish.nonce_for(server, association.current().client_address);
  std::optional<Mapping> held;
  if (const auto kept = state.held.extract(server); !kept.empty()) held = kept.mapped();
  const Handle handle = association.engine->map(now, wish, held);
  if (held && !association.engine->mapping(handle)) tell_lost(association, id, *held, Lost::Reason::expired);
  association.handles[id] = handle;
  keep_nonce(state, server, association.engine->nonce(handle).value_or(Nonce{}));
}

void Client::keep_nonce(WishState& state, const std::string& server, const Nonce& nonce) const {
  state.nonces[server] = nonce;
  if (state.nonces.size() > nonces_max)
    std::erase_if(state.nonces,
                  [this](const auto& entry) { return !associations_.contains({.server = entry.first}); });
}

void Client::leave(TimePoint now, Association& association, Lost::Reason reason, bool deletes) {
  if (!association.engine) return;
  Engine& engine = *association.engine;
  const Path path = association.current();
  for (const auto& [id, handle] : association.handles) {
    const auto mapping = engine.mapping(handle);
    const auto state = wishes_.find(id);
    if (mapping && !deletes && state != wishes_.end()) {
      state->second.held[association.server.name] = *mapping;
    } else if (mapping) {
      tell_lost(association, id, *mapping, reason);
    }
    if (deletes)
      engine.remove(now, handle);
    else
      engine.forget(handle);
  }
  association.handles.clear();
  for (Send& send : engine.take_actions().send)
    actions_.send.push_back({.path = path, .datagram = send.datagram});
  if (!engine.is_idle()) {
    if (leaving_.size() >= leaving_max) leaving_.erase(leaving_.begin());
    leaving_.push_back({.path = path, .engine = std::move(association.engine), .until = now + leaving_time});
  }
  association.engine.reset();
}

void Client::tell_lost(const Association& association, WishId id, const Mapping& mapping,
                       Lost::Reason reason) {
  actions_.events.push_back({.wish = id,
                             .server = association.server.name,
                             .path = association.current(),
                             .event = Lost{.handle = {}, .mapping = mapping, .reason = reason}});
}

void Client::expire_held(TimePoint now, const Association& association) {
  for (auto& [id, state] : wishes_) {
    const auto held = state.held.find(association.server.name);
    if (state.wish.client_address != association.client_address || held == state.held.end() ||
        now < held->second.expires)
      continue;
    tell_lost(association, id, held->second, Lost::Reason::expired);
    state.held.erase(held);
  }
}

void Client::try_next_path(TimePoint now, Association& association) {
  const Path before = association.current();
  ++association.tried;
  const std::size_t next = (association.path + 1) % association.server.paths.size();
  const bool keeps_address = association.server.paths[next].client_address == before.client_address;
  leave(now, association, Lost::Reason::address_changed, !keeps_address);
  association.path = next;
  if (association.tried >= association.server.paths.size()) {
    association.tried = 0;
    association.path = 0;
    association.retry_at = now + all_tried_pause;
    return;
  }
  start(now, association);
}

auto Client::come_back(TimePoint now, Association& association, std::size_t path) -> bool {
  // What has answered at the present address is asked there.
  if (association.engine && association.tried == 0) return false;
  const IpAddress before = association.current().client_address;
  leave(now, association, Lost::Reason::address_changed,
        association.server.paths[path].client_address != before);
  association.path = path;
  association.tried = 0;
  // Everybody on the link has heard it.
  association.retry_at = now + Nanoseconds{static_cast<Nanoseconds::rep>(
                                   random_.below(Nanoseconds{Engine::recovery_delay_max}.count() + 1ULL))};
  return true;
}

void Client::collect(TimePoint now, Association& association) {
  Actions actions = association.engine->take_actions();
  const bool is_unresponsive = std::ranges::any_of(
      actions.events, [](const Event& event) { return std::holds_alternative<Unresponsive>(event); });
  const bool switches = is_unresponsive && association.server.paths.size() > 1;
  // What would be sent once more to the address that does not answer goes to the next one instead.
  if (!switches)
    for (Send& send : actions.send)
      actions_.send.push_back({.path = association.current(), .datagram = send.datagram});
  std::vector<WishId> ended;
  for (Event& event : actions.events) {
    ClientEvent told{.wish = {},
                     .server = association.server.name,
                     .path = association.current(),
                     .event = std::move(event)};
    if (const auto handle = handle_of(told.event)) {
      const auto entry =
          std::ranges::find(association.handles, *handle, &std::pair<const WishId, Handle>::second);
      if (entry != association.handles.end()) {
        told.wish = entry->first;
        if (!association.engine->nonce(*handle)) ended.push_back(entry->first);
      }
    }
    actions_.events.push_back(std::move(told));
  }
  for (const WishId id : ended) association.handles.erase(id);
  if (switches) try_next_path(now, association);
}

auto Client::add(TimePoint now, const ClientWish& wish, std::vector<Held> held, Nonces nonces) -> WishId {
  PORTOLAN_CHECK(wishes_.size() < wishes_max && nonces.size() <= nonces_max && !error_in(wish.wish));
  const WishId id{++last_id_};
  WishState& state = wishes_[id];
  state.wish = wish;
  state.nonces = std::move(nonces);
  for (Held& entry : held) {
    state.nonces[entry.server] = entry.mapping.nonce;
    state.held[entry.server] = std::move(entry.mapping);
  }
  for (auto& [place, association] : associations_) {
    ask(now, association, id, state);
    if (association.engine) collect(now, association);
  }
  associate(now, wish.client_address);
  return id;
}

void Client::remove(TimePoint now, WishId id) {
  const auto found = wishes_.find(id);
  if (found == wishes_.end()) return;
  found->second.is_removed = true;
  for (auto& [place, association] : associations_) {
    const auto handle = association.handles.find(id);
    if (handle == association.handles.end() || !association.engine) continue;
    association.engine->remove(now, handle->second);
    collect(now, association);
  }
  drop_ended();
}

void Client::forget(WishId id) {
  for (auto& [place, association] : associations_) {
    const auto handle = association.handles.find(id);
    if (handle == association.handles.end()) continue;
    if (association.engine) association.engine->forget(handle->second);
    association.handles.erase(handle);
  }
  wishes_.erase(id);
  drop_ended();
}

void Client::drop_ended() {
  std::erase_if(wishes_, [this](const auto& entry) {
    return entry.second.is_removed && std::ranges::none_of(associations_, [&entry](const auto& association) {
             return association.second.handles.contains(entry.first);
           });
  });
  // Nobody names that address any more.
  std::erase_if(associations_, [this](const auto& entry) {
    const auto& client_address = entry.first.client_address;
    return client_address && std::ranges::none_of(wishes_, [&client_address](const auto& wish) {
             return wish.second.wish.client_address == client_address;
           });
  });
}

auto Client::receive(TimePoint now, const std::optional<IpAddress>& client_address,
                     std::uint32_t interface_index, const Endpoint& from, std::span<const std::byte> datagram)
    -> Reception {
  Reception best = Reception::not_from_server;
  const auto is_by = [&](const Path& path) {
    return path.server == from && (!client_address || *client_address == path.client_address) &&
           (path.interface_index == 0 || path.interface_index == interface_index);
  };
  for (auto& [place, association] : associations_) {
    if (!association.engine || !is_by(association.current())) {
      const auto& paths = association.server.paths;
      const auto by = std::ranges::find_if(paths, is_by);
      if (by != paths.end() && announces_itself(datagram) &&
          come_back(now, association, static_cast<std::size_t>(by - paths.begin())))
        best = Reception::accepted;
      continue;
    }
    const Reception reception = association.engine->receive(now, from, datagram);
    if (reception == Reception::accepted) association.tried = 0;
    if (best != Reception::accepted) best = reception;
    collect(now, association);
  }
  for (Leaving& leaving : leaving_)
    if (is_by(leaving.path) && leaving.engine->receive(now, from, datagram) == Reception::accepted)
      best = Reception::accepted;
  drop_ended();
  return best;
}

void Client::unreachable(TimePoint now, const Path& path) {
  for (auto& [place, association] : associations_)
    if (association.engine && association.server.paths.size() > 1 && is_same_way(association.current(), path))
      try_next_path(now, association);
}

void Client::advance(TimePoint now) {
  for (auto& [place, association] : associations_) {
    if (association.engine) {
      association.engine->advance(now);
      collect(now, association);
    } else {
      expire_held(now, association);
      if (now >= *association.retry_at) start(now, association);
    }
  }
  for (Leaving& leaving : leaving_) {
    leaving.engine->advance(now);
    for (Send& send : leaving.engine->take_actions().send)
      actions_.send.push_back({.path = leaving.path, .datagram = send.datagram});
  }
  std::erase_if(leaving_,
                [now](const Leaving& leaving) { return now >= leaving.until || leaving.engine->is_idle(); });
  drop_ended();
}

auto Client::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> earliest;
  const auto consider = [&earliest](std::optional<TimePoint> when) {
    if (when) earliest = earliest ? std::min(*earliest, *when) : *when;
  };
  for (const auto& [place, association] : associations_) {
    if (association.engine) {
      consider(association.engine->next_deadline());
      continue;
    }
    consider(association.retry_at);
    for (const auto& [id, state] : wishes_) {
      const auto held = state.held.find(place.server);
      if (state.wish.client_address == place.client_address && held != state.held.end())
        consider(held->second.expires);
    }
  }
  for (const Leaving& leaving : leaving_) {
    consider(leaving.engine->next_deadline());
    consider(leaving.until);
  }
  return earliest;
}

auto Client::take_actions() -> ClientActions { return std::exchange(actions_, {}); }

auto Client::held(WishId id) const -> std::vector<Held> {
  std::vector<Held> all;
  const auto wish = wishes_.find(id);
  if (wish == wishes_.end()) return all;
  for (const auto& [place, association] : associations_) {
    if (wish->second.wish.client_address != place.client_address) continue;
    const std::string& name = place.server;
    if (!association.engine)
      if (const auto kept = wish->second.held.find(name); kept != wish->second.held.end())
        all.push_back({.server = name, .mapping = kept->second});
    const auto handle = association.handles.find(id);
    if (handle == association.handles.end() || !association.engine) continue;
    if (auto mapping = association.engine->mapping(handle->second))
      all.push_back({.server = name, .mapping = std::move(*mapping)});
  }
  return all;
}

auto Client::nonces(WishId id) const -> Nonces {
  const auto wish = wishes_.find(id);
  return wish == wishes_.end() ? Nonces{} : wish->second.nonces;
}

auto Client::servers_asked(WishId id) const -> std::size_t {
  return static_cast<std::size_t>(std::ranges::count_if(
      associations_, [id](const auto& association) { return association.second.handles.contains(id); }));
}

auto Client::is_asked_only_of(WishId id, const std::set<std::string>& servers) const -> bool {
  return servers_asked(id) != 0 && std::ranges::none_of(associations_, [&](const auto& association) {
           return association.second.handles.contains(id) && !servers.contains(association.first.server);
         });
}

auto Client::has_path_from(const IpAddress& client_address) const -> bool {
  return std::ranges::any_of(servers_, [&](const Server& server) {
    return offered({.server = server.name, .client_address = client_address}).has_value();
  });
}

auto Client::named_addresses() const -> std::set<IpAddress> {
  std::set<IpAddress> named;
  for (const auto& [id, state] : wishes_)
    if (state.wish.client_address) named.insert(*state.wish.client_address);
  return named;
}

auto Client::is_deleting() const -> bool {
  return !leaving_.empty() ||
         std::ranges::any_of(wishes_, [](const auto& entry) { return entry.second.is_removed; });
}

auto Client::paths() const -> std::vector<Path> {
  std::vector<Path> all;
  for (const auto& [place, association] : associations_)
    if (association.engine) all.push_back(association.current());
  for (const Leaving& leaving : leaving_) all.push_back(leaving.path);
  return all;
}

auto Client::nat64_prefixes() const -> std::map<std::string, std::vector<Nat64Prefix>> {
  std::map<std::string, std::vector<Nat64Prefix>> all;
  for (const auto& [place, association] : associations_)
    if (association.engine && !association.engine->nat64_prefixes().empty())
      all[place.server] = association.engine->nat64_prefixes();
  return all;
}

auto Client::broken_invariant() const -> std::optional<std::string> {
  for (const auto& [place, association] : associations_) {
    if (place.client_address && !named_addresses().contains(*place.client_address))
      return "asked from an address that nobody names";
    if (association.path >= association.server.paths.size()) return "a path that is not there";
    if (!association.engine && !association.retry_at) return "a server that nobody comes back to";
    if (!association.engine && !association.handles.empty()) return "wishes asked of nobody";
    for (const auto& [id, handle] : association.handles)
      if (!wishes_.contains(id)) return "asked for without a wish";
    if (!association.engine) continue;
    if (auto broken = association.engine->broken_invariant()) return broken;
    for (const auto& [id, state] : wishes_)
      if (!state.is_removed && suits(state.wish, association) && config_.retransmission.count_max == 0 &&
          config_.retransmission.duration_max == Milliseconds{0} && !association.handles.contains(id))
        return "a wish not asked for";
  }
  if (leaving_.size() > leaving_max) return "too many are left";
  return {};
}

}  // namespace portolan::client
