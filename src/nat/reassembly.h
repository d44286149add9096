// SPDX-License-Identifier: BSD-2-Clause
//
// Puts fragmented packets together before they are translated (RFC 6146 s3.4; RFC 791 s3.2; RFC 8200 s4.5).
//
// Whole, a packet passes the checks of any other, and a UDP packet without checksum can get one. Fragments
// may come in any order. Each side has half of the memory: when it is used up, the packet of that side that
// waits longest makes room, because what is to be completed mostly is so within milliseconds.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/random.h"
#include "base/time.h"
#include "nat/config.h"
#include "nat/counters.h"
#include "nat/frame.h"
#include "nat/parse.h"

namespace portolan::nat {

class Reassembly {
 public:
  /// More pieces than any packet of 65535 octets has on a path that takes 576; larger fragments take several.
  static constexpr std::uint32_t pieces_per_packet_max = 128;

  Reassembly(const Config& config, Random& random);

  /// Takes a fragment, as parse_ipv6() or parse_ipv4() found it.
  ///
  /// Out     the packet, if this was the last one missing, in memory that stays as it is until the next call:
  ///         headers of the first fragment, without IPv6 extension headers before the fragment header. An
  ///         IPv6 packet keeps a fragment header (offset 0, nothing more), which has the identification; an
  ///         IPv4 packet may be fragmented again, whatever its fragments said.
  /// Errors  fragment: kept until the others come; fragments_malformed: with it, all that came before is
  ///         dropped (RFC 8200 s4.5, RFC 5722 s4)
  [[nodiscard]] auto add(TimePoint now, const Packet& fragment, Direction side)
      -> std::expected<Frame, DropReason>;

  /// Forgets what has waited too long, a bounded number of packets at a time.
  void advance(TimePoint now);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// Packets of which some fragments are here.
  [[nodiscard]] auto waiting() const -> std::uint32_t { return packet_numbers_.used(); }
  /// Packets made whole.
  [[nodiscard]] auto completed() const -> std::uint64_t { return completed_; }
  /// Packets forgotten because the others did not come in time, or they had to make room.
  [[nodiscard]] auto incomplete() const -> std::uint64_t { return incomplete_; }
  void check_invariants() const;

 private:
  using Number = std::uint32_t;

  struct Key {
    std::array<std::uint8_t, 16> source;
    std::array<std::uint8_t, 16> destination;
    std::uint32_t identification;
    std::uint8_t protocol;  // IPv6: 0, only the first fragment's counts (RFC 8200 s4.5)
    Direction side;
    auto operator==(const Key&) const -> bool = default;
  };
  /// Octets of a packet's payload that came in one fragment.
  struct Piece {
    static constexpr std::uint32_t octets_max = 1480;
    Number next;
    std::uint16_t offset;
    std::uint16_t size;
    std::array<std::uint8_t, octets_max> octets;
  };
  struct Waiting {
    Key key;
    std::int64_t since;  // of the first fragment that came
    Number older;
    Number newer;
    Number first_piece;
    std::uint32_t pieces;
    std::uint32_t received;    // octets
    std::uint32_t end;         // of what was received
    std::uint32_t total;       // octets of the payload; 0: the last fragment is missing
    std::uint8_t code_points;  // a bit for each ECN code point seen
    std::uint8_t header_size;  // 0: the first fragment is missing
    std::array<std::uint8_t, 60> header;
  };
  /// What one side has, by age.
  struct Side {
    Number oldest = 0;
    Number newest = 0;
    std::uint32_t packets = 0;
    std::uint32_t pieces = 0;
  };

  [[nodiscard]] static auto key_of(const Packet& fragment, Direction side) -> Key;
  [[nodiscard]] auto hash_of(const Key& key) const -> std::uint32_t;
  [[nodiscard]] auto side_of(const Waiting& waiting) -> Side& {
    return sides_[static_cast<std::size_t>(waiting.key.side)];
  }
  [[nodiscard]] auto begin(TimePoint now, const Key& key) -> Number;
  void forget(Number number);
  void give_up(Number number);
  /// Makes room for `pieces` more of the side of `number`, at the cost of others.
  void make_room(Number number, std::uint32_t pieces);
  /// How many octets of the fragment are here already.
  [[nodiscard]] auto overlap(const Waiting& waiting, const Packet& fragment) const -> std::uint32_t;
  void keep(Waiting& waiting, const Packet& fragment);
  static void keep_header(Waiting& waiting, const Packet& fragment);
  [[nodiscard]] auto assemble(const Waiting& waiting) -> Frame;

  Nanoseconds timeout_;
  std::uint32_t pieces_per_side_;
  HashKey hash_;
  Numbers packet_numbers_;
  LazyArray<Waiting> packets_;
  HashIndex index_;
  Numbers piece_numbers_;
  LazyArray<Piece> pieces_;
  std::array<Side, 2> sides_;
  std::vector<std::byte> whole_;
  std::uint64_t completed_ = 0;
  std::uint64_t incomplete_ = 0;
};

}  // namespace portolan::nat
