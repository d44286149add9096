// SPDX-License-Identifier: BSD-2-Clause
//
// Encoding of messages, and error answers as copies of the request (RFC 6887 s7, s8.2, s11.1).
#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/message.h"

namespace portolan::wire {
namespace {

void write_map(ByteWriter& writer, const Nonce& nonce, Protocol protocol, Port internal_port,
               Port external_port, const IpAddress& external_address) {
  writer.write(std::span<const std::byte>(nonce.octets));
  writer.write(static_cast<std::uint8_t>(protocol));
  writer.zeros(3);  // reserved
  writer.write(internal_port.value);
  writer.write(external_port.value);
  writer.write(external_address);
}

}  // namespace

void Datagram::resize(std::size_t size) {
  PORTOLAN_CHECK(size <= buffer_.size());
  size_ = size;
}

auto append_option(Datagram& datagram, OptionCode code, std::span<const std::byte> data) -> bool {
  const std::size_t start = datagram.octets().size();
  PORTOLAN_CHECK(start >= header_octets && start % 4 == 0);
  // The size of the data comes first: it may be anything, and the sum must not wrap around.
  if (data.size() > message_octets_max) return false;
  const std::size_t size = start + option_header_octets + padded(data.size());
  if (size > message_octets_max) return false;
  ByteWriter writer(datagram.buffer().subspan(start));
  writer.write(static_cast<std::uint8_t>(code));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint16_t>(data.size()));
  writer.write(data);
  writer.zeros(padded(data.size()) - data.size());
  PORTOLAN_CHECK(writer.ok());
  datagram.resize(size);
  return true;
}

auto encode_request(const Request& request) -> Datagram {
  Datagram datagram;
  ByteWriter writer(datagram.buffer());
  writer.write(version_2);
  writer.write(static_cast<std::uint8_t>(request.opcode));
  writer.zeros(2);  // reserved
  writer.write(request.requested_lifetime_s);
  writer.write(request.client_address);
  if (const auto* map = std::get_if<MapRequest>(&request.body)) {
    PORTOLAN_CHECK(request.opcode == Opcode::map);
    write_map(writer, map->nonce, map->protocol, map->internal_port, map->suggested_external_port,
              map->suggested_external_address);
  } else {
    PORTOLAN_CHECK(std::holds_alternative<Announce>(request.body) && request.opcode == Opcode::announce);
  }
  PORTOLAN_CHECK(writer.ok());
  datagram.resize(writer.size());
  return datagram;
}

auto encode_response(const Response& response) -> Datagram {
  Datagram datagram;
  ByteWriter writer(datagram.buffer());
  writer.write(version_2);
  writer.write(static_cast<std::uint8_t>(response_bit | static_cast<std::uint8_t>(response.opcode)));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint8_t>(response.result));
  writer.write(response.lifetime_s);
  writer.write(response.epoch_time_s);
  writer.zeros(12);  // reserved
  if (const auto* map = std::get_if<MapResponse>(&response.body)) {
    PORTOLAN_CHECK(response.opcode == Opcode::map);
    write_map(writer, map->nonce, map->protocol, map->internal_port, map->assigned_external_port,
              map->assigned_external_address);
  } else {
    PORTOLAN_CHECK(std::holds_alternative<Announce>(response.body) && response.opcode == Opcode::announce);
  }
  PORTOLAN_CHECK(writer.ok());
  datagram.resize(writer.size());
  return datagram;
}

auto encode_error(std::span<const std::byte> request, ResultCode result, Seconds lifetime,
                  std::uint32_t epoch_time_s, bool parsed) -> Datagram {
  PORTOLAN_CHECK(request.size() >= 2 && result != ResultCode::success);
  Datagram datagram;
  const std::size_t copied = std::min(request.size(), message_octets_max);
  const std::size_t size = std::max(padded(copied), header_octets);
  const auto buffer = datagram.buffer();
  std::memcpy(buffer.data(), request.data(), copied);
  std::memset(buffer.data() + copied, 0, size - copied);

  ByteWriter writer(buffer);
  writer.write(version_2);
  writer.write(static_cast<std::uint8_t>(response_bit | std::to_integer<std::uint8_t>(request[1])));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint8_t>(result));
  writer.write(static_cast<std::uint32_t>(std::clamp<Seconds::rep>(lifetime.count(), 0, UINT32_MAX)));
  writer.write(epoch_time_s);
  // Of a request that did not parse, the last 96 bits of the client's address stay (RFC 6887 s7.2).
  if (parsed) writer.zeros(12);
  datagram.resize(size);
  return datagram;
}

}  // namespace portolan::wire
