// SPDX-License-Identifier: BSD-2-Clause
//
// Messages of what a command line or a draft says, and a word for what was answered.
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "portolan/options.h"

namespace portolan {

/// The octets that `command` is about, as sent from `source`; `random` makes the nonce that it does not give.
/// Errors  text: what is too large
[[nodiscard]] auto message_of(const SendCommand& command, const IpAddress& source, Random& random)
    -> std::expected<std::vector<std::byte>, std::string>;

/// "MAP SUCCESS", "NAT-PMP Success"; "not understood" of what is no answer.
[[nodiscard]] auto answer_word(std::span<const std::byte> datagram) -> std::string;
/// Whether `datagram` is an answer of success.
[[nodiscard]] auto is_success(std::span<const std::byte> datagram) -> bool;

}  // namespace portolan
