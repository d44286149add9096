// SPDX-License-Identifier: BSD-2-Clause
//
// Messages as somebody composes them, well-formed or deliberately not: a request laid out as its RFC says,
// options in the order wanted, then octets changed by hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"
#include "base/random.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"

namespace portolan::wire {

/// An option as it is to stand in a message; its padding follows by itself.
struct DraftOption {
  OptionCode code{};
  std::vector<std::byte> data{};
  /// What the length field says, if not what is true.
  std::optional<std::uint16_t> claimed_length{};
};

/// Replaces octets from `offset` on. Behind the end it makes the message longer, with zeros between.
struct Edit {
  std::size_t offset = 0;
  std::vector<std::byte> octets{};
};

struct Draft {
  /// A PCP request of any version and opcode, a NAT-PMP request, or just octets.
  struct Pcp {
    std::uint8_t version = version_2;
    /// 7 bits.
    std::uint8_t opcode = 0;
    std::uint32_t requested_lifetime_s = 0;
    IpAddress client_address{};
    /// What MAP and PEER have behind the header; opcodes above 2 have nothing there.
    PeerRequest body{};
    std::vector<DraftOption> options{};
  };
  std::variant<Pcp, nat_pmp::Request, std::vector<std::byte>> content;
  std::vector<Edit> edits{};
  /// The message is cut or filled up with zeros to this many octets, after the edits.
  std::optional<std::size_t> size{};
};

/// Octets that UDP carries over IPv4: no draft becomes larger.
constexpr std::size_t draft_octets_max = 65'507;
/// Options of one draft.
constexpr std::size_t draft_options_max = 256;

/// The octets of `draft`. Spec  RFC 6887 s7; without a nonce in version 1. Limits of messages and options are
/// the receiver's to check. Errors  text that names what is too large
[[nodiscard]] auto compose(const Draft& draft) -> std::expected<std::vector<std::byte>, std::string>;

/// Changes one to eight places of `message`: octets flipped, replaced by values at the edge, cut off, added,
/// or doubled. What comes out has at most draft_octets_max octets.
void mutate(std::vector<std::byte>& message, Random& random);

}  // namespace portolan::wire
