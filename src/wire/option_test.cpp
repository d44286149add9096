// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "wire/message.h"
#include "wire/test_octets.h"

namespace portolan::wire {
namespace {

struct FramingCase {
  std::string_view what;
  std::string_view octets;
  std::vector<std::pair<unsigned, std::string>> options;  // code, data in hexadecimal
  bool is_well_formed;
};

TEST(OptionList, walks_the_framing_of_the_rfc) {
  const std::vector<FramingCase> cases = {
      {"no options", "", {}, true},
      {"length 0", "02 00 0000", {{2, ""}}, true},
      {"length a multiple of 4", "01 00 0004 0a0b0c0d", {{1, "0a0b0c0d"}}, true},
      {"one octet, three of padding", "80 00 0001 41 000000", {{128, "41"}}, true},
      {"two octets, two of padding", "80 00 0002 4142 0000", {{128, "4142"}}, true},
      {"three octets, one of padding", "80 00 0003 414243 00", {{128, "414243"}}, true},
      {"padding that is not zero", "80 00 0001 41 ffffff", {{128, "41"}}, true},
      {"reserved octet set", "02 ff 0000", {{2, ""}}, true},
      {"in order of appearance, repeated",
       "02 00 0000 80 00 0001 41 000000 02 00 0000",
       {{2, ""}, {128, "41"}, {2, ""}},
       true},
      {"codes 0 and 255", "00 00 0000 ff 00 0000", {{0, ""}, {255, ""}}, true},
      {"length one past the end", "01 00 0005 0a0b0c0d", {}, false},
      {"longest length", "01 00 ffff 0a0b0c0d", {}, false},
      {"longest length that needs no padding", "01 00 fffc 0a0b0c0d", {}, false},
      {"second option past the end", "02 00 0000 01 00 0001", {{2, ""}}, false},
      {"1 octet left", "02 00 0000 01", {{2, ""}}, false},
      {"2 octets left", "02 00 0000 0100", {{2, ""}}, false},
      {"3 octets left", "02 00 0000 010000", {{2, ""}}, false},
      {"padding cut off", "80 00 0001 41", {}, false},
      {"four zeros are an option of code 0", "00000000", {{0, ""}}, true},
  };
  for (const FramingCase& framing : cases) {
    const auto data = octets(framing.octets);
    const OptionList options(data);
    std::vector<std::pair<unsigned, std::string>> seen;
    for (const Option& option : options)
      seen.emplace_back(static_cast<unsigned>(option.code), hex(option.data));
    EXPECT_EQ(seen, framing.options) << framing.what;
    EXPECT_EQ(options.is_well_formed(), framing.is_well_formed) << framing.what;
  }
}

TEST(OptionList, fills_a_message_to_its_last_octet) {
  const auto data = resized(octets("80 00 040c"), 1040);  // one option of 1036 octets behind a MAP
  EXPECT_TRUE(OptionList(data).is_well_formed());
  EXPECT_EQ(OptionList(data).begin()->data.size(), 1036U);
}

TEST(OptionList, post_increment_gives_the_option_before) {
  const auto data = octets("02 00 0000 80 00 0001 41 000000");
  auto option = OptionList(data).begin();
  EXPECT_EQ((*option++).code, OptionCode::prefer_failure);
  EXPECT_EQ(option->code, OptionCode::description);
}

auto message_of(std::size_t size) -> Datagram {
  Datagram datagram;
  std::ranges::fill(datagram.buffer(), std::byte{0xee});
  datagram.resize(size);
  return datagram;
}

TEST(AppendOption, writes_code_length_data_and_zeros) {
  Datagram datagram = message_of(60);
  EXPECT_TRUE(append_option(datagram, OptionCode::prefer_failure, {}));
  EXPECT_TRUE(append_option(datagram, OptionCode::description, octets("41424344 45")));
  EXPECT_EQ(hex(datagram.octets().subspan(60)), hex(octets("02 00 0000 80 00 0005 4142434445 000000")));
}

TEST(AppendOption, fits_up_to_1100_octets) {
  struct Case {
    std::size_t message;
    std::size_t data;
    bool fits;
  };
  const std::vector<Case> cases = {
      {60, 1035, true}, {60, 1036, true}, {60, 1037, false}, {60, 65536, false}, {60, 70000, false},
      {1092, 4, true},  {1092, 5, false}, {1096, 0, true},   {1096, 1, false},   {1100, 0, false},
  };
  const std::vector<std::byte> zeros(70000);
  for (const auto& [message, size, fits] : cases) {
    Datagram datagram = message_of(message);
    EXPECT_EQ(append_option(datagram, OptionCode::description, std::span(zeros).first(size)), fits)
        << message << "+" << size;
    EXPECT_EQ(datagram.octets().size(), fits ? message + 4 + padded(size) : message);
  }
}

TEST(OptionCode, the_most_significant_bit_says_whether_it_may_be_ignored) {
  EXPECT_TRUE(is_mandatory_to_process(OptionCode::filter));
  EXPECT_TRUE(is_mandatory_to_process(static_cast<OptionCode>(127)));
  EXPECT_FALSE(is_mandatory_to_process(static_cast<OptionCode>(128)));
  EXPECT_FALSE(is_mandatory_to_process(static_cast<OptionCode>(255)));
}

}  // namespace
}  // namespace portolan::wire
