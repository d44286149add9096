// SPDX-License-Identifier: BSD-2-Clause
//
// Text of addresses and prefixes. Property: what parses prints to a text that parses to the same value.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/address.h"
#include "base/check.h"

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  // libFuzzer hands out octets; text is what the parsers take.
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = portolan::IpAddress::parse(text))
    PORTOLAN_CHECK(portolan::IpAddress::parse(to_string(*address)) == address);
  if (const auto prefix = portolan::Prefix::parse(text))
    PORTOLAN_CHECK(portolan::Prefix::parse(to_string(*prefix)) == prefix);
  return 0;
}
