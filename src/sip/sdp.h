// SPDX-License-Identifier: BSD-2-Clause
//
// Session descriptions (RFC 8866) as far as a phone needs them: connections, media, formats, where RTCP goes
// (RFC 3605), alternative addresses (RFC 6947). Other lines are read over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"

namespace portolan::sip {

enum class Direction : std::uint8_t { inactive = 0, sendonly = 1, recvonly = 2, sendrecv = 3 };
/// As the attribute: "sendrecv".
[[nodiscard]] auto to_string(Direction direction) -> std::string_view;
[[nodiscard]] constexpr auto sends(Direction direction) -> bool {
  return direction == Direction::sendonly || direction == Direction::sendrecv;
}
[[nodiscard]] constexpr auto receives(Direction direction) -> bool {
  return direction == Direction::recvonly || direction == Direction::sendrecv;
}
[[nodiscard]] constexpr auto direction_of(bool is_sending, bool is_receiving) -> Direction {
  return static_cast<Direction>((is_sending ? 1U : 0U) | (is_receiving ? 2U : 0U));
}

/// A format of RTP: its payload type, and what a=rtpmap and a=fmtp say of it.
struct Format {
  std::uint8_t payload_type = 0;
  std::string encoding = {};  ///< empty: the payload type says it all
  std::uint32_t clock_rate = 0;
  std::uint32_t channels = 1;  ///< of audio
  std::string parameters = {};
  auto operator==(const Format&) const -> bool = default;
};

/// Another address of a medium (RFC 6947 s4.1).
struct Alternative {
  /// Preference, 1 being the best; nothing in a form older than the RFC, where the order counts.
  std::optional<std::uint32_t> number;
  Endpoint rtp;
  std::optional<Port> rtcp_port;
  auto operator==(const Alternative&) const -> bool = default;
};

struct Media {
  std::string kind = "audio";
  Port port;  ///< 0: refused, or ended
  std::string transport = "RTP/AVP";
  /// Of transports of RTP.
  std::vector<Format> formats;
  /// As they stand in the m= line.
  std::string format_list;
  /// Of a c= line of its own.
  std::optional<IpAddress> address;
  std::optional<Port> rtcp_port;
  std::optional<IpAddress> rtcp_address;
  std::optional<Direction> direction;
  std::vector<Alternative> alternatives;
  auto operator==(const Media&) const -> bool = default;
};

struct Description {
  std::string user = "-";
  std::uint64_t session_id = 0;
  std::uint64_t version = 0;
  IpAddress origin = IpAddress::unspecified(Family::ipv4);
  std::string name = "-";
  std::optional<IpAddress> address;
  std::optional<Direction> direction;
  std::vector<Media> media;

  [[nodiscard]] auto direction_of(const Media& medium) const -> Direction {
    return medium.direction.value_or(direction.value_or(Direction::sendrecv));
  }
  /// Of its own c= line, or else of the session's.
  [[nodiscard]] auto address_of(const Media& medium) const -> std::optional<IpAddress> {
    return medium.address ? medium.address : address;
  }
  auto operator==(const Description&) const -> bool = default;
};

inline constexpr std::size_t sdp_octets_max = 16384;
inline constexpr std::size_t media_max = 16;
inline constexpr std::size_t formats_max = 32;
inline constexpr std::size_t alternatives_max = 8;

struct SdpError {
  std::size_t line = 0;  ///< from 1; 0: the whole
  std::string text;
  auto operator==(const SdpError&) const -> bool = default;
};

/// Strict about what the rest depends on (v=, o=, m=, limits), lenient about all else: an attribute that
/// can't be read is none. Alternatives of the older form that stand in a medium which they don't belong to,
/// as in the traces shown at IETF 85, go to the one whose address they repeat.
[[nodiscard]] auto parse_sdp(std::string_view text) -> std::expected<Description, SdpError>;

[[nodiscard]] auto to_text(const Description& description) -> std::string;

}  // namespace portolan::sip
