// SPDX-License-Identifier: BSD-2-Clause
//
// Blocks of ports that are given to a subscriber as a whole, for all protocols (RFC 6888 s5 REQ-14), so that
// one log record tells whose a port was. A block of which no port is in use waits as long as a port does
// before it is taken back (RFC 6888 s3 REQ-8).
#pragma once

#include <cstdint>
#include <optional>

#include "base/lazy_array.h"
#include "base/port_range.h"
#include "base/random.h"
#include "base/time.h"
#include "nat/config.h"
#include "nat/pool.h"
#include "nat/subscribers.h"

namespace portolan::nat {

struct PortBlock {
  std::uint32_t subscriber;
  std::uint32_t next;  ///< of the same subscriber
  std::uint32_t used;  ///< ports of all protocols, those in hold-down too
  std::uint32_t previous_idle;
  std::uint32_t next_idle;
  std::int64_t until;  ///< if it is idle
  std::uint16_t pool_index;
  std::uint16_t first_word;  ///< in units of 64 ports
  std::uint16_t words;
  bool is_idle;

  [[nodiscard]] auto ports() const -> PortRange {
    return {.first = Port{static_cast<std::uint16_t>(first_word * 64U)},
            .last = Port{static_cast<std::uint16_t>((first_word + words) * 64U - 1U)}};
  }
};

class PortBlocks {
 public:
  explicit PortBlocks(const Config& config);

  /// Gives `subscriber` another block of `words` times 64 ports within `range`, of which nobody has any.
  /// Returns its number, 0 if there is none.
  ///
  /// Cost    O(ports / 64) at worst
  [[nodiscard]] auto claim(std::uint32_t subscriber, Pool& pool, std::uint16_t pool_index,
                           std::uint16_t words, const PortRange& range, Subscribers& subscribers,
                           Random& random) -> std::uint32_t;
  /// Takes back a block of which no port is in use.
  void release(std::uint32_t number, Pool& pool, Subscribers& subscribers);

  /// A port of `number` was given to somebody, or let go.
  void use(std::uint32_t number);
  void let_go(std::uint32_t number, TimePoint now);

  /// A block that has been idle for long enough.
  [[nodiscard]] auto due(TimePoint now) const -> std::uint32_t;
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  [[nodiscard]] auto operator[](std::uint32_t number) const -> const PortBlock& { return blocks_[number]; }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }
  [[nodiscard]] auto maximum() const -> std::uint32_t { return numbers_.maximum(); }

 private:
  void rest(std::uint32_t number, TimePoint until);
  void wake(std::uint32_t number);

  Seconds hold_down_;
  Numbers numbers_;
  LazyArray<PortBlock> blocks_;
  std::uint32_t oldest_idle_ = 0;
  std::uint32_t newest_idle_ = 0;
};

}  // namespace portolan::nat
