// SPDX-License-Identifier: BSD-2-Clause
//
// What the files that make up describe() share: collecting lines, and their entry points.
#pragma once

#include <cstddef>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/address.h"

namespace portolan::wire {

/// Collects lines at the indent of the caller, deeper ones at two more spaces a level.
class Lines {
 public:
  explicit Lines(std::size_t indent) : indent_(indent) {}

  template <typename... Values>
  void add(std::size_t level, fmt::format_string<Values...> format, Values&&... values) {
    text_.append(indent_ + 2 * level, ' ');
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
    text_.push_back('\n');
  }
  /// Octets in hexadecimal, 16 a line; more than 256 are counted, not shown.
  void add_hex(std::size_t level, std::span<const std::byte> octets);
  /// Reserved octets, if someone used them.
  void add_reserved(std::size_t level, std::span<const std::byte> octets);

  [[nodiscard]] auto text() && -> std::string { return std::move(text_); }

 private:
  std::string text_;
  std::size_t indent_;
};

/// An address, IPv4 also as it stands on the wire.
[[nodiscard]] auto address_text(const IpAddress& address) -> std::string;
[[nodiscard]] auto is_zero(std::span<const std::byte> octets) -> bool;

/// The options of a message, to its end.
void describe_options(Lines& lines, std::span<const std::byte> octets);
/// A whole datagram of version 0 (RFC 6886 s3), of at least 2 octets.
void describe_nat_pmp(Lines& lines, std::span<const std::byte> datagram);

}  // namespace portolan::wire
