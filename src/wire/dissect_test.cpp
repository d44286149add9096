// SPDX-License-Identifier: BSD-2-Clause
#include "wire/dissect.h"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/message.h"
#include "wire/options.h"
#include "wire/test_octets.h"
#include "wire/test_values.h"

namespace portolan::wire {
namespace {

/// As a test compares them: level, place, name, value, source.
auto rows(const std::vector<Field>& fields) -> std::vector<std::string> {
  std::vector<std::string> lines;
  lines.reserve(fields.size());
  for (const Field& field : fields)
    lines.push_back(fmt::format("{} {} {}+{} {}: {} [{}]", to_string(field.kind), field.level, field.offset,
                                field.size, field.name, field.value, field.source));
  return lines;
}

TEST(Dissect, each_field_of_a_map_request_with_its_octets_and_section) {
  const auto request = octets(
      "02 01 0000 00001c20 20010db8011200000000000000000002 00112233445566778899aabb"
      "06 000000 1f90 1f91 00000000000000000000ffff00000000 80 00 0003 63616d 00");
  EXPECT_EQ(rows(dissect(request)),
            (std::vector<std::string>{
                "heading 0 0+68 PCP MAP request: 68 octets [RFC 6887 s7.1]",
                "value 1 0+1 Version: 2 [RFC 6887 s7.1]",
                "value 1 1+1 Opcode: 1 (MAP) [RFC 6887 s7.1]",
                "reserved 1 2+2 Reserved: 00 00 [RFC 6887 s7.1]",
                "value 1 4+4 Requested Lifetime: 7200 s [RFC 6887 s7.1]",
                "value 1 8+16 PCP Client's IP Address: 2001:db8:112::2 [RFC 6887 s7.1]",
                "value 1 24+12 Mapping Nonce: 00112233445566778899aabb [RFC 6887 s11.1]",
                "value 1 36+1 Protocol: 6 (tcp) [RFC 6887 s11.1]",
                "reserved 1 37+3 Reserved: 00 00 00 [RFC 6887 s11.1]",
                "value 1 40+2 Internal Port: 8080 [RFC 6887 s11.1]",
                "value 1 42+2 Suggested External Port: 8081 [RFC 6887 s11.1]",
                "value 1 44+16 Suggested External IP Address: 0.0.0.0 (::ffff:0.0.0.0) [RFC 6887 s11.1]",
                "heading 1 60+8 Option DESCRIPTION (128): 3 octets [RFC 7220 s2]",
                "frame 2 60+1 Option Code: 128 [RFC 6887 s7.3]",
                "reserved 2 61+1 Reserved: 00 [RFC 6887 s7.3]",
                "frame 2 62+2 Option Length: 3 [RFC 6887 s7.3]",
                "value 2 64+3 Description: \"cam\" [RFC 7220 s2]",
                "reserved 2 67+1 Padding: 00 [RFC 6887 s7.3]",
            }));
}

TEST(Dissect, faults_have_no_octets_and_stand_where_they_are_noticed) {
  const auto cut = octets("02 01 0000 00001c20 20010db8011200000000000000000002 0011");
  const auto fields = dissect(cut);
  EXPECT_EQ(rows({fields[1]}).front(),
            "fault 1 0+0 Malformed: not a multiple of 4 octets long [RFC 6887 s7]");
  EXPECT_EQ(
      rows({fields.back()}).front(),
      "octets 1 24+2 Opcode-specific octets, not decoded (too short for the opcode): 00 11 [RFC 6887 s7]");
}

/// Fields but headings and faults follow each other without gaps, and all is within its heading.
void check_tiling(const std::vector<std::byte>& datagram) {
  std::size_t end = 0;
  std::vector<Field> headings;
  for (const Field& field : dissect(datagram)) {
    while (!headings.empty() && headings.back().level >= field.level) headings.pop_back();
    RC_ASSERT(field.level == headings.size());
    if (!headings.empty())
      RC_ASSERT(field.offset + field.size <= headings.back().offset + headings.back().size);
    if (field.kind == Field::Kind::heading) {
      RC_ASSERT(field.offset == end);
      headings.push_back(field);
    } else if (field.kind != Field::Kind::fault) {
      RC_ASSERT(field.offset == end);
      end += field.size;
    }
  }
  RC_ASSERT(end == datagram.size());
}

RC_GTEST_PROP(Dissect, every_octet_of_anything_is_in_one_field, ()) {
  auto datagram = any_bytes(200);
  // Most random octets are of no version: these are of one.
  if (!datagram.empty()) datagram[0] = static_cast<std::byte>(*rc::gen::inRange(0, 4));
  check_tiling(datagram);
}

RC_GTEST_PROP(Dissect, every_octet_of_a_message_with_options_is_in_one_field, ()) {
  Request request;
  request.version = *rc::gen::element(version_1, version_2);
  request.opcode = *rc::gen::element(Opcode::announce, Opcode::map, Opcode::peer);
  request.client_address = any_address();
  if (request.opcode == Opcode::announce) request.body = Announce{};
  if (request.opcode == Opcode::map) request.body = MapRequest{};
  if (request.opcode == Opcode::peer) request.body = PeerRequest{};
  Datagram message = encode_request(request);
  const int options = *rc::gen::inRange(0, 5);
  for (int i = 0; i < options; ++i) {
    // A length that fits the option now and then.
    const auto code = *rc::gen::element(1, 2, 3, 13, 127, 128, 129, 130, 132, 192, 77);
    const auto size = *rc::gen::element<std::size_t>(0, 4, 5, 12, 14, 16, 20, 22);
    auto data = any_bytes(size + 1);
    data.resize(size);
    // Prefix lengths that PREFIX64 takes.
    if (code == 129 && size > 1)
      data[0] = std::byte{0}, data[1] = static_cast<std::byte>(*rc::gen::inRange(0, 13));
    RC_ASSERT(append_option(message, static_cast<OptionCode>(code), data));
  }
  std::vector<std::byte> datagram(message.octets().begin(), message.octets().end());
  if (*rc::gen::arbitrary<bool>()) datagram.resize(*rc::gen::inRange<std::size_t>(0, datagram.size() + 1));
  check_tiling(datagram);
}

RC_GTEST_PROP(Dissect, every_octet_of_nat_pmp_is_in_one_field, ()) {
  auto datagram = any_bytes(24);
  for (std::size_t i = 0; i < std::min<std::size_t>(datagram.size(), 2); ++i)
    datagram[i] =
        i == 0 ? std::byte{0} : static_cast<std::byte>(*rc::gen::element(0, 1, 2, 3, 128, 129, 130, 131));
  check_tiling(datagram);
}

}  // namespace
}  // namespace portolan::wire
