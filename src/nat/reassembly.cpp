// SPDX-License-Identifier: BSD-2-Clause
#include "nat/reassembly.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "nat/checksum.h"

namespace portolan::nat {
namespace {

constexpr std::size_t packet_octets_max = 65'535;
constexpr std::uint32_t forgotten_per_advance = 16;  // each with pieces to give back

// RFC 3168 s5: what the two lowest bits of the traffic class say.
constexpr std::uint8_t ecn_mask = 3;
constexpr std::uint8_t not_ecn_capable = 0;
constexpr std::uint8_t congestion_experienced = 3;

auto bit_of(std::uint8_t code_point) -> std::uint8_t { return static_cast<std::uint8_t>(1U << code_point); }

auto payload_size(const Packet& fragment) -> std::uint32_t { return fragment.size - fragment.header_size; }

}  // namespace

Reassembly::Reassembly(const Config& config, Random& random)
    : timeout_(config.timeouts.fragment),
      pieces_per_side_(config.limits.fragments / 2),
      hash_(HashKey::generate(random)),
      packet_numbers_(config.limits.fragments + 1),
      packets_(std::size_t{config.limits.fragments} + 2),
      index_(config.limits.fragments + 1),
      piece_numbers_(config.limits.fragments),
      pieces_(std::size_t{config.limits.fragments} + 1),
      whole_(Frame::headroom_min + ipv6::header_size + packet_octets_max) {}

auto Reassembly::add(TimePoint now, const Packet& fragment, Direction side)
    -> std::expected<Frame, DropReason> {
  const Key key = key_of(fragment, side);
  Number number = index_.find(hash_of(key), [&](Number each) { return packets_[each].key == key; });
  if (number != 0 && now - TimePoint{Nanoseconds{packets_[number].since}} >= timeout_) {
    give_up(number);
    number = 0;
  }
  if (number == 0) number = begin(now, key);
  Waiting& waiting = packets_[number];

  const std::uint32_t size = payload_size(fragment);
  const std::uint32_t end = fragment.fragment_offset + size;
  const std::uint32_t known = overlap(waiting, fragment);
  // Sent twice on the way: the same octets, one may think.
  if (known == size && size > 0) return std::unexpected(DropReason::fragment);
  const std::uint32_t pieces = (size + Piece::octets_max - 1) / Piece::octets_max;
  const bool ends_elsewhere = waiting.total != 0 && (!fragment.more_fragments || end > waiting.total);
  const bool ends_too_early = !fragment.more_fragments && waiting.end > end;
  if (size == 0 || known > 0 || ends_elsewhere || ends_too_early ||
      waiting.pieces + pieces > pieces_per_packet_max) {
    forget(number);
    return std::unexpected(DropReason::fragments_malformed);
  }

  make_room(number, pieces);
  keep(waiting, fragment);
  if (fragment.fragment_offset == 0) keep_header(waiting, fragment);
  if (!fragment.more_fragments) waiting.total = end;
  waiting.end = std::max(waiting.end, end);
  waiting.received += size;
  waiting.code_points |= bit_of(fragment.traffic_class & ecn_mask);
  if (waiting.received != waiting.total) return std::unexpected(DropReason::fragment);

  // RFC 3168 s5.3: a mark may be lost on the way, if who could not read it is marked.
  const auto both = static_cast<std::uint8_t>(bit_of(not_ecn_capable) | bit_of(congestion_experienced));
  // What stands before the fragment header counts neither in IPv6's payload length nor on the other side.
  const std::uint32_t headers =
      side == Direction::from_ipv6 ? ipv6::fragment_header_size : waiting.header_size;
  const bool is_sound = headers + waiting.total <= packet_octets_max && (waiting.code_points & both) != both;
  const Frame whole = is_sound ? assemble(waiting) : Frame{.buffer = {}, .offset = 0, .size = 0};
  forget(number);
  if (!is_sound) return std::unexpected(DropReason::fragments_malformed);
  ++completed_;
  return whole;
}

void Reassembly::advance(TimePoint now) {
  std::uint32_t steps = forgotten_per_advance;
  for (const Side& side : sides_) {
    while (side.oldest != 0 && steps > 0) {
      if (now - TimePoint{Nanoseconds{packets_[side.oldest].since}} < timeout_) break;
      give_up(side.oldest);
      --steps;
    }
  }
}

auto Reassembly::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  for (const Side& side : sides_) {
    if (side.oldest == 0) continue;
    const TimePoint deadline = TimePoint{Nanoseconds{packets_[side.oldest].since}} + timeout_;
    if (!next || deadline < *next) next = deadline;
  }
  return next;
}

auto Reassembly::key_of(const Packet& fragment, Direction side) -> Key {
  Key key{.source = {},
          .destination = {},
          .identification = fragment.fragment_identification,
          .protocol = 0,
          .side = side};
  if (side == Direction::from_ipv6) {
    std::memcpy(key.source.data(), fragment.data + ipv6::source, 16);
    std::memcpy(key.destination.data(), fragment.data + ipv6::destination, 16);
  } else {
    std::memcpy(key.source.data(), fragment.data + ipv4::source, 4);
    std::memcpy(key.destination.data(), fragment.data + ipv4::destination, 4);
    key.protocol = fragment.protocol;
  }
  return key;
}

auto Reassembly::hash_of(const Key& key) const -> std::uint32_t {
  std::array<std::uint64_t, 4> words{};
  std::memcpy(words.data(), key.source.data(), 16);
  std::memcpy(words.data() + 2, key.destination.data(), 16);
  return static_cast<std::uint32_t>(
      keyed_hash(hash_, {words[0], words[1], words[2], words[3],
                         std::uint64_t{key.identification} << 8U | key.protocol}) >>
      32U);
}

auto Reassembly::begin(TimePoint now, const Key& key) -> Number {
  Side& side = sides_[static_cast<std::size_t>(key.side)];
  // All others have a piece at least, and there is one number more than pieces.
  const Number number = packet_numbers_.take();
  PORTOLAN_CHECK(number != 0);
  packets_[number] = {};
  packets_[number].key = key;
  packets_[number].since = now.time_since_epoch().count();
  packets_[number].older = side.newest;
  (side.newest != 0 ? packets_[side.newest].newer : side.oldest) = number;
  side.newest = number;
  ++side.packets;
  index_.insert(hash_of(key), number);
  return number;
}

void Reassembly::forget(Number number) {
  Waiting& waiting = packets_[number];
  Side& side = side_of(waiting);
  for (Number piece = waiting.first_piece; piece != 0; piece = pieces_[piece].next)
    piece_numbers_.give_back(piece);
  side.pieces -= waiting.pieces;
  --side.packets;
  (waiting.older != 0 ? packets_[waiting.older].newer : side.oldest) = waiting.newer;
  (waiting.newer != 0 ? packets_[waiting.newer].older : side.newest) = waiting.older;
  index_.erase(hash_of(waiting.key), number);
  packet_numbers_.give_back(number);
}

void Reassembly::give_up(Number number) {
  ++incomplete_;
  forget(number);
}

void Reassembly::make_room(Number number, std::uint32_t pieces) {
  Side& side = side_of(packets_[number]);
  // A single packet never needs all of it.
  while (side.pieces + pieces > pieces_per_side_)
    give_up(side.oldest != number ? side.oldest : packets_[number].newer);
}

auto Reassembly::overlap(const Waiting& waiting, const Packet& fragment) const -> std::uint32_t {
  const std::uint32_t begin = fragment.fragment_offset;
  const std::uint32_t end = begin + payload_size(fragment);
  std::uint32_t octets = 0;
  for (Number number = waiting.first_piece; number != 0; number = pieces_[number].next) {
    const Piece& piece = pieces_[number];
    const std::uint32_t from = std::max<std::uint32_t>(begin, piece.offset);
    const std::uint32_t to = std::min<std::uint32_t>(end, std::uint32_t{piece.offset} + piece.size);
    if (from < to) octets += to - from;
  }
  return octets;
}

void Reassembly::keep(Waiting& waiting, const Packet& fragment) {
  const std::uint32_t size = payload_size(fragment);
  for (std::uint32_t at = 0; at < size; at += Piece::octets_max) {
    const Number number = piece_numbers_.take();
    PORTOLAN_CHECK(number != 0);
    Piece& piece = pieces_[number];
    piece.next = waiting.first_piece;
    piece.offset = static_cast<std::uint16_t>(fragment.fragment_offset + at);
    piece.size = static_cast<std::uint16_t>(std::min(size - at, Piece::octets_max));
    std::memcpy(piece.octets.data(), fragment.transport() + at, piece.size);
    waiting.first_piece = number;
    ++waiting.pieces;
    ++side_of(waiting).pieces;
  }
}

void Reassembly::keep_header(Waiting& waiting, const Packet& fragment) {
  const bool is_ipv6 = waiting.key.side == Direction::from_ipv6;
  const std::uint32_t size = is_ipv6 ? ipv6::header_size : fragment.header_size;
  std::memcpy(waiting.header.data(), fragment.data, size);
  if (is_ipv6) {
    std::uint8_t* const fragment_header = waiting.header.data() + ipv6::header_size;
    waiting.header[ipv6::next_header] = protocol::fragment;
    fragment_header[0] = fragment.protocol;
    store32(fragment_header + 4, fragment.fragment_identification);
  }
  waiting.header_size =
      static_cast<std::uint8_t>(is_ipv6 ? ipv6::header_size + ipv6::fragment_header_size : size);
}

auto Reassembly::assemble(const Waiting& waiting) -> Frame {
  Frame frame{.buffer = whole_,
              .offset = Frame::headroom_min,
              .size = std::size_t{waiting.header_size} + waiting.total,
              .offload = {}};
  auto* const header = reinterpret_cast<std::uint8_t*>(frame.packet().data());
  std::memcpy(header, waiting.header.data(), waiting.header_size);
  for (Number number = waiting.first_piece; number != 0; number = pieces_[number].next) {
    const Piece& piece = pieces_[number];
    std::memcpy(header + waiting.header_size + piece.offset, piece.octets.data(), piece.size);
  }
  const bool is_marked = (waiting.code_points & bit_of(congestion_experienced)) != 0;
  if (waiting.key.side == Direction::from_ipv6) {
    store16(header + ipv6::payload_length, static_cast<std::uint16_t>(frame.size - ipv6::header_size));
    if (is_marked) header[1] |= congestion_experienced << 4U;
  } else {
    store16(header + ipv4::total_length, static_cast<std::uint16_t>(frame.size));
    store16(header + ipv4::flags, 0);
    if (is_marked) header[ipv4::tos] |= congestion_experienced;
    store_raw16(header + ipv4::checksum, 0);
    store_raw16(header + ipv4::checksum, ipv4_header_checksum(header, waiting.header_size));
  }
  return frame;
}

void Reassembly::check_invariants() const {
  std::uint32_t packets = 0;
  std::uint32_t pieces = 0;
  for (const Side& side : sides_) {
    std::uint32_t packets_of_side = 0;
    std::uint32_t pieces_of_side = 0;
    Number older = 0;
    for (Number number = side.oldest; number != 0; number = packets_[number].newer) {
      const Waiting& waiting = packets_[number];
      ++packets_of_side;
      PORTOLAN_CHECK(waiting.older == older);
      PORTOLAN_CHECK(older == 0 || packets_[older].since <= waiting.since);
      older = number;
      std::uint32_t of_packet = 0;
      std::uint32_t received = 0;
      for (Number piece = waiting.first_piece; piece != 0; piece = pieces_[piece].next) {
        ++of_packet;
        received += pieces_[piece].size;
      }
      PORTOLAN_CHECK(of_packet == waiting.pieces && received == waiting.received);
      PORTOLAN_CHECK(received > 0 && (waiting.total == 0 || received < waiting.total));
      pieces_of_side += of_packet;
    }
    PORTOLAN_CHECK(side.newest == older && side.packets == packets_of_side && side.pieces == pieces_of_side);
    PORTOLAN_CHECK(packets_of_side <= pieces_of_side && pieces_of_side <= pieces_per_side_);
    packets += packets_of_side;
    pieces += pieces_of_side;
  }
  PORTOLAN_CHECK(packets == packet_numbers_.used() && pieces == piece_numbers_.used());
}

}  // namespace portolan::nat
