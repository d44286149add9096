// SPDX-License-Identifier: BSD-2-Clause
//
// Octets back to a draft: the other way round of `send --draft`.
#pragma once

#include <cstddef>
#include <span>

#include <nlohmann/json_fwd.hpp>

namespace portolan {

/// A draft that composes to exactly `message`, whatever that is: a form's fields as far as they can say it,
/// octets that differ from what they compose to as "set" and "size", and else "raw".
[[nodiscard]] auto draft_of_octets(std::span<const std::byte> message) -> nlohmann::ordered_json;

}  // namespace portolan
