// SPDX-License-Identifier: BSD-2-Clause
//
// The log of a NAT64 that meets no packets: what its server asks for makes events.
#include "gateway/event_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/test_quiet_link.h"
#include "io/system.h"
#include "io/testing.h"

namespace portolan::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct Pipe {
  io::FileDescriptor writer;
  io::FileDescriptor reader;
};

/// With room for some twenty lines.
auto pipe_of_a_page() -> Pipe {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  EXPECT_GE(::fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
  return {.writer = io::FileDescriptor(ends[1]), .reader = io::FileDescriptor(ends[0])};
}

auto read_from(int descriptor) -> std::string {
  std::string text(4096, '\0');
  const auto got = ::read(descriptor, text.data(), text.size());
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

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

  static auto settings_of(nat::EventLevel level, const std::filesystem::path& path = {}) -> EventSettings {
    return {.rules = {.everybody = level, .of = {}}, .path = path};
  }
  void use(const std::filesystem::path& path, nat::EventLevel level) {
    const EventSettings settings = settings_of(level, path);
    auto file = EventLog::open(settings);
    ASSERT_TRUE(file) << file.error();
    log->use(*std::move(file), settings);
  }
  /// Has mappings made, and their events written.
  void map(std::uint16_t first_port, std::uint16_t count) {
    std::vector<device::Operation> operations;
    operations.reserve(count);
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
  /// Has events written that the log finds all at once: the device has nothing else to tell.
  void put(std::size_t count) {
    awaited = heard + count;
    for (std::size_t i = 0; i < count; ++i) device->events().put({.kind = nat::EventKind::binding_created});
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
  static constexpr std::size_t limit = 4 * device::EventQueue::events_max;  // of events in one test
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

TEST_F(EventLogTest, a_file_that_was_moved_away_is_begun_anew) {
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  map(5000, 1);
  std::filesystem::rename(path, folder.path() / "old");
  log->reopen(settings_of(nat::EventLevel::bindings, path));
  map(5001, 1);
  EXPECT_THAT(lines_of(path), ElementsAre(HasSubstr(":5001,")));
  log->reopen(settings_of(nat::EventLevel::bindings, folder.path() / "nowhere" / "events"));
  map(5002, 1);
  EXPECT_THAT(lines_of(path), ElementsAre(HasSubstr(":5001,"), HasSubstr(":5002,")));
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
              ElementsAre(HasSubstr("log-begins"), HasSubstr(R"("event":"events-lost","count":3)"),
                          HasSubstr(":5100,")));
}

TEST_F(EventLogTest, events_wait_for_a_slow_reader_and_none_is_lost) {
  const auto [writer, reader] = pipe_of_a_page();
  log->use(io::AppendFile::of(writer.get()), settings_of(nat::EventLevel::bindings));
  constexpr std::size_t count = 500;
  put(count);
  std::string text;
  const io::Watch reading = loop.on_readable(reader.get(), [&] {
    text += read_from(reader.get());
    if (std::ranges::count(text, '\n') == 1 + count) loop.stop();
  });
  loop.run();
  EXPECT_THAT(text, Not(HasSubstr("events-lost")));
}

TEST_F(EventLogTest, a_reader_that_stops_costs_lines_and_not_the_loop) {
  const auto [writer, reader] = pipe_of_a_page();
  log->use(io::AppendFile::of(writer.get()), settings_of(nat::EventLevel::bindings));
  // The last is heard after those that nobody read were given up.
  constexpr std::uint16_t count = 500;
  map(5000, count);
  map(6000, 1);
  std::string text = read_from(reader.get());
  map(7000, 1);
  text += read_from(reader.get());
  EXPECT_THAT(text, HasSubstr(":7000,"));
  std::istringstream lines(text);
  std::size_t written = 0;
  std::size_t lost = 0;
  constexpr std::string_view label = "\"events-lost\",\"count\":";
  for (std::string line; std::getline(lines, line);) {
    if (line.contains("binding-created")) ++written;
    if (const auto at = line.find(label); at != std::string::npos)
      lost += std::stoul(line.substr(at + label.size()));
  }
  EXPECT_GT(lost, 0U);
  EXPECT_EQ(written + lost, count + 2U);
}

TEST_F(EventLogTest, lines_that_a_reader_leaves_go_into_the_next_file) {
  const auto [writer, reader] = pipe_of_a_page();
  log->use(io::AppendFile::of(writer.get()), settings_of(nat::EventLevel::bindings));
  constexpr std::size_t count = 500;
  put(count);
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  const std::string kept = read_from(reader.get());
  EXPECT_EQ(lines_of(path).size() + static_cast<std::size_t>(std::ranges::count(kept, '\n')), 1U + count);
}

TEST_F(EventLogTest, a_reader_that_goes_away_is_lost_lines_only) {
  auto* const handler = ::signal(SIGPIPE, SIG_IGN);
  auto [writer, reader] = pipe_of_a_page();
  log->use(io::AppendFile::of(writer.get()), settings_of(nat::EventLevel::bindings));
  reader.reset();
  map(5000, 2);
  const auto path = folder.path() / "events";
  use(path, nat::EventLevel::bindings);
  EXPECT_THAT(lines_of(path), ElementsAre(HasSubstr(R"("event":"events-lost","count":2)")));
  ::signal(SIGPIPE, handler);
}

TEST_F(EventLogTest, events_that_come_as_fast_as_they_are_written_end_with_the_turns_of_a_queue) {
  // Whoever waits for the log's end brings about more events than it takes.
  const auto puts_more = [this](std::span<const EventLog::Entry> entries) {
    heard += entries.size();
    for (std::size_t i = 0; i < EventLog::events_per_turn && heard <= limit; ++i)
      device->events().put({.kind = nat::EventKind::binding_created});
  };
  constexpr std::size_t turns = EventLog::drain_turns_max * EventLog::events_per_turn;
  log.reset();
  log.emplace(loop, *device, puts_more);
  puts_more({});
  use("/dev/null", nat::EventLevel::none);
  EXPECT_GE(heard, device::EventQueue::events_max);
  EXPECT_LE(heard, turns + EventLog::events_per_turn) << "and the first turn with the new file";
  heard = 0;
  log.reset();
  EXPECT_GE(heard, device::EventQueue::events_max);
  EXPECT_LE(heard, turns);
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
