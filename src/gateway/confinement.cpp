// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/confinement.h"

#include <fmt/ranges.h>

#include "io/log.h"

namespace portolan::gateway {

auto begin_confined(const ConfinementSettings& settings, const Needs& needs)
    -> std::expected<void, std::string> {
  if (const auto may = io::may_become(settings.run_as); !may) return may;
  for (const std::filesystem::path& directory : needs.directories)
    if (const auto made = io::make_directory_for(directory, settings.run_as); !made) return made;
  return io::become(settings.run_as, needs.to_start, needs.system_calls.runs_programs);
}

auto confine(const ConfinementSettings& settings, const Needs& needs) -> std::expected<void, std::string> {
  if (const auto kept = io::keep_only(needs.to_run, needs.system_calls.runs_programs); !kept) return kept;
  if (const auto limited = io::limit_system_calls(needs.system_calls, settings.unexpected_calls); !limited)
    return limited;
  const auto names = io::present_capabilities();
  io::log::info("rights", "rights: {capabilities}; {system_calls}",
                names.empty() ? "no capability" : fmt::format("{}", fmt::join(names, ", ")),
                settings.unexpected_calls == io::UnexpectedCalls::allow ? "any system call"
                                                                        : "the system calls that it uses");
  if (settings.unexpected_calls == io::UnexpectedCalls::allow)
    io::log::warn("system-calls-unlimited",
                  "unexpected_calls is allow: a daemon that is taken over may do whatever its user may");
  return {};
}

}  // namespace portolan::gateway
