// SPDX-License-Identifier: BSD-2-Clause
//
// What an answer of the server must look like, by its request alone and by the server's table.
#pragma once

#include <optional>
#include <string>

#include "server/contracts.h"
#include "server/test_world.h"
#include "sim/asks.h"

namespace portolan::sim {

/// Whether `answer` says that nothing was done.
[[nodiscard]] auto is_error(const server::Answer& answer) -> bool;

/// What is wrong with the format of `answer` to `ask`, or with what it says of `contracts` as they are
/// right after it, at `now`.
[[nodiscard]] auto wrong_answer(const Ask& ask, const server::Answer& answer,
                                const server::ContractTable& contracts, TimePoint now)
    -> std::optional<std::string>;

}  // namespace portolan::sim
