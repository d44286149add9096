// SPDX-License-Identifier: BSD-2-Clause
#include "store/json_rows.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "store/contract_test.h"

namespace portolan::store {

// Only its values are used here.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StoreContract);

namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

constexpr TimePoint now{Seconds{1000}};

/// With times of whole seconds, as lines have them.
auto full_row() -> PutMapping {
  PutMapping row{.contract = full_contract(), .state_since = now - Seconds{77}};
  row.contract.expires = now + Seconds{4000};
  return row;
}

auto errors_of(const json& line) -> std::vector<std::string> {
  const auto row = parse_json(line.dump(), now);
  return row ? std::vector<std::string>{} : row.error();
}

TEST(JsonRows, every_field_of_a_mapping_comes_back) {
  PutMapping row = full_row();
  const std::string line = to_json(row, now);
  EXPECT_THAT(line, ::testing::Not(HasSubstr("\n")));
  // Half a minute later it has half a minute less.
  const auto read = parse_json(line, now - Seconds{30});
  ASSERT_TRUE(read) << read.error()[0];
  row.contract.expires -= Seconds{30};
  row.state_since -= Seconds{30};
  const auto* mapping = std::get_if<PutMapping>(&*read);
  ASSERT_NE(mapping, nullptr);
  EXPECT_EQ(mapping->contract, row.contract);
  EXPECT_EQ(mapping->state_since, row.state_since);
}

TEST(JsonRows, names_are_those_of_rfc_8512_where_it_has_them) {
  const json line = json::parse(to_json(full_row(), now));
  const json& mapping = line.at("mapping");
  EXPECT_EQ(mapping.at("internal-src-address"), "2001:db8:112::1");
  EXPECT_EQ(mapping.at("internal-src-port"), 3938);
  EXPECT_EQ(mapping.at("internal-dst-address"), "2001:db8:64::7");
  EXPECT_EQ(mapping.at("internal-dst-port"), 5060);
  EXPECT_EQ(mapping.at("external-src-address"), "192.0.2.14");
  EXPECT_EQ(mapping.at("external-src-port"), 40123);
  EXPECT_EQ(mapping.at("transport-protocol"), "udp");
  EXPECT_EQ(mapping.at("lifetime"), 4000);
}

TEST(JsonRows, a_plain_mapping_comes_back) {
  PutMapping row = full_row();
  row.contract.details = {};
  row.contract.key.remote_peer = {};
  row.contract.key.mapping.realm = {};
  row.contract.port_count = 1;
  row.contract.prefer_failure = row.contract.preserve_parity = false;
  for (const Format format : {Format::nat_pmp, Format::pcp_1, Format::pcp_2}) {
    row.contract.format = format;
    const auto read = parse_json(to_json(row, now), now);
    ASSERT_TRUE(read) << read.error()[0];
    EXPECT_EQ(std::get<PutMapping>(*read).contract, row.contract);
  }
}

TEST(JsonRows, a_description_that_is_no_text_comes_back_as_octets) {
  PutMapping row = full_row();
  for (const std::string& description :
       {std::string("plain"), std::string("\"\\\n\0x", 5), std::string("\xff\xc3"), std::string()}) {
    ContractDetails details = *row.contract.details;
    details.description = description;
    row.contract.details = SharedDetails(details);
    const auto read = parse_json(to_json(row, now), now);
    ASSERT_TRUE(read) << read.error()[0];
    EXPECT_EQ(std::get<PutMapping>(*read).contract.details->description, description);
  }
}

TEST(JsonRows, a_lifetime_is_rounded_up_and_never_below_nothing) {
  PutMapping row = full_row();
  row.contract.expires = now + Nanoseconds{1};
  EXPECT_EQ(json::parse(to_json(row, now))["mapping"]["lifetime"], 1);
  row.contract.expires = now - Seconds{5};
  EXPECT_EQ(json::parse(to_json(row, now))["mapping"]["lifetime"], 0);
}

TEST(JsonRows, epoch_and_paths_come_back) {
  const auto epoch = parse_json(to_json(PutEpoch{now - Seconds{50}}, now), now + Seconds{1});
  ASSERT_TRUE(epoch);
  EXPECT_EQ(std::get<PutEpoch>(*epoch).base, now - Seconds{49});
  const PutPath path{.number = 3, .local_address = *IpAddress::parse("192.0.2.1"), .interface = "phone0"};
  const auto read = parse_json(to_json(path, now), now);
  ASSERT_TRUE(read);
  EXPECT_EQ(std::get<PutPath>(*read).number, 3);
  EXPECT_EQ(std::get<PutPath>(*read).local_address, path.local_address);
  EXPECT_EQ(std::get<PutPath>(*read).interface, "phone0");
}

TEST(JsonRows, every_field_that_is_wrong_is_named_with_its_value_and_the_remedy) {
  const json whole = json::parse(to_json(full_row(), now));
  struct Case {
    const char* field;
    json value;
    const char* error;
  };
  const std::vector<Case> cases{
      {"internal-src-address", "2001:db8::x",
       "internal-src-address = \"2001:db8::x\": must be an IPv4 or IPv6 address"},
      {"internal-src-port", 65536, "internal-src-port = 65536: must be a number from 0 to 65535"},
      {"internal-src-port", -1, "internal-src-port = -1: must be a number from 0 to 65535"},
      {"internal-src-port", "80", "internal-src-port = \"80\": must be a number"},
      {"internal-src-port", 80.5, "internal-src-port = 80.5: must be a number"},
      {"transport-protocol", "tpc", "transport-protocol = \"tpc\": must be a protocol's name or number"},
      {"external-family", "IPv5", "external-family = \"IPv5\": must be \"ipv4\" or \"ipv6\""},
      {"internal-dst-port", 0, "internal-dst-port = 0: must be a number from 1 to 65535"},
      {"port-count", 60000, "port-count = 60000: must leave no port above 65535"},
      {"port-count", 0, "port-count = 0: must be a number from 1 to 65535"},
      {"lifetime", 4294967296, "lifetime = 4294967296: must be a number from 0 to 4294967295"},
      {"lifetime", 18446744073709551615U, "lifetime = 18446744073709551615: must be a number"},
      {"nonce", "00", "nonce = \"00\": must be 24 hexadecimal digits"},
      {"format", "pcp-3", "format = \"pcp-3\": must be \"nat-pmp\", \"pcp-1\" or \"pcp-2\""},
      {"subscriber", "2001:db8::1/64", "subscriber = \"2001:db8::1/64\": must be a prefix"},
      {"prefer-failure", 1, "prefer-failure = 1: must be true or false"},
      {"filters", json::object(), "filters = {}: must be a list"},
      {"third-party-id", "0", "third-party-id = \"0\": must be an even number of hexadecimal digits"},
      {"third-party-id", "0g", "third-party-id = \"0g\": must be an even number of hexadecimal digits"},
      {"lifetme", 5, "\"lifetme\": is not known: remove it"},
  };
  for (const Case& one : cases) {
    json line = whole;
    line["mapping"][one.field] = one.value;
    EXPECT_THAT(errors_of(line), ElementsAre(HasSubstr(one.error)));
  }
  json line = whole;
  line["mapping"]["filters"][0]["port"] = 70000;
  line["mapping"]["filters"][1] = 7;
  line["mapping"].erase("nonce");
  EXPECT_THAT(errors_of(line),
              UnorderedElementsAre(HasSubstr("port = 70000"), HasSubstr("filters = 7"), "nonce: is missing"));
}

TEST(JsonRows, users_come_back) {
  for (const Profile& user :
       {full_user("2001:db8:112::/48"), Profile{.users = *Prefix::parse("192.0.2.0/24")}}) {
    const auto read = parse_json(to_json(PutUser{user}, now), now);
    ASSERT_TRUE(read) << read.error()[0];
    EXPECT_EQ(std::get<PutUser>(*read).user, user);
  }
  json line = json::parse(to_json(PutUser{full_user("2001:db8:112::/48")}, now));
  line["user"]["port-range"] = "9-8";
  line["user"]["protocols"] = {"tcp", "tpc"};
  line["user"]["nonce"] = "lax";
  line["user"]["filters-max"] = 0;
  EXPECT_THAT(errors_of(line),
              UnorderedElementsAre(HasSubstr("port-range = \"9-8\": must be a range of ports"),
                                   HasSubstr("protocols = \"tpc\": must be a protocol's name"),
                                   HasSubstr("nonce = \"lax\": must be \"strict\" or \"relaxed\""),
                                   HasSubstr("filters-max = 0: must be a number from 1")));
}

TEST(JsonRows, static_mappings_come_back) {
  StaticMapping full{.key = full_contract().key.mapping,
                     .external_address = *IpAddress::parse("192.0.2.14"),
                     .external_port = Port{8080},
                     .filters = full_contract().filters(),
                     .description = "the operator's",
                     .expires = now + Seconds{7200}};
  StaticMapping plain = full;
  plain.filters.clear();
  plain.description.clear();
  plain.expires.reset();
  for (const StaticMapping& mapping : {full, plain}) {
    const auto read = parse_json(to_json(PutStatic{mapping}, now), now);
    ASSERT_TRUE(read) << read.error()[0];
    EXPECT_EQ(std::get<PutStatic>(*read).mapping, mapping);
  }
}

TEST(JsonRows, what_is_no_row_is_told) {
  for (const char* line : {"", "{", "[]", "7", "{}", R"({"mapping":7})", R"({"epoch":{"epoch":1},"path":{}})",
                           R"({"mapped":{}})", R"({"epoch":{"epoch":1}} x)", "\xff"})
    EXPECT_FALSE(parse_json(line, now)) << line;
}

TEST(JsonRows, the_head_says_when_it_was_written) {
  const Nanoseconds wall = Seconds{1'795'716'000};
  EXPECT_EQ(json_head(wall + Milliseconds{999}), R"({"portolan-store":1,"time":"2026-11-26T18:00:00Z"})");
  EXPECT_EQ(parse_json_head(json_head(wall)), wall);
  for (const char* head :
       {"", "{}", "[]", R"({"portolan-store":2,"time":"2026-11-26T18:00:00Z"})", R"({"portolan-store":1})",
        R"({"portolan-store":1,"time":7})", R"({"portolan-store":1,"time":"2999-01-01T00:00:00Z"})",
        R"({"portolan-store":1,"time":"1969-12-31T23:59:59Z"})",
        R"({"portolan-store":1,"time":"2026-11-31T18:00:00Z"})",
        R"({"portolan-store":1,"time":"2026-11-26T18:00:60Z"})",
        R"({"portolan-store":1,"time":"2026-11-26 18:00:00Z"})"})
    EXPECT_FALSE(parse_json_head(head)) << head;
}

}  // namespace
}  // namespace portolan::store
