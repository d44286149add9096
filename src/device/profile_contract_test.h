// SPDX-License-Identifier: BSD-2-Clause
//
// What device.h promises of profiles: external addresses, ports and limits of subscribers; to be
// instantiated like the suite of contract_test.h.
#pragma once

#include "device/contract_test.h"

namespace portolan::device {

template <typename Under>
class DeviceProfileContract : public DeviceContract<Under> {
 protected:
  auto profile(unsigned host, unsigned length = 128) const -> PutProfile {
    PutProfile put;
    put.internal_prefix = Prefix(this->under.inside_address(host), length);
    return put;
  }
  auto refusal(const PutProfile& put) -> std::optional<Refusal> {
    const Result result = this->apply(put);
    return result ? std::nullopt : std::optional(result.error());
  }
};

// NOLINTBEGIN(readability-identifier-naming): TYPED_TEST_P makes a class of each name.
TYPED_TEST_SUITE_P(DeviceProfileContract);

TYPED_TEST_P(DeviceProfileContract, ports_of_own_traffic_end_at_the_limit_and_mappings_do_not) {
  PutProfile put = this->profile(1);
  put.ports_max = 2;
  ASSERT_TRUE(this->apply(put));
  EXPECT_TRUE(this->out(this->key(1, 3000), 1));
  EXPECT_TRUE(this->out(this->key(1, 3001), 1));
  EXPECT_FALSE(this->out(this->key(1, 3002), 1));
  EXPECT_TRUE(this->out(this->key(1, 3000), 2)) << "a port it has serves any peer";
  EXPECT_TRUE(this->out(this->key(1, 3002, Protocol::tcp), 1)) << "each protocol has its own";
  EXPECT_TRUE(this->out(this->key(2, 3002), 1)) << "others are not concerned";
  EXPECT_TRUE(this->install(this->key(1, 3003)));
  EXPECT_TRUE(this->install(this->key(1, 3000)));
  EXPECT_TRUE(this->out(this->key(1, 3002), 1)) << "one of the two is a mapping's now";
}

TYPED_TEST_P(DeviceProfileContract, a_subscriber_is_a_prefix_and_the_most_specific_profile_counts) {
  PutProfile all = this->profile(0, 120);
  all.subscriber_prefix_length = 120;
  all.ports_max = 2;
  PutProfile one = this->profile(3);
  one.ports_max = 1;
  ASSERT_TRUE(this->apply(all));
  ASSERT_TRUE(this->apply(one));
  EXPECT_TRUE(this->out(this->key(1, 3000), 1));
  EXPECT_TRUE(this->out(this->key(2, 3000), 1));
  EXPECT_FALSE(this->out(this->key(2, 3001), 1)) << "host 1 is the same subscriber";
  EXPECT_TRUE(this->out(this->key(3, 3000), 1));
  EXPECT_FALSE(this->out(this->key(3, 3001), 1));
  ASSERT_TRUE(this->apply(DropProfile{.realm = {}, .internal_prefix = all.internal_prefix}));
  EXPECT_TRUE(this->out(this->key(2, 3001), 1));
  EXPECT_FALSE(this->out(this->key(3, 3001), 1));
  ASSERT_TRUE(this->apply(DropProfile{.realm = {}, .internal_prefix = one.internal_prefix}));
  EXPECT_TRUE(this->out(this->key(3, 3001), 1));
}

TYPED_TEST_P(DeviceProfileContract, a_changed_limit_counts_at_once_and_ends_nothing) {
  ASSERT_TRUE(this->apply(this->profile(1)));
  ASSERT_TRUE(this->out(this->key(1, 3000), 1));
  ASSERT_TRUE(this->out(this->key(1, 3001), 1));
  PutProfile put = this->profile(1);
  put.ports_max = 1;
  ASSERT_TRUE(this->apply(put));
  EXPECT_FALSE(this->out(this->key(1, 3002), 1));
  EXPECT_TRUE(this->out(this->key(1, 3000), 1));
  EXPECT_TRUE(this->out(this->key(1, 3001), 1));
  put.ports_max = 3;
  ASSERT_TRUE(this->apply(put));
  EXPECT_TRUE(this->out(this->key(1, 3002), 1));
  EXPECT_FALSE(this->out(this->key(1, 3003), 1));
}

TYPED_TEST_P(DeviceProfileContract, its_ports_are_those_of_traffic_and_of_mappings_without_a_suggestion) {
  PutProfile put = this->profile(1);
  put.external_ports = {.first = Port{20000}, .last = Port{20002}};
  ASSERT_TRUE(this->apply(put));
  const auto external = this->out(this->key(1, 3000), 1);
  ASSERT_TRUE(external);
  EXPECT_TRUE(put.external_ports.contains(external->port)) << external->port.value;
  for (std::uint16_t port = 3001; port < 3003; ++port) {
    const Result mapped = this->install(this->key(1, port));
    ASSERT_TRUE(mapped);
    EXPECT_TRUE(put.external_ports.contains(mapped->external_port)) << mapped->external_port.value;
  }
  EXPECT_FALSE(this->out(this->key(1, 3003), 1)) << "all three are taken";
  EXPECT_FALSE(this->install(this->key(1, 3003)));
  const Result elsewhere = this->install(this->key(1, 3003), 30000);
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->external_port, Port{30000});
}

TYPED_TEST_P(DeviceProfileContract, its_address_is_that_of_all_but_for_a_suggestion) {
  static_cast<void>(
      this->under.set_pool({this->under.external_address(), this->under.other_external_address()}));
  for (const IpAddress& address : {this->under.external_address(), this->under.other_external_address()}) {
    const unsigned host = address == this->under.external_address() ? 1 : 2;
    PutProfile put = this->profile(host);
    put.external_address = address;
    ASSERT_TRUE(this->apply(put));
    EXPECT_EQ(this->out(this->key(host, 3000), 1).value_or(Endpoint{}).address, address);
    const Result mapped = this->install(this->key(host, 3001));
    ASSERT_TRUE(mapped);
    EXPECT_EQ(mapped->external_address, address);
  }
  Install wanted = this->wish(this->key(1, 3002));
  wanted.external_address = this->under.other_external_address();
  const Result elsewhere = this->apply(wanted);
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->external_address, this->under.other_external_address());

  static_cast<void>(this->under.set_pool({this->under.external_address()}));
  EXPECT_EQ(this->out(this->key(2, 3004), 1).value_or(Endpoint{}).address, this->under.external_address())
      << "an address that the device has not is none";
}

TYPED_TEST_P(DeviceProfileContract, a_given_address_is_the_only_one_for_a_new_place_while_the_device_has_it) {
  const IpAddress first = this->under.external_address();
  const IpAddress other = this->under.other_external_address();
  const auto install = [&](std::uint16_t port, const IpAddress& suggested, Match match) {
    Install wanted = this->wish(this->key(1, port), port);
    wanted.external_address = suggested;
    wanted.match = match;
    wanted.given_address = other;
    return this->apply(wanted);
  };
  const auto peer = [&](std::uint16_t port, const IpAddress& suggested) {
    return this->apply(InstallPeer{.key = this->key(1, port),
                                   .remote_peer = this->under.remote_peer(1),
                                   .external_address = suggested,
                                   .external_port = {},
                                   .lifetime = Seconds{1000},
                                   .given_address = other});
  };
  const IpAddress any = IpAddress::unspecified(first.family());
  ASSERT_TRUE(install(3000, first, Match::exact)) << "the device does not have the other one";
  ASSERT_TRUE(peer(3001, first));
  ASSERT_TRUE(this->out(this->key(1, 3002), 2));
  static_cast<void>(this->under.set_pool({first, other}));

  EXPECT_EQ(install(4000, first, Match::exact), Result(std::unexpected(Refusal::cannot_provide_external)));
  EXPECT_EQ(peer(4000, first), Result(std::unexpected(Refusal::cannot_provide_external)));
  for (std::uint16_t port = 4001; const IpAddress& suggested : {first, other, any}) {
    const Result suggesting = install(port, suggested, Match::suggested);
    ASSERT_TRUE(suggesting);
    EXPECT_EQ(this->external_of(suggesting), (Endpoint{other, Port{port}}));
    ++port;
  }
  for (std::uint16_t port = 4011; const IpAddress& suggested : {other, any}) {
    const Result exact = install(port, suggested, Match::exact);
    ASSERT_TRUE(exact);
    EXPECT_EQ(this->external_of(exact), (Endpoint{other, Port{port}}));
    const Result peered = peer(static_cast<std::uint16_t>(port + 10), suggested);
    ASSERT_TRUE(peered);
    EXPECT_EQ(peered->external_address, other);
    ++port;
  }
  // What is there stays where it is.
  EXPECT_TRUE(install(3000, first, Match::exact));
  EXPECT_EQ(peer(3001, other)->external_address, first) << "the flow exists";
  const Result implicit = install(3002, any, Match::suggested);
  ASSERT_TRUE(implicit);
  EXPECT_EQ(implicit->external_address, first);
}

TYPED_TEST_P(DeviceProfileContract, nonsense_is_refused_and_what_is_not_there_is_dropped) {
  PutProfile put = this->profile(1);
  put.subscriber_prefix_length = 129;
  EXPECT_EQ(this->refusal(put), Refusal::profile_unsupported);
  put = this->profile(1);
  put.external_ports = {.first = Port{2}, .last = Port{1}};
  EXPECT_EQ(this->refusal(put), Refusal::profile_unsupported);
  put = this->profile(1);
  put.external_address = *IpAddress::parse("2001:db8::1");
  EXPECT_EQ(this->refusal(put), Refusal::profile_unsupported);
  EXPECT_TRUE(this->apply(DropProfile{.realm = {}, .internal_prefix = put.internal_prefix}));
  EXPECT_TRUE(this->out(this->key(1, 3000), 1));
}

REGISTER_TYPED_TEST_SUITE_P(DeviceProfileContract, ports_of_own_traffic_end_at_the_limit_and_mappings_do_not,
                            a_subscriber_is_a_prefix_and_the_most_specific_profile_counts,
                            a_changed_limit_counts_at_once_and_ends_nothing,
                            its_ports_are_those_of_traffic_and_of_mappings_without_a_suggestion,
                            its_address_is_that_of_all_but_for_a_suggestion,
                            a_given_address_is_the_only_one_for_a_new_place_while_the_device_has_it,
                            nonsense_is_refused_and_what_is_not_there_is_dropped);
// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::device
