// SPDX-License-Identifier: BSD-2-Clause
//
// What --check-config finds on this host beyond the configuration itself.
#pragma once

#include <string>
#include <vector>

#include "io/stream.h"

namespace portolan::gateway {

/// What a configuration names on its host.
struct Named {
  std::vector<std::string> interfaces = {};
  io::TlsFiles tls = {};  ///< no certificate: none
  bool runs_nft = false;
};

struct HostCheck {
  std::vector<std::string> errors;  ///< the daemon would not start
  std::vector<std::string> notes;   ///< it would, and wait for what may yet come
};

[[nodiscard]] auto check_host(const Named& named) -> HostCheck;

}  // namespace portolan::gateway
