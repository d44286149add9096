// SPDX-License-Identifier: BSD-2-Clause
//
// A file of steps: packets to send, what is expected of the answers, and what of them later packets need.
// JSON, or TOML with the same members; docs/man/portolan-send.1 has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/time.h"

namespace portolan {

/// What one field of an answer is to be.
struct ExpectedField {
  struct Range {
    std::uint64_t least = 0;
    std::uint64_t most = 0;
    auto operator==(const Range&) const -> bool = default;
  };
  /// As field_key() has it; "options" for their names in order, "octets" for all of the answer.
  std::string key;
  /// Of "options" a list with commas.
  std::variant<std::string, Range> value;
  auto operator==(const ExpectedField&) const -> bool = default;
};

struct Step {
  enum class Answer : std::uint8_t {
    any,       ///< or none
    expected,  ///< the fields say which
    nothing,   ///< none may come
  };
  std::string name;
  /// A JSON object as `send --draft` takes it, with variables; empty: it only listens.
  std::string draft;
  Answer answer = Answer::any;
  std::vector<ExpectedField> fields;
  /// Variable and the field of the answer it is for.
  std::vector<std::pair<std::string, std::string>> saved;
  /// Before it is sent.
  Seconds wait{0};
  /// For an answer. Unless given, for one that is expected as long as the command waits; else step_timeout.
  std::optional<Seconds> timeout;
};

struct Sequence {
  std::string name;
  std::string about;
  /// What must be so before: for people.
  std::string before;
  std::vector<Step> steps;
};

/// Octets of a file.
constexpr std::size_t sequence_octets_max = std::size_t{1} << 20U;
constexpr std::size_t sequence_steps_max = 256;
/// Expected fields of a step, and variables that it saves.
constexpr std::size_t step_members_max = 64;
constexpr Seconds step_wait_max{3600};
/// How long no answer is waited for.
constexpr Seconds step_timeout{3};

/// Errors  text: which member is wrong, in which step, and the remedy
[[nodiscard]] auto read_sequence(std::string_view json) -> std::expected<Sequence, std::string>;
/// The JSON that says the same. Errors  "line 3: what is wrong"
[[nodiscard]] auto json_of_toml(std::string_view toml) -> std::expected<std::string, std::string>;
/// As read_sequence(), of TOML.
[[nodiscard]] auto read_toml_sequence(std::string_view toml) -> std::expected<Sequence, std::string>;
/// The word that stands for all of them where a name is wanted.
constexpr std::string_view sequence_list_word = "list";
/// Reads a file, TOML if it is called so; a name without dot and slash is one of built_in_sequences().
/// Errors  "FILE: what is wrong"
[[nodiscard]] auto load_sequence(const std::string& file) -> std::expected<Sequence, std::string>;

/// Names and TOML of the sequences that come with the program, by name.
[[nodiscard]] auto built_in_sequences() -> std::span<const std::pair<std::string_view, std::string_view>>;

/// "Assigned External IP Address" to "assigned-external-ip-address".
[[nodiscard]] auto field_key(std::string_view field_name) -> std::string;
/// What differs between `datagram` and what was expected: a sentence for each field.
[[nodiscard]] auto differences(std::span<const ExpectedField> expected, std::span<const std::byte> datagram)
    -> std::vector<std::string>;
/// The value of a field as a variable takes it: without unit and explanation; nothing if there is no such
/// field.
[[nodiscard]] auto value_of(std::string_view key, std::span<const std::byte> datagram) -> std::string;

}  // namespace portolan
