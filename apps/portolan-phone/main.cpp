// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-phone: a SIP phone that PCP makes reachable.
#include <csignal>
#include <cstdio>
#include <exception>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "io/signals.h"
#include "io/system.h"
#include "portolan-phone/interactive.h"
#include "portolan-phone/options.h"
#include "portolan-phone/script.h"
#include "portolan-phone/sound.h"
#include "portolan-phone/surroundings.h"
#include "portolan-phone/trace.h"

namespace portolan::phone {
namespace {

auto run(Options options) -> int {
  // First what may be wrong before anything is asked of others.
  auto sound = Sound::open(options);
  if (!sound) {
    fmt::print(stderr, "portolan-phone: {}\n", sound.error());
    return exit_usage;
  }
  if (const auto traced = begin_trace(options); !traced) {
    fmt::print(stderr, "portolan-phone: {}\n", traced.error());
    return exit_system;
  }
  if (const auto seen = look_around(options.phone); !seen) {
    fmt::print(stderr, "portolan-phone: {}\n", seen.error());
    return exit_system;
  }
  // Until here there is nothing to undo: a signal just ends it, however long a name server is waited for.
  auto signals = io::Signals::open({SIGINT, SIGTERM});
  if (!signals) {
    fmt::print(stderr, "portolan-phone: {}\n", to_string(signals.error()));
    return exit_system;
  }
  io::SystemRandom random;
  const auto phone = sip::Phone::open(options.phone, random);
  if (!phone) {
    fmt::print(stderr, "portolan-phone: {}\n", phone.error());
    return exit_system;
  }
  const bool is_interactive = options.call.empty() && !options.answers;
  return (is_interactive ? run_interactive : run_script)(options, **phone, *std::move(sound), *signals);
}

}  // namespace
}  // namespace portolan::phone

auto main(int argc, char** argv) -> int try {
  const auto options =
      portolan::phone::parse_command_line(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  if (options) return portolan::phone::run(*options);
  const portolan::phone::Exit& exit = options.error();
  fmt::print(exit.status == portolan::phone::exit_success ? stdout : stderr, "{}", exit.text);
  return exit.status;
} catch (const std::exception& error) {
  fmt::print(stderr, "portolan-phone: {}\n", error.what());
  return portolan::phone::exit_system;
}
