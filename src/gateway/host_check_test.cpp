// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/host_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(HostCheck, nothing_named_is_nothing_wrong) {
  const HostCheck found = check_host({});
  EXPECT_THAT(found.errors, IsEmpty());
  EXPECT_THAT(found.notes, IsEmpty());
}

TEST(HostCheck, interfaces_that_are_not_there_are_noted_once) {
  const HostCheck found = check_host({.interfaces = {"lo", "no-such-one", "no-such-one"}});
  EXPECT_THAT(found.errors, IsEmpty());
  EXPECT_THAT(found.notes, ElementsAre(HasSubstr("interface no-such-one does not exist on this host yet")));
}

TEST(HostCheck, certificates_that_can_not_be_used_are_errors) {
  const io::TlsFiles tls{.certificate = "/no/such/file.pem",
                         .key = "/no/such/file.key",
                         .authorities = "/no/such/ca.pem",
                         .peer_name = {}};
  EXPECT_THAT(check_host({.tls = tls}).errors, ElementsAre(HasSubstr("/no/such/")));
}

TEST(HostCheck, nft_is_there_where_tests_run) {
  EXPECT_THAT(check_host({.runs_nft = true}).errors, IsEmpty());
}

}  // namespace
}  // namespace portolan::gateway
