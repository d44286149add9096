// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan doctor`: looks at this host, its network and its PCP servers step by step, and says what is wrong
// and what to do about it; and the helper outside that it may ask to connect.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "discovery/host/look.h"
#include "discovery/nat64_prefix.h"
#include "io/neighbours.h"
#include "io/resolve.h"
#include "io/system.h"
#include "portolan/commands.h"
#include "portolan/doctor_examination.h"
#include "portolan/doctor_findings.h"
#include "portolan/doctor_knock.h"
#include "portolan/doctor_report.h"
#include "portolan/nat64_look.h"

namespace portolan {
namespace doctor {
namespace {

/// A knock that the helper said it made is on its way for no longer.
constexpr Seconds arrival_max{2};

auto name_of(const discovery::Findings::Router& router) -> std::string {
  return fmt::format("{}%{}", router.address, router.interface.name);
}

auto host_of(const discovery::View& view) -> HostSeen {
  HostSeen host;
  for (const HostAddress& entry : view.findings.host_addresses)
    if (entry.is_usable && discovery::plan_address({&entry, 1}, entry.address, discovery::anycast_ipv6))
      host.addresses.push_back(entry.address);
  for (const discovery::Findings::Router& router : view.findings.routers)
    host.routers.push_back(name_of(router));
  host.remarks = view.remarks;
  return host;
}

/// One way to a server, and what is found out by it.
struct Patient {
  ServerSeen seen;
  client::Path path;
  std::unique_ptr<Examination> examination;
};

class Doctor {
 public:
  explicit Doctor(const DoctorCommand& command) : command_(command), report_(command.is_json) {}

  auto run() -> int {
    if (const auto failure = look_at_host()) {
      report_.fail(*failure);
      return exit_no_answer;
    }
    look_for_nat64();
    examine_servers();
    try_inbound();
    end_examinations();
    return report_.finish() ? exit_success : exit_refused;
  }

 private:
  auto look_at_host() -> std::optional<std::string> {
    const Progress progress = report_.begin("looking at this host's addresses and routers");
    auto view = discovery::look_around();
    if (!view) return view.error();
    view_ = std::move(*view);
    view_.findings.uses_anycast = command_.uses_anycast;
    host_ = host_of(view_);
    told_ = findings_of(host_);
    return {};
  }

  void look_for_nat64() {
    report_.add(std::exchange(told_, {}));
    {
      const Progress progress = report_.begin("asking for the NAT64's prefix");
      discovery::Nat64Prefixes prefixes;
      std::vector<std::string> remarks;
      if (command_.wait > Seconds{0}) hear_advertisements(command_.wait, prefixes, remarks);
      for (const auto& entry : prefixes.in_use()) nat64_.of_routers.push_back(entry.prefix);
      const auto records = io::resolve_ipv6_records(std::string(discovery::ipv4only_name));
      if (records)
        nat64_.of_resolver = discovery::prefixes_of_answers(records->addresses);
      else
        nat64_.resolver_error = records.error();
      host_.remarks = std::move(remarks);
    }
    report_.add(findings_of(nat64_, host_));
  }

  /// Every way to every server.
  auto find_servers() -> std::optional<std::string> {
    if (!command_.server.empty()) {
      const auto addresses = io::resolve(command_.server);
      if (!addresses) return addresses.error();
      for (const io::ScopedAddress& each : *addresses)
        view_.findings.told.push_back({.addresses = {each.address},
                                       .interface = {.index = each.interface_index, .name = each.interface}});
    }
    std::vector<std::string> remarks;
    for (const discovery::Server& server : discovery::choose_servers(view_.findings))
      for (const discovery::Way& way : discovery::ways_to(server, view_, remarks)) {
        const bool is_anycast =
            way.server == discovery::anycast_ipv4 || way.server == discovery::anycast_ipv6;
        Patient patient;
        patient.seen.name = way.server_text();
        patient.seen.origin = is_anycast ? discovery::Origin::anycast : server.origin;
        patient.seen.client_address = way.plan.source;
        patient.path = way.path(command_.server_port);
        patients_.push_back(std::move(patient));
      }
    for (std::string& remark : remarks)
      report_.add({{.state = State::note, .id = "no-way", .text = std::move(remark), .remedy = ""}});
    return {};
  }

  void examine_servers() {
    if (const auto failure = find_servers()) {
      tell_routers();
      report_.add({{.state = State::problem,
                    .id = "server-name",
                    .text = fmt::format("the server is not found: {}", *failure),
                    .remedy = "give --server an address, or a name that the resolver knows"}});
      return;
    }
    {
      const Progress progress = report_.begin(
          fmt::format("asking {} PCP {}", patients_.size(), patients_.size() == 1 ? "server" : "servers"));
      waiting_ = patients_.size();
      for (Patient& patient : patients_) begin(patient);
      if (waiting_ != 0) loop_.run();
    }
    tell_routers();
    std::vector<ServerSeen> seen;
    for (Patient& patient : patients_) {
      if (patient.examination) patient.examination->tell(patient.seen);
      seen.push_back(patient.seen);
    }
    report_.add(seen);
    report_.add(findings_of(seen, host_, nat64_, command_.timeout));
  }

  /// When what was asked has gone by them.
  void tell_routers() {
    // What the kernel does not say is no finding.
    const auto silent = io::silent_neighbours().value_or(std::vector<io::Neighbour>{});
    for (const discovery::Findings::Router& router : view_.findings.routers) {
      const io::Neighbour place{.address = router.address, .interface_index = router.interface.index};
      if (std::ranges::find(silent, place) != silent.end()) host_.silent_routers.push_back(name_of(router));
    }
    report_.add(router_findings(host_));
  }

  void begin(Patient& patient) {
    const auto settled = [this] {
      if (--waiting_ == 0) loop_.stop();
    };
    std::unique_ptr<Door>& door = doors_[patient.path.client_address];
    if (!door) {
      auto opened = Door::open(loop_, patient.path.client_address);
      if (opened)
        door = std::move(*opened);
      else
        patient.seen.error = opened.error();
    }
    if (door) {
      auto begun = Examination::begin(
          loop_, {.path = patient.path, .internal_port = door->port(), .timeout = command_.timeout}, settled);
      if (begun)
        patient.examination = std::move(*begun);
      else
        patient.seen.error = begun.error();
    }
    if (!patient.examination) settled();
  }

  /// The helper's addresses as this host can reach them: of an IPv4 one that is by the NAT64.
  auto helper_endpoint(const client::Mapping& mapping) -> std::expected<Endpoint, std::string> {
    const auto addresses = io::resolve(command_.helper->host);
    if (!addresses) return std::unexpected(addresses.error());
    const Family family = mapping.internal.address.family();
    for (const io::ScopedAddress& each : *addresses)
      if (each.address.family() == family) return Endpoint{each.address, command_.helper->port};
    const auto prefix = nat64_prefix();
    if (family == Family::ipv4 || !prefix)
      return std::unexpected("this host has no address of its family, and no NAT64 prefix is known");
    return Endpoint{discovery::synthesize(*prefix, addresses->front().address.ipv4()), command_.helper->port};
  }

  [[nodiscard]] auto nat64_prefix() const -> std::optional<Prefix> {
    for (const Patient& patient : patients_)
      if (!patient.seen.nat64_prefixes.empty()) return patient.seen.nat64_prefixes.front().prefix;
    if (!nat64_.of_resolver.empty()) return nat64_.of_resolver.front();
    if (!nat64_.of_routers.empty()) return nat64_.of_routers.front();
    return {};
  }

  void try_inbound() {
    InboundSeen inbound;
    if (command_.helper) inbound.helper = fmt::format("{}:{}", command_.helper->host, command_.helper->port);
    for (const Patient& patient : patients_)
      if (patient.seen.mapping && !inbound.mapping) inbound.mapping = patient.seen.mapping;
    if (command_.helper && inbound.mapping) knock(inbound);
    report_.add(findings_of(inbound));
  }

  void knock(InboundSeen& inbound) {
    const Progress progress = report_.begin(fmt::format("asking {} to connect", inbound.helper));
    const auto helper = helper_endpoint(*inbound.mapping);
    if (!helper) {
      inbound.error = helper.error();
      return;
    }
    io::SystemRandom random;
    const KnockRequest request{.port = inbound.mapping->external.port, .word = Nonce::generate(random)};
    Door& door = *doors_.at(inbound.mapping->internal.address);
    door.await(request.word, [&] {
      inbound.has_arrived = true;
      if (inbound.seen_from) loop_.stop();
    });
    std::optional<io::Timer> overdue;
    const auto stop_after = [&](Seconds wait) {
      overdue = loop_.at(io::monotonic_now() + wait, [this] { loop_.stop(); });
    };
    stop_after(knock_max + arrival_max);
    const Knock asked(loop_, *helper, request, [&](const std::expected<KnockAnswer, std::string>& answer) {
      if (!answer) {
        inbound.error = answer.error();
        return loop_.stop();
      }
      inbound.seen_from = answer->seen_from;
      inbound.error = answer->failure;
      if (answer->failure || inbound.has_arrived) return loop_.stop();
      stop_after(arrival_max);
    });
    loop_.run();
    door.await(request.word, {});
  }

  void end_examinations() {
    waiting_ = 0;
    for (const Patient& patient : patients_) waiting_ += patient.seen.answers() ? 1U : 0U;
    if (waiting_ == 0) return;
    const Progress progress = report_.begin("deleting the mappings of this test");
    loop_.post([this] {
      for (const Patient& patient : patients_)
        if (patient.seen.answers())
          patient.examination->end([this] {
            if (--waiting_ == 0) loop_.stop();
          });
    });
    loop_.run();
  }

  const DoctorCommand& command_;
  Report report_;
  io::EventLoop loop_;
  discovery::View view_;
  HostSeen host_;
  Nat64Seen nat64_;
  Findings told_;
  std::map<IpAddress, std::unique_ptr<Door>> doors_;
  std::vector<Patient> patients_;
  std::size_t waiting_ = 0;
};

/// Helps others until it is ended.
auto help_others(const Endpoint& endpoint) -> int {
  io::EventLoop loop;
  const auto knocker = Knocker::open(loop, endpoint, [](const std::string& line) {
    fmt::print("{}\n", line);
    static_cast<void>(std::fflush(stdout));
  });
  if (!knocker) {
    fmt::print(stderr, "portolan: --listen-helper: {}\n", knocker.error());
    return exit_no_answer;
  }
  fmt::print(
      stderr,
      "helping at TCP port {} until Ctrl-C; on the host inside: portolan doctor --probe-from THIS_HOST:{}\n",
      (*knocker)->endpoint().port, (*knocker)->endpoint().port);
  const auto interrupted = loop.on_signal({SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  loop.run();
  return exit_success;
}

}  // namespace
}  // namespace doctor

auto run_doctor(const DoctorCommand& command) -> int {
  if (command.listens)
    return doctor::help_others({*IpAddress::parse(command.listens->host), command.listens->port});
  return doctor::Doctor(command).run();
}

}  // namespace portolan
