// SPDX-License-Identifier: BSD-2-Clause
//
// The checks of a request that need no state: options (RFC 6887 s7.3, s13) and the rules of MAP and PEER
// that speak of the message alone (s11.3, s12.1). Pure functions.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/contract.h"
#include "server/config.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"
#include "wire/options.h"

namespace portolan::server {

/// Longest description that is kept (RFC 7220 s3 wants at least 128).
constexpr std::size_t description_octets_max = 256;

/// The options of a request that the server processes.
struct RequestOptions {
  /// Internal address (s13.1).
  std::optional<IpAddress> third_party;
  /// Borrows the request.
  std::optional<std::span<const std::byte>> third_party_id;
  bool prefer_failure = false;
  /// In order of appearance.
  std::vector<wire::Filter> filters;
  /// As it will be kept and answered; a value means that it replaces what was.
  std::optional<std::string> description;
  /// What was asked for, PREFIX64 or its experimental forerunner.
  bool prefix64 = false;
  std::optional<wire::PortSet> port_set;
  /// The expired draft's pair of ports.
  bool port_reservation = false;
};

/// Reads the options in order of appearance.
///
/// Spec    RFC 6887 s7.3, s12.1, s13; RFC 7220 s3; RFC 7225 s4; RFC 7753 s4.2; RFC 7843 s5
/// Errors  malformed_option: ill-framed, repeated beyond its maximum, of a wrong length or content;
///         unsupp_option: mandatory to process, and unknown, not for this opcode, or not for this user;
///         malformed_request: PREFER_FAILURE with PEER
[[nodiscard]] auto read_options(const wire::Request& request, const Policy& policy, const Config& config)
    -> std::expected<RequestOptions, wire::ResultCode>;

/// What a request, whatever its format, asks of a mapping.
struct Wanted {
  Format format = Format::pcp_2;
  ContractKey key;
  Nonce nonce;
  IpAddress suggested_external_address;
  Port suggested_external_port;
  std::uint32_t requested_lifetime_s = 0;
  /// Internal ports from the key's on.
  std::uint16_t port_count = 1;
  RequestOptions options;

  [[nodiscard]] auto deletes() const -> bool { return requested_lifetime_s == 0 && !key.is_peer(); }
};

/// A MAP or PEER request as a wish for `client`'s mapping or the third party's; the realm is left 0.
[[nodiscard]] auto wanted_by(const wire::Request& request, const IpAddress& client, RequestOptions options)
    -> Wanted;
[[nodiscard]] auto wanted_by(const wire::nat_pmp::MapRequest& request, const IpAddress& client) -> Wanted;

/// Checks a request against itself, in the order of RFC 6887 s11.3, s12.1, up to where the nonce is looked
/// at; MALFORMED_REQUEST otherwise.
[[nodiscard]] auto check_shape(const Wanted& wanted, const wire::Request& request, const IpAddress& client)
    -> std::expected<void, wire::ResultCode>;

/// Options that make no sense with the rest of the request are MALFORMED_OPTION (RFC 6887 s11.3, s13.2,
/// s13.3; RFC 7753 s4.2).
[[nodiscard]] auto check_sense(const Wanted& wanted) -> std::expected<void, wire::ResultCode>;

/// The filters of a mapping after a request's are added to `present` in order; prefix length 0 removes all
/// before it (RFC 6887 s13.3).
[[nodiscard]] auto filters_after(std::vector<RemoteFilter> present, const std::vector<wire::Filter>& added)
    -> std::vector<RemoteFilter>;

}  // namespace portolan::server
