// SPDX-License-Identifier: BSD-2-Clause
//
// The 65536 external ports of one pool address and protocol: who has each, and which are free. The
// array answers "whose packet is this" in one look, the bitmap finds a free port in bounded time
// however full the space is.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>

#include "base/port_range.h"
#include "base/random.h"

namespace portolan::nat {

/// Number of the binding that has a port, or of the hold-down that keeps it, or neither.
struct PortOwner {
  std::uint32_t binding = 0;
  std::uint32_t hold_down = 0;

  [[nodiscard]] auto is_free() const -> bool { return binding == 0 && hold_down == 0; }
};

/// Ports from `low` to `high`, all or those of one parity.
struct PortChoice {
  std::uint16_t low = 0;
  std::uint16_t high = 0;
  std::optional<bool> odd;
  /// If given: by 64 ports, not 0 where they are a subscriber's block, and so not to be chosen.
  const std::uint32_t* blocks = nullptr;
};

/// Consecutive free ports.
struct PortRun {
  std::uint16_t first = 0;
  std::uint32_t count = 0;
};

/// What a PortSpace is about; all zero is the beginning.
struct PortMemory {
  /// Of 64 ports, by bit. Both are looked at together, and are near for that.
  struct Word {
    std::uint64_t taken;  ///< somebody has it, or it is withheld
    std::uint64_t withheld;
  };
  std::uint32_t owners[65536];  ///< by port
  Word words[1024];
};

/// Refers to memory of somebody else.
class PortSpace {
 public:
  static constexpr std::uint32_t port_count = 65536;
  static constexpr std::uint32_t word_count = port_count / 64;

  explicit PortSpace(PortMemory& memory) : owners_(memory.owners), words_(memory.words) {}

  [[nodiscard]] auto owner(std::uint16_t port) const -> PortOwner {
    const std::uint32_t owner = owners_[port];
    return (owner & hold_down_mark) != 0 ? PortOwner{.binding = 0, .hold_down = owner & ~hold_down_mark}
                                         : PortOwner{.binding = owner, .hold_down = 0};
  }
  [[nodiscard]] auto is_free(std::uint16_t port) const -> bool {
    return (words_[port / 64U].taken & bit(port)) == 0;
  }

  /// Starts fetching what is known of `port`, for a call soon.
  void prefetch(std::uint16_t port) const {
    __builtin_prefetch(&owners_[port], 1);
    __builtin_prefetch(&words_[port / 64U], 1);
  }

  /// Takes ports out of use. Who has one of them keeps it, and it is free for nobody when he lets it go.
  void withhold(const PortRange& ports);
  /// Puts ports back into use.
  void grant(const PortRange& ports);
  void give_to_binding(std::uint16_t port, std::uint32_t binding) { set(port, binding); }
  void give_to_hold_down(std::uint16_t port, std::uint32_t hold_down) {
    set(port, hold_down | hold_down_mark);
  }
  void release(std::uint16_t port);

  /// A free port within `choice`, unpredictable to whoever doesn't know the random source.
  ///
  /// Cost    one word near always; at worst all 1024 words of the bitmap
  [[nodiscard]] auto pick(const PortChoice& choice, Random& random) const -> std::optional<std::uint16_t>;

  /// `count` consecutive free ports within `choice`, whose parity is the first one's; if there are none,
  /// as many as there are, 0 at worst. Unpredictable as far as there is a choice.
  ///
  /// Cost    twice the bitmap at worst
  [[nodiscard]] auto pick_run(const PortChoice& choice, std::uint32_t count, Random& random) const -> PortRun;

  /// Whether nobody has any of 64 ports, and some of them can be had.
  [[nodiscard]] auto is_word_free(std::uint32_t word) const -> bool {
    return words_[word].taken == words_[word].withheld && words_[word].withheld != ~std::uint64_t{0};
  }

  /// Calls `visit(port, owner)` for each port that somebody has.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (std::uint32_t word = 0; word < word_count; ++word) {
      for (std::uint64_t taken = words_[word].taken; taken != 0; taken &= taken - 1) {
        const auto port =
            static_cast<std::uint16_t>(word * 64 + static_cast<std::uint32_t>(std::countr_zero(taken)));
        if (owners_[port] != 0) visit(port, owner(port));
      }
    }
  }

 private:
  static constexpr std::uint32_t hold_down_mark = 0x80000000U;

  [[nodiscard]] static auto bit(std::uint16_t port) -> std::uint64_t {
    return std::uint64_t{1} << port % 64U;
  }
  void set(std::uint16_t port, std::uint32_t owner) {
    owners_[port] = owner;
    words_[port / 64U].taken |= bit(port);
  }
  /// Free ports of `choice` in word `word`.
  [[nodiscard]] auto free_in_word(std::uint32_t word, const PortChoice& choice) const -> std::uint64_t;

  /// The first run of `count` from choice.low on, or the longest if there is none.
  [[nodiscard]] auto first_run(const PortChoice& choice, std::uint32_t count) const -> PortRun;

  std::uint32_t* owners_;
  PortMemory::Word* words_;
};

}  // namespace portolan::nat
