// SPDX-License-Identifier: BSD-2-Clause
//
// What device.h promises, as tests that every device runs: a device's test file derives a fixture from
// DeviceUnderTest and instantiates the suite with
//
//   INSTANTIATE_TYPED_TEST_SUITE_P(Simulated, DeviceContract, SimulatedUnderTest);
#pragma once

#include <optional>
#include <utility>
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
  /// A packet of the internal endpoint leaves through the device for remote_peer(`peer`). Returns the
  /// source it leaves with.
  virtual auto send_outbound(const MappingKey& from, unsigned peer) -> std::optional<Endpoint> = 0;
  /// Where a packet from remote_peer(`peer`) to `external` arrives inside, if anywhere.
  virtual auto send_inbound(Protocol protocol, const Endpoint& external, unsigned peer)
      -> std::optional<Endpoint> = 0;
  /// Changes the external addresses; returns the events of that.
  virtual auto set_pool(const std::vector<IpAddress>& pool) -> std::vector<Event> = 0;

  /// An inside address; `host` tells hosts apart.
  [[nodiscard]] virtual auto inside_address(unsigned host) const -> IpAddress = 0;
  /// An external address that is the device's at first.
  [[nodiscard]] virtual auto external_address() const -> IpAddress = 0;
  /// One that is not.
  [[nodiscard]] virtual auto other_external_address() const -> IpAddress = 0;
  /// A peer as it is seen from inside; `peer` tells peers apart.
  [[nodiscard]] virtual auto remote_peer(unsigned peer) const -> Endpoint = 0;
  /// An address nothing can be sent to through the device.
  [[nodiscard]] virtual auto unreachable_peer() const -> Endpoint = 0;
};

template <typename Under>
class DeviceContract : public ::testing::Test {
 protected:
  auto key(unsigned host, std::uint16_t port, Protocol protocol = Protocol::udp) const -> MappingKey {
    return {.realm = {},
            .internal_address = under.inside_address(host),
            .protocol = protocol,
            .external_family = under.external_address().family(),
            .internal_port = Port{port}};
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
  auto apply(Operation operation) -> Result { return under.apply({std::move(operation)}).at(0); }
  /// What a test may want besides key and lifetime is changed in the result.
  auto wish(const MappingKey& mapping, std::uint16_t port = 0, std::uint16_t count = 1) const -> Install {
    return {.key = mapping,
            .external_address = IpAddress::unspecified(mapping.external_family),
            .external_port = Port{port},
            .match = Match::suggested,
            .lifetime = Seconds{1000},
            .port_count = count};
  }
  auto remove(const MappingKey& mapping) -> Result { return under.apply({Remove{mapping}}).at(0); }
  auto peer(const MappingKey& mapping, unsigned number, std::uint16_t port = 0,
            Seconds lifetime = Seconds{1000}) -> Result {
    return apply(InstallPeer{.key = mapping,
                             .remote_peer = under.remote_peer(number),
                             .external_address = IpAddress::unspecified(mapping.external_family),
                             .external_port = Port{port},
                             .lifetime = lifetime});
  }
  auto release(const MappingKey& mapping, unsigned number) -> Result {
    return apply(ReleasePeer{.key = mapping, .remote_peer = under.remote_peer(number)});
  }
  auto only(unsigned number, std::uint16_t port = 0) const -> RemoteFilter {
    return {.remote_peers = Prefix{under.remote_peer(number).address, 128}, .remote_port = Port{port}};
  }
  auto at(std::uint16_t port) const -> Endpoint { return {under.external_address(), Port{port}}; }
  auto out(const MappingKey& from, unsigned number = 0) -> std::optional<Endpoint> {
    return under.send_outbound(from, number);
  }
  auto in(const Endpoint& external, unsigned number = 0, Protocol protocol = Protocol::udp)
      -> std::optional<Endpoint> {
    return under.send_inbound(protocol, external, number);
  }
  static auto external_of(const Result& result) -> Endpoint {
    return {result->external_address, result->external_port};
  }

  Under under;
};

// NOLINTBEGIN(readability-identifier-naming): TYPED_TEST_P makes a class of each name.
TYPED_TEST_SUITE_P(DeviceContract);

TYPED_TEST_P(DeviceContract, a_free_suggested_port_is_given_and_leads_inside) {
  const auto key = this->key(1, 3000);
  const Result result = this->install(key, 4000);
  ASSERT_TRUE(result) << to_string(result.error());
  EXPECT_EQ(this->external_of(result), (Endpoint{this->under.external_address(), Port{4000}}));
  EXPECT_EQ(result->lifetime, Seconds{1000});
  EXPECT_EQ(this->in(this->external_of(result)), (Endpoint{key.internal_address, key.internal_port}));
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
  EXPECT_FALSE(this->in(this->external_of(made)));
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
  EXPECT_TRUE(this->in(this->external_of(made)));
}

TYPED_TEST_P(DeviceContract, a_mapping_for_a_hundred_years_outlives_every_timer) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000, Match::suggested, Seconds{100LL * 365 * 86400}));
  for (int day = 0; day < 3; ++day) this->under.pass(Seconds{86400});
  EXPECT_TRUE(this->in(this->at(4000)));
}

TYPED_TEST_P(DeviceContract, an_expired_mapping_leads_nowhere) {
  const Result made = this->install(this->key(1, 3000), 4000, Match::exact, Seconds{100});
  ASSERT_TRUE(made);
  this->under.pass(Seconds{101});
  EXPECT_FALSE(this->in(this->external_of(made)));
}

TYPED_TEST_P(DeviceContract, an_implicit_mapping_becomes_explicit_where_it_is) {
  const auto outside = this->out(this->key(1, 3000));
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
  EXPECT_EQ(this->out(this->key(1, 3000)), this->external_of(made));
}

TYPED_TEST_P(DeviceContract, removing_under_live_traffic_says_how_long_it_stays) {
  const Result made = this->install(this->key(1, 3000), 4000);
  ASSERT_TRUE(made && this->out(this->key(1, 3000)));
  const Result removed = this->remove(this->key(1, 3000));
  ASSERT_TRUE(removed);
  EXPECT_GT(removed->lifetime, Seconds{0});
  EXPECT_EQ(this->out(this->key(1, 3000)), this->external_of(made));
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

TYPED_TEST_P(DeviceContract, a_filter_lets_only_its_peers_in) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  wanted.filters = {this->only(1), this->only(2)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4000), 1));
  EXPECT_TRUE(this->in(this->at(4000), 2));
  EXPECT_FALSE(this->in(this->at(4000), 3));
}

TYPED_TEST_P(DeviceContract, a_filter_may_name_the_peers_port) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  wanted.filters = {this->only(1, this->under.remote_peer(1).port.value), this->only(2, 1)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4000), 1));
  EXPECT_FALSE(this->in(this->at(4000), 2));
}

TYPED_TEST_P(DeviceContract, a_list_of_filters_replaces_the_one_before_and_ends_what_it_forbids) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4000), 2));
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_FALSE(this->in(this->at(4000), 2));
  wanted.filters = {this->only(2)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_FALSE(this->in(this->at(4000), 1));
  EXPECT_TRUE(this->in(this->at(4000), 2));
  wanted.filters.clear();
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4000), 1));
}

TYPED_TEST_P(DeviceContract, answers_to_the_inside_pass_whatever_the_filter) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_FALSE(this->in(this->at(4000), 2));
  ASSERT_TRUE(this->out(this->key(1, 3000), 2));
  EXPECT_TRUE(this->in(this->at(4000), 2));
  EXPECT_FALSE(this->in(this->at(4000), 3));
}

TYPED_TEST_P(DeviceContract, filters_of_everyone_and_of_nobody) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  const bool is_ipv4 = wanted.key.internal_address.is_ipv4();
  wanted.filters = {{.remote_peers = Prefix{IpAddress::unspecified(wanted.key.internal_address.family()),
                                            is_ipv4 ? 96U : 0U},
                     .remote_port = {}}};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4000), 3));
  wanted.filters = {{.remote_peers = Prefix{this->under.unreachable_peer().address, 128}, .remote_port = {}}};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_FALSE(this->in(this->at(4000), 3));
}

TYPED_TEST_P(DeviceContract, too_many_filters_are_refused_and_change_nothing) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  wanted.filters.assign(9, this->only(2));
  const Result refused = this->apply(wanted);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::excessive_filters);
  EXPECT_TRUE(this->in(this->at(4000), 1));
  EXPECT_FALSE(this->in(this->at(4000), 2));
  wanted.filters.assign(8, this->only(2));
  EXPECT_TRUE(this->apply(wanted));
}

TYPED_TEST_P(DeviceContract, a_set_maps_consecutive_ports_and_is_removed_as_a_whole) {
  const Result made = this->apply(this->wish(this->key(1, 3000), 4000, 4));
  ASSERT_TRUE(made);
  EXPECT_EQ(this->external_of(made), this->at(4000));
  EXPECT_EQ(made->port_count, 4);
  for (std::uint16_t i = 0; i < 4; ++i) {
    const auto inside = this->in(this->at(static_cast<std::uint16_t>(4000 + i)));
    ASSERT_TRUE(inside);
    EXPECT_EQ(inside->port, Port{static_cast<std::uint16_t>(3000 + i)});
  }
  const Result removed = this->remove(this->key(1, 3000));
  ASSERT_TRUE(removed);
  EXPECT_EQ(removed->port_count, 4);
  for (std::uint16_t i = 0; i < 4; ++i) {
    EXPECT_FALSE(this->in(this->at(static_cast<std::uint16_t>(4000 + i)), 1));
    EXPECT_FALSE(this->install(this->key(2, 9), static_cast<std::uint16_t>(4000 + i), Match::exact));
  }
  Install back = this->wish(this->key(1, 3000), 4000, 4);
  back.match = Match::exact;
  const Result undone = this->apply(back);
  ASSERT_TRUE(undone);
  EXPECT_EQ(undone->port_count, 4);
}

TYPED_TEST_P(DeviceContract, a_set_expires_and_is_renewed_as_a_whole_and_keeps_its_size) {
  ASSERT_TRUE(this->apply(this->wish(this->key(1, 3000), 4000, 3)));
  this->under.pass(Seconds{900});
  const Result renewed = this->apply(this->wish(this->key(1, 3000), 5000, 9));
  ASSERT_TRUE(renewed);
  EXPECT_EQ(this->external_of(renewed), this->at(4000));
  EXPECT_EQ(renewed->port_count, 3);
  this->under.pass(Seconds{900});
  EXPECT_TRUE(this->in(this->at(4002)));
  this->under.pass(Seconds{1001});
  for (const std::uint16_t port : {std::uint16_t{4000}, std::uint16_t{4001}, std::uint16_t{4002}})
    EXPECT_FALSE(this->in(this->at(port)));
}

TYPED_TEST_P(DeviceContract, a_set_that_does_not_fit_is_moved_or_with_exact_cut) {
  ASSERT_TRUE(this->install(this->key(2, 3000), 4002, Match::exact));
  const Result elsewhere = this->apply(this->wish(this->key(1, 3000), 4000, 4));
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->port_count, 4);
  EXPECT_NE(elsewhere->external_port, Port{4000});
  Install exact = this->wish(this->key(3, 3000), 4001, 4);
  exact.match = Match::exact;
  const Result cut = this->apply(exact);
  if (elsewhere->external_port <= Port{4001} &&
      Port{4001} < Port{static_cast<std::uint16_t>(elsewhere->external_port.value + 4)})
    return;  // chosen by chance
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->port_count, 1);
}

TYPED_TEST_P(DeviceContract, parity_is_kept_when_asked) {
  for (std::uint16_t i = 0; i < 20; ++i) {
    const auto internal = static_cast<std::uint16_t>(3000 + 3 * i);
    Install wanted = this->wish(this->key(1, internal), static_cast<std::uint16_t>(internal + 1001), 2);
    wanted.preserve_parity = true;
    const Result made = this->apply(wanted);
    ASSERT_TRUE(made);
    EXPECT_EQ(made->external_port.value % 2, internal % 2);
    EXPECT_EQ(made->port_count, 2);
  }
}

TYPED_TEST_P(DeviceContract, a_set_stops_before_ports_that_nobody_gets) {
  Install wanted = this->wish(this->key(1, 3000), 5349, 4);
  wanted.match = Match::exact;
  const Result udp = this->apply(wanted);
  ASSERT_TRUE(udp);
  EXPECT_EQ(udp->port_count, 1);
  wanted.key.protocol = Protocol::tcp;
  const Result tcp = this->apply(wanted);
  ASSERT_TRUE(tcp);
  EXPECT_EQ(tcp->port_count, 4);
  const Result last = this->apply(this->wish(this->key(2, 65534), 65534, 4));
  ASSERT_TRUE(last);
  EXPECT_EQ(last->port_count, 2);
}

TYPED_TEST_P(DeviceContract, a_later_port_of_a_set_has_no_mapping_of_its_own) {
  ASSERT_TRUE(this->apply(this->wish(this->key(1, 3000), 4000, 3)));
  const Result part = this->install(this->key(1, 3001));
  ASSERT_FALSE(part);
  EXPECT_EQ(part.error(), Refusal::no_resources);
  EXPECT_TRUE(this->remove(this->key(1, 3001)));
  EXPECT_TRUE(this->in(this->at(4001)));
  const Result before = this->apply(this->wish(this->key(1, 2999), 0, 3));
  ASSERT_TRUE(before);
  EXPECT_EQ(before->port_count, 1);
}

TYPED_TEST_P(DeviceContract, a_set_goes_on_from_an_implicit_mapping_of_its_first_port) {
  const auto outside = this->out(this->key(1, 3000));
  ASSERT_TRUE(outside);
  const Result made = this->apply(this->wish(this->key(1, 3000), 4000, 2));
  ASSERT_TRUE(made);
  EXPECT_EQ(this->external_of(made), *outside);
  EXPECT_EQ(made->port_count, 2);
}

TYPED_TEST_P(DeviceContract, a_removed_set_comes_back_around_what_traffic_keeps) {
  Install wanted = this->wish(this->key(1, 3000), 4000, 3);
  wanted.match = Match::exact;
  ASSERT_TRUE(this->apply(wanted));
  ASSERT_TRUE(this->out(this->key(1, 3001)));
  ASSERT_TRUE(this->remove(this->key(1, 3000)));
  const Result back = this->apply(wanted);
  ASSERT_TRUE(back);
  EXPECT_EQ(this->external_of(back), this->at(4000));
  EXPECT_EQ(back->port_count, 3);
}

TYPED_TEST_P(DeviceContract, a_filter_of_a_set_is_one_of_all_its_ports) {
  Install wanted = this->wish(this->key(1, 3000), 4000, 2);
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4001), 2));
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  EXPECT_TRUE(this->in(this->at(4001), 1));
  EXPECT_FALSE(this->in(this->at(4001), 2));
}

TYPED_TEST_P(DeviceContract, what_only_traffic_made_is_not_removed) {
  ASSERT_TRUE(this->out(this->key(1, 3000)));
  const Result refused = this->remove(this->key(1, 3000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Refusal::outbound_mapping);
  EXPECT_TRUE(this->peer(this->key(2, 3000), 1));
  EXPECT_FALSE(this->remove(this->key(2, 3000)));
}

TYPED_TEST_P(DeviceContract, removing_again_under_live_traffic_is_answered_like_the_first_time) {
  const Result made = this->install(this->key(1, 3000), 4000);
  ASSERT_TRUE(made && this->out(this->key(1, 3000)));
  ASSERT_TRUE(this->remove(this->key(1, 3000)));
  this->under.pass(Seconds{10});
  const Result again = this->remove(this->key(1, 3000));
  ASSERT_TRUE(again);
  EXPECT_EQ(this->external_of(again), this->external_of(made));
  EXPECT_GT(again->lifetime, Seconds{0});
}

TYPED_TEST_P(DeviceContract, a_peer_mapping_is_made_where_suggested_and_used_by_traffic) {
  for (const Protocol protocol : {Protocol::udp, Protocol::tcp}) {
    const auto key = this->key(1, 3000, protocol);
    const Result made = this->peer(key, 1, 4000);
    ASSERT_TRUE(made) << to_string(made.error());
    EXPECT_EQ(this->external_of(made), this->at(4000));
    EXPECT_GE(made->lifetime, Seconds{1000});
    EXPECT_TRUE(this->in(this->at(4000), 1, protocol));
    EXPECT_EQ(this->out(key, 1), this->at(4000));
    EXPECT_EQ(this->out(key, 2), this->at(4000));
  }
}

TYPED_TEST_P(DeviceContract, a_peer_mapping_that_cannot_be_where_suggested_is_refused) {
  ASSERT_TRUE(this->install(this->key(2, 3000), 4000));
  const Result taken = this->peer(this->key(1, 3000), 1, 4000);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error(), Refusal::cannot_provide_external);
  const Result foreign = this->apply(InstallPeer{.key = this->key(1, 3000),
                                                 .remote_peer = this->under.remote_peer(1),
                                                 .external_address = this->under.other_external_address(),
                                                 .external_port = Port{4001},
                                                 .lifetime = Seconds{100}});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error(), Refusal::cannot_provide_external);
  EXPECT_TRUE(this->peer(this->key(1, 3000), 1));
}

TYPED_TEST_P(DeviceContract, a_peer_of_a_mapped_endpoint_is_added_where_that_is) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  const Result other = this->peer(this->key(1, 3000), 1, 4001);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error(), Refusal::cannot_provide_external);
  const Result same = this->peer(this->key(1, 3000), 1, 4000);
  const Result any = this->peer(this->key(1, 3000), 2);
  ASSERT_TRUE(same && any);
  EXPECT_EQ(this->external_of(any), this->at(4000));
  const Result again = this->peer(this->key(1, 3000), 1, 4001);
  ASSERT_TRUE(again) << "it exists: the suggestion is ignored";
  EXPECT_EQ(this->external_of(again), this->at(4000));
}

TYPED_TEST_P(DeviceContract, a_peer_mapping_lives_as_long_as_it_was_promised_and_no_longer) {
  ASSERT_TRUE(this->peer(this->key(1, 3000), 1, 4000));
  const Result shorter = this->peer(this->key(1, 3000), 1, 0, Seconds{10});
  ASSERT_TRUE(shorter);
  EXPECT_GE(shorter->lifetime, Seconds{1000}) << "never shortened";
  this->under.pass(Seconds{990});
  EXPECT_FALSE(this->install(this->key(2, 3000), 4000, Match::exact));
  this->under.pass(Seconds{11});
  EXPECT_FALSE(this->in(this->at(4000), 1));
}

TYPED_TEST_P(DeviceContract, peer_extends_what_traffic_made_and_traffic_what_peer_made) {
  const auto outside = this->out(this->key(1, 3000), 1);
  ASSERT_TRUE(outside);
  const Result extended = this->peer(this->key(1, 3000), 1, 9, Seconds{2000});
  ASSERT_TRUE(extended);
  EXPECT_EQ(this->external_of(extended), *outside);
  this->under.pass(Seconds{1990});
  EXPECT_EQ(this->out(this->key(1, 3000), 1), *outside);
  this->under.pass(Seconds{100});
  EXPECT_TRUE(this->in(*outside, 1));
}

TYPED_TEST_P(DeviceContract, a_released_peer_lives_only_by_its_traffic) {
  ASSERT_TRUE(this->peer(this->key(1, 3000), 1, 4000));
  const Result undone = this->release(this->key(1, 3000), 1);
  ASSERT_TRUE(undone);
  EXPECT_EQ(undone->lifetime, Seconds{0});
  EXPECT_FALSE(this->in(this->at(4000), 1));
  EXPECT_FALSE(this->install(this->key(2, 3000), 4000, Match::exact)) << "its port is held down";
  ASSERT_TRUE(this->peer(this->key(1, 3000), 1, 4000));
  ASSERT_TRUE(this->out(this->key(1, 3000), 1));
  const Result kept = this->release(this->key(1, 3000), 1);
  ASSERT_TRUE(kept);
  EXPECT_GT(kept->lifetime, Seconds{0});
  EXPECT_LE(kept->lifetime, Seconds{300});
  EXPECT_TRUE(this->in(this->at(4000), 1));
  EXPECT_TRUE(this->release(this->key(3, 1), 1)) << "nothing to release";
}

TYPED_TEST_P(DeviceContract, a_peer_nothing_can_be_sent_to_is_refused) {
  Endpoint nowhere = this->under.remote_peer(1);
  nowhere.port = {};
  for (const Endpoint& remote : {this->under.unreachable_peer(), nowhere}) {
    const Result refused = this->apply(InstallPeer{.key = this->key(1, 3000),
                                                   .remote_peer = remote,
                                                   .external_address = IpAddress::unspecified(Family::ipv4),
                                                   .external_port = {},
                                                   .lifetime = Seconds{100}});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), Refusal::remote_peer_invalid);
  }
}

TYPED_TEST_P(DeviceContract, a_mapping_is_not_given_less_time_than_traffic_keeps_it) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  ASSERT_TRUE(this->out(this->key(1, 3000), 1));
  this->under.pass(Seconds{100});
  Install shorter = this->wish(this->key(1, 3000), 4000);
  shorter.lifetime = Seconds{10};
  const Result kept = this->apply(shorter);
  ASSERT_TRUE(kept);
  EXPECT_GE(kept->lifetime, Seconds{199});
  EXPECT_LE(kept->lifetime, Seconds{200});
  this->under.pass(Seconds{190});
  EXPECT_TRUE(this->in(this->at(4000), 2)) << "it was promised, whoever comes";
  this->under.pass(Seconds{600});
  const Result short_indeed = this->apply(shorter);
  ASSERT_TRUE(short_indeed);
  EXPECT_EQ(short_indeed->lifetime, Seconds{10});
}

TYPED_TEST_P(DeviceContract, a_removed_mapping_lives_on_as_long_as_peer_keeps_it) {
  ASSERT_TRUE(this->install(this->key(1, 3000), 4000));
  ASSERT_TRUE(this->peer(this->key(1, 3000), 1, 0, Seconds{2000}));
  const Result removed = this->remove(this->key(1, 3000));
  ASSERT_TRUE(removed);
  EXPECT_GE(removed->lifetime, Seconds{1999});
  EXPECT_TRUE(this->in(this->at(4000), 1));
}

TYPED_TEST_P(DeviceContract, a_peer_passes_filters) {
  Install wanted = this->wish(this->key(1, 3000), 4000);
  wanted.filters = {this->only(1)};
  ASSERT_TRUE(this->apply(wanted));
  ASSERT_TRUE(this->peer(this->key(1, 3000), 2));
  EXPECT_TRUE(this->in(this->at(4000), 2));
  EXPECT_FALSE(this->in(this->at(4000), 3));
}

REGISTER_TYPED_TEST_SUITE_P(
    DeviceContract, a_free_suggested_port_is_given_and_leads_inside,
    installing_again_keeps_the_external_endpoint_whatever_is_suggested,
    a_taken_port_is_another_one_or_with_exact_a_refusal, exact_on_an_own_mapping_elsewhere_is_refused,
    operations_of_a_batch_see_earlier_ones, a_removed_mapping_leads_nowhere_and_removing_again_succeeds,
    a_freed_port_is_held_down_for_all_but_its_last_owner,
    a_mapping_ends_with_its_lifetime_and_a_renewal_moves_the_end,
    a_mapping_for_a_hundred_years_outlives_every_timer, an_expired_mapping_leads_nowhere,
    an_implicit_mapping_becomes_explicit_where_it_is,
    traffic_of_a_mapped_endpoint_leaves_from_its_mapped_port,
    removing_under_live_traffic_says_how_long_it_stays, tcp_and_udp_have_ports_of_their_own,
    what_the_device_does_not_map_is_refused_as_such, the_ports_of_pcp_itself_are_never_given,
    a_foreign_suggested_address_is_replaced_or_with_exact_refused, a_filter_lets_only_its_peers_in,
    a_filter_may_name_the_peers_port, a_list_of_filters_replaces_the_one_before_and_ends_what_it_forbids,
    answers_to_the_inside_pass_whatever_the_filter, filters_of_everyone_and_of_nobody,
    too_many_filters_are_refused_and_change_nothing, a_set_maps_consecutive_ports_and_is_removed_as_a_whole,
    a_set_expires_and_is_renewed_as_a_whole_and_keeps_its_size,
    a_set_that_does_not_fit_is_moved_or_with_exact_cut, parity_is_kept_when_asked,
    a_set_stops_before_ports_that_nobody_gets, a_later_port_of_a_set_has_no_mapping_of_its_own,
    a_set_goes_on_from_an_implicit_mapping_of_its_first_port,
    a_removed_set_comes_back_around_what_traffic_keeps, a_filter_of_a_set_is_one_of_all_its_ports,
    what_only_traffic_made_is_not_removed, removing_again_under_live_traffic_is_answered_like_the_first_time,
    a_peer_mapping_is_made_where_suggested_and_used_by_traffic,
    a_peer_mapping_that_cannot_be_where_suggested_is_refused,
    a_peer_of_a_mapped_endpoint_is_added_where_that_is,
    a_peer_mapping_lives_as_long_as_it_was_promised_and_no_longer,
    peer_extends_what_traffic_made_and_traffic_what_peer_made,
    a_mapping_is_not_given_less_time_than_traffic_keeps_it, a_released_peer_lives_only_by_its_traffic,
    a_peer_nothing_can_be_sent_to_is_refused, a_removed_mapping_lives_on_as_long_as_peer_keeps_it,
    a_peer_passes_filters);

// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::device
