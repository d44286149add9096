// SPDX-License-Identifier: BSD-2-Clause
//
// One RTP packet (RFC 3550 s5.1).
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//   |                           timestamp                           |
//   |           synchronization source (SSRC) identifier            |
//   |            contributing source (CSRC) identifiers             |
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string_view>

namespace portolan::media {

inline constexpr std::size_t rtp_header_octets = 12;
/// Payload types have 7 bits.
inline constexpr std::uint8_t payload_type_max = 127;

struct RtpPacket {
  std::uint8_t payload_type = 0;
  bool marker = false;
  std::uint16_t sequence_number = 0;
  std::uint32_t timestamp = 0;
  std::uint32_t ssrc = 0;
  /// Borrowed. What stands between header and payload is left out.
  std::span<const std::byte> payload = {};
};

enum class RtpError : std::uint8_t {
  too_short,
  bad_version,
  is_rtcp,        ///< by its payload type, 72 to 76 (RFC 3551 s6)
  bad_extension,  ///< longer than the packet
  bad_padding,    ///< none, or longer than the packet
};
[[nodiscard]] auto to_string(RtpError error) -> std::string_view;

/// Spec  RFC 3550 s5.1, s5.3.1 (extensions are skipped), sA.1 (validity)
/// Cost  O(1), no allocation
[[nodiscard]] auto decode_rtp(std::span<const std::byte> datagram) noexcept
    -> std::expected<RtpPacket, RtpError>;

/// Writes header and payload into `buffer`; the octets used, 0 if it is too small.
[[nodiscard]] auto encode_rtp(const RtpPacket& packet, std::span<std::byte> buffer) noexcept -> std::size_t;

}  // namespace portolan::media
