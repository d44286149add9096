// SPDX-License-Identifier: BSD-2-Clause
//
// What the tests of this folder share.
#pragma once

#include <poll.h>
#include <stdlib.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "base/address.h"

namespace portolan::io::testing {

/// Waits for data or an error, at most 10 s; false if nothing came.
[[nodiscard]] inline auto wait_readable(int descriptor) -> bool {
  pollfd entry{.fd = descriptor, .events = POLLIN, .revents = 0};
  int ready = -1;
  do {
    ready = ::poll(&entry, 1, 10'000);
  } while (ready < 0 && errno == EINTR);
  return ready == 1;
}

[[nodiscard]] inline auto octets_of(std::string_view text) -> std::span<const std::byte> {
  return std::as_bytes(std::span(text));
}

[[nodiscard]] inline auto text_of(std::span<const std::byte> octets) -> std::string {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

[[nodiscard]] inline auto address(std::string_view text) -> IpAddress {
  return IpAddress::parse(text).value();
}

/// A folder that is gone with its test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "portolan-io-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "mkdtemp " << pattern << " fails";
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  auto operator=(const TemporaryFolder&) -> TemporaryFolder& = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] auto path() const -> const std::filesystem::path& { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace portolan::io::testing
