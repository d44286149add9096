// SPDX-License-Identifier: BSD-2-Clause
//
// G.711: samples of 16 bits in 8, by µ-law and A-law (RFC 3551 s4.5.14).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace portolan::media {

enum class Law : std::uint8_t { mu, a };

[[nodiscard]] auto encode_sample(Law law, std::int16_t sample) -> std::byte;
[[nodiscard]] auto decode_sample(Law law, std::byte octet) -> std::int16_t;

/// One octet for each sample; both are of one size.
void encode(Law law, std::span<const std::int16_t> samples, std::span<std::byte> octets);
void decode(Law law, std::span<const std::byte> octets, std::span<std::int16_t> samples);

}  // namespace portolan::media
