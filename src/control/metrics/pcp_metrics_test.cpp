// SPDX-License-Identifier: BSD-2-Clause
//
// An engine is asked, and the samples say what it was asked.
#include "control/metrics/pcp_metrics.h"

#include <gtest/gtest.h>

#include "control/metrics/store_metrics.h"
#include "control/metrics/test_samples.h"
#include "server/test_world.h"
#include "wire/test_octets.h"

namespace portolan::control {
namespace {

using server::World;
using test::Samples;

auto samples_of(const World& world, const PcpSurroundings& around = {}) -> Samples {
  Exposition out;
  append_pcp(world.server.counters(), around, out);
  return test::read_samples(out.take());
}

auto config() -> server::Config {
  server::Config config;
  config.version_1 = true;
  config.nat_pmp_addresses = {*Ipv4Address::parse("192.0.2.14")};
  return config;
}

TEST(PcpMetrics, requests_are_told_by_opcode_version_and_option) {
  World world(config());
  constexpr const char* host = "2001:db8:112::1";
  world.ask({.internal_port = 1000, .suggested_external_port = 2000, .prefer_failure = true});
  world.ask({.internal_port = 1001});
  world.ask(host, server::with(server::encode(server::PeerAsk{.internal_port = 1002})));
  world.ask(host, server::with(wire::encode_request({.opcode = wire::Opcode::announce,
                                                     .client_address = *IpAddress::parse(host),
                                                     .body = wire::Announce{},
                                                     .options = {}})));
  world.ask("198.51.100.1", wire::octets("0000"));
  const Samples samples = samples_of(world);
  EXPECT_EQ(samples.at(R"(portolan_pcp_requests_total{opcode="map"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_pcp_requests_total{opcode="peer"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_requests_total{opcode="announce"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_requests_total{opcode="nat-pmp"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_requests_total{opcode="other"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_pcp_request_versions_total{version="2"})"), 4);
  EXPECT_EQ(samples.at(R"(portolan_pcp_request_versions_total{version="1"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_pcp_request_versions_total{version="nat-pmp"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_request_options_total{option="PREFER_FAILURE"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_request_options_total{option="FILTER"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_total{result="SUCCESS"})"), 5);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_by_opcode_total{opcode="map",outcome="success"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_by_opcode_total{opcode="nat-pmp",outcome="success"})"), 1);
}

TEST(PcpMetrics, what_fails_is_told_by_its_reason) {
  World world(config());
  world.ask({.internal_port = 1000, .suggested_external_port = 2000});
  world.ask({.internal_port = 1000, .nonce = 2});
  world.ask({.from = "2001:db8:112::2", .suggested_external_port = 2000, .prefer_failure = true});
  const server::MapAsk ask;
  auto request = server::with(server::encode(ask));
  request[1] = std::byte{0x81};
  world.receive({{Endpoint{*IpAddress::parse(ask.from), Port{5000}}, request},
                 {Endpoint{*IpAddress::parse(ask.from), Port{5000}}, {std::byte{2}}}});
  const Samples samples = samples_of(world, {.dropped_not_inside = 7, .unsent = 3});
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_total{result="NOT_AUTHORIZED"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_total{result="CANNOT_PROVIDE_EXTERNAL"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_total{result="ADDRESS_MISMATCH"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_pcp_answers_by_opcode_total{opcode="map",outcome="error"})"), 2);
  EXPECT_EQ(samples.at("portolan_pcp_nonce_mismatches_total"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_dropped_total{reason="not_a_request"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_dropped_total{reason="too_short"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_dropped_total{reason="not_from_inside"})"), 7);
  EXPECT_EQ(samples.at("portolan_pcp_unsent_total"), 3);
}

TEST(PcpMetrics, changes_of_mappings_are_told) {
  World world(config());
  for (std::uint16_t port = 1000; port < 1005; ++port) world.ask({.internal_port = port});
  world.ask({.internal_port = 1000});
  world.ask({.internal_port = 1000});
  world.ask({.internal_port = 1001, .lifetime_s = 0});
  world.ask({.internal_port = 4242, .lifetime_s = 0});
  world.pass(Seconds{3601});
  const Samples samples = samples_of(world, {.gauges = {.contracts = 5, .is_read_only = true}, .epoch_s = 9});
  EXPECT_EQ(samples.at(R"(portolan_pcp_mapping_changes_total{change="made"})"), 5);
  EXPECT_EQ(samples.at(R"(portolan_pcp_mapping_changes_total{change="renewed"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_pcp_mapping_changes_total{change="deleted"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_mapping_changes_total{change="expired"})"), 4);
  EXPECT_EQ(samples.at("portolan_pcp_mappings"), 5);
  EXPECT_EQ(samples.at("portolan_pcp_epoch_seconds"), 9);
  EXPECT_EQ(samples.at("portolan_pcp_read_only"), 1);
  EXPECT_FALSE(samples_of(world).contains("portolan_pcp_epoch_seconds")) << "each user has its own";
}

TEST(PcpMetrics, users_and_queues_are_told_as_the_engine_has_them) {
  server::Config with_user = config();
  with_user.profiles.push_back({.users = *Prefix::parse("2001:db8:112::/48")});
  with_user.mappings_max = 7;
  World world(with_user);
  world.ask({.internal_port = 1000});
  world.ask({.from = "2001:db8:112:1::1", .internal_port = 1000});
  const Samples samples = samples_of(world, {.gauges = world.server.gauges()});
  EXPECT_EQ(samples.at(R"(portolan_pcp_users{origin="configured"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_pcp_users{origin="by-hand"})"), 0);
  EXPECT_EQ(samples.at("portolan_pcp_subscribers"), 2);
  EXPECT_EQ(samples.at("portolan_pcp_mapped_ports"), 2);
  EXPECT_EQ(samples.at("portolan_pcp_mapped_ports_max"), 7);
  EXPECT_EQ(samples.at(R"(portolan_pcp_queue{queue="batches"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_pcp_static_mappings{origin="configured"})"), 0);
}

TEST(PcpMetrics, result_codes_and_options_that_nobody_assigned_appear_when_they_come) {
  server::Counters counters;
  Exposition out;
  append_pcp(counters, {}, out);
  const Samples none = test::read_samples(out.take());
  EXPECT_EQ(none.count(R"(portolan_pcp_answers_total{result="EXCESSIVE_REMOTE_PEERS"})"), 1U);
  EXPECT_EQ(none.count(R"(portolan_pcp_answers_total{result="result code 99"})"), 0U);
  counters.answers[99] = 1;
  counters.options[200] = 2;
  append_pcp(counters, {}, out);
  const Samples some = test::read_samples(out.take());
  EXPECT_EQ(some.at(R"(portolan_pcp_answers_total{result="result code 99"})"), 1);
  EXPECT_EQ(some.at(R"(portolan_pcp_request_options_total{option="option 200"})"), 2);
}

TEST(PcpMetrics, devices_are_told_apart) {
  device::OperationCounts first;
  first.begins({}, {1}, std::vector<device::Operation>{device::Install{}, device::Install{}});
  first.ends(TimePoint{Milliseconds{2}}, {1},
             std::vector<device::Result>{device::Applied{}, std::unexpected(device::Refusal::no_resources)});
  device::OperationCounts second;
  second.begins({}, {1}, std::vector<device::Operation>{device::Remove{}});
  Exposition out;
  append_devices({{.device = "nat64", .operations = first.counters()},
                  {.device = "nat44",
                   .operations = second.counters(),
                   .is_in_reach = false,
                   .pool = {{.protocol = Protocol::tcp, .ports = 40, .taken = 39}}}},
                 out);
  append_tables({{.device = "nat44", .repairs = 3, .failed_repairs = 1}}, out);
  const Samples samples = test::read_samples(out.take());
  const std::string operations = "portolan_device_operations_total";
  EXPECT_EQ(samples.at(operations + R"({device="nat64",operation="install",answer="applied"})"), 1);
  EXPECT_EQ(samples.at(operations + R"({device="nat64",operation="install",answer="no_resources"})"), 1);
  EXPECT_EQ(samples.at(operations + R"({device="nat44",operation="remove",answer="applied"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_device_batches{device="nat44"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_device_in_reach{device="nat44"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_device_pool_ports{device="nat44",protocol="tcp"})"), 40);
  EXPECT_EQ(samples.at(R"(portolan_device_pool_ports_taken{device="nat44",protocol="tcp"})"), 39);
  EXPECT_EQ(samples.at(R"(portolan_device_batch_seconds_bucket{device="nat64",le="0.001"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_device_batch_seconds_bucket{device="nat64",le="0.002"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_table_repairs_total{device="nat44",outcome="error"})"), 1);
}

TEST(StoreMetrics, commits_are_told_by_how_long_they_took) {
  StoreMetrics metrics{.store = "sqlite", .failed_commits = 1, .rows = 12};
  metrics.commit_seconds.observe(0.003);
  metrics.commit_seconds.observe(7);
  Exposition out;
  append_store(metrics, out);
  const Samples samples = test::read_samples(out.take());
  EXPECT_EQ(samples.at(R"(portolan_store_commit_seconds_bucket{le="0.005"})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_store_commit_seconds_bucket{le="1"})"), 1);
  EXPECT_EQ(samples.at("portolan_store_commit_seconds_count"), 2);
  EXPECT_EQ(samples.at("portolan_store_failed_commits_total"), 1);
  EXPECT_EQ(samples.at("portolan_store_rows_total"), 12);
  EXPECT_EQ(samples.at("portolan_store_failing"), 0);
  EXPECT_FALSE(samples.contains("portolan_store_disk_free_bytes")) << "it has no file";
}

TEST(StoreMetrics, a_store_on_a_disk_tells_of_its_files) {
  const StoreMetrics metrics{.store = "sqlite",
                             .is_failing = true,
                             .file = StoreFileMetrics{.live_rows = 5,
                                                      .idle_rows = 7,
                                                      .folded_rows = 11,
                                                      .failed_folds = 2,
                                                      .file_octets = 8192,
                                                      .log_octets = 4096,
                                                      .free_octets = 1}};
  Exposition out;
  append_store(metrics, out);
  const Samples samples = test::read_samples(out.take());
  EXPECT_EQ(samples.at("portolan_store_failing"), 1);
  EXPECT_EQ(samples.at(R"(portolan_store_rows{state="live"})"), 5);
  EXPECT_EQ(samples.at(R"(portolan_store_rows{state="idle"})"), 7);
  EXPECT_EQ(samples.at("portolan_store_folded_rows_total"), 11);
  EXPECT_EQ(samples.at("portolan_store_failed_folds_total"), 2);
  EXPECT_EQ(samples.at(R"(portolan_store_file_bytes{file="store"})"), 8192);
  EXPECT_EQ(samples.at(R"(portolan_store_file_bytes{file="log"})"), 4096);
  EXPECT_EQ(samples.at("portolan_store_disk_free_bytes"), 1);
}

}  // namespace
}  // namespace portolan::control
