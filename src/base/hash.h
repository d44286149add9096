// SPDX-License-Identifier: BSD-2-Clause
//
// Keyed hashing for tables whose keys come from the network: without the secret nobody can choose
// keys that collide. SipHash-1-3 over a few words.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/random.h"

namespace portolan {

/// Secret of one table.
struct HashKey {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  [[nodiscard]] static auto generate(Random& random) -> HashKey {
    return {.low = random.next(), .high = random.next()};
  }
};

/// SipHash-1-3 of `words`: one compression round a word, three finalization rounds.
[[nodiscard]] constexpr auto keyed_hash(const HashKey& key, std::initializer_list<std::uint64_t> words)
    -> std::uint64_t {
  std::uint64_t v0 = key.low ^ 0x736f6d6570736575ULL;
  std::uint64_t v1 = key.high ^ 0x646f72616e646f6dULL;
  std::uint64_t v2 = key.low ^ 0x6c7967656e657261ULL;
  std::uint64_t v3 = key.high ^ 0x7465646279746573ULL;
  const auto round = [&]() __attribute__((always_inline)) {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  };
  for (const std::uint64_t word : words) {
    v3 ^= word;
    round();
    v0 ^= word;
  }
  const std::uint64_t length = std::uint64_t{words.size()} << 56U;
  v3 ^= length;
  round();
  v0 ^= length;
  v2 ^= 0xff;
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace portolan
