// SPDX-License-Identifier: BSD-2-Clause
//
// The built program against a PCP server on the loopback interface.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "portolan/options.h"
#include "portolan/test_program.h"

namespace portolan {
namespace {

using testing::ContainsRegex;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using wire::ResultCode;
using Json = nlohmann::json;

auto nobody(const wire::Request&, std::span<const std::byte>) -> std::optional<wire::Datagram> { return {}; }

/// `command` towards `server`.
auto towards(TestServer& server, std::vector<std::string> command) -> std::vector<std::string> {
  command.insert(command.end(), {"--server", "::1", "--server-port", server.port()});
  return command;
}

TEST(Program, map_prints_where_the_port_is_reachable_and_how_to_end_it) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(towards(server, {"map", "tcp", "8080", "--external-port", "8080"}));
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(
      ended.out,
      ContainsRegex("^tcp port 8080 of ::1 is reachable at 192.0.2.14:8080 for 2 h \\(PCP server ::1\\)\n"
                    "renew it with: portolan map tcp 8080 --server ::1 --server-port [0-9]+ --nonce "
                    "[0-9a-f]+; delete it with the same and --delete\n$"));
  EXPECT_THAT(ended.err, IsEmpty());
  const auto got = server.got();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].lifetime_s, 7200U);
  EXPECT_EQ(got[0].map->suggested_external_port, Port{8080});
}

TEST(Program, json_is_one_object_on_one_line_and_nothing_else) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(towards(
      server, {"map", "udp", "5000", "--json", "--lifetime", "600", "--nonce", "00112233445566778899aabb"}));
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_EQ(std::ranges::count(ended.out, '\n'), 1);
  const Json json = Json::parse(ended.out);
  EXPECT_EQ(json,
            Json::parse(R"({"result":"SUCCESS","protocol":"udp","internal-address":"::1","internal-port":5000,
    "external-address":"192.0.2.14","external-port":40000,"lifetime":600,"epoch":3600,"server":"::1",
    "nonce":"00112233445566778899aabb","remote-peer-address":null,"remote-peer-port":null,"port-count":1,
    "filtered":false,"description":null,"nat64-prefixes":null})"));
}

TEST(Program, a_refusal_is_told_with_a_remedy_and_status_1) {
  TestServer server(TestServer::refuse(ResultCode::not_authorized, Seconds{1800}));
  const Ended text = run_program(towards(server, {"map", "tcp", "8080"}));
  EXPECT_EQ(text.status, exit_refused);
  EXPECT_THAT(text.out, IsEmpty());
  EXPECT_THAT(text.err, HasSubstr("NOT_AUTHORIZED"));
  EXPECT_THAT(text.err, HasSubstr("--nonce"));
  const Ended json = run_program(towards(server, {"map", "tcp", "8080", "--json"}));
  EXPECT_EQ(json.status, exit_refused);
  EXPECT_EQ(Json::parse(json.out)["result"], "NOT_AUTHORIZED");
}

TEST(Program, no_answer_is_told_with_the_server_and_status_3) {
  TestServer server(nobody);
  const Ended map = run_program(towards(server, {"map", "tcp", "8080", "--timeout", "1"}));
  EXPECT_EQ(map.status, exit_no_answer);
  EXPECT_EQ(map.err,
            "portolan: no PCP server answered at ::1 within 1 s: is portoland running there? try portolan "
            "announce\n");
  const Ended announce = run_program(towards(server, {"announce", "--timeout", "1", "--json"}));
  EXPECT_EQ(announce.status, exit_no_answer);
  EXPECT_EQ(Json::parse(announce.out)["result"], nullptr);
}

TEST(Program, a_closed_port_is_told_at_once_and_tried_on) {
  std::string port;
  {
    TestServer gone(nobody);
    port = gone.port();
  }
  const Ended ended = run_program({"announce", "--server", "::1", "--server-port", port, "--timeout", "4"});
  EXPECT_EQ(ended.status, exit_no_answer);
  EXPECT_THAT(ended.err, HasSubstr("nothing listens on its UDP port " + port));
  EXPECT_THAT(ended.err, HasSubstr("no PCP server answered at ::1 within 4 s"));
}

TEST(Program, a_lost_request_is_sent_again) {
  std::atomic<int> seen = 0;
  TestServer server([&seen](const wire::Request& request, std::span<const std::byte> octets) {
    return ++seen == 1 ? std::nullopt : TestServer::grant(request, octets);
  });
  const Ended ended = run_program(towards(server, {"map", "tcp", "8080"}));
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.err, HasSubstr("no answer from ::1 yet; asked 2 times"));
  const auto got = server.got();
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_EQ(got[0].map, got[1].map);
}

TEST(Program, announce_tells_that_the_server_is_there) {
  TestServer server(TestServer::grant);
  const Ended text = run_program(towards(server, {"announce"}));
  EXPECT_EQ(text.status, exit_success);
  EXPECT_THAT(text.out,
              ContainsRegex("^a PCP server answers at ::1 after [0-9.]+ ms; its state began 60 min ago"));
  const Ended json = run_program(towards(server, {"announce", "--json"}));
  EXPECT_EQ(Json::parse(json.out)["epoch"], 3600);
  EXPECT_TRUE(Json::parse(json.out)["round-trip-ms"].is_number());
}

TEST(Program, delete_sends_lifetime_0) {
  TestServer server(TestServer::grant);
  const Ended ended =
      run_program(towards(server, {"map", "tcp", "8080", "--delete", "--nonce", "00112233445566778899aabb"}));
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_EQ(ended.out, "tcp port 8080 of ::1: the mapping is deleted (PCP server ::1)\n");
  const auto got = server.got();
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].lifetime_s, 0U);
  EXPECT_EQ(got[0].map->suggested_external_port, Port{0});
  EXPECT_EQ(got[0].map->nonce, *Nonce::parse("00112233445566778899aabb"));
}

TEST(Program, peer_tells_from_where_the_other_end_is_reached) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(towards(server, {"peer", "tcp", "40001", "2001:db8:64::c633:6407", "443"}));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("tcp port 40001 of ::1 reaches [2001:db8:64::c633:6407]:443 from "
                                   "192.0.2.14:40000 for 2 h"));
  const Ended json =
      run_program(towards(server, {"peer", "tcp", "40001", "2001:db8:64::c633:6407", "443", "--json"}));
  EXPECT_EQ(Json::parse(json.out)["remote-peer-address"], "2001:db8:64::c633:6407");
}

TEST(Program, a_kept_peer_is_renewed_no_more_after_ctrl_c) {
  TestServer server(TestServer::grant);
  Program program(towards(server, {"peer", "udp", "5060", "2001:db8::7", "5060", "--keep"}));
  ASSERT_TRUE(program.wait_for("renewing it until Ctrl-C"));
  program.signal(SIGINT);
  const Ended ended = program.end();
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.out, HasSubstr("renewed no more"));
  EXPECT_THAT(server.got(), SizeIs(1)) << "RFC 6887 s12.3: a PEER mapping is not deleted";
}

TEST(Program, what_this_host_can_not_see_is_not_asked_for) {
  TestServer server(nobody);
  const Ended peer = run_program(towards(server, {"peer", "tcp", "40001", "198.51.100.7", "443", "--json"}));
  EXPECT_EQ(peer.status, exit_usage);
  EXPECT_THAT(peer.err, HasSubstr("PEER_ADDRESS 198.51.100.7 is not an address as ::1 sees it"));
  EXPECT_TRUE(Json::parse(peer.out)["error"].is_string());
  const Ended nat_pmp = run_program(towards(server, {"map", "tcp", "8080", "--speak", "nat-pmp"}));
  EXPECT_EQ(nat_pmp.status, exit_usage);
  EXPECT_THAT(nat_pmp.err, HasSubstr("NAT-PMP serves IPv4 only"));
  EXPECT_THAT(server.got(), IsEmpty());
}

TEST(Program, keep_deletes_the_mapping_on_ctrl_c) {
  TestServer server(TestServer::grant);
  Program program(towards(server, {"map", "tcp", "8080", "--keep"}));
  ASSERT_TRUE(program.wait_for("is reachable at"));
  program.signal(SIGINT);
  const Ended ended = program.end();
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.out, HasSubstr("the mapping is deleted"));
  const auto got = server.got();
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_EQ(got[1].lifetime_s, 0U);
  EXPECT_EQ(got[1].map->nonce, got[0].map->nonce);
  EXPECT_EQ(got[1].from, got[0].from);
}

TEST(Program, a_second_ctrl_c_ends_it_at_once) {
  TestServer server([](const wire::Request& request, std::span<const std::byte> octets) {
    return request.requested_lifetime_s == 0 ? std::nullopt : TestServer::grant(request, octets);
  });
  Program program(towards(server, {"map", "tcp", "8080", "--keep"}));
  ASSERT_TRUE(program.wait_for("is reachable at"));
  program.signal(SIGTERM);
  ASSERT_TRUE(program.wait_for("deleting the mapping"));
  program.signal(SIGTERM);
  EXPECT_EQ(program.end().status, 128 + SIGTERM);
}

TEST(Program, keep_renews_and_reports_line_by_line) {
  TestServer server([](const wire::Request& request, std::span<const std::byte> octets) {
    wire::Request short_lived = request;
    if (short_lived.requested_lifetime_s != 0) short_lived.requested_lifetime_s = 8;
    return TestServer::grant(short_lived, octets);
  });
  Program program(towards(server, {"map", "tcp", "8080", "--keep", "--json"}));
  ASSERT_TRUE(program.wait_for("\"event\":\"granted\"}\n"));
  ASSERT_TRUE(program.wait_for("\"event\":\"renewed\"}\n"));
  program.signal(SIGTERM);
  const Ended ended = program.end();
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_EQ(std::ranges::count(ended.out, '\n'), 3);
  EXPECT_THAT(ended.out, testing::EndsWith("\"event\":\"deleted\"}\n"));
}

TEST(Program, verbose_shows_packets_with_direction_and_addresses) {
  TestServer server(TestServer::grant);
  const Ended ended = run_program(towards(server, {"map", "tcp", "8080", "--verbose", "--json"}));
  EXPECT_THAT(
      ended.err,
      ContainsRegex("sent from \\[::1\\]:[0-9]+ to \\[::1\\]:[0-9]+:\n  PCP MAP request, 60 octets\n"));
  EXPECT_THAT(ended.err,
              ContainsRegex("received from \\[::1\\]:[0-9]+ at ::1:\n  PCP MAP response, 60 octets\n"));
  EXPECT_TRUE(Json::accept(ended.out));
}

TEST(Program, a_nat_pmp_server_is_named_as_such) {
  TestServer server([](const wire::Request&, std::span<const std::byte>) {
    wire::Datagram datagram;
    std::ranges::fill(datagram.buffer().first(8), std::byte{0});
    datagram.buffer()[3] = std::byte{1};
    datagram.resize(8);
    return std::optional(datagram);
  });
  const Ended ended = run_program(towards(server, {"map", "tcp", "8080"}));
  EXPECT_EQ(ended.status, exit_refused);
  EXPECT_THAT(ended.err, HasSubstr("::1 speaks NAT-PMP, not PCP"));
}

TEST(Program, mistakes_have_status_2) {
  EXPECT_EQ(run_program({"map", "tcp", "99999"}).status, exit_usage);
  const Ended zone = run_program({"announce", "--server", "fe80::1"});
  EXPECT_EQ(zone.status, exit_usage);
  EXPECT_THAT(zone.err, HasSubstr("--server fe80::1%eth0"));
  const Ended family = run_program({"announce", "--server", "::1", "--internal-address", "192.0.2.7"});
  EXPECT_EQ(family.status, exit_usage);
  EXPECT_THAT(family.err, HasSubstr("different families"));
  const Ended foreign = run_program({"announce", "--server", "::1", "--internal-address", "2001:db8:77::7"});
  EXPECT_EQ(foreign.status, exit_usage);
  EXPECT_THAT(foreign.err, HasSubstr("give an address of this host"));
}

TEST(Program, alone_it_helps) {
  const Ended ended = run_program({});
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.out, HasSubstr("announce"));
}

TEST(Program, decode_shows_fields) {
  const Ended ended = run_program({"decode", "02800000", "00000000", "00000e10", "000000000000000000000000"});
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_THAT(ended.out, HasSubstr("Epoch Time: 3600 s"));
}

}  // namespace
}  // namespace portolan
