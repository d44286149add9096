// SPDX-License-Identifier: BSD-2-Clause
//
// The pages that build.mjs has made; none if the program was built without them.
#pragma once

#include <span>

#include "io/http_page.h"

namespace portolan::pages {

/// Of `portolan studio`.
[[nodiscard]] auto studio() -> std::span<const io::HttpPage>;
/// Of portoland, for operators.
[[nodiscard]] auto dashboard() -> std::span<const io::HttpPage>;

}  // namespace portolan::pages
