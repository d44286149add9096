// SPDX-License-Identifier: BSD-2-Clause
//
// Responses as a client receives them, of versions 2 and 1. Properties: what decodes is encoded to octets
// that decode to the same; an answer in another version is told apart from a response; what is shown is
// printable.
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

void check_round_trip(const Response& response) {
  if (std::holds_alternative<UnknownOpcode>(response.body)) return;
  const Datagram again = encode_response(response);
  const auto decoded = decode_response(again.octets(), all_versions);
  PORTOLAN_CHECK(decoded.has_value());
  PORTOLAN_CHECK(decoded->version == response.version);
  PORTOLAN_CHECK(decoded->opcode == response.opcode);
  PORTOLAN_CHECK(decoded->result == response.result);
  PORTOLAN_CHECK(decoded->lifetime_s == response.lifetime_s);
  PORTOLAN_CHECK(decoded->epoch_time_s == response.epoch_time_s);
  PORTOLAN_CHECK(decoded->body == response.body);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto datagram = std::as_bytes(std::span(data, size));
  if (const auto response = decode_response(datagram, all_versions)) {
    check_round_trip(*response);
    fuzz::check_options(response->options);
  }
  const auto response = decode_response(datagram);
  if (answered_version(datagram))
    PORTOLAN_CHECK(!response && response.error() == ResponseError::unsupported_version);
  fuzz::check_description(datagram);
  return 0;
}

}  // namespace portolan::wire
