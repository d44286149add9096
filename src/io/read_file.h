// SPDX-License-Identifier: BSD-2-Clause
//
// Small files of others, read whole.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "io/system.h"

namespace portolan::io {

/// Errors  of the system call; EFBIG if the file has more than `octets_max`, EINVAL if it is no regular file
[[nodiscard]] auto read_file(const std::filesystem::path& path, std::size_t octets_max)
    -> std::expected<std::vector<std::byte>, SystemError>;

}  // namespace portolan::io
