// SPDX-License-Identifier: BSD-2-Clause
//
// What holds for all messages, tried on random ones.
#include <algorithm>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/describe.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"
#include "wire/test_octets.h"
#include "wire/test_values.h"

namespace portolan::wire {
namespace {

/// Datagrams of any size around the limits, most of them with a header that gets them further.
auto any_datagram() -> std::vector<std::byte> {
  const auto size = *rc::gen::weightedOneOf<std::size_t>(
      {{4, rc::gen::inRange<std::size_t>(0, 132)}, {1, rc::gen::inRange<std::size_t>(1090, 1112)}});
  std::vector<std::byte> datagram(size);
  std::ranges::transform(*any_octets(size), datagram.begin(),
                         [](std::uint8_t octet) { return std::byte{octet}; });
  if (size >= 2 && *rc::gen::weightedElement<bool>({{9, true}, {1, false}})) {
    datagram[0] =
        *rc::gen::weightedElement<std::byte>({{6, std::byte{2}}, {2, std::byte{1}}, {2, std::byte{0}}});
    datagram[1] = *rc::gen::element(std::byte{0x00}, std::byte{0x01}, std::byte{0x02}, std::byte{0x03},
                                    std::byte{0x80}, std::byte{0x81}, std::byte{0x82}, std::byte{0x7f});
  }
  return datagram;
}

constexpr Versions all_versions{.version_1 = true};

/// Version 1 carries no nonce.
auto any_nonce_of(std::uint8_t version) -> Nonce { return version == version_1 ? Nonce{} : any_nonce(); }

auto any_request() -> Request {
  Request request;
  request.version = *rc::gen::element(version_1, version_2);
  request.requested_lifetime_s = any_number();
  request.client_address = any_address();
  request.opcode = *rc::gen::element(Opcode::announce, Opcode::map, Opcode::peer);
  if (request.opcode == Opcode::announce) {
    request.body = Announce{};
  } else if (request.opcode == Opcode::map) {
    request.body = MapRequest{.nonce = any_nonce_of(request.version),
                              .protocol = any_protocol(),
                              .internal_port = any_port(),
                              .suggested_external_port = any_port(),
                              .suggested_external_address = any_address()};
  } else {
    request.body = PeerRequest{.nonce = any_nonce_of(request.version),
                               .protocol = any_protocol(),
                               .internal_port = any_port(),
                               .suggested_external_port = any_port(),
                               .suggested_external_address = any_address(),
                               .remote_peer_port = any_port(),
                               .remote_peer_address = any_address()};
  }
  return request;
}

auto any_response() -> Response {
  Response response;
  response.version = *rc::gen::element(version_1, version_2);
  response.result = static_cast<ResultCode>(*rc::gen::arbitrary<std::uint8_t>());
  response.lifetime_s = any_number();
  response.epoch_time_s = any_number();
  response.opcode = *rc::gen::element(Opcode::announce, Opcode::map, Opcode::peer);
  if (response.opcode == Opcode::announce) {
    response.body = Announce{};
  } else if (response.opcode == Opcode::map) {
    response.body = MapResponse{.nonce = any_nonce_of(response.version),
                                .protocol = any_protocol(),
                                .internal_port = any_port(),
                                .assigned_external_port = any_port(),
                                .assigned_external_address = any_address()};
  } else {
    response.body = PeerResponse{.nonce = any_nonce_of(response.version),
                                 .protocol = any_protocol(),
                                 .internal_port = any_port(),
                                 .assigned_external_port = any_port(),
                                 .assigned_external_address = any_address(),
                                 .remote_peer_port = any_port(),
                                 .remote_peer_address = any_address()};
  }
  return response;
}

RC_GTEST_PROP(Property, a_request_decodes_to_what_was_encoded, ()) {
  const Request request = any_request();
  const Datagram datagram = encode_request(request);
  const auto decoded = decode_request(datagram.octets(), all_versions);
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(decoded->version == request.version);
  RC_ASSERT(decoded->opcode == request.opcode);
  RC_ASSERT(decoded->requested_lifetime_s == request.requested_lifetime_s);
  RC_ASSERT(decoded->client_address == request.client_address);
  RC_ASSERT(decoded->body == request.body);
  RC_ASSERT(decoded->options.octets().empty());
}

RC_GTEST_PROP(Property, a_response_decodes_to_what_was_encoded, ()) {
  const Response response = any_response();
  const Datagram datagram = encode_response(response);
  const auto decoded = decode_response(datagram.octets(), all_versions);
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(decoded->version == response.version);
  RC_ASSERT(decoded->opcode == response.opcode);
  RC_ASSERT(decoded->result == response.result);
  RC_ASSERT(decoded->lifetime_s == response.lifetime_s);
  RC_ASSERT(decoded->epoch_time_s == response.epoch_time_s);
  RC_ASSERT(decoded->body == response.body);
  RC_ASSERT(decoded->options.octets().empty());
}

RC_GTEST_PROP(Property, appended_options_are_read_back_in_order, ()) {
  Datagram datagram = encode_request({.opcode = Opcode::announce,
                                      .requested_lifetime_s = 0,
                                      .client_address = {},
                                      .body = Announce{},
                                      .options = {}});
  std::vector<std::pair<OptionCode, std::vector<std::byte>>> appended;
  for (int left = *rc::gen::inRange(0, 8); left > 0; --left) {
    std::vector<std::byte> data(*rc::gen::inRange<std::size_t>(0, 400), std::byte{0x5a});
    const auto code = static_cast<OptionCode>(*rc::gen::arbitrary<std::uint8_t>());
    if (append_option(datagram, code, data)) appended.emplace_back(code, data);
  }
  const auto decoded = decode_request(datagram.octets());
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(decoded->options.is_well_formed());
  std::size_t i = 0;
  for (const Option& option : decoded->options) {
    RC_ASSERT(i < appended.size());
    RC_ASSERT(option.code == appended[i].first);
    RC_ASSERT(std::ranges::equal(option.data, appended[i].second));
    ++i;
  }
  RC_ASSERT(i == appended.size());
}

RC_GTEST_PROP(Property, any_datagram_is_decoded_or_refused_and_described, ()) {
  const auto datagram = any_datagram();
  std::vector<OptionList> lists;
  if (const auto request = decode_request(datagram, all_versions)) lists.push_back(request->options);
  if (const auto response = decode_response(datagram, all_versions)) lists.push_back(response->options);
  for (const OptionList& options : lists) {
    std::size_t used = 0;
    for (const Option& option : options) used += option_header_octets + padded(option.data.size());
    RC_ASSERT(used <= options.octets().size());
    RC_ASSERT(options.is_well_formed() == (used == options.octets().size()));
  }
  const std::string text = describe(datagram);
  RC_ASSERT(text.ends_with('\n'));
  RC_ASSERT(std::ranges::all_of(
      text, [](char character) { return character == '\n' || character >= ' ' || character < 0; }));
}

RC_GTEST_PROP(Property, an_error_answer_has_a_legal_size_and_the_opcode_of_the_request, ()) {
  auto request = any_datagram();
  RC_PRE(request.size() >= 2);
  const bool parsed = *rc::gen::arbitrary<bool>();
  const auto result = static_cast<ResultCode>(*rc::gen::inRange(1, 256));
  const auto version = *rc::gen::element(version_1, version_2);
  const Datagram answer = encode_error(request, result, short_error_lifetime, 77, parsed, version);
  RC_ASSERT(answer.octets().size() % 4 == 0);
  RC_ASSERT(answer.octets().size() >= header_octets);
  RC_ASSERT(answer.octets().size() <= message_limit(version));
  RC_ASSERT(std::to_integer<unsigned>(answer.octets()[1]) == (std::to_integer<unsigned>(request[1]) | 0x80U));
  const auto decoded = decode_response(answer.octets(), all_versions);
  if (decoded) {
    RC_ASSERT(decoded->version == version);
    RC_ASSERT(decoded->result == result);
    RC_ASSERT(decoded->lifetime_s == 30U);
    RC_ASSERT(decoded->epoch_time_s == 77U);
  } else {
    RC_ASSERT(decoded.error() == ResponseError::too_short_for_opcode);
  }
}

}  // namespace
}  // namespace portolan::wire
