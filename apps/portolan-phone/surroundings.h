// SPDX-License-Identifier: BSD-2-Clause
//
// What a phone has to know of its network before it begins: its own address, and the NAT64's prefix.
#pragma once

#include <expected>
#include <string>

#include "sip/agent/phone.h"

namespace portolan::phone {

/// Fills in what `config` leaves open: the address by which this host's traffic leaves, and the prefix that
/// DNS64 uses (RFC 7050), if there is one. Blocks as long as the resolver takes. Errors  text: this host has
/// no way out
[[nodiscard]] auto look_around(sip::PhoneConfig& config) -> std::expected<void, std::string>;

}  // namespace portolan::phone
