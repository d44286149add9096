// SPDX-License-Identifier: BSD-2-Clause
//
// Table mapping_log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portoland/config.h"

namespace portolan::portoland {
namespace {

using ::testing::HasSubstr;

auto parse(const std::string& log, const Settings* running = nullptr) {
  return parse_settings(R"(device = "simulated"
[[inside]]
interface = "lan0"
[simulated]
pool = ["192.0.2.1"]
)" + log,
                        "portoland.toml", running);
}

auto error_of(const std::string& log) -> std::string {
  const auto settings = parse(log);
  EXPECT_FALSE(settings) << log;
  if (settings) return {};
  EXPECT_EQ(settings.error().size(), 1U);
  return settings.error().front();
}

TEST(MappingLogConfig, without_the_table_there_is_no_log) {
  const auto settings = parse("");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_FALSE(settings->mapping_log.is_on);
}

TEST(MappingLogConfig, names_a_file_or_standard_output) {
  const auto file = parse("[mapping_log]\nfile = \"/var/log/portolan/mappings\"\nblocks = true\n");
  ASSERT_TRUE(file) << file.error().front();
  EXPECT_TRUE(file->mapping_log.is_on);
  EXPECT_TRUE(file->mapping_log.blocks);
  EXPECT_EQ(file->mapping_log.path, "/var/log/portolan/mappings");
  const auto output = parse("[mapping_log]\nfile = \"stdout\"\n");
  ASSERT_TRUE(output) << output.error().front();
  EXPECT_TRUE(output->mapping_log.is_on);
  EXPECT_FALSE(output->mapping_log.blocks);
  EXPECT_TRUE(output->mapping_log.path.empty());
}

TEST(MappingLogConfig, may_change_while_the_daemon_runs) {
  const auto running = parse("");
  ASSERT_TRUE(running) << running.error().front();
  EXPECT_TRUE(parse("[mapping_log]\nfile = \"stdout\"\n", &*running));
}

TEST(MappingLogConfig, mistakes_are_named) {
  EXPECT_THAT(error_of("[mapping_log]\n"),
              HasSubstr("portoland.toml:6: mapping_log.file is missing: write file = "));
  EXPECT_THAT(
      error_of("[mapping_log]\nfile = \"mappings\"\n"),
      HasSubstr(R"(portoland.toml:7: mapping_log.file = "mappings": must be "stdout" or the absolute path)"));
  EXPECT_THAT(error_of("[mapping_log]\nfile = \"/var/log/\"\n"), HasSubstr("mapping_log.file"));
  EXPECT_THAT(error_of("[mapping_log]\nfile = 7\n"), HasSubstr("must be a string"));
  EXPECT_THAT(error_of("[mapping_log]\nfile = \"stdout\"\nblocks = 1\n"),
              HasSubstr("mapping_log.blocks = 1: must be true or false"));
  EXPECT_THAT(error_of("[mapping_log]\nfile = \"stdout\"\nlevel = 1\n"),
              HasSubstr("unknown key mapping_log.level: known here are file, blocks"));
}

}  // namespace
}  // namespace portolan::portoland
