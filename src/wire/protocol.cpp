// SPDX-License-Identifier: BSD-2-Clause
//
// Names and recommended lifetimes of the protocol's numbers.
#include "wire/protocol.h"

#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace portolan::wire {
namespace {

/// Indexed by value (RFC 6887 s7.4, RFC 7652 s7, RFC 7843 s4.1).
constexpr std::array<std::string_view, 27> result_names{
    "SUCCESS",
    "UNSUPP_VERSION",
    "NOT_AUTHORIZED",
    "MALFORMED_REQUEST",
    "UNSUPP_OPCODE",
    "UNSUPP_OPTION",
    "MALFORMED_OPTION",
    "NETWORK_FAILURE",
    "NO_RESOURCES",
    "UNSUPP_PROTOCOL",
    "USER_EX_QUOTA",
    "CANNOT_PROVIDE_EXTERNAL",
    "ADDRESS_MISMATCH",
    "EXCESSIVE_REMOTE_PEERS",
    "INITIATION",
    "AUTHENTICATION_REQUIRED",
    "AUTHENTICATION_FAILED",
    "AUTHENTICATION_SUCCEEDED",
    "AUTHORIZATION_FAILED",
    "SESSION_TERMINATED",
    "UNKNOWN_SESSION_ID",
    "DOWNGRADE_ATTACK_DETECTED",
    "AUTHENTICATION_REQUEST",
    "AUTHENTICATION_REPLY",
    "THIRD_PARTY_ID_UNKNOWN",
    "THIRD_PARTY_MISSING_OPTION",
    "UNSUPP_THIRD_PARTY_ID_LENGTH",
};

/// Indexed by value (RFC 6887 s19.2, RFC 7652 s5).
constexpr std::array<std::string_view, 4> opcode_names{"ANNOUNCE", "MAP", "PEER", "AUTHENTICATION"};

constexpr std::array<std::pair<OptionCode, std::string_view>, 19> option_names{{
    {OptionCode::third_party, "THIRD_PARTY"},
    {OptionCode::prefer_failure, "PREFER_FAILURE"},
    {OptionCode::filter, "FILTER"},
    {OptionCode::nonce, "NONCE"},
    {OptionCode::authentication_tag, "AUTHENTICATION_TAG"},
    {OptionCode::pa_authentication_tag, "PA_AUTHENTICATION_TAG"},
    {OptionCode::eap_payload, "EAP_PAYLOAD"},
    {OptionCode::prf, "PRF"},
    {OptionCode::mac_algorithm, "MAC_ALGORITHM"},
    {OptionCode::session_lifetime, "SESSION_LIFETIME"},
    {OptionCode::received_pak, "RECEIVED_PAK"},
    {OptionCode::id_indicator, "ID_INDICATOR"},
    {OptionCode::third_party_id, "THIRD_PARTY_ID"},
    {OptionCode::experimental_prefix64, "PREFIX64_EXPERIMENTAL"},
    {OptionCode::description, "DESCRIPTION"},
    {OptionCode::prefix64, "PREFIX64"},
    {OptionCode::port_set, "PORT_SET"},
    {OptionCode::port_reservation, "PORT_RESERVATION"},
    {OptionCode::checkpoint_required, "CHECKPOINT_REQUIRED"},
}};

}  // namespace

auto recommended_error_lifetime(ResultCode code) -> Seconds {
  switch (code) {
    case ResultCode::success: return Seconds{0};
    case ResultCode::unsupp_version:
    case ResultCode::not_authorized:
    case ResultCode::malformed_request:
    case ResultCode::unsupp_opcode:
    case ResultCode::unsupp_option:
    case ResultCode::malformed_option:
    case ResultCode::unsupp_protocol:
    case ResultCode::address_mismatch:
    case ResultCode::excessive_remote_peers:
    case ResultCode::third_party_id_unknown:
    case ResultCode::third_party_missing_option:
    case ResultCode::unsupp_third_party_id_length: return long_error_lifetime;
    // CANNOT_PROVIDE_EXTERNAL lasts as long as the conflict, which the caller may know better
    // (RFC 6887 s13.2); the authentication codes have no recommendation and concern a moment.
    default: return short_error_lifetime;
  }
}

auto to_string(ResultCode code) -> std::string {
  const auto number = std::to_underlying(code);
  return number < result_names.size() ? std::string(result_names.at(number))
                                      : fmt::format("result code {}", number);
}

auto to_string(Opcode opcode) -> std::string {
  const auto number = std::to_underlying(opcode);
  return number < opcode_names.size() ? std::string(opcode_names.at(number))
                                      : fmt::format("opcode {}", number);
}

auto to_string(OptionCode code) -> std::string {
  for (const auto& [known, name] : option_names)
    if (known == code) return std::string(name);
  return fmt::format("option {}", std::to_underlying(code));
}

}  // namespace portolan::wire
