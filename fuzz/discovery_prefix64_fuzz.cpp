// SPDX-License-Identifier: BSD-2-Clause
//
// Options of router advertisements, and answers for ipv4only.arpa. Properties: a prefix has a length of RFC
// 6052 s2.2 and a lifetime that the option can hold; an answer's prefix with the well-known address in it is
// found again.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"
#include "discovery/nat64_prefix.h"

namespace portolan::discovery {
namespace {

void check_prefix(const Prefix& prefix) {
  constexpr std::array<unsigned, 6> lengths{32, 40, 48, 56, 64, 96};
  PORTOLAN_CHECK(std::ranges::find(lengths, prefix.length()) != lengths.end());
}

/// 192.0.0.170 behind the prefix, octet 8 left out.
auto synthesised(const Prefix& prefix) -> IpAddress {
  constexpr std::array<std::uint8_t, 4> well_known{192, 0, 0, 170};
  Ipv6Address address = prefix.address().bits();
  std::size_t place = prefix.length() / 8;
  for (const std::uint8_t octet : well_known) {
    if (place == 8) ++place;
    address.octets.at(place++) = octet;
  }
  return IpAddress{address};
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  for (const Pref64& option : parse_pref64_options(std::as_bytes(std::span(data, size)))) {
    check_prefix(option.prefix);
    PORTOLAN_CHECK(option.lifetime >= Seconds{0} && option.lifetime <= Seconds{65528} &&
                   option.lifetime.count() % 8 == 0);
    const std::array answer{synthesised(option.prefix)};
    const auto found = prefixes_of_answers(answer);
    // A prefix may have a well-known address in itself; then nobody can tell.
    PORTOLAN_CHECK(found.size() <= 1);
  }
  std::vector<IpAddress> answers;
  for (std::size_t i = 0; i + 16 <= size; i += 16) {
    Ipv6Address address;
    std::memcpy(address.octets.data(), data + i, 16);
    answers.emplace_back(address);
  }
  const auto prefixes = prefixes_of_answers(answers);
  PORTOLAN_CHECK(prefixes.size() <= answers.size());
  for (const Prefix& prefix : prefixes) {
    check_prefix(prefix);
    PORTOLAN_CHECK(
        std::ranges::any_of(answers, [&](const IpAddress& answer) { return prefix.contains(answer); }));
    PORTOLAN_CHECK(std::ranges::count(prefixes, prefix) == 1);
  }
  return 0;
}

}  // namespace portolan::discovery
