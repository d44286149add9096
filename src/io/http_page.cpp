// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_page.h"

#include <algorithm>

namespace portolan::io {

auto find_page(std::span<const HttpPage> pages, std::string_view path) -> const HttpPage* {
  const auto found = std::ranges::find(pages, path == "/" ? "/index.html" : path, &HttpPage::path);
  return found == pages.end() ? nullptr : &*found;
}

auto page_fields() -> std::vector<std::pair<std::string, std::string>> {
  return {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
}

auto reply_of(const HttpPage& page) -> HttpReply {
  return {.status = 200,
          .content_type = std::string(page.content_type),
          .fields = page_fields(),
          .body = std::string(page.content),
          .stream = {}};
}

}  // namespace portolan::io
