// SPDX-License-Identifier: BSD-2-Clause
//
// Examples of RFC 6724 s10.2, with documentation addresses where it has others.
#include "discovery/destination_order.h"

#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::ElementsAre;

struct Pair {
  std::string_view address;
  std::string_view source;  ///< empty: no way
  bool is_deprecated = false;
};

auto sorted(const std::vector<Pair>& pairs) -> std::vector<std::string> {
  std::vector<Destination> destinations;
  destinations.reserve(pairs.size());
  for (const Pair& pair : pairs)
    destinations.push_back({.address = IpAddress::parse(pair.address).value(),
                            .source = IpAddress::parse(pair.source),
                            .is_source_deprecated = pair.is_deprecated});
  std::vector<std::string> texts;
  for (const Destination& destination : in_order(std::move(destinations)))
    texts.push_back(to_string(destination.address));
  return texts;
}

TEST(DestinationOrder, what_cannot_be_reached_comes_last) {
  EXPECT_THAT(sorted({{"2001:db8::1", ""}, {"192.0.2.1", "192.0.2.7"}}),
              ElementsAre("192.0.2.1", "2001:db8::1"));
}

TEST(DestinationOrder, a_source_of_the_same_scope_comes_first) {
  EXPECT_THAT(sorted({{"2001:db8:1::1", "fe80::1"}, {"198.51.100.121", "198.51.100.117"}}),
              ElementsAre("198.51.100.121", "2001:db8:1::1"));
  EXPECT_THAT(sorted({{"198.51.100.121", "169.254.13.78"}, {"2001:db8:1::1", "2001:db8:1::2"}}),
              ElementsAre("2001:db8:1::1", "198.51.100.121"));
}

TEST(DestinationOrder, a_deprecated_source_comes_later) {
  EXPECT_THAT(sorted({{"2001:db8:1::1", "2001:db8:1::2", true}, {"2001:db8:3::1", "2001:db8:3::2"}}),
              ElementsAre("2001:db8:3::1", "2001:db8:1::1"));
}

TEST(DestinationOrder, a_source_of_the_same_label_comes_first) {
  EXPECT_THAT(sorted({{"2002:c633:6401::1", "2001:db8:1::2"}, {"2001:db8:1::1", "2001:db8:1::2"}}),
              ElementsAre("2001:db8:1::1", "2002:c633:6401::1"));
  EXPECT_THAT(sorted({{"2001:db8:1::1", "fd11:2233:4455::2"}, {"192.0.2.1", "192.0.2.7"}}),
              ElementsAre("192.0.2.1", "2001:db8:1::1"));
}

TEST(DestinationOrder, ipv6_comes_before_ipv4_and_both_before_unique_local) {
  EXPECT_THAT(sorted({{"fd11::1", "fd11::2"}, {"10.1.2.3", "10.1.2.4"}, {"2001:db8:1::1", "2001:db8:1::2"}}),
              ElementsAre("2001:db8:1::1", "10.1.2.3", "fd11::1"));
}

TEST(DestinationOrder, the_smaller_scope_comes_first) {
  EXPECT_THAT(sorted({{"2001:db8:1::1", "2001:db8:1::2"}, {"fe80::1", "fe80::2"}}),
              ElementsAre("fe80::1", "2001:db8:1::1"));
}

TEST(DestinationOrder, the_nearer_address_comes_first) {
  EXPECT_THAT(sorted({{"2001:db8:3ffe::1", "2001:db8:1::2"}, {"2001:db8:1::1", "2001:db8:1::2"}}),
              ElementsAre("2001:db8:1::1", "2001:db8:3ffe::1"));
}

TEST(DestinationOrder, all_else_stays_as_it_was) {
  EXPECT_THAT(sorted({{"192.0.2.3", "192.0.2.7"}, {"192.0.2.2", "192.0.2.7"}, {"192.0.2.1", "192.0.2.7"}}),
              ElementsAre("192.0.2.3", "192.0.2.2", "192.0.2.1"));
}

}  // namespace
}  // namespace portolan::discovery
