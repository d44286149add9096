// SPDX-License-Identifier: BSD-2-Clause
//
// The command line of `portolan send` and `portolan decode`.
#pragma once

#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "portolan/options.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name.
class App;
}

namespace portolan {

/// What `send` may repeat, and how fast.
constexpr std::uint32_t repeat_max = 1'000'000;
constexpr std::uint32_t rate_max = 100'000;

/// Adds the options of `send`; they fill `command` while they are parsed.
void add_send(CLI::App& app, SendCommand& command);
/// Mistakes that take two arguments to make; `app` knows which were given. Throws CLI::ValidationError
void check_combination(const CLI::App& app, const SendCommand& command);

void add_decode(CLI::App& app, DecodeCommand& command);
void check_combination(const DecodeCommand& command);

/// The arguments that a JSON object stands for: {"opcode": "map", "internal-port": 80, "prefer-failure":
/// true, "option": ["200", "128:63616d"]} is map --internal-port 80 --prefer-failure --option 200 --option
/// 128:63616d, in the object's order. A member "options" has such objects of one member each, for options of
/// several kinds in their order. Errors  text: no object, or a value that no option takes
[[nodiscard]] auto arguments_of_json(std::string_view text)
    -> std::expected<std::vector<std::string>, std::string>;

/// Octets of a draft's text.
constexpr std::size_t draft_text_max = 1U << 20U;

/// The arguments behind `send`, with those of the file that --draft names in its place. Errors  text: the
/// file cannot be read, or is no draft
[[nodiscard]] auto with_draft(std::vector<std::string> words)
    -> std::expected<std::vector<std::string>, std::string>;

}  // namespace portolan
