// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan run` with small programs that open and close sockets in every way. The host has no IPv4. Needs
// root.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/testing.h"
#include "portolan/options.h"
#include "portolan/test_router.h"

namespace portolan {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

/// A program in Python; `portolan run` passes SIGUSR1 on, which ends its next step().
auto python(const std::string& text, std::vector<std::string> options = {}) -> std::vector<std::string> {
  const std::string head =
      "import os, signal, sys\n"
      "from socket import *\n"
      "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
      "def step(): signal.sigwait({signal.SIGUSR1})\n"
      "def say(*words): print(*words, flush=True)\n"
      "def listener(port, family=AF_INET):\n"
      "  made = socket(family)\n"
      "  made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)\n"
      "  made.bind(('', port))\n"
      "  made.listen()\n"
      "  return made\n";
  options.insert(options.begin(), "run");
  for (const char* word : {"--", "/usr/bin/python3", "-c"}) options.emplace_back(word);
  options.push_back(head + text);
  return options;
}

class RunTest : public DefaultRouterTest {
 protected:
  void SetUp() override {
    DefaultRouterTest::SetUp();
    server = router(owned());
    configure_ipv6();
    // No resolver is there to be waited for.
    ip("route add unreachable default");
    ASSERT_EQ(::setenv("XDG_STATE_HOME", state.path().c_str(), 1), 0);
  }
  void TearDown() override {
    ::unsetenv("XDG_STATE_HOME");
    DefaultRouterTest::TearDown();
  }

  /// Grants, and lets only those who know a mapping's nonce have it again.
  static auto owned() -> TestServer::Policy {
    std::map<std::pair<Protocol, Port>, Nonce> owners;
    return [owners](const wire::Request& request,
                    std::span<const std::byte> octets) mutable -> std::optional<wire::Datagram> {
      const auto& map = std::get<wire::MapRequest>(request.body);
      const auto owner = owners.try_emplace({map.protocol, map.internal_port}, map.nonce).first;
      if (owner->second != map.nonce)
        return wire::encode_error(octets, wire::ResultCode::not_authorized, Seconds{7200}, 3600, true);
      if (request.requested_lifetime_s == 0) owners.erase(owner);
      return TestServer::grant(request, octets);
    };
  }
  /// Its program ends with it, however that is.
  static auto exposing_run() -> std::vector<std::string> {
    return {"run",  "--expose", "tcp:80",  "--timeout",
            "1",    "--",       "setpriv", "--pdeathsig",
            "KILL", "sh",       "-c",      "echo told ${PORTOLAN_TCP_80-nothing}; exec sleep 60"};
  }

  [[nodiscard]] auto deletions(std::uint16_t port) const -> std::ptrdiff_t {
    return std::ranges::count_if(server->got(), [port](const TestServer::Got& got) {
      return got.lifetime_s == 0 && got.map && got.map->internal_port.value == port;
    });
  }

  io::testing::TemporaryFolder state;
  std::unique_ptr<TestServer> server;
};

TEST_F(RunTest, a_socket_is_mapped_until_its_last_copy_is_closed) {
  Program program(python(R"(
s = listener(0)
say("port", s.getsockname()[1])
step()
copy = s.dup()
s.close()
listener(8001).close()          # what is told of later
step()
ours, theirs = pipe = socketpair()
if os.fork() == 0:
  ours.close()
  theirs.recv(1)
  os._exit(0)
copy.close()
listener(8002).close()
step()
ours.send(b"x")
os.wait()
say("child ended")
step()
)"));
  ASSERT_TRUE(program.wait_for("is reachable at"));
  const auto port = server->got().at(0).map->internal_port.value;
  EXPECT_GE(port, 1024) << "the kernel chose one";
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for("tcp port 8001: dropped at"));
  EXPECT_EQ(deletions(port), 0) << "a copy is open";
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for("tcp port 8002: dropped at"));
  EXPECT_EQ(deletions(port), 0) << "a child has it";
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for(fmt::format("tcp port {}: dropped at", port)));
  program.signal(SIGUSR1);
  EXPECT_EQ(program.end().status, exit_success);
}

TEST_F(RunTest, an_ipv4_wildcard_listener_is_reached_over_ipv6_and_takes_it_for_ipv4) {
  const Ended ended = run_program(python(R"(
s = listener(8080)
say("name", *s.getsockname())
c = create_connection(("2001:db8:112::2", 8080))
peer, address = s.accept()
say("peer", address[0], address[1] == c.getsockname()[1], peer.getpeername() == address, peer.getsockname()[1])
c.sendall(b"ahoy")
say(peer.recv(9))
say("threads", len(os.listdir("/proc/self/task")))
)"));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_THAT(ended.out, AllOf(HasSubstr("name 0.0.0.0 8080\n"), HasSubstr("peer 192.0.0.8 True True 8080\n"),
                               HasSubstr("b'ahoy'\n"), HasSubstr("threads 1\n")));
}

TEST_F(RunTest, an_ipv4_program_answers_ipv6_peers_over_udp) {
  const Ended ended = run_program(python(R"(
s = socket(AF_INET, SOCK_DGRAM)
s.bind(("0.0.0.0", 5060))
for family, host in (AF_INET6, "2001:db8:112::2"), (AF_INET, "127.0.0.1"):
  with socket(family, SOCK_DGRAM) as c:
    c.connect((host, 5060))
    c.send(b"one")
    data, peer = s.recvfrom(9)
    s.sendto(data + b"!", peer)
    say(peer[0], c.recv(9))
    c.send(b"two")
    data, _, _, peer = s.recvmsg(9)
    s.sendmsg([data, b"!"], [], 0, peer)
    say(peer[0], c.recv(9))
)"));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_EQ(ended.out, "192.0.0.8 b'one!'\n192.0.0.8 b'two!'\n127.0.0.1 b'one!'\n127.0.0.1 b'two!'\n");
}

TEST_F(RunTest, a_program_that_serves_both_families_itself_goes_on_doing_so) {
  const Ended ended = run_program(python(R"(
def both(kind, order, port):
  made = []
  for family in order:
    s = socket(family, kind)
    if family == AF_INET6: s.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)
    s.bind(("", port))
    if kind == SOCK_STREAM: s.listen(7)
    made.append(s)
  for s, host in zip(made, ["127.0.0.1" if f == AF_INET else "::1" for f in order]):
    with socket(s.family, kind) as c:
      c.connect((host, port))
      c.send(b"x")
      if kind == SOCK_STREAM: s.accept()[0].recv(1)
      else: s.recv(1)
  for s in made: s.close()
for kind in SOCK_STREAM, SOCK_DGRAM:
  both(kind, (AF_INET, AF_INET6), 8080)
  both(kind, (AF_INET6, AF_INET), 8081)
say("done")
)"));
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_EQ(ended.out, "done\n");
}

TEST_F(RunTest, a_program_that_begins_anew_keeps_its_mapping) {
  Program program(python(R"(
for _ in range(3): listener(8080).close()
s = listener(8080)
step()
listener(8001).close()
step()
)"));
  ASSERT_TRUE(program.wait_for("tcp port 8080: [2001:db8:112::2]:8080 is reachable at"));
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for("tcp port 8001: dropped at"));
  EXPECT_EQ(deletions(8080), 0);
  program.signal(SIGUSR1);
  EXPECT_EQ(program.end().status, exit_success);
  EXPECT_EQ(deletions(8080), 1) << "at the end";
}

TEST_F(RunTest, sockets_beyond_the_limit_are_told_of) {
  Program program(python(R"(
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, 2000))
def opened():
  s = socket(AF_INET6, SOCK_DGRAM)
  s.bind(("2001:db8:112::2", 0))
  return s
all = [opened() for _ in range(1024)]
step()
all.append(opened())
step()
)"));
  ASSERT_TRUE(program.wait_for("is reachable at"));
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for("portolan: there are 1024 sockets: those beyond get no mapping"));
  program.signal(SIGTERM);
  program.end();
  std::set<Port> ports;
  for (const auto& got : server->got())
    if (got.lifetime_s != 0) ports.insert(got.map->internal_port);
  EXPECT_THAT(ports, SizeIs(testing::Le(1024)));
}

TEST_F(RunTest, sockets_that_nobody_else_could_reach_are_not_mapped) {
  Program program(python(R"(
for host in ("127.0.0.1", 8001), ("::1", 8002):
  create_server(host, family=AF_INET6 if ":" in host[0] else AF_INET)
s = create_server(("2001:db8:112::2", 8003), family=AF_INET6)
step()
)"));
  ASSERT_TRUE(program.wait_for("tcp port 8003: [2001:db8:112::2]:8003 is reachable at"));
  for (const auto& got : server->got()) EXPECT_EQ(got.map->internal_port, Port{8003});
}

TEST_F(RunTest, a_socket_at_an_address_that_the_kernel_does_not_choose_is_mapped) {
  ip("address change 2001:db8:112::2/64 dev eth0 preferred_lft 0 valid_lft 3000");
  ip("address add 2001:db8:112::3/64 dev eth0 nodad");
  Program program(python(R"(
all = [create_server(("2001:db8:112::2", 9001), family=AF_INET6),
       create_server(("2001:db8:112::3", 9002), family=AF_INET6)]
step()
)"));
  ASSERT_TRUE(program.wait_for("tcp port 9001: [2001:db8:112::2]:9001 is reachable at"));
  ASSERT_TRUE(program.wait_for("tcp port 9002: [2001:db8:112::3]:9002 is reachable at"));
  ip("address del 2001:db8:112::2/64 dev eth0");
  ASSERT_TRUE(program.wait_for("no mapping for 2001:db8:112::2 now: this host does not have that address"));
  program.signal(SIGUSR1);
  EXPECT_EQ(program.end().status, exit_success);
}

TEST_F(RunTest, a_socket_at_an_address_that_no_server_is_asked_from_is_told_of) {
  ip("address add 2001:db8:9::9/128 dev lo");
  Program program(python(R"(
s = create_server(("2001:db8:9::9", 9001), family=AF_INET6)
step()
)"));
  ASSERT_TRUE(
      program.wait_for("no mapping for 2001:db8:9::9 now: no PCP server can be asked from that address"));
  program.signal(SIGUSR1);
  EXPECT_EQ(program.end().status, exit_success);
}

TEST_F(RunTest, what_is_exposed_is_told_in_the_environment) {
  const Ended ended = run_program({"run", "--expose", "udp:5060", "--expose", "tcp:80", "--", "sh", "-c",
                                   "echo $PORTOLAN_UDP_5060 $PORTOLAN_TCP_80"});
  EXPECT_EQ(ended.status, exit_success) << ended.err;
  EXPECT_EQ(ended.out, "192.0.2.14:5060 192.0.2.14:80\n");
}

TEST_F(RunTest, a_program_is_not_kept_waiting_for_ever) {
  ip("link set eth0 down");
  const Ended ended = run_program(
      {"run", "--expose", "tcp:80", "--timeout", "1", "--", "sh", "-c", "echo ${PORTOLAN_TCP_80-none}"});
  EXPECT_EQ(ended.status, exit_success);
  EXPECT_EQ(ended.out, "none\n");
  const std::string_view line = "tcp port 80 has no mapping within 1 s: starting without PORTOLAN_TCP_80";
  ASSERT_THAT(ended.err, HasSubstr(line));
  EXPECT_EQ(ended.err.find(line), ended.err.rfind(line)) << "once for both families";
}

TEST_F(RunTest, a_hook_is_told_of_what_comes_moves_and_goes) {
  const auto hook = state.path() / "hook";
  std::ofstream(hook) << "#!/bin/sh\necho hook $PORTOLAN_EVENT $PORTOLAN_PROTOCOL $PORTOLAN_INTERNAL_ADDRESS "
                         "$PORTOLAN_INTERNAL_PORT $PORTOLAN_EXTERNAL_ADDRESS $PORTOLAN_EXTERNAL_PORT\n";
  std::filesystem::permissions(hook, std::filesystem::perms::owner_all);
  Program program(python("s = listener(8080)\nstep()\n", {"--hook", hook.string()}));
  ASSERT_TRUE(program.wait_for("hook granted tcp 2001:db8:112::2 8080 192.0.2.14 8080\n"));
  const TestServer::Got asked = server->got().at(0);
  wire::Response moved;  // an update that nobody asked for (RFC 6887 s14.2)
  moved.opcode = wire::Opcode::map;
  moved.lifetime_s = asked.lifetime_s;
  moved.epoch_time_s = 3600;
  moved.body = wire::MapResponse{.nonce = asked.map->nonce,
                                 .protocol = asked.map->protocol,
                                 .internal_port = asked.map->internal_port,
                                 .assigned_external_port = Port{9000},
                                 .assigned_external_address = *IpAddress::parse("192.0.2.15")};
  server->send(asked.from, wire::encode_response(moved));
  ASSERT_TRUE(program.wait_for("hook changed tcp 2001:db8:112::2 8080 192.0.2.15 9000\n"));
  program.signal(SIGUSR1);
  EXPECT_TRUE(program.wait_for("hook lost tcp 2001:db8:112::2 8080 192.0.2.15 9000\n"));
}

TEST_F(RunTest, it_needs_no_rights) {
  std::filesystem::permissions(state.path(), std::filesystem::perms::all);
  Program program(python(R"(
s = listener(8080)
step()
s.close()
step()
)"),
                  nobody);
  ASSERT_TRUE(program.wait_for("tcp port 8080: [2001:db8:112::2]:8080 is reachable at 192.0.2.14:8080"));
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for("tcp port 8080: dropped at")) << "the kernel tells of the socket's end";
  program.signal(SIGUSR1);
  EXPECT_EQ(program.end().status, exit_success);
}

TEST_F(RunTest, a_run_that_was_killed_is_taken_up_by_the_next_one) {
  Program killed(exposing_run());
  ASSERT_TRUE(killed.wait_for("told 192.0.2.14:80"));
  killed.signal(SIGKILL);
  EXPECT_EQ(killed.end().status, 128 + SIGKILL);
  Program next(exposing_run());
  EXPECT_TRUE(next.wait_for("told 192.0.2.14:80"));
}

TEST_F(RunTest, of_two_that_want_a_port_the_first_one_keeps_it) {
  Program first(exposing_run());
  ASSERT_TRUE(first.wait_for("told 192.0.2.14:80"));
  Program second(exposing_run());
  EXPECT_TRUE(second.wait_for("says NOT_AUTHORIZED: another client of this host holds it (portolan list"));
  ASSERT_TRUE(second.wait_for("told nothing"));
  second.signal(SIGTERM);
  const Ended ended = second.end();
  EXPECT_THAT(ended.err, HasSubstr("tcp port 80: the PCP server fe80::1%eth0 does not delete it"));
  EXPECT_EQ(deletions(80), 1) << "of the second one, in vain";
}

TEST_F(RunTest, without_a_place_for_its_secret_it_says_what_follows) {
  ASSERT_EQ(::setenv("XDG_STATE_HOME", "/dev/null", 1), 0);
  const Ended ended = run_program({"run", "--expose", "tcp:80", "--", "sh", "-c", "echo $PORTOLAN_TCP_80"});
  EXPECT_EQ(ended.out, "192.0.2.14:80\n");
  EXPECT_THAT(ended.err, HasSubstr("Not a directory: if this run is killed, the next one has to wait"));
}

TEST_F(RunTest, its_exit_status_is_the_programs) {
  EXPECT_EQ(run_program({"run", "--", "sh", "-c", "exit 7"}).status, 7);
  EXPECT_EQ(run_program({"run", "--", "sh", "-c", "kill -KILL $$"}).status, 128 + SIGKILL);
  const Ended missing = run_program({"run", "--", "/no/such/program"});
  EXPECT_EQ(missing.status, exit_cannot_run);
  EXPECT_THAT(missing.err, HasSubstr("/no/such/program: No such file"));
}

TEST_F(RunTest, nothing_is_left_when_it_ends) {
  const std::string folder = "/tmp/portolan-run-test";
  std::filesystem::create_directories(folder);
  ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", folder.c_str(), 1), 0);
  EXPECT_EQ(run_program({"run", "--", "sh", "-c", "ls -d $PORTOLAN_RUN_SOCKET"}).status, 0);
  ::unsetenv("XDG_RUNTIME_DIR");
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace portolan
