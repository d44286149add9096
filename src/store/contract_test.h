// SPDX-License-Identifier: BSD-2-Clause
//
// What store.h promises, as tests that every store runs (see device/contract_test.h for the form).
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/store.h"

namespace portolan::store {

class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  /// Commits and waits for the answer. Fails the test if the completion comes from inside commit(),
  /// more than once, or for another commit.
  virtual auto commit(std::vector<Row> rows) -> bool = 0;
  [[nodiscard]] virtual auto load() const -> std::vector<Row> = 0;

  /// What load() has of one kind.
  template <typename Kind>
  [[nodiscard]] auto loaded() const -> std::vector<Kind> {
    std::vector<Kind> found;
    for (const Row& row : load())
      if (const auto* one = std::get_if<Kind>(&row)) found.push_back(*one);
    return found;
  }
  [[nodiscard]] auto contracts() const -> std::vector<Contract> {
    std::vector<Contract> found;
    for (const PutMapping& mapping : loaded<PutMapping>()) found.push_back(mapping.contract);
    return found;
  }
};

/// A contract in which no field has its default.
inline auto full_contract() -> Contract {
  return {.key = {.mapping = {.realm = {7},
                              .internal_address = *IpAddress::parse("2001:db8:112::1"),
                              .protocol = Protocol::udp,
                              .external_family = Family::ipv4,
                              .internal_port = Port{3938}},
                  .remote_peer = {*IpAddress::parse("2001:db8:64::7"), Port{5060}}},
          .external_address = *IpAddress::parse("192.0.2.14"),
          .external_port = Port{40123},
          .port_count = 3,
          .nonce = *Nonce::parse("00112233445566778899aabb"),
          .format = Format::pcp_1,
          .prefer_failure = true,
          .preserve_parity = true,
          .client_port = Port{12345},
          .path = 2,
          .subscriber = *Prefix::parse("2001:db8:112::/64"),
          .expires = TimePoint{Nanoseconds{5'000'000'000'123}},
          .details = SharedDetails(ContractDetails{
              .filters = {{.remote_peers = *Prefix::parse("2001:db8:64::/96"), .remote_port = Port{80}},
                          {.remote_peers = *Prefix::parse("2001:db8:65::1/128"), .remote_port = Port{0}}},
              .description = std::string("a\0b \xc3\xa9", 6),
              .third_party_client = IpAddress::parse("2001:db8:112::9"),
              .third_party_id = {std::byte{0}, std::byte{255}}})};
}

template <typename Under>
class StoreContract : public ::testing::Test {
 protected:
  static auto mapping(std::uint16_t internal_port, std::uint16_t external_port) -> Contract {
    return {.key = {.mapping = {.realm = {},
                                .internal_address = *IpAddress::parse("2001:db8:112::1"),
                                .protocol = Protocol::tcp,
                                .external_family = Family::ipv4,
                                .internal_port = Port{internal_port}},
                    .remote_peer = {}},
            .external_address = *IpAddress::parse("192.0.2.14"),
            .external_port = Port{external_port},
            .nonce = {},
            .expires = TimePoint{Seconds{5000}}};
  }
  Under under;
};

// NOLINTBEGIN(readability-identifier-naming): TYPED_TEST_P makes a class of each name.
TYPED_TEST_SUITE_P(StoreContract);

TYPED_TEST_P(StoreContract, what_is_committed_is_loaded) {
  const Contract mapping = this->mapping(80, 8080);
  ASSERT_TRUE(this->under.commit({PutMapping{mapping}}));
  EXPECT_EQ(this->under.contracts(), std::vector{mapping});
}

TYPED_TEST_P(StoreContract, rows_take_effect_in_order) {
  const Contract first = this->mapping(80, 8080);
  const Contract second = this->mapping(80, 8081);
  ASSERT_TRUE(this->under.commit({PutMapping{first}, DropMapping{first.key}, PutMapping{second}}));
  EXPECT_EQ(this->under.contracts(), std::vector{second});
}

TYPED_TEST_P(StoreContract, later_commits_count) {
  const Contract first = this->mapping(80, 8080);
  const Contract second = this->mapping(80, 8081);
  const Contract other = this->mapping(81, 8082);
  ASSERT_TRUE(this->under.commit({PutMapping{first}, PutMapping{other}}));
  ASSERT_TRUE(this->under.commit({DropMapping{first.key}}));
  EXPECT_EQ(this->under.contracts(), std::vector{other});
  ASSERT_TRUE(this->under.commit({PutMapping{second}, DropMapping{other.key}}));
  ASSERT_TRUE(this->under.commit({}));
  EXPECT_EQ(this->under.contracts(), std::vector{second});
}

TYPED_TEST_P(StoreContract, dropping_what_is_not_there_is_no_error) {
  EXPECT_TRUE(this->under.commit({DropMapping{this->mapping(80, 8080).key}}));
  EXPECT_TRUE(this->under.contracts().empty());
}

TYPED_TEST_P(StoreContract, an_empty_commit_succeeds) { EXPECT_TRUE(this->under.commit({})); }

TYPED_TEST_P(StoreContract, every_part_of_the_key_tells_rows_apart) {
  std::vector<Row> rows;
  std::vector<Contract> expected(8, this->mapping(80, 8080));
  expected[1].key.mapping.realm.value = 1;
  expected[2].key.mapping.internal_address = *IpAddress::parse("2001:db8:112::2");
  expected[3].key.mapping.protocol = Protocol::udp;
  expected[4].key.mapping.internal_port = Port{81};
  expected[5].key.mapping.external_family = Family::ipv6;
  expected[6].key.remote_peer = {*IpAddress::parse("2001:db8:64::1"), Port{1}};
  expected[7].key.remote_peer = {*IpAddress::parse("2001:db8:64::1"), Port{2}};
  rows.reserve(rows.size() + expected.size());
  for (const Contract& mapping : expected) rows.emplace_back(PutMapping{mapping});
  ASSERT_TRUE(this->under.commit(rows));
  auto loaded = this->under.contracts();
  std::ranges::sort(loaded, {}, &Contract::key);
  std::ranges::sort(expected, {}, &Contract::key);
  EXPECT_EQ(loaded, expected);
}

TYPED_TEST_P(StoreContract, every_field_is_kept) {
  const Contract mapping = full_contract();
  const TimePoint since{Seconds{77}};
  ASSERT_TRUE(this->under.commit({PutMapping{mapping, since}}));
  const auto loaded = this->under.template loaded<PutMapping>();
  ASSERT_EQ(loaded.size(), 1U);
  EXPECT_EQ(loaded[0].contract, mapping);
  EXPECT_EQ(loaded[0].state_since, since);
}

TYPED_TEST_P(StoreContract, the_last_epoch_and_the_last_of_each_path_count) {
  const auto address = *IpAddress::parse("2001:db8:112::ff");
  ASSERT_TRUE(this->under.commit({PutEpoch{TimePoint{Seconds{1}}}, PutPath{0, address, "phone0"},
                                  PutPath{1, address, "phone1"}, PutEpoch{TimePoint{Seconds{-2}}},
                                  PutPath{1, address, "wifi0"}}));
  const auto epochs = this->under.template loaded<PutEpoch>();
  ASSERT_EQ(epochs.size(), 1U);
  EXPECT_EQ(epochs[0].base, TimePoint{Seconds{-2}}) << "before the machine was started";
  auto paths = this->under.template loaded<PutPath>();
  std::ranges::sort(paths, {}, &PutPath::number);
  ASSERT_EQ(paths.size(), 2U);
  EXPECT_EQ(paths[0].interface, "phone0");
  EXPECT_EQ(paths[1].interface, "wifi0");
  EXPECT_EQ(paths[1].local_address, address);
}

/// A user in which no field has its default.
inline auto full_user(const char* prefix) -> Profile {
  return {.users = *Prefix::parse(prefix),
          .policy = {.map = false,
                     .peer = false,
                     .third_party = true,
                     .protocols = {Protocol::tcp, Protocol::sctp},
                     .internal_ports = {.first = Port{1}, .last = Port{2}},
                     .external_ports = {.first = Port{3}, .last = Port{4}},
                     .nonce = NoncePolicy::relaxed,
                     .mappings_max = 70'000,
                     .filters_max = 5,
                     .port_set_max = 6},
          .allotment = {.external_address = *IpAddress::parse("192.0.2.14"),
                        .external_ports = {.first = Port{7}, .last = Port{8}},
                        .port_block_size = 512,
                        .ports_max = 100'000,
                        .sessions_max = 200'000,
                        .sessions_per_second_max = 300'000},
          .subscriber_prefix_length = 64};
}

TYPED_TEST_P(StoreContract, every_field_of_users_is_kept_and_the_last_word_counts) {
  const Profile full = full_user("2001:db8:112::/48");
  const Profile plain{.users = *Prefix::parse("192.0.2.0/24")};
  ASSERT_TRUE(this->under.commit({PutUser{plain}, PutUser{full_user("2001:db8:113::/48")}}));
  ASSERT_TRUE(this->under.commit({PutUser{Profile{.users = full.users}}, DropUser{*Prefix::parse("::/0")},
                                  PutUser{full}, DropUser{*Prefix::parse("2001:db8:113::/48")}}));
  auto loaded = this->under.template loaded<PutUser>();
  std::ranges::sort(loaded, {}, [](const PutUser& row) { return row.user.users; });
  ASSERT_EQ(loaded.size(), 2U);
  EXPECT_EQ(loaded[0].user, plain);
  EXPECT_EQ(loaded[1].user, full);
}

TYPED_TEST_P(StoreContract, every_field_of_static_mappings_is_kept_apart_from_what_clients_have) {
  StaticMapping full{.key = full_contract().key.mapping,
                     .external_address = *IpAddress::parse("192.0.2.14"),
                     .external_port = Port{8080},
                     .filters = full_contract().filters(),
                     .description = "the operator's"};
  StaticMapping other = full;
  other.key.internal_port = Port{1};
  full.expires = full_contract().expires;
  StaticMapping plain = full;
  plain.filters.clear();
  plain.description.clear();
  plain.expires.reset();
  plain.key.realm = Realm{9};
  const Contract mapping{.key = {.mapping = full.key, .remote_peer = {}},
                         .external_address = {},
                         .external_port = {},
                         .nonce = {}};
  ASSERT_TRUE(this->under.commit({PutStatic{other}, PutMapping{mapping}, PutStatic{full}, PutStatic{plain}}));
  ASSERT_TRUE(this->under.commit({DropStatic{other.key}, DropMapping{mapping.key}}));
  EXPECT_TRUE(this->under.contracts().empty());
  auto loaded = this->under.template loaded<PutStatic>();
  std::ranges::sort(loaded, {}, [](const PutStatic& row) { return row.mapping.key; });
  ASSERT_EQ(loaded.size(), 2U);
  EXPECT_EQ(loaded[0].mapping, full);
  EXPECT_EQ(loaded[1].mapping, plain);
}

REGISTER_TYPED_TEST_SUITE_P(StoreContract, every_field_of_users_is_kept_and_the_last_word_counts,
                            every_field_of_static_mappings_is_kept_apart_from_what_clients_have,
                            what_is_committed_is_loaded, rows_take_effect_in_order, later_commits_count,
                            every_field_is_kept, the_last_epoch_and_the_last_of_each_path_count,
                            dropping_what_is_not_there_is_no_error, an_empty_commit_succeeds,
                            every_part_of_the_key_tells_rows_apart);

// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::store
