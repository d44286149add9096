// SPDX-License-Identifier: BSD-2-Clause
//
// What TAB and '?' do while a command is typed.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/terminal/line_editor.h"
#include "portolanctl/command_line.h"

namespace portolan::ctl {

/// Values that a parameter may have at the server, of those that begin with `partial`. May be empty.
using ValueSource = std::function<std::vector<std::string>(const Parameter& parameter, const Expected& place,
                                                           std::string_view partial)>;

class Completion {
 public:
  /// Most choices that are shown.
  static constexpr std::size_t choices_max = 100;

  Completion(const Catalogue& catalogue, std::vector<Parameter> common, ValueSource values);

  [[nodiscard]] auto complete(std::string_view before, std::size_t columns) const -> io::LineCompletion;
  /// Whole words that may stand at the end of `before`, instead of the one begun there.
  [[nodiscard]] auto whole_words(std::string_view before) const -> std::vector<std::string>;
  /// Help on what may come at the end of `before`; none within quotes.
  [[nodiscard]] auto explain(std::string_view before, std::size_t columns) const
      -> std::optional<std::string>;

 private:
  struct Candidate {
    std::string text;
    std::string summary;
  };
  /// The words before the one that is typed, and what is there of it.
  struct Place {
    std::vector<Word> words;
    std::size_t begin = 0;  ///< of the octets that are completed
    std::string named;      ///< before them in the same word: "--user="
    std::string partial;
    bool is_open = false;
  };

  static auto place_of(std::string_view before) -> Place;
  auto found_at(Place place) const -> std::vector<Candidate>;
  auto candidates(const Place& place, const Expected& expected) const -> std::vector<Candidate>;
  void add_values(const Parameter& parameter, const Expected& expected, std::string_view partial,
                  std::vector<Candidate>& candidates) const;
  static auto listing(const std::vector<Candidate>& candidates, std::size_t columns) -> std::string;

  const Catalogue& catalogue_;
  std::vector<Parameter> common_;
  ValueSource values_;
};

/// The listing that tells which values a parameter has at the server: it may be asked for some, or has at
/// least a column of them.
[[nodiscard]] auto listing_of(const Catalogue& catalogue, std::string_view name) -> const Command*;

/// The smallest prefix that all addresses beginning with the text are in, if there is one below /0:
/// "2001:db8:1" has 2001:db8::/32.
[[nodiscard]] auto prefix_of_partial(std::string_view text) -> std::string;

}  // namespace portolan::ctl
