// SPDX-License-Identifier: BSD-2-Clause
//
// The log of a NAT64 that meets no packets: what its server asks for makes events.
#include "gateway/event_log.h"

#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/test_quiet_link.h"
#include "io/system.h"
#include "io/testing.h"

namespace portolan::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class EventLogTest : public ::testing::Test {
 public:
  ~EventLogTest() override { log.reset(); }

 protected:
  EventLogTest() {
    nat::Config config;
    config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
    config.pool = {*Ipv4Address::parse("192.0.2.14")};
    std::vector<std::unique_ptr<device::PacketLink>> links;
    links.push_back(std::make_unique<test::QuietLink>());
    device.emplace(
        std::move(links), std::make_unique<io::SystemRandom>(), io::monotonic_now, config,
        [](device::BatchId, const std::vector<device::Result>&) {},
        [this](std::function<void()> task) { loop.post(std::move(task)); });
    log.emplace(loop, *device, [this](std::span<const EventLog::Entry> entries) {
      heard += entries.size();
      if (heard >= awaited) loop.stop();
    });
  }

  void use(const std::filesystem::path& path, nat::EventLevel level) {
    const EventSettings settings{.rules = {.everybody = level, .of = {}}, .path = path};
    auto file = EventLog::open(settings);
    ASSERT_TRUE(file) << file.error();
    log->use(*std::move(file), settings);
  }
  /// Has mappings made, and their events written.
  void map(std::uint16_t first_port, std::uint16_t count) {
    std::vector<device::Operation> operations;
    for (std::uint16_t i = 0; i < count; ++i)
      operations.emplace_back(
          device::Install{.key = {.realm = {},
                                  .internal_address = *IpAddress::parse("2001:db8:112::2"),
                                  .protocol = Protocol::udp,
                                  .external_family = Family::ipv4,
                                  .internal_port = Port{static_cast<std::uint16_t>(first_port + i)}},
                          .external_address = {},
                          .external_port = {},
                          .lifetime = Seconds{600}});
    awaited = heard + count;
    device->apply({++batch}, std::move(operations));
    loop.run();
  }
  static auto lines_of(const std::filesystem::path& path) -> std::vector<std::string> {
    std::vector<std::string> lines;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  io::testing::TemporaryFolder folder;
  io::EventLoop loop;
  std::optional<device::Nat64Device> device;
  std::optional<EventLog> log;
  std::size_t heard = 0;
  std::size_t awaited = 0;
  std::uint64_t batch = 0;
};

TEST_F(EventLogTest, begins_with_a_line_that_says_so_and_has_one_for_each_event) {
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  map(5000, 2);
  EXPECT_THAT(lines_of(path),
              ElementsAre(HasSubstr("log-begins"), HasSubstr(R"("sourceTransportPort":5000,)"),
                          HasSubstr(R"("sourceTransportPort":5001,)")));
}

TEST_F(EventLogTest, goes_on_in_another_file_when_it_is_told_to) {
  const auto first = folder.path() / "first";
  const auto second = folder.path() / "second";
  use(first, nat::EventLevel::bindings);
  map(5000, 1);
  use(second, nat::EventLevel::bindings);
  map(5001, 1);
  EXPECT_THAT(lines_of(first), ElementsAre(HasSubstr("log-begins"), HasSubstr(":5000,")));
  EXPECT_THAT(lines_of(second), ElementsAre(HasSubstr(":5001,")));
}

TEST_F(EventLogTest, writes_more_than_fits_into_a_turn) {
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  constexpr auto count = static_cast<std::uint16_t>(3 * EventLog::events_per_turn + 1);
  map(5000, count);
  EXPECT_EQ(lines_of(path).size(), 1U + count);
}

TEST_F(EventLogTest, what_could_not_be_written_is_counted_when_it_can_be_again) {
  use("/dev/full", nat::EventLevel::bindings);
  map(5000, 3);
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  map(5100, 1);
  EXPECT_THAT(lines_of(path),
              ElementsAre(HasSubstr(":5100,"), HasSubstr(R"("event":"events-lost","count":3)")));
}

TEST_F(EventLogTest, what_is_still_queued_is_written_at_the_end) {
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  device->events().put({.kind = nat::EventKind::binding_created});
  log.reset();
  EXPECT_THAT(lines_of(path), ElementsAre(HasSubstr("log-begins"), HasSubstr("binding-created")));
}

TEST_F(EventLogTest, a_file_that_cannot_be_opened_is_named) {
  const auto file = EventLog::open({.rules = {}, .path = folder.path() / "none" / "events"});
  ASSERT_FALSE(file);
  EXPECT_THAT(file.error(), HasSubstr("nat64.event_log: open "));
  EXPECT_THAT(file.error(), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace portolan::gateway
