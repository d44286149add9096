// SPDX-License-Identifier: BSD-2-Clause
//
// What device.h promises of changes of the pool: Moved, Lost and LostPeer; to be instantiated like the suite
// of contract_test.h.
#pragma once

#include "device/contract_test.h"

namespace portolan::device {

template <typename Under>
class DevicePoolContract : public DeviceContract<Under> {};

// NOLINTBEGIN(readability-identifier-naming): TYPED_TEST_P makes a class of each name.
TYPED_TEST_SUITE_P(DevicePoolContract);

TYPED_TEST_P(DevicePoolContract, mappings_of_an_address_that_is_gone_move_with_all_they_have) {
  Install wanted = this->wish(this->key(1, 3000), 4000, 2);
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  ASSERT_TRUE(this->out(this->key(1, 3000), 2));
  this->under.pass(Seconds{500});
  const auto events = this->under.set_pool({this->under.other_external_address()});
  ASSERT_EQ(events.size(), 1U);
  const auto* moved = std::get_if<Moved>(&events[0]);
  ASSERT_NE(moved, nullptr);
  EXPECT_EQ(moved->key, this->key(1, 3000));
  EXPECT_EQ(moved->external_address, this->under.other_external_address());
  EXPECT_EQ(moved->external_port, Port{4000});
  EXPECT_EQ(moved->port_count, 2);
  const Endpoint second{this->under.other_external_address(), Port{4001}};
  EXPECT_TRUE(this->in(second, 1));
  EXPECT_FALSE(this->in(second, 2));
  EXPECT_FALSE(this->in(this->at(4000), 1));
  this->under.pass(Seconds{490});
  EXPECT_TRUE(this->in(second, 1));
  this->under.pass(Seconds{11});
  EXPECT_FALSE(this->in({this->under.other_external_address(), Port{4000}}, 1))
      << "the lifetime is the one it had";
}

TYPED_TEST_P(DevicePoolContract, a_mapping_bound_to_its_address_is_lost_with_it) {
  Install wanted = this->wish(this->key(1, 3000), 4000, 2);
  ASSERT_TRUE(this->apply(wanted));
  wanted.is_bound_to_address = true;
  ASSERT_TRUE(this->apply(wanted));
  const auto events = this->under.set_pool({this->under.other_external_address()});
  ASSERT_EQ(events.size(), 1U);
  const auto* lost = std::get_if<Lost>(&events[0]);
  ASSERT_NE(lost, nullptr);
  EXPECT_EQ(lost->key, this->key(1, 3000));
  EXPECT_FALSE(this->in({this->under.other_external_address(), Port{4000}}, 1));
  EXPECT_FALSE(this->in({this->under.other_external_address(), Port{4001}}, 1));
  EXPECT_TRUE(this->install(this->key(2, 3000), 4000)) << "the port is free there";
}

TYPED_TEST_P(DevicePoolContract, without_any_address_mappings_are_lost) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  ASSERT_TRUE(this->peer(this->key(2, 3000), 1));
  const auto events = this->under.set_pool({});
  ASSERT_EQ(events.size(), 2U);
  bool is_lost = false;
  bool is_peer_lost = false;
  for (const Event& event : events) {
    if (const auto* lost = std::get_if<Lost>(&event)) is_lost = lost->key == this->key(1, 3000);
    if (const auto* lost = std::get_if<LostPeer>(&event))
      is_peer_lost = lost->key == this->key(2, 3000) && lost->remote_peer == this->under.remote_peer(1);
  }
  EXPECT_TRUE(is_lost && is_peer_lost);
  const Result refused = this->install(this->key(1, 3000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::network_failure);
  EXPECT_TRUE(this->under.set_pool({this->under.external_address()}).empty());
  EXPECT_TRUE(this->install(this->key(1, 3000), 4000, Match::exact));
}

REGISTER_TYPED_TEST_SUITE_P(DevicePoolContract, mappings_of_an_address_that_is_gone_move_with_all_they_have,
                            a_mapping_bound_to_its_address_is_lost_with_it,
                            without_any_address_mappings_are_lost);

// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::device
