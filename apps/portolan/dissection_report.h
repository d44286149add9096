// SPDX-License-Identifier: BSD-2-Clause
//
// Packets as text and JSON, for `send` and `decode`.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include <nlohmann/json_fwd.hpp>

namespace portolan {

/// "02 01 00", and so on.
[[nodiscard]] auto hex_text(std::span<const std::byte> octets) -> std::string;
/// "020100", and so on.
[[nodiscard]] auto plain_hex(std::span<const std::byte> octets) -> std::string;
/// One line a field: its octets, what they say, the section that defines it.
[[nodiscard]] auto octets_table(std::span<const std::byte> datagram, std::size_t indent) -> std::string;
/// {"octets": HEX, "fields": [{"kind", "level", "offset", "size", "name", "value", "source"}]}.
[[nodiscard]] auto dissection_json(std::span<const std::byte> datagram) -> nlohmann::ordered_json;

}  // namespace portolan
