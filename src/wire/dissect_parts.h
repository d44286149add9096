// SPDX-License-Identifier: BSD-2-Clause
//
// What the files that make up dissect() share: reading on and collecting fields, and their entry points.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/dissect.h"

namespace portolan::wire {

/// Walks through a datagram and collects its fields.
class Dissection {
 public:
  explicit Dissection(std::span<const std::byte> datagram) : datagram_(datagram) {}

  [[nodiscard]] auto offset() const -> std::size_t { return offset_; }
  [[nodiscard]] auto remaining() const -> std::size_t { return datagram_.size() - offset_; }
  /// Octets ahead, without going on; at most what remains.
  [[nodiscard]] auto ahead(std::size_t count) const -> std::span<const std::byte> {
    return datagram_.subspan(offset_, count);
  }

  /// The next field's number, in the width of its type; to be followed by value().
  template <std::unsigned_integral Number>
  auto read() -> Number {
    ByteReader reader(ahead(sizeof(Number)));
    offset_ += sizeof(Number);
    return reader.read<Number>();
  }
  auto read_address() -> IpAddress {
    ByteReader reader(ahead(sizeof(Ipv6Address)));
    offset_ += sizeof(Ipv6Address);
    return reader.read_address();
  }
  void skip(std::size_t count) { offset_ += count; }

  /// A field of what was read since `from`.
  template <typename... Values>
  void value(std::size_t level, std::size_t from, std::string_view name, std::string_view source,
             fmt::format_string<Values...> format, Values&&... values) {
    add(Field::Kind::value, level, from, name, source, fmt::format(format, std::forward<Values>(values)...));
  }
  /// The next `count` octets, a number whose value is known.
  void frame(std::size_t level, std::size_t count, std::string_view name, std::string_view source,
             std::size_t number) {
    const std::size_t from = offset_;
    skip(count);
    add(Field::Kind::frame, level, from, name, source, std::to_string(number));
  }
  /// The next `size` octets have a heading.
  void heading(std::size_t level, std::size_t size, std::string name, std::string value,
               std::string_view source) {
    fields_.push_back({.kind = Field::Kind::heading,
                       .level = level,
                       .offset = offset_,
                       .size = size,
                       .name = std::move(name),
                       .value = std::move(value),
                       .source = source});
  }
  void fault(std::size_t level, std::string reason, std::string_view source) {
    fields_.push_back({.kind = Field::Kind::fault,
                       .level = level,
                       .offset = offset_,
                       .size = 0,
                       .name = "Malformed",
                       .value = std::move(reason),
                       .source = source});
  }
  /// The next `count` octets are reserved, or padding; none is no field.
  void reserved(std::size_t level, std::size_t count, std::string_view source,
                std::string_view name = "Reserved") {
    add_octets(Field::Kind::reserved, level, count, name, source);
  }
  /// The next `count` octets as they are; none is no field.
  void octets(std::size_t level, std::size_t count, std::string_view name = {},
              std::string_view source = {}) {
    add_octets(Field::Kind::octets, level, count, name, source);
  }

  [[nodiscard]] auto fields() && -> std::vector<Field> { return std::move(fields_); }

 private:
  void add(Field::Kind kind, std::size_t level, std::size_t from, std::string_view name,
           std::string_view source, std::string value) {
    fields_.push_back({.kind = kind,
                       .level = level,
                       .offset = from,
                       .size = offset_ - from,
                       .name = std::string(name),
                       .value = std::move(value),
                       .source = source});
  }
  void add_octets(Field::Kind kind, std::size_t level, std::size_t count, std::string_view name,
                  std::string_view source);

  std::span<const std::byte> datagram_;
  std::size_t offset_ = 0;
  std::vector<Field> fields_;
};

/// An address, IPv4 also as it stands on the wire.
[[nodiscard]] auto address_text(const IpAddress& address) -> std::string;
[[nodiscard]] auto is_zero(std::span<const std::byte> octets) -> bool;

/// The options of a message, to its end.
void dissect_options(Dissection& message);
/// A whole datagram of version 0 (RFC 6886 s3), of at least 2 octets.
void dissect_nat_pmp(Dissection& message);

}  // namespace portolan::wire
