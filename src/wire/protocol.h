// SPDX-License-Identifier: BSD-2-Clause
//
// Numbers of the Port Control Protocol, versions 2 and 1: ports, sizes, opcodes, result codes, option codes
// (RFC 6887 s19 and the registries of its companions).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/time.h"

namespace portolan::wire {

constexpr std::uint8_t version_2 = 2;
/// Version of drafts before RFC 6887, without nonce; RFC 6886 s1.1 forbids it, so it is decoded only if
/// asked.
constexpr std::uint8_t version_1 = 1;

/// UDP port servers listen on (RFC 6887 s19.1).
constexpr std::uint16_t server_port = 5351;
/// UDP port clients listen on for announcements (RFC 6887 s14.1.1).
constexpr std::uint16_t client_port = 5350;

/// Longest PCP message (RFC 6887 s7).
constexpr std::size_t message_octets_max = 1100;
/// Longest message of version 1.
constexpr std::size_t version_1_message_octets_max = 1024;
/// Longest message of `version`.
[[nodiscard]] constexpr auto message_limit(std::uint8_t version) -> std::size_t {
  return version == version_1 ? version_1_message_octets_max : message_octets_max;
}
/// Common request and response header (RFC 6887 s7.1, s7.2).
constexpr std::size_t header_octets = 24;
/// MAP request or response without options (RFC 6887 s11.1).
constexpr std::size_t map_message_octets = 60;
/// PEER request or response without options (RFC 6887 s12.1).
constexpr std::size_t peer_message_octets = 80;
/// By which MAP and PEER messages of version 1 are shorter.
constexpr std::size_t nonce_octets = 12;
/// Option header: code, reserved, length (RFC 6887 s7.3).
constexpr std::size_t option_header_octets = 4;
/// R bit in the octet of the opcode (RFC 6887 s7.1).
constexpr std::uint8_t response_bit = 0x80;

/// Octets with the padding that makes them a multiple of 4 (RFC 6887 s7.3).
[[nodiscard]] constexpr auto padded(std::size_t octets) -> std::size_t { return (octets + 3) / 4 * 4; }

/// RFC 6887 s19.2, RFC 7652. Seven bits; any value may arrive.
enum class Opcode : std::uint8_t { announce = 0, map = 1, peer = 2, authentication = 3 };

/// RFC 6887 s7.4, RFC 7652 s7, RFC 7843 s4.1. Any octet may arrive.
enum class ResultCode : std::uint8_t {
  success = 0,
  unsupp_version = 1,
  not_authorized = 2,
  malformed_request = 3,
  unsupp_opcode = 4,
  unsupp_option = 5,
  malformed_option = 6,
  network_failure = 7,
  no_resources = 8,
  unsupp_protocol = 9,
  user_ex_quota = 10,
  cannot_provide_external = 11,
  address_mismatch = 12,
  excessive_remote_peers = 13,
  initiation = 14,
  authentication_required = 15,
  authentication_failed = 16,
  authentication_succeeded = 17,
  authorization_failed = 18,
  session_terminated = 19,
  unknown_session_id = 20,
  downgrade_attack_detected = 21,
  authentication_request = 22,
  authentication_reply = 23,
  third_party_id_unknown = 24,
  third_party_missing_option = 25,
  unsupp_third_party_id_length = 26,
};

/// RFC 6887 s13, RFC 7652 s5, RFC 7843 s4, RFC 7220 s2, RFC 7225 s4, RFC 7753 s4, RFC 7767 s3. Codes
/// below 128 are mandatory to process (RFC 6887 s7.3). The historic ones were never assigned.
enum class OptionCode : std::uint8_t {
  third_party = 1,
  prefer_failure = 2,
  filter = 3,
  nonce = 4,
  authentication_tag = 5,
  pa_authentication_tag = 6,
  eap_payload = 7,
  prf = 8,
  mac_algorithm = 9,
  session_lifetime = 10,
  received_pak = 11,
  id_indicator = 12,
  third_party_id = 13,
  experimental_prefix64 = 127,  ///< historic: an early PREFIX64, before RFC 7225
  description = 128,
  prefix64 = 129,
  port_set = 130,
  port_reservation = 132,  ///< historic: a pair of ports for RTP and RTCP, of an expired draft
  checkpoint_required = 192,
};

/// Whether a server that does not process `code` must refuse the request (RFC 6887 s7.3).
[[nodiscard]] constexpr auto is_mandatory_to_process(OptionCode code) -> bool {
  return static_cast<std::uint8_t>(code) < 128;
}

/// Recommended lifetimes of error answers (RFC 6887 s7.4).
constexpr Seconds short_error_lifetime{30};
constexpr Seconds long_error_lifetime{1800};

/// Error lifetime RFC 6887 s7.4 recommends for `code`, where it depends on nothing else. 0 for success.
[[nodiscard]] auto recommended_error_lifetime(ResultCode code) -> Seconds;

/// The RFC's word, "CANNOT_PROVIDE_EXTERNAL"; "result code N" if unassigned.
[[nodiscard]] auto to_string(ResultCode code) -> std::string;
/// "MAP"; "opcode N" if unassigned.
[[nodiscard]] auto to_string(Opcode opcode) -> std::string;
/// "PREFER_FAILURE"; "option N" if unassigned.
[[nodiscard]] auto to_string(OptionCode code) -> std::string;

}  // namespace portolan::wire
