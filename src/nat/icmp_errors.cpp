// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's side of ICMP errors: those that pass through are translated with the packet they quote
// (RFC 7915 s4.3, s5.3; RFC 6146 s3.4), those about packets dropped here are made.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "nat/checksum.h"
#include "nat/nat64.h"
#include "nat/translate.h"

namespace portolan::nat {
namespace {

// Errors of both families stay below the least IPv6 MTU (RFC 4443 s2.4 (c)).
constexpr std::size_t error_max = ipv6::minimum_mtu;
constexpr std::size_t quotation_min = 128;  // if extensions follow (RFC 4884 s4)

/// An error message under construction, outer header apart.
struct Message {
  std::array<std::uint8_t, error_max> octets{};
  std::size_t size = 0;

  void append(std::span<const std::uint8_t> more) {
    const std::size_t count = std::min(more.size(), octets.size() - size);
    std::memcpy(octets.data() + size, more.data(), count);
    size += count;
  }
  void pad_to(std::size_t wanted) { size = std::max(size, std::min(wanted, octets.size())); }
};

auto round_up(std::size_t value, std::size_t unit) -> std::size_t { return (value + unit - 1) / unit * unit; }

/// Appends the extensions behind the quotation, which is padded to `unit`s, or cut if there is no room for
/// both. Returns its length in `unit`s, or 0 if there are no extensions, or room for them beside the least
/// quotation neither: part of them would say nothing (RFC 4884 s4.6, s5.5).
auto append_extensions(Message& message, std::span<const std::uint8_t> extensions, std::size_t unit,
                       std::size_t size_max) -> std::uint8_t {
  if (extensions.empty() || icmp::header_size + quotation_min + extensions.size() > size_max) return 0;
  const std::size_t room =
      std::min(size_max - icmp::header_size - extensions.size(), unit * 0xff) / unit * unit;
  const std::size_t wanted = round_up(std::max(message.size - icmp::header_size, quotation_min), unit);
  const std::size_t quotation = std::min(wanted, room);
  message.pad_to(icmp::header_size + quotation);
  message.size = icmp::header_size + quotation;
  message.append(extensions);
  return static_cast<std::uint8_t>(quotation / unit);
}

void put_header(Message& message, const IcmpHeader& header) {
  message.octets[icmp::type] = header.type;
  message.octets[icmp::code] = header.code;
  store32(message.octets.data() + icmp::rest, header.rest);
}

/// Ends where the packet it replaces ended: it has grown into the headroom, if at all.
auto place(Frame& frame, const Packet& packet, std::size_t size) -> std::uint8_t* {
  const std::size_t end = frame.offset + packet.size;
  PORTOLAN_CHECK(size <= end);
  frame.offset = end - size;
  frame.size = size;
  frame.offload = {};
  return reinterpret_cast<std::uint8_t*>(frame.packet().data());
}

/// Endpoint of the quoted packet that is on our side: its destination, because it was ours to receive,
/// when it comes back from inside; its source when it comes back from outside.
struct Quoted {
  std::uint16_t near_port;  // network order
  std::uint16_t far_port;
  std::uint32_t near_at;  // where near_port stands in the transport header
};
auto quoted_ports(const Packet& inner, bool near_is_destination) -> Quoted {
  const std::uint8_t* transport = inner.transport();
  if (inner.protocol == protocol::icmp || inner.protocol == protocol::icmpv6)
    return {
        .near_port = load_raw16(transport + icmp::identifier), .far_port = 0, .near_at = icmp::identifier};
  const std::uint32_t near_at = near_is_destination ? tcp::destination_port : tcp::source_port;
  const std::uint32_t far_at = near_is_destination ? tcp::source_port : tcp::destination_port;
  return {.near_port = load_raw16(transport + near_at),
          .far_port = load_raw16(transport + far_at),
          .near_at = near_at};
}

/// Mends the quoted transport checksum, as far as it is quoted.
void adjust_quoted(std::span<std::uint8_t> transport, std::uint8_t protocol, std::uint16_t flow_delta) {
  const std::uint32_t at = checksum_offset(protocol);
  if (transport.size() < at + 2 || (protocol == protocol::udp && load_raw16(transport.data() + at) == 0))
    return;
  adjust_transport(transport.data() + at, false, protocol == protocol::udp, 0, flow_delta);
}

}  // namespace

auto Nat64::error_from_ipv6(TimePoint now, Frame& frame, const Packet& packet) -> DropReason {
  if (packet.hop_limit <= 1) return DropReason::hop_limit_exceeded;
  const std::span message{packet.transport(), packet.transport_size()};
  const std::uint8_t* outer_destination = packet.data + ipv6::destination;
  if ((frame.offload.flags & Offload::needs_csum) == 0) {
    const std::uint64_t sum = sum_octets(packet.data + ipv6::source, 32) +
                              sum_protocol_and_length(protocol::icmpv6, packet.transport_size()) +
                              sum_octets(message.data(), packet.transport_size());
    if (fold(sum) != 0xffff) return DropReason::bad_checksum;
  }
  const IcmpHeader given{.type = message[0], .code = message[1], .rest = load32(message.data() + icmp::rest)};
  const auto header =
      error_to_ipv4(given, {.ipv6_mtu = config_.ipv6_mtu, .ipv4_mtu = config_.ipv4_mtu, .quoted_length = 0});
  if (!header) return DropReason::icmp_untranslatable;

  const Quotation quotation = quotation_v6(message);
  Packet inner;
  const std::span quoted{
      frame.packet().subspan(packet.header_size + icmp::header_size, quotation.packet.size())};
  if (parse_ipv6(quoted, Extent::start, inner) != DropReason::none || !is_quotable(inner))
    return DropReason::icmp_untranslatable;
  // It must be about a packet that came through here to the host the error comes from or is behind.
  if (std::memcmp(inner.data + ipv6::source, outer_destination, 16) != 0)
    return DropReason::icmp_untranslatable;
  const Quoted ports = quoted_ports(inner, true);
  InternalEndpoint internal{
      .address = {}, .port = from_raw16(ports.near_port), .base = base_of(inner.protocol)};
  std::copy_n(inner.data + ipv6::destination, 16, internal.address.octets.begin());
  const std::uint32_t number = bindings_.find(internal);
  if (number == 0) return DropReason::no_mapping;

  if (is_untranslated(packet.remote)) return DropReason::untranslated;
  const SessionEntry entry =
      entries_of(bindings_[number], packet.remote, ports.far_port, packet.prefix).outward;
  const std::uint16_t flow_delta =
      sum_of(entry.flow_delta, suffix_delta(prefixes_[packet.prefix], outer_destination));
  const std::uint32_t inner_size =
      std::min<std::uint32_t>(ipv4::header_size + inner.transport_size(), 0xffff);

  Message out;
  out.size = icmp::header_size + ipv4::header_size;
  write_ipv4(out.octets.data() + icmp::header_size,
             {.tos = inner.traffic_class,
              .ttl = inner.hop_limit,
              .protocol = inner.protocol == protocol::icmpv6 ? protocol::icmp : inner.protocol,
              .total_length = static_cast<std::uint16_t>(inner_size),
              .identification = inner.identification,
              .dont_fragment = !inner.is_atomic_fragment && must_not_fragment(inner_size),
              .source = entry.remote,
              .destination = entry.external});
  std::uint8_t* transport = out.octets.data() + out.size;
  out.append(quotation.packet.subspan(inner.header_size));
  const std::span quoted_transport{transport, out.size - icmp::header_size - ipv4::header_size};
  if (inner.protocol == protocol::icmpv6)
    echo_to_ipv4(transport, inner.transport_size(), false, flow_delta);
  else
    adjust_quoted(quoted_transport, inner.protocol, flow_delta);
  store_raw16(transport + ports.near_at, entry.external_port);

  out.size = std::min(out.size, error_max - ipv4::header_size);
  put_header(out, *header);
  const std::uint8_t length =
      has_extensions_v4(header->type) && given.type != icmp::v6_packet_too_big &&
              given.type != icmp::v6_parameter_problem
          ? append_extensions(out, quotation.extensions, 4, error_max - ipv4::header_size)
          : std::uint8_t{0};
  if (length != 0) out.octets[5] = length;
  set_icmpv4_checksum(std::span(out.octets).first(out.size));

  std::uint8_t* at = place(frame, packet, ipv4::header_size + out.size);
  write_ipv4(at, {.tos = packet.traffic_class,
                  .ttl = static_cast<std::uint8_t>(packet.hop_limit - 1),
                  .protocol = protocol::icmp,
                  .total_length = static_cast<std::uint16_t>(frame.size),
                  .identification = identifications_.take(
                      identifications_.flow_of(entry.external, entry.remote, protocol::icmp), false, 1),
                  .dont_fragment = false,
                  .source = entry.external,
                  .destination = entry.remote});
  std::memcpy(at + ipv4::header_size, out.octets.data(), out.size);
  count(Direction::from_ipv6, Kind::icmp_error, frame);
  return hairpin(now, frame);
}

auto Nat64::error_from_ipv4(Frame& frame, const Packet& packet) -> DropReason {
  if (packet.hop_limit <= 1) return DropReason::hop_limit_exceeded;
  const std::span message{packet.transport(), packet.transport_size()};
  if ((frame.offload.flags & Offload::needs_csum) == 0 &&
      fold(sum_octets(message.data(), packet.transport_size())) != 0xffff)
    return DropReason::bad_checksum;
  const Quotation quotation = quotation_v4(message);
  Packet inner;
  const std::span quoted{
      frame.packet().subspan(packet.header_size + icmp::header_size, quotation.packet.size())};
  if (parse_ipv4(quoted, Extent::start, inner) != DropReason::none || !is_quotable(inner))
    return DropReason::icmp_untranslatable;
  const IcmpHeader given{.type = message[0], .code = message[1], .rest = load32(message.data() + icmp::rest)};
  const auto header = error_to_ipv6(
      given, {.ipv6_mtu = config_.ipv6_mtu,
              .ipv4_mtu = config_.ipv4_mtu,
              .quoted_length = static_cast<std::uint16_t>(std::min<std::uint32_t>(inner.size, 0xffff))});
  if (!header) return DropReason::icmp_untranslatable;
  if (std::memcmp(inner.data + ipv4::source, packet.data + ipv4::destination, 4) != 0)
    return DropReason::icmp_untranslatable;
  const Quoted ports = quoted_ports(inner, false);
  const auto pool_index = bindings_.pool_index(load32(inner.data + ipv4::source));
  const std::uint32_t number =
      pool_index ? bindings_.find(base_of(inner.protocol), *pool_index, from_raw16(ports.near_port)) : 0;
  if (number == 0) return DropReason::no_mapping;

  const std::uint32_t remote = load_raw32(inner.data + ipv4::destination);
  if (is_untranslated(remote)) return DropReason::untranslated;
  const SessionEntry* const session =
      sessions_.find(OutsideKey{.external = load_raw32(inner.data + ipv4::source),
                                .remote = remote,
                                .external_port = ports.near_port,
                                .remote_port = ports.far_port,
                                .protocol = inner.protocol});
  // An error about what the inside sent to a peer that could not answer without a session.
  if (session == nullptr && !lets_in(number, remote, ports.far_port)) return DropReason::filtered;
  const std::uint8_t prefix = session != nullptr ? session->prefix : source_prefix(remote);
  const SessionEntry entry = entries_of(bindings_[number], remote, ports.far_port, prefix).inward;
  std::uint8_t far[4];
  store_raw32(far, entry.remote);

  Message out;
  out.size = icmp::header_size + ipv6::header_size;
  std::uint8_t* inner_header = out.octets.data() + icmp::header_size;
  write_ipv6(inner_header,
             {.traffic_class = inner.traffic_class,
              .hop_limit = inner.hop_limit,
              .next_header = inner.protocol == protocol::icmp ? protocol::icmpv6 : inner.protocol,
              .payload_length = static_cast<std::uint16_t>(inner.transport_size())});
  std::memcpy(inner_header + ipv6::source, entry.inside, 16);
  embed(prefixes_[prefix], far, inner_header + ipv6::destination);
  std::uint8_t* transport = out.octets.data() + out.size;
  out.append(quotation.packet.subspan(inner.header_size));
  const std::span quoted_transport{transport, out.size - icmp::header_size - ipv6::header_size};
  if (inner.protocol == protocol::icmp)
    echo_to_ipv6(transport, inner.transport_size(), false, entry.address_delta, entry.flow_delta);
  else
    adjust_quoted(quoted_transport, inner.protocol, entry.flow_delta);
  store_raw16(transport + ports.near_at, entry.inside_port);

  out.size = std::min(out.size, error_max - ipv6::header_size);
  put_header(out, *header);
  const std::uint8_t length =
      has_extensions_v6(header->type)
          ? append_extensions(out, quotation.extensions, 8, error_max - ipv6::header_size)
          : std::uint8_t{0};
  if (length != 0) out.octets[4] = length;

  std::uint8_t outer_source[4];
  std::memcpy(outer_source, packet.data + ipv4::source, sizeof outer_source);
  std::uint8_t* at = place(frame, packet, ipv6::header_size + out.size);
  write_ipv6(at, {.traffic_class = packet.traffic_class,
                  .hop_limit = static_cast<std::uint8_t>(packet.hop_limit - 1),
                  .next_header = protocol::icmpv6,
                  .payload_length = static_cast<std::uint16_t>(out.size)});
  // The router that reports keeps its own address, else traceroute would see the destination only. If the
  // prefix may not stand for it, another does that may, if there is one.
  const bool is_carried = prefixes_.carries(prefix, outer_source);
  embed(prefixes_[is_carried ? prefix : prefixes_.for_source(outer_source).value_or(prefix)], outer_source,
        at + ipv6::source);
  std::memcpy(at + ipv6::destination, entry.inside, 16);
  set_icmpv6_checksum(std::span(out.octets).first(out.size), at + ipv6::source, at + ipv6::destination);
  std::memcpy(at + ipv6::header_size, out.octets.data(), out.size);
  count(Direction::from_ipv4, Kind::icmp_error, frame);
  return DropReason::none;
}

auto Nat64::is_quotable(const Packet& inner) -> bool {
  // Quoted errors are not translated: one level is enough (RFC 7915 s4.3).
  const std::uint8_t type = inner.transport()[icmp::type];
  if (inner.protocol == protocol::icmpv6) return type == icmp::v6_echo_request || type == icmp::v6_echo_reply;
  if (inner.protocol == protocol::icmp) return type == icmp::v4_echo_request || type == icmp::v4_echo_reply;
  return true;
}

void Nat64::report_drop_v6(TimePoint now, const Packet& packet, DropReason reason) {
  switch (reason) {
    case DropReason::unsupported_protocol:
      return send_error_v6(now, packet, {.type = icmp::v6_unreachable, .code = 4, .rest = 0});
    case DropReason::untranslated:
      if (!config_.answers_untranslated) return;
      return send_error_v6(now, packet, {.type = icmp::v6_unreachable, .code = 1, .rest = 0});
    case DropReason::routing_header:
      return send_error_v6(now, packet,
                           {.type = icmp::v6_parameter_problem, .code = 0, .rest = packet.error_pointer});
    case DropReason::hop_limit_exceeded:
      return send_error_v6(now, packet, {.type = icmp::v6_time_exceeded, .code = 0, .rest = 0});
    case DropReason::bindings_exhausted:
    case DropReason::sessions_exhausted:
    case DropReason::subscribers_exhausted:
    case DropReason::subscriber_sessions_exhausted:
    case DropReason::subscriber_ports_exhausted:
    case DropReason::subscriber_rate_exceeded:
    case DropReason::ports_exhausted:
      return send_error_v6(now, packet, {.type = icmp::v6_unreachable, .code = 3, .rest = 0});
    default: return;
  }
}

void Nat64::report_drop_v4(TimePoint now, const Packet& packet, DropReason reason) {
  switch (reason) {
    case DropReason::unsupported_protocol:
      if (packet.protocol == protocol::igmp) return;  // RFC 7915 s4.2
      return send_error_v4(now, packet, {.type = icmp::v4_unreachable, .code = 2, .rest = 0});
    case DropReason::source_route:
      return send_error_v4(now, packet, {.type = icmp::v4_unreachable, .code = 5, .rest = 0});
    case DropReason::filtered:
      // TCP has its own ways: keep_syn().
      if (!config_.answers_unsolicited || packet.protocol == protocol::tcp) return;
      return send_error_v4(now, packet, {.type = icmp::v4_unreachable, .code = 13, .rest = 0});
    case DropReason::hop_limit_exceeded:
      return send_error_v4(now, packet, {.type = icmp::v4_time_exceeded, .code = 0, .rest = 0});
    case DropReason::too_big:
      return send_error_v4(
          now, packet, {.type = icmp::v4_unreachable, .code = 4, .rest = config_.ipv6_mtu - header_growth});
    default: return;
  }
}

void Nat64::send_error_v6(TimePoint now, const Packet& packet, const IcmpHeader& header) {
  if (own_address_ == Ipv6Address{} || !take_error_token(now, Direction::from_ipv6)) return;
  Output* output = claim_output();
  if (output == nullptr) return;
  Ipv6Address destination;
  std::copy_n(packet.data + ipv6::source, 16, destination.octets.begin());
  const std::span invoking{reinterpret_cast<const std::byte*>(packet.data), packet.size};
  output->size = make_icmpv6_error(output->octets, own_address_, destination, header, invoking);
  ++counters_.errors_generated;
}

void Nat64::send_error_v4(TimePoint now, const Packet& packet, const IcmpHeader& header) {
  if (!take_error_token(now, Direction::from_ipv4)) return;
  Output* output = claim_output();
  if (output == nullptr) return;
  const std::span invoking{reinterpret_cast<const std::byte*>(packet.data), packet.size};
  const std::uint16_t identification =
      identifications_.take(identifications_.flow_of(load_raw32(packet.data + ipv4::destination),
                                                     load_raw32(packet.data + ipv4::source), protocol::icmp),
                            false, 1);
  output->size =
      make_icmpv4_error(output->octets, Ipv4Address{load32(packet.data + ipv4::destination)},
                        Ipv4Address{load32(packet.data + ipv4::source)}, identification, header, invoking);
  ++counters_.errors_generated;
  if (bindings_.pool_index(load32(packet.data + ipv4::source))) turn_inward(now, *output);
}

void Nat64::turn_inward(TimePoint now, Output& output) {
  static_assert(Frame::headroom_min + icmpv4_error_max <= std::tuple_size_v<decltype(output.octets)>);
  std::memmove(output.octets.data() + Frame::headroom_min, output.octets.data(), output.size);
  Frame frame{.buffer = output.octets, .offset = Frame::headroom_min, .size = output.size, .offload = {}};
  if (from_ipv4(now, frame) != DropReason::none) {
    --output_count_;
    return;
  }
  output.size = frame.size;
  std::memmove(output.octets.data(), frame.packet().data(), frame.size);
}

auto Nat64::take_error_token(TimePoint now, Direction side) -> bool {
  ErrorTokens& tokens = error_tokens_[static_cast<std::size_t>(side)];
  if (now - tokens.since >= Seconds{1}) tokens = {.since = now, .used = 0};
  if (tokens.used >= config_.limits.errors_per_second) {
    ++counters_.errors_rate_limited;
    return false;
  }
  ++tokens.used;
  return true;
}

}  // namespace portolan::nat
