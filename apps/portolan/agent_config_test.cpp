// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/agent_config.h"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(AgentConfigFile, mappings_and_servers_are_read) {
  const auto config = parse_agent_config(R"(servers = ["2001:db8::1", "pcp.example"]
anycast = true
[[mapping]]
protocol = "tcp"
port = 8080
external_port = 80
lifetime = 3600
description = "the web"
[[mapping]]
protocol = "udp"
port = 5060
external = "ipv6"
)",
                                         "agent.toml");
  ASSERT_TRUE(config) << config.error().front();
  EXPECT_THAT(config->keeper.servers, ElementsAre("2001:db8::1", "pcp.example"));
  EXPECT_TRUE(config->keeper.uses_anycast);
  ASSERT_THAT(config->wishes, SizeIs(2));
  EXPECT_EQ(key_of(config->wishes[0]), "tcp 8080 ipv4");
  EXPECT_EQ(config->wishes[0].suggested_external_port, Port{80});
  EXPECT_EQ(config->wishes[0].lifetime, Seconds{3600});
  EXPECT_EQ(config->wishes[0].description, "the web");
  EXPECT_EQ(key_of(config->wishes[1]), "udp 5060 ipv6");
}

TEST(AgentConfigFile, connections_filters_and_other_hosts_are_read) {
  const auto config = parse_agent_config(R"([[mapping]]
protocol = "udp"
port = 5060
peer = "2001:db8:64::c633:6407"
peer_port = 5061
[[mapping]]
protocol = "udp"
port = 5060
filters = ["2001:db8:64::/96", "2001:db8::7,5060"]
[[mapping]]
protocol = "tcp"
port = 80
third_party = "2001:db8::9"
third_party_id = "0a1b"
[[mapping]]
protocol = "47"
)",
                                         "agent.toml");
  ASSERT_TRUE(config) << config.error().front();
  ASSERT_THAT(config->wishes, SizeIs(4));
  EXPECT_EQ(config->wishes[0].remote_peer,
            (Endpoint{*IpAddress::parse("2001:db8:64::c633:6407"), Port{5061}}));
  EXPECT_EQ(key_of(config->wishes[0]), "udp 5060 ipv4 to [2001:db8:64::c633:6407]:5061");
  EXPECT_THAT(config->wishes[1].filters,
              ElementsAre(RemoteFilter{.remote_peers = *Prefix::parse("2001:db8:64::/96"), .remote_port = {}},
                          RemoteFilter{.remote_peers = *Prefix::parse("2001:db8::7/128"),
                                       .remote_port = Port{5060}}));
  EXPECT_EQ(key_of(config->wishes[1]), "udp 5060 ipv4");
  EXPECT_EQ(key_of(config->wishes[2]), "tcp 80 ipv4 for 2001:db8::9 (0a1b)");
  EXPECT_EQ(key_of(config->wishes[3]), "47 0 ipv4") << "what has no ports is mapped as a whole";
}

TEST(AgentConfigFile, options_that_make_no_sense_are_told) {
  const auto config = parse_agent_config(R"([[mapping]]
protocol = "udp"
port = 5060
peer = "198.51.100"
[[mapping]]
protocol = "udp"
port = 5061
peer_port = 0
filters = ["everyone"]
[[mapping]]
protocol = "udp"
port = 5062
filters = []
third_party = "me"
third_party_id = "abc"
[[mapping]]
protocol = "udp"
port = 5063
third_party_id = "abcd"
)",
                                         "agent.toml");
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error(),
              ElementsAre(HasSubstr("agent.toml:1: mapping.peer_port is missing"),
                          HasSubstr("agent.toml:4: mapping.peer = \"198.51.100\": must be an address"),
                          HasSubstr("agent.toml:5: mapping.peer is missing"),
                          HasSubstr("agent.toml:8: mapping.peer_port = 0: must be a number from 1"),
                          HasSubstr("agent.toml:9: mapping.filters = \"everyone\": must be a prefix"),
                          HasSubstr("agent.toml:13: mapping.filters = []: must be a list of 1 to"),
                          HasSubstr("agent.toml:14: mapping.third_party = \"me\": must be an address"),
                          HasSubstr("agent.toml:15: mapping.third_party_id = \"abc\": must be pairs"),
                          HasSubstr("agent.toml:16: mapping udp 5063 ipv4 (abcd): a third party's")));
}

TEST(AgentConfigFile, an_empty_file_keeps_nothing) {
  EXPECT_THAT(parse_agent_config("", "agent.toml")->wishes, IsEmpty());
}

TEST(AgentConfigFile, each_mistake_is_told_with_its_line_and_a_remedy) {
  const auto config = parse_agent_config(R"(port = 1
[[mapping]]
protocol = "all"
port = 70000
[[mapping]]
protocol = "tcp"
port = 80
[[mapping]]
protocol = "tcp"
port = 80
lifetime = 5
external = "ipv5"
)",
                                         "agent.toml");
  ASSERT_FALSE(config);
  EXPECT_THAT(
      config.error(),
      ElementsAre(HasSubstr("agent.toml:1: unknown key port"),
                  HasSubstr("agent.toml:3: mapping.protocol = \"all\": must be"),
                  HasSubstr("agent.toml:4: mapping.port = 70000: must be a number from 1 to 65535"),
                  HasSubstr("agent.toml:11: mapping.lifetime = 5: must be a number from 120 to 86400"),
                  HasSubstr("agent.toml:12: mapping.external = \"ipv5\": must be"),
                  HasSubstr("agent.toml:8: mapping tcp 80 ipv4 is there twice")));
}

TEST(AgentConfigFile, mappings_beyond_the_limit_are_a_mistake) {
  for (const std::size_t count : {agent_mappings_max - 1, agent_mappings_max, agent_mappings_max + 1}) {
    std::string text;
    for (std::size_t i = 1; i <= count; ++i)
      text += fmt::format("[[mapping]]\nprotocol = \"tcp\"\nport = {}\n", i);
    EXPECT_EQ(parse_agent_config(text, "agent.toml").has_value(), count <= agent_mappings_max) << count;
  }
}

}  // namespace
}  // namespace portolan
