// SPDX-License-Identifier: BSD-2-Clause
//
// Dissection of any datagram on a PCP port into fields, each with its octets, its value for people and the
// section that defines it. Lenient where the decoder is strict: what can be read of a malformed message is
// there, with the reason why nobody would accept it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace portolan::wire {

/// Part of a datagram.
struct Field {
  enum class Kind : std::uint8_t {
    heading,   ///< of the deeper fields behind it; its octets are theirs too
    value,     ///< a field with a meaning
    frame,     ///< number or length of the option; its heading says so too
    reserved,  ///< ought to be zero
    octets,    ///< not decoded; without a name they are what the field before is about
    fault,     ///< why the message, or the option, is not accepted; has no octets
  };
  Kind kind = Kind::value;
  /// 0 for the message, more for what is part of it.
  std::size_t level = 0;
  /// Octets of the datagram.
  std::size_t offset = 0;
  std::size_t size = 0;
  /// As in the RFC: "Suggested External Port".
  std::string name;
  /// Strings from the network are escaped. Of octets that are reserved or not decoded: hexadecimal.
  std::string value;
  /// Where it is defined: "RFC 6887 s11.1"; empty for what nothing defines.
  std::string_view source;
};
/// As the enumerator.
[[nodiscard]] auto to_string(Field::Kind kind) -> std::string_view;

/// The fields of `datagram` in order. Every octet is in one of them that is no heading. Never fails.
[[nodiscard]] auto dissect(std::span<const std::byte> datagram) -> std::vector<Field>;

}  // namespace portolan::wire
