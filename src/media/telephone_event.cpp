// SPDX-License-Identifier: BSD-2-Clause
#include "media/telephone_event.h"

#include <algorithm>

#include "base/bytes.h"

namespace portolan::media {
namespace {

/// In the order of their event codes.
constexpr std::string_view digits = "0123456789*#ABCD";
constexpr std::uint8_t volume_mask = 0x3f;
constexpr std::uint8_t usual_volume = 10;

}  // namespace

auto decode_telephone_event(std::span<const std::byte> payload) -> std::optional<TelephoneEvent> {
  ByteReader reader(payload);
  TelephoneEvent event;
  event.event = reader.read<std::uint8_t>();
  const auto flags = reader.read<std::uint8_t>();
  event.is_end = (flags & 0x80U) != 0;
  event.volume = flags & volume_mask;
  event.duration = reader.read<std::uint16_t>();
  if (!reader.ok()) return {};
  return event;
}

auto encode_telephone_event(const TelephoneEvent& event) -> std::array<std::byte, telephone_event_octets> {
  std::array<std::byte, telephone_event_octets> octets{};
  ByteWriter writer(octets);
  writer.write(event.event);
  writer.write(static_cast<std::uint8_t>((event.is_end ? 0x80U : 0U) | (event.volume & volume_mask)));
  writer.write(event.duration);
  return octets;
}

auto digit_of(std::uint8_t event) -> std::optional<char> {
  if (event >= digits.size()) return {};
  return digits[event];
}

auto event_of(char digit) -> std::optional<std::uint8_t> {
  const std::size_t place = digits.find(digit);
  if (place == std::string_view::npos) return {};
  return static_cast<std::uint8_t>(place);
}

auto DigitSender::add(std::string_view added) -> bool {
  if (waiting_.size() + added.size() > digits_max) return false;
  if (!std::ranges::all_of(added, [](char digit) { return event_of(digit).has_value(); })) return false;
  for (const char digit : added) waiting_.push_back(*event_of(digit));
  return true;
}

auto DigitSender::next(std::uint32_t timestamp, std::uint16_t duration) -> std::optional<Packet> {
  if (waiting_.empty()) return {};
  if (step_ == 0) began_ = timestamp;
  const unsigned step = step_++;
  if (step >= packets_of_digit + packets_of_end) {
    if (step_ >= packets_of_digit + packets_of_end + packets_of_pause) {
      waiting_.pop_front();
      step_ = 0;
    }
    return {};
  }
  // Every packet of the end says the same.
  const unsigned lasted = std::min(step + 1, packets_of_digit);
  Packet packet;
  packet.event.event = waiting_.front();
  packet.event.is_end = step >= packets_of_digit;
  packet.event.volume = usual_volume;
  packet.event.duration = static_cast<std::uint16_t>(std::min<unsigned>(lasted * duration, UINT16_MAX));
  packet.timestamp = began_;
  packet.marker = step == 0;
  return packet;
}

auto DigitReceiver::receive(std::uint32_t timestamp, std::span<const std::byte> payload)
    -> std::optional<char> {
  const auto event = decode_telephone_event(payload);
  if (!event || heard_ == timestamp) return {};
  heard_ = timestamp;
  return digit_of(event->event);
}

}  // namespace portolan::media
