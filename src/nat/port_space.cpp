// SPDX-License-Identifier: BSD-2-Clause
#include "nat/port_space.h"

#include <algorithm>
#include <bit>

namespace portolan::nat {

namespace {

/// The ports of word `word` that are in `ports`.
auto bits_of(const PortRange& ports, std::uint32_t word) -> std::uint64_t {
  std::uint64_t bits = ~std::uint64_t{0};
  if (word == ports.first.value / 64U) bits &= ~std::uint64_t{0} << ports.first.value % 64U;
  if (word == ports.last.value / 64U) bits &= ~std::uint64_t{0} >> (63 - ports.last.value % 64U);
  return bits;
}

}  // namespace

void PortSpace::withhold(const PortRange& ports) {
  for (std::uint32_t word = ports.first.value / 64U; word <= ports.last.value / 64U; ++word) {
    const std::uint64_t bits = bits_of(ports, word);
    words_[word].withheld |= bits;
    words_[word].taken |= bits;
  }
}

void PortSpace::grant(const PortRange& ports) {
  for (std::uint32_t word = ports.first.value / 64U; word <= ports.last.value / 64U; ++word) {
    std::uint64_t granted = words_[word].withheld & bits_of(ports, word);
    words_[word].withheld &= ~granted;
    for (; granted != 0; granted &= granted - 1) {
      const auto port =
          static_cast<std::uint16_t>(word * 64 + static_cast<std::uint32_t>(std::countr_zero(granted)));
      if (owners_[port] == 0) words_[word].taken &= ~bit(port);
    }
  }
}

void PortSpace::release(std::uint16_t port) {
  owners_[port] = 0;
  PortMemory::Word& word = words_[port / 64U];
  if ((word.withheld & bit(port)) == 0) word.taken &= ~bit(port);
}

auto PortSpace::free_in_word(std::uint32_t word, const PortChoice& choice) const -> std::uint64_t {
  if (choice.blocks != nullptr && choice.blocks[word] != 0) return 0;
  std::uint64_t free = ~words_[word].taken;
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

auto PortSpace::pick_run(const PortChoice& choice, std::uint32_t count, Random& random) const -> PortRun {
  if (choice.low > choice.high) return {};
  PortChoice upper = choice;
  upper.low = static_cast<std::uint16_t>(choice.low + random.below(choice.high - choice.low + 1U));
  const PortRun run = first_run(upper, count);
  return run.count == count ? run : first_run(choice, count);
}

auto PortSpace::first_run(const PortChoice& choice, std::uint32_t count) const -> PortRun {
  const PortChoice all{.low = choice.low, .high = choice.high, .odd = std::nullopt, .blocks = choice.blocks};
  PortRun longest;
  std::uint32_t start = choice.low;
  std::uint32_t end = start;  // [start, end) is free
  const auto close = [&] {
    if (choice.odd && (start % 2 == 1) != *choice.odd) ++start;
    if (end > start && end - start > longest.count)
      longest = {.first = static_cast<std::uint16_t>(start), .count = std::min(end - start, count)};
  };
  for (std::uint32_t word = choice.low / 64U; word <= choice.high / 64U; ++word) {
    const std::uint64_t free = free_in_word(word, all);
    for (std::uint32_t bit = 0; bit < 64;) {
      const auto zeros = static_cast<std::uint32_t>(std::countr_zero(free >> bit));
      if (zeros > 0) {
        close();
        if (longest.count == count) return longest;
        bit += std::min(zeros, 64 - bit);
        start = end = word * 64 + bit;
        continue;
      }
      const auto ones = static_cast<std::uint32_t>(std::countr_one(free >> bit));
      bit += ones;
      end += ones;
      if (end - start <= count) continue;
      close();
      return longest;
    }
  }
  close();
  return longest;
}

}  // namespace portolan::nat
