// SPDX-License-Identifier: BSD-2-Clause
//
// Encoding of messages, and error answers as copies of the request (RFC 6887 s7, s8.2, s11.1, s12.1).
#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "wire/message.h"
#include "wire/options.h"

namespace portolan::wire {
namespace {

/// Fields that requests and responses share; only their names differ (RFC 6887 s11.1, s12.1).
struct MapFields {
  const Nonce& nonce;
  Protocol protocol;
  Port internal_port;
  Port external_port;
  const IpAddress& external_address;
};

void write_map(ByteWriter& writer, std::uint8_t version, const MapFields& fields) {
  if (version != version_1) writer.write(std::span<const std::byte>(fields.nonce.octets));
  writer.write(static_cast<std::uint8_t>(fields.protocol));
  writer.zeros(3);  // reserved
  writer.write(fields.internal_port.value);
  writer.write(fields.external_port.value);
  writer.write(fields.external_address);
}

void write_remote_peer(ByteWriter& writer, Port port, const IpAddress& address) {
  writer.write(port.value);
  writer.zeros(2);  // reserved
  writer.write(address);
}

/// Writes opcode data and says whose it is. A body of an unknown opcode can't be written.
class BodyWriter {
 public:
  BodyWriter(ByteWriter& writer, std::uint8_t version) : writer_(writer), version_(version) {}

  auto operator()(const UnknownOpcode&) -> Opcode { PORTOLAN_CHECK(false); }
  auto operator()(const Announce&) -> Opcode { return Opcode::announce; }
  auto operator()(const MapRequest& map) -> Opcode {
    write_map(writer_, version_,
              {map.nonce, map.protocol, map.internal_port, map.suggested_external_port,
               map.suggested_external_address});
    return Opcode::map;
  }
  auto operator()(const MapResponse& map) -> Opcode {
    write_map(writer_, version_,
              {map.nonce, map.protocol, map.internal_port, map.assigned_external_port,
               map.assigned_external_address});
    return Opcode::map;
  }
  auto operator()(const PeerRequest& peer) -> Opcode {
    write_map(writer_, version_,
              {peer.nonce, peer.protocol, peer.internal_port, peer.suggested_external_port,
               peer.suggested_external_address});
    write_remote_peer(writer_, peer.remote_peer_port, peer.remote_peer_address);
    return Opcode::peer;
  }
  auto operator()(const PeerResponse& peer) -> Opcode {
    write_map(writer_, version_,
              {peer.nonce, peer.protocol, peer.internal_port, peer.assigned_external_port,
               peer.assigned_external_address});
    write_remote_peer(writer_, peer.remote_peer_port, peer.remote_peer_address);
    return Opcode::peer;
  }

 private:
  ByteWriter& writer_;
  std::uint8_t version_;
};

auto is_known_version(std::uint8_t version) -> bool { return version == version_1 || version == version_2; }

}  // namespace

auto write_request(const Request& request, std::span<std::byte> buffer) -> std::size_t {
  PORTOLAN_CHECK(is_known_version(request.version));
  ByteWriter writer(buffer);
  writer.write(request.version);
  writer.write(static_cast<std::uint8_t>(request.opcode));
  writer.zeros(2);  // reserved
  writer.write(request.requested_lifetime_s);
  writer.write(request.client_address);
  const Opcode written = std::visit(BodyWriter(writer, request.version), request.body);
  PORTOLAN_CHECK(written == request.opcode && writer.ok());
  return writer.size();
}

auto write_response(const Response& response, std::span<std::byte> buffer) -> std::size_t {
  PORTOLAN_CHECK(is_known_version(response.version));
  ByteWriter writer(buffer);
  writer.write(response.version);
  writer.write(static_cast<std::uint8_t>(response_bit | static_cast<std::uint8_t>(response.opcode)));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint8_t>(response.result));
  writer.write(response.lifetime_s);
  writer.write(response.epoch_time_s);
  writer.zeros(12);  // reserved
  const Opcode written = std::visit(BodyWriter(writer, response.version), response.body);
  PORTOLAN_CHECK(written == response.opcode && writer.ok());
  return writer.size();
}

auto option_writer(std::span<std::byte> buffer, std::size_t size, OptionCode code, std::size_t data_octets)
    -> std::optional<ByteWriter> {
  PORTOLAN_CHECK(size >= header_octets && size % 4 == 0 && size <= buffer.size());
  // The size of the data comes first: it may be anything, and the sum must not wrap around.
  if (data_octets > message_octets_max) return {};
  const std::size_t limit = std::min(buffer.size(), message_limit(std::to_integer<std::uint8_t>(buffer[0])));
  const std::size_t end = size + option_header_octets + padded(data_octets);
  if (end > limit) return {};
  ByteWriter writer(buffer.subspan(size, end - size));
  writer.write(static_cast<std::uint8_t>(code));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint16_t>(data_octets));
  return writer;
}

auto finish_option(ByteWriter& writer, std::size_t size, std::size_t data_octets) -> std::size_t {
  PORTOLAN_CHECK(writer.ok() && writer.size() == option_header_octets + data_octets);
  writer.zeros(padded(data_octets) - data_octets);
  PORTOLAN_CHECK(writer.ok());
  return size + writer.size();
}

auto write_option(std::span<std::byte> buffer, std::size_t size, OptionCode code,
                  std::span<const std::byte> data) -> std::optional<std::size_t> {
  auto writer = option_writer(buffer, size, code, data.size());
  if (!writer) return {};
  writer->write(data);
  return finish_option(*writer, size, data.size());
}

auto write_error(std::span<const std::byte> request, const ErrorAnswer& answer, std::span<std::byte> buffer)
    -> std::size_t {
  PORTOLAN_CHECK(request.size() >= 2 && answer.result != ResultCode::success);
  const std::size_t copied = std::min(request.size(), message_limit(answer.version));
  const std::size_t size = std::max(padded(copied), header_octets);
  PORTOLAN_CHECK(size <= buffer.size());
  std::memmove(buffer.data(), request.data(), copied);
  std::memset(buffer.data() + copied, 0, size - copied);

  ByteWriter writer(buffer);
  writer.write(answer.version);
  writer.write(static_cast<std::uint8_t>(response_bit | std::to_integer<std::uint8_t>(buffer[1])));
  writer.zeros(1);  // reserved
  writer.write(static_cast<std::uint8_t>(answer.result));
  writer.write(static_cast<std::uint32_t>(std::clamp<Seconds::rep>(answer.lifetime.count(), 0, UINT32_MAX)));
  writer.write(answer.epoch_time_s);
  // Of a request that did not parse, the last 96 bits of the client's address stay (RFC 6887 s7.2).
  if (answer.parsed) writer.zeros(12);
  return size;
}

void Datagram::resize(std::size_t size) {
  PORTOLAN_CHECK(size <= buffer_.size());
  size_ = size;
}

auto append_option(Datagram& datagram, OptionCode code, std::span<const std::byte> data) -> bool {
  const auto size = write_option(datagram.buffer(), datagram.octets().size(), code, data);
  if (size) datagram.resize(*size);
  return size.has_value();
}

auto encode_request(const Request& request) -> Datagram {
  Datagram datagram;
  datagram.resize(write_request(request, datagram.buffer()));
  return datagram;
}

auto encode_response(const Response& response) -> Datagram {
  Datagram datagram;
  datagram.resize(write_response(response, datagram.buffer()));
  return datagram;
}

auto encode_error(std::span<const std::byte> request, ResultCode result, Seconds lifetime,
                  std::uint32_t epoch_time_s, bool parsed, std::uint8_t version) -> Datagram {
  Datagram datagram;
  datagram.resize(write_error(request,
                              {.result = result,
                               .lifetime = lifetime,
                               .epoch_time_s = epoch_time_s,
                               .parsed = parsed,
                               .version = version},
                              datagram.buffer()));
  return datagram;
}

}  // namespace portolan::wire
