// SPDX-License-Identifier: BSD-2-Clause
//
// What keeping secrets needs: files that only their owner can change, digests with and without a key,
// comparisons that take the same time whatever they find.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace portolan::io {

using Sha256 = std::array<std::byte, 32>;

[[nodiscard]] auto sha256(std::string_view octets) -> Sha256;
/// HMAC-SHA-256: without the key nobody can tell it.
[[nodiscard]] auto hmac_sha256(std::string_view key, std::string_view octets) -> Sha256;
/// Cost  the same for any two spans of one size. Those of different sizes are not equal
[[nodiscard]] auto equal_in_constant_time(std::span<const std::byte> left, std::span<const std::byte> right)
    -> bool;

/// The octets of the regular file at `path`, at most `octets_max`, if it belongs to root or the process's
/// user, its group may only read it, and others may nothing. Errors  "PATH: what is wrong; what to do"
[[nodiscard]] auto read_secret_file(const std::filesystem::path& path, std::size_t octets_max)
    -> std::expected<std::string, std::string>;

}  // namespace portolan::io
