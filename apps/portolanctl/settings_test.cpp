// SPDX-License-Identifier: BSD-2-Clause
#include "portolanctl/settings.h"

#include <fstream>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::ctl {
namespace {

using ::testing::HasSubstr;

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    variables["XDG_CONFIG_HOME"] = folder.path();
    std::filesystem::create_directories(folder.path() / "portolan");
  }
  auto environment() -> Environment {
    return [this](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
  }
  auto write(const std::string& name, const std::string& text) const -> std::filesystem::path {
    const auto path = folder.path() / name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path,
                                 std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    return path;
  }
  auto read(std::vector<std::pair<std::string, std::string>> given = {})
      -> std::expected<Settings, std::string> {
    Arguments arguments;
    for (auto& [name, value] : given)
      arguments.list.push_back(
          {.parameter = &*std::ranges::find(options, name, &Parameter::name), .values = {value}});
    return read_settings(arguments, environment());
  }
  auto server_error(const Settings& settings) -> std::string {
    const auto server = server_of(settings);
    return server ? "none" : server.error();
  }

  io::testing::TemporaryFolder folder;
  std::map<std::string, std::string> variables;
  std::vector<Parameter> options = common_options(true);
};

TEST_F(SettingsTest, the_default_is_the_local_server) {
  const auto settings = read();
  ASSERT_TRUE(settings) << settings.error();
  EXPECT_EQ(settings->server, default_server);
  EXPECT_EQ(server_of(*settings)->addresses.front().kind, io::StreamAddress::Kind::unix_socket);
}

TEST_F(SettingsTest, options_count_before_the_environment_and_that_before_the_file) {
  write("portolan/portolanctl.toml",
        "server = \"unix:/file\"\nca = \"/file.pem\"\ntoken_file = \"/file\"\ntimeout = 7\n");
  EXPECT_EQ(read()->server, "unix:/file");
  EXPECT_EQ(read()->timeout, Seconds{7});
  variables["PORTOLANCTL_SERVER"] = "unix:/environment";
  variables["PORTOLANCTL_CA"] = "/environment.pem";
  variables["PORTOLANCTL_TOKEN_FILE"] = "/environment";
  EXPECT_EQ(read()->server, "unix:/environment");
  EXPECT_EQ(read()->ca, "/environment.pem");
  EXPECT_EQ(read()->token_file, "/environment");
  EXPECT_EQ(read({{"server", "unix:/option"}, {"timeout", "9"}})->server, "unix:/option");
  EXPECT_EQ(read({{"timeout", "9"}})->timeout, Seconds{9});
}

TEST_F(SettingsTest, mistakes_in_the_file_have_a_line) {
  const auto mistake = [&](const std::string& text) {
    write("portolan/portolanctl.toml", text);
    const auto settings = read();
    return settings ? "none" : settings.error();
  };
  EXPECT_THAT(mistake("\nservr = 1\n"), HasSubstr("portolanctl.toml:2: unknown key servr"));
  EXPECT_THAT(mistake("server = 1\n"), HasSubstr(":1: server = 1"));
  EXPECT_THAT(mistake("timeout = 0\n"), HasSubstr("must be a number from 1 to 86400"));
  EXPECT_THAT(mistake("ca = \"relative\"\n"), HasSubstr("absolute path"));
  EXPECT_THAT(mistake("server = \n"), HasSubstr("portolanctl.toml:"));
}

TEST_F(SettingsTest, a_server_must_be_one_that_can_be_reached) {
  EXPECT_THAT(server_error({.server = "gateway"}), HasSubstr("must begin with unix:/ or https://"));
  EXPECT_THAT(server_error({.server = "http://192.0.2.1:80"}), HasSubstr("must begin with"));
  EXPECT_THAT(server_error({.server = "unix:relative"}), HasSubstr("absolute path"));
  for (const char* url : {"https://gateway.example", "https://:1", "https://2001:db8::1:5", "https://h:0",
                          "https://h:65536", "https://h:1/path", "https://user@h:1", "https://[192.0.2.1:1"})
    EXPECT_THAT(server_error({.server = url}), HasSubstr("with the port")) << url;
}

TEST_F(SettingsTest, addresses_of_a_url_are_those_connected_to) {
  const auto server = server_of({.server = "https://[2001:db8::1]:5380/"});
  ASSERT_TRUE(server) << server.error();
  ASSERT_EQ(server->addresses.size(), 1U);
  EXPECT_EQ(io::to_string(server->addresses.front()), "tls:[2001:db8::1]:5380");
  EXPECT_EQ(server->host, "[2001:db8::1]:5380");
  EXPECT_THAT(server_error({.server = "https://192.0.2.1:1", .token_file = {}, .ca = "/nowhere.pem"}),
              HasSubstr("/nowhere.pem: no certificates of authorities"));
}

TEST_F(SettingsTest, a_token_is_one_line_that_others_may_not_read) {
  const auto with = [&](const std::string& text) {
    return Settings{.server = default_server, .token_file = write("token", text), .ca = {}};
  };
  EXPECT_EQ(server_of(with("S3cret\n"))->token, "S3cret");
  EXPECT_EQ(server_of(with(std::string(1024, 'x')))->token.size(), 1024U);
  EXPECT_THAT(server_error(with(std::string(2049, 'x'))), HasSubstr("token: "));
  EXPECT_THAT(server_error(with(std::string(1025, 'x'))), HasSubstr("no token: the file must hold one line"));
  for (const char* text : {"", "\n", "two words", "two\nlines", "caf\xc3\xa9"})
    EXPECT_THAT(server_error(with(text)), HasSubstr("no token")) << text;
  const Settings open = with("S3cret");
  std::filesystem::permissions(open.token_file, std::filesystem::perms::others_read,
                               std::filesystem::perm_options::add);
  EXPECT_THAT(server_error(open), HasSubstr("token: "));
  EXPECT_THAT(server_error({.server = default_server, .token_file = "/nowhere/token", .ca = {}}),
              HasSubstr("/nowhere/token"));
}

TEST_F(SettingsTest, the_history_is_in_the_users_state_folder) {
  EXPECT_EQ(history_file(environment()), "");
  variables["HOME"] = "/there";
  EXPECT_EQ(history_file(environment()), "/there/.local/state/portolan/portolanctl_history");
  variables["XDG_STATE_HOME"] = "/state";
  EXPECT_EQ(history_file(environment()), "/state/portolan/portolanctl_history");
}

}  // namespace
}  // namespace portolan::ctl
