// SPDX-License-Identifier: BSD-2-Clause
//
// The codecs that a call may have, behind one pair of interfaces: samples to payloads of RTP, and back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace portolan::media {

/// Samples a second of all audio here, whatever the codec and whatever its timestamps count.
inline constexpr std::uint32_t sample_rate = 8000;

enum class Codec : std::uint8_t { pcmu, pcma, opus };
/// As in SDP: "PCMU", "PCMA", "opus".
[[nodiscard]] auto to_string(Codec codec) -> std::string_view;
/// Of its timestamps. Those of Opus count 48000 a second, at whatever rate it samples (RFC 7587 s4.1).
[[nodiscard]] auto clock_rate(Codec codec) -> std::uint32_t;
/// As a=rtpmap names them. Opus always says two, and sends one where one is enough (RFC 7587 s7).
[[nodiscard]] auto channels(Codec codec) -> std::uint32_t;
/// The payload type that needs no a=rtpmap (RFC 3551 s6); nothing: each description chooses one.
[[nodiscard]] auto static_payload_type(Codec codec) -> std::optional<std::uint8_t>;

/// What an Opus decoder asks of the encoder at the other end (RFC 7587 s6.1).
struct OpusWishes {
  /// In bits a second, on the average.
  std::uint32_t bit_rate_max = 510'000;
  bool constant_bit_rate = false;
  /// Packets that tell of the one before, too, for when it is lost.
  bool in_band_fec = false;
  auto operator==(const OpusWishes&) const -> bool = default;
};
/// In bits a second: what ours sends if it may, and wants at most. Telephone bandwidth takes 12000
/// (RFC 7587 s3.1.1); the rest is for what is said twice.
inline constexpr std::uint32_t opus_bit_rate = 20'000;

/// Octets of a payload that an Encoder makes, at most: an Opus packet of one frame (RFC 6716 s3.2.1), which
/// is more than the 160 of G.711.
inline constexpr std::size_t payload_octets_max = 1276;

class Encoder {
 public:
  Encoder() = default;
  Encoder(const Encoder&) = delete;
  auto operator=(const Encoder&) -> Encoder& = delete;
  virtual ~Encoder() = default;

  /// In   samples: 20 ms, behind those before; payload: room for `payload_octets_max`
  /// Out  octets of it that are used
  [[nodiscard]] virtual auto encode(std::span<const std::int16_t> samples, std::span<std::byte> payload)
      -> std::size_t = 0;
};

/// Takes what anybody sends.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  auto operator=(const Decoder&) -> Decoder& = delete;
  virtual ~Decoder() = default;

  /// Samples that a payload holds, at least one; nothing: it is none of this codec.
  [[nodiscard]] virtual auto length_of(std::span<const std::byte> payload) const
      -> std::optional<std::size_t> = 0;
  /// In   payload: in the order of timestamps, and only with a length; samples: as many, or fewer
  /// Out  false: it can't be decoded for all that, and `samples` hold nothing
  [[nodiscard]] virtual auto decode(std::span<const std::byte> payload, std::span<std::int16_t> samples)
      -> bool = 0;
  /// Makes up for payloads that did not come.
  /// In   following: the payload right behind them, which decode() gets next; empty: it is not there yet
  virtual void conceal(std::span<std::int16_t> samples, std::span<const std::byte> following) = 0;
  /// What comes now has nothing to do with what came.
  virtual void reset() = 0;
};

/// In  wishes: of the other side's decoder, if the codec is Opus
[[nodiscard]] auto make_encoder(Codec codec, const OpusWishes& wishes) -> std::unique_ptr<Encoder>;
[[nodiscard]] auto make_decoder(Codec codec) -> std::unique_ptr<Decoder>;

}  // namespace portolan::media
