// SPDX-License-Identifier: BSD-2-Clause
//
// Small files of our own, replaced whole.
#pragma once

#include <expected>
#include <filesystem>
#include <string_view>

#include "io/system.h"

namespace portolan::io {

/// Replaces the file at `path` by one that only its owner may read: whoever reads it, also after a crash or a
/// power cut, finds the old text or the new one. Its folder is made if missing. Errors  of the system call;
/// the old file is as it was
[[nodiscard]] auto replace_file(const std::filesystem::path& path, std::string_view text)
    -> std::expected<void, SystemError>;

}  // namespace portolan::io
