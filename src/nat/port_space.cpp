// SPDX-License-Identifier: BSD-2-Clause
#include "nat/port_space.h"

#include <bit>

namespace portolan::nat {

void PortSpace::release(std::uint16_t port) {
  owners_[port] = 0;
  taken_[port / 64U] &= ~(std::uint64_t{1} << port % 64U);
}

auto PortSpace::free_in_word(std::uint32_t word, const PortChoice& choice) const -> std::uint64_t {
  std::uint64_t free = ~taken_[word];
  if (word == choice.low / 64U) free &= ~std::uint64_t{0} << choice.low % 64U;
  if (word == choice.high / 64U) free &= ~std::uint64_t{0} >> (63 - choice.high % 64U);
  constexpr std::uint64_t odd_bits = 0xaaaaaaaaaaaaaaaaULL;
  if (choice.odd) free &= *choice.odd ? odd_bits : ~odd_bits;
  return free;
}

auto PortSpace::pick(const PortChoice& choice, Random& random) const -> std::optional<std::uint16_t> {
  if (choice.low > choice.high) return std::nullopt;
  const std::uint32_t first = choice.low / 64U;
  const std::uint32_t count = choice.high / 64U - first + 1;
  const auto start = static_cast<std::uint32_t>(random.below(count));
  for (std::uint32_t step = 0; step < count; ++step) {
    const std::uint32_t word = first + (start + step) % count;
    const std::uint64_t free = free_in_word(word, choice);
    if (free == 0) continue;
    // The first free one at or after a random bit, going round.
    const auto turn = static_cast<int>(random.next() & 63U);
    const int bit = (std::countr_zero(std::rotr(free, turn)) + turn) & 63;
    return static_cast<std::uint16_t>(word * 64 + static_cast<std::uint32_t>(bit));
  }
  return std::nullopt;
}

}  // namespace portolan::nat
