// SPDX-License-Identifier: BSD-2-Clause
#include "discovery/address_plan.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::discovery {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

auto address(std::string_view text) -> IpAddress { return IpAddress::parse(text).value(); }
auto at(int seconds) -> TimePoint { return TimePoint{Seconds{seconds}}; }

const IpAddress server = address("2001:db8:1::1");

auto temporary(std::string_view text, int preferred_until, int valid_until) -> HostAddress {
  HostAddress entry;
  entry.address = address(text);
  entry.interface_index = 2;
  entry.prefix_length = 64;
  entry.is_temporary = true;
  entry.preferred_until = at(preferred_until);
  entry.valid_until = at(valid_until);
  return entry;
}

TEST(AddressPlans, the_plan_has_the_lifetimes_of_the_address) {
  const std::vector addresses{temporary("2001:db8:1::77", 600, 3600)};
  const AddressPlan plan = plan_address(addresses, address("2001:db8:1::77"), server).value();
  EXPECT_TRUE(plan.is_temporary);
  EXPECT_EQ(plan.preferred_until, at(600));
  EXPECT_EQ(plan.valid_until, at(3600));
}

TEST(AddressPlans, an_address_for_ever_needs_no_look) {
  const AddressPlan plan{.source = address("192.0.2.7")};
  EXPECT_EQ(plan.next_deadline(at(0)), std::nullopt);
}

TEST(AddressPlans, the_next_look_is_due_when_the_address_is_deprecated_then_when_it_is_gone) {
  const auto plan =
      plan_address(std::vector{temporary("2001:db8:1::77", 600, 3600)}, address("2001:db8:1::77"), server);
  EXPECT_EQ(plan->next_deadline(at(0)), at(600));
  EXPECT_EQ(plan->next_deadline(at(600)), at(3600));
}

TEST(AddressPlans, sources_that_lead_nowhere_are_refused) {
  std::vector addresses{temporary("2001:db8:1::77", 600, 3600), temporary("fe80::77", 600, 3600),
                        temporary("::1", 600, 3600), temporary("127.0.0.1", 600, 3600)};
  const auto why = [&](std::string_view source, const IpAddress& towards) {
    return plan_address(addresses, address(source), towards).error();
  };
  EXPECT_EQ(why("2001:db8:1::78", server), NoAddress::unknown);
  EXPECT_EQ(why("fe80::77", server), NoAddress::link_local);
  EXPECT_EQ(why("::1", server), NoAddress::loopback);
  EXPECT_EQ(why("127.0.0.1", address("192.0.2.1")), NoAddress::loopback);
  addresses[0].is_usable = false;
  EXPECT_EQ(why("2001:db8:1::77", server), NoAddress::unusable);
  EXPECT_TRUE(plan_address(addresses, address("::1"), address("::1"))) << "a server on this host";
}

TEST(AddressChanges, what_became_of_the_address_is_told) {
  std::vector addresses{temporary("2001:db8:1::77", 600, 3600)};
  const auto before = *plan_address(addresses, address("2001:db8:1::77"), server);
  EXPECT_EQ(compare(before, before, addresses), AddressChange::none);
  addresses[0].valid_until = at(7200);
  const auto longer = *plan_address(addresses, address("2001:db8:1::77"), server);
  EXPECT_EQ(compare(before, longer, addresses), AddressChange::lifetimes);
  addresses.push_back(temporary("2001:db8:1::78", 9600, 13600));
  const auto other = *plan_address(addresses, address("2001:db8:1::78"), server);
  EXPECT_EQ(compare(before, other, addresses), AddressChange::deprecated);
  addresses.erase(addresses.begin());
  EXPECT_EQ(compare(before, other, addresses), AddressChange::gone);
}

TEST(AddressMismatch, says_that_there_is_a_nat) {
  EXPECT_THAT(address_mismatch_text(address("198.51.100.5"), "203.0.113.1"),
              AllOf(HasSubstr("there is a NAT between you and the PCP server at 203.0.113.1"),
                    HasSubstr("198.51.100.5")));
}

}  // namespace
}  // namespace portolan::discovery
