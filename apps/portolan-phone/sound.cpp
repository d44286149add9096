// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/sound.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "io/read_file.h"
#include "media/wav.h"

namespace portolan::phone {
namespace {

constexpr std::size_t wav_octets_max = std::size_t{64} << 20U;

auto source_of(const Options& options) -> std::expected<media::AudioSource, std::string> {
  if (options.tone_hz > 0) return media::AudioSource::tone(options.tone_hz);
  if (options.play.empty()) return media::AudioSource();
  const auto file = io::read_file(options.play, wav_octets_max);
  if (!file) return std::unexpected(fmt::format("{}: {}", options.play.string(), to_string(file.error())));
  auto samples = media::parse_wav(*file);
  if (!samples)
    return std::unexpected(fmt::format("{} {}", options.play.string(), media::to_string(samples.error())));
  return media::AudioSource::clip(std::move(*samples));
}

}  // namespace

auto Sound::open(const Options& options) -> std::expected<Sound, std::string> {
  auto source = source_of(options);
  if (!source) return std::unexpected(source.error());
  if (!options.sound_card.empty())
    if (const auto card = SoundCard::open(options.sound_card); !card) return std::unexpected(card.error());
  return Sound(options, *std::move(source));
}

void Sound::prepare(sip::Phone& phone, unsigned number) {
  if (!options_.record.empty()) phone.record(number);
  if (options_.sound_card.empty()) {
    phone.set_source(number, source_);
    return;
  }
  phone.set_source(number, media::AudioSource::live([desk = desk_, number](std::span<std::int16_t> out) {
                     if (desk->card && desk->call == number)
                       desk->card->capture(out);
                     else
                       std::ranges::fill(out, std::int16_t{0});
                   }));
  phone.set_listener(number, [desk = desk_, number](std::span<const std::int16_t> samples) {
    if (desk->card && desk->call == number) desk->card->play(samples);
  });
}

auto Sound::follow(const sip::Phone& phone) -> std::expected<void, std::string> {
  if (options_.sound_card.empty()) return {};
  desk_->call = 0;
  for (const sip::CallView& call : phone.calls())
    if (call.state == sip::CallState::active && !call.is_held) desk_->call = call.number;
  if (desk_->call == 0) {
    *desk_ = {};
  } else if (!desk_->card && !desk_->is_refused) {
    auto card = SoundCard::open(options_.sound_card);
    desk_->is_refused = !card;
    if (!card) return std::unexpected(card.error());
    desk_->card.emplace(*std::move(card));
  }
  return {};
}

}  // namespace portolan::phone
