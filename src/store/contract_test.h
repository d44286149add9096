// SPDX-License-Identifier: BSD-2-Clause
//
// What store.h promises, as tests that every store runs (see device/contract_test.h for the form).
#pragma once

#include <algorithm>
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
  [[nodiscard]] virtual auto load() const -> std::vector<Contract> = 0;
};

template <typename Under>
class StoreContract : public ::testing::Test {
 protected:
  static auto mapping(std::uint16_t internal_port, std::uint16_t external_port) -> Contract {
    return {.key = {.mapping = {.realm = {},
                                .internal_address = *IpAddress::parse("2001:db8:112::1"),
                                .protocol = Protocol::tcp,
                                .internal_port = Port{internal_port},
                                .external_family = Family::ipv4},
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
  EXPECT_EQ(this->under.load(), std::vector{mapping});
}

TYPED_TEST_P(StoreContract, rows_take_effect_in_order) {
  const Contract first = this->mapping(80, 8080);
  const Contract second = this->mapping(80, 8081);
  ASSERT_TRUE(this->under.commit({PutMapping{first}, DropMapping{first.key}, PutMapping{second}}));
  EXPECT_EQ(this->under.load(), std::vector{second});
}

TYPED_TEST_P(StoreContract, dropping_what_is_not_there_is_no_error) {
  EXPECT_TRUE(this->under.commit({DropMapping{this->mapping(80, 8080).key}}));
  EXPECT_TRUE(this->under.load().empty());
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
  for (const Contract& mapping : expected) rows.emplace_back(PutMapping{mapping});
  ASSERT_TRUE(this->under.commit(rows));
  auto loaded = this->under.load();
  std::ranges::sort(loaded, {}, &Contract::key);
  std::ranges::sort(expected, {}, &Contract::key);
  EXPECT_EQ(loaded, expected);
}

REGISTER_TYPED_TEST_SUITE_P(StoreContract, what_is_committed_is_loaded, rows_take_effect_in_order,
                            dropping_what_is_not_there_is_no_error, an_empty_commit_succeeds,
                            every_part_of_the_key_tells_rows_apart);

// NOLINTEND(readability-identifier-naming)

}  // namespace portolan::store
