// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "gateway/config_reader.h"
#include "io/notify.h"
#include "io/read_file.h"
#include "io/write_file.h"
#include "portolan/agent_options.h"
#include "portolan/commands.h"
#include "portolan/keeper_report.h"

namespace portolan {

auto Agent::open(io::EventLoop& loop, const AgentConfig& config, const std::filesystem::path& state,
                 const std::filesystem::path& socket, std::function<void(const std::string&)> say)
    -> std::expected<std::unique_ptr<Agent>, Exit> {
  std::unique_ptr<Agent> agent(new Agent(state, std::move(say)));
  // Only this user.
  auto listener = io::StreamListener::open(
      loop, {.kind = io::StreamAddress::Kind::unix_socket, .path = socket, .endpoint = {}}, {},
      [raw = agent.get()](io::Stream stream) { raw->accept(std::move(stream)); },
      {.mode = 0600, .group = {}});
  if (!listener)
    return std::unexpected(Exit{
        .status = exit_usage, .text = fmt::format("{}{}", listener.error(), socket_remedy(socket.string()))});
  agent->listener_ = std::move(*listener);
  auto keeper = Keeper::open(loop, config.keeper,
                             {.happened = [raw = agent.get()](const auto& event) { raw->happened(event); },
                              .note = agent->say_,
                              .keeping = [raw = agent.get()] { raw->save(); }});
  if (!keeper) return std::unexpected(Exit{.status = exit_refused, .text = keeper.error()});
  agent->keeper_ = std::move(*keeper);
  if (auto restored = agent->restore(config); !restored)
    return std::unexpected(Exit{.status = exit_usage, .text = restored.error()});
  return agent;
}

Agent::Agent(std::filesystem::path state, std::function<void(const std::string&)> say)
    : state_path_(std::move(state)), say_(std::move(say)) {}

auto Agent::read_state() const -> std::expected<std::vector<StoredMapping>, std::string> {
  const auto octets = io::read_file(state_path_, agent_state_octets_max);
  if (!octets && octets.error().number == ENOENT) return std::vector<StoredMapping>{};
  const auto fail = [this](const std::string& why) {
    return std::unexpected(fmt::format(
        "{}: {}: correct it, or remove it to begin anew; mappings that servers keep for this host then "
        "end by themselves",
        state_path_.string(), why));
  };
  if (!octets) return fail(io::to_string(octets.error()));
  auto stored = parse_state({reinterpret_cast<const char*>(octets->data()), octets->size()},
                            io::monotonic_now(), io::wall_now());
  if (!stored) return fail(stored.error());
  return stored;
}

auto Agent::restore(const AgentConfig& config) -> std::expected<void, std::string> {
  auto stored = read_state();
  if (!stored) return std::unexpected(stored.error());
  for (const client::Wish& wish : config.wishes) {
    const auto known = std::ranges::find_if(
        *stored, [&](const StoredMapping& each) { return key_of(each.wish) == key_of(wish); });
    StoredMapping mapping = known == stored->end() ? StoredMapping{} : std::move(*known);
    mapping.wish = wish;
    mapping.is_asked = false;
    add(std::move(mapping));
  }
  // What the file named once and does not any more is let go of; its mappings end by themselves.
  for (StoredMapping& each : *stored)
    if (each.is_asked && !entries_.contains(key_of(each.wish)) && entries_.size() < agent_mappings_max)
      add(std::move(each));
  keeper_->carry_out();
  save();
  return {};
}

auto Agent::reload(const AgentConfig& config) -> std::expected<void, std::string> {
  std::set<std::string> named;
  for (const client::Wish& wish : config.wishes) named.insert(key_of(wish));
  const auto stays = [&named](const auto& entry) {
    return entry.second.is_asked && !named.contains(entry.first);
  };
  const auto asked = static_cast<std::size_t>(std::ranges::count_if(entries_, stays));
  if (named.size() + asked > agent_mappings_max)
    return std::unexpected(
        fmt::format("with those that were asked for these are more than {} mappings: drop some first",
                    agent_mappings_max));
  if (!keeper_->has_room(named.size()))
    return std::unexpected("too many mappings are being dropped: reload it again when servers have answered");
  for (const auto& [key, entry] : entries_)
    if (!entry.is_asked && !named.contains(key)) keeper_->remove(entry.id);
  std::erase_if(entries_,
                [&](const auto& entry) { return !entry.second.is_asked && !named.contains(entry.first); });
  for (const client::Wish& wish : config.wishes) {
    const auto known = entries_.find(key_of(wish));
    if (known != entries_.end()) known->second.is_asked = false;
    if (known != entries_.end() && known->second.wish == wish) continue;
    StoredMapping mapping;
    if (known != entries_.end()) {
      mapping = stored(known->second);
      keeper_->forget(known->second.id);
    }
    mapping.wish = wish;
    add(std::move(mapping));
  }
  keeper_->use(config.keeper);
  keeper_->carry_out();
  save();
  return {};
}

void Agent::add(StoredMapping mapping) {
  Entry entry{.wish = mapping.wish, .is_asked = mapping.is_asked};
  entry.id = keeper_->add(key_of(mapping.wish), {.wish = mapping.wish}, std::move(mapping.held),
                          std::move(mapping.nonces));
  entries_[key_of(entry.wish)] = std::move(entry);
}

auto Agent::stored(const Entry& entry) const -> StoredMapping {
  return {.wish = entry.wish,
          .is_asked = entry.is_asked,
          .held = keeper_->client().held(entry.id),
          .nonces = keeper_->client().nonces(entry.id)};
}

auto Agent::stored() const -> std::vector<StoredMapping> {
  std::vector<StoredMapping> mappings;
  mappings.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) mappings.push_back(stored(entry));
  return mappings;
}

void Agent::save() {
  // The keeper may send before there is anything to keep, or to lose.
  if (!keeper_) return;
  auto text = encode_state(stored(), io::monotonic_now(), io::wall_now());
  if (text == saved_) return;
  const auto written = io::replace_file(state_path_, text);
  // Told once, and tried again each time.
  if (!written && !is_unsaved_)
    say_(fmt::format("{} cannot be written ({}): after a restart, mappings may have other ports",
                     state_path_.string(), io::to_string(written.error())));
  is_unsaved_ = !written;
  if (written) saved_ = std::move(text);
}

void Agent::happened(const client::ClientEvent& event) {
  const std::string key = keeper_ ? keeper_->name_of(event) : "";
  const auto entry = entries_.find(key);
  const bool is_kept = entry != entries_.end() && entry->second.id == event.wish;
  if (const std::string line = event_line(key, event, !is_kept); !line.empty()) say_(line);
  if (is_kept) answer_waiting(key, event);
}

/// The first server that grants counts, or the last one that refuses of those that are asked.
void Agent::answer_waiting(const std::string& key, const client::ClientEvent& event) {
  const bool is_granted = std::holds_alternative<client::Granted>(event.event);
  const auto* const refused = std::get_if<client::Refused>(&event.event);
  if (!is_granted && refused == nullptr) return;
  const Entry& entry = entries_.at(key);
  for (const auto& asker : askers_) {
    if (asker->waits_for != key) continue;
    if (is_granted) {
      end(*asker, {stored(entry)}, "");
      continue;
    }
    asker->refused_by.insert(event.server);
    if (keeper_->client().is_asked_only_of(entry.id, asker->refused_by))
      end(*asker, {}, fmt::format("{}, until you drop it", event_line(key, event, false)));
  }
}

void Agent::accept(io::Stream stream) {
  std::erase_if(askers_, [](const auto& asker) { return !asker->stream.is_open(); });
  if (askers_.size() >= askers_max) return;
  askers_.push_back(std::make_unique<Asker>(Asker{.stream = std::move(stream), .input = {}}));
  Asker& asker = *askers_.back();
  asker.stream.start({.received = [this, &asker](std::span<const std::byte> octets) { hear(asker, octets); },
                      .closed = [](const std::string&) {}});
}

void Agent::hear(Asker& asker, std::span<const std::byte> octets) {
  // One request is answered.
  if (!asker.waits_for.empty()) return;
  asker.input.append(reinterpret_cast<const char*>(octets.data()), octets.size());
  const std::size_t length = asker.input.find('\n');
  if (std::min(length, asker.input.size()) > agent_line_octets_max)
    return end(asker, {}, fmt::format("a request has at most {} octets", agent_line_octets_max));
  if (length == std::string::npos) return;
  const auto request = parse_request(std::string_view(asker.input).substr(0, length));
  if (!request) return end(asker, {}, request.error());
  answer(asker, *request);
}

void Agent::end(Asker& asker, const std::vector<StoredMapping>& mappings, const std::string& error) {
  const TimePoint now = io::monotonic_now();
  std::string text;
  for (const StoredMapping& mapping : mappings)
    text += encode_reply({.mapping = mapping, .error = {}}, now) + "\n";
  text += encode_reply({.mapping = {}, .error = error}, now) + "\n";
  asker.waits_for.clear();
  asker.stream.send(std::as_bytes(std::span(text)));
  asker.stream.finish();
}

void Agent::answer(Asker& asker, const AgentRequest& request) {
  if (request.kind == AgentRequest::Kind::list) {
    auto mappings = stored();
    // Listings are shown and logged; who has a nonce has the mapping.
    for (StoredMapping& mapping : mappings) mapping.nonces.clear();
    return end(asker, mappings, "");
  }
  const bool adds = request.kind == AgentRequest::Kind::add;
  const std::string error = adds ? add_asked(request.wish) : drop_asked(request.wish);
  if (!adds || !error.empty()) {
    end(asker, {}, error);
  } else if (const StoredMapping known = stored(entries_.at(key_of(request.wish))); !known.held.empty()) {
    end(asker, {known}, "");
  } else {
    asker.waits_for = key_of(request.wish);
  }
  keeper_->carry_out();
  save();
}

auto Agent::add_asked(const client::Wish& wish) -> std::string {
  const std::string key = key_of(wish);
  if (const auto known = entries_.find(key); known != entries_.end())
    return known->second.wish == wish
               ? ""
               : fmt::format("mapping {} is kept already, as something else: drop it first", key);
  if (entries_.size() >= agent_mappings_max)
    return fmt::format("{} mappings are kept already, which is the most: drop one first", agent_mappings_max);
  if (!keeper_->has_room())
    return "too many mappings are being dropped: try again when servers have answered";
  add({.wish = wish, .is_asked = true, .held = {}, .nonces = {}});
  return {};
}

auto Agent::drop_asked(const client::Wish& wish) -> std::string {
  const std::string key = key_of(wish);
  const auto known = entries_.find(key);
  if (known == entries_.end()) return fmt::format("mapping {} is not kept here", key);
  if (!known->second.is_asked)
    return fmt::format("mapping {} is in the agent's file: remove it there and reload the agent", key);
  keeper_->remove(known->second.id);
  entries_.erase(known);
  return {};
}

namespace {

auto read_config(const std::filesystem::path& path, bool is_given)
    -> std::expected<AgentConfig, std::vector<std::string>> {
  std::error_code error;
  // Without a file there are the mappings that are asked for.
  if (!is_given && !std::filesystem::exists(path, error)) return AgentConfig{};
  const auto text = gateway::read_file(path);
  if (!text) return std::unexpected(text.error());
  return parse_agent_config(*text, path.string());
}

void say(const std::string& line) {
  fmt::print("{}\n", line);
  static_cast<void>(std::fflush(stdout));
}

/// A file with a mistake changes nothing.
void reload(const AgentCommand& command, Agent& agent) {
  auto config = read_config(command.config, command.is_config_given);
  if (!config) {
    for (const std::string& error : config.error()) say(error);
    return say(fmt::format("{} is not used: what it said before goes on", command.config));
  }
  config->keeper.server_port = command.server_port;
  if (const auto reloaded = agent.reload(*config); !reloaded)
    return say(fmt::format("{} is not used: {}", command.config, reloaded.error()));
  say(fmt::format("{} is read again: {} mappings", command.config, config->wishes.size()));
}

}  // namespace

auto run_agent(const AgentCommand& command) -> int {
  auto config = read_config(command.config, command.is_config_given);
  if (!config) {
    for (const std::string& error : config.error()) fmt::print(stderr, "portolan: {}\n", error);
    return exit_usage;
  }
  if (command.checks_config) {
    fmt::print("{}: {} mappings, no mistakes\n", command.config, config->wishes.size());
    return exit_success;
  }
  config->keeper.server_port = command.server_port;
  io::EventLoop loop;
  // Before anything begins. Mappings outlive the agent: it asks for them again when it is back.
  const auto interrupted = loop.on_signal({SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  std::unique_ptr<Agent> agent;
  const auto reloads = loop.on_signal({SIGHUP}, [&](int) { reload(command, *agent); });
  auto opened = Agent::open(loop, *config, command.state, command.socket, say);
  if (!opened) {
    fmt::print(stderr, "portolan: {}\n", opened.error().text);
    return opened.error().status;
  }
  agent = std::move(*opened);
  static_cast<void>(io::notify_service_manager("READY=1"));
  loop.run();
  return exit_success;
}

}  // namespace portolan
