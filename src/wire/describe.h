// SPDX-License-Identifier: BSD-2-Clause
//
// Dissection of any datagram on a PCP port into text for people: one line a field, with names as in
// the RFC. Never fails: what does not parse is shown as hexadecimal octets with the reason.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace portolan::wire {

/// Lines ending in '\n', each indented by `indent` spaces. Strings from the network are escaped.
[[nodiscard]] auto describe(std::span<const std::byte> datagram, std::size_t indent = 0) -> std::string;

}  // namespace portolan::wire
