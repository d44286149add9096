// SPDX-License-Identifier: BSD-2-Clause
//
// Other settings while portoland runs.
#include "portoland/daemon.h"
#include "portoland/engine_config.h"

namespace portolan::portoland {

auto Daemon::reload(Settings wanted) -> std::expected<void, std::string> {
  auto mapping_file = MappingLog::open(wanted.mapping_log);
  if (!mapping_file) return std::unexpected(mapping_file.error());
  if (const auto reloaded = devices_->reload(wanted); !reloaded) return reloaded;
  // From here on nothing fails.
  settings_ = std::move(wanted);
  mapping_log_.use(*std::move(mapping_file), settings_);
  server_.reconfigure(io::monotonic_now(), server_config(settings_, io::monotonic_now()));
  devices_->connect();
  server_.advance(io::monotonic_now());
  carry_out_actions();
  return {};
}

}  // namespace portolan::portoland
