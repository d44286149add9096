// SPDX-License-Identifier: BSD-2-Clause
#include "io/resolve.h"

#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "io/event_loop.h"
#include "io/name_lookup.h"

namespace portolan::io {
namespace {

TEST(Resolve, an_address_is_itself) {
  const auto v6 = resolve("2001:db8:112::1");
  ASSERT_TRUE(v6) << v6.error();
  ASSERT_EQ(v6->size(), 1U);
  EXPECT_EQ(to_string(v6->front().address), "2001:db8:112::1");
  EXPECT_EQ(v6->front().interface_index, 0U);
  const auto v4 = resolve("192.0.2.1");
  ASSERT_TRUE(v4) << v4.error();
  EXPECT_EQ(to_string(v4->front().address), "192.0.2.1");
}

TEST(Resolve, a_link_local_address_keeps_its_zone) {
  const auto router = resolve("fe80::1%lo");
  ASSERT_TRUE(router) << router.error();
  EXPECT_EQ(router->front().interface, "lo");
  EXPECT_EQ(router->front().interface_index, 1U);
}

TEST(Resolve, an_address_needs_no_resolver) {
  EXPECT_EQ(to_string(resolve_address("192.0.2.1")->front().address), "192.0.2.1");
  EXPECT_EQ(resolve_address("fe80::1%lo")->front().interface, "lo");
  EXPECT_FALSE(resolve_address("localhost"));
  EXPECT_FALSE(resolve_address("fe80::1%no-such-link"));
  EXPECT_FALSE(resolve_address(""));
}

TEST(NameLookup, answers_while_the_loop_runs) {
  EventLoop loop;
  std::vector<ScopedAddress> found;
  const auto lookup = NameLookup::start(loop, "localhost", [&](auto addresses) {
    ASSERT_TRUE(addresses) << addresses.error();
    found = std::move(*addresses);
    loop.stop();
  });
  EXPECT_TRUE(found.empty()) << "not before the loop runs";
  loop.run();
  ASSERT_FALSE(found.empty());
  EXPECT_TRUE(to_string(found.front().address) == "127.0.0.1" || to_string(found.front().address) == "::1");
}

TEST(NameLookup, that_is_destroyed_never_answers) {
  EventLoop loop;
  bool has_answered = false;
  {
    const auto lookup = NameLookup::start(loop, "localhost", [&](auto) { has_answered = true; });
  }
  // A later one's answer comes behind.
  const auto later = NameLookup::start(loop, "localhost", [&](auto) { loop.stop(); });
  loop.run();
  EXPECT_FALSE(has_answered);
}

TEST(Resolve, errors_name_the_host) {
  const auto unknown_zone = resolve("fe80::1%no-such-link");
  ASSERT_FALSE(unknown_zone);
  EXPECT_NE(unknown_zone.error().find("fe80::1%no-such-link"), std::string::npos) << unknown_zone.error();
  const auto nonsense = resolve("no such name");
  ASSERT_FALSE(nonsense);
  EXPECT_NE(nonsense.error().find("no such name"), std::string::npos) << nonsense.error();
}

}  // namespace
}  // namespace portolan::io
