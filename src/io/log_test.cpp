// SPDX-License-Identifier: BSD-2-Clause
#include "io/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/address.h"

namespace portolan::io {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// What `tell` has written by a log of such a level and format.
template <typename Tell>
auto written_by(std::string_view level, std::string_view format, Tell tell) -> std::string {
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(log::set_up(level, format));
  tell();
  return ::testing::internal::GetCapturedStderr();
}

/// As the service manager says that stderr is the journal's.
class Journal {
 public:
  Journal() {
    struct stat status{};
    EXPECT_EQ(::fstat(STDERR_FILENO, &status), 0);
    ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
  }
  Journal(const Journal&) = delete;
  auto operator=(const Journal&) -> Journal& = delete;
  ~Journal() { ::unsetenv("JOURNAL_STREAM"); }
};

TEST(Log, without_a_terminal_lines_carry_time_level_and_id) {
  const std::string lines = written_by("info", "text", [] {
    log::debug("hidden", "hidden");
    log::warn("seen", "{what} is {colour}", "the boat", "blue");
  });
  EXPECT_THAT(lines, MatchesRegex("....-..-..T..:..:..\\....[+-]..:.. warning seen: the boat is blue\n"));
}

TEST(Log, in_the_journal_lines_carry_a_priority_and_nothing_it_adds_itself) {
  ::testing::internal::CaptureStderr();
  {
    const Journal journal;
    ASSERT_TRUE(log::set_up("debug", "text"));
  }
  log::debug("one", "a");
  log::info("two", "b");
  log::warn("three", "c");
  log::error("four", "d");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "<7>one: a\n<6>two: b\n<4>three: c\n<3>four: d\n");
}

TEST(Log, json_has_a_field_for_each_value_besides_the_sentence) {
  const std::string lines = written_by("info", "json", [] {
    log::error("full", "{path} holds {rows} rows of {address}: {is_full}", "/var/\"x\"\n", 7U,
               Ipv4Address{0xc0000201}, true);
    log::info("bare", "nothing to add");
  });
  const std::size_t end = lines.find('\n');
  const auto first = nlohmann::json::parse(lines.substr(0, end));
  EXPECT_EQ(first["level"], "error");
  EXPECT_EQ(first["id"], "full");
  EXPECT_EQ(first["message"], "/var/\"x\"\n holds 7 rows of 192.0.2.1: true");
  EXPECT_EQ(first["path"], "/var/\"x\"\n");
  EXPECT_EQ(first["rows"], 7);
  EXPECT_EQ(first["address"], "192.0.2.1");
  EXPECT_EQ(first["is_full"], true);
  EXPECT_THAT(first["time"].get<std::string>(), MatchesRegex("....-..-..T..:..:..\\....[+-]..:.."));
  EXPECT_EQ(first.size(), 8U);
  const auto second = nlohmann::json::parse(lines.substr(end + 1));
  EXPECT_EQ(second["message"], "nothing to add");
  EXPECT_EQ(second.size(), 4U);
}

TEST(Log, json_in_the_journal_has_its_priority_before) {
  ::testing::internal::CaptureStderr();
  {
    const Journal journal;
    ASSERT_TRUE(log::set_up("info", "json"));
  }
  log::warn("three", "c");
  const std::string line = ::testing::internal::GetCapturedStderr();
  ASSERT_TRUE(line.starts_with("<4>{"));
  EXPECT_EQ(nlohmann::json::parse(line.substr(3))["id"], "three");
}

TEST(Log, a_message_is_one_line_whatever_is_in_it) {
  const std::string text = "a\nb\x1b[31m\x7f{}{x}%v\\";
  EXPECT_THAT(written_by("info", "text", [&] { log::info("odd", "{text}!", text); }),
              HasSubstr("odd: a\\nb\\x1b[31m\\x7f{}{x}%v\\!\n"));
  const std::string json = written_by("info", "json", [&] { log::info("odd", "{text}!", text); });
  EXPECT_EQ(json.find('\n'), json.size() - 1);
  EXPECT_EQ(nlohmann::json::parse(json)["text"], text);
}

TEST(Log, json_stays_readable_with_octets_that_are_no_text) {
  const std::string json =
      written_by("info", "json", [] { log::info("odd", "{text}", std::string("a\xff\xc3")); });
  EXPECT_EQ(nlohmann::json::parse(json)["text"], "a\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Log, messages_are_counted_by_level_also_those_that_are_not_shown) {
  const auto before = log::counts();
  written_by("error", "text", [] {
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i) threads.emplace_back([] { log::warn("counted", "warned"); });
    for (std::thread& thread : threads) thread.join();
    log::error("counted", "erred");
  });
  const auto after = log::counts();
  const auto grown = [&](log::Level level) {
    const auto place = static_cast<std::size_t>(level);
    return after[place] - before[place];
  };
  EXPECT_EQ(grown(log::Level::info), 0U);
  EXPECT_EQ(grown(log::Level::warning), 4U);
  EXPECT_EQ(grown(log::Level::error), 1U);
}

TEST(Log, unknown_level_and_format_are_refused_with_the_known_ones) {
  const auto level = log::set_up("loud", "text");
  ASSERT_FALSE(level);
  EXPECT_THAT(level.error(), HasSubstr("'loud' is none of trace, debug, info, warning, error, off"));
  const auto format = log::set_up("info", "xml");
  ASSERT_FALSE(format);
  EXPECT_THAT(format.error(), HasSubstr("'xml' is neither text nor json"));
}

}  // namespace
}  // namespace portolan::io
