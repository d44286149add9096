// SPDX-License-Identifier: BSD-2-Clause
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portoland/config.h"

namespace portolan::portoland {
namespace {

using ::testing::HasSubstr;
using Kind = io::StreamAddress::Kind;

class ManagementConfig : public ::testing::Test {
 public:
  ~ManagementConfig() override { std::filesystem::remove_all(folder); }

 protected:
  ManagementConfig() { std::filesystem::create_directories(folder); }

  static auto with(std::string_view table) -> std::string {
    return fmt::format(R"(device = "simulated"
runtime_directory = "/run/x"
[[inside]]
interface = "lan0"
[simulated]
pool = ["192.0.2.1"]
{})",
                       table);
  }
  static auto read(std::string_view table) -> Settings {
    auto settings = parse_settings(with(table), "a.toml");
    EXPECT_TRUE(settings) << fmt::format("{}", fmt::join(settings.error(), "\n"));
    return settings ? *std::move(settings) : Settings{};
  }
  static auto error_of(std::string_view table, const Settings* running = nullptr) -> std::string {
    const auto settings = parse_settings(with(table), "a.toml", running);
    return settings ? "no error" : fmt::format("{}", fmt::join(settings.error(), "\n"));
  }
  /// A file of tokens.
  auto tokens(std::string_view text, mode_t mode = 0600) const -> std::string {
    const std::string path = folder / "tokens";
    std::filesystem::remove(path);
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

  static constexpr std::string_view digest =
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  std::filesystem::path folder =
      std::filesystem::path(::testing::TempDir()) / fmt::format("management-config-{}", ::getpid());
};

TEST_F(ManagementConfig, without_a_table_there_is_a_socket_in_the_runtime_directory) {
  const ManagementSettings management = read("").management;
  ASSERT_EQ(management.listen.size(), 1U);
  EXPECT_EQ(to_string(management.listen.front()), "unix:/run/x/management.sock");
  EXPECT_EQ(management.rights.mode, 0660U);
  EXPECT_EQ(read("[management]").management.listen, management.listen);
  EXPECT_TRUE(read("[management]\nlisten = []").management.listen.empty());
  const std::string deep = "device = \"simulated\"\nruntime_directory = \"/" + std::string(100, 'd') + "\"";
  const auto settings = parse_settings(deep, "a.toml");
  ASSERT_FALSE(settings);
  EXPECT_THAT(settings.error(),
              ::testing::Contains(HasSubstr("management.sock in it is longer than 107 octets")));
}

TEST_F(ManagementConfig, everything_may_be_said) {
  const std::string file =
      tokens(fmt::format("# who\nreader read {0}\nwriter write {1}\n", digest, std::string(64, '0')));
  const ManagementSettings management = read(fmt::format(R"([management]
listen = ["unix:/run/y.sock", "tcp:127.0.0.1:5380", "tls:192.0.2.1:5381"]
socket_mode = "0600"
socket_group = "users"
certificate = "/etc/a.pem"
key = "/etc/a.key"
tokens = "{}"
names = ["gw.example.net"]
connections_max = 7
request_timeout = 3
)",
                                                         file))
                                            .management;
  ASSERT_EQ(management.listen.size(), 3U);
  EXPECT_EQ(management.listen[2].kind, Kind::tls);
  EXPECT_EQ(management.rights, (io::SocketRights{.mode = 0600, .group = "users"}));
  EXPECT_EQ(management.certificate, "/etc/a.pem");
  EXPECT_EQ(management.key, "/etc/a.key");
  EXPECT_EQ(management.tokens.size(), 2U);
  ASSERT_NE(management.tokens.find("abc"), nullptr);
  EXPECT_EQ(management.tokens.find("abc")->name, "reader");
  EXPECT_EQ(management.names, std::vector<std::string>{"gw.example.net"});
  EXPECT_EQ(management.limits.connections, 7U);
  EXPECT_EQ(management.limits.request, Seconds{3});
}

TEST_F(ManagementConfig, mistakes_are_named) {
  EXPECT_THAT(error_of("[management]\nlisten = [\"tcp:192.0.2.1:5380\"]"),
              HasSubstr("a.toml:8: management.listen = \"tcp:192.0.2.1:5380\": is plain TCP, which anybody"));
  EXPECT_THAT(error_of("[management]\nlisten = [\"tcp:0.0.0.0:5380\"]"), HasSubstr("is plain TCP"));
  EXPECT_THAT(error_of("[management]\nlisten = [\"tls:192.0.2.1:5380\"]"),
              HasSubstr("management.certificate is missing: \"tls:\" needs that file"));
  EXPECT_THAT(error_of("[management]\nlisten = [\"tcp:127.0.0.1:5380\"]"),
              HasSubstr("management.tokens is missing: over TCP who asks needs a token"));
  EXPECT_THAT(error_of("[management]\nlisten = [\"unix:/a\", \"unix:/a\"]"), HasSubstr("is there twice"));
  EXPECT_THAT(error_of("[management]\nlisten = \"unix:/a\""), HasSubstr("must be a list of at most 16"));
  EXPECT_THAT(error_of("[management]\nsocket_mode = \"660\""), HasSubstr("must be an octal mode"));
  EXPECT_THAT(error_of("[management]\nsocket_mode = \"0060\""), HasSubstr("must be an octal mode"));
  EXPECT_THAT(error_of("[management]\nsocket_mode = \"0777\""), HasSubstr("must be an octal mode"));
  EXPECT_THAT(error_of("[management]\nsocket_group = \"no-such-group\""),
              HasSubstr("management.socket_group = \"no-such-group\": is no group of this host"));
  EXPECT_THAT(error_of("[management]\nnames = [\"a:1\"]"), HasSubstr("is no name of a host"));
  EXPECT_THAT(error_of("[management]\nconnections_max = 0"), HasSubstr("must be a number from 1 to 10000"));
  EXPECT_THAT(error_of("[management]\nrequest_timeout = 601"),
              HasSubstr("must be a number from 1 to 600 seconds"));
  EXPECT_THAT(error_of("[management]\nport = 1"), HasSubstr("unknown key management.port"));
}

TEST_F(ManagementConfig, the_file_of_tokens_is_read_and_must_be_kept) {
  const auto error = [&](const std::string& file) {
    return error_of(fmt::format("[management]\ntokens = \"{}\"", file));
  };
  EXPECT_THAT(error("/nowhere"), HasSubstr("/nowhere: open: No such file"));
  EXPECT_THAT(error(tokens("", 0644)), HasSubstr("has mode 0644, so that others may use it: chmod 0640"));
  EXPECT_THAT(error(tokens("a read x\n")), HasSubstr("tokens:1: the digest must be 64 digits"));
  EXPECT_EQ(error(tokens(fmt::format("a read {}\n", digest))), "no error");
}

TEST_F(ManagementConfig, only_the_tokens_change_while_it_runs) {
  const std::string table = "[management]\ntokens = \"" + tokens(fmt::format("a read {}\n", digest)) + "\"\n";
  const Settings running = read(table);
  static_cast<void>(tokens(fmt::format("b write {}\n", digest)));
  EXPECT_EQ(error_of(table, &running), "no error");
  EXPECT_THAT(error_of(table + "connections_max = 3", &running),
              HasSubstr("management.connections_max = 3: can't change while the daemon runs"));
  EXPECT_THAT(error_of(table + "listen = []", &running), HasSubstr("management.listen"));
}

}  // namespace
}  // namespace portolan::portoland
