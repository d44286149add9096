// SPDX-License-Identifier: BSD-2-Clause
//
// The commands. Each returns the exit status.
#pragma once

#include <optional>

#include "portolan/options.h"

namespace portolan {

auto run_map(const MapCommand& command) -> int;
/// Has the agent keep the mapping, and waits until a server has answered. Nothing: there is no agent.
auto hand_to_agent(const MapCommand& command) -> std::optional<int>;
auto run_announce(const AnnounceCommand& command) -> int;
auto run_discover(const DiscoverCommand& command) -> int;
auto run_agent(const AgentCommand& command) -> int;
auto run_ask_agent(const AskAgentCommand& command) -> int;
auto run_run(const RunCommand& command) -> int;
auto run_doctor(const DoctorCommand& command) -> int;
auto run_decode(const DecodeCommand& command) -> int;
auto run_send(const SendCommand& command) -> int;
/// `send --sequence`.
auto run_sequence(const SendCommand& command) -> int;
auto run_studio(const StudioCommand& command) -> int;

}  // namespace portolan
