// SPDX-License-Identifier: BSD-2-Clause
//
// Lines of commands: from somebody at a terminal, or from a script.
#pragma once

#include <filesystem>
#include <istream>
#include <string>
#include <string_view>

#include "portolanctl/session.h"

namespace portolan::ctl {

/// Where mistakes and refusals are told.
class Reporter {
 public:
  Reporter(bool has_colours, std::string prefix) : has_colours_(has_colours), prefix_(std::move(prefix)) {}

  /// `above`: lines that come before.
  void tell(std::string_view text, std::string_view above = "") const;
  void tell_as_json(std::string_view text) const;

 private:
  bool has_colours_;
  std::string prefix_;
};

/// Carries out one line.
struct LineResult {
  int status = exit_done;
  bool is_exit = false;
};
[[nodiscard]] auto run_line(const Catalogue& catalogue, Session& session, std::string_view line,
                            const Reporter& reporter) -> LineResult;

/// Tells of a mistake, or of what went wrong; returns the exit status.
auto conclude(const std::expected<Outcome, Mistake>& result, std::string_view line,
              std::span<const Word> words, bool is_json, const Reporter& reporter) -> int;

/// A shell, until exit or the end of input.
[[nodiscard]] auto run_shell(const Catalogue& catalogue, Session& session, const std::string& server,
                             const std::filesystem::path& history, const Reporter& reporter) -> int;

/// Commands of `script`, until the first that fails.
[[nodiscard]] auto run_script(const Catalogue& catalogue, Session& session, std::istream& script,
                              bool has_colours) -> int;

}  // namespace portolan::ctl
