// SPDX-License-Identifier: BSD-2-Clause
#include "wire/options.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/test_octets.h"
#include "wire/test_values.h"

namespace portolan::wire {
namespace {

auto bytes(std::string_view text) -> std::span<const std::byte> { return std::as_bytes(std::span(text)); }

/// The octets of an option as it stands in a message.
template <TypedOption T>
auto option_octets(const T& option) -> std::string {
  Datagram datagram;
  datagram.resize(header_octets);
  std::ranges::fill(datagram.buffer(), std::byte{0xee});  // padding must be written, not left
  EXPECT_TRUE(append_option(datagram, option));
  return hex(datagram.octets().subspan(header_octets));
}

/// Hexadecimal text without its spaces.
auto hex_of(std::string_view text) -> std::string { return hex(octets(text)); }

template <typename T>
auto decode_of(std::string_view data) -> std::optional<OptionError> {
  const auto result = T::decode(octets(data));
  return result ? std::nullopt : std::optional(result.error());
}

constexpr auto wrong_length = OptionError::wrong_length;
constexpr auto wrong_content = OptionError::wrong_content;

TEST(ThirdParty, is_an_address) {
  const auto data = octets("00000000000000000000ffffc6336402");
  const ThirdParty option{.internal_address = *IpAddress::parse("198.51.100.2")};
  EXPECT_EQ(ThirdParty::decode(data), option);
  EXPECT_EQ(option_octets(option), hex_of("01 00 0010 00000000000000000000ffffc6336402"));
  EXPECT_EQ(decode_of<ThirdParty>("00000000000000000000ffffc63364"), wrong_length);
  EXPECT_EQ(decode_of<ThirdParty>("00000000000000000000ffffc633640200"), wrong_length);
}

TEST(EmptyOptions, have_no_data) {
  EXPECT_EQ(option_octets(PreferFailure{}), hex_of("02 00 0000"));
  EXPECT_EQ(option_octets(CheckpointRequired{}), hex_of("c0 00 0000"));
  EXPECT_EQ(option_octets(PortReservation{}), hex_of("84 00 0000"));
  EXPECT_TRUE(PreferFailure::decode({}));
  EXPECT_TRUE(CheckpointRequired::decode({}));
  EXPECT_TRUE(PortReservation::decode({}));
  EXPECT_EQ(decode_of<PreferFailure>("00"), wrong_length);
  EXPECT_EQ(decode_of<CheckpointRequired>("00"), wrong_length);
  EXPECT_EQ(decode_of<PortReservation>("00"), wrong_length);
}

TEST(Filter, permits_a_prefix_and_a_port) {
  const auto data = octets("00 78 1750 00000000000000000000ffffc00002c8");
  const Filter filter{
      .prefix_length = 120, .remote_port = Port{5968}, .remote_address = *IpAddress::parse("192.0.2.200")};
  EXPECT_EQ(Filter::decode(data), filter);
  EXPECT_EQ(filter.remote_prefix(), Prefix::parse("192.0.2.0/24"));
  EXPECT_EQ(option_octets(filter), hex_of("03 00 0014 00 78 1750 00000000000000000000ffffc00002c8"));
}

TEST(Filter, reserved_octet_is_ignored) {
  EXPECT_EQ(Filter::decode(octets("ff 80 0050 20010db8000000000000000000000001")),
            Filter::decode(octets("00 80 0050 20010db8000000000000000000000001")));
}

// RFC 6887 erratum 3891.
TEST(Filter, prefix_0_removes_all_and_its_port_and_address_are_ignored) {
  const auto filter = Filter::decode(octets("00 00 1750 00000000000000000000ffffc00002c8"));
  ASSERT_TRUE(filter);
  EXPECT_EQ(*filter, Filter{});
  EXPECT_FALSE(filter->remote_prefix());
  EXPECT_EQ(option_octets(*filter), hex_of("03 00 0014 00 00 0000") + std::string(32, '0'));
}

TEST(Filter, prefix_lengths_are_checked_at_their_limits) {
  const std::string_view ipv4 = "00000000000000000000ffffc00002c8";
  const std::string_view ipv6 = "20010db8000000000000000000000001";
  const std::vector<std::tuple<std::string_view, unsigned, bool>> cases = {
      {ipv4, 0, true},   {ipv4, 1, false},   {ipv4, 95, false}, {ipv4, 96, true}, {ipv4, 97, true},
      {ipv4, 128, true}, {ipv4, 129, false}, {ipv6, 0, true},   {ipv6, 1, true},  {ipv6, 95, true},
      {ipv6, 128, true}, {ipv6, 129, false}, {ipv6, 255, false}};
  for (const auto& [address, length, is_legal] : cases) {
    auto data = octets("00 00 0050") + octets(address);
    data[1] = static_cast<std::byte>(length);
    const auto filter = Filter::decode(data);
    EXPECT_EQ(filter.has_value(), is_legal) << address << "/" << length;
    if (!filter) {
      EXPECT_EQ(filter.error(), wrong_content);
    }
  }
  EXPECT_EQ(decode_of<Filter>("00 80 0050 20010db80000000000000000000000"), wrong_length);
  EXPECT_EQ(decode_of<Filter>("00 80 0050 20010db800000000000000000000000100"), wrong_length);
}

TEST(Filter, ipv4_prefix_96_is_every_ipv4_address) {
  const auto filter = Filter::decode(octets("00 60 0000 00000000000000000000ffffc00002c8"));
  ASSERT_TRUE(filter && filter->remote_prefix());
  EXPECT_EQ(filter->remote_prefix(), Prefix::parse("0.0.0.0/0"));
}

TEST(Description, is_utf8_without_nul) {
  const auto data = octets("63616dc3a9");
  const auto description = Description::decode(data);
  ASSERT_TRUE(description);
  EXPECT_EQ(hex(description->text), "63616dc3a9");
  EXPECT_EQ(option_octets(*description), hex_of("80 00 0005 63616dc3a9 000000"));
  EXPECT_EQ(option_octets(Description{}), hex_of("80 00 0000"));
  EXPECT_TRUE(Description::decode({}));
  EXPECT_EQ(decode_of<Description>("61 00"), wrong_content);
  EXPECT_EQ(decode_of<Description>("00"), wrong_content);
  EXPECT_EQ(decode_of<Description>("61 c3"), wrong_content);        // cut off
  EXPECT_EQ(decode_of<Description>("c080"), wrong_content);         // overlong NUL
  EXPECT_EQ(decode_of<Description>("eda080"), wrong_content);       // surrogate
  EXPECT_EQ(decode_of<Description>("f4908080"), wrong_content);     // behind U+10FFFF
  EXPECT_FALSE(decode_of<Description>("f09f93b7 ef bb bf 0a 1b"));  // anything else is a text
}

TEST(Description, length_is_checked_at_its_limit) {
  const std::string text(1017, 'a');
  EXPECT_TRUE(Description::decode(bytes(text).first(1015)));
  EXPECT_TRUE(Description::decode(bytes(text).first(1016)));
  EXPECT_EQ(Description::decode(bytes(text)).error(), wrong_length);
}

TEST(Description, truncated_at_a_character) {
  const std::string_view text = "aé摄📷b";  // 1, 2, 3, 4 and 1 octets
  const std::vector<std::pair<std::size_t, std::string_view>> cases = {
      {0, ""},     {1, "a"},    {2, "a"},    {3, "aé"},      {4, "aé"},       {5, "aé"},
      {6, "aé摄"}, {7, "aé摄"}, {9, "aé摄"}, {10, "aé摄📷"}, {11, "aé摄📷b"}, {12, "aé摄📷b"}};
  for (const auto& [octets_max, expected] : cases)
    EXPECT_EQ(hex(truncated_text(bytes(text), octets_max)), hex(bytes(expected))) << octets_max;
}

struct Prefix64Case {
  std::string_view octets;  // option with header and padding
  std::string_view prefix;
};

TEST(Prefix64, has_one_of_six_lengths) {
  const std::vector<Prefix64Case> cases = {
      {"8100000e000420010db800000000000000000000", "2001:db8::/32"},
      {"8100000e000520010db801000000000000000000", "2001:db8:100::/40"},
      {"8100000e000620010db801220000000000000000", "2001:db8:122::/48"},
      {"8100000e000720010db801220300000000000000", "2001:db8:122:300::/56"},
      {"8100000e000820010db801220344000000000000", "2001:db8:122:344::/64"},
      {"8100000e000c0064ff9b00000000000000000000", "64:ff9b::/96"},
  };
  for (const Prefix64Case& test : cases) {
    const Prefix64 option{.prefix = *Prefix::parse(test.prefix)};
    EXPECT_EQ(option_octets(option), test.octets);
    const auto message = octets(test.octets);
    EXPECT_EQ(Prefix64::decode(std::span(message).subspan(4, 14)), option);
    EXPECT_FALSE(option.is_request());
  }
}

TEST(Prefix64, other_lengths_are_malformed) {
  for (unsigned length = 0; length <= 0x10d; ++length) {
    auto data = octets("0000 20010db8 0000000000000000");
    data[0] = static_cast<std::byte>(length >> 8);
    data[1] = static_cast<std::byte>(length);
    const bool is_legal = (length >= 4 && length <= 8) || length == 12;
    EXPECT_EQ(Prefix64::decode(data).has_value(), is_legal) << length;
  }
  EXPECT_EQ(decode_of<Prefix64>("0004 20010db8 00000000000000"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>("00"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>(""), wrong_length);
}

TEST(Prefix64, carries_a_suffix) {
  const auto data = octets("0007 20010db8012203 0102030405");
  const auto option = Prefix64::decode(data);
  ASSERT_TRUE(option);
  EXPECT_EQ(option->prefix, Prefix::parse("2001:db8:122:300::/56"));
  EXPECT_EQ(hex(option->suffix), hex_of("0102030405 000000"));
  EXPECT_EQ(option_octets(*option), hex_of("81 00 000e 0007 20010db8012203 0102030405 0000"));
}

TEST(Prefix64, carries_a_list_of_ipv4_prefixes) {
  const auto message = octets("81000016000720010db8012203000000000000010018c00002000000");
  const auto option = Prefix64::decode(std::span(message).subspan(4, 22));
  ASSERT_TRUE(option && option->ipv4_prefixes);
  ASSERT_EQ(option->ipv4_prefixes->size(), 1U);
  EXPECT_EQ((*option->ipv4_prefixes)[0], Prefix::parse("192.0.2.0/24"));
  EXPECT_EQ(option_octets(*option), hex(message));

  std::array<std::byte, 12> room{};
  const std::vector prefixes{*Prefix::parse("192.0.2.0/24"), *Prefix::parse("0.0.0.0/0")};
  const auto list = Ipv4PrefixList::write(prefixes, room);
  ASSERT_TRUE(list);
  const Prefix64 made{.prefix = *Prefix::parse("2001:db8::/32"), .ipv4_prefixes = list};
  EXPECT_EQ(option_octets(made),
            hex_of("81 00 001c 0004 20010db8 0000000000000000 0002 0018c0000200 000000000000"));
  EXPECT_FALSE(Ipv4PrefixList::write(prefixes, std::span(room).first(11)));
}

TEST(Prefix64, list_is_as_long_as_its_count_and_its_prefixes_at_most_32) {
  const std::string head = "000c 0064ff9b0000000000000000 ";
  EXPECT_FALSE(decode_of<Prefix64>(head + "0000"));
  EXPECT_FALSE(decode_of<Prefix64>(head + "0001 0020c0000201"));
  EXPECT_EQ(decode_of<Prefix64>(head + "0001 0021c0000201"), wrong_content);
  EXPECT_EQ(decode_of<Prefix64>(head + "0002 0018c0000200"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>(head + "0000 0018c0000200"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>(head + "ffff 0018c0000200"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>(head + "0001 0018c00002"), wrong_length);
  EXPECT_EQ(decode_of<Prefix64>(head + "00"), wrong_length);
}

TEST(Prefix64, is_asked_for_with_zeros) {
  EXPECT_EQ(option_octets(Prefix64::request()), "8100000e000c" + std::string(28, '0'));
  EXPECT_TRUE(Prefix64::request().is_request());
  const auto list_data = octets("000c 000000000000000000000000 0000");
  const auto with_list = Prefix64::decode(list_data);
  ASSERT_TRUE(with_list);
  EXPECT_TRUE(with_list->is_request());
  const auto entry_data = octets("000c 000000000000000000000000 0001 0018c0000200");
  const auto with_entry = Prefix64::decode(entry_data);
  ASSERT_TRUE(with_entry);
  EXPECT_FALSE(with_entry->is_request());
}

TEST(ExperimentalPrefix64, is_the_bare_prefix) {
  EXPECT_EQ(option_octets(ExperimentalPrefix64{}), "7f00000c" + std::string(24, '0'));
  const ExperimentalPrefix64 option{.prefix = *Prefix::parse("2001:db8:94:300a::/96")};
  EXPECT_EQ(option_octets(option), hex_of("7f00000c 20010db80094300a00000000"));
  EXPECT_EQ(ExperimentalPrefix64::decode(octets("20010db80094300a00000000")), option);
  EXPECT_FALSE(option.is_request());
  EXPECT_TRUE(ExperimentalPrefix64::decode(octets("000000000000000000000000"))->is_request());
  EXPECT_EQ(decode_of<ExperimentalPrefix64>("0000000000000000000000"), wrong_length);
  EXPECT_EQ(decode_of<ExperimentalPrefix64>("00000000000000000000000000"), wrong_length);
}

TEST(PortSet, is_a_size_a_first_port_and_a_parity) {
  const PortSet set{.size = 2, .first_internal_port = Port{50000}, .parity = true};
  EXPECT_EQ(option_octets(set), hex_of("82 00 0005 0002 c350 01 000000"));
  EXPECT_EQ(PortSet::decode(octets("0002 c350 01")), set);
  EXPECT_EQ(PortSet::decode(octets("0002 c350 ff")), set);  // the other bits are reserved
  EXPECT_FALSE(PortSet::decode(octets("0002 c350 fe"))->parity);
  EXPECT_FALSE(decode_of<PortSet>("0001 c350 00"));
  EXPECT_FALSE(decode_of<PortSet>("ffff c350 00"));
  EXPECT_EQ(decode_of<PortSet>("0000 c350 00"), wrong_content);
  EXPECT_EQ(decode_of<PortSet>("0002 c350"), wrong_length);
  EXPECT_EQ(decode_of<PortSet>("0002 c350 00 00"), wrong_length);
}

TEST(ThirdPartyId, is_any_octets_up_to_its_limit) {
  const auto data = octets("00ff10");
  EXPECT_EQ(option_octets(ThirdPartyId{.id = data}), hex_of("0d 00 0003 00ff10 00"));
  EXPECT_EQ(hex(ThirdPartyId::decode(data)->id), "00ff10");
  const std::vector<std::byte> much(1017);
  EXPECT_TRUE(ThirdPartyId::decode(std::span(much).first(1016)));
  EXPECT_EQ(ThirdPartyId::decode(much).error(), wrong_length);
}

TEST(OptionError, says_what_is_wrong) {
  EXPECT_EQ(to_string(OptionError::wrong_length), "wrong length");
  EXPECT_EQ(to_string(OptionError::wrong_content), "wrong content");
}

// A MAP message of version 2 has room for 1036 octets of data in one option, one of version 1 for 972.
TEST(WriteOption, fits_or_leaves_the_message_alone) {
  for (const auto version : {version_1, version_2}) {
    Request request{.version = version,
                    .opcode = Opcode::map,
                    .client_address = *IpAddress::parse("2001:db8::1"),
                    .body = MapRequest{},
                    .options = {}};
    std::array<std::byte, message_octets_max> buffer{};
    const std::size_t size = write_request(request, buffer);
    const std::size_t room = message_limit(version) - size - option_header_octets;
    EXPECT_EQ(room, version == version_1 ? 972U : 1036U);
    const std::vector<std::byte> data(room + 1);
    const auto before = buffer;
    EXPECT_FALSE(write_option(buffer, size, OptionCode::description, data));
    EXPECT_EQ(buffer, before);
    EXPECT_EQ(write_option(buffer, size, OptionCode::description, std::span(data).first(room - 3)),
              message_limit(version));
    EXPECT_EQ(write_option(buffer, size, OptionCode::description, std::span(data).first(room)),
              message_limit(version));
    EXPECT_FALSE(write_option(buffer, message_limit(version), PreferFailure{}));
    EXPECT_EQ(write_option(buffer, message_limit(version) - 4, PreferFailure{}), message_limit(version));
  }
}

/// `option` appended to a message and read back.
template <TypedOption T>
void check_round_trip(const T& option) {
  Datagram datagram =
      encode_request({.opcode = Opcode::announce, .client_address = {}, .body = Announce{}, .options = {}});
  RC_ASSERT(append_option(datagram, option));
  const auto message = decode_request(datagram.octets());
  RC_ASSERT(message.has_value());
  RC_ASSERT(message->options.is_well_formed());
  RC_ASSERT(message->options.begin()->code == T::code);
  const auto decoded = T::decode(message->options.begin()->data);
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(*decoded == option);
}

RC_GTEST_PROP(OptionProperty, fixed_options_decode_to_what_was_written, ()) {
  check_round_trip(ThirdParty{.internal_address = any_address()});
  check_round_trip(PreferFailure{});
  check_round_trip(CheckpointRequired{});
  check_round_trip(PortReservation{});
  check_round_trip(PortSet{.size = *rc::gen::inRange<std::uint16_t>(1, UINT16_MAX),
                           .first_internal_port = any_port(),
                           .parity = *rc::gen::arbitrary<bool>()});
  check_round_trip(ExperimentalPrefix64{.prefix = Prefix{any_address(), 96}});
  const IpAddress remote = any_address();
  const int shortest = remote.is_ipv4() ? 96 : 1;
  check_round_trip(Filter{.prefix_length = static_cast<std::uint8_t>(*rc::gen::inRange(shortest, 129)),
                          .remote_port = any_port(),
                          .remote_address = remote});
}

RC_GTEST_PROP(OptionProperty, borrowed_options_decode_to_what_was_written, ()) {
  const auto id = any_bytes(ThirdPartyId::octets_max + 1);
  check_round_trip(ThirdPartyId{.id = id});
  if (is_description_text(id)) check_round_trip(Description{.text = id});
  const auto text = *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127));
  check_round_trip(Description{.text = truncated_text(bytes(text), Description::octets_max)});
}

RC_GTEST_PROP(OptionProperty, a_prefix64_decodes_to_what_was_written, ()) {
  const auto length = *rc::gen::element(32U, 40U, 48U, 56U, 64U, 96U);
  Prefix64 option{.prefix = Prefix{any_address(), length}};
  const auto suffix_octets = Prefix64::prefix_and_suffix_octets - length / 8;
  std::ranges::transform(*any_octets(suffix_octets), option.suffix.begin(),
                         [](std::uint8_t octet) { return std::byte{octet}; });
  std::array<std::byte, 20 * Ipv4PrefixList::entry_octets> room{};
  if (*rc::gen::arbitrary<bool>()) {
    std::vector<Prefix> prefixes;
    for (int left = *rc::gen::inRange(0, 21); left > 0; --left)
      prefixes.emplace_back(IpAddress{Ipv4Address{any_number()}}, *rc::gen::inRange(96U, 129U));
    option.ipv4_prefixes = Ipv4PrefixList::write(prefixes, room);
    RC_ASSERT(option.ipv4_prefixes.has_value());
    RC_ASSERT(option.ipv4_prefixes->size() == prefixes.size());
    for (std::size_t i = 0; i < prefixes.size(); ++i) RC_ASSERT((*option.ipv4_prefixes)[i] == prefixes[i]);
  }
  check_round_trip(option);
}

/// Text cut at any size is text, and no character fits behind it.
RC_GTEST_PROP(OptionProperty, truncated_text_is_text, ()) {
  std::string text;
  for (int left = *rc::gen::inRange(0, 12); left > 0; --left)
    text += *rc::gen::element<std::string>("a", "é", "摄", "📷");
  const auto octets_max = *rc::gen::inRange<std::size_t>(0, 50);
  const auto cut = truncated_text(bytes(text), octets_max);
  RC_ASSERT(is_description_text(cut));
  RC_ASSERT(cut.size() <= octets_max);
  RC_ASSERT(cut.size() == text.size() || cut.size() + 4 > octets_max);
}

}  // namespace
}  // namespace portolan::wire
