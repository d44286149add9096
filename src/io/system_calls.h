// SPDX-License-Identifier: BSD-2-Clause
//
// Which system calls this process may make, by a filter in the kernel (seccomp). Lists are of what daemons
// use once they run; what starting takes comes before.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace portolan::io {

/// What the kernel does with a call that is not on the list.
enum class UnexpectedCalls : std::uint8_t {
  refuse,  ///< it fails (EPERM), and whoever made it says so
  kill,    ///< the process ends by SIGSYS
  allow,   ///< there is no filter
};

/// What a daemon does beside serving sockets, a TUN and netlink, which all may.
struct SystemCallNeeds {
  bool keeps_store = false;    ///< writes files that have to outlive a power cut
  bool runs_programs = false;  ///< nft(8), under the same filter
};

/// Filters the calls of all threads there are, and of all that will be. NoNewPrivs has to be set.
/// Errors  text: a kernel without seccomp
[[nodiscard]] auto limit_system_calls(const SystemCallNeeds& needs, UnexpectedCalls unexpected)
    -> std::expected<void, std::string>;

}  // namespace portolan::io
