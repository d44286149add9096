// SPDX-License-Identifier: BSD-2-Clause
//
// What fuzz targets of the control protocol ask of any octets.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "control/codec.h"

namespace portolan::control {

/// Reads `octets` as a stream, in pieces of a size that the first octet tells. What can be read means the
/// same after it was written and read again.
template <typename Decode>
void check_stream(std::span<const std::uint8_t> octets, Decode decode) {
  if (octets.empty()) return;
  const std::size_t piece = std::size_t{octets.front()} + 1;
  auto left = std::as_bytes(octets.subspan(1));
  FrameReader reader;
  while (!left.empty()) {
    const auto taken = left.first(std::min(piece, left.size()));
    left = left.subspan(taken.size());
    reader.add(taken);
    for (;;) {
      const auto message = reader.next();
      if (!message) return;
      PORTOLAN_CHECK(reader.buffered() <= octets.size());
      if (!*message) break;
      const auto decoded = decode(**message);
      if (!decoded) {
        PORTOLAN_CHECK(!decoded.error().empty());
        continue;
      }
      std::vector<std::byte> frame;
      append_frame(*decoded, frame);
      FrameReader again;
      again.add(frame);
      const auto copy = again.next();
      PORTOLAN_CHECK(copy && *copy && again.buffered() == 0);
      const auto decoded_again = decode(**copy);
      PORTOLAN_CHECK(decoded_again && *decoded_again == *decoded);
    }
  }
}

}  // namespace portolan::control
