// SPDX-License-Identifier: BSD-2-Clause
//
// The command lines of the agent and of those that ask it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "portolan/agent_state.h"
#include "wire/protocol.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name.
class App;
}

namespace portolan {

struct AgentCommand {
  std::string config;
  bool is_config_given = false;
  std::string state;
  std::string socket;
  Port server_port{wire::server_port};
  bool checks_config = false;
};
/// `list`, `drop`.
struct AskAgentCommand {
  AgentRequest request;
  std::string socket;
  bool is_json = false;
};

/// Options that several commands have.
/// `name` is a literal: it is kept.
void add_port(CLI::App& app, const char* name, Port& port, const std::string& what);
void add_external(CLI::App& app, std::function<void(Family)> take);
/// Where this user's programs remember things: `name` in that folder.
[[nodiscard]] auto state_place(std::string_view name) -> std::string;
/// What to do where the socket can't be: who comes by su or cron has no folder for it, and nobody said so.
[[nodiscard]] auto socket_remedy(std::string_view socket) -> std::string_view;
/// Where the agent of this user is.
void add_socket(CLI::App& app, std::string& socket);

/// Each adds its options to its subcommand. Places that are not given are this user's own.
void add_agent(CLI::App& app, AgentCommand& command);
void add_list(CLI::App& app, AskAgentCommand& command);
void add_drop(CLI::App& app, AskAgentCommand& command);

}  // namespace portolan
