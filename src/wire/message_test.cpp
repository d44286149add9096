// SPDX-License-Identifier: BSD-2-Clause
#include "wire/message.h"

#include <vector>

#include <gtest/gtest.h>

#include "wire/test_octets.h"

namespace portolan::wire {
namespace {

// An IPv6-only host behind a NAT64 asks for UDP 3938, gets it, and asks whether the server is there.
const std::string_view map_request_hex =
    "02 01 0000"                         // version, opcode MAP, reserved
    "00008ca0"                           // requested lifetime 36000
    "20010db8011200000000000000000002"   // client 2001:db8:112::2
    "000000000000000000003d45"           // nonce 15685
    "11 000000"                          // UDP, reserved
    "0f62 0f62"                          // internal port 3938, suggested external port 3938
    "00000000000000000000ffff00000000";  // any IPv4 address
const std::string_view map_response_hex =
    "02 81 00 00"                        // version, response, opcode MAP, reserved, SUCCESS
    "00004e20"                           // lifetime 20000
    "000004e2"                           // epoch 1250
    "000000000000000000000000"           // reserved
    "000000000000000000003d45"           // nonce 15685
    "11 000000"                          // UDP, reserved
    "0f62 0f63"                          // internal port 3938, assigned external port 3939
    "00000000000000000000ffffc000020e";  // 192.0.2.14
const std::string_view announce_request_hex =
    "02 00 0000 00000000"                // version, opcode ANNOUNCE, reserved, lifetime 0
    "00000000000000000000ffffc6336401";  // client 198.51.100.1
const std::string_view announce_response_hex =
    "02 80 00 00 00000000"                // version, response, ANNOUNCE, reserved, SUCCESS, lifetime 0
    "00000e10 000000000000000000000000";  // epoch 3600, reserved

auto map_request() -> Request {
  return {.opcode = Opcode::map,
          .requested_lifetime_s = 36000,
          .client_address = *IpAddress::parse("2001:db8:112::2"),
          .body = MapRequest{.nonce = *Nonce::parse("000000000000000000003d45"),
                             .protocol = Protocol::udp,
                             .internal_port = Port{3938},
                             .suggested_external_port = Port{3938},
                             .suggested_external_address = IpAddress::unspecified(Family::ipv4)},
          .options = {}};
}

auto map_response() -> Response {
  return {.opcode = Opcode::map,
          .result = ResultCode::success,
          .lifetime_s = 20000,
          .epoch_time_s = 1250,
          .body = MapResponse{.nonce = *Nonce::parse("000000000000000000003d45"),
                              .protocol = Protocol::udp,
                              .internal_port = Port{3938},
                              .assigned_external_port = Port{3939},
                              .assigned_external_address = *IpAddress::parse("192.0.2.14")},
          .options = {}};
}

TEST(DecodeRequest, map_has_every_field) {
  const auto datagram = octets(map_request_hex);
  const auto request = decode_request(datagram);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->opcode, Opcode::map);
  EXPECT_EQ(request->requested_lifetime_s, 36000U);
  EXPECT_EQ(request->client_address, *IpAddress::parse("2001:db8:112::2"));
  EXPECT_EQ(std::get<MapRequest>(request->body), std::get<MapRequest>(map_request().body));
  EXPECT_TRUE(request->options.octets().empty());
  EXPECT_TRUE(request->options.is_well_formed());
}

TEST(DecodeRequest, announce_is_a_header) {
  const auto datagram = octets(announce_request_hex);
  const auto request = decode_request(datagram);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->opcode, Opcode::announce);
  EXPECT_TRUE(std::holds_alternative<Announce>(request->body));
  EXPECT_EQ(request->client_address, *IpAddress::parse("198.51.100.1"));
}

TEST(DecodeRequest, reserved_fields_are_ignored) {
  auto datagram = octets(map_request_hex);
  for (const std::size_t reserved : {2U, 3U, 37U, 38U, 39U}) datagram[reserved] = std::byte{0xff};
  const auto request = decode_request(datagram);
  ASSERT_TRUE(request);
  EXPECT_EQ(std::get<MapRequest>(request->body), std::get<MapRequest>(map_request().body));
}

TEST(DecodeRequest, an_opcode_nobody_knows_decodes_to_its_header) {
  for (const unsigned opcode : {3U, 4U, 63U, 127U}) {
    auto datagram = octets(announce_request_hex);
    datagram[1] = static_cast<std::byte>(opcode);
    const auto request = decode_request(datagram);
    ASSERT_TRUE(request) << opcode;
    EXPECT_EQ(request->opcode, static_cast<Opcode>(opcode));
    EXPECT_TRUE(std::holds_alternative<UnknownOpcode>(request->body));
  }
}

struct SizeCase {
  std::string_view what;
  std::string_view message;
  std::size_t size;
  std::optional<RequestError> error;
};

TEST(DecodeRequest, sizes_are_checked_at_their_limits) {
  const std::vector<SizeCase> cases = {
      {"nothing at all", announce_request_hex, 0, RequestError::shorter_than_2},
      {"limit 2, one less", announce_request_hex, 1, RequestError::shorter_than_2},
      {"limit 2", announce_request_hex, 2, RequestError::shorter_than_header},
      {"limit 24, one less", announce_request_hex, 23, RequestError::shorter_than_header},
      {"limit 24", announce_request_hex, 24, {}},
      {"limit 24, one more", announce_request_hex, 25, RequestError::not_multiple_of_4},
      {"26", announce_request_hex, 26, RequestError::not_multiple_of_4},
      {"27", announce_request_hex, 27, RequestError::not_multiple_of_4},
      {"28", announce_request_hex, 28, {}},
      {"MAP, header only", map_request_hex, 24, RequestError::too_short_for_opcode},
      {"limit 60, four less", map_request_hex, 56, RequestError::too_short_for_opcode},
      {"limit 60, one less", map_request_hex, 59, RequestError::not_multiple_of_4},
      {"limit 60", map_request_hex, 60, {}},
      {"limit 60, one more", map_request_hex, 61, RequestError::not_multiple_of_4},
      {"limit 1100, one less", map_request_hex, 1099, RequestError::not_multiple_of_4},
      {"limit 1100", map_request_hex, 1100, {}},
      {"limit 1100, one more", map_request_hex, 1101, RequestError::too_long},
      {"limit 1100, four more", map_request_hex, 1104, RequestError::too_long},
  };
  for (const SizeCase& size_case : cases) {
    const auto datagram = resized(octets(size_case.message), size_case.size);
    const auto request = decode_request(datagram);
    const auto error = request ? std::nullopt : std::optional(request.error());
    EXPECT_EQ(error, size_case.error) << size_case.what;
  }
}

TEST(DecodeRequest, checks_come_in_the_order_of_the_rfc) {
  // R bit before version, version before length (RFC 6887 s8.2).
  EXPECT_EQ(decode_request(octets("01 81")).error(), RequestError::is_response);
  EXPECT_EQ(decode_request(octets("01 01")).error(), RequestError::unsupported_version);
  EXPECT_EQ(decode_request(octets("00 00")).error(), RequestError::unsupported_version);
  EXPECT_EQ(decode_request(octets("03 01 00")).error(), RequestError::unsupported_version);
  EXPECT_EQ(decode_request(resized(octets("02 01"), 1102)).error(), RequestError::too_long);
}

TEST(DecodeResponse, map_has_every_field) {
  const auto datagram = octets(map_response_hex);
  const auto response = decode_response(datagram);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->opcode, Opcode::map);
  EXPECT_EQ(response->result, ResultCode::success);
  EXPECT_EQ(response->lifetime_s, 20000U);
  EXPECT_EQ(response->epoch_time_s, 1250U);
  EXPECT_EQ(std::get<MapResponse>(response->body), std::get<MapResponse>(map_response().body));
}

TEST(DecodeResponse, reserved_fields_are_ignored) {
  auto datagram = octets(map_response_hex);
  datagram[2] = std::byte{0xff};
  for (std::size_t i = 12; i < 24; ++i) datagram[i] = std::byte{0xff};
  const auto response = decode_response(datagram);
  ASSERT_TRUE(response);
  EXPECT_EQ(std::get<MapResponse>(response->body), std::get<MapResponse>(map_response().body));
}

TEST(DecodeResponse, announce_is_a_header) {
  const auto datagram = octets(announce_response_hex);
  const auto response = decode_response(datagram);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->opcode, Opcode::announce);
  EXPECT_EQ(response->epoch_time_s, 3600U);
}

TEST(DecodeResponse, every_result_code_is_carried) {
  for (unsigned code = 0; code < 256; ++code) {
    auto datagram = octets(map_response_hex);
    datagram[3] = static_cast<std::byte>(code);
    const auto response = decode_response(datagram);
    ASSERT_TRUE(response) << code;
    EXPECT_EQ(response->result, static_cast<ResultCode>(code));
  }
}

TEST(DecodeResponse, sizes_are_checked_at_their_limits) {
  struct Case {
    std::size_t size;
    std::optional<ResponseError> error;
  };
  const std::vector<Case> cases = {
      {0, ResponseError::shorter_than_4},       {3, ResponseError::shorter_than_4},
      {4, ResponseError::shorter_than_header},  {5, ResponseError::shorter_than_header},
      {23, ResponseError::shorter_than_header}, {24, ResponseError::too_short_for_opcode},
      {25, ResponseError::not_multiple_of_4},   {56, ResponseError::too_short_for_opcode},
      {59, ResponseError::not_multiple_of_4},   {60, {}},
      {61, ResponseError::not_multiple_of_4},   {62, ResponseError::not_multiple_of_4},
      {1099, ResponseError::not_multiple_of_4}, {1100, {}},
      {1101, ResponseError::too_long},          {1104, ResponseError::too_long},
  };
  for (const auto& [size, expected] : cases) {
    const auto response = decode_response(resized(octets(map_response_hex), size));
    const auto error = response ? std::nullopt : std::optional(response.error());
    EXPECT_EQ(error, expected) << size;
  }
}

TEST(DecodeResponse, a_request_is_no_response) {
  EXPECT_EQ(decode_response(octets(map_request_hex)).error(), ResponseError::is_request);
}

TEST(AnsweredVersion, is_what_the_server_offers_instead_of_2) {
  const auto pcp_1 = octets("01 81 00 01");
  EXPECT_EQ(decode_response(pcp_1).error(), ResponseError::unsupported_version);
  EXPECT_EQ(answered_version(pcp_1), 1);
  const auto nat_pmp_in_pcp_form = octets("00 81 00 01 00000708 00000010");
  EXPECT_EQ(decode_response(nat_pmp_in_pcp_form).error(), ResponseError::unsupported_version);
  EXPECT_EQ(answered_version(nat_pmp_in_pcp_form), 0);
}

TEST(AnsweredVersion, nat_pmp_refuses_without_the_r_bit) {
  const auto refusal = octets("00 00 0001 00000010");  // RFC 6886 s3.5
  EXPECT_EQ(decode_response(refusal).error(), ResponseError::unsupported_version);
  EXPECT_EQ(answered_version(refusal), 0);
  EXPECT_EQ(decode_response(octets("00 00 0001 000000")).error(), ResponseError::is_request);
  EXPECT_EQ(decode_response(octets("00 00 0002 00000010")).error(), ResponseError::is_request);
}

TEST(AnsweredVersion, is_nothing_without_the_result_code) {
  EXPECT_FALSE(answered_version(octets("03 81 00 00")));
  EXPECT_FALSE(answered_version(octets("03 81 00")));
  EXPECT_FALSE(answered_version(octets("03 01 00 01")));
  EXPECT_FALSE(answered_version(octets("02 81 00 01")));
}

TEST(Encode, a_map_request_as_in_the_rfc) {
  EXPECT_EQ(hex(encode_request(map_request()).octets()), hex(octets(map_request_hex)));
}

TEST(Encode, a_map_response_as_in_the_rfc) {
  EXPECT_EQ(hex(encode_response(map_response()).octets()), hex(octets(map_response_hex)));
}

TEST(Encode, announce_request_and_response_are_headers) {
  const Request request{.opcode = Opcode::announce,
                        .requested_lifetime_s = 0,
                        .client_address = *IpAddress::parse("198.51.100.1"),
                        .body = Announce{},
                        .options = {}};
  EXPECT_EQ(hex(encode_request(request).octets()), hex(octets(announce_request_hex)));
  const Response response{.opcode = Opcode::announce,
                          .result = ResultCode::success,
                          .lifetime_s = 0,
                          .epoch_time_s = 3600,
                          .body = Announce{},
                          .options = {}};
  EXPECT_EQ(hex(encode_response(response).octets()), hex(octets(announce_response_hex)));
}

TEST(EncodeDeathTest, an_opcode_without_its_body_is_a_bug) {
  Request request = map_request();
  request.body = Announce{};
  EXPECT_DEATH(static_cast<void>(encode_request(request)), "bug");
  Response response = map_response();
  response.opcode = Opcode::peer;
  EXPECT_DEATH(static_cast<void>(encode_response(response)), "bug");
}

TEST(EncodeError, is_the_request_with_the_fields_of_the_server_set) {
  const auto request = octets(map_request_hex) + octets("02 00 0000");
  const auto answer = encode_error(request, ResultCode::cannot_provide_external, Seconds{1560}, 1300, true);
  EXPECT_EQ(hex(answer.octets()),
            hex(octets("02 81 00 0b"                       // version, response, MAP, reserved, code 11
                       "00000618 00000514"                 // lifetime 1560, epoch 1300
                       "000000000000000000000000"          // reserved, cleared: the request was parsed
                       "000000000000000000003d45"          // nonce
                       "11 000000 0f62 0f62"               // UDP, reserved, ports
                       "00000000000000000000ffff00000000"  // suggested address
                       "02 00 0000")));                    // PREFER_FAILURE
}

TEST(EncodeError, of_an_unparsed_request_leaves_the_last_96_bits_of_the_client_address) {
  const auto answer =
      encode_error(octets(announce_request_hex), ResultCode::malformed_request, Seconds{1800}, 7, false);
  EXPECT_EQ(hex(answer.octets()), hex(octets("02 80 00 03 00000708 00000007"
                                             "000000000000ffffc6336401")));
}

TEST(EncodeError, sizes_are_a_multiple_of_4_from_24_to_1100) {
  struct Case {
    std::size_t request;
    std::size_t answer;
  };
  const std::vector<Case> cases = {{2, 24},      {3, 24},      {23, 24},     {24, 24},     {25, 28},
                                   {27, 28},     {28, 28},     {59, 60},     {60, 60},     {61, 64},
                                   {1096, 1096}, {1097, 1100}, {1099, 1100}, {1100, 1100}, {1101, 1100},
                                   {1104, 1100}, {65507, 1100}};
  for (const auto& [size, expected] : cases) {
    std::vector<std::byte> request(size, std::byte{0xa5});
    request[1] = std::byte{1};
    const auto answer = encode_error(request, ResultCode::malformed_request, long_error_lifetime, 0, false);
    ASSERT_EQ(answer.octets().size(), expected) << size;
    // What was not received is zero; what is set by the server reaches octet 11.
    for (std::size_t i = 12; i < expected; ++i)
      EXPECT_EQ(answer.octets()[i], i < size ? std::byte{0xa5} : std::byte{0}) << size << ", octet " << i;
  }
}

TEST(EncodeError, to_another_version_says_version_2) {
  // A request of the drafts' version 1: 48 octets, no nonce.
  const auto request = resized(octets("01 01 0000 00008ca0"), 48);
  const auto answer = encode_error(request, ResultCode::unsupp_version, long_error_lifetime, 3600, false);
  EXPECT_EQ(answer.octets().size(), 48U);
  EXPECT_EQ(hex(answer.octets().first(12)), hex(octets("02 81 00 01 00000708 00000e10")));
}

TEST(EncodeError, keeps_an_unknown_opcode_and_what_follows) {
  const auto request = resized(octets("02 7f abcd"), 24) + octets("11 22 33 44");
  const auto answer = encode_error(request, ResultCode::unsupp_opcode, long_error_lifetime, 0, true);
  EXPECT_EQ(hex(answer.octets().first(4)), "02ff0004");
  EXPECT_EQ(hex(answer.octets().subspan(24)), "11223344");
}

TEST(EncodeError, clamps_the_lifetime_to_32_bits) {
  const auto request = octets(announce_request_hex);
  const auto longest = encode_error(request, ResultCode::not_authorized, Seconds{1LL << 32}, 0, true);
  EXPECT_EQ(decode_response(longest.octets())->lifetime_s, UINT32_MAX);
  const auto negative = encode_error(request, ResultCode::not_authorized, Seconds{-1}, 0, true);
  EXPECT_EQ(decode_response(negative.octets())->lifetime_s, 0U);
}

TEST(EncodeErrorDeathTest, success_is_no_error) {
  EXPECT_DEATH(
      static_cast<void>(encode_error(octets(announce_request_hex), ResultCode::success, Seconds{0}, 0, true)),
      "bug");
}

}  // namespace
}  // namespace portolan::wire
