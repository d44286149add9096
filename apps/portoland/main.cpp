// SPDX-License-Identifier: BSD-2-Clause
//
// portoland: the PCP server daemon. Options, configuration, life cycle.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "io/append_file.h"
#include "io/event_loop.h"
#include "io/log.h"
#include "io/memory.h"
#include "io/notify.h"
#include "portoland/config.h"
#include "portoland/daemon.h"

namespace portolan::portoland {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

struct Options {
  std::filesystem::path config = "/etc/portolan/portoland.toml";
  bool check_config = false;
  std::string log_level = "info";
  std::string log_format = "text";
};

auto serve(Settings settings) -> int {
  // The event log may be a pipe, and so may be the log: neither is what the daemon lives for.
  io::ignore_broken_pipes();
  io::EventLoop loop;
  const io::Watch stop = loop.on_signal({SIGINT, SIGTERM}, [&](int signal) {
    io::log::info("stopping", "stopping: signal {signal}", signal);
    loop.stop();
  });
  const gateway::ConfinementSettings confinement = settings.confinement;
  const gateway::Needs needs = needs_of(settings);
  if (const auto begun = gateway::begin_confined(confinement, needs); !begun) {
    io::log::error("start-failed", "{error}", begun.error());
    return exit_failure;
  }
  auto daemon = Daemon::start(std::move(settings), loop);
  if (!daemon) {
    io::log::error("start-failed", "{error}", daemon.error());
    return exit_failure;
  }
  if (const auto confined = gateway::confine(confinement, needs); !confined) {
    io::log::error("start-failed", "{error}", confined.error());
    return exit_failure;
  }
  const io::Watch report = loop.on_signal({SIGUSR1}, [&](int) { (*daemon)->log_counters(); });
  const io::Watch change = loop.on_signal({SIGHUP}, [&](int) { static_cast<void>((*daemon)->reload()); });
  io::log::info("ready", "ready");
  if (const auto told = io::notify_service_manager("READY=1"); !told)
    io::log::warn("service-manager-not-told", "{error}", told.error());
  loop.run();
  if (const auto told = io::notify_service_manager("STOPPING=1"); !told)
    io::log::warn("service-manager-not-told", "{error}", told.error());
  (*daemon)->log_counters();
  return 0;
}

auto run(const Options& options) -> int {
  auto settings = load_settings(options.config);
  if (!settings) {
    for (const std::string& error : settings.error()) fmt::print(stderr, "portoland: {}\n", error);
    return exit_usage;
  }
  if (options.check_config) {
    const gateway::HostCheck found = gateway::check_host(named_by(*settings));
    for (const std::string& error : found.errors) fmt::print(stderr, "portoland: {}\n", error);
    for (const std::string& note : found.notes) fmt::print(stderr, "portoland: note: {}\n", note);
    if (!found.errors.empty()) return exit_usage;
    fmt::print("{}: no mistakes found\n", options.config.string());
    return 0;
  }
  return serve(std::move(*settings));
}

}  // namespace
}  // namespace portolan::portoland

auto main(int argc, char** argv) -> int {
  namespace io = portolan::io;
  namespace portoland = portolan::portoland;
  io::allocate_huge_pages(argv);
  io::give_back_large_blocks();
  portoland::Options options;
  CLI::App app("portoland: a Port Control Protocol server (RFC 6887) that drives a NAT64", "portoland");
  app.set_version_flag("--version", "portoland " PORTOLAN_VERSION);
  app.add_option("-c,--config", options.config, "Configuration file; see portoland.toml(5)")
      ->capture_default_str();
  app.add_flag("--check-config", options.check_config, "Check the configuration file and exit");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warning, error or off")
      ->capture_default_str();
  app.add_option("--log-format", options.log_format, "text or json")->capture_default_str();
  app.footer(
      "Signals: TERM and INT stop it and undo what it changed on the host; HUP makes it read its "
      "configuration again; USR1 writes its counters to the log.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : portoland::exit_usage;
  }
  if (const auto log = io::log::set_up(options.log_level, options.log_format); !log) {
    fmt::print(stderr, "portoland: {}\n", log.error());
    return portoland::exit_usage;
  }
  try {
    return portoland::run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "portoland: {}\n", error.what());
    return portoland::exit_failure;
  }
}
