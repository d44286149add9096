// SPDX-License-Identifier: BSD-2-Clause
//
// What a doctor and its helper say to each other, each to a stranger. Properties: in which pieces octets come
// makes no difference; what is understood is said again in the same words, and can be shown on a terminal.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/check.h"
#include "portolan/doctor_knock.h"

namespace portolan::doctor {
namespace {

void check_request(const std::string& line) {
  const auto request = parse_request(line);
  if (!request) return;
  const std::string said = to_line(*request);
  PORTOLAN_CHECK(said.size() <= line_max && said.ends_with('\n'));
  PORTOLAN_CHECK(parse_request(said.substr(0, said.size() - 1)) == request);
}

void check_answer(const std::string& line) {
  const auto answer = parse_answer(line);
  if (!answer) return;
  const std::string said = to_line(*answer);
  PORTOLAN_CHECK(said.size() <= line_max && said.ends_with('\n'));
  const auto again = parse_answer(said.substr(0, said.size() - 1));
  PORTOLAN_CHECK(again && again->seen_from == answer->seen_from &&
                 again->failure.has_value() == answer->failure.has_value());
  if (!answer->failure) return;
  PORTOLAN_CHECK(answer->failure->starts_with(*again->failure));
  PORTOLAN_CHECK(
      std::ranges::all_of(*answer->failure, [](char letter) { return ' ' <= letter && letter <= '~'; }));
}

/// The first line, octet by octet.
auto line_in_pieces(std::span<const std::byte> octets) -> std::optional<std::string> {
  LineReader reader;
  for (std::size_t i = 0; i < octets.size(); ++i)
    if (const auto line = reader.take(octets.subspan(i, 1))) return line;
  return {};
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto octets = std::as_bytes(std::span(data, size));
  LineReader reader;
  const auto line = reader.take(octets);
  PORTOLAN_CHECK(line == line_in_pieces(octets));
  if (!line) return 0;
  PORTOLAN_CHECK(line->size() <= line_max);
  check_request(*line);
  check_answer(*line);
  return 0;
}

}  // namespace portolan::doctor
