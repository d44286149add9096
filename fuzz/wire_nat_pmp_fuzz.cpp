// SPDX-License-Identifier: BSD-2-Clause
//
// NAT-PMP datagrams in both directions. Properties: what decodes is written to octets that decode to the
// same; the answer to an unknown opcode is the request but for three octets and reads back as that error.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "wire/nat_pmp.h"
#include "wire/protocol.h"
#include "wire_check.h"

namespace portolan::wire::nat_pmp {
namespace {

void check_unsupported_opcode(std::span<const std::byte> datagram, Opcode opcode) {
  std::array<std::byte, message_octets_max> buffer{};
  const auto answer = std::span(buffer).first(write_unsupported_opcode(datagram, buffer));
  PORTOLAN_CHECK(answer.size() == std::clamp(datagram.size(), result_end, message_octets_max));
  PORTOLAN_CHECK(answer[0] == datagram[0] && answer[1] == (datagram[1] | std::byte{response_bit}));
  PORTOLAN_CHECK(datagram.size() <= result_end ||
                 std::ranges::equal(answer.subspan(result_end),
                                    datagram.subspan(result_end, answer.size() - result_end)));
  const auto response = decode_response(answer);
  PORTOLAN_CHECK(response && response->result == ResultCode::unsupported_opcode);
  PORTOLAN_CHECK(std::get<UnknownOpcode>(response->body).opcode == opcode);
}

void check_request(std::span<const std::byte> datagram) {
  const auto request = decode_request(datagram);
  if (!request) {
    PORTOLAN_CHECK(!to_string(request.error()).empty());
    return;
  }
  std::array<std::byte, map_request_octets> buffer{};
  const auto written = std::span(buffer).first(write_request(*request, buffer));
  PORTOLAN_CHECK(written.size() <= datagram.size());
  const auto again = decode_request(written);
  PORTOLAN_CHECK(again && *again == *request);
  if (const auto* unknown = std::get_if<UnknownOpcode>(&*request))
    check_unsupported_opcode(datagram, unknown->opcode);
}

void check_response(std::span<const std::byte> datagram) {
  const auto response = decode_response(datagram);
  if (!response) {
    PORTOLAN_CHECK(!to_string(response.error()).empty());
    return;
  }
  if (std::holds_alternative<UnknownOpcode>(response->body)) return;
  std::array<std::byte, map_response_octets> buffer{};
  const auto written = std::span(buffer).first(write_response(*response, buffer));
  // No field is reserved here: every octet read is written.
  PORTOLAN_CHECK(written.size() <= datagram.size() &&
                 std::ranges::equal(written, datagram.first(written.size())));
  const auto again = decode_response(written);
  PORTOLAN_CHECK(again && *again == *response);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto datagram = std::as_bytes(std::span(data, size));
  check_request(datagram);
  check_response(datagram);
  fuzz::check_description(datagram);
  return 0;
}

}  // namespace portolan::wire::nat_pmp
