// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/tokens.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace portolan::management {
namespace {

auto digest_of(std::string_view hex) -> std::optional<io::Sha256> {
  io::Sha256 digest{};
  if (hex.size() != 2 * digest.size()) return {};
  const auto digit = [](char letter) -> int {
    if (letter >= '0' && letter <= '9') return letter - '0';
    if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
    return -1;
  };
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const int high = digit(hex[2 * i]);
    const int low = digit(hex[2 * i + 1]);
    if (high < 0 || low < 0) return {};
    digest[i] = static_cast<std::byte>(high << 4 | low);
  }
  return digest;
}

auto words_of(std::string_view line) -> std::vector<std::string_view> {
  constexpr std::string_view blanks = " \t\r";
  std::vector<std::string_view> words;
  line = line.substr(0, line.find('#'));
  while (true) {
    const std::size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return words;
    line.remove_prefix(begin);
    words.push_back(line.substr(0, line.find_first_of(blanks)));
    line.remove_prefix(words.back().size());
  }
}

auto read_token(const std::vector<std::string_view>& words) -> std::expected<Tokens::Token, std::string> {
  if (words.size() != 3) return std::unexpected("must be a name, \"read\" or \"write\", and a digest");
  if (words[0].size() > Tokens::name_octets_max)
    return std::unexpected(fmt::format("the name is longer than {} octets", Tokens::name_octets_max));
  if (words[1] != "read" && words[1] != "write")
    return std::unexpected(fmt::format("'{}' must be \"read\" or \"write\"", words[1]));
  const auto digest = digest_of(words[2]);
  if (!digest)
    return std::unexpected("the digest must be 64 digits 0-9a-f: printf %s \"$token\" | sha256sum");
  return Tokens::Token{.name = std::string(words[0]),
                       .access = words[1] == "write" ? Command::Access::write : Command::Access::read,
                       .digest = *digest};
}

}  // namespace

auto Tokens::parse(std::string_view text) -> std::expected<Tokens, std::vector<std::string>> {
  Tokens tokens;
  std::vector<std::string> mistakes;
  unsigned number = 0;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    ++number;
    const auto words = words_of(line);
    if (words.empty()) continue;
    auto token = read_token(words);
    if (!token)
      mistakes.push_back(fmt::format("{}: {}", number, token.error()));
    else if (std::ranges::find(tokens.tokens_, token->name, &Token::name) != tokens.tokens_.end())
      mistakes.push_back(fmt::format("{}: '{}' is there twice: give each token a name", number, token->name));
    else if (tokens.tokens_.size() == tokens_max)
      mistakes.push_back(fmt::format("{}: there are more than {} tokens", number, tokens_max));
    else
      tokens.tokens_.push_back(*std::move(token));
  }
  if (!mistakes.empty()) return std::unexpected(std::move(mistakes));
  return tokens;
}

auto Tokens::find(std::string_view secret) const -> const Token* {
  const io::Sha256 digest = io::sha256(secret);
  const Token* found = nullptr;
  for (const Token& token : tokens_)
    if (io::equal_in_constant_time(token.digest, digest)) found = &token;
  return found;
}

auto WrongTokens::note(TimePoint now) -> bool {
  if (count_ == 0 || now - minute_began_ >= std::chrono::minutes(1)) {
    minute_began_ = now;
    count_ = 0;
  }
  if (count_ >= per_minute_max) return false;
  ++count_;
  return true;
}

}  // namespace portolan::management
