// SPDX-License-Identifier: BSD-2-Clause
//
// Digits in RTP (RFC 4733).
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |     event     |E|R| volume    |          duration             |
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string_view>

namespace portolan::media {

inline constexpr std::size_t telephone_event_octets = 4;

struct TelephoneEvent {
  std::uint8_t event = 0;
  bool is_end = false;
  std::uint8_t volume = 0;     ///< -dBm0, 6 bits
  std::uint16_t duration = 0;  ///< in units of timestamps
  auto operator==(const TelephoneEvent&) const -> bool = default;
};

/// Spec  RFC 4733 s2.3. A payload may hold more behind the first event; it is not read. Nothing: too short.
[[nodiscard]] auto decode_telephone_event(std::span<const std::byte> payload)
    -> std::optional<TelephoneEvent>;
[[nodiscard]] auto encode_telephone_event(const TelephoneEvent& event)
    -> std::array<std::byte, telephone_event_octets>;

/// 0-9, *, #, A-D (RFC 4733 s3.2); nothing for other events and characters.
[[nodiscard]] auto digit_of(std::uint8_t event) -> std::optional<char>;
[[nodiscard]] auto event_of(char digit) -> std::optional<std::uint8_t>;

/// Sends digits one after the other, a packet each time audio would be sent.
class DigitSender {
 public:
  /// Digits that wait at most.
  static constexpr std::size_t digits_max = 64;
  /// Packets of a digit, of its end (RFC 4733 s2.5.1.4), and of the pause behind it.
  static constexpr unsigned packets_of_digit = 5;
  static constexpr unsigned packets_of_end = 3;
  static constexpr unsigned packets_of_pause = 3;

  struct Packet {
    TelephoneEvent event;
    std::uint32_t timestamp = 0;  ///< when the digit began
    bool marker = false;
  };

  /// Out  false, and nothing is sent, if one is no digit or there are too many
  auto add(std::string_view added) -> bool;
  /// What to send at `timestamp` in place of audio that lasts `duration`; nothing if audio has its turn.
  [[nodiscard]] auto next(std::uint32_t timestamp, std::uint16_t duration) -> std::optional<Packet>;
  [[nodiscard]] auto is_idle() const -> bool { return waiting_.empty(); }

 private:
  std::deque<std::uint8_t> waiting_;
  unsigned step_ = 0;
  std::uint32_t began_ = 0;
};

/// Hears each digit once, however many of its packets come.
class DigitReceiver {
 public:
  /// The digit, when the first packet of it comes.
  [[nodiscard]] auto receive(std::uint32_t timestamp, std::span<const std::byte> payload)
      -> std::optional<char>;

 private:
  std::optional<std::uint32_t> heard_;
};

}  // namespace portolan::media
