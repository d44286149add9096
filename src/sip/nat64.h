// SPDX-License-Identifier: BSD-2-Clause
//
// IPv4 addresses as a host behind a NAT64 reaches them (RFC 6052 s2.2, RFC 7225).
#pragma once

#include <optional>

#include "base/address.h"

namespace portolan::sip {

/// `address` itself if it is IPv6, else its form in `prefix`; nothing without one, or if the prefix is of a
/// length that translators don't have.
[[nodiscard]] auto as_reached(const IpAddress& address, const std::optional<Prefix>& prefix)
    -> std::optional<IpAddress>;

}  // namespace portolan::sip
