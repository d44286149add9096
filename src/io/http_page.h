// SPDX-License-Identifier: BSD-2-Clause
//
// Files of web pages that are built into a program, and what goes with them to the browser.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/http_service.h"

namespace portolan::io {

struct HttpPage {
  /// "/studio.js"; "/index.html" is "/" as well.
  std::string_view path;
  std::string_view content_type;
  std::string_view content;
};

/// Of `pages` the one at `path`, or nullptr.
[[nodiscard]] auto find_page(std::span<const HttpPage> pages, std::string_view path) -> const HttpPage*;

/// Tells the browser that a page asks no other host, runs no scripts but the program's, and is in no frame.
[[nodiscard]] auto page_fields() -> std::vector<std::pair<std::string, std::string>>;

[[nodiscard]] auto reply_of(const HttpPage& page) -> HttpReply;

}  // namespace portolan::io
