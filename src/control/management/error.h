// SPDX-License-Identifier: BSD-2-Clause
//
// What the management API says when it does not do what it is asked: always JSON, with a code that stays the
// same from version to version.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/http_service.h"
#include "server/management.h"

namespace portolan::management {

struct ErrorCode {
  std::string_view code;
  unsigned status = 400;
  /// For the documentation.
  std::string_view meaning;
};

struct Error {
  std::string_view code;  ///< one of error_codes()
  std::string message;
  /// Parameter or header field that it is about; empty: none.
  std::string field{};
  std::string remedy;
};

/// All there are, by status.
[[nodiscard]] auto error_codes() -> std::span<const ErrorCode>;
[[nodiscard]] auto status_of(std::string_view code) -> unsigned;

[[nodiscard]] auto error_of(const server::Failure& failure) -> Error;
[[nodiscard]] auto error_of(io::HttpProblem problem, const io::HttpLimits& limits) -> Error;

/// {"error": {"code": ..., "message": ..., "field": ..., "remedy": ...}}
[[nodiscard]] auto reply_of(const Error& error) -> io::HttpReply;

}  // namespace portolan::management
