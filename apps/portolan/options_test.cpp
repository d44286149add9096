// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/options.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan {
namespace {

using testing::HasSubstr;

auto parse(std::vector<const char*> arguments) -> std::expected<Command, Exit> {
  return parse_command_line(arguments);
}

TEST(CommandLine, map_has_defaults) {
  const auto command = parse({"map", "tcp", "8080"});
  ASSERT_TRUE(command) << command.error().text;
  const auto& map = std::get<MapCommand>(*command);
  EXPECT_EQ(map.wish.protocol, Protocol::tcp);
  EXPECT_EQ(map.wish.internal_port, Port{8080});
  EXPECT_EQ(map.wish.suggested_external_port, Port{0});
  EXPECT_EQ(map.wish.suggested_external_address, IpAddress::unspecified(Family::ipv4));
  EXPECT_EQ(map.wish.lifetime, Seconds{7200});
  EXPECT_FALSE(map.wish.prefer_failure);
  EXPECT_FALSE(map.wish.nonce);
  EXPECT_FALSE(map.is_deletion);
  EXPECT_FALSE(map.is_kept);
  EXPECT_EQ(map.common.server, "");
  EXPECT_EQ(map.common.server_port, Port{5351});
  EXPECT_EQ(map.common.timeout, Seconds{10});
  EXPECT_FALSE(map.common.is_json);
  EXPECT_FALSE(map.common.is_verbose);
}

TEST(CommandLine, map_takes_everything) {
  const auto command = parse({"map",
                              "17",
                              "5060",
                              "--external-port",
                              "5062",
                              "--external-address",
                              "192.0.2.14",
                              "--lifetime",
                              "600",
                              "--server",
                              "fe80::1%eth0",
                              "--server-port",
                              "15351",
                              "--internal-address",
                              "2001:db8::2",
                              "--prefer-failure",
                              "--nonce",
                              "00112233445566778899aabb",
                              "--keep",
                              "--timeout",
                              "3",
                              "--json",
                              "--verbose"});
  ASSERT_TRUE(command) << command.error().text;
  const auto& map = std::get<MapCommand>(*command);
  EXPECT_EQ(map.wish.protocol, Protocol::udp);
  EXPECT_EQ(map.wish.suggested_external_port, Port{5062});
  EXPECT_EQ(map.wish.suggested_external_address, *IpAddress::parse("192.0.2.14"));
  EXPECT_EQ(map.wish.lifetime, Seconds{600});
  EXPECT_TRUE(map.wish.prefer_failure);
  EXPECT_EQ(map.wish.nonce, Nonce::parse("00112233445566778899aabb"));
  EXPECT_TRUE(map.is_kept);
  EXPECT_EQ(map.common.server, "fe80::1%eth0");
  EXPECT_EQ(map.common.server_port, Port{15351});
  EXPECT_EQ(map.common.internal_address, IpAddress::parse("2001:db8::2"));
  EXPECT_EQ(map.common.timeout, Seconds{3});
  EXPECT_TRUE(map.common.is_json);
  EXPECT_TRUE(map.common.is_verbose);
}

TEST(CommandLine, studio_is_served_to_this_host_unless_another_address_is_asked_for) {
  const auto plain = parse({"studio"});
  ASSERT_TRUE(plain) << plain.error().text;
  EXPECT_EQ(std::get<StudioCommand>(*plain).listen_address, IpAddress::parse("127.0.0.1"));
  EXPECT_EQ(std::get<StudioCommand>(*plain).listen_port, Port{0});
  const auto asked = parse({"studio", "--listen", "192.0.2.7", "--port", "8000", "--server", "192.0.2.1"});
  ASSERT_TRUE(asked) << asked.error().text;
  EXPECT_EQ(std::get<StudioCommand>(*asked).listen_address, IpAddress::parse("192.0.2.7"));
  EXPECT_EQ(std::get<StudioCommand>(*asked).listen_port, Port{8000});
  EXPECT_EQ(std::get<StudioCommand>(*asked).common.server, "192.0.2.1");
  EXPECT_TRUE(std::get<StudioCommand>(*parse({"studio", "--json"})).common.is_json);
  EXPECT_FALSE(parse({"studio", "--verbose"})) << "it has no packets to show as text";
  for (const auto* all : {"0.0.0.0", "::"}) EXPECT_FALSE(parse({"studio", "--listen", all})) << all;
}

TEST(CommandLine, map_takes_the_options_of_pcp) {
  const auto command =
      parse({"map", "udp", "5004", "--filter", "2001:db8:64::/96", "--filter", "2001:db8::7,5060",
             "--third-party", "2001:db8::3", "--third-party-id", "c0ffee", "--port-set", "2", "--parity",
             "--description", "camera", "--nat64-prefix", "--speak", "pcp"});
  ASSERT_TRUE(command) << command.error().text;
  const auto& map = std::get<MapCommand>(*command);
  ASSERT_EQ(map.wish.filters.size(), 2U);
  EXPECT_EQ(map.wish.filters[0].remote_peers, *Prefix::parse("2001:db8:64::/96"));
  EXPECT_EQ(map.wish.filters[0].remote_port, Port{0});
  EXPECT_EQ(map.wish.filters[1].remote_peers, *Prefix::parse("2001:db8::7/128"));
  EXPECT_EQ(map.wish.filters[1].remote_port, Port{5060});
  EXPECT_EQ(map.wish.third_party, IpAddress::parse("2001:db8::3"));
  EXPECT_EQ(map.wish.third_party_id, (std::vector{std::byte{0xc0}, std::byte{0xff}, std::byte{0xee}}));
  EXPECT_EQ(map.wish.port_count, 2);
  EXPECT_TRUE(map.wish.keeps_parity);
  EXPECT_EQ(map.wish.description, "camera");
  EXPECT_TRUE(map.wish.wants_nat64_prefix);
  EXPECT_EQ(map.speech, client::Speech::pcp);
  EXPECT_FALSE(map.wish.is_peer());
}

TEST(CommandLine, peer_names_the_other_end) {
  const auto command =
      parse({"peer", "tcp", "40000", "2001:db8:64::c633:6407", "443", "--keep", "--speak", "auto"});
  ASSERT_TRUE(command) << command.error().text;
  const auto& peer = std::get<MapCommand>(*command);
  EXPECT_EQ(peer.wish.internal_port, Port{40000});
  EXPECT_EQ(peer.wish.remote_peer,
            (Endpoint{.address = *IpAddress::parse("2001:db8:64::c633:6407"), .port = Port{443}}));
  EXPECT_TRUE(peer.is_kept);
}

TEST(CommandLine, all_traffic_is_protocol_0_and_port_0) {
  const auto command = parse({"map", "all", "0"});
  ASSERT_TRUE(command) << command.error().text;
  EXPECT_EQ(std::get<MapCommand>(*command).wish.protocol, Protocol::all);
}

TEST(CommandLine, announce_and_decode) {
  const auto announce = parse({"announce", "--server", "2001:db8::1"});
  ASSERT_TRUE(announce);
  EXPECT_EQ(std::get<AnnounceCommand>(*announce).common.server, "2001:db8::1");
  const auto decode = parse({"decode", "0200", "ff:01"});
  ASSERT_TRUE(decode);
  EXPECT_EQ(std::get<DecodeCommand>(*decode).datagram,
            (std::vector{std::byte{2}, std::byte{0}, std::byte{0xff}, std::byte{1}}));
}

TEST(CommandLine, without_a_command_it_helps) {
  const auto nothing = parse({});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().status, exit_success);
  EXPECT_THAT(nothing.error().text, HasSubstr("announce"));
  const auto help = parse({"map", "--help"});
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().status, exit_success);
  EXPECT_THAT(help.error().text, HasSubstr("--prefer-failure"));
  EXPECT_THAT(parse({"--version"}).error().text, HasSubstr("portolan 0."));
}

struct Mistake {
  std::vector<const char*> arguments;
  std::string_view argument;
  std::string_view remedy;
};

TEST(CommandLine, mistakes_name_argument_value_and_remedy) {
  const std::vector<Mistake> mistakes = {
      {{"map", "tpc", "80"}, "PROTOCOL: 'tpc'", "give tcp, udp"},
      {{"map", "256", "80"}, "PROTOCOL: '256'", "0 to 255"},
      {{"map", "tcp", "65536"}, "INTERNAL_PORT: '65536'", "1 to 65535"},
      {{"map", "tcp", "-1"}, "-1", "--help"},
      {{"map", "tcp", "80x"}, "INTERNAL_PORT: '80x'", "1 to 65535"},
      {{"map", "tcp", ""}, "INTERNAL_PORT: ''", "1 to 65535"},
      {{"map", "tcp"}, "INTERNAL_PORT", "--help"},
      {{"map", "all", "80"}, "INTERNAL_PORT: '80'", "give 0"},
      {{"map", "tcp", "80", "--external-port", "70000"}, "--external-port: '70000'", "0 to 65535"},
      {{"map", "tcp", "80", "--external-address", "here"}, "--external-address: 'here'", "192.0.2.14"},
      {{"map", "tcp", "80", "--lifetime", "0"}, "--lifetime: '0'", "--delete"},
      {{"map", "tcp", "80", "--lifetime", "4294967296"}, "--lifetime: '4294967296'", "1 to 4294967295"},
      {{"map", "tcp", "80", "--nonce", "0011"}, "--nonce: '0011'", "24 hexadecimal digits"},
      {{"map", "tcp", "80", "--timeout", "0"}, "--timeout: '0'", "1 to 86400"},
      {{"map", "tcp", "80", "--timeout", "86401"}, "--timeout: '86401'", "1 to 86400"},
      {{"map", "tcp", "80", "--server-port", "0"}, "--server-port: '0'", "1 to 65535"},
      {{"map", "tcp", "80", "--internal-address", "x"}, "--internal-address: 'x'", "give one"},
      {{"map", "tcp", "80", "--prefer-failure"}, "--prefer-failure", "--external-port"},
      {{"map", "tcp", "80", "--delete"}, "--delete", "--nonce"},
      {{"map", "tcp", "80", "--delete", "--keep", "--nonce", "00112233445566778899aabb"},
       "--delete",
       "--keep"},
      {{"map", "tcp", "80", "--filter", "192.0.2.1/24"}, "--filter: '192.0.2.1/24'", "is no filter"},
      {{"map", "tcp", "80", "--filter", "192.0.2.0/24,70000"}, "--filter: '70000'", "is no port"},
      {{"map", "tcp", "80", "--filter", "::/0"}, "prefix length 0", "leave it out"},
      {{"map", "tcp", "80", "--port-set", "0"}, "--port-set: '0'", "give 1 to 65535"},
      {{"map", "tcp", "80", "--port-set", "65536"}, "--port-set: '65536'", "give 1 to 65535"},
      {{"map", "tcp", "0", "--port-set", "2"}, "port set", "other than 0"},
      {{"map", "tcp", "80", "--parity"}, "--parity", "add --port-set"},
      {{"map", "tcp", "80", "--third-party", "x"}, "--third-party: 'x'", "is no IP address"},
      {{"map", "tcp", "80", "--third-party-id", "00"}, "identifier", "give both"},
      {{"map", "tcp", "80", "--third-party", "::2", "--third-party-id", "0"},
       "--third-party-id: '0'",
       "is no octet"},
      {{"map", "tcp", "80", "--description", "\xff"}, "not UTF-8", "encode"},
      {{"map", "tcp", "80", "--speak", "upnp"}, "--speak: 'upnp'", "give auto, pcp or nat-pmp"},
      {{"map", "tcp", "80", "--delete", "--filter", "192.0.2.0/24", "--nonce", "00112233445566778899aabb"},
       "--filter",
       "leave it out"},
      {{"peer", "tcp", "80", "2001:db8::7"}, "PEER_PORT", "peer --help"},
      {{"peer", "tcp", "80", "viewer", "80"}, "PEER_ADDRESS: 'viewer'", "give one"},
      {{"peer", "tcp", "80", "2001:db8::7", "0"}, "PEER_PORT: '0'", "1 to 65535"},
      {{"peer", "tcp", "80", "::", "80"}, "no address", "give the one connected to"},
      {{"peer", "all", "0", "2001:db8::7", "80"}, "needs a protocol", "those of the connection"},
      {{"peer", "tcp", "80", "2001:db8::7", "80", "--filter", "2001:db8::/32"}, "--filter", "peer --help"},
      {{"map", "tcp", "80", "81"}, "81", "map --help"},
      {{"map", "tcp", "80", "--quick"}, "--quick", "map --help"},
      {{"mop"}, "mop", "--help"},
      {{"decode", "0x00"}, "HEX: '0x'", "two hexadecimal digits"},
      {{"decode", "020"}, "HEX: '0'", "two hexadecimal digits"},
  };
  for (const Mistake& mistake : mistakes) {
    const auto command = parse(mistake.arguments);
    ASSERT_FALSE(command) << mistake.argument;
    EXPECT_EQ(command.error().status, exit_usage) << mistake.argument;
    EXPECT_THAT(command.error().text, HasSubstr(std::string(mistake.argument)));
    EXPECT_THAT(command.error().text, HasSubstr(std::string(mistake.remedy)));
  }
}

}  // namespace
}  // namespace portolan
