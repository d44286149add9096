// SPDX-License-Identifier: BSD-2-Clause
//
// Files that one process has to itself.
#pragma once

#include <expected>
#include <filesystem>
#include <string>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

/// Locks the file at `path` as long as the descriptor is held, and makes it, for its owner alone, if it does
/// not exist. One that may only be read is locked just as well. Closing the descriptor gives up the fcntl(2)
/// locks that this process has on the file. Errors  EWOULDBLOCK: it is locked by another process, or by this
/// one; those of open(2)
[[nodiscard]] auto lock_file(const std::filesystem::path& path) -> std::expected<FileDescriptor, SystemError>;

/// Makes a file for its owner alone. Errors  EEXIST: there is something; those of open(2)
[[nodiscard]] auto make_file(const std::filesystem::path& path) -> std::expected<FileDescriptor, SystemError>;

/// As make_file(); what root makes so is its folder's owner's, for the daemon whose folder it is.
[[nodiscard]] auto make_file_of_folder(const std::filesystem::path& path)
    -> std::expected<FileDescriptor, SystemError>;

/// What to add to an error of opening or making a file: if it is another user's, or else its folder is,
/// whose, and what to do: ": it is root's: chown portolan: FILE". Empty if that was not the reason.
[[nodiscard]] auto ownership_advice(const std::filesystem::path& path, const SystemError& error)
    -> std::string;

}  // namespace portolan::io
