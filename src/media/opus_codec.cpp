// SPDX-License-Identifier: BSD-2-Clause
#include "media/opus_codec.h"

#include <opus.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace portolan::media {
namespace {

constexpr opus_int32 rate = sample_rate;
/// Of 0 to 10: half of the default's work, so that a core has room for many calls; at this bandwidth the
/// difference is hardly heard.
constexpr opus_int32 complexity = 5;
/// The encoder repeats nothing unless it expects losses, and the more of them the more it repeats.
constexpr opus_int32 expected_loss_percent = 10;
/// Frames of a packet, at most: 120 ms of 2.5 ms each (RFC 6716 s3.2.5).
constexpr std::size_t frames_max = 48;
/// libopus conceals multiples of 2.5 ms.
constexpr std::size_t shortest_frame = sample_rate / 400;

struct Destroy {
  void operator()(OpusEncoder* encoder) const { opus_encoder_destroy(encoder); }
  void operator()(OpusDecoder* decoder) const { opus_decoder_destroy(decoder); }
};

auto octets_of(std::span<const std::byte> payload) -> const unsigned char* {
  return reinterpret_cast<const unsigned char*>(payload.data());
}

class NarrowbandEncoder final : public Encoder {
 public:
  explicit NarrowbandEncoder(const OpusWishes& wishes) {
    int error = OPUS_OK;
    state_.reset(opus_encoder_create(rate, 1, OPUS_APPLICATION_VOIP, &error));
    PORTOLAN_CHECK(error == OPUS_OK);
    const auto bit_rate = static_cast<opus_int32>(std::min(opus_bit_rate, wishes.bit_rate_max));
    const opus_int32 is_variable = wishes.constant_bit_rate ? 0 : 1;
    const opus_int32 has_fec = wishes.in_band_fec ? 1 : 0;
    const opus_int32 expected_loss = wishes.in_band_fec ? expected_loss_percent : 0;
    set(OPUS_SET_BITRATE(bit_rate));
    set(OPUS_SET_VBR(is_variable));
    set(OPUS_SET_COMPLEXITY(complexity));
    set(OPUS_SET_INBAND_FEC(has_fec));
    set(OPUS_SET_PACKET_LOSS_PERC(expected_loss));
  }

  auto encode(std::span<const std::int16_t> samples, std::span<std::byte> payload) -> std::size_t override {
    const opus_int32 octets = opus_encode(state_.get(), samples.data(), static_cast<int>(samples.size()),
                                          reinterpret_cast<unsigned char*>(payload.data()),
                                          static_cast<opus_int32>(payload.size()));
    // It fails for a length that no frame has, or for want of room: ours to avoid.
    PORTOLAN_CHECK(octets > 0);
    return static_cast<std::size_t>(octets);
  }

 private:
  void set(int what, opus_int32 value) {
    PORTOLAN_CHECK(opus_encoder_ctl(state_.get(), what, value) == OPUS_OK);
  }

  std::unique_ptr<OpusEncoder, Destroy> state_;
};

class NarrowbandDecoder final : public Decoder {
 public:
  NarrowbandDecoder() {
    int error = OPUS_OK;
    state_.reset(opus_decoder_create(rate, 1, &error));
    PORTOLAN_CHECK(error == OPUS_OK);
  }

  /// Looks at the whole framing (RFC 6716 s3.4), so that little is left to fail when it is decoded.
  [[nodiscard]] auto length_of(std::span<const std::byte> payload) const
      -> std::optional<std::size_t> override {
    if (payload.empty()) return {};
    std::array<opus_int16, frames_max> sizes{};
    const int frames = opus_packet_parse(octets_of(payload), static_cast<opus_int32>(payload.size()), nullptr,
                                         nullptr, sizes.data(), nullptr);
    if (frames <= 0) return {};
    const int of_frame = opus_packet_get_samples_per_frame(octets_of(payload), rate);
    return static_cast<std::size_t>(frames) * static_cast<std::size_t>(of_frame);
  }

  auto decode(std::span<const std::byte> payload, std::span<std::int16_t> samples) -> bool override {
    return run(payload, samples, false) == samples.size();
  }

  void conceal(std::span<std::int16_t> samples, std::span<const std::byte> following) override {
    const std::size_t whole = samples.size() - samples.size() % shortest_frame;
    // What the following packet tells of the one before it (RFC 6716 s2.1.7) is of the end of the gap; for
    // the rest of it, and where nothing is told, libopus goes on with what it heard last.
    const std::size_t made = whole == 0 ? 0 : run(following, samples.first(whole), !following.empty());
    std::ranges::fill(samples.subspan(made), std::int16_t{0});
  }

  void reset() override { PORTOLAN_CHECK(opus_decoder_ctl(state_.get(), OPUS_RESET_STATE) == OPUS_OK); }

 private:
  /// Out  samples that were made
  auto run(std::span<const std::byte> payload, std::span<std::int16_t> samples, bool is_of_the_one_before)
      -> std::size_t {
    const int made = opus_decode(state_.get(), payload.empty() ? nullptr : octets_of(payload),
                                 static_cast<opus_int32>(payload.size()), samples.data(),
                                 static_cast<int>(samples.size()), is_of_the_one_before ? 1 : 0);
    return made > 0 ? std::min(static_cast<std::size_t>(made), samples.size()) : 0;
  }

  std::unique_ptr<OpusDecoder, Destroy> state_;
};

}  // namespace

auto make_opus_encoder(const OpusWishes& wishes) -> std::unique_ptr<Encoder> {
  return std::make_unique<NarrowbandEncoder>(wishes);
}

auto make_opus_decoder() -> std::unique_ptr<Decoder> { return std::make_unique<NarrowbandDecoder>(); }

}  // namespace portolan::media
