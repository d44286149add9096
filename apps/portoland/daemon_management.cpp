// SPDX-License-Identifier: BSD-2-Clause
//
// The management API of portoland, around its daemon.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "control/management/api.h"
#include "io/log.h"
#include "portoland/daemon.h"
#include "web/pages.h"

namespace portolan::portoland {

auto Daemon::load_identity(const ManagementSettings& wanted) -> std::expected<io::TlsIdentity, std::string> {
  const auto is_tls = [](const io::StreamAddress& address) {
    return address.kind == io::StreamAddress::Kind::tls;
  };
  if (std::ranges::none_of(wanted.listen, is_tls)) return io::TlsIdentity();
  return io::TlsIdentity::server(wanted.certificate, wanted.key);
}

auto Daemon::start_management() -> std::expected<void, std::string> {
  const ManagementSettings& wanted = settings_.management;
  if (wanted.listen.empty()) return {};
  const auto identity = load_identity(wanted);
  if (!identity) return std::unexpected(identity.error());
  std::vector<management::Api::Listener> listeners;
  listeners.reserve(wanted.listen.size());
  for (const io::StreamAddress& address : wanted.listen)
    listeners.push_back({.address = address, .identity = *identity, .rights = wanted.rights});
  api_ = std::make_unique<management::Api>(loop_, server_, management_surroundings(), wanted.limits);
  const auto addresses = api_->listen(listeners, wanted.names, wanted.tokens);
  if (!addresses) return std::unexpected(addresses.error());
  for (const io::StreamAddress& address : *addresses)
    io::log::info("management-at", "management at {address}", to_string(address));
  return {};
}

auto Daemon::management_surroundings() -> management::Surroundings {
  return {.clocks = {.now = io::monotonic_now, .wall_now = io::wall_now},
          .changed = [this] { carry_out_actions(); },
          .status = [this] { return program_status(); },
          .pools = [this] { return pools(); },
          .policy = [this] { return settings_.server.policy; },
          .counters = [this] { return program_counters(); },
          .reload = [this] { return reload(); },
          .changes =
              [](const std::string& who, const std::string& what) {
                io::log::info("management-change", "{who} asks: {what}", who, what);
              },
          .refused =
              [](const std::string& who, const std::string& why) {
                io::log::warn("management-refused", "{who} is refused by management: {why}", who, why);
              },
          .pages = pages::dashboard(),
          .metrics = [this](std::function<void(std::string)> take) { gather_metrics(std::move(take)); }};
}

auto Daemon::program_status() const -> management::ProgramStatus {
  management::ProgramStatus status;
  status.version = PORTOLAN_VERSION;
  status.uptime = std::chrono::floor<Seconds>(io::monotonic_now() - up_since_);
  for (const DeviceKind kind : settings_.devices) status.devices.emplace_back(to_string(kind));
  status.store = settings_.store == StoreKind::memory
                     ? "memory"
                     : fmt::format("sqlite {}", settings_.store_path.string());
  status.store_error = store_error();
  return status;
}

auto Daemon::pools() const -> std::vector<management::Pool> {
  std::vector<management::Pool> pools;
  for (const Devices::Pool& each : devices_->pools())
    for (const device::PoolUse& use : each.use)
      pools.push_back({.device = std::string(to_string(each.kind)), .use = use});
  return pools;
}

auto Daemon::program_counters() const -> std::vector<management::Counter> {
  return {{"dropped", "not-inside", dropped_.not_inside},
          {"dropped", "not-unicast", dropped_.not_unicast},
          {"dropped", "wrong-inside", dropped_.wrong_inside},
          {"dropped", "unsent", dropped_.unsent}};
}

}  // namespace portolan::portoland
