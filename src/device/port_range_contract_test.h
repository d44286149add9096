// SPDX-License-Identifier: BSD-2-Clause
//
// What device.h promises of Install::external_ports and InstallPeer::external_ports; to be instantiated like
// the suite of contract_test.h.
#pragma once

#include "device/contract_test.h"

namespace portolan::device {

template <typename Under>
class DevicePortRangeContract : public DeviceContract<Under> {
 protected:
  static constexpr PortRange range{.first = Port{4000}, .last = Port{4003}};

  auto install_in(const MappingKey& mapping, std::uint16_t port = 0, Match match = Match::suggested,
                  const PortRange& ports = range) -> Result {
    Install wanted = this->wish(mapping, port);
    wanted.match = match;
    wanted.external_ports = ports;
    return this->apply(wanted);
  }
};

// NOLINTBEGIN(readability-identifier-naming): TYPED_TEST_P makes a class of each name.
TYPED_TEST_SUITE_P(DevicePortRangeContract);

TYPED_TEST_P(DevicePortRangeContract, every_port_of_it_is_given_and_then_there_is_none) {
  for (unsigned host = 1; host <= 4; ++host) {
    const Result made = this->install_in(this->key(host, static_cast<std::uint16_t>(3000 + host)));
    ASSERT_TRUE(made) << host;
    EXPECT_TRUE(this->range.contains(made->external_port)) << made->external_port.value;
  }
  const Result refused = this->install_in(this->key(5, 3000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::no_resources);
  EXPECT_TRUE(this->install(this->key(5, 3000))) << "others have other ports";
}

TYPED_TEST_P(DevicePortRangeContract, a_suggestion_beyond_it_is_another_or_with_exact_a_refusal) {
  EXPECT_TRUE(this->install_in(this->key(2, 3000), 4000, Match::exact)) << "its ends belong to it";
  EXPECT_TRUE(this->install_in(this->key(3, 3000), 4003, Match::exact));
  for (const std::uint16_t port : {std::uint16_t{3999}, std::uint16_t{4004}}) {
    const Result refused = this->install_in(this->key(1, 3000), port, Match::exact);
    ASSERT_FALSE(refused) << port;
    EXPECT_EQ(refused.error(), Refusal::cannot_provide_external);
    const Result made = this->install_in(this->key(1, port), port);
    ASSERT_TRUE(made) << port;
    EXPECT_TRUE(this->range.contains(made->external_port)) << made->external_port.value;
  }
}

TYPED_TEST_P(DevicePortRangeContract, ports_that_are_held_down_outside_it_are_not_given_again) {
  const Result before = this->install(this->key(1, 3000), 5000);
  ASSERT_TRUE(before && this->remove(this->key(1, 3000)));
  const Result made = this->install_in(this->key(1, 3000));
  ASSERT_TRUE(made);
  EXPECT_TRUE(this->range.contains(made->external_port)) << made->external_port.value;
}

TYPED_TEST_P(DevicePortRangeContract, sets_and_parity_stay_in_it) {
  Install wanted = this->wish(this->key(1, 3001), 4002, 4);
  wanted.external_ports = this->range;
  wanted.preserve_parity = true;
  const Result cut = this->apply(wanted);
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->external_port.value % 2, 1) << "of the internal port";
  EXPECT_EQ(cut->external_port, Port{4001}) << "where most of them fit";
  EXPECT_EQ(cut->port_count, 3);
  wanted.key = this->key(2, 3001);
  const Result wrong_parity = this->apply(wanted);
  ASSERT_TRUE(wrong_parity) << "rather the wrong parity than none";
  EXPECT_EQ(wrong_parity->external_port, Port{4000});
  EXPECT_EQ(wrong_parity->port_count, 1);
}

TYPED_TEST_P(DevicePortRangeContract, what_is_mapped_stays_where_it_is) {
  const Result before = this->install(this->key(1, 3000), 5000);
  const auto implicit = this->out(this->key(2, 3000));
  ASSERT_TRUE(before && implicit);
  const Result renewed = this->install_in(this->key(1, 3000));
  ASSERT_TRUE(renewed);
  EXPECT_EQ(renewed->external_port, Port{5000});
  Install wanted = this->wish(this->key(2, 3000), 0, 2);
  wanted.external_ports = this->range;
  const Result made = this->apply(wanted);
  ASSERT_TRUE(made);
  EXPECT_EQ(this->external_of(made), *implicit);
  EXPECT_EQ(made->port_count, 1) << "the next port is no longer in the range";
}

TYPED_TEST_P(DevicePortRangeContract, mappings_that_move_stay_in_it) {
  ASSERT_TRUE(this->install_in(this->key(1, 3000), 4000, Match::exact, {Port{4000}, Port{4000}}));
  const auto both = std::vector{this->under.external_address(), this->under.other_external_address()};
  ASSERT_TRUE(this->under.set_pool(both).empty());
  // Somebody else has that port at the other address.
  Install wanted = this->wish(this->key(2, 3000), 4000);
  wanted.external_address = this->under.other_external_address();
  wanted.match = Match::exact;
  ASSERT_TRUE(this->apply(wanted));
  const auto events = this->under.set_pool({this->under.other_external_address()});
  ASSERT_EQ(events.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Lost>(events[0])) << "rather lost than elsewhere";
}

TYPED_TEST_P(DevicePortRangeContract, peer_makes_new_mappings_in_it) {
  const auto peer_in = [&](unsigned host, std::uint16_t port) {
    return this->apply(
        InstallPeer{.key = this->key(host, 3000),
                    .remote_peer = this->under.remote_peer(1),
                    .external_address = IpAddress::unspecified(this->key(host, 3000).external_family),
                    .external_port = Port{port},
                    .lifetime = Seconds{100},
                    .external_ports = this->range});
  };
  const Result beyond = peer_in(1, 4004);
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error(), Refusal::cannot_provide_external);
  for (unsigned host = 1; host <= 4; ++host) {
    const Result made = peer_in(host, 0);
    ASSERT_TRUE(made) << host;
    EXPECT_TRUE(this->range.contains(made->external_port)) << made->external_port.value;
  }
  const Result none = peer_in(5, 0);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error(), Refusal::no_resources);
}

TYPED_TEST_P(DevicePortRangeContract, one_of_well_known_ports_is_used_whatever_the_internal_port) {
  const PortRange low{.first = Port{80}, .last = Port{80}};
  // Not every device gives those.
  if (const Result made = this->install_in(this->key(1, 3000), 0, Match::suggested, low)) {
    EXPECT_EQ(made->external_port, Port{80});
  } else {
    EXPECT_EQ(made.error(), Refusal::no_resources);
  }
}

REGISTER_TYPED_TEST_SUITE_P(DevicePortRangeContract, every_port_of_it_is_given_and_then_there_is_none,
                            a_suggestion_beyond_it_is_another_or_with_exact_a_refusal,
                            ports_that_are_held_down_outside_it_are_not_given_again,
                            sets_and_parity_stay_in_it, what_is_mapped_stays_where_it_is,
                            mappings_that_move_stay_in_it, peer_makes_new_mappings_in_it,
                            one_of_well_known_ports_is_used_whatever_the_internal_port);

// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::device
