// SPDX-License-Identifier: BSD-2-Clause
//
// Strings from the network made safe to show: on a terminal, in a log, in a report.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace portolan::wire {

/// Text of `octets`: well-formed UTF-8 stays; quotes, backslashes, control and formatting characters
/// (which could steer a terminal or reorder what is read) and octets that are no UTF-8 become \xNN.
[[nodiscard]] auto escape(std::span<const std::byte> octets) -> std::string;

/// The same for text that comes with its own escapes, or needs none: quotes and backslashes stay.
[[nodiscard]] auto printable(std::string_view text) -> std::string;

}  // namespace portolan::wire
