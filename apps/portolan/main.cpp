// SPDX-License-Identifier: BSD-2-Clause
//
// portolan: the PCP client command. The commands themselves are in files of their names.
#include <cstdio>
#include <exception>
#include <span>

#include <fmt/format.h>

#include "portolan/commands.h"
#include "portolan/options.h"

namespace portolan {
namespace {

auto run(const MapCommand& command) -> int { return run_map(command); }
auto run(const AnnounceCommand& command) -> int { return run_announce(command); }
auto run(const DiscoverCommand& command) -> int { return run_discover(command); }
auto run(const AgentCommand& command) -> int { return run_agent(command); }
auto run(const AskAgentCommand& command) -> int { return run_ask_agent(command); }
auto run(const RunCommand& command) -> int { return run_run(command); }
auto run(const DoctorCommand& command) -> int { return run_doctor(command); }
auto run(const DecodeCommand& command) -> int { return run_decode(command); }
auto run(const SendCommand& command) -> int { return run_send(command); }
auto run(const StudioCommand& command) -> int { return run_studio(command); }

}  // namespace
}  // namespace portolan

auto main(int argc, char** argv) -> int try {
  const auto command =
      portolan::parse_command_line(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (command) return std::visit([](const auto& chosen) { return portolan::run(chosen); }, *command);
  const portolan::Exit& exit = command.error();
  fmt::print(exit.status == portolan::exit_success ? stdout : stderr, "{}", exit.text);
  return exit.status;
} catch (const std::exception& error) {
  fmt::print(stderr, "portolan: {}\n", error.what());
  return portolan::exit_no_answer;
}
