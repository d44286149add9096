// SPDX-License-Identifier: BSD-2-Clause
//
// The host's default routers, and word of changes to its routes and addresses, by rtnetlink and nothing but
// the C library.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "io/file_descriptor.h"
#include "io/routes.h"
#include "io/system.h"

namespace portolan::io::plain {

/// As io::default_routers().
[[nodiscard]] auto default_routers() -> std::expected<std::vector<Router>, SystemError>;

/// Index of the interface of that name; 0 if there is none.
[[nodiscard]] auto interface_index(const std::string& name) -> std::uint32_t;

/// Readable when routes, addresses or links have changed.
class HostNews {
 public:
  [[nodiscard]] static auto open() -> std::expected<HostNews, SystemError>;
  [[nodiscard]] auto descriptor() const -> int { return socket_.get(); }
  /// Takes what there is to read; whether there was anything.
  auto take() -> bool;

 private:
  FileDescriptor socket_;
};

}  // namespace portolan::io::plain
