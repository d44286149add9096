// SPDX-License-Identifier: BSD-2-Clause
//
// What must hold for options whatever their octets: shared by the fuzz targets of wire.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

#include "base/check.h"
#include "wire/describe.h"
#include "wire/message.h"
#include "wire/options.h"

namespace portolan::wire::fuzz {

/// A typed option that decodes is written to octets that decode to the same.
template <TypedOption T>
void check_typed_option(const Option& option) {
  const auto decoded = T::decode(option.data);
  PORTOLAN_CHECK(decoded || !to_string(decoded.error()).empty());
  if (!decoded) return;
  std::array<std::byte, message_octets_max> buffer{};
  buffer[0] = std::byte{version_2};
  const auto size = write_option(buffer, header_octets, *decoded);
  PORTOLAN_CHECK(size == header_octets + option_header_octets + padded(option.data.size()));
  const OptionList options(std::span(buffer).subspan(header_octets, *size - header_octets));
  PORTOLAN_CHECK(options.is_well_formed() && options.begin()->code == T::code);
  const auto again = T::decode(options.begin()->data);
  PORTOLAN_CHECK(again && *again == *decoded);
}

/// The octets are tried as each type's, whatever the code says: that reaches more than one code can.
inline void check_options(const OptionList& list) {
  for (const Option& option : list) {
    check_typed_option<ThirdParty>(option);
    check_typed_option<PreferFailure>(option);
    check_typed_option<Filter>(option);
    check_typed_option<Description>(option);
    check_typed_option<Prefix64>(option);
    check_typed_option<ExperimentalPrefix64>(option);
    check_typed_option<PortSet>(option);
    check_typed_option<ThirdPartyId>(option);
    if (!is_description_text(option.data)) continue;
    const auto cut = truncated_text(option.data, option.data.size() / 2);
    PORTOLAN_CHECK(is_description_text(cut) && cut.size() + 4 > option.data.size() / 2);
  }
}

/// No control character but the line end reaches a terminal, whatever a DESCRIPTION says.
inline void check_description(std::span<const std::byte> datagram) {
  const std::string text = describe(datagram);
  PORTOLAN_CHECK(text.ends_with('\n'));
  PORTOLAN_CHECK(std::ranges::none_of(text, [](char character) {
    return character != '\n' && static_cast<unsigned char>(character) < 0x20;
  }));
}

}  // namespace portolan::wire::fuzz
