// SPDX-License-Identifier: BSD-2-Clause
//
// The checks of a request that need no state: admission (RFC 6887 s8.2), options (s7.3) and the MAP
// rules that speak of the message alone (s11.3, s13.2). Pure functions.
#pragma once

#include <cstdint>
#include <expected>

#include "wire/message.h"

namespace portolan::server {

/// Options of a MAP request that the server processes.
struct MapOptions {
  bool prefer_failure = false;
};

/// Reads the options in order of appearance; what is not processed and mandatory refuses the request.
///
/// Spec    RFC 6887 s7.3, s13.2
/// Errors  malformed_option: ill-framed, repeated beyond its maximum, or of a wrong length;
///         unsupp_option: mandatory to process and not implemented
[[nodiscard]] auto read_map_options(const wire::OptionList& options)
    -> std::expected<MapOptions, wire::ResultCode>;

/// The same for opcodes for which no option is known.
[[nodiscard]] auto refuse_mandatory_options(const wire::OptionList& options)
    -> std::expected<void, wire::ResultCode>;

/// Checks a MAP request against itself, in the order of RFC 6887 s11.3, up to where the nonce is looked
/// at: protocol 0 with a port is MALFORMED_REQUEST.
[[nodiscard]] auto check_map_shape(const wire::MapRequest& map) -> std::expected<void, wire::ResultCode>;

/// Options that make no sense with the rest of the request are MALFORMED_OPTION (RFC 6887 s11.3, s13.2).
[[nodiscard]] auto check_map_options(const wire::MapRequest& map, std::uint32_t requested_lifetime_s,
                                     const MapOptions& options) -> std::expected<void, wire::ResultCode>;

}  // namespace portolan::server
