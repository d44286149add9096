// SPDX-License-Identifier: BSD-2-Clause
//
// PCP messages as values (host order) and their coding to and from octets (network order): version 2,
// and version 1 of the drafts where asked for, which lacks the nonce. No I/O, no clock, no allocation.
// Opcodes not listed here travel as raw octets; options.h has the options' contents.
//
//  0                   1                   2                   3
//  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
// |  Version      |R|   Opcode    |   Reserved    |  Result Code  |  request: 16 bits reserved
// |                 Lifetime (requested, or granted)              |
// |  request: PCP Client's IP Address (128)                       |
// |  response: Epoch Time (32), Reserved (96)                     |
// |  opcode-specific octets, then options, padded to 4            |
// +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "base/address.h"
#include "base/nonce.h"
#include "wire/protocol.h"

namespace portolan::wire {

/// One option as it stands in a message; `data` excludes padding and is borrowed.
struct Option {
  OptionCode code{};
  std::span<const std::byte> data;
};

/// The options of a message in wire order; borrows the datagram's octets.
///
/// Spec    RFC 6887 s7.3
/// Iterating yields only well-framed options: it ends before the first whose length runs past the
/// message. is_well_formed() says whether the octets were used up exactly.
class OptionList {
 public:
  class Iterator {
   public:
    using value_type = Option;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;

    Iterator() = default;
    explicit Iterator(std::span<const std::byte> rest);
    auto operator*() const -> const Option& { return option_; }
    auto operator->() const -> const Option* { return &option_; }
    auto operator++() -> Iterator&;
    auto operator++(int) -> Iterator;
    auto operator==(const Iterator& other) const -> bool { return size_ == other.size_; }

   private:
    void parse();
    std::span<const std::byte> rest_;  // from the current option on
    std::size_t size_ = 0;             // octets left from the current option on; 0 at the end
    Option option_;
  };

  OptionList() = default;
  explicit OptionList(std::span<const std::byte> octets) : octets_(octets) {}

  [[nodiscard]] auto begin() const -> Iterator { return Iterator(octets_); }
  [[nodiscard]] auto end() const -> Iterator { return {}; }
  [[nodiscard]] auto octets() const -> std::span<const std::byte> { return octets_; }
  [[nodiscard]] auto is_well_formed() const -> bool;

 private:
  std::span<const std::byte> octets_;
};

/// ANNOUNCE carries nothing of its own (RFC 6887 s14.1.1).
struct Announce {
  auto operator==(const Announce&) const -> bool = default;
};

/// MAP opcode data of a request (RFC 6887 s11.1).
struct MapRequest {
  Nonce nonce;
  Protocol protocol = Protocol::all;
  Port internal_port;
  Port suggested_external_port;
  IpAddress suggested_external_address;
  auto operator==(const MapRequest&) const -> bool = default;
};

/// MAP opcode data of a response (RFC 6887 s11.1). In an error answer the assigned fields repeat the
/// suggested ones.
struct MapResponse {
  Nonce nonce;
  Protocol protocol = Protocol::all;
  Port internal_port;
  Port assigned_external_port;
  IpAddress assigned_external_address;
  auto operator==(const MapResponse&) const -> bool = default;
};

/// PEER opcode data of a request (RFC 6887 s12.1).
struct PeerRequest {
  Nonce nonce;
  Protocol protocol = Protocol::all;
  Port internal_port;
  Port suggested_external_port;
  IpAddress suggested_external_address;
  Port remote_peer_port;
  IpAddress remote_peer_address;  ///< as the client sees the peer: behind a NAT64 the IPv6 address
  auto operator==(const PeerRequest&) const -> bool = default;
};

/// PEER opcode data of a response (RFC 6887 s12.1). In an error answer the assigned fields repeat the
/// suggested ones.
struct PeerResponse {
  Nonce nonce;
  Protocol protocol = Protocol::all;
  Port internal_port;
  Port assigned_external_port;
  IpAddress assigned_external_address;
  Port remote_peer_port;
  IpAddress remote_peer_address;
  auto operator==(const PeerResponse&) const -> bool = default;
};

/// Opcode-specific octets of an opcode this code does not know, with whatever follows.
struct UnknownOpcode {
  auto operator==(const UnknownOpcode&) const -> bool = default;
};

/// A request whose header and sizes are right. Options may still be ill-framed: RFC 6887 s8.2 wants
/// the address and the opcode checked before them. In version 1 every nonce is zero.
struct Request {
  std::uint8_t version = version_2;
  Opcode opcode{};
  std::uint32_t requested_lifetime_s = 0;
  IpAddress client_address;
  std::variant<UnknownOpcode, Announce, MapRequest, PeerRequest> body;
  OptionList options;
};

struct Response {
  std::uint8_t version = version_2;
  Opcode opcode{};
  ResultCode result = ResultCode::success;
  std::uint32_t lifetime_s = 0;
  std::uint32_t epoch_time_s = 0;
  std::variant<UnknownOpcode, Announce, MapResponse, PeerResponse> body;
  OptionList options;
};

/// The versions a decoder takes besides 2.
struct Versions {
  bool version_1 = false;
};

/// Why a datagram is no request, in the order of RFC 6887 s8.2's checks.
enum class RequestError : std::uint8_t {
  shorter_than_2,        ///< drop silently
  is_response,           ///< R bit set: drop silently
  unsupported_version,   ///< UNSUPP_VERSION, even below 24 octets
  shorter_than_header,   ///< drop silently
  too_long,              ///< MALFORMED_REQUEST
  not_multiple_of_4,     ///< MALFORMED_REQUEST
  too_short_for_opcode,  ///< MALFORMED_REQUEST
};
[[nodiscard]] auto to_string(RequestError error) -> std::string_view;

/// Why a datagram is no response (RFC 6887 s8.3).
enum class ResponseError : std::uint8_t {
  shorter_than_4,
  is_request,
  unsupported_version,  ///< a version not taken, even below 24 octets; see answered_version()
  shorter_than_header,
  too_long,
  not_multiple_of_4,
  too_short_for_opcode,
};
[[nodiscard]] auto to_string(ResponseError error) -> std::string_view;

/// Decodes one PCP request datagram.
///
/// Spec    RFC 6887 s7.1, s7.3, s8.2, s11.1, s12.1
/// In      datagram: any octets, network order; the Request's options borrow it
///         versions: which are taken besides 2
/// Out     Request by value, host order. An unknown opcode decodes to UnknownOpcode
/// Errors  RequestError, the first check that fails
/// Cost    O(1), no allocation    Thread  any
[[nodiscard]] auto decode_request(std::span<const std::byte> datagram, Versions versions = {}) noexcept
    -> std::expected<Request, RequestError>;

/// Decodes one PCP response datagram; as decode_request(), by RFC 6887 s8.3.
[[nodiscard]] auto decode_response(std::span<const std::byte> datagram, Versions versions = {}) noexcept
    -> std::expected<Response, ResponseError>;

/// The version a server offers instead of ours in an UNSUPP_VERSION answer, 0 meaning NAT-PMP; nothing
/// if `datagram` is no such answer. To be asked when decode_response() fails with unsupported_version.
///
/// Spec    RFC 6887 s8.3, s9; NAT-PMP's own 8-octet form, without R bit: RFC 6886 s3.5
[[nodiscard]] auto answered_version(std::span<const std::byte> datagram) noexcept
    -> std::optional<std::uint8_t>;

/// Writes header and opcode data of a request; options are written behind it by write_option(). `options`
/// of the value is not looked at.
///
/// Spec    RFC 6887 s7.1, s11.1, s12.1
/// In      request: any body but UnknownOpcode, its opcode the body's; version 1 leaves out the nonce
///         buffer: at least 1100 octets
/// Out     octets written
[[nodiscard]] auto write_request(const Request& request, std::span<std::byte> buffer) -> std::size_t;

/// Writes header and opcode data of a response (RFC 6887 s7.2), as write_request().
[[nodiscard]] auto write_response(const Response& response, std::span<std::byte> buffer) -> std::size_t;

/// Writes an option behind the `size` octets of the message in `buffer`, padded to a multiple of 4 with
/// zeros (RFC 6887 s7.3).
///
/// In      buffer: begins with a message of `size` octets, at least a header, a multiple of 4
/// Out     new size of the message; nothing if the option does not fit into the longest message of its
///         version or into the buffer: then the message is as it was
[[nodiscard]] auto write_option(std::span<std::byte> buffer, std::size_t size, OptionCode code,
                                std::span<const std::byte> data) -> std::optional<std::size_t>;

/// What an error answer says besides the octets of its request.
struct ErrorAnswer {
  ResultCode result{};
  Seconds lifetime{};
  std::uint32_t epoch_time_s = 0;
  /// Whether the request was parsed successfully: the 96 reserved bits are cleared, else left as they came.
  bool parsed = false;
  /// The request's, or with UNSUPP_VERSION the closest one the server has (RFC 6887 s9).
  std::uint8_t version = version_2;
};

/// Writes the error answer to `request`: a copy cut at the longest message of its version and padded with
/// zeros to a multiple of 4 (and to at least a header), with R bit, version, result, lifetime and epoch set.
///
/// Spec    RFC 6887 s8.2, s7.2
/// In      request: at least 2 octets as received; may lie in `buffer`
///         buffer: at least 1100 octets
/// Out     octets written
[[nodiscard]] auto write_error(std::span<const std::byte> request, const ErrorAnswer& answer,
                               std::span<std::byte> buffer) -> std::size_t;

/// A message ready to send. Its octets beyond size are meaningless.
class Datagram {
 public:
  [[nodiscard]] auto octets() const -> std::span<const std::byte> { return std::span(buffer_).first(size_); }
  /// Room to write a whole message.
  [[nodiscard]] auto buffer() -> std::span<std::byte> { return buffer_; }
  /// Sets how many octets of buffer() count; at most message_octets_max.
  void resize(std::size_t size);

 private:
  std::array<std::byte, message_octets_max> buffer_;
  std::size_t size_ = 0;
};

/// write_option() on a Datagram. Returns false, leaving the message as it was, if the option does not fit.
[[nodiscard]] auto append_option(Datagram& datagram, OptionCode code, std::span<const std::byte> data)
    -> bool;

/// write_request() into a Datagram.
[[nodiscard]] auto encode_request(const Request& request) -> Datagram;

/// write_response() into a Datagram.
[[nodiscard]] auto encode_response(const Response& response) -> Datagram;

/// write_error() into a Datagram.
[[nodiscard]] auto encode_error(std::span<const std::byte> request, ResultCode result, Seconds lifetime,
                                std::uint32_t epoch_time_s, bool parsed, std::uint8_t version = version_2)
    -> Datagram;

}  // namespace portolan::wire
