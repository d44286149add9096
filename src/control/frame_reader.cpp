// SPDX-License-Identifier: BSD-2-Clause
#include <fmt/format.h>

#include "control/codec.h"

namespace portolan::control {

void FrameReader::add(std::span<const std::byte> octets) {
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(start_));
  start_ = 0;
  buffer_.insert(buffer_.end(), octets.begin(), octets.end());
}

auto FrameReader::next() -> std::expected<std::optional<std::span<const std::byte>>, std::string> {
  // The longest length allowed has 4 octets.
  constexpr std::size_t length_octets_max = 4;
  static_assert(message_octets_max < std::size_t{1} << 7U * length_octets_max);
  const auto failed = [&](std::string text) {
    has_failed_ = true;
    return std::unexpected(std::move(text));
  };
  if (has_failed_) return failed("the stream was given up before");
  const auto waiting = std::span(buffer_).subspan(start_);
  std::size_t length = 0;
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    if (i == length_octets_max) return failed("a message's length has more than 4 octets");
    const auto octet = std::to_integer<std::size_t>(waiting[i]);
    length |= (octet & 0x7fU) << 7U * i;
    if ((octet & 0x80U) != 0) continue;
    if (length > message_octets_max)
      return failed(fmt::format("a message of {} octets is longer than {}", length, message_octets_max));
    if (waiting.size() - i - 1 < length) return std::nullopt;
    start_ += i + 1 + length;
    return waiting.subspan(i + 1, length);
  }
  if (waiting.size() >= length_octets_max) return failed("a message's length has more than 4 octets");
  return std::nullopt;
}

}  // namespace portolan::control
