// SPDX-License-Identifier: BSD-2-Clause
//
// Values on the command line, shared by the commands. Each throws CLI::ValidationError with argument, value
// and remedy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/remote_filter.h"

namespace portolan::arguments {

[[noreturn]] void refuse(const std::string& argument, const std::string& text, std::string_view remedy);
/// A decimal number from `minimum` to `maximum`.
auto parse_number(const std::string& argument, const std::string& text, std::uint32_t minimum,
                  std::uint32_t maximum, std::string_view remedy) -> std::uint32_t;
auto parse_port(const std::string& argument, const std::string& text, std::string_view remedy) -> Port;
auto parse_address(const std::string& argument, const std::string& text) -> IpAddress;
/// "2001:db8:64::/96", "198.51.100.0/24", "198.51.100.7", each with ",PORT" behind or not.
auto parse_filter(const std::string& argument, const std::string& text) -> RemoteFilter;
/// Pairs of hexadecimal digits; blanks and colons between them are left out.
auto parse_hex(const std::string& argument, std::string_view text) -> std::vector<std::byte>;

}  // namespace portolan::arguments
