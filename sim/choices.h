// SPDX-License-Identifier: BSD-2-Clause
//
// Where a run's decisions come from: a seed for the simulator, an input for the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/random.h"

namespace portolan::sim {

class Choices {
 public:
  virtual ~Choices() = default;
  /// A number in [0, bound); bound > 0.
  virtual auto below(std::uint64_t bound) -> std::uint64_t = 0;

  auto one_in(std::uint64_t bound) -> bool { return below(bound) == 0; }
};

class SeededChoices final : public Choices {
 public:
  explicit SeededChoices(std::uint64_t seed) : random_(seed) {}
  auto below(std::uint64_t bound) -> std::uint64_t override { return random_.below(bound); }

 private:
  SeededRandom random_;
};

/// Octets read as decisions, one for a bound up to 256, else two; 0 when they are used up.
class ScriptedChoices final : public Choices {
 public:
  explicit ScriptedChoices(std::span<const std::byte> script) : script_(script) {}
  auto below(std::uint64_t bound) -> std::uint64_t override {
    std::uint64_t value = octet();
    if (bound > 256) value = value << 8U | octet();
    return value % bound;
  }
  [[nodiscard]] auto is_used_up() const -> bool { return script_.empty(); }

 private:
  auto octet() -> std::uint64_t {
    if (script_.empty()) return 0;
    const auto first = std::to_integer<std::uint64_t>(script_.front());
    script_ = script_.subspan(1);
    return first;
  }
  std::span<const std::byte> script_;
};

}  // namespace portolan::sim
