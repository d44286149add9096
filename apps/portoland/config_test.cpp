// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace portolan::portoland {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::string_view good = R"(device = "nat64"
store = "memory"
[pcp]
minimum_lifetime = 2
[[inside]]
interface = "phone0"
[[inside]]
interface = "wifi0"
subscriber_prefix_length = 128
[nat64]
prefix = "2001:db8:64:ff9b::/96"
pool = ["192.0.2.14", "192.0.2.13"]
outside = "outside0"
)";

auto errors_of(std::string_view text) -> std::vector<std::string> {
  const auto settings = parse_settings(text, "test.toml");
  return settings ? std::vector<std::string>{} : settings.error();
}

auto with(std::string_view from, std::string_view to) -> std::string {
  std::string text(good);
  text.replace(text.find(from), from.size(), to);
  return text;
}

TEST(Settings, a_complete_file_is_read) {
  const auto settings = parse_settings(good, "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_THAT(settings->devices, ElementsAre(DeviceKind::nat64));
  EXPECT_EQ(settings->listen_port, Port{5351});
  EXPECT_EQ(settings->server.minimum_lifetime, Seconds{2});
  EXPECT_EQ(settings->server.maximum_lifetime, Seconds{86400});
  ASSERT_EQ(settings->inside.size(), 2U);
  EXPECT_EQ(settings->inside[1].interface, "wifi0");
  EXPECT_EQ(settings->server.inside[0].subscriber_prefix_length, 64U);
  EXPECT_EQ(settings->server.inside[1].subscriber_prefix_length, 128U);
  EXPECT_EQ(settings->nat64.prefix, Prefix::parse("2001:db8:64:ff9b::/96"));
  EXPECT_THAT(settings->nat64.pool,
              ElementsAre(nat::PoolRange(Ipv4Address{0xc000020e}), nat::PoolRange(Ipv4Address{0xc000020d})));
  EXPECT_EQ(settings->nat64.outside, "outside0");
}

TEST(Settings, mappings_are_durable_unless_memory_is_asked_for) {
  const auto asked = parse_settings(good, "test.toml");
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->store, StoreKind::memory);
  const auto left_out = parse_settings(with("store = \"memory\"\n", ""), "test.toml");
  ASSERT_TRUE(left_out) << left_out.error().front();
  EXPECT_EQ(left_out->store, StoreKind::sqlite);
  EXPECT_EQ(left_out->store_path, "/var/lib/portolan/portoland.db");
  const auto elsewhere =
      parse_settings(with("\"memory\"", "\"sqlite\"\nstore_path = \"/srv/pcp.db\""), "test.toml");
  ASSERT_TRUE(elsewhere) << elsewhere.error().front();
  EXPECT_EQ(elsewhere->store_path, "/srv/pcp.db");
}

TEST(Settings, users_have_the_rights_of_table_pcp_but_for_what_they_are_given) {
  const auto settings = parse_settings(with("[[inside]]", R"(peer = false
mappings_per_user_max = 7
epoch = "subscriber"
[[user]]
prefix = "2001:db8:112::/48"
third_party = true
nonce = "relaxed"
protocols = ["tcp", "132"]
internal_ports = [1024, 2048]
external_ports = [6000, 6009]
subscriber_prefix_length = 56
[[third_party_id]]
id = "tunnel"
realm = 5
[[prefix64]]
prefix = "2001:db8:1::/48"
[[prefix64]]
prefix = "2001:db8:2::/64"
ipv4 = ["192.0.2.0/24"]
[[inside]])"),
                                       "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const server::Config& config = settings->server;
  EXPECT_FALSE(config.policy.peer);
  EXPECT_EQ(config.epoch_scope, server::EpochScope::subscriber);
  ASSERT_EQ(config.profiles.size(), 1U);
  const server::Profile& profile = config.profiles.front();
  EXPECT_EQ(profile.users, Prefix::parse("2001:db8:112::/48"));
  EXPECT_EQ(profile.subscriber_prefix_length, 56U);
  EXPECT_FALSE(profile.policy.peer) << "as for everybody";
  EXPECT_EQ(profile.policy.mappings_max, 7U);
  EXPECT_TRUE(profile.policy.third_party);
  EXPECT_EQ(profile.policy.nonce, server::NoncePolicy::relaxed);
  EXPECT_THAT(profile.policy.protocols, ElementsAre(Protocol::tcp, Protocol::sctp));
  EXPECT_EQ(profile.policy.internal_ports.last, Port{2048});
  EXPECT_EQ(profile.policy.external_ports, (PortRange{Port{6000}, Port{6009}}));
  ASSERT_EQ(config.third_party_ids.size(), 1U);
  EXPECT_EQ(config.third_party_ids.front().second, Realm{5});
  ASSERT_EQ(config.prefix64.size(), 2U);
  EXPECT_EQ(config.prefix64.front().prefix, Prefix::parse("2001:db8:2::/64")) << "those with lists first";
}

TEST(Settings, users_are_given_addresses_ports_and_limits_of_the_device) {
  const auto settings = parse_settings(with("[[inside]]", R"(external_ports = [2000, 60000]
[[user]]
prefix = "2001:db8:112::/48"
external_address = "192.0.2.14"
external_ports = [6000, 6999]
ports_per_subscriber_max = 100
sessions_per_subscriber_max = 200
new_sessions_per_second_max = 20
port_block_size = 128
[[user]]
prefix = "2001:db8:113::/48"
[[user]]
prefix = "2001:db8:114::/48"
port_block_size = 0
[[inside]])"),
                                       "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const auto& profiles = settings->server.profiles;
  ASSERT_EQ(profiles.size(), 3U);
  const PortRange ports{.first = Port{6000}, .last = Port{6999}};
  EXPECT_EQ(profiles[0].allotment, (server::Allotment{.external_address = *IpAddress::parse("192.0.2.14"),
                                                      .external_ports = ports,
                                                      .port_block_size = 128,
                                                      .ports_max = 100,
                                                      .sessions_max = 200,
                                                      .sessions_per_second_max = 20}));
  EXPECT_EQ(profiles[0].policy.external_ports, ports);
  EXPECT_EQ(profiles[1].allotment, server::Allotment{}) << "what everybody may map binds no traffic";
  EXPECT_EQ(profiles[1].policy.external_ports.first, Port{2000});
  EXPECT_EQ(profiles[2].allotment, server::Allotment{.port_block_size = nat::Allowance::no_port_blocks})
      << "said to have none";
}

TEST(Settings, mistakes_about_what_users_are_given_name_what_would_be_right) {
  const auto error_of = [](std::string_view line) {
    const auto errors = errors_of(
        with("[[inside]]", fmt::format("[[user]]\nprefix = \"2001:db8:112::/48\"\n{}\n[[inside]]", line)));
    return errors.size() == 1 ? errors.front() : fmt::format("{} errors", errors.size());
  };
  EXPECT_THAT(error_of("external_address = \"0.0.0.0\""), HasSubstr("is no address of a pool"));
  EXPECT_THAT(error_of("external_address = \"192.0.2\""), HasSubstr("is no address of a pool"));
  EXPECT_THAT(error_of("port_block_size = 100"), HasSubstr("must be a multiple of 64"));
  EXPECT_THAT(error_of("port_block_size = 16448"), HasSubstr("from 0 to 16384"));
  EXPECT_EQ(error_of("port_block_size = 16384"), "0 errors");
  EXPECT_THAT(error_of("ports_per_subscriber_max = 0"), HasSubstr("from 1 to 100000000"));
  EXPECT_THAT(error_of("sessions_per_subscriber_max = 0"), HasSubstr("leave it out"));
  EXPECT_THAT(error_of("new_sessions_per_second_max = 100000001"), HasSubstr("from 1 to 100000000"));
}

TEST(Settings, clients_are_told_the_prefix_of_the_nat64_unless_others_are_given) {
  const auto settings = parse_settings(good, "test.toml");
  ASSERT_TRUE(settings);
  ASSERT_EQ(settings->server.prefix64.size(), 1U);
  EXPECT_EQ(settings->server.prefix64.front().prefix, settings->nat64.prefix);
}

TEST(Settings, mistakes_about_users_name_what_would_be_right) {
  const auto error_of = [](std::string_view lines) {
    const auto errors = errors_of(with("[[inside]]", std::string(lines) + "\n[[inside]]"));
    return errors.size() == 1 ? errors.front() : fmt::format("{} errors", errors.size());
  };
  EXPECT_THAT(error_of("[[user]]\nmap = false"), HasSubstr("user.prefix is missing"));
  EXPECT_THAT(error_of("[[user]]\nprefix = \"2001:db8::1/64\""), HasSubstr("is no prefix"));
  EXPECT_THAT(error_of("nonce = \"none\""), HasSubstr("\"strict\" or \"relaxed\""));
  EXPECT_THAT(error_of("protocols = [\"tpc\"]"), HasSubstr("is no protocol"));
  EXPECT_THAT(error_of("internal_ports = [2, 1]"), HasSubstr("first and the last port"));
  EXPECT_THAT(error_of("external_ports = [1, 65536]"), HasSubstr("pcp.external_ports = [ 1, 65536 ]"));
  EXPECT_THAT(error_of("internal_ports = 80"), HasSubstr("first and the last port"));
  EXPECT_THAT(error_of("peer = 1"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("epoch = \"user\""), HasSubstr("\"server\" or \"subscriber\""));
  EXPECT_THAT(error_of("[[prefix64]]\nprefix = \"2001:db8::/65\""), HasSubstr("length 32, 40"));
  EXPECT_THAT(error_of("[[third_party_id]]\nrealm = 1"), HasSubstr("third_party_id.id is missing"));
  EXPECT_THAT(error_of("[user]\nmap = false"), HasSubstr("write [[user]]"));
}

TEST(Settings, a_number_out_of_range_names_line_key_value_and_range) {
  EXPECT_THAT(
      errors_of(with("minimum_lifetime = 2", "minimum_lifetime = 0")),
      ElementsAre(AllOf(HasSubstr("test.toml:4: pcp.minimum_lifetime = 0: "), HasSubstr("1 to 131071"))));
  EXPECT_THAT(errors_of(with("= 128", "= 129")), ElementsAre(HasSubstr("test.toml:9: ")));
}

TEST(Settings, limits_hold_at_their_edges) {
  EXPECT_TRUE(errors_of(with("minimum_lifetime = 2", "minimum_lifetime = 1")).empty());
  EXPECT_TRUE(errors_of(with("minimum_lifetime = 2", "maximum_lifetime = 131071")).empty());
  EXPECT_FALSE(errors_of(with("minimum_lifetime = 2", "maximum_lifetime = 131072")).empty());
  EXPECT_TRUE(errors_of(with("\"phone0\"", "\"fifteen-letters\"")).empty());
  EXPECT_FALSE(errors_of(with("\"phone0\"", "\"sixteen--letters\"")).empty());
}

TEST(Settings, an_unknown_key_names_the_known_ones) {
  EXPECT_THAT(errors_of(with("minimum_lifetime", "minimum_lifetme")),
              ElementsAre(AllOf(HasSubstr("test.toml:4: unknown key pcp.minimum_lifetme"),
                                HasSubstr("minimum_lifetime"))));
}

TEST(Settings, a_value_of_the_wrong_type_says_which_is_right) {
  EXPECT_THAT(errors_of(with("minimum_lifetime = 2", "minimum_lifetime = \"2\"")),
              ElementsAre(HasSubstr("must be a number")));
  EXPECT_THAT(errors_of(with("\"phone0\"", "3")), ElementsAre(HasSubstr("must be a string")));
  EXPECT_THAT(errors_of(with("[pcp]\nminimum_lifetime = 2", "pcp = 3")),
              ElementsAre(HasSubstr("must be a table")));
}

TEST(Settings, every_mistake_is_reported_at_once) {
  EXPECT_THAT(errors_of("device = \"nat46\"\nstore = 7\n").size(), 4U) << "device, store, inside, nat64";
}

TEST(Settings, a_prefix_must_be_one_rfc_6052_knows) {
  for (const char* bad :
       {"\"2001:db8:64:ff9b::/95\"", "\"192.0.2.0/24\"", "\"2001:db8::1/96\"", "\"64:ff9b::\""})
    EXPECT_THAT(errors_of(with("\"2001:db8:64:ff9b::/96\"", bad)),
                ElementsAre(AllOf(HasSubstr("test.toml:11: nat64.prefix"), HasSubstr(bad))))
        << bad;
  EXPECT_TRUE(errors_of(with("\"2001:db8:64:ff9b::/96\"", "\"2001:db8::/32\"")).empty());
}

TEST(Settings, several_prefixes_are_read_and_told_by_prefix64) {
  const auto settings = parse_settings(
      with("\"2001:db8:64:ff9b::/96\"", "[\"2001:db8:64:ff9b::/96\", \"2001:db9:64::/48\"]"), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_EQ(settings->nat64.prefix, Prefix::parse("2001:db8:64:ff9b::/96"));
  const nat::Config config = gateway::nat64_config(settings->nat64);
  ASSERT_EQ(config.more_prefixes.size(), 1U);
  EXPECT_EQ(config.more_prefixes.front(), Prefix::parse("2001:db9:64::/48"));
  ASSERT_EQ(settings->server.prefix64.size(), 2U);
  EXPECT_EQ(settings->server.prefix64[0].prefix, config.prefix);
  EXPECT_EQ(settings->server.prefix64[1].prefix, config.more_prefixes.front());

  const auto refused = [](const char* list) { return errors_of(with("\"2001:db8:64:ff9b::/96\"", list)); };
  EXPECT_THAT(refused("[]"), ElementsAre(HasSubstr("must be 1 to 8 prefixes")));
  EXPECT_THAT(
      refused("[\"2001:db9::/48\", \"2001:db9::/47\"]"),
      ElementsAre(HasSubstr("test.toml:11: nat64.prefix = \"2001:db9::/47\": must be an IPv6 prefix")));
  EXPECT_THAT(refused("[\"2001:db9::/48\", \"2001:db9::/96\"]"), ElementsAre(HasSubstr("overlap")));
  EXPECT_THAT(refused("[\"2001:db9::/48\", 7]"), ElementsAre(HasSubstr("nat64.prefix = 7: must be")));
}

TEST(Settings, destinations_that_are_not_translated_are_read) {
  const auto settings = parse_settings(
      with("outside = ", "untranslated = [\"198.51.100.0/24\"]\nanswer_untranslated = false\noutside = "),
      "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const nat::Config config = gateway::nat64_config(settings->nat64);
  ASSERT_EQ(config.untranslated.size(), 1U);
  EXPECT_EQ(config.untranslated.front(), Prefix::parse("198.51.100.0/24"));
  EXPECT_FALSE(config.answers_untranslated);
  EXPECT_THAT(errors_of(with("outside = ", "untranslated = [\"2001:db8::/32\"]\noutside = ")),
              ElementsAre(HasSubstr("nat64.untranslated = \"2001:db8::/32\": is no IPv4 prefix")));
}

TEST(Settings, a_pool_must_be_distinct_ipv4_addresses) {
  EXPECT_THAT(errors_of(with("192.0.2.13", "192.0.2.14")), ElementsAre(HasSubstr("listed twice")));
  EXPECT_THAT(errors_of(with("192.0.2.13", "2001:db8::1")), ElementsAre(HasSubstr("no IPv4 address")));
  EXPECT_THAT(errors_of(with("[\"192.0.2.14\", \"192.0.2.13\"]", "[]")), ElementsAre(HasSubstr("1 to 256")));
}

TEST(Settings, a_pool_is_read_as_addresses_ranges_prefixes_and_tables) {
  const auto pool_of = [](const char* pool) {
    return parse_settings(with("[\"192.0.2.14\", \"192.0.2.13\"]", pool), "test.toml");
  };
  const auto settings = pool_of(
      R"(["192.0.2.14", "192.0.2.16-192.0.2.31", {addresses = "198.51.100.0/24", weight = 3, ports = [1024, 2047]}])");
  ASSERT_TRUE(settings) << settings.error().front();
  nat::PoolRange weighed = *nat::PoolRange::parse("198.51.100.0/24");
  weighed.weight = 3;
  weighed.ports = {.first = Port{1024}, .last = Port{2047}};
  EXPECT_THAT(settings->nat64.pool, ElementsAre(*nat::PoolRange::parse("192.0.2.14"),
                                                *nat::PoolRange::parse("192.0.2.16-192.0.2.31"), weighed));
  for (const auto& [pool, problem] : std::vector<std::pair<const char*, const char*>>{
           {R"(["192.0.2.0/24", "192.0.2.7"])", "listed twice"},
           {R"(["192.0.2.9-192.0.2.8"])", "no IPv4 address or range"},
           {R"([7])", "must be text or a table"},
           {R"([{weight = 2}])", "nat64.pool.addresses"},
           {R"([{addresses = "192.0.2.1", weight = 0}])", "1 to 1000"},
           {R"([{addresses = "192.0.2.1", weight = 1001}])", "1 to 1000"},
           {R"([{addresses = "192.0.2.1", ports = [2, 1]}])", "the first and the last port"},
           {R"([{addresses = "192.0.2.1", port = 1}])", "unknown key nat64.pool.port"},
           {R"(["10.0.0.0/19"])", "answers for 4096 at most"}})
    EXPECT_THAT(pool_of(pool).error(), ElementsAre(HasSubstr(problem))) << pool;
}

TEST(Settings, what_subscribers_may_have_is_read_and_has_bounds) {
  EXPECT_EQ(parse_settings(good, "test.toml")->nat64.allowance.subscriber_prefix_length, 64);
  const auto settings = parse_settings(
      with(
          "outside = ",
          "subscriber_prefix_length = 128\nports_per_subscriber_max = 1000\nsessions_per_subscriber_max = 5\n"
          "new_sessions_per_second_max = 6\nport_block_size = 512\nprofiles_max = 7\nport_blocks_max = 8\n"
          "outside = "),
      "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const nat::Config config = gateway::nat64_config(settings->nat64);
  EXPECT_EQ(config.allowance.subscriber_prefix_length, 128);
  EXPECT_EQ(config.allowance.ports_max, 1000U);
  EXPECT_EQ(config.limits.sessions_per_subscriber, 5U);
  EXPECT_EQ(config.allowance.sessions_per_second_max, 6U);
  EXPECT_EQ(config.allowance.port_block_size, 512);
  EXPECT_EQ(config.limits.profiles, 7U);
  EXPECT_EQ(config.limits.port_blocks, 8U);
  for (const char* wrong :
       {"subscriber_prefix_length = 31", "subscriber_prefix_length = 129", "ports_per_subscriber_max = 0",
        "port_block_size = 16385", "port_block_size = 100"})
    EXPECT_FALSE(errors_of(with("outside = ", std::string(wrong) + "\noutside = ")).empty()) << wrong;
}

TEST(Settings, a_range_of_the_pool_is_routed_by_few_prefixes) {
  const auto text_of = [](const char* range) {
    std::string text;
    for (const Prefix& prefix : gateway::prefixes_of(*nat::PoolRange::parse(range)))
      text += to_string(prefix) + " ";
    return text;
  };
  EXPECT_EQ(text_of("192.0.2.14"), "192.0.2.14/32 ");
  EXPECT_EQ(text_of("192.0.2.0/24"), "192.0.2.0/24 ");
  EXPECT_EQ(text_of("192.0.2.15-192.0.2.32"), "192.0.2.15/32 192.0.2.16/28 192.0.2.32/32 ");
  EXPECT_EQ(text_of("192.0.2.1-192.0.2.6"), "192.0.2.1/32 192.0.2.2/31 192.0.2.4/31 192.0.2.6/32 ");
}

TEST(Settings, what_the_nat64_cannot_be_is_found_before_it_is_made) {
  EXPECT_THAT(errors_of(with("192.0.2.13", "224.0.0.1")),
              ElementsAre(AllOf(HasSubstr("test.toml:10: [nat64]: "), HasSubstr("224.0.0.1"))));
}

TEST(Settings, memory_must_be_asked_for) {
  EXPECT_THAT(errors_of(with("\"memory\"", "\"disk\"")),
              ElementsAre(HasSubstr("test.toml:2: store = \"disk\": must be \"sqlite\"")));
  for (const std::string_view path : {"\"state.db\"", "\"/var/lib/\"", "7"})
    EXPECT_THAT(errors_of(with("[pcp]", fmt::format("store_path = {}\n[pcp]", path))),
                ElementsAre(HasSubstr("test.toml:3: store_path = ")));
}

TEST(Settings, forwarding_is_left_alone_unless_asked_for) {
  EXPECT_FALSE(parse_settings(good, "test.toml")->nat64.manage_forwarding);
  const auto settings =
      parse_settings(with("outside = ", "manage_forwarding = true\noutside = "), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_TRUE(settings->nat64.manage_forwarding);
  EXPECT_THAT(errors_of(with("outside = ", "manage_forwarding = 1\noutside = ")),
              ElementsAre(HasSubstr("must be true or false")));
}

TEST(Settings, limits_of_the_nat64_are_read_and_have_bounds) {
  const nat::Limits defaults;
  EXPECT_EQ(parse_settings(good, "test.toml")->nat64.limits.bindings, defaults.bindings);
  const auto settings = parse_settings(
      with("outside = ",
           "bindings_max = 1\nsessions_max = 2\nsubscribers_max = 3\nhold_downs_max = 100000000\n"
           "fragments_max = 256\noutside = "),
      "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_EQ(settings->nat64.limits.bindings, 1U);
  EXPECT_EQ(settings->nat64.limits.sessions, 2U);
  EXPECT_EQ(settings->nat64.limits.subscribers, 3U);
  EXPECT_EQ(settings->nat64.limits.hold_downs, 100'000'000U);
  EXPECT_EQ(settings->nat64.limits.fragments, 256U);
  for (const char* wrong : {"bindings_max = 0", "subscribers_max = 100000001"})
    EXPECT_THAT(errors_of(with("outside = ", std::string(wrong) + "\noutside = ")),
                ElementsAre(HasSubstr("1 to 100000000")));
}

TEST(Settings, timeouts_of_the_nat64_are_read_and_are_no_shorter_than_the_rfcs_have_them) {
  const auto settings =
      parse_settings(with("outside = ",
                          "udp_timeout = 120\ntcp_established_timeout = 7201\ntcp_opening_timeout = "
                          "6\ntcp_closing_timeout = 240\n"
                          "icmp_timeout = 61\nhold_down = 0\nfragment_timeout = 2\noutside = "),
                     "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const nat::Timeouts timeouts = gateway::nat64_config(settings->nat64).timeouts;
  EXPECT_EQ(timeouts.udp, Seconds{120});
  EXPECT_EQ(timeouts.tcp_established, Seconds{7201});
  EXPECT_EQ(timeouts.tcp_opening, Seconds{6});
  EXPECT_EQ(timeouts.tcp_closing, Seconds{240});
  EXPECT_EQ(timeouts.icmp, Seconds{61});
  EXPECT_EQ(timeouts.hold_down, Seconds{0});
  EXPECT_EQ(timeouts.fragment, Seconds{2});
  for (const char* wrong :
       {"udp_timeout = 119", "tcp_established_timeout = 7199", "tcp_opening_timeout = 5",
        "tcp_closing_timeout = 239", "icmp_timeout = 59", "fragment_timeout = 1", "hold_down = 2592001"})
    EXPECT_THAT(errors_of(with("outside = ", std::string(wrong) + "\noutside = ")),
                ElementsAre(HasSubstr("to 2592000 seconds")));
}

TEST(Settings, filtering_is_read_for_all_protocols_or_each) {
  const auto filtering = [](const char* keys) {
    const auto settings = parse_settings(with("outside = ", std::string(keys) + "\noutside = "), "test.toml");
    EXPECT_TRUE(settings) << settings.error().front();
    return settings ? gateway::nat64_config(settings->nat64).filtering : nat::Filterings{};
  };
  constexpr auto independent = nat::Filtering::endpoint_independent;
  constexpr auto dependent = nat::Filtering::address_dependent;
  EXPECT_EQ(filtering("").tcp, independent);
  EXPECT_EQ(filtering("filtering = \"address-dependent\"").icmp, dependent);
  const auto mixed = filtering("tcp_filtering = \"endpoint-independent\"\nfiltering = \"address-dependent\"");
  EXPECT_EQ(mixed.udp, dependent);
  EXPECT_EQ(mixed.tcp, independent);
  EXPECT_EQ(filtering("icmp_filtering = \"address-dependent\"").udp, independent);
  EXPECT_THAT(errors_of(with("outside = ", "udp_filtering = \"none\"\noutside = ")),
              ElementsAre(HasSubstr("nat64.udp_filtering = \"none\": must be \"endpoint-independent\" or")));
}

TEST(Settings, what_strangers_are_told_and_how_often_is_read) {
  const auto settings = parse_settings(with("outside = ",
                                            "answer_unsolicited = false\nwaiting_syns_max = 1\n"
                                            "icmp_errors_per_second = 0\noutside = "),
                                       "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const nat::Config config = gateway::nat64_config(settings->nat64);
  EXPECT_FALSE(config.answers_unsolicited);
  EXPECT_EQ(config.limits.waiting_syns, 1U);
  EXPECT_EQ(config.limits.errors_per_second, 0U);
  EXPECT_THAT(errors_of(with("outside = ", "answer_unsolicited = \"no\"\noutside = ")),
              ElementsAre(HasSubstr("must be true or false")));
  EXPECT_THAT(errors_of(with("outside = ", "icmp_errors_per_second = 1000001\noutside = ")),
              ElementsAre(HasSubstr("from 0 to 1000000; 0 turns them off")));
  EXPECT_THAT(errors_of(with("outside = ", "waiting_syns_max = 0\noutside = ")),
              ElementsAre(HasSubstr("from 1 to")));
}

TEST(Settings, what_is_done_to_traffic_class_and_missing_checksums_is_read) {
  const auto settings = parse_settings(
      with("outside = ", "copy_traffic_class = false\ncomplete_udp_checksums = false\noutside = "),
      "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  const nat::Config config = gateway::nat64_config(settings->nat64);
  EXPECT_FALSE(config.copies_traffic_class);
  EXPECT_FALSE(config.completes_udp_checksums);
  EXPECT_TRUE(nat::Config{}.copies_traffic_class);
  EXPECT_TRUE(nat::Config{}.completes_udp_checksums);
}

TEST(Settings, whether_port_numbers_are_kept_is_read) {
  const auto settings = parse_settings(with("outside = ", "preserve_ports = false\noutside = "), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_FALSE(gateway::nat64_config(settings->nat64).preserves_ports);
  EXPECT_TRUE(gateway::nat64_config({}).preserves_ports);
}

TEST(Settings, the_lowest_mtu_is_no_higher_than_the_mtu) {
  const auto settings = parse_settings(with("outside = ", "lowest_ipv6_mtu = 1400\noutside = "), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_EQ(gateway::nat64_config(settings->nat64).lowest_ipv6_mtu, 1400);
  EXPECT_EQ(gateway::nat64_config(settings->nat64).mss_max, 0);
  EXPECT_THAT(errors_of(with("outside = ", "lowest_ipv6_mtu = 1501\noutside = ")),
              ElementsAre(HasSubstr("lowest_ipv6_mtu 1501")));
}

TEST(Settings, a_clamp_of_segment_sizes_is_read) {
  const auto settings = parse_settings(with("outside = ", "mss_max = 1360\noutside = "), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_EQ(gateway::nat64_config(settings->nat64).mss_max, 1360);
  EXPECT_THAT(errors_of(with("outside = ", "mss_max = 535\noutside = ")), ElementsAre(HasSubstr("from 536")));
}

TEST(Settings, workers_are_1_to_64) {
  const auto usual = parse_settings(good, "test.toml");
  ASSERT_TRUE(usual);
  EXPECT_EQ(usual->nat64.workers, 1U);
  for (const unsigned workers : {1U, 2U, 63U, 64U}) {
    const auto settings =
        parse_settings(with("outside = ", fmt::format("workers = {}\noutside = ", workers)), "test.toml");
    ASSERT_TRUE(settings) << settings.error().front();
    EXPECT_EQ(settings->nat64.workers, workers);
  }
  for (const int workers : {-1, 0, 65})
    EXPECT_THAT(errors_of(with("outside = ", fmt::format("workers = {}\noutside = ", workers))),
                ElementsAre(HasSubstr("from 1 to 64")))
        << workers;
}

constexpr std::string_view mapping_table = R"([[mapping]]
protocol = "tcp"
internal_address = "2001:db8:112::80"
internal_port = 8080
external_address = "192.0.2.14"
external_port = 80
description = "web"
peers = ["2001:db8:64:ff9b::c633:6400/120"]
)";

TEST(Settings, mappings_of_the_operator_are_read) {
  const auto settings = parse_settings(std::string(good) + std::string(mapping_table), "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  ASSERT_EQ(settings->server.static_mappings.size(), 1U);
  const auto& mapping = settings->server.static_mappings.front();
  EXPECT_EQ(mapping.key.internal_address, IpAddress::parse("2001:db8:112::80"));
  EXPECT_EQ(mapping.key.internal_port, Port{8080});
  EXPECT_EQ(mapping.key.protocol, Protocol::tcp);
  EXPECT_EQ(mapping.external_address, IpAddress::parse("192.0.2.14"));
  EXPECT_EQ(mapping.external_port, Port{80});
  EXPECT_EQ(mapping.description, "web");
  ASSERT_EQ(mapping.filters.size(), 1U);
}

TEST(Settings, mistakes_in_mappings_name_line_and_remedy) {
  const auto error_of = [](std::string_view from, std::string_view to) {
    std::string text(mapping_table);
    text.replace(text.find(from), from.size(), to);
    const auto errors = errors_of(std::string(good) + text);
    return errors.size() == 1 ? errors.front() : fmt::format("{} errors", errors.size());
  };
  EXPECT_THAT(error_of("\"tcp\"", "\"sctp\""),
              HasSubstr("test.toml:15: mapping.protocol = \"sctp\": must be"));
  EXPECT_THAT(error_of("internal_port = 8080", ""), HasSubstr("mapping.internal_port is missing"));
  EXPECT_THAT(error_of("= 80\n", "= 0\n"), HasSubstr("mapping.external_port = 0: must be a number"));
  EXPECT_THAT(error_of("112::80", "112::80::"), HasSubstr("is no address"));
  EXPECT_THAT(error_of("2001:db8:112::80", "198.51.100.1"), HasSubstr("2 errors")) << "and the peers";
  EXPECT_THAT(error_of("2001:db8:112::80", "2001:db8:64:ff9b::1"), HasSubstr("outside nat64.prefix"));
  EXPECT_THAT(error_of("192.0.2.14", "192.0.2.12"), HasSubstr("is not in the device's pool"));
  EXPECT_THAT(error_of("\"tcp\"\n", "\"udp\"\n").substr(0), HasSubstr("0 errors"));
  EXPECT_THAT(error_of("ff9b::c633:6400/120", "ff9b::c633:6400/60"), HasSubstr("is no prefix"));
  EXPECT_THAT(error_of("\"web\"", "\"" + std::string(257, 'x') + "\""), HasSubstr("at most 256"));
  EXPECT_THAT(error_of("description", "remark"), HasSubstr("unknown key mapping.remark"));
}

TEST(Settings, two_mappings_of_one_endpoint_name_each_other) {
  std::string second(mapping_table);
  second.replace(second.find("= 80\n"), 5, "= 81\n");
  EXPECT_THAT(
      errors_of(std::string(good) + std::string(mapping_table) + second),
      ElementsAre(AllOf(HasSubstr("test.toml:24: mapping.internal_address"), HasSubstr("in line 14"))));
  second = mapping_table;
  second.replace(second.find("112::80"), 7, "112::81");
  EXPECT_THAT(errors_of(std::string(good) + std::string(mapping_table) + second),
              ElementsAre(AllOf(HasSubstr("mapping.external_address"), HasSubstr("in line 14"))));
}

TEST(Settings, what_is_fixed_at_start_names_its_line_and_says_how_to_change_it) {
  const auto running = parse_settings(good, "test.toml");
  ASSERT_TRUE(running);
  const auto errors_after = [&](const std::string& text) {
    const auto settings = parse_settings(text, "test.toml", &*running);
    return settings ? std::vector<std::string>{} : settings.error();
  };
  EXPECT_THAT(errors_after(with("[[inside]]", "listen_port = 5353\n[[inside]]")),
              ElementsAre(AllOf(HasSubstr("test.toml:5: pcp.listen_port = 5353: "), HasSubstr("restart"))));
  EXPECT_THAT(errors_after(with("outside = \"outside0\"\n", "")),
              ElementsAre(AllOf(HasSubstr("test.toml:10: nat64.outside"), HasSubstr("restart"))));
  for (const auto& [from, to] : std::initializer_list<std::pair<const char*, const char*>>{
           {"\"phone0\"", "\"phone1\""},
           {"length = 128", "length = 64"},
           {"64:ff9b", "65:ff9b"},
           {"outside0", "outside1"},
           {"outside = ", "tun = \"nat\"\noutside = "},
           {"outside = ", "mtu = 1400\noutside = "},
           {"outside = ", "manage_forwarding = true\noutside = "},
           {"outside = ", "bindings_max = 1\noutside = "},
           {"outside = ", "sessions_max = 1\noutside = "},
           {"outside = ", "subscribers_max = 1\noutside = "},
           {"outside = ", "hold_downs_max = 1\noutside = "},
           {"outside = ", "fragments_max = 256\noutside = "},
           {"outside = ", "udp_timeout = 120\noutside = "},
           {"outside = ", "tcp_established_timeout = 86400\noutside = "},
           {"outside = ", "tcp_closing_timeout = 300\noutside = "},
           {"outside = ", "filtering = \"address-dependent\"\noutside = "},
           {"outside = ", "tcp_filtering = \"address-dependent\"\noutside = "},
           {"outside = ", "untranslated = [\"198.51.100.0/24\"]\noutside = "},
           {"outside = ", "answer_unsolicited = false\noutside = "},
           {"outside = ", "icmp_errors_per_second = 0\noutside = "},
           {"outside = ", "icmp_timeout = 100\noutside = "},
           {"outside = ", "hold_down = 0\noutside = "},
           {"outside = ", "fragment_timeout = 30\noutside = "},
           {"outside = ", "lowest_ipv6_mtu = 1500\noutside = "},
           {"outside = ", "mss_max = 1360\noutside = "},
           {"outside = ", "own_address = {interface = \"wan0\", ports = [40960, 65535]}\noutside = "},
           {"outside = ", "workers = 2\noutside = "},
           {"[pcp]", "runtime_directory = \"/run/other\"\n[pcp]"},
           {"[pcp]", "[pcp]\nreceive_buffer = 65536"},
           {"[pcp]", "[pcp]\nepoch = \"subscriber\""},
           {"device = \"nat64\"", "device = \"simulated\"\nsimulated = {pool = [\"192.0.2.1\"]}"}})
    EXPECT_THAT(errors_after(with(from, to)), ElementsAre(HasSubstr("restart"))) << to;
}

TEST(Settings, what_may_change_at_run_time_is_taken) {
  const auto running = parse_settings(good, "test.toml");
  ASSERT_TRUE(running);
  const auto settings = parse_settings(with("[[inside]]", R"(mappings_per_user_max = 5
nonce = "relaxed"
nat_pmp = false
announcements = 1
[[user]]
prefix = "2001:db8:112::/48"
[[prefix64]]
prefix = "2001:db8:1::/48"
[[inside]])"),
                                       "test.toml", &*running);
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_TRUE(parse_settings(with("192.0.2.13", "192.0.2.15"), "test.toml", &*running));
}

TEST(Settings, contradicting_lifetimes_are_refused) {
  EXPECT_THAT(errors_of(with("minimum_lifetime = 2", "minimum_lifetime = 200\nmaximum_lifetime = 100")),
              Contains(HasSubstr("longer than pcp.maximum_lifetime")));
}

TEST(Settings, broken_syntax_names_the_line) {
  EXPECT_THAT(errors_of("device = \"nat64\"\nstore = \n"), ElementsAre(HasSubstr("test.toml:2: ")));
}

TEST(Settings, a_file_that_is_not_there_is_named) {
  const auto settings = load_settings("/nonexistent/portoland.toml");
  ASSERT_FALSE(settings);
  EXPECT_THAT(settings.error(), ElementsAre(HasSubstr("/nonexistent/portoland.toml")));
}

constexpr std::string_view remote = R"(device = "nat64-remote"
[[inside]]
interface = "phone0"
[nat64_remote]
connect = "unix:/run/portolan/nat64.sock"
)";

TEST(Settings, a_nat64_in_another_process_is_named_by_its_socket) {
  const auto settings = parse_settings(remote, "test.toml");
  ASSERT_TRUE(settings) << settings.error().front();
  EXPECT_THAT(settings->devices, ElementsAre(DeviceKind::nat64_remote));
  EXPECT_EQ(settings->remote.connect.path, "/run/portolan/nat64.sock");
  EXPECT_THAT(settings->server.prefix64, ::testing::IsEmpty());
}

TEST(Settings, what_a_nat64_in_another_process_needs_is_asked_for) {
  const auto errors = [](std::string_view from, std::string_view to) {
    std::string text(remote);
    text.replace(text.find(from), from.size(), to);
    return errors_of(text);
  };
  EXPECT_THAT(errors("[nat64_remote]\nconnect = \"unix:/run/portolan/nat64.sock\"", ""),
              ElementsAre(HasSubstr("[nat64_remote] is missing")));
  EXPECT_THAT(errors("connect = \"unix:/run/portolan/nat64.sock\"", ""),
              ElementsAre(HasSubstr("nat64_remote.connect")));
  EXPECT_THAT(errors("unix:/run/portolan/nat64.sock", "tcp:192.0.2.1:5352"),
              ElementsAre(HasSubstr("test.toml:5: nat64_remote.connect = \"tcp:192.0.2.1:5352\"")));
  EXPECT_THAT(errors("unix:/run/portolan/nat64.sock", "tls:192.0.2.1:5352"),
              ElementsAre(HasSubstr("nat64_remote.certificate"), HasSubstr("nat64_remote.key"),
                          HasSubstr("nat64_remote.authorities")));
  EXPECT_THAT(errors("connect", "conect"), ::testing::Contains(HasSubstr("nat64_remote.conect")));
}

TEST(Settings, where_the_nat64_is_changes_by_a_restart_only) {
  const auto running = parse_settings(remote, "test.toml");
  std::string wanted(remote);
  wanted.replace(wanted.find("nat64.sock"), 10, "other.sock");
  const auto settings = parse_settings(wanted, "test.toml", &*running);
  ASSERT_FALSE(settings);
  EXPECT_THAT(settings.error(), ElementsAre(HasSubstr("test.toml:5: nat64_remote.connect")));
}

}  // namespace
}  // namespace portolan::portoland
