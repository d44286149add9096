// SPDX-License-Identifier: BSD-2-Clause
#include "nat/udp_gather.h"

#include <algorithm>
#include <cstring>

#include "nat/checksum.h"
#include "nat/packet.h"

namespace portolan::nat {
namespace {

constexpr std::uint32_t ip_packet_max = 65535;
// Flows' buffers begin in different places of the processor's caches.
constexpr std::size_t flow_memory = Frame::headroom_min + ip_packet_max + 1 + 192;

auto octets_of(const Frame& frame) -> std::uint8_t* {
  return reinterpret_cast<std::uint8_t*>(frame.buffer.data() + frame.offset);
}

auto load_raw64(const std::uint8_t* at) -> std::uint64_t {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Of both addresses.
auto sum_addresses(const std::uint8_t* packet, std::uint32_t ip_header) -> std::uint64_t {
  return ip_header == ipv4::header_size ? sum_octets(packet + ipv4::source, 8)
                                        : sum_octets(packet + ipv6::source, 32);
}

/// Whether a packet's checksum is right, or left to the kernel to make.
auto has_right_checksum(const Frame& frame, std::uint32_t ip_header) -> bool {
  if ((frame.offload.flags & Offload::needs_csum) != 0) return true;
  const std::uint8_t* packet = octets_of(frame);
  const auto size = static_cast<std::uint32_t>(frame.size) - ip_header;
  return fold(sum_addresses(packet, ip_header) + sum_protocol_and_length(protocol::udp, size) +
              sum_octets(packet + ip_header, size)) == 0xffff;
}

/// Whether all of the headers agree that will be made of the first one's.
auto are_alike(const std::uint8_t* a, const std::uint8_t* b, std::uint32_t ip_header) -> bool {
  if (load_raw32(a + ip_header) != load_raw32(b + ip_header)) return false;  // ports
  if (ip_header == ipv4::header_size)
    return load_raw16(a) == load_raw16(b) && load_raw16(a + ipv4::flags) == load_raw16(b + ipv4::flags) &&
           load_raw16(a + ipv4::ttl) == load_raw16(b + ipv4::ttl) &&
           load_raw64(a + ipv4::source) == load_raw64(b + ipv4::source);
  return load_raw32(a) == load_raw32(b) &&
         load_raw16(a + ipv6::next_header) == load_raw16(b + ipv6::next_header) &&
         std::memcmp(a + ipv6::source, b + ipv6::source, 32) == 0;
}

}  // namespace

UdpGather::UdpGather() : memory_(flows_max * flow_memory) {
  for (std::size_t i = 0; i < flows_max; ++i)
    flows_[i].frame.buffer = std::span(memory_).subspan(i * flow_memory, flow_memory);
}

auto UdpGather::shape_of(const Frame& frame) -> Shape {
  Shape shape;
  const std::uint8_t* packet = octets_of(frame);
  if (frame.size < ipv4::header_size + udp::header_size) return shape;
  std::uint32_t length = 0;
  if (packet[0] == 0x45) {
    shape.is_udp = packet[ipv4::protocol] == protocol::udp;
    shape.ip_header = ipv4::header_size;
    length = load16(packet + ipv4::total_length);
    constexpr std::uint16_t fragment = ipv4::more_fragments | ipv4::offset_mask;
    if ((load16(packet + ipv4::flags) & fragment) != 0) return shape;
  } else {
    shape.is_udp =
        packet[ipv6::next_header] == protocol::udp || packet[ipv6::next_header] == protocol::fragment;
    shape.ip_header = ipv6::header_size;
    length = ipv6::header_size + load16(packet + ipv6::payload_length);
    if (packet[ipv6::next_header] != protocol::udp) return shape;
  }
  if (!shape.is_udp || frame.offload.gso_type != Offload::gso_none || length != frame.size ||
      length <= shape.ip_header + udp::header_size)
    return shape;
  const std::uint8_t* header = packet + shape.ip_header;
  shape.payload = length - shape.ip_header - udp::header_size;
  shape.may_gather = load16(header + udp::length) == shape.payload + udp::header_size &&
                     load_raw16(header + udp::checksum) != 0;
  // Ports are random enough.
  const std::uint32_t ports =
      load_raw16(header + udp::source_port) ^ load_raw16(header + udp::destination_port);
  shape.flow = (ports ^ ports >> 8U) % flows_max;
  return shape;
}

void UdpGather::begin(Flow& flow, const Frame& frame, const Shape& shape) {
  flow.frame.offset = Frame::headroom_min;
  flow.frame.size = frame.size;
  flow.frame.offload = frame.offload;
  std::memcpy(octets_of(flow.frame), octets_of(frame), frame.size);
  flow.segments = 1;
  flow.ip_header = shape.ip_header;
  flow.segment_size = shape.payload;
  flow.is_trusted = false;
  flow.is_closed = false;
  held_ |= 1U << static_cast<unsigned>(&flow - flows_.data());
}

auto UdpGather::append(Flow& flow, const Frame& frame, const Shape& shape) -> bool {
  const std::uint8_t* first = octets_of(flow.frame);
  const std::uint8_t* packet = octets_of(frame);
  if (shape.ip_header != flow.ip_header || shape.payload > flow.segment_size ||
      flow.frame.size + shape.payload > ip_packet_max || !are_alike(first, packet, flow.ip_header))
    return false;
  if (flow.ip_header == ipv4::header_size && (load16(first + ipv4::flags) & ipv4::dont_fragment) == 0 &&
      load16(packet + ipv4::identification) !=
          static_cast<std::uint16_t>(load16(first + ipv4::identification) + flow.segments))
    return false;
  if (!flow.is_trusted && !has_right_checksum(flow.frame, flow.ip_header)) return false;
  flow.is_trusted = true;
  if (!has_right_checksum(frame, flow.ip_header)) return false;
  std::memcpy(octets_of(flow.frame) + flow.frame.size, packet + flow.ip_header + udp::header_size,
              shape.payload);
  flow.frame.size += shape.payload;
  ++flow.segments;
  flow.is_closed = shape.payload < flow.segment_size || flow.segments == segments_max;
  return true;
}

void UdpGather::finish(Flow& flow) {
  if (flow.segments < 2) return;
  ++gathered_;
  std::uint8_t* packet = octets_of(flow.frame);
  std::uint8_t* header = packet + flow.ip_header;
  const auto size = static_cast<std::uint32_t>(flow.frame.size);
  if (flow.ip_header == ipv4::header_size) {
    store16(packet + ipv4::total_length, static_cast<std::uint16_t>(size));
    store_raw16(packet + ipv4::checksum, 0);
    store_raw16(packet + ipv4::checksum, ipv4_header_checksum(packet, ipv4::header_size));
  } else {
    store16(packet + ipv6::payload_length, static_cast<std::uint16_t>(size - ipv6::header_size));
  }
  const std::uint32_t length = size - flow.ip_header;
  store16(header + udp::length, static_cast<std::uint16_t>(length));
  store_raw16(header + udp::checksum,
              fold(sum_addresses(packet, flow.ip_header) + sum_protocol_and_length(protocol::udp, length)));
  flow.frame.offload = {.flags = Offload::needs_csum,
                        .gso_type = Offload::gso_udp_l4,
                        .hdr_len = static_cast<std::uint16_t>(flow.ip_header + udp::header_size),
                        .gso_size = static_cast<std::uint16_t>(flow.segment_size),
                        .csum_start = static_cast<std::uint16_t>(flow.ip_header),
                        .csum_offset = udp::checksum};
}

}  // namespace portolan::nat
