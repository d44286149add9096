// SPDX-License-Identifier: BSD-2-Clause
//
// What a client asks the kernel about its host: interfaces by name, addresses with their lifetimes.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "base/host_address.h"

namespace portolan::io {

struct NamedInterface {
  std::uint32_t index = 0;
  std::string name;
};

[[nodiscard]] auto named_interfaces() -> std::expected<std::vector<NamedInterface>, std::string>;

/// Addresses of all interfaces.
[[nodiscard]] auto host_addresses() -> std::expected<std::vector<HostAddress>, std::string>;

}  // namespace portolan::io
