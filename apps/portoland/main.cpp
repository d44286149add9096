// SPDX-License-Identifier: BSD-2-Clause
//
// portoland: the PCP server daemon. Options, configuration, life cycle.
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "io/append_file.h"
#include "io/event_loop.h"
#include "io/log.h"
#include "io/memory.h"
#include "io/notify.h"
#include "portoland/config.h"
#include "portoland/daemon.h"
#include "portoland/store_commands.h"

namespace portolan::portoland {
namespace {

constexpr int exit_failure = 1;
constexpr int exit_usage = 2;

/// Given with or without a file, or not at all.
struct FileOption {
  CLI::Option* option = nullptr;
  std::string file;

  [[nodiscard]] auto is_given() const -> bool { return option->count() > 0; }
};

struct Options {
  std::filesystem::path config = "/etc/portolan/portoland.toml";
  bool check_config = false;
  std::string log_level = "info";
  std::string log_format = "text";
  std::string store;
  FileOption check_store;
  FileOption export_store;
  FileOption import_store;
  FileOption backup;
  bool replace = false;
};

/// The store that is meant: the one named, or that of the configuration.
auto store_path(const Options& options) -> std::expected<std::filesystem::path, std::vector<std::string>> {
  if (!options.check_store.file.empty()) return options.check_store.file;
  if (!options.store.empty()) return options.store;
  const auto settings = load_settings(options.config);
  if (!settings) return std::unexpected(settings.error());
  if (settings->store == StoreKind::sqlite) return settings->store_path;
  return std::unexpected(std::vector{fmt::format(
      "{}: store = \"memory\": there is no store; name one by --store", options.config.string())});
}

/// What is to be done with the store instead of serving, if anything.
auto run_store_command(const Options& options) -> std::optional<int> {
  const std::array commands{&options.check_store, &options.export_store, &options.import_store,
                            &options.backup};
  if (std::ranges::none_of(commands, &FileOption::is_given)) return {};
  const auto store = store_path(options);
  if (!store) {
    for (const std::string& error : store.error()) fmt::print(stderr, "portoland: {}\n", error);
    return exit_usage;
  }
  if (options.check_store.is_given()) return check_store(*store);
  if (options.backup.is_given()) return back_up_store(*store, options.backup.file);
  if (options.import_store.is_given())
    return import_store(*store, options.import_store.file, options.replace);
  const std::string& file = options.export_store.file;
  return export_store(*store, file.empty() ? std::nullopt : std::optional<std::filesystem::path>(file));
}

/// Declares what there is to be done with the store.
void add_store_options(CLI::App& app, Options& options) {
  const auto store =
      app.add_option("--store", options.store, "The store that is meant below; default: the configuration's")
          ->type_name("FILE");
  options.check_store.option = app.add_option("--check-store", options.check_store.file,
                                              "Read all of the store, say what it has, and exit")
                                   ->expected(0, 1)
                                   ->excludes(store);
  options.export_store.option =
      app.add_option("--export", options.export_store.file,
                     "Write what the store has as lines of JSON to a new file, or to standard output")
          ->expected(0, 1);
  options.import_store.option =
      app.add_option("--import", options.import_store.file, "Make the store what such a file says");
  app.add_flag("--replace", options.replace, "Import also over mappings that the store has")
      ->needs(options.import_store.option);
  options.backup.option =
      app.add_option("--backup", options.backup.file, "Copy the store, in use or not, to a new file");
  const std::array commands{options.check_store.option, options.export_store.option,
                            options.import_store.option, options.backup.option};
  for (CLI::Option* one : commands) {
    one->type_name("FILE");
    for (CLI::Option* other : commands)
      if (one != other) one->excludes(other);
  }
}

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
  if (const auto done = run_store_command(options)) return *done;
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
  portoland::add_store_options(app, options);
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
