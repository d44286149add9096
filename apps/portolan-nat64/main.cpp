// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-nat64: the NAT64 gateway daemon, and the command that looks into one.
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
#include "portolan-nat64/config.h"
#include "portolan-nat64/daemon.h"
#include "portolan-nat64/ports.h"
#include "portolan-nat64/show.h"

namespace portolan::nat64 {
namespace {

struct Options {
  std::string who;  ///< of ports
  std::filesystem::path config = "/etc/portolan/portolan-nat64.toml";
  bool check_config = false;
  std::string log_level = "info";
  std::string log_format = "text";
  Asking asking;
  control::Query query{.number = {1}};
  struct {
    std::string internal, external, remote, protocol;
  } filter;
  struct {
    std::string protocol = "udp", source, destination;
    bool is_syn = false;
  } trace;
};

void notify(std::string_view state) {
  if (const auto told = io::notify_service_manager(state); !told)
    io::log::warn("service-manager-not-told", "{error}", told.error());
}

/// Reads the configuration again. One with mistakes changes nothing, but that a log that was moved away is
/// begun anew.
void reload(Daemon& daemon, const std::filesystem::path& config) {
  notify("RELOADING=1");
  auto settings = load_settings(config, &daemon.settings());
  if (!settings) {
    for (const std::string& error : settings.error())
      io::log::error("configuration-mistake", "{error}", error);
    daemon.reopen_log();
    io::log::error("configuration-not-reloaded", "configuration not reloaded: nothing has changed");
  } else if (const auto done = daemon.reload(*std::move(settings)); !done) {
    io::log::error("configuration-mistake", "{error}", done.error());
    daemon.reopen_log();
    io::log::error("configuration-not-reloaded", "configuration not reloaded: nothing has changed");
  } else {
    io::log::info("configuration-reloaded", "configuration reloaded");
  }
  notify("READY=1");
}

auto serve(const Options& options) -> int {
  auto settings = load_settings(options.config);
  if (!settings) {
    for (const std::string& error : settings.error()) fmt::print(stderr, "portolan-nat64: {}\n", error);
    return exit_usage;
  }
  if (options.check_config) {
    const gateway::HostCheck found = gateway::check_host(named_by(*settings));
    for (const std::string& error : found.errors) fmt::print(stderr, "portolan-nat64: {}\n", error);
    for (const std::string& note : found.notes) fmt::print(stderr, "portolan-nat64: note: {}\n", note);
    if (!found.errors.empty()) return exit_usage;
    fmt::print("{}: no mistakes found\n", options.config.string());
    return exit_fine;
  }
  // The event log may be a pipe, and so may be the log: neither is what the daemon lives for.
  io::ignore_broken_pipes();
  io::EventLoop loop;
  const io::Watch stop = loop.on_signal({SIGINT, SIGTERM}, [&](int signal) {
    io::log::info("stopping", "stopping: signal {signal}", signal);
    loop.stop();
  });
  const gateway::ConfinementSettings confinement = settings->confinement;
  const gateway::Needs needs = needs_of(*settings);
  if (const auto begun = gateway::begin_confined(confinement, needs); !begun) {
    io::log::error("start-failed", "{error}", begun.error());
    return exit_failure;
  }
  auto daemon = Daemon::start(*std::move(settings), loop);
  if (!daemon) {
    io::log::error("start-failed", "{error}", daemon.error());
    return exit_failure;
  }
  if (const auto confined = gateway::confine(confinement, needs); !confined) {
    io::log::error("start-failed", "{error}", confined.error());
    return exit_failure;
  }
  const io::Watch report = loop.on_signal({SIGUSR1}, [&](int) { (*daemon)->log_counters(); });
  const io::Watch change = loop.on_signal({SIGHUP}, [&](int) { reload(**daemon, options.config); });
  io::log::info("ready", "ready");
  notify("READY=1");
  loop.run();
  notify("STOPPING=1");
  (*daemon)->log_counters();
  return exit_fine;
}

auto bad(std::string_view option, std::string_view text, std::string_view remedy) -> int {
  fmt::print(stderr, "portolan-nat64: {} {}: {}\n", option, text, remedy);
  return exit_usage;
}

/// "192.0.2.1:80" or "[2001:db8::1]:80".
auto parse_endpoint(std::string_view text) -> std::optional<Endpoint> {
  const auto address = io::parse_stream_address(fmt::format("tls:{}", text));
  return address ? std::optional(address->endpoint) : std::nullopt;
}

auto show(Options& options) -> int {
  nat::RowFilter& filter = options.query.filter;
  if (const std::string& text = options.filter.internal; !text.empty()) {
    const auto address = IpAddress::parse(text);
    const auto prefix = address ? std::optional(Prefix{*address, 128}) : Prefix::parse(text);
    if (!prefix) return bad("--internal", text, "write an address or prefix such as 2001:db8:112::/64");
    filter.internal = *prefix;
  }
  if (const std::string& text = options.filter.external; !text.empty()) {
    filter.external_address = Ipv4Address::parse(text);
    if (!filter.external_address) return bad("--external", text, "write an IPv4 address such as 192.0.2.14");
  }
  if (const std::string& text = options.filter.remote; !text.empty()) {
    filter.remote_address = Ipv4Address::parse(text);
    if (!filter.remote_address) return bad("--remote", text, "write an IPv4 address such as 198.51.100.7");
  }
  if (const std::string& text = options.filter.protocol; !text.empty()) {
    filter.protocol = parse_protocol(text);
    if (!filter.protocol) return bad("--protocol", text, "write tcp, udp or icmp");
  }
  return ask(options.asking, options.query);
}

auto trace(const Options& options) -> int {
  const auto protocol = parse_protocol(options.trace.protocol);
  const auto source = parse_endpoint(options.trace.source);
  const auto destination = parse_endpoint(options.trace.destination);
  if (!protocol) return bad("protocol", options.trace.protocol, "write tcp, udp or icmp");
  if (!source) return bad("source", options.trace.source, "write [2001:db8:112::2]:5000 or 198.51.100.7:53");
  if (!destination)
    return bad("destination", options.trace.destination, "write [2001:db8:64:ff9b::198.51.100.7]:53 or so");
  if (source->address.is_ipv4() != destination->address.is_ipv4())
    return bad("destination", options.trace.destination, "must be of the source's family");
  return ask(options.asking,
             control::TraceQuery{.number = {1},
                                 .protocol = *protocol,
                                 .source = *source,
                                 .destination = *destination,
                                 .tcp_flags = options.trace.is_syn ? std::uint8_t{2} : std::uint8_t{16}});
}

auto ports(const Options& options) -> int {
  const auto settings = load_nat64(options.config);
  if (!settings) {
    for (const std::string& error : settings.error()) fmt::print(stderr, "portolan-nat64: {}\n", error);
    return exit_usage;
  }
  if (!settings->deterministic)
    return bad("--config", options.config.string(),
               "has no [nat64.deterministic]: ports do not tell whose they are");
  const auto plan = nat::PortPlan::make(*settings->deterministic, settings->pool,
                                        settings->allowance.subscriber_prefix_length);
  if (!plan) return bad("--config", options.config.string(), plan.error());
  const auto answer = ports_of(*plan, options.who);
  if (!answer) return bad("who", options.who, answer.error());
  fmt::print("{}\n", options.asking.is_json ? answer->json : answer->text);
  return answer->is_subscribers ? exit_fine : exit_failure;
}

void add_asking(CLI::App& command, Asking& asking) {
  command.add_option("--connect", asking.connect, "Where the gateway listens")->capture_default_str();
  command.add_option("--certificate", asking.tls.certificate, "For tls: this side's certificate, in PEM");
  command.add_option("--key", asking.tls.key, "For tls: its private key");
  command.add_option("--authorities", asking.tls.authorities,
                     "For tls: who may sign the gateway's certificate");
  command.add_option("--peer-name", asking.tls.peer_name,
                     "For tls: the gateway's name instead of its address");
  command.add_flag("--json", asking.is_json, "Print JSON with the names of RFC 8512");
}

auto run(int argc, char** argv) -> int {
  Options options;
  CLI::App app("portolan-nat64: a NAT64 gateway (RFC 6146) that a PCP server drives", "portolan-nat64");
  app.set_version_flag("--version", "portolan-nat64 " PORTOLAN_VERSION);
  app.add_option("-c,--config", options.config, "Configuration file; see portolan-nat64(8)")
      ->capture_default_str();
  app.add_flag("--check-config", options.check_config, "Check the configuration file and exit");
  app.add_option("--log-level", options.log_level, "trace, debug, info, warning, error or off")
      ->capture_default_str();
  app.add_option("--log-format", options.log_format, "text or json")->capture_default_str();
  app.require_subcommand(0, 1);
  CLI::App& showing = *app.add_subcommand("show", "Show what a running gateway holds");
  showing.require_subcommand(1, 1);
  const auto view = [&](const char* name, const char* text, control::View which) {
    CLI::App& command = *showing.add_subcommand(name, text);
    add_asking(command, options.asking);
    command.add_option("--internal", options.filter.internal, "Only this internal address or prefix");
    command.add_option("--external", options.filter.external, "Only this external address");
    command.add_option("--remote", options.filter.remote, "Only sessions with this address");
    command.add_option("--protocol", options.filter.protocol, "Only tcp, udp or icmp");
    command.callback([&options, which] { options.query.view = which; });
  };
  view("pools", "External addresses and how many ports of each are used", control::View::pools);
  view("bib", "Bindings of internal to external endpoints", control::View::bindings);
  view("sessions", "Sessions", control::View::sessions);
  view("counters", "What has been counted", control::View::counters);
  view("users", "Inside hosts and what they use", control::View::users);
  view("profiles", "What users may have, as the server put it", control::View::profiles);
  CLI::App& tracing = *app.add_subcommand("trace", "Say which way a packet would go, and why");
  add_asking(tracing, options.asking);
  tracing.add_option("protocol", options.trace.protocol, "tcp, udp or icmp")->required();
  tracing.add_option("source", options.trace.source, "Address and port, of either side")->required();
  tracing.add_option("destination", options.trace.destination, "Address and port")->required();
  tracing.add_flag("--syn", options.trace.is_syn, "The packet begins a TCP connection");
  CLI::App& planning = *app.add_subcommand(
      "ports",
      "Say which ports a host has, and whose a port is, by [nat64.deterministic] of the configuration");
  planning.add_option("-c,--config", options.config, "Configuration file of portolan-nat64 or portoland")
      ->capture_default_str();
  planning.add_flag("--json", options.asking.is_json, "Print JSON");
  planning.add_option("who", options.who, "Inside address or prefix, or external address and port")
      ->required();

  app.footer(
      "Signals: TERM and INT stop it and undo what it changed on the host; HUP makes it read its "
      "configuration again; USR1 writes its counters to the log.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_fine : exit_usage;
  }
  if (showing.parsed()) return show(options);
  if (tracing.parsed()) return trace(options);
  if (planning.parsed()) return ports(options);
  if (const auto log = io::log::set_up(options.log_level, options.log_format); !log) {
    fmt::print(stderr, "portolan-nat64: {}\n", log.error());
    return exit_usage;
  }
  return serve(options);
}

}  // namespace
}  // namespace portolan::nat64

auto main(int argc, char** argv) -> int {
  portolan::io::allocate_huge_pages(argv);
  portolan::io::give_back_large_blocks();
  try {
    return portolan::nat64::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "portolan-nat64: {}\n", error.what());
    return portolan::nat64::exit_failure;
  }
}
