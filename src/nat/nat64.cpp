// SPDX-License-Identifier: BSD-2-Clause
#include "nat/nat64.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "nat/checksum.h"
#include "nat/translate.h"

namespace portolan::nat {
namespace {

auto outside_key(const Packet& packet) -> OutsideKey {
  const std::uint8_t* transport = packet.transport();
  const bool is_echo = packet.protocol == protocol::icmp;
  return {.external = load_raw32(packet.data + ipv4::destination),
          .remote = load_raw32(packet.data + ipv4::source),
          .external_port = load_raw16(transport + (is_echo ? icmp::identifier : tcp::destination_port)),
          .remote_port = is_echo ? std::uint16_t{0} : load_raw16(transport + tcp::source_port),
          .protocol = packet.protocol};
}

/// Sessions whose remote addresses must be known.
auto contacts_max(const Config& config) -> std::uint32_t {
  const Filterings& each = config.filtering;
  const bool is_needed = each.udp == Filtering::address_dependent ||
                         each.tcp == Filtering::address_dependent ||
                         each.icmp == Filtering::address_dependent;
  return is_needed ? config.limits.sessions : 0;
}

auto kind_of(std::uint8_t protocol) -> Kind {
  if (protocol == protocol::tcp) return Kind::tcp;
  return protocol == protocol::udp ? Kind::udp : Kind::icmp_echo;
}

constexpr std::uint8_t state_flags = tcp::syn | tcp::fin | tcp::rst;

}  // namespace

Nat64::Nat64(const Config& config, Random& random)
    : config_(config),
      prefixes_(config),
      untranslated_(config.untranslated),
      own_address_(own_address(config, prefixes_)),
      traffic_class_mask_(config.copies_traffic_class ? 0xff : 0x03),
      bindings_(config, random),
      sessions_(config, random),
      filters_(config.limits),
      contacts_(contacts_max(config), random),
      waiting_syns_(config.answers_unsolicited ? config.limits.waiting_syns : 0, random),
      reassembly_(config, random),
      explicit_wheel_(config.limits.bindings),
      outputs_(outputs_max),
      identifications_(random) {
  PORTOLAN_CHECK(check(config));
  new_filters_.reserve(config.limits.filters_per_mapping);
}

auto Nat64::own_address(const Config& config, const Prefixes& prefixes) -> Ipv6Address {
  if (config.own_address != Ipv6Address{} || config.pool.empty()) return config.own_address;
  std::array<std::uint8_t, 4> first{};
  store32(first.data(), config.pool.front().first.value);
  Ipv6Address address;
  embed(prefixes[0], first.data(), address.octets.data());
  return address;
}

auto Nat64::process(TimePoint now, Frame& frame) -> Verdict {
  PORTOLAN_CHECK(frame.offset >= Frame::headroom_min && frame.offset + frame.size <= frame.buffer.size());
  DropReason reason = DropReason::truncated;
  if (frame.size > 0) {
    const auto version = std::to_integer<unsigned>(frame.buffer[frame.offset]) >> 4U;
    reason = version == 6   ? from_ipv6(now, frame)
             : version == 4 ? from_ipv4(now, frame)
                            : DropReason::malformed;
  }
  if (reason == DropReason::none) return {.action = Action::forward, .reason = reason};
  if (reason == DropReason::fragment) return {.action = Action::keep, .reason = DropReason::none};
  if (reason == DropReason::left_to_host) {
    const std::byte* source = frame.packet().data() + ipv4::source;
    if (may_be_outside(reinterpret_cast<const std::uint8_t*>(source))) {
      ++counters_.left_to_host;
      return {.action = Action::leave, .reason = DropReason::none};
    }
    reason = DropReason::illegal_source;
  }
  ++counters_.dropped[static_cast<std::size_t>(reason)];
  return {.action = Action::drop, .reason = reason};
}

auto Nat64::from_ipv6(TimePoint now, Frame& frame) -> DropReason {
  Packet packet;
  const DropReason parsed = parse_ipv6(frame.packet(), Extent::whole, packet);
  if (parsed == DropReason::malformed || parsed == DropReason::truncated) return parsed;
  if (const DropReason bad = check_addresses_v6(packet); bad != DropReason::none) return bad;
  if (parsed == DropReason::fragment) return reassemble(now, frame, packet, Direction::from_ipv6);
  packet.traffic_class &= traffic_class_mask_;
  if (parsed != DropReason::none) {
    report_drop_v6(now, packet, parsed);
    return parsed;
  }
  if (!is_consistent(frame.offload, packet, Direction::from_ipv6)) return DropReason::bad_offload;
  if (packet.protocol == protocol::icmpv6) {
    const std::uint8_t type = packet.transport()[icmp::type];
    if (is_error_v6(type)) return error_from_ipv6(now, frame, packet);
    if (type != icmp::v6_echo_request && type != icmp::v6_echo_reply) return DropReason::icmp_unknown;
  }
  const DropReason reason = flow_from_ipv6(now, frame, packet);
  if (reason == DropReason::none) return hairpin(now, frame);
  report_drop_v6(now, packet, reason);
  if (EventSource::is_exhaustion(reason)) tell_exhausted_v6(now, packet, reason);
  return reason;
}

auto Nat64::reassemble(TimePoint now, Frame& frame, const Packet& fragment, Direction side) -> DropReason {
  // Checksums and segments are whole packets' matters.
  if ((frame.offload.flags & Offload::needs_csum) != 0 || frame.offload.gso_type != Offload::gso_none)
    return DropReason::bad_offload;
  const auto whole = reassembly_.add(now, fragment, side);
  if (!whole) return whole.error();
  frame = *whole;
  return side == Direction::from_ipv6 ? from_ipv6(now, frame) : from_ipv4(now, frame);
}

auto Nat64::flow_from_ipv6(TimePoint now, Frame& frame, const Packet& packet) -> DropReason {
  if (packet.hop_limit <= 1) return DropReason::hop_limit_exceeded;
  if (const DropReason bad = check_for_ipv4(frame, packet); bad != DropReason::none) return bad;
  const std::uint8_t* transport = packet.transport();
  const bool is_echo = packet.protocol == protocol::icmpv6;
  InsideKey key{.inside = {},
                .remote = 0,
                .inside_port = load_raw16(transport + (is_echo ? icmp::identifier : tcp::source_port)),
                .remote_port = is_echo ? std::uint16_t{0} : load_raw16(transport + tcp::destination_port),
                .protocol = packet.protocol};
  std::memcpy(key.inside, packet.data + ipv6::source, sizeof key.inside);
  key.remote = packet.remote;

  const std::uint16_t suffix = suffix_delta(prefixes_[packet.prefix], packet.data + ipv6::destination);
  if (SessionEntry* entry = sessions_.find(key); entry != nullptr) {
    touch(*entry, Direction::from_ipv6, packet, now);
    if (entry->prefix != packet.prefix) change_prefix(*entry, packet.prefix);
    if (config_.mss_max != 0) clamp_mss(frame, packet, config_.mss_max);
    to_ipv4(frame, packet, *entry, suffix, identifications_);
  } else {
    const auto opened = open_from_ipv6(now, key, packet);
    if (!opened) return opened.error();
    if (config_.mss_max != 0) clamp_mss(frame, packet, config_.mss_max);
    to_ipv4(frame, packet, *opened, suffix, identifications_);
  }
  count(Direction::from_ipv6, kind_of(packet.protocol), frame);
  return DropReason::none;
}

auto Nat64::hairpin(TimePoint now, Frame& frame) -> DropReason {
  const std::uint8_t* header = reinterpret_cast<const std::uint8_t*>(frame.packet().data());
  if (!bindings_.pool_index(load32(header + ipv4::destination))) return DropReason::none;
  // RFC 6146 s3.8: as if it had come in from the IPv4 side.
  const DropReason reason = from_ipv4(now, frame);
  if (reason == DropReason::none) ++counters_.hairpinned;
  // The host would answer itself.
  return reason == DropReason::left_to_host ? DropReason::no_mapping : reason;
}

auto Nat64::from_ipv4(TimePoint now, Frame& frame) -> DropReason {
  Packet packet;
  const DropReason parsed = parse_ipv4(frame.packet(), Extent::whole, packet);
  if (parsed == DropReason::malformed || parsed == DropReason::truncated ||
      parsed == DropReason::bad_checksum)
    return parsed;
  const bool is_error = parsed == DropReason::none && packet.protocol == protocol::icmp &&
                        is_error_v4(packet.transport()[icmp::type]);
  const bool is_shared = bindings_.pool().has_shared() && goes_to_shared_address(packet);
  const bool is_fragment = parsed == DropReason::fragment;
  if (is_shared && !is_fragment && !is_error && is_the_hosts(packet, parsed)) return DropReason::left_to_host;
  // Of a fragment, whose it is shows the whole packet.
  if (!is_shared || !is_fragment)
    if (const DropReason bad = check_addresses_v4(packet, is_error); bad != DropReason::none) return bad;
  if (is_fragment) return reassemble(now, frame, packet, Direction::from_ipv4);
  packet.traffic_class &= traffic_class_mask_;
  if (parsed != DropReason::none) {
    report_drop_v4(now, packet, parsed);
    return parsed;
  }
  if (!is_consistent(frame.offload, packet, Direction::from_ipv4)) return DropReason::bad_offload;
  if (is_error) {
    const DropReason reason = error_from_ipv4(frame, packet);
    const bool is_ours = reason != DropReason::no_mapping && reason != DropReason::icmp_untranslatable;
    return is_shared && !is_ours ? DropReason::left_to_host : reason;
  }
  if (packet.protocol == protocol::icmp) {
    const std::uint8_t type = packet.transport()[icmp::type];
    if (type != icmp::v4_echo_request && type != icmp::v4_echo_reply) return DropReason::icmp_unknown;
  }
  const DropReason reason = flow_from_ipv4(now, frame, packet);
  if (reason == DropReason::none) return reason;
  report_drop_v4(now, packet, reason);
  if (EventSource::is_exhaustion(reason)) tell_exhausted_v4(now, packet, reason);
  return reason == DropReason::no_mapping || reason == DropReason::filtered ? keep_syn(now, packet, reason)
                                                                            : reason;
}

auto Nat64::goes_to_shared_address(const Packet& packet) const -> bool {
  const auto index = bindings_.pool_index(load32(packet.data + ipv4::destination));
  return index && bindings_.pool().is_shared(*index);
}

auto Nat64::is_the_hosts(const Packet& packet, DropReason parsed) const -> bool {
  if (parsed != DropReason::none) return true;
  const auto index = bindings_.pool_index(load32(packet.data + ipv4::destination));
  const std::uint8_t* transport = packet.transport();
  if (packet.protocol != protocol::icmp)
    return !bindings_.pool().ports_of(*index).contains(Port{load16(transport + tcp::destination_port)});
  // Who pings the address pings the host. An answer is the translator's if somebody behind it asked.
  return transport[icmp::type] != icmp::v4_echo_reply ||
         bindings_.find(Base::icmp, *index, load16(transport + icmp::identifier)) == 0;
}

auto Nat64::may_be_outside(const std::uint8_t* source) const -> bool {
  return !is_illegal_ipv4(source) && !bindings_.pool_index(load32(source));
}

auto Nat64::flow_from_ipv4(TimePoint now, Frame& frame, const Packet& packet) -> DropReason {
  if (packet.hop_limit <= 1) return DropReason::hop_limit_exceeded;
  const auto pool_index = bindings_.pool_index(load32(packet.data + ipv4::destination));
  if (!pool_index) return DropReason::destination_not_in_pool;
  if (!config_.completes_udp_checksums && lacks_checksum(frame, packet)) return DropReason::bad_checksum;
  const OutsideKey key = outside_key(packet);
  SessionEntry* entry = sessions_.find(key);
  if (entry == nullptr &&
      bindings_.find(base_of(packet.protocol), *pool_index, from_raw16(key.external_port)) == 0)
    return DropReason::no_mapping;
  limit_segments(frame.offload, packet, config_.ipv6_mtu);
  const std::uint32_t size = wire_size(frame.offload, packet, ipv6::header_size);
  const bool may_fragment = !packet.dont_fragment && frame.offload.gso_type == Offload::gso_none;
  if (!may_fragment && size > config_.ipv6_mtu) return DropReason::too_big;
  if (entry != nullptr) {
    touch(*entry, Direction::from_ipv4, packet, now);
    if (config_.mss_max != 0) clamp_mss(frame, packet, config_.mss_max);
    to_ipv6(frame, packet, *entry, prefixes_[entry->prefix]);
  } else {
    const auto opened = open_from_ipv4(now, key, *pool_index, packet);
    if (!opened) return opened.error();
    if (config_.mss_max != 0) clamp_mss(frame, packet, config_.mss_max);
    to_ipv6(frame, packet, *opened, prefixes_[opened->prefix]);
  }
  count(Direction::from_ipv4, kind_of(packet.protocol), frame);
  if (may_fragment && size > config_.lowest_ipv6_mtu) return fragment_ipv6(frame, packet.identification);
  return DropReason::none;
}

auto Nat64::keep_syn(TimePoint now, const Packet& packet, DropReason reason) -> DropReason {
  const bool begins =
      packet.protocol == protocol::tcp && (packet.tcp_flags & (state_flags | tcp::ack)) == tcp::syn;
  if (!begins || !config_.answers_unsolicited || config_.limits.errors_per_second == 0) return reason;
  if (waiting_syns_.add(now, outside_key(packet), packet)) return DropReason::unsolicited_syn;
  ++counters_.syns_lost;
  return reason;
}

auto Nat64::fragment_ipv6(Frame& frame, std::uint16_t identification) -> DropReason {
  constexpr std::uint32_t headers_size = ipv6::header_size + ipv6::fragment_header_size;
  constexpr std::uint32_t piece_max = (ipv6::minimum_mtu - headers_size) / 8 * 8;
  auto* const header = reinterpret_cast<std::uint8_t*>(frame.packet().data());
  const auto transport = std::span(header, frame.size).subspan(ipv6::header_size);
  if (transport.size() > piece_max * (outputs_.size() - output_count_ + 1)) return DropReason::fragments_lost;
  complete_checksum(frame);

  const std::uint8_t protocol = header[ipv6::next_header];
  const auto write_headers = [&](std::uint8_t* at, std::size_t start, std::size_t size) {
    std::memmove(at, header, ipv6::header_size);
    at[ipv6::next_header] = protocol::fragment;
    store16(at + ipv6::payload_length, static_cast<std::uint16_t>(ipv6::fragment_header_size + size));
    std::uint8_t* const fragment = at + ipv6::header_size;
    const bool is_last = start + size == transport.size();
    fragment[0] = protocol;
    fragment[1] = 0;
    store16(fragment + 2, static_cast<std::uint16_t>(start | (is_last ? 0U : ipv6::fragment_more)));
    store32(fragment + 4, identification);
  };
  for (std::size_t start = piece_max; start < transport.size(); start += piece_max) {
    const std::size_t size = std::min<std::size_t>(piece_max, transport.size() - start);
    Output* const output = claim_output();
    PORTOLAN_CHECK(output != nullptr);
    auto* const at = reinterpret_cast<std::uint8_t*>(output->octets.data());
    write_headers(at, start, size);
    std::memcpy(at + headers_size, transport.data() + start, size);
    output->size = headers_size + size;
  }
  // Last, because it overwrites the header that the others copy.
  write_headers(header - ipv6::fragment_header_size, 0, piece_max);
  frame.offset -= ipv6::fragment_header_size;
  frame.size = headers_size + piece_max;
  ++counters_.fragmented;
  return DropReason::none;
}

void Nat64::touch(SessionEntry& entry, Direction side, const Packet& packet, TimePoint now) {
  // Written only when changed: the line stays clean for readers elsewhere.
  if (const std::uint32_t tick = session_tick(now); entry.last != tick) entry.last = tick;
  if (entry.steady != 0 && (packet.tcp_flags & state_flags) == 0) return;
  sessions_.segment(entry.session, side, tcp_event(packet.tcp_flags), now);
}

auto Nat64::check_addresses_v6(Packet& packet) const -> DropReason {
  const std::uint8_t* source = packet.data + ipv6::source;
  if (prefixes_.find(source)) return DropReason::source_in_prefix;
  if (!is_inside_address(source)) return DropReason::illegal_source;
  const std::uint8_t* destination = packet.data + ipv6::destination;
  const auto prefix = prefixes_.find(destination);
  if (!prefix) return DropReason::destination_not_in_prefix;
  packet.prefix = *prefix;
  std::uint8_t remote[4];
  extract(prefixes_[*prefix], destination, remote);
  if (is_illegal_ipv4(remote)) return DropReason::illegal_destination;
  if (!prefixes_.carries(*prefix, remote)) return DropReason::non_global_ipv4;
  packet.remote = load_raw32(remote);
  return DropReason::none;
}

auto Nat64::check_addresses_v4(const Packet& packet, bool is_error) const -> DropReason {
  if (!bindings_.pool_index(load32(packet.data + ipv4::destination)))
    return DropReason::destination_not_in_pool;
  // Errors are translated whoever sent them, for troubleshooting (RFC 7915 s4.1).
  if (is_error) return DropReason::none;
  const std::uint8_t* source = packet.data + ipv4::source;
  if (is_illegal_ipv4(source)) return DropReason::illegal_source;
  if (!prefixes_.for_source(source)) return DropReason::non_global_ipv4;
  return DropReason::none;
}

auto Nat64::is_inside_address(const std::uint8_t* address) -> bool {
  constexpr std::array<std::uint8_t, 15> zeros{};
  if (address[0] == 0xff || (address[0] == 0xfe && (address[1] & 0xc0U) == 0x80)) return false;
  if (std::memcmp(address, zeros.data(), 15) == 0 && address[15] <= 1) return false;
  const bool is_ipv4_mapped =
      std::memcmp(address, zeros.data(), 10) == 0 && address[10] == 0xff && address[11] == 0xff;
  return !is_ipv4_mapped;
}

auto Nat64::suffix_delta(const Embedding& embedding, const std::uint8_t* embedded) -> std::uint16_t {
  // With 96 bits there is no suffix: the canonical form is the only one.
  if (embedding.length == 96) return 0;
  std::uint8_t remote[4];
  std::uint8_t canonical[16];
  extract(embedding, embedded, remote);
  embed(embedding, remote, canonical);
  return difference(fold(sum_octets(canonical, 16)), fold(sum_octets(embedded, 16)));
}

void Nat64::change_prefix(const SessionEntry& entry, std::uint8_t prefix) {
  const std::uint32_t session = entry.session;
  const Entries entries =
      entries_of(bindings_[sessions_[session].binding], entry.remote, entry.remote_port, prefix);
  sessions_.set_prefix(session, entries.outward, entries.inward);
}

void Nat64::count(Direction direction, Kind kind, const Frame& frame) {
  ++counters_.translated[static_cast<std::size_t>(direction)][static_cast<std::size_t>(kind)];
  counters_.translated_octets[static_cast<std::size_t>(direction)] += frame.size;
}

auto Nat64::output() const -> std::span<const std::byte> {
  if (output_count_ == 0) return {};
  const Output& oldest = outputs_[first_output_];
  return std::span(oldest.octets).first(oldest.size);
}

void Nat64::pop_output() {
  PORTOLAN_CHECK(output_count_ > 0);
  first_output_ = (first_output_ + 1) % outputs_.size();
  --output_count_;
}

auto Nat64::claim_output() -> Output* {
  if (output_count_ == outputs_.size()) {
    ++counters_.outputs_lost;
    return nullptr;
  }
  return &outputs_[(first_output_ + output_count_++) % outputs_.size()];
}

auto Nat64::counters() const -> Counters {
  Counters counters = counters_;
  counters.hold_downs_cut = bindings_.hold_downs_cut();
  counters.bindings = bindings_.size();
  counters.sessions = sessions_.size();
  counters.subscribers = bindings_.subscribers().size();
  counters.port_blocks = bindings_.block_count();
  counters.profiles = bindings_.subscribers().profiles().size();
  counters.hold_downs = bindings_.hold_down_count();
  counters.waiting_syns = waiting_syns_.size();
  counters.pool_ports = bindings_.ports();
  counters.pool_ports_taken = bindings_.ports_taken();
  counters.reassembled = reassembly_.completed();
  counters.fragmented_packets = reassembly_.waiting();
  counters.dropped[static_cast<std::size_t>(DropReason::fragments_incomplete)] = reassembly_.incomplete();
  return counters;
}

}  // namespace portolan::nat
