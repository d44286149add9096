// SPDX-License-Identifier: BSD-2-Clause
//
// Requests as a server receives them. Properties: what decodes is encoded to octets that decode to the
// same; an error answer has a legal size and the request's opcode, and reads back as the error it is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "wire/describe.h"
#include "wire/message.h"

namespace portolan::wire {
namespace {

void check_round_trip(const Request& request) {
  if (std::holds_alternative<UnknownOpcode>(request.body)) return;
  Datagram again = encode_request(request);
  if (request.options.is_well_formed())
    for (const Option& option : request.options)
      PORTOLAN_CHECK(append_option(again, option.code, option.data));
  const auto decoded = decode_request(again.octets());
  PORTOLAN_CHECK(decoded.has_value());
  PORTOLAN_CHECK(decoded->opcode == request.opcode);
  PORTOLAN_CHECK(decoded->requested_lifetime_s == request.requested_lifetime_s);
  PORTOLAN_CHECK(decoded->client_address == request.client_address);
  if (const auto* map = std::get_if<MapRequest>(&request.body))
    PORTOLAN_CHECK(std::get<MapRequest>(decoded->body) == *map);
  if (!request.options.is_well_formed()) return;
  PORTOLAN_CHECK(std::ranges::equal(request.options, decoded->options, [](const Option& a, const Option& b) {
    return a.code == b.code && std::ranges::equal(a.data, b.data);
  }));
}

void check_error_answer(std::span<const std::byte> request, bool parsed) {
  const Datagram answer =
      encode_error(request, ResultCode::malformed_request, long_error_lifetime, 77, parsed);
  const auto octets = answer.octets();
  PORTOLAN_CHECK(octets.size() >= header_octets && octets.size() <= message_octets_max);
  PORTOLAN_CHECK(octets.size() % 4 == 0);
  PORTOLAN_CHECK(octets[1] == (request[1] | std::byte{response_bit}));
  const auto response = decode_response(octets);
  if (!response) {
    PORTOLAN_CHECK(response.error() == ResponseError::too_short_for_opcode);
    return;
  }
  PORTOLAN_CHECK(response->result == ResultCode::malformed_request);
  PORTOLAN_CHECK(response->lifetime_s == 1800 && response->epoch_time_s == 77);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto datagram = std::as_bytes(std::span(data, size));
  const auto request = decode_request(datagram);
  if (request) check_round_trip(*request);
  if (size >= 2) check_error_answer(datagram, request.has_value());
  PORTOLAN_CHECK(describe(datagram).ends_with('\n'));
  return 0;
}

}  // namespace portolan::wire
