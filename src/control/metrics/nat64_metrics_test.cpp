// SPDX-License-Identifier: BSD-2-Clause
//
// Packets go through a translator, and the samples say which.
#include "control/metrics/nat64_metrics.h"

#include "control/metrics/program_metrics.h"
#include "control/metrics/test_samples.h"
#include "nat/testing/engine_fixture.h"

namespace portolan::control {
namespace {

using test::Samples;

auto samples_of(const Nat64Metrics& metrics) -> Samples {
  Exposition out;
  append_nat64(metrics, out);
  return test::read_samples(out.take());
}

class Nat64MetricsTest : public nat::test::Engine {};

TEST_F(Nat64MetricsTest, packets_tables_and_pool_are_told) {
  const auto query = [](const char* from, const char* to) {
    return nat::test::PacketBuilder(from, to).udp(5000, 53).payload("question").build();
  };
  EXPECT_TRUE(send_raw(query(inside, far6)));
  EXPECT_TRUE(send_raw(query(inside, far6)));
  EXPECT_TRUE(send_raw(query(other_inside, far6)));
  EXPECT_FALSE(send_raw(query(inside, "2001:db8:ffff::1")));
  Nat64Metrics metrics{.workers = {.nat = engine->counters(), .read_by_worker = {3, 1}},
                       .limits = config.limits,
                       .pool_addresses = 1,
                       .pool = {}};
  ASSERT_EQ(engine->view(now, nat::RowFilter{}, 0, metrics.pool), 0U);
  const Samples samples = samples_of(metrics);
  EXPECT_EQ(samples.at(R"(portolan_nat64_packets_total{direction="from_ipv6",kind="udp"})"), 3);
  EXPECT_EQ(test::sum_of(samples, "portolan_nat64_packets_total"), 3);
  EXPECT_EQ(samples.at(R"(portolan_nat64_dropped_total{reason="destination_not_in_prefix"})"), 1);
  EXPECT_EQ(test::sum_of(samples, "portolan_nat64_dropped_total"), 1);
  EXPECT_EQ(samples.at(R"(portolan_nat64_table_entries{table="sessions"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_nat64_table_entries_max{table="sessions"})"), 1000);
  EXPECT_EQ(samples.at(R"(portolan_nat64_bindings{origin="implicit"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_nat64_bindings{origin="explicit"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_nat64_pool_bound_ports{address="192.0.2.14",protocol="udp"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_nat64_pool_bound_ports{address="192.0.2.14",protocol="tcp"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_nat64_pool_ports{protocol="tcp"})"), 64'512);
  EXPECT_EQ(samples.at(R"(portolan_nat64_pool_ports_taken{protocol="udp"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_nat64_worker_packets_total{worker="1"})"), 1);
}

TEST(Nat64Metrics, say_whether_a_server_drives_the_gateway) {
  Exposition out;
  append_control({.is_driven = true, .awaits_reconciliation = false, .connections = 2}, out);
  const Samples samples = test::read_samples(out.take());
  EXPECT_EQ(samples.at("portolan_nat64_driven"), 1);
  EXPECT_EQ(samples.at("portolan_nat64_awaits_reconciliation"), 0);
  EXPECT_EQ(samples.at("portolan_nat64_control_connections"), 2);
}

TEST(ProgramMetrics, say_what_runs_and_what_it_uses) {
  Exposition out;
  append_program({.program = "portoland",
                  .version = "1 \"x\"",
                  .started = Seconds{1'700'000'000},
                  .use = {.cpu_seconds = 1.5, .resident_octets = 4096, .open_descriptors = 9},
                  .messages = {0, 0, 12, 3, 1},
                  .loop_delay = Milliseconds{2}},
                 out);
  const Samples samples = test::read_samples(out.take());
  EXPECT_EQ(samples.at(R"(portolan_build_info{program="portoland",version="1 \"x\""})"), 1);
  EXPECT_EQ(samples.at(R"(portolan_log_messages_total{level="warning"})"), 3);
  EXPECT_EQ(samples.at(R"(portolan_log_messages_total{level="error"})"), 1);
  EXPECT_EQ(samples.at("portolan_loop_delay_seconds"), 0.002);
  EXPECT_EQ(samples.at("process_start_time_seconds"), 1'700'000'000);
  EXPECT_EQ(samples.at("process_cpu_seconds_total"), 1.5);
  EXPECT_EQ(samples.at("process_open_fds"), 9);
}

TEST(EventLogMetrics, what_is_missing_is_told) {
  Exposition out;
  append_event_logs({{.log = "nat64", .counters = {.written = 5}},
                     {.log = "mappings", .counters = {.written = 7, .lost = 2, .is_failing = true}}},
                    out);
  const Samples samples = test::read_samples(out.take());
  EXPECT_EQ(samples.at(R"(portolan_event_log_lines_total{log="nat64"})"), 5);
  EXPECT_EQ(samples.at(R"(portolan_event_log_lost_total{log="nat64"})"), 0);
  EXPECT_EQ(samples.at(R"(portolan_event_log_lost_total{log="mappings"})"), 2);
  EXPECT_EQ(samples.at(R"(portolan_event_log_failing{log="mappings"})"), 1);
}

}  // namespace
}  // namespace portolan::control
