// SPDX-License-Identifier: BSD-2-Clause
//
// Between commands and the API's JSON: what is asked for, and what comes back, as texts.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http_client.h"
#include "portolanctl/command_line.h"

namespace portolan::ctl {

/// The request for a command with these arguments.
[[nodiscard]] auto request_of(const Command& command, const Arguments& arguments) -> io::HttpRequest;

/// A JSON object as names and texts: numbers and true or false as they are, elements of lists with ", "
/// between them. Texts are the server's own, not yet fit for a terminal.
struct Row {
  std::vector<std::pair<std::string, std::string>> members;

  /// nullptr if it is not there.
  [[nodiscard]] auto find(std::string_view name) const -> const std::string*;
};
[[nodiscard]] auto read_row(std::string_view json) -> std::expected<Row, std::string>;

/// The JSON again, on one line, with nothing in it that is not printable ASCII.
[[nodiscard]] auto plain_json(std::string_view json) -> std::expected<std::string, std::string>;

/// What a server that refuses says, and what may be done about it.
[[nodiscard]] auto refusal_text(unsigned status, std::string_view body) -> std::string;

/// Cuts a stream into lines.
class Lines {
 public:
  static constexpr std::size_t octets_max = std::size_t{1} << 20U;

  void add(std::string_view octets) { waiting_ += octets; }
  /// The next line that is complete.
  [[nodiscard]] auto next() -> std::optional<std::string>;
  /// A line has no end within octets_max.
  [[nodiscard]] auto is_too_long() const -> bool { return waiting_.size() - begin_ > octets_max; }
  /// What is left has no end of line.
  [[nodiscard]] auto rest() const -> std::string_view { return std::string_view(waiting_).substr(begin_); }

 private:
  std::string waiting_;
  std::size_t begin_ = 0;
};

}  // namespace portolan::ctl
