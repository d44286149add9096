// SPDX-License-Identifier: BSD-2-Clause
//
// What asks the agent: `portolan list`, `drop`, and `map --keep`.
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "io/event_loop.h"
#include "io/stream.h"
#include "io/system.h"
#include "portolan/agent_config.h"
#include "portolan/commands.h"
#include "portolan/dissection_report.h"
#include "portolan/keeper_report.h"
#include "portolan/report.h"

namespace portolan {
namespace {

/// How long an agent may take for what it need not ask anybody about.
constexpr Seconds answer_max{10};

/// One request, and all that is answered.
class Conversation {
 public:
  enum class End : std::uint8_t { done, refused, silent, no_agent };
  struct Outcome {
    End end = End::no_agent;
    std::string why;
  };
  using Take = std::function<void(const std::string& line, const StoredMapping& mapping)>;

  Conversation(const std::string& socket, Take take) : socket_(socket), take_(std::move(take)) {}

  auto run(const AgentRequest& request, Seconds patience) -> Outcome {
    stream_ = io::Stream::connect(
        loop_, {.kind = io::StreamAddress::Kind::unix_socket, .path = socket_, .endpoint = {}}, {},
        {.opened = [this] { outcome_.end = End::refused; },
         .received = [this](std::span<const std::byte> octets) { hear(octets); },
         .closed = [this](const std::string& reason) { finish(outcome_.end, reason); }});
    const auto timeout =
        loop_.at(io::monotonic_now() + patience, [this] { finish(End::silent, "it does not answer"); });
    const std::string line = encode_request(request) + "\n";
    stream_.send(std::as_bytes(std::span(line)));
    loop_.run();
    return outcome_;
  }

 private:
  void hear(std::span<const std::byte> octets) {
    input_.append(reinterpret_cast<const char*>(octets.data()), octets.size());
    for (auto end = input_.find('\n'); end != std::string::npos && !is_over_; end = input_.find('\n')) {
      take(input_.substr(0, end));
      input_.erase(0, end + 1);
    }
    if (input_.size() > agent_state_octets_max) finish(End::refused, "its answer is too long");
  }

  void take(const std::string& line) {
    const auto reply = parse_reply(line, io::monotonic_now());
    if (!reply) return finish(End::refused, fmt::format("its answer is not understood: {}", reply.error()));
    if (!reply->error.empty()) return finish(End::refused, reply->error);
    if (!reply->mapping) return finish(End::done, "");
    take_(line, *reply->mapping);
  }

  void finish(End end, std::string why) {
    if (is_over_) return;
    is_over_ = true;
    outcome_ = {.end = end, .why = std::move(why)};
    loop_.stop();
  }

  const std::string& socket_;
  Take take_;
  io::EventLoop loop_;
  io::Stream stream_;
  std::string input_;
  Outcome outcome_;
  bool is_over_ = false;
};

auto listed_text(const StoredMapping& mapping, TimePoint now) -> std::string {
  const std::string key = key_of(mapping.wish);
  if (mapping.held.empty()) return fmt::format("{}: not reachable now\n", key);
  std::string text;
  for (const client::Held& held : mapping.held)
    text += fmt::format("{}: {}, for {} s (PCP server {})\n", key, place_text(held.mapping),
                        std::chrono::round<Seconds>(held.mapping.expires - now).count(), held.server);
  return text;
}

auto drop_command(const client::Wish& wish) -> std::string {
  std::string command = fmt::format("portolan drop {} {}", wish.protocol, wish.internal_port);
  if (!wish.suggested_external_address.is_ipv4()) command += " --external ipv6";
  if (wish.remote_peer)
    command +=
        fmt::format(" --peer-address {} --peer-port {}", wish.remote_peer->address, wish.remote_peer->port);
  if (wish.third_party) command += fmt::format(" --third-party {}", *wish.third_party);
  if (wish.third_party_id) command += " --third-party-id " + plain_hex(*wish.third_party_id);
  return command;
}

}  // namespace

auto run_ask_agent(const AskAgentCommand& command) -> int {
  bool is_any_missing = false;
  Conversation conversation(command.socket, [&](const std::string& line, const StoredMapping& mapping) {
    is_any_missing = is_any_missing || mapping.held.empty();
    if (command.is_json)
      fmt::print("{}\n", line);
    else
      fmt::print("{}", listed_text(mapping, io::monotonic_now()));
  });
  const auto outcome = conversation.run(command.request, answer_max);
  using End = Conversation::End;
  std::string why = outcome.why;
  if (outcome.end == End::silent || outcome.end == End::no_agent)
    why = fmt::format("no agent answers at {} ({}): start it by `portolan agent`, or name its --socket",
                      command.socket, outcome.why);
  if (command.is_json) fmt::print("{}\n", encode_reply({.mapping = {}, .error = why}, io::monotonic_now()));
  if (!why.empty()) fmt::print(stderr, "portolan: {}\n", why);
  switch (outcome.end) {
    case End::done: return is_any_missing ? exit_refused : exit_success;
    case End::refused: return exit_refused;
    case End::silent:
    case End::no_agent: return exit_no_answer;
  }
  std::unreachable();
}

auto hand_to_agent(const MapCommand& command) -> std::optional<int> {
  Conversation conversation(command.agent_socket, [&](const std::string&, const StoredMapping& mapping) {
    for (const client::Held& held : mapping.held) {
      Asked asked;
      asked.command = command;
      asked.internal = held.mapping.internal;
      asked.server = held.server;
      asked.nonce = held.mapping.nonce;
      fmt::print("{}\n", command.common.is_json ? event_json(asked, "granted", held.mapping)
                                                : granted_text(asked, held.mapping));
    }
  });
  const auto outcome =
      conversation.run({.kind = AgentRequest::Kind::add, .wish = command.wish}, command.common.timeout);
  using End = Conversation::End;
  if (outcome.end == End::no_agent) return {};
  if (outcome.end == End::done) return exit_success;
  Asked asked;
  asked.command = command;
  asked.internal.port = command.wish.internal_port;
  const std::string why =
      outcome.end == End::refused
          ? outcome.why
          : fmt::format("no PCP server has answered within {} s; the agent goes on asking, until you `{}`",
                        command.common.timeout.count(), drop_command(command.wish));
  if (command.common.is_json) fmt::print("{}\n", failed_json(asked, why));
  fmt::print(stderr, "portolan: {}\n", why);
  return outcome.end == End::refused ? exit_refused : exit_no_answer;
}

}  // namespace portolan
