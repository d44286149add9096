// SPDX-License-Identifier: BSD-2-Clause
//
// Requests as a server receives them, of versions 2 and 1. Properties: what decodes is encoded to octets
// that decode to the same, options and what they carry included; an error answer has a legal size and the
// request's opcode, and reads back as the error it is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "wire/message.h"
#include "wire_check.h"

namespace portolan::wire {
namespace {

constexpr Versions all_versions{.version_1 = true};

void check_round_trip(const Request& request) {
  if (std::holds_alternative<UnknownOpcode>(request.body)) return;
  Datagram again = encode_request(request);
  if (request.options.is_well_formed())
    for (const Option& option : request.options)
      PORTOLAN_CHECK(append_option(again, option.code, option.data));
  const auto decoded = decode_request(again.octets(), all_versions);
  PORTOLAN_CHECK(decoded.has_value());
  PORTOLAN_CHECK(decoded->version == request.version);
  PORTOLAN_CHECK(decoded->opcode == request.opcode);
  PORTOLAN_CHECK(decoded->requested_lifetime_s == request.requested_lifetime_s);
  PORTOLAN_CHECK(decoded->client_address == request.client_address);
  PORTOLAN_CHECK(decoded->body == request.body);
  if (!request.options.is_well_formed()) return;
  PORTOLAN_CHECK(std::ranges::equal(request.options, decoded->options, [](const Option& a, const Option& b) {
    return a.code == b.code && std::ranges::equal(a.data, b.data);
  }));
}

void check_error_answer(std::span<const std::byte> request, bool parsed, std::uint8_t version) {
  const Datagram answer =
      encode_error(request, ResultCode::malformed_request, long_error_lifetime, 77, parsed, version);
  const auto octets = answer.octets();
  PORTOLAN_CHECK(octets.size() >= header_octets && octets.size() <= message_limit(version));
  PORTOLAN_CHECK(octets.size() % 4 == 0);
  PORTOLAN_CHECK(octets[1] == (request[1] | std::byte{response_bit}));
  const auto response = decode_response(octets, all_versions);
  if (!response) {
    PORTOLAN_CHECK(response.error() == ResponseError::too_short_for_opcode);
    return;
  }
  PORTOLAN_CHECK(response->version == version);
  PORTOLAN_CHECK(response->result == ResultCode::malformed_request);
  PORTOLAN_CHECK(response->lifetime_s == 1800 && response->epoch_time_s == 77);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto datagram = std::as_bytes(std::span(data, size));
  const auto request = decode_request(datagram, all_versions);
  if (request) {
    // Version 2 is taken always, version 1 only if asked for.
    PORTOLAN_CHECK(decode_request(datagram).has_value() == (request->version == version_2));
    check_round_trip(*request);
    fuzz::check_options(request->options);
  }
  for (const std::uint8_t version : {version_1, version_2})
    if (size >= 2) check_error_answer(datagram, request.has_value(), version);
  fuzz::check_description(datagram);
  return 0;
}

}  // namespace portolan::wire
