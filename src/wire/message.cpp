// SPDX-License-Identifier: BSD-2-Clause
//
// Decoding of headers and opcode data, and the walk over options (RFC 6887 s7, s11.1). encode.cpp is
// the other direction.
#include "wire/message.h"

#include <utility>

#include "base/bytes.h"

namespace portolan::wire {
namespace {

constexpr std::uint8_t opcode_mask = 0x7f;

/// "Unsupported Version" of NAT-PMP: version and opcode 0, 16 bits of result 1 (RFC 6886 s3.5).
constexpr std::size_t nat_pmp_refusal_octets = 8;

auto octet_at(std::span<const std::byte> datagram, std::size_t index) -> std::uint8_t {
  return std::to_integer<std::uint8_t>(datagram[index]);
}

auto is_nat_pmp_refusal(std::span<const std::byte> datagram) -> bool {
  return datagram.size() == nat_pmp_refusal_octets && octet_at(datagram, 0) == 0 &&
         octet_at(datagram, 1) == 0 && octet_at(datagram, 2) == 0 &&
         octet_at(datagram, 3) == std::to_underlying(ResultCode::unsupp_version);
}

auto is_taken(std::uint8_t version, Versions versions) -> bool {
  return version == version_2 || (version == version_1 && versions.version_1);
}

/// Fields that MAP and PEER requests and responses share; only their names differ (RFC 6887 s11.1, s12.1).
struct MapFields {
  Nonce nonce;
  Protocol protocol;
  Port internal_port;
  Port external_port;
  IpAddress external_address;
};

auto read_map(ByteReader& reader, std::uint8_t version) -> MapFields {
  MapFields fields{};
  if (version != version_1) reader.copy_to(fields.nonce.octets);
  fields.protocol = static_cast<Protocol>(reader.read<std::uint8_t>());
  reader.skip(3);  // reserved, ignored when received
  fields.internal_port.value = reader.read<std::uint16_t>();
  fields.external_port.value = reader.read<std::uint16_t>();
  fields.external_address = reader.read_address();
  return fields;
}

/// The peer as PEER messages name it, behind the fields of MAP (RFC 6887 s12.1).
auto read_remote_peer(ByteReader& reader) -> Endpoint {
  const Port port{reader.read<std::uint16_t>()};
  reader.skip(2);  // reserved, ignored when received
  return {.address = reader.read_address(), .port = port};
}

auto read_map_request(ByteReader& reader, std::uint8_t version) -> MapRequest {
  const MapFields fields = read_map(reader, version);
  return {.nonce = fields.nonce,
          .protocol = fields.protocol,
          .internal_port = fields.internal_port,
          .suggested_external_port = fields.external_port,
          .suggested_external_address = fields.external_address};
}

auto read_map_response(ByteReader& reader, std::uint8_t version) -> MapResponse {
  const MapFields fields = read_map(reader, version);
  return {.nonce = fields.nonce,
          .protocol = fields.protocol,
          .internal_port = fields.internal_port,
          .assigned_external_port = fields.external_port,
          .assigned_external_address = fields.external_address};
}

auto read_peer_request(ByteReader& reader, std::uint8_t version) -> PeerRequest {
  const MapFields fields = read_map(reader, version);
  const Endpoint remote_peer = read_remote_peer(reader);
  return {.nonce = fields.nonce,
          .protocol = fields.protocol,
          .internal_port = fields.internal_port,
          .suggested_external_port = fields.external_port,
          .suggested_external_address = fields.external_address,
          .remote_peer_port = remote_peer.port,
          .remote_peer_address = remote_peer.address};
}

auto read_peer_response(ByteReader& reader, std::uint8_t version) -> PeerResponse {
  const MapFields fields = read_map(reader, version);
  const Endpoint remote_peer = read_remote_peer(reader);
  return {.nonce = fields.nonce,
          .protocol = fields.protocol,
          .internal_port = fields.internal_port,
          .assigned_external_port = fields.external_port,
          .assigned_external_address = fields.external_address,
          .remote_peer_port = remote_peer.port,
          .remote_peer_address = remote_peer.address};
}

}  // namespace

OptionList::Iterator::Iterator(std::span<const std::byte> rest) : rest_(rest), size_(rest.size()) { parse(); }

auto OptionList::Iterator::operator++() -> Iterator& {
  rest_ = rest_.subspan(option_header_octets + padded(option_.data.size()));
  size_ = rest_.size();
  parse();
  return *this;
}

auto OptionList::Iterator::operator++(int) -> Iterator {
  const Iterator before = *this;
  ++*this;
  return before;
}

void OptionList::Iterator::parse() {
  ByteReader reader(rest_);
  option_.code = static_cast<OptionCode>(reader.read<std::uint8_t>());
  reader.skip(1);  // reserved, ignored on reception
  const std::size_t length = reader.read<std::uint16_t>();
  const auto data_and_padding = reader.take(padded(length));
  if (reader.ok())
    option_.data = data_and_padding.first(length);
  else
    size_ = 0;
}

auto OptionList::is_well_formed() const -> bool {
  std::size_t used = 0;
  for (const Option& option : *this) used += option_header_octets + padded(option.data.size());
  return used == octets_.size();
}

auto to_string(RequestError error) -> std::string_view {
  switch (error) {
    case RequestError::shorter_than_2: return "shorter than 2 octets";
    case RequestError::is_response: return "a response, not a request";
    case RequestError::unsupported_version: return "of an unsupported version";
    case RequestError::shorter_than_header: return "shorter than the 24 octets of a header";
    case RequestError::too_long: return "longer than its version allows";
    case RequestError::not_multiple_of_4: return "not a multiple of 4 octets long";
    case RequestError::too_short_for_opcode: return "too short for its opcode";
  }
  std::unreachable();
}

auto to_string(ResponseError error) -> std::string_view {
  switch (error) {
    case ResponseError::shorter_than_4: return "shorter than 4 octets";
    case ResponseError::is_request: return "a request, not a response";
    case ResponseError::unsupported_version: return "of an unsupported version";
    case ResponseError::shorter_than_header: return "shorter than the 24 octets of a header";
    case ResponseError::too_long: return "longer than its version allows";
    case ResponseError::not_multiple_of_4: return "not a multiple of 4 octets long";
    case ResponseError::too_short_for_opcode: return "too short for its opcode";
  }
  std::unreachable();
}

auto decode_request(std::span<const std::byte> datagram, Versions versions) noexcept
    -> std::expected<Request, RequestError> {
  if (datagram.size() < 2) return std::unexpected(RequestError::shorter_than_2);
  if ((octet_at(datagram, 1) & response_bit) != 0) return std::unexpected(RequestError::is_response);
  const std::uint8_t version = octet_at(datagram, 0);
  if (!is_taken(version, versions)) return std::unexpected(RequestError::unsupported_version);
  if (datagram.size() < header_octets) return std::unexpected(RequestError::shorter_than_header);
  if (datagram.size() > message_limit(version)) return std::unexpected(RequestError::too_long);
  if (datagram.size() % 4 != 0) return std::unexpected(RequestError::not_multiple_of_4);

  Request request;
  ByteReader reader(datagram);
  request.version = reader.read<std::uint8_t>();
  request.opcode = static_cast<Opcode>(reader.read<std::uint8_t>());
  reader.skip(2);  // reserved, ignored on reception
  request.requested_lifetime_s = reader.read<std::uint32_t>();
  request.client_address = reader.read_address();
  switch (request.opcode) {
    case Opcode::announce: request.body = Announce{}; break;
    case Opcode::map: request.body = read_map_request(reader, version); break;
    case Opcode::peer: request.body = read_peer_request(reader, version); break;
    default: return request;
  }
  if (!reader.ok()) return std::unexpected(RequestError::too_short_for_opcode);
  request.options = OptionList(reader.take(reader.remaining()));
  return request;
}

auto decode_response(std::span<const std::byte> datagram, Versions versions) noexcept
    -> std::expected<Response, ResponseError> {
  if (datagram.size() < 4) return std::unexpected(ResponseError::shorter_than_4);
  if (is_nat_pmp_refusal(datagram)) return std::unexpected(ResponseError::unsupported_version);
  if ((octet_at(datagram, 1) & response_bit) == 0) return std::unexpected(ResponseError::is_request);
  const std::uint8_t version = octet_at(datagram, 0);
  if (!is_taken(version, versions)) return std::unexpected(ResponseError::unsupported_version);
  if (datagram.size() < header_octets) return std::unexpected(ResponseError::shorter_than_header);
  if (datagram.size() > message_limit(version)) return std::unexpected(ResponseError::too_long);
  if (datagram.size() % 4 != 0) return std::unexpected(ResponseError::not_multiple_of_4);

  Response response;
  ByteReader reader(datagram);
  response.version = reader.read<std::uint8_t>();
  response.opcode = static_cast<Opcode>(reader.read<std::uint8_t>() & opcode_mask);
  reader.skip(1);  // reserved, ignored when received
  response.result = static_cast<ResultCode>(reader.read<std::uint8_t>());
  response.lifetime_s = reader.read<std::uint32_t>();
  response.epoch_time_s = reader.read<std::uint32_t>();
  reader.skip(12);  // reserved, ignored when received
  switch (response.opcode) {
    case Opcode::announce: response.body = Announce{}; break;
    case Opcode::map: response.body = read_map_response(reader, version); break;
    case Opcode::peer: response.body = read_peer_response(reader, version); break;
    default: return response;
  }
  if (!reader.ok()) return std::unexpected(ResponseError::too_short_for_opcode);
  response.options = OptionList(reader.take(reader.remaining()));
  return response;
}

auto answered_version(std::span<const std::byte> datagram) noexcept -> std::optional<std::uint8_t> {
  if (is_nat_pmp_refusal(datagram)) return std::uint8_t{0};
  if (datagram.size() < 4 || (octet_at(datagram, 1) & response_bit) == 0) return {};
  if (octet_at(datagram, 3) != std::to_underlying(ResultCode::unsupp_version)) return {};
  if (octet_at(datagram, 0) == version_2) return {};
  return octet_at(datagram, 0);
}

}  // namespace portolan::wire
