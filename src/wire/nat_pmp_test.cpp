// SPDX-License-Identifier: BSD-2-Clause
#include "wire/nat_pmp.h"

#include <array>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/protocol.h"
#include "wire/test_octets.h"
#include "wire/test_values.h"

namespace portolan::wire::nat_pmp {
namespace {

auto request_octets(const Request& request) -> std::string {
  std::array<std::byte, map_request_octets> buffer{};
  return hex(std::span(buffer).first(write_request(request, buffer)));
}

auto response_octets(const Response& response) -> std::string {
  std::array<std::byte, map_response_octets> buffer{};
  return hex(std::span(buffer).first(write_response(response, buffer)));
}

TEST(NatPmpRequest, for_the_address) {
  EXPECT_EQ(request_octets(AddressRequest{}), "0000");
  EXPECT_EQ(decode_request(octets("0000")), Request{AddressRequest{}});
  EXPECT_EQ(decode_request(octets("0000abcd")), Request{AddressRequest{}});
}

TEST(NatPmpRequest, for_a_mapping) {
  const MapRequest udp{.protocol = Protocol::udp,
                       .internal_port = Port{8080},
                       .suggested_external_port = Port{8081},
                       .requested_lifetime_s = recommended_lifetime_s};
  EXPECT_EQ(request_octets(udp), hex(octets("00 01 0000 1f90 1f91 00001c20")));
  EXPECT_EQ(decode_request(octets("00 01 0000 1f90 1f91 00001c20")), Request{udp});
  EXPECT_EQ(decode_request(octets("00 01 ffff 1f90 1f91 00001c20")), Request{udp});  // reserved
  MapRequest tcp = udp;
  tcp.protocol = Protocol::tcp;
  EXPECT_EQ(request_octets(tcp), hex(octets("00 02 0000 1f90 1f91 00001c20")));
  EXPECT_EQ(decode_request(octets("00 02 0000 1f90 1f91 00001c20 ff")), Request{tcp});
  EXPECT_FALSE(tcp.is_delete());
}

TEST(NatPmpRequest, to_delete_one_or_all) {
  MapRequest map{.protocol = Protocol::tcp, .internal_port = Port{8080}};
  EXPECT_TRUE(map.is_delete());
  EXPECT_FALSE(map.is_delete_all());
  map.internal_port = Port{};
  EXPECT_TRUE(map.is_delete_all());
  map.suggested_external_port = Port{1};
  EXPECT_TRUE(map.is_delete_all());
  map.suggested_external_port = Port{};
  map.requested_lifetime_s = 1;
  EXPECT_FALSE(map.is_delete() || map.is_delete_all());
}

struct RefusedRequest {
  std::string_view octets;
  RequestError error;
};

TEST(NatPmpRequest, refused_with_the_first_reason) {
  const std::vector<RefusedRequest> cases = {
      {"", RequestError::shorter_than_2},
      {"00", RequestError::shorter_than_2},
      {"00 80", RequestError::is_response},
      {"00 ff", RequestError::is_response},
      {"02 81", RequestError::is_response},
      {"02 01", RequestError::other_version},
      {"01 00", RequestError::other_version},
      {"00 01", RequestError::too_short_for_opcode},
      {"00 01 0000 1f90 1f91 00001c", RequestError::too_short_for_opcode},
      {"00 02 0000 1f90 1f91 00001c", RequestError::too_short_for_opcode},
  };
  for (const RefusedRequest& test : cases) {
    const auto request = decode_request(octets(test.octets));
    ASSERT_FALSE(request) << test.octets;
    EXPECT_EQ(request.error(), test.error) << test.octets << " is " << to_string(request.error());
  }
}

TEST(NatPmpRequest, of_an_unknown_opcode_comes_back_whole) {
  for (const std::string_view opcode : {"03", "7f"}) {
    const auto request = octets("00") + octets(opcode) + octets("0102 03040506");
    const auto decoded = decode_request(request);
    ASSERT_TRUE(decoded);
    EXPECT_TRUE(std::holds_alternative<UnknownOpcode>(*decoded));
    std::array<std::byte, message_octets_max> buffer{};
    const auto answer = std::span(buffer).first(write_unsupported_opcode(request, buffer));
    EXPECT_EQ(hex(answer),
              hex(octets("00") + octets(opcode == "03" ? "83" : "ff") + octets("0005 03040506")));
    const auto response = decode_response(answer);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->result, ResultCode::unsupported_opcode);
    EXPECT_TRUE(std::holds_alternative<UnknownOpcode>(response->body));
  }
}

TEST(NatPmpRequest, of_an_unknown_opcode_is_answered_within_limits) {
  std::array<std::byte, 2000> buffer{};
  const auto size_of = [&buffer](std::size_t size) {
    return write_unsupported_opcode(resized(octets("0003"), size), buffer);
  };
  EXPECT_EQ(size_of(2), 4U);
  EXPECT_EQ(size_of(3), 4U);
  EXPECT_EQ(size_of(4), 4U);
  EXPECT_EQ(size_of(5), 5U);
  EXPECT_EQ(size_of(1100), 1100U);
  EXPECT_EQ(size_of(1101), 1100U);
  EXPECT_EQ(hex(std::span(buffer).first(4)), "00830005");
}

TEST(NatPmpResponse, with_the_address) {
  const Response response{.result = ResultCode::success,
                          .epoch_time_s = 3600,
                          .body = AddressResponse{.external_address = *Ipv4Address::parse("192.0.2.14")}};
  EXPECT_EQ(response_octets(response), hex(octets("00 80 0000 00000e10 c000020e")));
  EXPECT_EQ(decode_response(octets("00 80 0000 00000e10 c000020e")), response);
}

TEST(NatPmpResponse, with_a_mapping) {
  const Response response{.result = ResultCode::success,
                          .epoch_time_s = 3600,
                          .body = MapResponse{.protocol = Protocol::udp,
                                              .internal_port = Port{8080},
                                              .mapped_external_port = Port{40000},
                                              .lifetime_s = 7200}};
  EXPECT_EQ(response_octets(response), hex(octets("00 81 0000 00000e10 1f90 9c40 00001c20")));
  EXPECT_EQ(decode_response(octets("00 81 0000 00000e10 1f90 9c40 00001c20")), response);
}

TEST(NatPmpResponse, that_refuses_a_mapping_names_its_port) {
  for (unsigned code = 2; code <= 4; ++code) {
    const Response response{.result = static_cast<ResultCode>(code),
                            .epoch_time_s = 3600,
                            .body = MapResponse{.protocol = Protocol::tcp, .internal_port = Port{8080}}};
    auto expected = octets("00 82 0000 00000e10 1f90 0000 00000000");
    expected[3] = static_cast<std::byte>(code);
    EXPECT_EQ(response_octets(response), hex(expected));
    EXPECT_EQ(decode_response(expected), response);
  }
}

TEST(NatPmpResponse, to_another_version_has_no_response_bit) {
  const Response response{
      .result = ResultCode::unsupported_version, .epoch_time_s = 3600, .body = UnsupportedVersion{}};
  EXPECT_EQ(response_octets(response), hex(octets("00 00 0001 00000e10")));
  EXPECT_EQ(decode_response(octets("00 00 0001 00000e10")), response);
}

struct RefusedResponse {
  std::string_view octets;
  ResponseError error;
};

TEST(NatPmpResponse, refused_with_the_first_reason) {
  const std::vector<RefusedResponse> cases = {
      {"", ResponseError::shorter_than_4},
      {"00 80 00", ResponseError::shorter_than_4},
      {"02 80 0000", ResponseError::other_version},
      {"00 00 0000 00000e10 c000020e", ResponseError::is_request},
      {"00 00 0001 00000e10 c000020e", ResponseError::is_request},
      {"00 00 0001 00000e", ResponseError::is_request},
      {"00 80 0000 00000e10 c00002", ResponseError::too_short_for_opcode},
      {"00 80 0005", ResponseError::too_short_for_opcode},
      {"00 81 0000 00000e10 1f90 9c40 00001c", ResponseError::too_short_for_opcode},
      {"00 82 0000 00000e10 1f90 9c40 00001c", ResponseError::too_short_for_opcode},
  };
  for (const RefusedResponse& test : cases) {
    const auto response = decode_response(octets(test.octets));
    ASSERT_FALSE(response) << test.octets;
    EXPECT_EQ(response.error(), test.error) << test.octets << " is " << to_string(response.error());
  }
}

TEST(NatPmp, words) {
  EXPECT_EQ(to_string(ResultCode::success), "Success");
  EXPECT_EQ(to_string(ResultCode::unsupported_version), "Unsupported Version");
  EXPECT_EQ(to_string(ResultCode::not_authorized), "Not Authorized/Refused");
  EXPECT_EQ(to_string(ResultCode::network_failure), "Network Failure");
  EXPECT_EQ(to_string(ResultCode::out_of_resources), "Out of resources");
  EXPECT_EQ(to_string(ResultCode::unsupported_opcode), "Unsupported opcode");
  EXPECT_EQ(to_string(static_cast<ResultCode>(6)), "result code 6");
  EXPECT_EQ(to_string(Opcode::map_tcp), "Map TCP");
  EXPECT_EQ(to_string(static_cast<Opcode>(3)), "opcode 3");
  EXPECT_EQ(to_string(RequestError::other_version), "of a version other than 0");
  EXPECT_EQ(to_string(ResponseError::is_request), "a request, not a response");
}

/// RapidCheck's own == and that of std::expected are ambiguous.
auto is_same(const auto& decoded, const auto& expected) -> bool { return decoded && *decoded == expected; }

RC_GTEST_PROP(NatPmpProperty, messages_decode_to_what_was_written, ()) {
  const auto protocol = *rc::gen::element(Protocol::udp, Protocol::tcp);
  const MapRequest map{.protocol = protocol,
                       .internal_port = any_port(),
                       .suggested_external_port = any_port(),
                       .requested_lifetime_s = any_number()};
  std::array<std::byte, map_response_octets> buffer{};
  const std::span<std::byte> all(buffer);
  RC_ASSERT(is_same(decode_request(all.first(write_request(map, buffer))), Request{map}));

  Response response{.result = static_cast<ResultCode>(*rc::gen::arbitrary<std::uint16_t>()),
                    .epoch_time_s = any_number(),
                    .body = MapResponse{.protocol = protocol,
                                        .internal_port = any_port(),
                                        .mapped_external_port = any_port(),
                                        .lifetime_s = any_number()}};
  RC_ASSERT(is_same(decode_response(all.first(write_response(response, buffer))), response));
  response.body = AddressResponse{.external_address = {any_number()}};
  RC_ASSERT(is_same(decode_response(all.first(write_response(response, buffer))), response));
}

RC_GTEST_PROP(NatPmpProperty, any_octets_are_decoded_or_refused, ()) {
  auto datagram = any_bytes(40);
  if (!datagram.empty()) datagram[0] = std::byte{0};
  if (datagram.size() >= 2) datagram[1] &= std::byte{0x83};
  const auto request = decode_request(datagram);
  const auto response = decode_response(datagram);
  if (request && response) RC_ASSERT(std::holds_alternative<UnsupportedVersion>(response->body));
}

}  // namespace
}  // namespace portolan::wire::nat_pmp
