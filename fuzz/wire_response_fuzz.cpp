// SPDX-License-Identifier: BSD-2-Clause
//
// Responses as a client receives them. Properties: what decodes is encoded to octets that decode to the
// same; an answer in another version is told apart from a response; what is shown is printable.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "wire/describe.h"
#include "wire/message.h"

namespace portolan::wire {
namespace {

void check_round_trip(const Response& response) {
  if (std::holds_alternative<UnknownOpcode>(response.body)) return;
  const Datagram again = encode_response(response);
  const auto decoded = decode_response(again.octets());
  PORTOLAN_CHECK(decoded.has_value());
  PORTOLAN_CHECK(decoded->opcode == response.opcode);
  PORTOLAN_CHECK(decoded->result == response.result);
  PORTOLAN_CHECK(decoded->lifetime_s == response.lifetime_s);
  PORTOLAN_CHECK(decoded->epoch_time_s == response.epoch_time_s);
  if (const auto* map = std::get_if<MapResponse>(&response.body))
    PORTOLAN_CHECK(std::get<MapResponse>(decoded->body) == *map);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto datagram = std::as_bytes(std::span(data, size));
  const auto response = decode_response(datagram);
  if (response) check_round_trip(*response);
  if (answered_version(datagram))
    PORTOLAN_CHECK(!response && response.error() == ResponseError::unsupported_version);
  // No control character but the line end reaches a terminal, whatever a DESCRIPTION says.
  PORTOLAN_CHECK(std::ranges::none_of(describe(datagram), [](char character) {
    return character != '\n' && static_cast<unsigned char>(character) < 0x20;
  }));
  return 0;
}

}  // namespace portolan::wire
