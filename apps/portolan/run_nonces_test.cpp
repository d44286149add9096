// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/run_nonces.h"

#include <set>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr std::string_view server = "fe80::1%eth0";

auto address(std::string_view text) -> IpAddress { return *IpAddress::parse(text); }

auto web() -> NeededMapping { return {.protocol = Protocol::tcp, .port = Port{8080}, .address = {}}; }

auto nonce_of(const RunNonces& nonces) -> Nonce {
  return nonces.nonce(web(), Family::ipv4, server, address("2001:db8::7"));
}

class RunNoncesTest : public testing::Test {
 protected:
  [[nodiscard]] auto open() const { return RunNonces::open(path); }

  io::testing::TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "portolan";
};

TEST_F(RunNoncesTest, are_the_same_in_each_run) {
  const auto before = open();
  ASSERT_TRUE(before) << before.error();
  EXPECT_EQ(std::filesystem::status(path / "run.secret").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_EQ(nonce_of(*open()), nonce_of(*before));
  std::filesystem::remove(path / "run.secret");
  EXPECT_NE(nonce_of(*open()), nonce_of(*before)) << "another secret";
}

TEST_F(RunNoncesTest, differ_in_all_that_makes_a_mapping) {
  const auto nonces = open();
  ASSERT_TRUE(nonces);
  const IpAddress client = address("2001:db8::7");
  NeededMapping udp = web();
  udp.protocol = Protocol::udp;
  NeededMapping other_port = web();
  other_port.port = Port{8081};
  NeededMapping at_address = web();
  at_address.address = client;
  const std::set<Nonce> all{nonces->nonce(web(), Family::ipv4, server, client),
                            nonces->nonce(udp, Family::ipv4, server, client),
                            nonces->nonce(other_port, Family::ipv4, server, client),
                            nonces->nonce(at_address, Family::ipv4, server, client),
                            nonces->nonce(web(), Family::ipv6, server, client),
                            nonces->nonce(web(), Family::ipv4, "fe80::2%eth0", client),
                            nonces->nonce(web(), Family::ipv4, server, address("2001:db8::8"))};
  EXPECT_THAT(all, SizeIs(7));
}

TEST_F(RunNoncesTest, a_port_is_one_runs_at_a_time) {
  const auto one = open();
  {
    const auto other = open();
    ASSERT_TRUE(one && other);
    EXPECT_TRUE(other->take(Protocol::tcp, Port{8080}));
    EXPECT_FALSE(one->take(Protocol::tcp, Port{8080}));
    EXPECT_TRUE(one->take(Protocol::udp, Port{8080}));
  }
  EXPECT_TRUE(one->take(Protocol::tcp, Port{8080})) << "the other run has ended";
}

TEST_F(RunNoncesTest, runs_that_begin_at_once_have_one_secret) {
  std::vector<Nonce> nonces(8);
  std::vector<std::thread> runs;
  runs.reserve(nonces.size());
  for (Nonce& nonce : nonces) runs.emplace_back([&nonce, this] { nonce = nonce_of(*open()); });
  for (std::thread& run : runs) run.join();
  EXPECT_THAT(nonces, testing::Each(nonces.front()));
}

TEST_F(RunNoncesTest, a_secret_that_others_may_read_is_none) {
  ASSERT_TRUE(open());
  std::filesystem::permissions(path / "run.secret", std::filesystem::perms{0644});
  EXPECT_THAT(open().error(), HasSubstr("run.secret: has mode 0644, so that others may use it"));
  std::filesystem::permissions(path / "run.secret", std::filesystem::perms{0600});
  std::filesystem::resize_file(path / "run.secret", 31);
  EXPECT_THAT(open().error(), HasSubstr("run.secret: is too short: remove it"));
}

TEST_F(RunNoncesTest, need_a_folder) {
  ASSERT_TRUE(RunNonces::open(folder.path() / "a/b"));
  EXPECT_THAT(RunNonces::open("/dev/null/portolan").error(), HasSubstr("Not a directory"));
}

}  // namespace
}  // namespace portolan
