// SPDX-License-Identifier: BSD-2-Clause
//
// Coding of NAT-PMP messages (RFC 6886 s3).
#include "wire/nat_pmp.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/protocol.h"

namespace portolan::wire::nat_pmp {
namespace {

constexpr std::array<std::string_view, 6> result_names{
    "Success",         "Unsupported Version", "Not Authorized/Refused",
    "Network Failure", "Out of resources",    "Unsupported opcode",
};
constexpr std::array<std::string_view, 3> opcode_names{"External Address", "Map UDP", "Map TCP"};

auto octet_at(std::span<const std::byte> datagram, std::size_t index) -> std::uint8_t {
  return std::to_integer<std::uint8_t>(datagram[index]);
}

auto protocol_of(Opcode opcode) -> Protocol {
  return opcode == Opcode::map_udp ? Protocol::udp : Protocol::tcp;
}

auto opcode_of(Protocol protocol) -> Opcode {
  PORTOLAN_CHECK(protocol == Protocol::udp || protocol == Protocol::tcp);
  return protocol == Protocol::udp ? Opcode::map_udp : Opcode::map_tcp;
}

void write_response_header(ByteWriter& writer, std::uint8_t opcode_octet, const Response& response) {
  writer.write(version);
  writer.write(opcode_octet);
  writer.write(std::to_underlying(response.result));
  writer.write(response.epoch_time_s);
}

auto response_octet(Opcode opcode) -> std::uint8_t {
  return static_cast<std::uint8_t>(response_bit | std::to_underlying(opcode));
}

class ResponseWriter {
 public:
  ResponseWriter(ByteWriter& writer, const Response& response) : writer_(writer), response_(response) {}

  void operator()(const AddressResponse& address) {
    write_response_header(writer_, response_octet(Opcode::external_address), response_);
    writer_.write(address.external_address.value);
  }
  void operator()(const MapResponse& map) {
    write_response_header(writer_, response_octet(opcode_of(map.protocol)), response_);
    writer_.write(map.internal_port.value);
    writer_.write(map.mapped_external_port.value);
    writer_.write(map.lifetime_s);
  }
  void operator()(const UnsupportedVersion&) {
    PORTOLAN_CHECK(response_.result == ResultCode::unsupported_version);
    write_response_header(writer_, 0, response_);
  }
  void operator()(const UnknownOpcode&) { PORTOLAN_CHECK(false); }

 private:
  ByteWriter& writer_;
  const Response& response_;
};

}  // namespace

auto to_string(ResultCode code) -> std::string {
  const auto number = std::to_underlying(code);
  return number < result_names.size() ? std::string(result_names.at(number))
                                      : fmt::format("result code {}", number);
}

auto to_string(Opcode opcode) -> std::string {
  const auto number = std::to_underlying(opcode);
  return number < opcode_names.size() ? std::string(opcode_names.at(number))
                                      : fmt::format("opcode {}", number);
}

auto to_string(RequestError error) -> std::string_view {
  switch (error) {
    case RequestError::shorter_than_2: return "shorter than 2 octets";
    case RequestError::is_response: return "a response, not a request";
    case RequestError::other_version: return "of a version other than 0";
    case RequestError::too_short_for_opcode: return "too short for its opcode";
  }
  std::unreachable();
}

auto to_string(ResponseError error) -> std::string_view {
  switch (error) {
    case ResponseError::shorter_than_4: return "shorter than 4 octets";
    case ResponseError::other_version: return "of a version other than 0";
    case ResponseError::is_request: return "a request, not a response";
    case ResponseError::too_short_for_opcode: return "too short for its opcode";
  }
  std::unreachable();
}

auto decode_request(std::span<const std::byte> datagram) noexcept -> std::expected<Request, RequestError> {
  if (datagram.size() < address_request_octets) return std::unexpected(RequestError::shorter_than_2);
  // Before the version: an answer to a response of another version could go on for ever.
  if ((octet_at(datagram, 1) & response_bit) != 0) return std::unexpected(RequestError::is_response);
  if (octet_at(datagram, 0) != version) return std::unexpected(RequestError::other_version);

  ByteReader reader(datagram);
  reader.skip(1);  // version
  const auto opcode = static_cast<Opcode>(reader.read<std::uint8_t>());
  switch (opcode) {
    case Opcode::external_address: return AddressRequest{};
    case Opcode::map_udp:
    case Opcode::map_tcp: break;
    default: return UnknownOpcode{.opcode = opcode};
  }
  reader.skip(2);  // reserved, ignored when received
  MapRequest map{.protocol = protocol_of(opcode)};
  map.internal_port.value = reader.read<std::uint16_t>();
  map.suggested_external_port.value = reader.read<std::uint16_t>();
  map.requested_lifetime_s = reader.read<std::uint32_t>();
  if (!reader.ok()) return std::unexpected(RequestError::too_short_for_opcode);
  return map;
}

auto decode_response(std::span<const std::byte> datagram) noexcept -> std::expected<Response, ResponseError> {
  if (datagram.size() < result_end) return std::unexpected(ResponseError::shorter_than_4);
  if (octet_at(datagram, 0) != version) return std::unexpected(ResponseError::other_version);

  ByteReader reader(datagram);
  reader.skip(1);  // version
  const auto opcode_octet = reader.read<std::uint8_t>();
  Response response;
  response.result = static_cast<ResultCode>(reader.read<std::uint16_t>());
  const bool refuses_opcode = response.result == ResultCode::unsupported_opcode;
  // The answer to a request as short as 2 octets ends with its result.
  if (reader.remaining() != 0 || !refuses_opcode) response.epoch_time_s = reader.read<std::uint32_t>();

  if (opcode_octet == 0 && response.result == ResultCode::unsupported_version &&
      datagram.size() == unsupported_version_octets) {
    response.body = UnsupportedVersion{};
    return response;
  }
  if ((opcode_octet & response_bit) == 0) return std::unexpected(ResponseError::is_request);
  const auto opcode = static_cast<Opcode>(opcode_octet & ~response_bit);
  switch (opcode) {
    case Opcode::external_address:
      response.body = AddressResponse{.external_address = {reader.read<std::uint32_t>()}};
      break;
    case Opcode::map_udp:
    case Opcode::map_tcp: {
      MapResponse map{.protocol = protocol_of(opcode)};
      map.internal_port.value = reader.read<std::uint16_t>();
      map.mapped_external_port.value = reader.read<std::uint16_t>();
      map.lifetime_s = reader.read<std::uint32_t>();
      response.body = map;
      break;
    }
    default: response.body = UnknownOpcode{.opcode = opcode}; return response;
  }
  if (!reader.ok()) return std::unexpected(ResponseError::too_short_for_opcode);
  return response;
}

auto write_request(const Request& request, std::span<std::byte> buffer) -> std::size_t {
  ByteWriter writer(buffer);
  writer.write(version);
  if (const auto* map = std::get_if<MapRequest>(&request)) {
    writer.write(std::to_underlying(opcode_of(map->protocol)));
    writer.zeros(2);  // reserved
    writer.write(map->internal_port.value);
    writer.write(map->suggested_external_port.value);
    writer.write(map->requested_lifetime_s);
  } else if (const auto* unknown = std::get_if<UnknownOpcode>(&request)) {
    writer.write(std::to_underlying(unknown->opcode));
  } else {
    writer.write(std::to_underlying(Opcode::external_address));
  }
  PORTOLAN_CHECK(writer.ok());
  return writer.size();
}

auto write_response(const Response& response, std::span<std::byte> buffer) -> std::size_t {
  ByteWriter writer(buffer);
  std::visit(ResponseWriter(writer, response), response.body);
  PORTOLAN_CHECK(writer.ok());
  return writer.size();
}

auto write_unsupported_opcode(std::span<const std::byte> request, std::span<std::byte> buffer)
    -> std::size_t {
  PORTOLAN_CHECK(request.size() >= address_request_octets);
  const std::size_t copied = std::min(request.size(), message_octets_max);
  const std::size_t size = std::max(copied, result_end);
  PORTOLAN_CHECK(size <= buffer.size());
  std::memmove(buffer.data(), request.data(), copied);
  std::memset(buffer.data() + copied, 0, size - copied);

  ByteWriter writer(buffer);
  writer.write(version);
  writer.write(static_cast<std::uint8_t>(response_bit | std::to_integer<std::uint8_t>(buffer[1])));
  writer.write(std::to_underlying(ResultCode::unsupported_opcode));
  return size;
}

}  // namespace portolan::wire::nat_pmp
