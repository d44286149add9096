// SPDX-License-Identifier: BSD-2-Clause
#include "control/mapping_log/mapping_lines.h"

#include <map>
#include <random>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace portolan::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// 2026-01-02T03:04:05.006007Z
constexpr Nanoseconds moment{1'767'323'045'006'007'008};

struct Of {
  const char* internal = "192.168.77.2";
  std::uint16_t internal_port = 5060;
  const char* external = "192.0.2.14";
  std::uint16_t external_port = 40000;
  std::uint16_t port_count = 1;
};

auto mapping(const Of& of = {}) -> Contract {
  Contract contract;
  const IpAddress internal = *IpAddress::parse(of.internal);
  const IpAddress external = *IpAddress::parse(of.external);
  contract.key.mapping = {.realm = {},
                          .internal_address = internal,
                          .protocol = Protocol::udp,
                          .external_family = external.family(),
                          .internal_port = Port{of.internal_port}};
  contract.external_address = external;
  contract.external_port = Port{of.external_port};
  contract.port_count = of.port_count;
  contract.subscriber = Prefix(internal, internal.is_ipv4() ? 128 : 64);
  return contract;
}

class MappingLinesTest : public ::testing::Test {
 protected:
  /// Lines that `tell` appends.
  template <typename Tell>
  auto said(Tell tell) -> std::vector<std::string> {
    std::string text;
    tell(text);
    EXPECT_TRUE(text.empty() || text.ends_with('\n'));
    std::vector<std::string> found;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
      EXPECT_TRUE(nlohmann::json::accept(line)) << line;
      found.push_back(line);
    }
    return found;
  }
  auto made(const Of& of) {
    return said([&](std::string& out) { lines.made(moment, mapping(of), out); });
  }
  auto ended(const Of& of, std::string_view why = "deleted") {
    return said([&](std::string& out) { lines.ended(moment, mapping(of), why, out); });
  }
  auto moved(const Of& of) {
    return said([&](std::string& out) { lines.moved(moment, mapping(of), out); });
  }
  /// Each subscriber has a thousand ports: those from 1000 times the last number of its address on.
  void use_blocks() {
    lines.set_blocks([](const Contract& contract) -> std::optional<PortRange> {
      const auto number =
          static_cast<std::uint16_t>(contract.key.mapping.internal_address.ipv4().value & 0xffU);
      if (number == 0) return {};
      const auto first = static_cast<std::uint16_t>(1000 * number);
      return PortRange{Port{first}, Port{static_cast<std::uint16_t>(first + 999)}};
    });
  }

  MappingLines lines{HashKey{}};
};

TEST_F(MappingLinesTest, a_mapping_has_a_line_when_it_is_made_and_when_it_ends) {
  EXPECT_THAT(made({}),
              ElementsAre(R"({"time":"2026-01-02T03:04:05.006007Z","event":"binding-created",)"
                          R"("natEvent":8,"protocolIdentifier":17,"sourceIPv4Address":"192.168.77.2",)"
                          R"("sourceTransportPort":5060,"postNATSourceIPv4Address":"192.0.2.14",)"
                          R"("postNAPTSourceTransportPort":40000})"));
  EXPECT_THAT(ended({}, "expired"),
              ElementsAre(R"({"time":"2026-01-02T03:04:05.006007Z","event":"binding-deleted",)"
                          R"("natEvent":9,"protocolIdentifier":17,"sourceIPv4Address":"192.168.77.2",)"
                          R"("sourceTransportPort":5060,"postNATSourceIPv4Address":"192.0.2.14",)"
                          R"("postNAPTSourceTransportPort":40000,"reason":"expired"})"));
}

TEST_F(MappingLinesTest, nat64_and_firewall_are_told_apart_by_their_addresses) {
  EXPECT_THAT(made({.internal = "2001:db8:112::2"}),
              ElementsAre(HasSubstr(
                  R"("natEvent":10,"protocolIdentifier":17,"sourceIPv6Address":"2001:db8:112::2")")));
  const auto pinhole = made({.internal = "2001:db8:1::2", .external = "2001:db8:1::2"});
  EXPECT_THAT(pinhole, ElementsAre(HasSubstr(R"("postNATSourceIPv6Address":"2001:db8:1::2")")));
  EXPECT_EQ(pinhole.front().find("natEvent"), std::string::npos) << "nothing is translated";
}

TEST_F(MappingLinesTest, what_few_mappings_have_is_told) {
  Contract contract = mapping({.port_count = 4});
  contract.key.mapping.realm = {7};
  ContractDetails details;
  details.third_party_client = *IpAddress::parse("192.168.77.9");
  contract.details = SharedDetails(details);
  EXPECT_THAT(said([&](std::string& out) { lines.made(moment, contract, out); }),
              ElementsAre(::testing::AllOf(HasSubstr(R"("realm":7)"), HasSubstr(R"("portSetSize":4)"),
                                           HasSubstr(R"("thirdPartyClient":"192.168.77.9")"))));
  contract.is_static = true;
  EXPECT_THAT(said([&](std::string& out) { lines.present(moment, contract, out); }),
              ElementsAre(::testing::AllOf(HasSubstr(R"("event":"binding-present")"),
                                           HasSubstr(R"("origin":"operator")"))));
}

TEST_F(MappingLinesTest, a_mapping_that_moves_says_where_it_is_now) {
  static_cast<void>(made({}));
  EXPECT_THAT(moved({.external = "192.0.2.15", .external_port = 50000}),
              ElementsAre(::testing::AllOf(HasSubstr("binding-moved"), HasSubstr("192.0.2.15"),
                                           HasSubstr(":50000"))));
}

TEST_F(MappingLinesTest, a_block_is_told_with_its_first_mapping_and_taken_back_with_its_last) {
  use_blocks();
  EXPECT_THAT(
      made({.external_port = 2000}),
      ElementsAre(R"({"time":"2026-01-02T03:04:05.006007Z","event":"block-allocated","natEvent":16,)"
                  R"("sourceIPv4Address":"192.168.77.2","sourceIPv4PrefixLength":32,)"
                  R"("postNATSourceIPv4Address":"192.0.2.14","portRangeStart":2000,"portRangeEnd":2999})"));
  EXPECT_THAT(made({.internal_port = 5061, .external_port = 2999}), ElementsAre());
  EXPECT_THAT(ended({.external_port = 2000}), ElementsAre());
  EXPECT_THAT(ended({.internal_port = 5061, .external_port = 2999}),
              ElementsAre(HasSubstr(R"("block-released","natEvent":17)")));
  EXPECT_EQ(lines.blocks(), 0U);
}

TEST_F(MappingLinesTest, what_is_outside_of_its_block_has_lines_of_its_own) {
  use_blocks();
  EXPECT_THAT(made({.external_port = 1999}), ElementsAre(HasSubstr("binding-created")));
  EXPECT_THAT(made({.internal_port = 1, .external_port = 3000}), ElementsAre(HasSubstr("binding-created")));
  EXPECT_THAT(made({.internal_port = 2, .external_port = 2998, .port_count = 4}),
              ElementsAre(HasSubstr("binding-created")))
      << "not all of its ports are in it";
  EXPECT_THAT(made({.internal = "192.168.77.0", .external_port = 2000}),
              ElementsAre(HasSubstr("binding-created")))
      << "who has no ports for itself";
  EXPECT_THAT(ended({.external_port = 1999}), ElementsAre(HasSubstr("binding-deleted")));
}

TEST_F(MappingLinesTest, another_address_is_another_block) {
  use_blocks();
  EXPECT_THAT(made({.external_port = 2000}), ElementsAre(HasSubstr("block-allocated")));
  EXPECT_THAT(made({.internal_port = 1, .external = "192.0.2.15", .external_port = 2000}),
              ElementsAre(HasSubstr("block-allocated")));
  EXPECT_THAT(moved({.external = "192.0.2.15", .external_port = 2001}),
              ElementsAre(HasSubstr("block-released")));
  EXPECT_EQ(lines.blocks(), 1U);
}

TEST_F(MappingLinesTest, a_mapping_that_moves_out_of_its_block_has_a_line_of_its_own) {
  use_blocks();
  static_cast<void>(made({.external_port = 2000}));
  EXPECT_THAT(moved({.external_port = 9000}),
              ElementsAre(HasSubstr("block-released"), HasSubstr("binding-created")));
  EXPECT_THAT(moved({.external_port = 2000}), ElementsAre(HasSubstr("binding-moved")))
      << "its line says whose the port is";
  EXPECT_THAT(ended({.external_port = 2000}), ElementsAre(HasSubstr("binding-deleted")));
}

TEST_F(MappingLinesTest, of_blocks_that_overlap_the_first_one_counts) {
  lines.set_blocks([](const Contract& contract) -> std::optional<PortRange> {
    return contract.key.mapping.internal_address == *IpAddress::parse("192.168.77.2")
               ? PortRange{Port{2000}, Port{2999}}
               : PortRange{Port{2900}, Port{3100}};
  });
  EXPECT_THAT(made({.external_port = 2000}), ElementsAre(HasSubstr("block-allocated")));
  EXPECT_THAT(made({.internal = "192.168.77.3", .external_port = 3000}),
              ElementsAre(HasSubstr("binding-created")));
  EXPECT_THAT(ended({.external_port = 2000}), ElementsAre(HasSubstr("block-released")));
  // The block is free now, and what has a line keeps it.
  EXPECT_THAT(made({.internal = "192.168.77.3", .internal_port = 1, .external_port = 3001}),
              ElementsAre(HasSubstr("block-allocated")));
  EXPECT_THAT(ended({.internal = "192.168.77.3", .external_port = 3000}),
              ElementsAre(HasSubstr("binding-deleted")));
  EXPECT_THAT(ended({.internal = "192.168.77.3", .internal_port = 1, .external_port = 3001}),
              ElementsAre(HasSubstr("block-released")));
}

TEST_F(MappingLinesTest, what_was_present_and_then_made_is_in_its_block_once) {
  use_blocks();
  EXPECT_THAT(made({.external_port = 2000}), ElementsAre(HasSubstr("block-allocated")));
  EXPECT_THAT(said([&](std::string& out) { lines.present(moment, mapping({.external_port = 2000}), out); }),
              ElementsAre());
  EXPECT_THAT(ended({.external_port = 2000}), ElementsAre(HasSubstr("block-released")));
}

TEST_F(MappingLinesTest, a_log_that_begins_anew_says_all_anew) {
  use_blocks();
  static_cast<void>(made({.external_port = 2000}));
  lines.begin();
  EXPECT_THAT(said([&](std::string& out) { lines.present(moment, mapping({.external_port = 2000}), out); }),
              ElementsAre(StartsWith(R"({"time":"2026-01-02T03:04:05.006007Z","event":"block-allocated")")));
}

/// Reads lines and says whose a port is: what the log is for.
class Reader {
 public:
  void take(const std::string& line) {
    const auto fields = nlohmann::json::parse(line);
    const std::string event = fields["event"];
    const std::string who = fields["sourceIPv4Address"];
    const std::string external = fields["postNATSourceIPv4Address"];
    if (event.starts_with("block-")) {
      const auto block =
          std::tuple(external, fields["portRangeStart"].get<int>(), fields["portRangeEnd"].get<int>(), who);
      if (event == "block-allocated")
        EXPECT_TRUE(blocks_.insert(block).second) << line;
      else
        EXPECT_EQ(blocks_.erase(block), 1U) << line;
      return;
    }
    const auto key = std::pair(who, fields["sourceTransportPort"].get<int>());
    const auto place = std::pair(external, fields["postNAPTSourceTransportPort"].get<int>());
    if (event == "binding-created")
      EXPECT_TRUE(mappings_.emplace(key, place).second) << line;
    else if (event == "binding-moved")
      mappings_.at(key) = place;
    else
      EXPECT_EQ(mappings_.erase(key), 1U) << line;
  }
  [[nodiscard]] auto owners(const std::string& external, int port) const -> std::set<std::string> {
    std::set<std::string> found;
    for (const auto& [address, first, last, who] : blocks_)
      if (address == external && first <= port && port <= last) found.insert(who);
    for (const auto& [key, place] : mappings_)
      if (place == std::pair(external, port)) found.insert(key.first);
    return found;
  }
  [[nodiscard]] auto is_empty() const -> bool { return blocks_.empty() && mappings_.empty(); }

 private:
  std::set<std::tuple<std::string, int, int, std::string>> blocks_;
  std::map<std::pair<std::string, int>, std::pair<std::string, int>> mappings_;
};

TEST_F(MappingLinesTest, whatever_happens_the_lines_say_whose_a_port_is) {
  use_blocks();
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto draw = [&](int most) { return static_cast<int>(random() % static_cast<unsigned>(most)); };
    lines.begin();
    Reader reader;
    std::map<std::pair<int, int>, std::pair<int, int>> live;  // host, port -> address, port
    std::set<std::pair<int, int>> taken;
    const auto contract_of = [](std::pair<int, int> key, std::pair<int, int> place) {
      const std::string host = fmt::format("192.168.77.{}", key.first);
      const std::string address = fmt::format("192.0.2.{}", place.first);
      return mapping({.internal = host.c_str(),
                      .internal_port = static_cast<std::uint16_t>(key.second),
                      .external = address.c_str(),
                      .external_port = static_cast<std::uint16_t>(place.second)});
    };
    const auto free_place = [&](int host) {
      for (;;) {
        const std::pair place{14 + draw(2), draw(3) == 0 ? 60'000 + draw(50) : 1000 * host + draw(20)};
        if (taken.insert(place).second) return place;
      }
    };
    for (int step = 0; step < 300; ++step) {
      const std::pair key{draw(5), 1 + draw(8)};
      const auto found = live.find(key);
      std::string text;
      if (found == live.end()) {
        const auto place = free_place(key.first);
        lines.made(moment, contract_of(key, place), text);
        live.emplace(key, place);
      } else if (draw(3) == 0) {
        taken.erase(found->second);
        found->second = free_place(key.first);
        lines.moved(moment, contract_of(key, found->second), text);
      } else {
        lines.ended(moment, contract_of(key, found->second), "deleted", text);
        taken.erase(found->second);
        live.erase(found);
      }
      std::istringstream stream(text);
      for (std::string line; std::getline(stream, line);) reader.take(line);
      for (const auto& [host, place] : live)
        ASSERT_THAT(reader.owners(fmt::format("192.0.2.{}", place.first), place.second),
                    ElementsAre(fmt::format("192.168.77.{}", host.first)))
            << "step " << step;
    }
    std::string text;
    for (const auto& [key, place] : live) lines.ended(moment, contract_of(key, place), "expired", text);
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) reader.take(line);
    EXPECT_TRUE(reader.is_empty());
    EXPECT_EQ(lines.blocks(), 0U);
  }
}

}  // namespace
}  // namespace portolan::control
