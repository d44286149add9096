// SPDX-License-Identifier: BSD-2-Clause
//
// Who may use the management API over TCP: bearer tokens, of which only digests are kept.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "control/management/schema/schema.h"
#include "io/secrets.h"

namespace portolan::management {

class Tokens {
 public:
  static constexpr std::size_t tokens_max = 1000;
  static constexpr std::size_t name_octets_max = 64;

  struct Token {
    std::string name;
    Command::Access access = Command::Access::read;
    io::Sha256 digest{};
  };

  Tokens() = default;
  /// Reads lines "NAME read|write SHA256", the digest in hexadecimal; empty ones and those with '#' count
  /// not. Errors  all mistakes, each "LINE: what is wrong; what to do"
  [[nodiscard]] static auto parse(std::string_view text) -> std::expected<Tokens, std::vector<std::string>>;

  /// The token with this secret. Cost: the same whichever it is, and if there is none
  [[nodiscard]] auto find(std::string_view secret) const -> const Token*;
  [[nodiscard]] auto size() const -> std::size_t { return tokens_.size(); }

 private:
  std::vector<Token> tokens_;
};

/// Counts wrong tokens, so that guessing and a misconfigured client are slowed down. Right ones are never
/// refused.
class WrongTokens {
 public:
  static constexpr unsigned per_minute_max = 30;

  /// Notes one at `now`; false if there are too many.
  [[nodiscard]] auto note(TimePoint now) -> bool;

 private:
  TimePoint minute_began_{};
  unsigned count_ = 0;
};

}  // namespace portolan::management
