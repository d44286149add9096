// SPDX-License-Identifier: BSD-2-Clause
//
// What `portoland` does with a store besides serving from it. Each says on standard output what it did, or on
// standard error what was wrong, and returns the program's exit status.
#pragma once

#include <filesystem>
#include <optional>

namespace portolan::portoland {

/// Reads all of the store, also of one that is in use. 0: it is whole.
[[nodiscard]] auto check_store(const std::filesystem::path& store) -> int;

/// Writes what the store has as lines of JSON (store/json_rows.h), also of one that is in use: to `file`,
/// where nothing may be, or to standard output.
[[nodiscard]] auto export_store(const std::filesystem::path& store,
                                const std::optional<std::filesystem::path>& file) -> int;

/// Makes the store what `file` says, or changes nothing: if a line is wrong; or if the store has something
/// that clients or the operator made, and `replaces` is false.
[[nodiscard]] auto import_store(const std::filesystem::path& store, const std::filesystem::path& file,
                                bool replaces) -> int;

/// Copies the store, also one that is in use, as it is at one moment, to `file`, where nothing may be.
[[nodiscard]] auto back_up_store(const std::filesystem::path& store, const std::filesystem::path& file)
    -> int;

}  // namespace portolan::portoland
