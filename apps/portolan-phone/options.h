// SPDX-License-Identifier: BSD-2-Clause
//
// What portolan-phone is told, on the command line or in its file.
#pragma once

#include <expected>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "base/time.h"
#include "sip/agent/phone.h"

namespace portolan::phone {

inline constexpr int exit_success = 0;
inline constexpr int exit_refused = 1;  ///< a call did not come about, or the registration
inline constexpr int exit_usage = 2;
inline constexpr int exit_system = 3;

struct Options {
  sip::PhoneConfig phone;
  /// A call to make; or calls to answer; or neither: a person tells.
  std::string call;
  bool answers = false;
  /// Calls after which answering ends, or calls to make one after the other; 0: no end of answering, one to
  /// make.
  unsigned call_count = 0;
  std::filesystem::path play;
  double tone_hz = 0;
  /// ALSA's name of the card that is spoken into and heard from; empty: none.
  std::string sound_card = {};
  std::filesystem::path record;
  /// Of each call; nothing: until the other side ends it.
  std::optional<Milliseconds> duration;
  /// For an answer to a call, and for the registration.
  Milliseconds wait{30000};
  std::string digits;
  bool is_json = false;
  /// On standard error.
  bool is_traced = false;
  /// Into a capture file; empty: not.
  std::filesystem::path trace_file;
};

/// What to print in place of running.
struct Exit {
  int status = exit_success;
  std::string text;
};

/// In  arguments: without the program's name
[[nodiscard]] auto parse_command_line(std::span<const char* const> arguments) -> std::expected<Options, Exit>;

}  // namespace portolan::phone
