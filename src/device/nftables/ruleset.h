// SPDX-License-Identifier: BSD-2-Clause
//
// The tables' text files, which are compiled in, with what the operator has set in place of their $names.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "device/nftables/settings.h"

namespace portolan::device {

/// nat44.nft and firewall6.nft as they are in the source tree.
extern const std::string_view nat44_text;
extern const std::string_view firewall6_text;

/// How long an established TCP connection without packets stays: the kernel's own five days would make a
/// mapping of its socket live as long (RFC 5382 REQ-5).
inline constexpr Seconds tcp_idle{7440};

inline constexpr std::string_view nat44_table = "portolan_nat44";
inline constexpr std::string_view firewall6_table = "portolan_firewall6";

/// What nft(8) loads, and how it treats a table of that name that is there.
struct Ruleset {
  std::string keeping_elements;  ///< fails if that one's sets are of another kind
  std::string anew;
};

/// `pool` may be empty: then nothing leaves.
[[nodiscard]] auto ruleset(const Nat44Settings& settings, const std::vector<Ipv4Address>& pool) -> Ruleset;
[[nodiscard]] auto ruleset(const Firewall6Settings& settings) -> Ruleset;

/// `text` with values in place of its $names. Every one has a value
[[nodiscard]] auto filled_in(std::string_view text, const std::map<std::string, std::string>& values)
    -> std::string;

}  // namespace portolan::device
