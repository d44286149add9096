// SPDX-License-Identifier: BSD-2-Clause
//
// G.711: samples of 16 bits in 8, by µ-law and A-law (RFC 3551 s4.5.14).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace portolan::media {

/// Samples a second of all audio here; also the clock rate of its timestamps.
inline constexpr std::uint32_t sample_rate = 8000;

enum class Codec : std::uint8_t { pcmu, pcma };
/// As in SDP: "PCMU", "PCMA".
[[nodiscard]] auto to_string(Codec codec) -> std::string_view;
/// Its payload type, which needs no a=rtpmap (RFC 3551 s6).
[[nodiscard]] auto static_payload_type(Codec codec) -> std::uint8_t;

[[nodiscard]] auto encode_sample(Codec codec, std::int16_t sample) -> std::byte;
[[nodiscard]] auto decode_sample(Codec codec, std::byte octet) -> std::int16_t;

/// One octet for each sample; both are of one size.
void encode(Codec codec, std::span<const std::int16_t> samples, std::span<std::byte> octets);
void decode(Codec codec, std::span<const std::byte> octets, std::span<std::int16_t> samples);

}  // namespace portolan::media
