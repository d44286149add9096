// SPDX-License-Identifier: BSD-2-Clause
#include "media/codec.h"

#include <algorithm>

#include "media/g711.h"
#include "media/opus_codec.h"

namespace portolan::media {
namespace {

constexpr std::uint32_t opus_clock_rate = 48000;

auto law_of(Codec codec) -> Law { return codec == Codec::pcma ? Law::a : Law::mu; }

/// An octet for each sample, and no memory.
class G711Encoder final : public Encoder {
 public:
  explicit G711Encoder(Law law) : law_(law) {}

  auto encode(std::span<const std::int16_t> samples, std::span<std::byte> payload) -> std::size_t override {
    media::encode(law_, samples, payload.first(samples.size()));
    return samples.size();
  }

 private:
  Law law_;
};

class G711Decoder final : public Decoder {
 public:
  explicit G711Decoder(Law law) : law_(law) {}

  [[nodiscard]] auto length_of(std::span<const std::byte> payload) const
      -> std::optional<std::size_t> override {
    if (payload.empty()) return {};
    return payload.size();
  }
  auto decode(std::span<const std::byte> payload, std::span<std::int16_t> samples) -> bool override {
    media::decode(law_, payload.first(samples.size()), samples);
    return true;
  }
  void conceal(std::span<std::int16_t> samples, std::span<const std::byte> following) override {
    static_cast<void>(following);
    std::ranges::fill(samples, std::int16_t{0});
  }
  void reset() override {}

 private:
  Law law_;
};

}  // namespace

auto to_string(Codec codec) -> std::string_view {
  switch (codec) {
    case Codec::pcmu: return "PCMU";
    case Codec::pcma: return "PCMA";
    case Codec::opus: return "opus";
  }
  return "?";
}

auto clock_rate(Codec codec) -> std::uint32_t { return codec == Codec::opus ? opus_clock_rate : sample_rate; }

auto channels(Codec codec) -> std::uint32_t { return codec == Codec::opus ? 2 : 1; }

auto static_payload_type(Codec codec) -> std::optional<std::uint8_t> {
  switch (codec) {
    case Codec::pcmu: return std::uint8_t{0};
    case Codec::pcma: return std::uint8_t{8};
    case Codec::opus: return {};
  }
  return {};
}

auto make_encoder(Codec codec, const OpusWishes& wishes) -> std::unique_ptr<Encoder> {
  if (codec == Codec::opus) return make_opus_encoder(wishes);
  return std::make_unique<G711Encoder>(law_of(codec));
}

auto make_decoder(Codec codec) -> std::unique_ptr<Decoder> {
  if (codec == Codec::opus) return make_opus_decoder();
  return std::make_unique<G711Decoder>(law_of(codec));
}

}  // namespace portolan::media
