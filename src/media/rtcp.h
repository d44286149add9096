// SPDX-License-Identifier: BSD-2-Clause
//
// One compound RTCP packet (RFC 3550 s6.1): the report of a participant, its canonical name, and whether it
// leaves. Other packets in it are skipped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::media {

/// How one source is received (RFC 3550 s6.4.1).
struct ReportBlock {
  std::uint32_t ssrc = 0;
  std::uint8_t fraction_lost = 0;      ///< in 256ths, since the report before
  std::int32_t cumulative_lost = 0;    ///< 24 bits
  std::uint32_t highest_sequence = 0;  ///< extended by the cycles
  std::uint32_t jitter = 0;            ///< in units of timestamps
  std::uint32_t last_report = 0;       ///< middle of the NTP time of the source's last report; 0: none came
  std::uint32_t delay = 0;             ///< since then, in 65536ths of a second
  auto operator==(const ReportBlock&) const -> bool = default;
};

/// Of a participant that sends.
struct SenderInfo {
  std::uint64_t ntp_time = 0;
  std::uint32_t rtp_timestamp = 0;
  std::uint32_t packets = 0;
  std::uint32_t octets = 0;
  auto operator==(const SenderInfo&) const -> bool = default;
};

struct RtcpPacket {
  std::uint32_t ssrc = 0;
  std::optional<SenderInfo> sender;
  std::vector<ReportBlock> blocks;
  std::string canonical_name;
  bool is_bye = false;
  auto operator==(const RtcpPacket&) const -> bool = default;
};

/// Blocks of one report; more in a compound packet are not kept.
inline constexpr std::size_t report_blocks_max = 31;
/// Octets of a canonical name.
inline constexpr std::size_t canonical_name_octets_max = 255;

enum class RtcpError : std::uint8_t {
  too_short,
  bad_version,
  no_report,   ///< does not begin with a report
  bad_length,  ///< lengths do not add up to the datagram's
  bad_report,  ///< shorter than its blocks
};
[[nodiscard]] auto to_string(RtcpError error) -> std::string_view;

/// Spec  RFC 3550 s6.4 (reports), s6.5 (names), s6.6 (leaving), sA.2 (validity)
/// Cost  O(octets)
[[nodiscard]] auto decode_rtcp(std::span<const std::byte> datagram) -> std::expected<RtcpPacket, RtcpError>;

/// A report, a canonical name, and a BYE if it leaves. A name or blocks beyond the limits are cut.
[[nodiscard]] auto encode_rtcp(const RtcpPacket& packet) -> std::vector<std::byte>;

}  // namespace portolan::media
