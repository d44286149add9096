// SPDX-License-Identifier: BSD-2-Clause
//
// What device.h promises, as tests that every device runs: a device's test file derives a fixture from
// DeviceUnderTest and instantiates the suite with
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DeviceContract, SimulatedUnderTest);
#pragma once

#include <vector>

#include <gtest/gtest.h>

#include "device/device.h"

namespace portolan::device {

/// How the suite reaches a device. Implementations have time of their own: what the suite does is
/// carried out at a moment that only pass() moves.
class DeviceUnderTest {
 public:
  virtual ~DeviceUnderTest() = default;

  /// Applies one batch and returns its results.
  virtual auto apply(std::vector<Operation> operations) -> std::vector<Result> = 0;
  /// Lets time pass, and the device do what is due.
  virtual void pass(Seconds time) = 0;
  /// A packet of the internal endpoint leaves through the device. Returns the source it leaves with.
  virtual auto send_outbound(const MappingKey& from) -> std::optional<Endpoint> = 0;
  /// Where a packet from outside to `external` arrives inside, if anywhere.
  virtual auto send_inbound(Protocol protocol, const Endpoint& external) -> std::optional<Endpoint> = 0;

  /// An inside address; `host` tells hosts apart.
  [[nodiscard]] virtual auto inside_address(unsigned host) const -> IpAddress = 0;
  /// An external address that is the device's.
  [[nodiscard]] virtual auto external_address() const -> IpAddress = 0;
};

template <typename Under>
class DeviceContract : public ::testing::Test {
 protected:
  auto key(unsigned host, std::uint16_t port, Protocol protocol = Protocol::udp) const -> MappingKey {
    return {.realm = {},
            .internal_address = under.inside_address(host),
            .protocol = protocol,
            .internal_port = Port{port},
            .external_family = under.external_address().family()};
  }
  auto install(const MappingKey& mapping, std::uint16_t port = 0, Match match = Match::suggested,
               Seconds lifetime = Seconds{1000}) -> Result {
    return under
        .apply({Install{.key = mapping,
                        .external_address = IpAddress::unspecified(mapping.external_family),
                        .external_port = Port{port},
                        .match = match,
                        .lifetime = lifetime}})
        .at(0);
  }
  auto remove(const MappingKey& mapping) -> Result { return under.apply({Remove{mapping}}).at(0); }
  static auto external_of(const Result& result) -> Endpoint {
    return {result->external_address, result->external_port};
  }

  Under under;
};

TYPED_TEST_SUITE_P(DeviceContract);

TYPED_TEST_P(DeviceContract, a_free_suggested_port_is_given_and_leads_inside) {
  const auto key = this->key(1, 3000);
  const Result result = this->install(key, 4000);
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(this->external_of(result), (Endpoint{this->under.external_address(), Port{4000}}));
  EXPECT_EQ(result->lifetime, Seconds{1000});
  EXPECT_EQ(this->under.send_inbound(Protocol::udp, this->external_of(result)),
            (Endpoint{key.internal_address, key.internal_port}));
}

TYPED_TEST_P(DeviceContract, installing_again_keeps_the_external_endpoint_whatever_is_suggested) {
  const Result first = this->install(this->key(1, 3000), 4000);
  const Result again = this->install(this->key(1, 3000), 4001, Match::suggested, Seconds{2000});
  ASSERT_TRUE(first && again);
  EXPECT_EQ(this->external_of(again), this->external_of(first));
  EXPECT_EQ(again->lifetime, Seconds{2000});
}

TYPED_TEST_P(DeviceContract, a_taken_port_is_another_one_or_with_exact_a_refusal) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  const Result other = this->install(this->key(2, 3000), 4000);
  ASSERT_TRUE(other);
  EXPECT_NE(other->external_port, Port{4000});
  const Result exact = this->install(this->key(3, 3000), 4000, Match::exact);
  ASSERT_FALSE(exact);
  EXPECT_EQ(exact.error(), Refusal::cannot_provide_external);
}

TYPED_TEST_P(DeviceContract, exact_on_an_own_mapping_elsewhere_is_refused) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  const Result elsewhere = this->install(this->key(1, 3000), 4001, Match::exact);
  ASSERT_FALSE(elsewhere);
  EXPECT_EQ(elsewhere.error(), Refusal::cannot_provide_external);
  EXPECT_TRUE(this->install(this->key(1, 3000), 4000, Match::exact));
}

TYPED_TEST_P(DeviceContract, operations_of_a_batch_see_earlier_ones) {
  const auto mine = this->key(1, 3000);
  const auto unspecified = IpAddress::unspecified(mine.external_family);
  const auto results = this->under.apply({
      Install{mine, unspecified, Port{4000}, Match::exact, Seconds{1000}},
      Install{this->key(2, 3000), unspecified, Port{4000}, Match::exact, Seconds{1000}},
      Remove{mine},
      Install{mine, unspecified, Port{4000}, Match::exact, Seconds{1000}},
  });
  ASSERT_EQ(results.size(), 4U);
  EXPECT_TRUE(results[0]);
  EXPECT_FALSE(results[1]);
  EXPECT_TRUE(results[2]);
  EXPECT_TRUE(results[3]);
}

TYPED_TEST_P(DeviceContract, a_removed_mapping_leads_nowhere_and_removing_again_succeeds) {
  const Result made = this->install(this->key(1, 3000), 4000);
  const Result removed = this->remove(this->key(1, 3000));
  ASSERT_TRUE(made && removed);
  EXPECT_EQ(this->external_of(removed), this->external_of(made));
  EXPECT_EQ(removed->lifetime, Seconds{0});
  EXPECT_FALSE(this->under.send_inbound(Protocol::udp, this->external_of(made)));
  const Result again = this->remove(this->key(1, 3000));
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->external_address.is_unspecified());
}

TYPED_TEST_P(DeviceContract, a_freed_port_is_held_down_for_all_but_its_last_owner) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  ASSERT_TRUE(this->remove(this->key(1, 3000)));
  EXPECT_FALSE(this->install(this->key(2, 3000), 4000, Match::exact));
  EXPECT_TRUE(this->install(this->key(1, 3000), 4000, Match::exact));
  ASSERT_TRUE(this->remove(this->key(1, 3000)));
  this->under.pass(Seconds{121});
  EXPECT_TRUE(this->install(this->key(2, 3000), 4000, Match::exact));
}

TYPED_TEST_P(DeviceContract, a_mapping_ends_with_its_lifetime_and_a_renewal_moves_the_end) {
  const Result made = this->install(this->key(1, 3000), 4000, Match::exact, Seconds{100});
  ASSERT_TRUE(made);
  this->under.pass(Seconds{90});
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000, Match::exact, Seconds{100}));
  this->under.pass(Seconds{90});
  EXPECT_TRUE(this->under.send_inbound(Protocol::udp, this->external_of(made)));
}

TYPED_TEST_P(DeviceContract, an_expired_mapping_leads_nowhere) {
  const Result made = this->install(this->key(1, 3000), 4000, Match::exact, Seconds{100});
  ASSERT_TRUE(made);
  this->under.pass(Seconds{101});
  EXPECT_FALSE(this->under.send_inbound(Protocol::udp, this->external_of(made)));
}

TYPED_TEST_P(DeviceContract, an_implicit_mapping_becomes_explicit_where_it_is) {
  const auto outside = this->under.send_outbound(this->key(1, 3000));
  ASSERT_TRUE(outside);
  const Result made = this->install(this->key(1, 3000), 4444);
  ASSERT_TRUE(made);
  EXPECT_EQ(this->external_of(made), *outside);
  const Result exact = this->install(this->key(1, 3000), 4444, Match::exact);
  EXPECT_FALSE(exact);
}

TYPED_TEST_P(DeviceContract, traffic_of_a_mapped_endpoint_leaves_from_its_mapped_port) {
  const Result made = this->install(this->key(1, 3000), 4000);
  ASSERT_TRUE(made);
  EXPECT_EQ(this->under.send_outbound(this->key(1, 3000)), this->external_of(made));
}

TYPED_TEST_P(DeviceContract, removing_under_live_traffic_says_how_long_it_stays) {
  const Result made = this->install(this->key(1, 3000), 4000);
  ASSERT_TRUE(made && this->under.send_outbound(this->key(1, 3000)));
  const Result removed = this->remove(this->key(1, 3000));
  ASSERT_TRUE(removed);
  EXPECT_GT(removed->lifetime, Seconds{0});
  EXPECT_EQ(this->under.send_outbound(this->key(1, 3000)), this->external_of(made));
}

TYPED_TEST_P(DeviceContract, tcp_and_udp_have_ports_of_their_own) {
  ASSERT_TRUE(this->install(this->key(1, 3000, Protocol::udp), 4000, Match::exact));
  EXPECT_TRUE(this->install(this->key(2, 3000, Protocol::tcp), 4000, Match::exact));
}

TYPED_TEST_P(DeviceContract, what_the_device_does_not_map_is_refused_as_such) {
  const Result gre = this->install(this->key(1, 3000, static_cast<Protocol>(47)));
  ASSERT_FALSE(gre);
  EXPECT_EQ(gre.error(), Refusal::unsupported_protocol);
  const Result all_ports = this->install(this->key(1, 0));
  ASSERT_FALSE(all_ports);
  EXPECT_EQ(all_ports.error(), Refusal::unsupported_protocol);
  auto ipv6 = this->key(1, 3000);
  ipv6.external_family = Family::ipv6;
  const Result other_family = this->install(ipv6);
  ASSERT_FALSE(other_family);
  EXPECT_EQ(other_family.error(), Refusal::unsupported_protocol);
}

TYPED_TEST_P(DeviceContract, the_ports_of_pcp_itself_are_never_given) {
  for (const std::uint16_t port : {std::uint16_t{5350}, std::uint16_t{5351}}) {
    EXPECT_FALSE(this->install(this->key(1, port), port, Match::exact));
    const Result other = this->install(this->key(1, port), port);
    ASSERT_TRUE(other);
    EXPECT_NE(other->external_port, Port{port});
    EXPECT_TRUE(this->install(this->key(1, port, Protocol::tcp), port, Match::exact));
  }
}

TYPED_TEST_P(DeviceContract, a_foreign_suggested_address_is_replaced_or_with_exact_refused) {
  const auto foreign = *IpAddress::parse("198.51.100.77");
  const Install wanted{this->key(1, 3000), foreign, Port{4000}, Match::suggested, Seconds{1000}};
  const Result replaced = this->under.apply({wanted}).at(0);
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->external_address, this->under.external_address());
  const Result refused =
      this->under.apply({Install{this->key(2, 3000), foreign, Port{4001}, Match::exact, Seconds{1000}}})
          .at(0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::cannot_provide_external);
}

REGISTER_TYPED_TEST_SUITE_P(
    DeviceContract, a_free_suggested_port_is_given_and_leads_inside,
    installing_again_keeps_the_external_endpoint_whatever_is_suggested,
    a_taken_port_is_another_one_or_with_exact_a_refusal, exact_on_an_own_mapping_elsewhere_is_refused,
    operations_of_a_batch_see_earlier_ones, a_removed_mapping_leads_nowhere_and_removing_again_succeeds,
    a_freed_port_is_held_down_for_all_but_its_last_owner,
    a_mapping_ends_with_its_lifetime_and_a_renewal_moves_the_end, an_expired_mapping_leads_nowhere,
    an_implicit_mapping_becomes_explicit_where_it_is,
    traffic_of_a_mapped_endpoint_leaves_from_its_mapped_port,
    removing_under_live_traffic_says_how_long_it_stays, tcp_and_udp_have_ports_of_their_own,
    what_the_device_does_not_map_is_refused_as_such, the_ports_of_pcp_itself_are_never_given,
    a_foreign_suggested_address_is_replaced_or_with_exact_refused);

}  // namespace portolan::device
