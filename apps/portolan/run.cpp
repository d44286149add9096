// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan run`: starts a program that knows nothing of PCP, and keeps mappings for the sockets it waits at.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "discovery/nat64_prefix.h"
#include "io/event_loop.h"
#include "io/inbox.h"
#include "io/resolve.h"
#include "io/socket_watch.h"
#include "io/started_program.h"
#include "portolan/commands.h"
#include "portolan/keeper.h"
#include "portolan/keeper_report.h"
#include "portolan/run_nonces.h"
#include "portolan/run_sockets.h"

namespace portolan {
namespace {

/// How long servers have at the end to take mappings back.
constexpr Seconds farewell_max{2};

/// Whether no IPv4 address of this host leads anywhere.
auto is_ipv6_only(const std::vector<HostAddress>& addresses) -> bool {
  return std::ranges::none_of(addresses, [](const HostAddress& entry) {
    const std::uint32_t value = entry.address.is_ipv4() ? entry.address.ipv4().value : 0;
    // Loopback, link-local, and what a CLAT gives to programs (RFC 7335).
    const bool is_local = value >> 24U == 127 || value >> 16U == 0xa9fe || value >> 3U == 0xc0000000U >> 3U;
    return entry.address.is_ipv4() && !is_local;
  });
}

/// Peers behind the NAT64 are shown with their own addresses if its prefix is known.
auto prefix64_text() -> std::string {
  const auto records = io::resolve_ipv6_records(std::string(discovery::ipv4only_name));
  if (!records) return {};
  const auto prefixes = discovery::prefixes_of_answers(records->addresses);
  return prefixes.empty() ? "" : to_string(prefixes.front());
}

/// Where the shim lies: beside this program's folder, as in the build, else where it was installed.
auto shim_path() -> std::string {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = program.parent_path().parent_path() / "lib/portolan/libportolan-run.so";
  return std::filesystem::exists(beside, error) ? beside.string() : PORTOLAN_SHIM;
}

/// Hooks are told in their environment what happened to which mapping.
auto hook_environment(const std::string& event, const client::Mapping& mapping)
    -> std::vector<std::pair<std::string, std::string>> {
  return {{"PORTOLAN_EVENT", event},
          {"PORTOLAN_PROTOCOL", std::string(to_string(mapping.protocol))},
          {"PORTOLAN_INTERNAL_ADDRESS", to_string(mapping.internal.address)},
          {"PORTOLAN_INTERNAL_PORT", std::to_string(mapping.internal.port.value)},
          {"PORTOLAN_EXTERNAL_ADDRESS", to_string(mapping.external.address)},
          {"PORTOLAN_EXTERNAL_PORT", std::to_string(mapping.external.port.value)}};
}

/// "PORTOLAN_TCP_8080".
auto variable_name(const NeededMapping& mapping) -> std::string {
  std::string protocol(to_string(mapping.protocol));
  std::ranges::transform(protocol, protocol.begin(), [](char letter) {
    return 'a' <= letter && letter <= 'z' ? letter - 'a' + 'A' : letter;
  });
  return fmt::format("PORTOLAN_{}_{}", protocol, mapping.port);
}

class ProgramRun {
 public:
  ProgramRun(const RunCommand& command, io::Inbox inbox, io::SocketWatch watch,
             std::optional<RunNonces> nonces)
      : command_(command), inbox_(std::move(inbox)), watch_(std::move(watch)), nonces_(std::move(nonces)) {}

  auto run() -> int {
    auto keeper = Keeper::open(loop_, command_.keeper,
                               {.happened = [this](const auto& event) { happened(event); },
                                .note = [](const std::string& line) { note(line); }});
    if (!keeper) return fail(keeper.error());
    keeper_ = std::move(*keeper);
    const auto letters = loop_.on_readable(inbox_.descriptor(), [this] { hear(); });
    std::vector<io::Watch> ends;
    for (const int descriptor : watch_.descriptors())
      ends.push_back(loop_.on_readable(descriptor, [this] { hear(); }));
    unneeded_ = loop_.timer([this] { drop_unneeded(); });
    // The program gets what the terminal sends as well, and decides; what is sent to this process alone is
    // passed on. What it left behind has no terminal.
    const auto interrupted = loop_.on_signal({SIGINT, SIGQUIT}, [this](int) {
      if (program_ == 0 || is_program_over_) pass_on(SIGTERM);
    });
    const auto told =
        loop_.on_signal({SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}, [this](int number) { pass_on(number); });
    const auto child_ended = loop_.on_signal({SIGCHLD}, [this](int) { collect(); });
    io::adopt_orphans();
    for (const NeededMapping& mapping : command_.exposed) add(mapping);
    keeper_->carry_out();
    start_ = loop_.at(io::monotonic_now() + (command_.exposed.empty() ? Seconds{0} : command_.patience),
                      [this] { start(); });
    loop_.run();
    return exit_code_;
  }

 private:
  static void note(const std::string& line) { fmt::print(stderr, "portolan: {}\n", line); }
  static auto fail(const std::string& why) -> int {
    note(why);
    return exit_cannot_run;
  }

  void start() {
    if (program_ != 0) return;
    std::set<std::string> told;
    for (const NeededMapping& mapping : command_.exposed) {
      const std::string name = variable_name(mapping);
      // There is one for each family.
      if (variables_.contains(name) || !told.insert(name).second) continue;
      note(fmt::format("{} port {} has no mapping within {} s: starting without {}", mapping.protocol,
                       mapping.port, command_.patience.count(), name));
    }
    const auto started = io::start_program(command_.arguments, environment());
    if (started) {
      program_ = *started;
      return;
    }
    note(started.error());
    say_farewell();
  }

  [[nodiscard]] auto environment() const -> std::vector<std::pair<std::string, std::string>> {
    const char* const loaded = std::getenv("LD_PRELOAD");
    std::vector<std::pair<std::string, std::string>> variables{
        {"LD_PRELOAD", shim_path() + (loaded == nullptr ? "" : fmt::format(":{}", loaded))},
        {"PORTOLAN_RUN_SOCKET", inbox_.path().string()}};
    variables.insert(variables.end(), variables_.begin(), variables_.end());
    if (!is_ipv6_only(keeper_->view().findings.host_addresses)) return variables;
    variables.emplace_back("PORTOLAN_RUN_IPV6_ONLY", "1");
    variables.emplace_back("PORTOLAN_RUN_PREFIX64", prefix64_text());
    return variables;
  }

  /// A program tells of a socket before it can close it. So ends are taken before letters: those of sockets
  /// whose ends were taken are there then. And letters are heeded first.
  void hear() {
    auto news = watch_.take();
    for (const std::string& letter : inbox_.take())
      if (const auto report = parse_socket_report(letter)) {
        if (sockets_.is_full()) note_limit("sockets", RunSockets::sockets_max);
        for (const NeededMapping& mapping : sockets_.opened(*report)) add(mapping);
      }
    if (news.is_incomplete) add_missed(news.ended);
    for (const std::uint64_t cookie : news.ended) sockets_.ended(io::monotonic_now(), cookie);
    keeper_->carry_out();
    await_unneeded();
  }

  /// Those that are not there any more, though nobody told.
  void add_missed(std::vector<std::uint64_t>& ended) const {
    const auto open = io::SocketWatch::open_sockets();
    if (!open) return;
    for (const std::uint64_t cookie : sockets_.cookies())
      if (std::ranges::find(*open, cookie) == open->end()) ended.push_back(cookie);
  }

  void await_unneeded() {
    if (const auto deadline = sockets_.next_deadline())
      unneeded_.arm(*deadline);
    else
      unneeded_.disarm();
  }

  void drop_unneeded() {
    for (const NeededMapping& mapping : sockets_.take_unneeded(io::monotonic_now()))
      // What was exposed stays so as long as the program runs.
      if (std::ranges::find(command_.exposed, mapping) == command_.exposed.end()) drop(mapping);
    keeper_->carry_out();
    await_unneeded();
  }

  void add(const NeededMapping& mapping) {
    if (wishes_.contains(mapping)) return;
    if (!keeper_->has_room()) return note_limit("mappings, ended ones included", client::Client::wishes_max);
    client::ClientWish wanted;
    wanted.wish.protocol = mapping.protocol;
    wanted.wish.internal_port = mapping.port;
    wanted.wish.suggested_external_port = mapping.port;
    wanted.wish.suggested_external_address = IpAddress::unspecified(command_.external);
    wanted.wish.lifetime = command_.lifetime;
    if (mapping.address.is_unspecified())
      wanted.client_family = mapping.address.family();
    else
      wanted.client_address = mapping.address;
    if (may_be_taken_up(mapping))
      wanted.nonce_for = [this, mapping](const std::string& server, const IpAddress& client_address) {
        return nonces_->nonce(mapping, command_.external, server, client_address);
      };
    wishes_[mapping] = keeper_->add(fmt::format("{} port {}", mapping.protocol, mapping.port), wanted);
  }

  /// Whether the next run, if this one is killed, is to find it. While a former one of the same is being
  /// deleted, a deletion that comes late must not take this one too.
  [[nodiscard]] auto may_be_taken_up(const NeededMapping& mapping) const -> bool {
    const auto dropped = dropped_.find(mapping);
    const bool is_ending = dropped != dropped_.end() && keeper_->client().is_known(dropped->second);
    return nonces_ && !is_ending && nonces_->take(mapping.protocol, mapping.port);
  }

  /// Told once: what makes so many sockets makes more.
  void note_limit(std::string_view what, std::size_t limit) {
    if (!is_limit_told_) note(fmt::format("there are {} {}: those beyond get no mapping", limit, what));
    is_limit_told_ = true;
  }

  void drop(const NeededMapping& mapping) {
    const auto wish = wishes_.find(mapping);
    if (wish == wishes_.end()) return;
    for (const client::Held& held : keeper_->client().held(wish->second)) run_hook("lost", held.mapping);
    keeper_->remove(wish->second);
    std::erase_if(dropped_, [this](const auto& each) { return !keeper_->client().is_known(each.second); });
    dropped_[mapping] = wish->second;
    wishes_.erase(wish);
  }

  void happened(const client::ClientEvent& event) {
    const auto entry = std::ranges::find_if(
        wishes_, [&event](const auto& each) { return event.wish && each.second == *event.wish; });
    const std::string name = keeper_ ? keeper_->name_of(event) : "";
    if (const std::string line = event_line(name, event, entry == wishes_.end()); !line.empty()) note(line);
    if (const auto* const granted = std::get_if<client::Granted>(&event.event)) {
      run_hook("granted", granted->mapping);
      if (entry != wishes_.end() && program_ == 0) keep_variable(entry->first, granted->mapping);
    }
    if (const auto* const changed = std::get_if<client::Changed>(&event.event))
      run_hook("changed", changed->mapping);
    if (const auto* const lost = std::get_if<client::Lost>(&event.event)) run_hook("lost", lost->mapping);
    if (is_over_ && keeper_->client().is_idle()) loop_.stop();
  }

  /// The program starts when all that it is to know is known.
  void keep_variable(const NeededMapping& mapping, const client::Mapping& granted) {
    variables_.emplace(variable_name(mapping), to_string(granted.external));
    const bool is_complete = std::ranges::all_of(command_.exposed, [this](const NeededMapping& each) {
      return variables_.contains(variable_name(each));
    });
    if (is_complete) start_.arm(io::monotonic_now());
  }

  void run_hook(const std::string& event, const client::Mapping& mapping) const {
    if (command_.hook.empty()) return;
    const auto started = io::start_program({command_.hook}, hook_environment(event, mapping));
    if (!started) note(started.error());
  }

  /// To the program, or to what it left behind.
  void pass_on(int number) {
    if (program_ == 0) return say_farewell();
    if (!is_program_over_) return io::signal_program(program_, number);
    for (const pid_t process : io::own_children()) io::signal_program(process, number);
  }

  void collect() {
    while (const auto ended = io::take_ended_program()) {
      if (ended->process != program_) continue;  // a hook, or what the program left behind
      is_program_over_ = true;
      exit_code_ = ended->exit_code;
    }
    // A daemon's parent ends at once; what it left behind has the sockets.
    if (is_program_over_ && !io::has_children()) say_farewell();
  }

  void say_farewell() {
    if (is_over_) return;
    is_over_ = true;
    while (!wishes_.empty()) drop(wishes_.begin()->first);
    keeper_->carry_out();
    if (keeper_->client().is_idle()) return loop_.stop();
    farewell_ = loop_.at(io::monotonic_now() + farewell_max, [this] { loop_.stop(); });
  }

  const RunCommand& command_;
  io::Inbox inbox_;
  io::SocketWatch watch_;
  std::optional<RunNonces> nonces_;
  io::EventLoop loop_;
  std::unique_ptr<Keeper> keeper_;
  RunSockets sockets_;
  std::map<NeededMapping, client::WishId> wishes_;
  std::map<NeededMapping, client::WishId> dropped_;  ///< while servers have not answered
  std::map<std::string, std::string> variables_;     ///< of what is exposed
  io::Timer start_;
  io::Timer unneeded_;
  io::Timer farewell_;
  pid_t program_ = 0;
  bool is_program_over_ = false;
  bool is_over_ = false;
  bool is_limit_told_ = false;
  int exit_code_ = exit_cannot_run;
};

}  // namespace

auto run_run(const RunCommand& command) -> int {
  auto inbox = io::Inbox::open();
  auto watch = io::SocketWatch::open();
  if (!inbox || !watch) {
    fmt::print(stderr, "portolan: {}\n", !inbox ? inbox.error() : watch.error());
    return exit_cannot_run;
  }
  auto nonces = RunNonces::open(command.state);
  if (!nonces)
    fmt::print(stderr,
               "portolan: {}: if this run is killed, the next one has to wait until its mappings end\n",
               nonces.error());
  return ProgramRun(command, std::move(*inbox), std::move(*watch),
                    nonces ? std::optional(std::move(*nonces)) : std::nullopt)
      .run();
}

}  // namespace portolan
