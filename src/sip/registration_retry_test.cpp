// SPDX-License-Identifier: BSD-2-Clause
#include "sip/registration_retry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::sip {
namespace {

using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

TEST(RegistrationRetry, waits_twice_as_long_after_each_failure_up_to_a_maximum) {
  SeededRandom random(1);
  RegistrationRetry retry;
  for (const int upper_s : {60, 120, 240, 480, 600, 600, 600, 600, 600, 600})
    EXPECT_THAT(retry.next({}, random), AllOf(Ge(Seconds{upper_s} / 2), Le(Seconds{upper_s})));
}

TEST(RegistrationRetry, begins_anew_after_a_registration) {
  SeededRandom random(2);
  RegistrationRetry retry;
  for (int i = 0; i < 5; ++i) static_cast<void>(retry.next({}, random));
  retry.reset();
  EXPECT_LE(retry.next({}, random), Seconds{60});
}

TEST(RegistrationRetry, phones_that_fail_at_the_same_time_don_t_come_back_at_the_same_time) {
  SeededRandom random(3);
  EXPECT_NE(RegistrationRetry().next({}, random), RegistrationRetry().next({}, random));
}

TEST(RegistrationRetry, does_what_the_server_asks_for_within_limits) {
  SeededRandom random(4);
  RegistrationRetry retry;
  EXPECT_EQ(retry.next(Seconds{7}, random), Seconds{7});
  EXPECT_EQ(retry.next(Seconds{0}, random), Seconds{1});
  EXPECT_EQ(retry.next(Seconds{3601}, random), Seconds{3600});
}

TEST(RegistrationRetry, is_not_worth_it_where_a_person_must_change_something) {
  for (const int status : {401, 403, 407}) EXPECT_FALSE(RegistrationRetry::is_worth_it(status)) << status;
  for (const int status : {404, 408, 480, 500, 503, 603})
    EXPECT_TRUE(RegistrationRetry::is_worth_it(status)) << status;
}

}  // namespace
}  // namespace portolan::sip
