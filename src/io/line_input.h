// SPDX-License-Identifier: BSD-2-Clause
//
// Lines of a descriptor that becomes readable now and then: a terminal, a pipe.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace portolan::io {

inline constexpr int standard_input = 0;

class LineInput {
 public:
  /// Octets of a line; what is longer comes in pieces.
  static constexpr std::size_t line_octets_max = 4096;

  /// `descriptor` is borrowed.
  explicit LineInput(int descriptor) : descriptor_(descriptor) {}

  /// Takes what is there, once; the lines that are whole by it, without their ends. At the end of the input
  /// that is the rest too.
  [[nodiscard]] auto read() -> std::vector<std::string>;
  [[nodiscard]] auto is_ended() const -> bool { return is_ended_; }

 private:
  int descriptor_;
  std::string rest_;
  bool is_ended_ = false;
};

}  // namespace portolan::io
