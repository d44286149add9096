// SPDX-License-Identifier: BSD-2-Clause
//
// Other settings while portoland runs.
#include "io/log.h"
#include "io/notify.h"
#include "portoland/daemon.h"
#include "portoland/engine_config.h"

namespace portolan::portoland {
namespace {

void tell_service_manager(const char* state) {
  if (const auto told = io::notify_service_manager(state); !told)
    io::log::warn("service-manager-not-told", "{error}", told.error());
}

}  // namespace

auto Daemon::reload() -> std::expected<void, std::vector<std::string>> {
  tell_service_manager("RELOADING=1");
  std::vector<std::string> mistakes;
  if (auto wanted = load_settings(settings_.file, &settings_); !wanted)
    mistakes = std::move(wanted.error());
  else if (auto applied = apply(*std::move(wanted)); !applied)
    mistakes.push_back(std::move(applied.error()));
  for (const std::string& mistake : mistakes) io::log::error("configuration-mistake", "{error}", mistake);
  if (mistakes.empty()) {
    io::log::info("configuration-reloaded", "configuration reloaded");
  } else {
    reopen_logs();
    io::log::error("configuration-not-reloaded", "configuration not reloaded: nothing has changed");
  }
  tell_service_manager("READY=1");
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return {};
}

void Daemon::reopen_logs() {
  if (auto file = MappingLog::open(settings_.mapping_log))
    mapping_log_.use(*std::move(file), settings_);
  else
    io::log::warn("log-not-reopened", "{error}; lines go on to where they went", file.error());
  devices_->reopen_log(settings_);
}

auto Daemon::apply(Settings wanted) -> std::expected<void, std::string> {
  auto mapping_file = MappingLog::open(wanted.mapping_log);
  if (!mapping_file) return std::unexpected(mapping_file.error());
  const auto identity = load_identity(wanted.management);
  if (!identity) return std::unexpected(identity.error());
  if (const auto reloaded = devices_->reload(wanted); !reloaded) return reloaded;
  // From here on nothing fails.
  settings_ = std::move(wanted);
  mapping_log_.use(*std::move(mapping_file), settings_);
  server_.reconfigure(io::monotonic_now(), server_config(settings_, io::monotonic_now()));
  if (api_) {
    api_->set_tokens(settings_.management.tokens);
    api_->set_identity(*identity);
  }
  devices_->connect();
  server_.advance(io::monotonic_now());
  carry_out_actions();
  return {};
}

}  // namespace portolan::portoland
