// SPDX-License-Identifier: BSD-2-Clause
//
// NAT-PMP (RFC 6886), version 0 on PCP's ports, as values (host order) and its coding in both directions.
// No I/O, no clock, no allocation.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |  Version = 0  |    Opcode     |  Reserved (map requests only) |  opcode of a response: 128 +
// |  Internal Port                |  Suggested External Port      |  response: result code in the
// |  Requested Port Mapping Lifetime in Seconds                   |  reserved field, then seconds since
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+  start of epoch, then ports, lifetime
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "base/address.h"

namespace portolan::wire::nat_pmp {

constexpr std::uint8_t version = 0;

/// Address request: version and opcode (RFC 6886 s3.2).
constexpr std::size_t address_request_octets = 2;
constexpr std::size_t address_response_octets = 12;
/// RFC 6886 s3.3.
constexpr std::size_t map_request_octets = 12;
constexpr std::size_t map_response_octets = 16;
/// Where the result code of a response ends.
constexpr std::size_t result_end = 4;
/// Answer to another version (RFC 6886 s3.5).
constexpr std::size_t unsupported_version_octets = 8;

/// Lifetime clients should ask for, in seconds (RFC 6886 s3.3).
constexpr std::uint32_t recommended_lifetime_s = 7200;

/// RFC 6886 s3.2, s3.3. Seven bits; any value may arrive.
enum class Opcode : std::uint8_t { external_address = 0, map_udp = 1, map_tcp = 2 };

/// RFC 6886 s3.5. Any value may arrive; unknown ones are fatal errors of the request.
enum class ResultCode : std::uint16_t {
  success = 0,
  unsupported_version = 1,
  not_authorized = 2,
  network_failure = 3,
  out_of_resources = 4,
  unsupported_opcode = 5,
};

/// "Not Authorized/Refused", the RFC's words; "result code N" if unassigned.
[[nodiscard]] auto to_string(ResultCode code) -> std::string;
/// "Map UDP"; "opcode N" if unassigned.
[[nodiscard]] auto to_string(Opcode opcode) -> std::string;

/// Asks for the external address (RFC 6886 s3.2).
struct AddressRequest {
  auto operator==(const AddressRequest&) const -> bool = default;
};

/// Asks for a mapping, or with lifetime 0 for its end (RFC 6886 s3.3, s3.4).
struct MapRequest {
  Protocol protocol = Protocol::udp;  ///< UDP or TCP
  Port internal_port{};
  Port suggested_external_port{};
  std::uint32_t requested_lifetime_s = 0;

  [[nodiscard]] auto is_delete() const -> bool { return requested_lifetime_s == 0; }
  /// All mappings of the protocol are to end, whatever is suggested (RFC 6886 s3.4).
  [[nodiscard]] auto is_delete_all() const -> bool { return is_delete() && internal_port == Port{}; }
  auto operator==(const MapRequest&) const -> bool = default;
};

/// An opcode from 3 to 127: to be answered by write_unsupported_opcode().
struct UnknownOpcode {
  Opcode opcode{};
  auto operator==(const UnknownOpcode&) const -> bool = default;
};

using Request = std::variant<AddressRequest, MapRequest, UnknownOpcode>;

/// Why a datagram is no NAT-PMP request, in the order of the checks.
enum class RequestError : std::uint8_t {
  shorter_than_2,        ///< drop silently
  is_response,           ///< opcode 128 or more: drop silently (RFC 6886 s3.5)
  other_version,         ///< write_unsupported_version(), unless another protocol takes it
  too_short_for_opcode,  ///< drop silently
};
[[nodiscard]] auto to_string(RequestError error) -> std::string_view;

/// The external address; zero on errors (RFC 6886 s3.2). Sent unasked to 224.0.0.1 it is an announcement.
struct AddressResponse {
  Ipv4Address external_address{};
  auto operator==(const AddressResponse&) const -> bool = default;
};

/// RFC 6886 s3.3. On errors mapped port and lifetime are zero (s3.5), after a delete they are too (s3.4).
struct MapResponse {
  Protocol protocol = Protocol::udp;  ///< UDP or TCP
  Port internal_port{};
  Port mapped_external_port{};
  std::uint32_t lifetime_s = 0;
  auto operator==(const MapResponse&) const -> bool = default;
};

/// "Unsupported Version", without the bit that marks responses (RFC 6886 s3.5).
struct UnsupportedVersion {
  auto operator==(const UnsupportedVersion&) const -> bool = default;
};

struct Response {
  ResultCode result = ResultCode::success;
  /// Seconds Since Start of Epoch. Of an UnknownOpcode: whatever the request had there.
  std::uint32_t epoch_time_s = 0;
  std::variant<AddressResponse, MapResponse, UnsupportedVersion, UnknownOpcode> body;
  auto operator==(const Response&) const -> bool = default;
};

/// Why a datagram is no NAT-PMP response.
enum class ResponseError : std::uint8_t {
  shorter_than_4,
  other_version,
  is_request,
  too_short_for_opcode,
};
[[nodiscard]] auto to_string(ResponseError error) -> std::string_view;

/// Decodes one NAT-PMP request datagram. Octets behind the request are ignored.
///
/// Spec    RFC 6886 s3.2, s3.3, s3.5
/// In      datagram: any octets, network order
/// Errors  RequestError, the first check that fails
/// Cost    O(1), no allocation    Thread  any
[[nodiscard]] auto decode_request(std::span<const std::byte> datagram) noexcept
    -> std::expected<Request, RequestError>;

/// Decodes one NAT-PMP response datagram; as decode_request().
[[nodiscard]] auto decode_response(std::span<const std::byte> datagram) noexcept
    -> std::expected<Response, ResponseError>;

/// Writes an address or map request; an UnknownOpcode becomes its two octets.
///
/// In      buffer: at least map_request_octets
/// Out     octets written
[[nodiscard]] auto write_request(const Request& request, std::span<std::byte> buffer) -> std::size_t;

/// Writes a response with any body but UnknownOpcode, which write_unsupported_opcode() answers.
///
/// In      response: UnsupportedVersion goes with the result of that name only
///         buffer: at least map_response_octets
/// Out     octets written
[[nodiscard]] auto write_response(const Response& response, std::span<std::byte> buffer) -> std::size_t;

/// Writes the answer to a request of an unknown opcode: the entire request with the top bit of the opcode
/// set and result 5, at most 1100 octets of it; filled with zeros to the 4 octets that hold a result.
///
/// Spec    RFC 6886 s3.5
/// In      request: at least 2 octets as received, version 0; may lie in `buffer`
///         buffer: at least 1100 octets
/// Out     octets written
[[nodiscard]] auto write_unsupported_opcode(std::span<const std::byte> request, std::span<std::byte> buffer)
    -> std::size_t;

}  // namespace portolan::wire::nat_pmp
