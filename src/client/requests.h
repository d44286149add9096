// SPDX-License-Identifier: BSD-2-Clause
//
// The client's messages: a wish as the octets of a request, and what an answer's options say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/nonce.h"
#include "client/wish.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"

namespace portolan::client {

/// What differs between requests about one wish.
struct RequestFields {
  IpAddress client_address;
  Nonce nonce;
  Endpoint suggested;
  std::uint32_t lifetime_s = 0;  ///< 0: a deletion
  std::uint16_t port_count = 1;
};

/// The MAP or PEER request of a wish with its options; nothing if they don't fit into a message.
///
/// Spec    RFC 6887 s11.2, s12.2, s13, s15.1; RFC 7220, 7225 s4.3, 7753 s4.4, 7843
/// Filters follow the order to forget all others, so that a request always means the same.
[[nodiscard]] auto encode_wish(const Wish& wish, const RequestFields& fields)
    -> std::optional<wire::Datagram>;

/// An ANNOUNCE request, asking for the NAT64's prefix too if wanted.
[[nodiscard]] auto encode_announce(const IpAddress& client_address, bool wants_nat64_prefix)
    -> wire::Datagram;

/// What the options of an answer say. Options that don't belong there are as good as absent.
struct AnswerOptions {
  std::optional<IpAddress> third_party;
  std::uint16_t port_count = 1;
  bool has_filter = false;
  std::optional<std::string> description;
  std::vector<Nat64Prefix> nat64_prefixes;
};
[[nodiscard]] auto options_of(const wire::Response& response) -> AnswerOptions;

/// Why NAT-PMP has no words for a wish (RFC 6886 s3.3); success if it has.
[[nodiscard]] auto nat_pmp_objection(const Wish& wish) -> wire::ResultCode;

/// The PCP result code that means the same.
[[nodiscard]] auto to_pcp(wire::nat_pmp::ResultCode result) -> wire::ResultCode;

}  // namespace portolan::client
