// SPDX-License-Identifier: BSD-2-Clause
#include "wire/describe.h"

#include <algorithm>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "wire/escape.h"
#include "wire/test_octets.h"

namespace portolan::wire {
namespace {

using testing::HasSubstr;

const std::string_view map_request_hex =
    "02 01 0000 00001c20"                // version, MAP, reserved, lifetime 7200
    "20010db8011200000000000000000002"   // client
    "00112233445566778899aabb"           // nonce
    "06 000000 1f90 1f90"                // TCP, reserved, ports 8080
    "00000000000000000000ffff00000000";  // any IPv4 address
const std::string_view announce_response_hex =
    "02 80 00 00 00000000 00000e10"  // version, ANNOUNCE response, SUCCESS, lifetime 0, epoch 3600
    "000000000000000000000000";      // reserved

TEST(Describe, a_map_request_field_by_field) {
  EXPECT_EQ(describe(octets(map_request_hex) + octets("02 00 0000"), 2),
            "  PCP MAP request, 64 octets\n"
            "    Version: 2\n"
            "    Opcode: 1 (MAP)\n"
            "    Requested Lifetime: 7200 s\n"
            "    PCP Client's IP Address: 2001:db8:112::2\n"
            "    Mapping Nonce: 00112233445566778899aabb\n"
            "    Protocol: 6 (tcp)\n"
            "    Internal Port: 8080\n"
            "    Suggested External Port: 8080\n"
            "    Suggested External IP Address: 0.0.0.0 (::ffff:0.0.0.0)\n"
            "    Option PREFER_FAILURE (2), 0 octets\n");
}

TEST(Describe, a_refused_map_field_by_field) {
  auto response = octets(map_request_hex);
  const auto header = octets("02 81 00 0b 0000001e 00000514 000000000000000000000000");
  std::ranges::copy(header, response.begin());
  EXPECT_EQ(describe(response),
            "PCP MAP response, 60 octets\n"
            "  Version: 2\n"
            "  Opcode: 1 (MAP)\n"
            "  Result Code: 11 (CANNOT_PROVIDE_EXTERNAL)\n"
            "  Lifetime: 30 s\n"
            "  Epoch Time: 1300 s\n"
            "  Mapping Nonce: 00112233445566778899aabb\n"
            "  Protocol: 6 (tcp)\n"
            "  Internal Port: 8080\n"
            "  Assigned External Port: 8080\n"
            "  Assigned External IP Address: 0.0.0.0 (::ffff:0.0.0.0)\n");
}

TEST(Describe, a_peer_request_with_its_remote_peer) {
  auto request = octets(map_request_hex) + octets("30a8 0000 20010db80064ff9b00000000c000020a");
  request[1] = std::byte{2};
  const std::string text = describe(request);
  EXPECT_THAT(text, HasSubstr("PCP PEER request, 80 octets\n"));
  EXPECT_THAT(text, HasSubstr("  Remote Peer Port: 12456\n"
                              "  Remote Peer IP Address: 2001:db8:64:ff9b::c000:20a\n"));
}

/// Octets and how they are shown.
struct OptionCase {
  std::string_view octets;
  std::string_view text;
};

TEST(Describe, options_in_the_words_of_their_rfcs) {
  const std::vector<OptionCase> cases = {
      {"01 00 0010 00000000000000000000ffffc6336402",
       "  Option THIRD_PARTY (1), 16 octets:\n    Internal IP Address: 198.51.100.2 (::ffff:198.51.100.2)\n"},
      {"01 00 0004 c6336402",
       "  Option THIRD_PARTY (1), 4 octets:\n    Malformed: wrong length\n    c6 33 64 02\n"},
      {"03 00 0014 00 80 1750 00000000000000000000ffffc00002c8",
       "  Option FILTER (3), 20 octets:\n    Prefix Length: 128 (192.0.2.200/32)\n    Remote Peer Port: "
       "5968\n"
       "    Remote Peer IP Address: 192.0.2.200 (::ffff:192.0.2.200)\n"},
      {"03 00 0014 07 00 0000 00000000000000000000ffff00000000",
       "  Option FILTER (3), 20 octets:\n    Reserved (not zero):\n      07\n    Prefix Length: 0 (removes "
       "all filters)\n"
       "    Remote Peer Port: 0 (all ports)\n    Remote Peer IP Address: 0.0.0.0 (::ffff:0.0.0.0)\n"},
      {"80 00 0007 63616d 22 0a c3a9 00",
       "  Option DESCRIPTION (128), 7 octets:\n    Description: \"cam\\x22\\x0aé\"\n"},
      {"80 00 0002 41 00 0000",
       "  Option DESCRIPTION (128), 2 octets:\n    Description: \"A\\x00\" (malformed)\n"},
      // Prefixes of RFC 7225 s4.1's form: /96, /56 with suffix, /64 with a list of one.
      {"81 00 000e 000c 20010db80064ff9b00000000 0000",
       "  Option PREFIX64 (129), 14 octets:\n    Prefix64: 2001:db8:64:ff9b::/96\n"},
      {"81 00 000e 0007 20010db8012203 0102030405 0000",
       "  Option PREFIX64 (129), 14 octets:\n    Prefix64: 2001:db8:122:300::/56\n    Suffix:\n"
       "      01 02 03 04 05\n"},
      {"81 00 0016 0008 20010db801220344 00000000 0001 0018c0000200 0000",
       "  Option PREFIX64 (129), 22 octets:\n    Prefix64: 2001:db8:122:344::/64\n    IPv4 Prefix Count: 1\n"
       "    IPv4 Prefix: 192.0.2.0/24\n"},
      {"81 00 000e 000d 20010db80064ff9b00000000 0000",
       "  Option PREFIX64 (129), 14 octets:\n    Malformed: wrong content\n    00 0d 20 01 0d b8 00 64 ff 9b "
       "00 00 00 00\n"},
      {"82 00 0005 0002 c350 01 000000",
       "  Option PORT_SET (130), 5 octets:\n    Port Set Size: 2\n    First Internal Port: 50000\n"
       "    Parity Bit: 1\n"},
      {"03 00 0014 00 5f 0000 00000000000000000000ffffc0000200",
       "  Option FILTER (3), 20 octets:\n    Prefix Length: 95 (malformed)\n"
       "    Remote Peer Port: 0 (all ports)\n    Remote Peer IP Address: 192.0.2.0 (::ffff:192.0.2.0)\n"},
      {"81 00 0010 000c 000000000000000000000000 0000",
       "  Option PREFIX64 (129), 16 octets:\n    Prefix64: ::/96 (asks for it)\n    IPv4 Prefix Count: 0\n"},
      {"82 00 0005 ffff c350 00 000000",
       "  Option PORT_SET (130), 5 octets:\n    Port Set Size: 65535 (as many as possible)\n"
       "    First Internal Port: 50000\n    Parity Bit: 0\n"},
      {"82 00 0005 0000 c350 00 000000",
       "  Option PORT_SET (130), 5 octets:\n    Malformed: wrong content\n    00 00 c3 50 00\n"},
      {"7f 00 000c 20010db80064ff9b00000000",
       "  Option PREFIX64_EXPERIMENTAL (127), 12 octets:\n    Prefix: 2001:db8:64:ff9b::/96\n"},
      {"7f 00 000c 000000000000000000000000",
       "  Option PREFIX64_EXPERIMENTAL (127), 12 octets:\n    Prefix: ::/96 (asks for it)\n"},
      {"84 00 0000", "  Option PORT_RESERVATION (132), 0 octets\n"},
      {"84 00 0001 05 000000",
       "  Option PORT_RESERVATION (132), 1 octets:\n    Malformed: wrong length\n    05\n"},
      {"c0 00 0000", "  Option CHECKPOINT_REQUIRED (192), 0 octets\n"},
      {"0d 00 0002 abcd 0000", "  Option THIRD_PARTY_ID (13), 2 octets:\n    Third Party ID:\n      ab cd\n"},
      {"7e 00 0004 deadbeef", "  Option 126 (unassigned), 4 octets:\n    de ad be ef\n"},
      {"02 00 0000 01 00 0010",
       "  Option PREFER_FAILURE (2), 0 octets\n"
       "  Malformed options: a length runs past the end of the message:\n    01 00 00 10\n"},
  };
  for (const OptionCase& option : cases) {
    const std::string text = describe(octets(announce_response_hex) + octets(option.octets));
    EXPECT_THAT(text, testing::EndsWith("  Epoch Time: 3600 s\n" + std::string(option.text)));
  }
}

TEST(Describe, version_1_without_nonce) {
  const auto request = octets("01 01 0000 00001c20 20010db8011200000000000000000002") +
                       octets("06 000000 1f90 1f90 00000000000000000000ffff00000000");
  EXPECT_EQ(describe(request),
            "PCP version 1 MAP request, 48 octets\n"
            "  Version: 1 (drafts before RFC 6887)\n"
            "  Opcode: 1 (MAP)\n"
            "  Requested Lifetime: 7200 s\n"
            "  PCP Client's IP Address: 2001:db8:112::2\n"
            "  Protocol: 6 (tcp)\n"
            "  Internal Port: 8080\n"
            "  Suggested External Port: 8080\n"
            "  Suggested External IP Address: 0.0.0.0 (::ffff:0.0.0.0)\n");
  EXPECT_THAT(describe(resized(request, 1028)), HasSubstr("Malformed: longer than 1024 octets"));
  EXPECT_THAT(describe(resized(request, 1024)), testing::Not(HasSubstr("longer than")));
}

TEST(Describe, nat_pmp_in_the_words_of_its_rfc) {
  const std::vector<OptionCase> cases = {
      {"00 00", "NAT-PMP External Address request, 2 octets\n  Version: 0\n  Opcode: 0 (External Address)\n"},
      {"00 80 0000 00000e10 c000020e",
       "NAT-PMP External Address response, 12 octets\n  Version: 0\n  Opcode: 0 (External Address)\n"
       "  Result Code: 0 (Success)\n  Seconds Since Start of Epoch: 3600 s\n"
       "  External IPv4 Address: 192.0.2.14\n"},
      {"00 01 0000 1f90 1f91 00001c20",
       "NAT-PMP Map UDP request, 12 octets\n  Version: 0\n  Opcode: 1 (Map UDP)\n  Internal Port: 8080\n"
       "  Suggested External Port: 8081\n  Requested Port Mapping Lifetime: 7200 s\n"},
      {"00 02 0001 1f90 0000 00000000 ab",
       "NAT-PMP Map TCP request, 13 octets\n  Version: 0\n  Opcode: 2 (Map TCP)\n  Reserved (not zero):\n"
       "    00 01\n  Internal Port: 8080\n  Suggested External Port: 0\n"
       "  Requested Port Mapping Lifetime: 0 s (delete)\n  Octets not decoded:\n    ab\n"},
      {"00 02 0000 0000 0000 00000000",
       "NAT-PMP Map TCP request, 12 octets\n  Version: 0\n  Opcode: 2 (Map TCP)\n  Internal Port: 0\n"
       "  Suggested External Port: 0\n  Requested Port Mapping Lifetime: 0 s (delete all)\n"},
      {"00 82 0004 00000e10 1f90 0000 00000000",
       "NAT-PMP Map TCP response, 16 octets\n  Version: 0\n  Opcode: 2 (Map TCP)\n"
       "  Result Code: 4 (Out of resources)\n  Seconds Since Start of Epoch: 3600 s\n"
       "  Internal Port: 8080\n  Mapped External Port: 0\n  Port Mapping Lifetime: 0 s\n"},
      {"00 00 0001 00000e10",
       "NAT-PMP refusal of another version, 8 octets\n  Version: 0\n"
       "  Result Code: 1 (Unsupported Version)\n  Seconds Since Start of Epoch: 3600 s\n"},
      {"00 03 abcd",
       "NAT-PMP opcode 3 request, 4 octets\n  Version: 0\n  Opcode: 3 (unassigned)\n"
       "  Octets not decoded:\n    ab cd\n"},
      {"00 83 0005 abcd",
       "NAT-PMP opcode 3 response, 6 octets\n  Version: 0\n  Opcode: 3 (unassigned)\n"
       "  Result Code: 5 (Unsupported opcode)\n  Octets not decoded:\n    ab cd\n"},
      {"00 01 0000", "Not a NAT-PMP message (too short for its opcode), 4 octets:\n  00 01 00 00\n"},
      {"00 81 00", "Not a NAT-PMP message (shorter than 4 octets), 3 octets:\n  00 81 00\n"},
  };
  for (const OptionCase& message : cases) EXPECT_EQ(describe(octets(message.octets)), message.text);
}

TEST(Describe, what_no_one_would_accept_with_the_reason) {
  EXPECT_EQ(describe({}), "Not a PCP or NAT-PMP message (shorter than 2 octets), 0 octets\n");
  EXPECT_EQ(describe(octets("02 01 00")),
            "Not a PCP or NAT-PMP message (shorter than the 24 octets of a header), 3 octets:\n  02 01 00\n");
  EXPECT_EQ(describe(octets("03 01 00")),
            "Not a PCP or NAT-PMP message (version 3), 3 octets:\n  03 01 00\n");
  EXPECT_EQ(describe(octets("01")),
            "Not a PCP or NAT-PMP message (shorter than 2 octets), 1 octets:\n  01\n");
  EXPECT_THAT(describe(resized(octets(map_request_hex), 57)), HasSubstr("not a multiple of 4 octets long"));
  EXPECT_THAT(
      describe(resized(octets(map_request_hex), 28)),
      HasSubstr("  Opcode-specific octets, not decoded (too short for the opcode):\n    00 11 22 33\n"));
  EXPECT_THAT(describe(resized(octets(map_request_hex), 1104)),
              HasSubstr("Malformed: longer than 1100 octets"));
}

TEST(Describe, an_unknown_opcode_and_result_by_number) {
  auto response = octets(announce_response_hex) + octets("01020304");
  response[1] = std::byte{0xff};
  response[3] = std::byte{200};
  const std::string text = describe(response);
  EXPECT_THAT(text, HasSubstr("  Opcode: 127 (unassigned)\n  Result Code: 200 (unassigned)\n"));
  EXPECT_THAT(text, HasSubstr("  Opcode-specific octets, not decoded (unknown opcode):\n    01 02 03 04\n"));
}

TEST(Describe, reserved_fields_only_if_someone_used_them) {
  auto response = octets(announce_response_hex);
  response[23] = std::byte{9};
  EXPECT_THAT(describe(response),
              HasSubstr("  Reserved (not zero):\n    00 00 00 00 00 00 00 00 00 00 00 09\n"));
}

TEST(Describe, at_most_256_octets_of_what_is_not_decoded) {
  EXPECT_THAT(describe(std::vector<std::byte>(256, std::byte{3})), testing::Not(HasSubstr("more")));
  EXPECT_THAT(describe(std::vector<std::byte>(257, std::byte{3})), HasSubstr("  ... and 1 octets more\n"));
}

TEST(Escape, keeps_text_and_hides_what_could_deceive) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"camera", "camera"},
      {"caméra 摄像 📷", "caméra 摄像 📷"},
      {"a\x1b[2Jb", "a\\x1b[2Jb"},
      {"say \"hi\" \\", "say \\x22hi\\x22 \\x5c"},
      {"\x7f\xc2\x9b", "\\x7f\\xc2\\x9b"},  // DEL, C1 CSI
      {"\xe2\x80\xae"
       "gpj.exe",
       "\\xe2\\x80\\xaegpj.exe"},                    // right-to-left override
      {"\xff\xc0\x80", "\\xff\\xc0\\x80"},           // no UTF-8, overlong NUL
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // behind U+10FFFF
      {"\xe2\x82", "\\xe2\\x82"},                    // cut off
      {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},           // overlong
  };
  for (const auto& [text, expected] : cases)
    EXPECT_EQ(escape(std::as_bytes(std::span(text))), expected) << expected;
}

TEST(Escape, printable_text_keeps_quotes_and_the_escapes_it_came_with) {
  EXPECT_EQ(printable("say \"hi\" \\x1b"), "say \"hi\" \\x1b");
  EXPECT_EQ(printable("caméra\x1b[2J\n\xc2\x9b\xff"), "caméra\\x1b[2J\\x0a\\xc2\\x9b\\xff");
}

}  // namespace
}  // namespace portolan::wire
