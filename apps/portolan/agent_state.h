// SPDX-License-Identifier: BSD-2-Clause
//
// What an agent remembers over a restart and a reboot: which mappings were asked for over its socket, and
// what each server granted, with the nonce that the server lets renew it (RFC 6887 s11.2). And the words of
// its socket, which are the same objects: one JSON object a line.
#pragma once

#include <cstddef>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "client/client.h"
#include "client/wish.h"

namespace portolan {

/// A larger state file is not read, and a longer line of the socket is refused.
inline constexpr std::size_t agent_state_octets_max = 4194304;
inline constexpr std::size_t agent_line_octets_max = 8192;

struct StoredMapping {
  client::Wish wish;
  bool is_asked = false;  ///< over the socket; else by the configuration file
  std::vector<client::Held> held;
  /// What servers were asked with, whether they granted it or not. Left out for who only looks: then those of
  /// `held` are zero.
  client::Nonces nonces;
};

/// Times are told by the wall clock, the only one that goes on over a reboot.
[[nodiscard]] auto encode_state(const std::vector<StoredMapping>& mappings, TimePoint now,
                                Nanoseconds wall_now) -> std::string;
/// Errors  what is wrong, with its place
[[nodiscard]] auto parse_state(std::string_view text, TimePoint now, Nanoseconds wall_now)
    -> std::expected<std::vector<StoredMapping>, std::string>;

/// What is asked of an agent.
struct AgentRequest {
  enum class Kind : std::uint8_t { list, add, drop };
  Kind kind = Kind::list;
  client::Wish wish = {};  ///< of drop, what key_of() names
};
/// Whether an agent can be asked for the wish: its words have no port sets.
[[nodiscard]] auto is_for_agent(const client::Wish& wish) -> bool;
[[nodiscard]] auto encode_request(const AgentRequest& request) -> std::string;
/// Errors  what is wrong, for who asks
[[nodiscard]] auto parse_request(std::string_view line) -> std::expected<AgentRequest, std::string>;

/// One line of an answer: a mapping, the end, or the end by an error.
struct AgentReply {
  std::optional<StoredMapping> mapping = {};
  std::string error = {};
};
[[nodiscard]] auto encode_reply(const AgentReply& reply, TimePoint now) -> std::string;
[[nodiscard]] auto parse_reply(std::string_view line, TimePoint now)
    -> std::expected<AgentReply, std::string>;

}  // namespace portolan
