// SPDX-License-Identifier: BSD-2-Clause
//
// PEER messages (RFC 6887 s12.1), and version 1, which has MAP and PEER without nonce.
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "wire/message.h"
#include "wire/options.h"
#include "wire/test_octets.h"

namespace portolan::wire {
namespace {

constexpr Versions with_version_1{.version_1 = true};

// A host behind a NAT64 asks to keep its connection to the peer its resolver calls 64:ff9b::192.0.2.10.
const std::string_view peer_request_hex =
    "02 02 0000"                         // version, opcode PEER, reserved
    "00001c20"                           // requested lifetime 7200
    "20010db8011200000000000000000002"   // client 2001:db8:112::2
    "00112233445566778899aabb"           // nonce
    "06 000000"                          // TCP, reserved
    "c350 0000"                          // internal port 50000, any external port
    "00000000000000000000ffff00000000"   // any IPv4 address
    "01bb 0000"                          // remote peer port 443, reserved
    "0064ff9b0000000000000000c000020a";  // 64:ff9b::192.0.2.10
const std::string_view peer_response_hex =
    "02 82 00 00"                        // version, response, opcode PEER, reserved, SUCCESS
    "000001f4"                           // lifetime 500
    "000004e2"                           // epoch 1250
    "000000000000000000000000"           // reserved
    "00112233445566778899aabb"           // nonce
    "06 000000"                          // TCP, reserved
    "c350 9c40"                          // internal port 50000, assigned external port 40000
    "00000000000000000000ffffc633640e"   // 198.51.100.14
    "01bb 0000"                          // remote peer port 443, reserved
    "0064ff9b0000000000000000c000020a";  // 64:ff9b::192.0.2.10

auto peer_request() -> PeerRequest {
  return {.nonce = *Nonce::parse("00112233445566778899aabb"),
          .protocol = Protocol::tcp,
          .internal_port = Port{50000},
          .suggested_external_port = Port{0},
          .suggested_external_address = IpAddress::unspecified(Family::ipv4),
          .remote_peer_port = Port{443},
          .remote_peer_address = *IpAddress::parse("64:ff9b::192.0.2.10")};
}

auto peer_response() -> PeerResponse {
  return {.nonce = *Nonce::parse("00112233445566778899aabb"),
          .protocol = Protocol::tcp,
          .internal_port = Port{50000},
          .assigned_external_port = Port{40000},
          .assigned_external_address = *IpAddress::parse("198.51.100.14"),
          .remote_peer_port = Port{443},
          .remote_peer_address = *IpAddress::parse("64:ff9b::192.0.2.10")};
}

TEST(Peer, request_has_every_field) {
  const auto datagram = octets(peer_request_hex);
  ASSERT_EQ(datagram.size(), peer_message_octets);
  const auto request = decode_request(datagram);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->version, version_2);
  EXPECT_EQ(request->opcode, Opcode::peer);
  EXPECT_EQ(request->requested_lifetime_s, 7200U);
  EXPECT_EQ(request->client_address, *IpAddress::parse("2001:db8:112::2"));
  EXPECT_EQ(std::get<PeerRequest>(request->body), peer_request());
  EXPECT_EQ(hex(encode_request(*request).octets()), hex(datagram));
}

TEST(Peer, response_has_every_field) {
  const auto datagram = octets(peer_response_hex);
  const auto response = decode_response(datagram);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->opcode, Opcode::peer);
  EXPECT_EQ(response->result, ResultCode::success);
  EXPECT_EQ(response->lifetime_s, 500U);
  EXPECT_EQ(response->epoch_time_s, 1250U);
  EXPECT_EQ(std::get<PeerResponse>(response->body), peer_response());
  EXPECT_EQ(hex(encode_response(*response).octets()), hex(datagram));
}

TEST(Peer, reserved_fields_are_ignored_and_options_follow) {
  auto datagram = octets(peer_request_hex) + octets("01 00 0010 20010db8011200000000000000000003");
  for (const std::size_t reserved : {37U, 38U, 39U, 62U, 63U}) datagram[reserved] = std::byte{0xff};
  const auto request = decode_request(datagram);
  ASSERT_TRUE(request);
  EXPECT_EQ(std::get<PeerRequest>(request->body), peer_request());
  ASSERT_TRUE(request->options.is_well_formed());
  EXPECT_EQ(request->options.begin()->code, OptionCode::third_party);
}

TEST(Peer, sizes_are_checked_at_their_limits) {
  const auto error = [](std::string_view message, std::size_t size, Versions versions) {
    const auto request = decode_request(resized(octets(message), size), versions);
    return request ? std::nullopt : std::optional(request.error());
  };
  EXPECT_EQ(error(peer_request_hex, 60, {}), RequestError::too_short_for_opcode);
  EXPECT_EQ(error(peer_request_hex, 76, {}), RequestError::too_short_for_opcode);
  EXPECT_EQ(error(peer_request_hex, 79, {}), RequestError::not_multiple_of_4);
  EXPECT_EQ(error(peer_request_hex, 80, {}), std::nullopt);
  EXPECT_EQ(error(peer_request_hex, 84, {}), std::nullopt);
  EXPECT_EQ(error(peer_request_hex, 1100, {}), std::nullopt);
  EXPECT_EQ(error(peer_request_hex, 1104, {}), RequestError::too_long);
}

// A MAP request and its answer in version 1, with the PREFIX64 option of that time, as presented at
// IETF 85: kept octet by octet, addresses included.
const std::string_view slide_request_hex =
    "01 01 0000 00008ca0 200106881f943000289f0db7e8ae2988"  // MAP, 36000 s, client
    "11 000000 0f62 0f62 00000000000000000000ffff00000000"  // UDP, 3938, 3938, any IPv4 address
    "7f 00 000c 000000000000000000000000";                  // which prefix?
const std::string_view slide_response_hex =
    "01 81 00 00 00008ca0 00000001 000000000000000000000000"  // MAP, SUCCESS, 36000 s, epoch 1
    "11 000000 0f62 0f62 00000000000000000000ffffa169c20e"    // UDP, 3938, 3938, 161.105.194.14
    "7f 00 000c 200106881f94300a00000000";                    // 2001:688:1f94:300a::/96

TEST(Version1, the_request_of_the_slides_octet_by_octet) {
  const auto datagram = octets(slide_request_hex);
  const auto request = decode_request(datagram, with_version_1);
  ASSERT_TRUE(request);
  EXPECT_EQ(request->version, version_1);
  EXPECT_EQ(request->opcode, Opcode::map);
  EXPECT_EQ(request->requested_lifetime_s, 36000U);
  const MapRequest map{.nonce = {},
                       .protocol = Protocol::udp,
                       .internal_port = Port{3938},
                       .suggested_external_port = Port{3938},
                       .suggested_external_address = IpAddress::unspecified(Family::ipv4)};
  EXPECT_EQ(std::get<MapRequest>(request->body), map);
  ASSERT_TRUE(request->options.is_well_formed());
  const auto prefix = ExperimentalPrefix64::decode(request->options.begin()->data);
  ASSERT_TRUE(prefix);
  EXPECT_TRUE(prefix->is_request());

  Datagram again = encode_request(*request);
  EXPECT_TRUE(append_option(again, *prefix));
  EXPECT_EQ(hex(again.octets()), hex(datagram));
}

TEST(Version1, the_answer_of_the_slides_octet_by_octet) {
  const auto datagram = octets(slide_response_hex);
  const auto response = decode_response(datagram, with_version_1);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->version, version_1);
  EXPECT_EQ(response->result, ResultCode::success);
  EXPECT_EQ(response->epoch_time_s, 1U);
  const MapResponse map{.nonce = {},
                        .protocol = Protocol::udp,
                        .internal_port = Port{3938},
                        .assigned_external_port = Port{3938},
                        .assigned_external_address = *IpAddress::parse("161.105.194.14")};
  EXPECT_EQ(std::get<MapResponse>(response->body), map);
  const ExperimentalPrefix64 prefix{.prefix = *Prefix::parse("2001:688:1f94:300a::/96")};
  EXPECT_EQ(ExperimentalPrefix64::decode(response->options.begin()->data), prefix);

  Datagram again = encode_response(*response);
  EXPECT_TRUE(append_option(again, prefix));
  EXPECT_EQ(hex(again.octets()), hex(datagram));
}

TEST(Version1, is_refused_unless_asked_for) {
  EXPECT_EQ(decode_request(octets(slide_request_hex)).error(), RequestError::unsupported_version);
  EXPECT_EQ(decode_response(octets(slide_response_hex)).error(), ResponseError::unsupported_version);
  EXPECT_EQ(decode_request(octets("0101"), with_version_1).error(), RequestError::shorter_than_header);
  EXPECT_EQ(decode_request(octets("0301"), with_version_1).error(), RequestError::unsupported_version);
  EXPECT_EQ(decode_request(octets("0001"), with_version_1).error(), RequestError::unsupported_version);
  EXPECT_TRUE(decode_request(octets(peer_request_hex), with_version_1)) << "version 2 always is";
}

TEST(Version1, peer_lacks_the_nonce) {
  PeerRequest peer = peer_request();
  peer.nonce = {};
  const Datagram datagram = encode_request({.version = version_1,
                                            .opcode = Opcode::peer,
                                            .requested_lifetime_s = 7200,
                                            .client_address = *IpAddress::parse("2001:db8:112::2"),
                                            .body = peer,
                                            .options = {}});
  EXPECT_EQ(hex(datagram.octets()), hex(octets("01 02 0000 00001c20 20010db8011200000000000000000002"
                                               "06 000000 c350 0000 00000000000000000000ffff00000000"
                                               "01bb 0000 0064ff9b0000000000000000c000020a")));
  EXPECT_EQ(datagram.octets().size(), 68U);
  const auto decoded = decode_request(datagram.octets(), with_version_1);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<PeerRequest>(decoded->body), peer);
}

TEST(Version1, sizes_are_checked_at_their_limits) {
  const auto error = [](unsigned opcode, std::size_t size) {
    auto message = resized(octets(slide_request_hex), size);
    message[1] = static_cast<std::byte>(opcode);
    const auto request = decode_request(message, with_version_1);
    return request ? std::nullopt : std::optional(request.error());
  };
  EXPECT_EQ(error(0, 24), std::nullopt);
  EXPECT_EQ(error(1, 44), RequestError::too_short_for_opcode);
  EXPECT_EQ(error(1, 48), std::nullopt);
  EXPECT_EQ(error(2, 64), RequestError::too_short_for_opcode);
  EXPECT_EQ(error(2, 68), std::nullopt);
  EXPECT_EQ(error(1, 1020), std::nullopt);
  EXPECT_EQ(error(1, 1024), std::nullopt);
  EXPECT_EQ(error(1, 1028), RequestError::too_long);
}

TEST(Version1, error_answers_are_in_the_version_asked_for) {
  const auto request = resized(octets(slide_request_hex), 1100);
  const Datagram own =
      encode_error(request, ResultCode::malformed_request, long_error_lifetime, 7, false, version_1);
  EXPECT_EQ(own.octets().size(), 1024U);
  EXPECT_EQ(hex(own.octets().first(12)), hex(octets("01 81 00 03 00000708 00000007")));
  const Datagram other = encode_error(request, ResultCode::unsupp_version, long_error_lifetime, 7, false);
  EXPECT_EQ(other.octets().size(), 1100U);
  EXPECT_EQ(hex(other.octets().first(12)), hex(octets("02 81 00 01 00000708 00000007")));
}

TEST(WriteError, may_overwrite_the_request_it_answers) {
  const auto request = octets(peer_request_hex);
  const ErrorAnswer answer{
      .result = ResultCode::not_authorized, .lifetime = Seconds{90}, .epoch_time_s = 7, .parsed = true};
  std::array<std::byte, message_octets_max> apart{};
  const std::size_t size = write_error(request, answer, apart);
  for (const std::size_t offset : {0U, 1U, 40U}) {
    std::array<std::byte, message_octets_max + 40> same{};
    std::ranges::copy(request, same.begin() + static_cast<std::ptrdiff_t>(offset));
    EXPECT_EQ(write_error(std::span(same).subspan(offset, request.size()), answer, same), size);
    EXPECT_EQ(hex(std::span(same).first(size)), hex(std::span(apart).first(size))) << offset;
  }
}

}  // namespace
}  // namespace portolan::wire
