// SPDX-License-Identifier: BSD-2-Clause
#include "nat/translate.h"

#include <cstring>

#include "base/check.h"
#include "nat/checksum.h"

namespace portolan::nat {
namespace {

/// Packets the kernel will make of a frame; each gets an identification of its own.
auto segment_count(const Offload& offload, const Packet& packet) -> std::uint32_t {
  if (offload.gso_type == Offload::gso_none || offload.gso_size == 0) return 1;
  return packet.transport_size() / offload.gso_size + 1;
}

auto transport_header_size(const Packet& packet) -> std::uint32_t {
  if (packet.protocol == protocol::tcp) return (packet.transport()[tcp::data_offset] >> 4U) * 4U;
  return udp::header_size;
}

/// Moves what counts from the packet's start, which `shift` octets are added before.
void shift_offload(Offload& offload, std::int32_t shift) {
  offload.flags &= Offload::needs_csum;
  if (offload.flags == 0) {
    offload.csum_start = 0;
    offload.csum_offset = 0;
  } else {
    offload.csum_start = static_cast<std::uint16_t>(offload.csum_start + shift);
  }
  if (offload.gso_type == Offload::gso_none) {
    offload.gso_size = 0;
    offload.hdr_len = 0;
  } else if (offload.hdr_len != 0) {
    offload.hdr_len = static_cast<std::uint16_t>(offload.hdr_len + shift);
  }
}

void swap_gso_family(Offload& offload, std::uint8_t from, std::uint8_t to) {
  if ((offload.gso_type & ~Offload::gso_ecn) == from)
    offload.gso_type = static_cast<std::uint8_t>(to | (offload.gso_type & Offload::gso_ecn));
}

/// Sum that an ICMPv6 checksum covers besides the addresses, and the change of the type.
auto echo_delta_to_ipv6(std::uint8_t type, std::uint8_t new_type, std::uint32_t size) -> std::uint16_t {
  const std::uint8_t before[2] = {type, 0};
  const std::uint8_t after[2] = {new_type, 0};
  return sum_of(difference(load_raw16(after), load_raw16(before)),
                fold(sum_protocol_and_length(protocol::icmpv6, size)));
}

}  // namespace

auto translated_echo_type(std::uint8_t type) -> std::uint8_t {
  switch (type) {
    case icmp::v4_echo_request: return icmp::v6_echo_request;
    case icmp::v4_echo_reply: return icmp::v6_echo_reply;
    case icmp::v6_echo_request: return icmp::v4_echo_request;
    default: return icmp::v4_echo_reply;
  }
}

void adjust_transport(std::uint8_t* field, bool is_partial, bool is_udp, std::uint16_t address_delta,
                      std::uint16_t flow_delta) {
  const std::uint16_t old = load_raw16(field);
  if (is_partial) {
    // The ports are summed when the checksum is completed.
    store_raw16(field, adjust_partial(old, address_delta));
    return;
  }
  std::uint16_t adjusted = adjust_checksum(old, flow_delta);
  if (is_udp && adjusted == 0) adjusted = 0xffff;  // 0 says "none" (RFC 768)
  store_raw16(field, adjusted);
}

void echo_to_ipv4(std::uint8_t* transport, std::uint32_t size, bool is_partial, std::uint16_t flow_delta) {
  const std::uint8_t old_type = transport[icmp::type];
  const std::uint8_t new_type = translated_echo_type(old_type);
  transport[icmp::type] = new_type;
  std::uint8_t* field = transport + icmp::checksum;
  if (is_partial) {
    // Nothing but the message itself is summed in ICMPv4.
    store_raw16(field, 0);
    return;
  }
  const std::uint16_t delta = difference(flow_delta, echo_delta_to_ipv6(new_type, old_type, size));
  store_raw16(field, adjust_checksum(load_raw16(field), delta));
}

void echo_to_ipv6(std::uint8_t* transport, std::uint32_t size, bool is_partial, std::uint16_t address_delta,
                  std::uint16_t flow_delta) {
  const std::uint8_t new_type = translated_echo_type(transport[icmp::type]);
  std::uint8_t* field = transport + icmp::checksum;
  if (is_partial) {
    store_raw16(field, fold(sum_protocol_and_length(protocol::icmpv6, size) + address_delta));
  } else {
    const std::uint16_t delta = sum_of(flow_delta, echo_delta_to_ipv6(transport[icmp::type], new_type, size));
    store_raw16(field, adjust_checksum(load_raw16(field), delta));
  }
  transport[icmp::type] = new_type;
}

void complete_checksum(Frame& frame) {
  if ((frame.offload.flags & Offload::needs_csum) == 0) return;
  auto* const packet = reinterpret_cast<std::uint8_t*>(frame.packet().data());
  const auto covered = static_cast<std::uint32_t>(frame.size - frame.offload.csum_start);
  const auto checksum =
      static_cast<std::uint16_t>(~fold(sum_octets(packet + frame.offload.csum_start, covered)));
  // TCP and ICMPv6 have no special zero; 0xffff is the same number to them.
  store_raw16(packet + frame.offload.csum_start + frame.offload.csum_offset,
              checksum == 0 ? std::uint16_t{0xffff} : checksum);
  frame.offload = {};
}

auto is_consistent(const Offload& offload, const Packet& packet, Direction direction) -> bool {
  const bool is_partial = (offload.flags & Offload::needs_csum) != 0;
  if (is_partial &&
      (offload.csum_start != packet.header_size || offload.csum_offset != checksum_offset(packet.protocol)))
    return false;
  if (offload.gso_type == Offload::gso_none) return true;
  const auto type = static_cast<std::uint8_t>(offload.gso_type & ~Offload::gso_ecn);
  if (!is_partial || offload.gso_size == 0) return false;
  if (packet.protocol == protocol::udp) return type == Offload::gso_udp_l4;
  const std::uint8_t wanted = direction == Direction::from_ipv6 ? Offload::gso_tcpv6 : Offload::gso_tcpv4;
  return packet.protocol == protocol::tcp && type == wanted;
}

auto wire_size(const Offload& offload, const Packet& packet, std::uint32_t new_header_size) -> std::uint32_t {
  const std::uint32_t whole = new_header_size + packet.transport_size();
  if (offload.gso_type == Offload::gso_none) return whole;
  const std::uint32_t segment = new_header_size + transport_header_size(packet) + offload.gso_size;
  return segment < whole ? segment : whole;
}

void limit_segments(Offload& offload, const Packet& packet, std::uint32_t mtu) {
  if (offload.gso_type == Offload::gso_none || packet.protocol != protocol::tcp) return;
  const std::uint32_t room = mtu - ipv6::header_size - transport_header_size(packet);
  if (offload.gso_size > room) offload.gso_size = static_cast<std::uint16_t>(room);
}

void clamp_mss(const Frame& frame, const Packet& packet, std::uint16_t mss_max) {
  if (packet.protocol != protocol::tcp || (packet.tcp_flags & tcp::syn) == 0) return;
  std::uint8_t* const header = packet.transport();
  const std::uint32_t end = transport_header_size(packet);
  for (std::uint32_t at = tcp::header_size; at < end && header[at] != tcp::option_end;) {
    if (header[at] == tcp::option_no_operation) {
      ++at;
      continue;
    }
    if (at + 2 > end || header[at + 1] < 2 || at + header[at + 1] > end) return;
    if (header[at] == tcp::option_mss && header[at + 1] == 4 && load16(header + at + 2) > mss_max) {
      // Behind an odd offset the octets count with their places swapped.
      const auto sum_at = [&] {
        const std::uint16_t word = load_raw16(header + at + 2);
        return at % 2 == 0 ? word : static_cast<std::uint16_t>(word << 8U | word >> 8U);
      };
      const std::uint16_t before = sum_at();
      store16(header + at + 2, mss_max);
      if ((frame.offload.flags & Offload::needs_csum) == 0)
        adjust_transport(header + tcp::checksum, false, false, 0, difference(sum_at(), before));
    }
    at += header[at + 1];
  }
}

void write_ipv4(std::uint8_t* at, const Ipv4Fields& fields) {
  at[0] = 0x45;
  at[ipv4::tos] = fields.tos;
  store16(at + ipv4::total_length, fields.total_length);
  store16(at + ipv4::identification, fields.identification);
  store16(at + ipv4::flags, fields.dont_fragment ? ipv4::dont_fragment : 0);
  at[ipv4::ttl] = fields.ttl;
  at[ipv4::protocol] = fields.protocol;
  store_raw16(at + ipv4::checksum, 0);
  store_raw32(at + ipv4::source, fields.source);
  store_raw32(at + ipv4::destination, fields.destination);
  store_raw16(at + ipv4::checksum, ipv4_header_checksum(at, ipv4::header_size));
}

void write_ipv6(std::uint8_t* at, const Ipv6Fields& fields) {
  store32(at, 0x60000000U | static_cast<std::uint32_t>(fields.traffic_class) << 20U);
  store16(at + ipv6::payload_length, fields.payload_length);
  at[ipv6::next_header] = fields.next_header;
  at[ipv6::hop_limit] = fields.hop_limit;
}

auto lacks_checksum(const Frame& frame, const Packet& packet) -> bool {
  return packet.protocol == protocol::udp && (frame.offload.flags & Offload::needs_csum) == 0 &&
         load_raw16(packet.transport() + udp::checksum) == 0;
}

auto check_for_ipv4(const Frame& frame, const Packet& packet) -> DropReason {
  if (ipv4::header_size + packet.transport_size() > 0xffff) return DropReason::too_long;
  // RFC 8200 s8.1: a receiver must discard it, so must we.
  return lacks_checksum(frame, packet) ? DropReason::bad_checksum : DropReason::none;
}

void to_ipv4(Frame& frame, const Packet& packet, const SessionEntry& entry, std::uint16_t suffix_delta,
             Identifications& identifications) {
  const std::uint32_t new_size = ipv4::header_size + packet.transport_size();
  std::uint8_t* transport = packet.transport();
  const bool is_partial = (frame.offload.flags & Offload::needs_csum) != 0;
  const bool is_udp = packet.protocol == protocol::udp;

  const std::uint16_t flow_delta = sum_of(entry.flow_delta, suffix_delta);
  if (packet.protocol == protocol::icmpv6) {
    echo_to_ipv4(transport, packet.transport_size(), is_partial, flow_delta);
    store_raw16(transport + icmp::identifier, entry.external_port);
  } else {
    adjust_transport(transport + checksum_offset(packet.protocol), is_partial, is_udp,
                     sum_of(entry.address_delta, suffix_delta), flow_delta);
    store_raw16(transport + tcp::source_port, entry.external_port);
  }
  const bool dont_fragment =
      !packet.is_atomic_fragment && must_not_fragment(wire_size(frame.offload, packet, ipv4::header_size));
  const std::uint16_t identification = packet.is_atomic_fragment
                                           ? packet.identification
                                           : identifications.take(entry.identification_flow, dont_fragment,
                                                                  segment_count(frame.offload, packet));
  write_ipv4(transport - ipv4::header_size,
             {.tos = packet.traffic_class,
              .ttl = static_cast<std::uint8_t>(packet.hop_limit - 1),
              .protocol = packet.protocol == protocol::icmpv6 ? protocol::icmp : packet.protocol,
              .total_length = static_cast<std::uint16_t>(new_size),
              .identification = identification,
              .dont_fragment = dont_fragment,
              .source = entry.external,
              .destination = entry.remote});
  const std::uint32_t shift = packet.header_size - ipv4::header_size;
  frame.offset += shift;
  frame.size = new_size;
  swap_gso_family(frame.offload, Offload::gso_tcpv6, Offload::gso_tcpv4);
  shift_offload(frame.offload, -static_cast<std::int32_t>(shift));
}

void to_ipv6(Frame& frame, const Packet& packet, const SessionEntry& entry, const Embedding& embedding) {
  const std::uint32_t transport_at = static_cast<std::uint32_t>(frame.offset) + packet.header_size;
  PORTOLAN_CHECK(transport_at >= ipv6::header_size);
  std::uint8_t* transport = packet.transport();
  std::uint8_t* header = transport - ipv6::header_size;
  const bool is_partial = (frame.offload.flags & Offload::needs_csum) != 0;
  const bool is_udp = packet.protocol == protocol::udp;
  const std::uint32_t transport_size = packet.transport_size();

  std::uint8_t remote[4];
  store_raw32(remote, entry.remote);
  write_ipv6(header, {.traffic_class = packet.traffic_class,
                      .hop_limit = static_cast<std::uint8_t>(packet.hop_limit - 1),
                      .next_header = packet.protocol == protocol::icmp ? protocol::icmpv6 : packet.protocol,
                      .payload_length = static_cast<std::uint16_t>(transport_size)});
  embed(embedding, remote, header + ipv6::source);
  std::memcpy(header + ipv6::destination, entry.inside, sizeof entry.inside);

  if (packet.protocol == protocol::icmp) {
    echo_to_ipv6(transport, transport_size, is_partial, entry.address_delta, entry.flow_delta);
    store_raw16(transport + icmp::identifier, entry.inside_port);
  } else if (is_udp && !is_partial && load_raw16(transport + udp::checksum) == 0) {
    store_raw16(transport + udp::destination_port, entry.inside_port);
    const std::uint32_t length = load16(transport + udp::length);
    const std::uint64_t sum = sum_octets(header + ipv6::source, 32) +
                              sum_protocol_and_length(protocol::udp, length) + sum_octets(transport, length);
    const auto checksum = static_cast<std::uint16_t>(~fold(sum));
    store_raw16(transport + udp::checksum, checksum == 0 ? std::uint16_t{0xffff} : checksum);
  } else {
    adjust_transport(transport + checksum_offset(packet.protocol), is_partial, is_udp, entry.address_delta,
                     entry.flow_delta);
    store_raw16(transport + tcp::destination_port, entry.inside_port);
  }
  const auto shift =
      static_cast<std::int32_t>(ipv6::header_size) - static_cast<std::int32_t>(packet.header_size);
  frame.offset = transport_at - ipv6::header_size;
  frame.size = ipv6::header_size + transport_size;
  swap_gso_family(frame.offload, Offload::gso_tcpv4, Offload::gso_tcpv6);
  shift_offload(frame.offload, shift);
}

}  // namespace portolan::nat
