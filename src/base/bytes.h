// SPDX-License-Identifier: BSD-2-Clause
//
// Bounds-checked reading and writing of big-endian fields. Each carries a failure flag that sticks:
// a caller does all its reads and asks ok() once. After a failure values read are zero.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/address.h"

namespace portolan {

/// Reads from borrowed octets. Cost O(1) per call, no allocation.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> octets) : octets_(octets) {}

  /// Unsigned big-endian number of the type's width; 0 past the end.
  template <std::unsigned_integral Number>
  auto read() -> Number {
    const auto taken = take(sizeof(Number));
    Number value = 0;
    for (const std::byte octet : taken)
      value =
          static_cast<Number>(static_cast<std::uint64_t>(value) << 8U | std::to_integer<std::uint8_t>(octet));
    return value;
  }
  auto read_address() -> IpAddress {
    Ipv6Address address;
    copy_to(std::as_writable_bytes(std::span(address.octets)));
    return IpAddress{address};
  }
  /// Fills `out` completely, or leaves it as it is and fails.
  void copy_to(std::span<std::byte> out) {
    const auto taken = take(out.size());
    if (!taken.empty()) std::memcpy(out.data(), taken.data(), taken.size());
  }
  /// The next `count` octets, empty past the end.
  auto take(std::size_t count) -> std::span<const std::byte> {
    if (count > octets_.size()) {
      ok_ = false;
      octets_ = {};
      return {};
    }
    const auto taken = octets_.first(count);
    octets_ = octets_.subspan(count);
    return taken;
  }
  void skip(std::size_t count) { static_cast<void>(take(count)); }

  [[nodiscard]] auto remaining() const -> std::size_t { return octets_.size(); }
  [[nodiscard]] auto ok() const -> bool { return ok_; }

 private:
  std::span<const std::byte> octets_;
  bool ok_ = true;
};

/// Writes into a borrowed buffer; a write that does not fit writes nothing and fails.
class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> buffer) : buffer_(buffer) {}

  template <std::unsigned_integral Number>
  void write(Number value) {
    const auto place = claim(sizeof(Number));
    for (std::size_t i = 0; i < place.size(); ++i)
      place[i] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * (sizeof(Number) - 1 - i)));
  }
  void write(const IpAddress& address) { write(std::as_bytes(std::span(address.bits().octets))); }
  void write(std::span<const std::byte> octets) {
    const auto place = claim(octets.size());
    if (!place.empty()) std::memcpy(place.data(), octets.data(), place.size());
  }
  void zeros(std::size_t count) {
    const auto place = claim(count);
    if (!place.empty()) std::memset(place.data(), 0, place.size());
  }

  [[nodiscard]] auto size() const -> std::size_t { return written_; }
  [[nodiscard]] auto ok() const -> bool { return ok_; }

 private:
  auto claim(std::size_t count) -> std::span<std::byte> {
    if (!ok_ || count > buffer_.size() - written_) {
      ok_ = false;
      return {};
    }
    written_ += count;
    return buffer_.subspan(written_ - count, count);
  }

  std::span<std::byte> buffer_;
  std::size_t written_ = 0;
  bool ok_ = true;
};

}  // namespace portolan
