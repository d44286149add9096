// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/lease_text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <expected>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace portolan::discovery {
namespace {

/// Of one statement: "option", a name, a value, and what it may have more.
constexpr std::size_t words_max = 8;

struct Word {
  std::string text;
  bool is_quoted = false;
};

/// The words up to the next ';', '{' or '}', which is `end`; '\0' at the end of the text.
struct Statement {
  std::vector<Word> words;
  char end = '\0';
  std::size_t line = 1;

  [[nodiscard]] auto is(std::size_t index, std::string_view text) const -> bool {
    return index < words.size() && words[index].text == text;
  }
};

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  auto next() -> Statement {
    Statement statement;
    while (position_ < text_.size()) {
      const char character = text_[position_];
      if (character == ' ' || character == '\t' || character == '\r' || character == '\n') {
        advance();
      } else if (character == '#') {
        while (position_ < text_.size() && text_[position_] != '\n') advance();
      } else if (character == ';' || character == '{' || character == '}') {
        advance();
        statement.end = character;
        break;
      } else {
        if (statement.words.empty()) statement.line = line_;
        Word word = character == '"' ? quoted() : bare();
        if (statement.words.size() < words_max) statement.words.push_back(std::move(word));
      }
    }
    return statement;
  }

 private:
  void advance() {
    if (text_[position_] == '\n') ++line_;
    ++position_;
  }

  auto bare() -> Word {
    Word word;
    while (position_ < text_.size() &&
           std::string_view(" \t\r\n;{}\"").find(text_[position_]) == std::string_view::npos) {
      word.text.push_back(text_[position_]);
      advance();
    }
    return word;
  }

  auto quoted() -> Word {
    Word word{.text = {}, .is_quoted = true};
    advance();
    while (position_ < text_.size() && text_[position_] != '"') {
      if (text_[position_] == '\\' && position_ + 1 < text_.size()) {
        advance();
        word.text.push_back(escaped());
      } else {
        word.text.push_back(text_[position_]);
        advance();
      }
    }
    if (position_ < text_.size()) advance();
    return word;
  }

  /// Behind a backslash: up to three octal digits, or any character.
  auto escaped() -> char {
    unsigned value = 0;
    std::size_t digits = 0;
    while (digits < 3 && position_ < text_.size() && text_[position_] >= '0' && text_[position_] <= '7') {
      value = value * 8 + static_cast<unsigned>(text_[position_] - '0');
      advance();
      ++digits;
    }
    if (digits > 0) return static_cast<char>(static_cast<unsigned char>(value));
    const char character = text_[position_];
    advance();
    return character;
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
};

/// "4:c0:0:2:1", each octet of one or two digits.
auto parse_colon_hex(std::string_view text) -> std::optional<std::vector<std::byte>> {
  std::vector<std::byte> octets;
  const char* place = text.data();
  const char* const end = place + text.size();
  while (true) {
    std::uint8_t octet = 0;
    const auto [stop, error] = std::from_chars(place, std::min(place + 2, end), octet, 16);
    if (error != std::errc{}) return {};
    octets.push_back(std::byte{octet});
    if (stop == end) return octets;
    if (*stop != ':') return {};
    place = stop + 1;
  }
}

/// "04c0000201".
auto parse_hex(std::string_view text) -> std::optional<std::vector<std::byte>> {
  if (text.size() % 2 != 0) return {};
  std::vector<std::byte> octets;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    std::uint8_t octet = 0;
    const char* const start = text.data() + i;
    const auto [stop, error] = std::from_chars(start, start + 2, octet, 16);
    if (error != std::errc{} || stop != start + 2) return {};
    octets.push_back(std::byte{octet});
  }
  return octets;
}

auto octets_of(const Word& word) -> std::optional<std::vector<std::byte>> {
  if (!word.is_quoted) return parse_colon_hex(word.text);
  const auto octets = std::as_bytes(std::span(word.text));
  return std::vector<std::byte>(octets.begin(), octets.end());
}

void note(LeaseFile& file, std::string problem) {
  if (file.problems.size() < leases_max) file.problems.push_back(std::move(problem));
}

enum class Option : std::uint8_t { none, servers4, server6 };

auto option_of(const Statement& statement) -> Option {
  if (statement.words.size() < 3 || !statement.is(0, "option")) return Option::none;
  const std::string& name = statement.words[1].text;
  if (name == "unknown-158" || name == "pcp-server" || name == "pcp-servers") return Option::servers4;
  if (name == "dhcp6.unknown-86" || name == "dhcp6.pcp-server" || name == "dhcp6.pcp-servers")
    return Option::server6;
  return Option::none;
}

void take_option(const Statement& statement, Lease& lease, LeaseFile& file) {
  const Option option = option_of(statement);
  if (option == Option::none) return;
  const auto fail = [&](std::string_view why) {
    note(file, fmt::format("line {}: option {}: {}", statement.line, statement.words[1].text, why));
  };
  const auto octets = octets_of(statement.words[2]);
  if (!octets) return fail("the value is neither octets such as 4:c0:0:2:1 nor a string");
  if (option == Option::servers4) {
    auto servers = parse_dhcp4_servers(*octets);
    if (!servers) return fail(to_string(servers.error()));
    lease.servers = std::move(*servers);
  } else {
    auto server = parse_dhcp6_server(*octets);
    if (!server) return fail(to_string(server.error()));
    if (lease.servers.size() < servers_max) lease.servers.push_back(std::move(*server));
  }
}

void take_statement(const Statement& statement, Lease& lease, LeaseFile& file) {
  if (statement.is(0, "interface") && statement.words.size() > 1) lease.interface = statement.words[1].text;
  const bool names_address = statement.is(0, "fixed-address") || statement.is(0, "iaaddr");
  if (names_address && statement.words.size() > 1 && lease.addresses.size() < server_addresses_max) {
    if (const auto address = IpAddress::parse(statement.words[1].text)) lease.addresses.push_back(*address);
  }
  take_option(statement, lease, file);
}

/// The file is a log: what comes later is true.
void replace_or_add(Lease lease, bool is_ipv6, std::vector<std::pair<bool, Lease>>& leases) {
  const auto known = std::ranges::find_if(leases, [&](const auto& entry) {
    return entry.first == is_ipv6 && entry.second.interface == lease.interface;
  });
  if (known != leases.end())
    known->second = std::move(lease);
  else if (leases.size() < leases_max)
    leases.emplace_back(is_ipv6, std::move(lease));
}

}  // namespace

auto parse_dhclient_leases(std::string_view text) -> LeaseFile {
  LeaseFile file;
  std::vector<std::pair<bool, Lease>> leases;
  Scanner scanner(text);
  std::optional<Lease> lease;
  bool is_ipv6 = false;
  std::size_t depth = 0;
  while (true) {
    const Statement statement = scanner.next();
    if (depth == 0 && statement.end == '{' && (statement.is(0, "lease") || statement.is(0, "lease6"))) {
      lease.emplace();
      is_ipv6 = statement.is(0, "lease6");
    } else if (lease) {
      take_statement(statement, *lease, file);
    }
    if (statement.end == '{') ++depth;
    if (statement.end == '}' && depth > 0) --depth;
    if (statement.end == '}' && depth == 0 && lease) {
      replace_or_add(std::move(*lease), is_ipv6, leases);
      lease.reset();
    }
    if (statement.end == '\0') break;
  }
  if (lease) note(file, "the last lease is cut");
  for (auto& [ignored, each] : leases) file.leases.push_back(std::move(each));
  return file;
}

auto parse_networkd_lease(std::string_view text) -> LeaseFile {
  constexpr std::string_view option_key = "OPTION_158=";
  constexpr std::string_view address_key = "ADDRESS=";
  LeaseFile file;
  Lease lease;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const std::string_view entry = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), entry.size() + 1));
    if (entry.starts_with(address_key)) {
      if (const auto address = IpAddress::parse(entry.substr(address_key.size())))
        lease.addresses.assign(1, *address);
    }
    if (!entry.starts_with(option_key)) continue;
    const auto octets = parse_hex(entry.substr(option_key.size()));
    auto servers = octets ? parse_dhcp4_servers(*octets) : std::unexpected(DhcpError::bad_length);
    if (servers)
      lease.servers = std::move(*servers);
    else
      note(file, fmt::format("line {}: OPTION_158: {}", line, to_string(servers.error())));
  }
  file.leases.push_back(std::move(lease));
  return file;
}

}  // namespace portolan::discovery
