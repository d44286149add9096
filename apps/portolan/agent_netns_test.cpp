// SPDX-License-Identifier: BSD-2-Clause
//
// The agent as a program of its own, on a host with a default router that is a PCP server. Needs root.
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/network_watch.h"
#include "portolan/agent.h"
#include "portolan/options.h"
#include "portolan/test_router.h"

namespace portolan {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class AgentTest : public DefaultRouterTest {
 protected:
  void SetUp() override {
    DefaultRouterTest::SetUp();
    std::string name = "/tmp/portolan-agent-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder = name;
    write("agent.toml", "");
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void write(const std::string& name, const std::string& text) const { std::ofstream(folder / name) << text; }
  [[nodiscard]] auto read(const std::string& name) const -> std::string {
    std::ifstream file(folder / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] auto socket() const -> std::string { return folder / "run/agent.sock"; }
  [[nodiscard]] auto agent_arguments() const -> std::vector<std::string> {
    return {"agent",    "--config", folder / "agent.toml", "--state", folder / "state/agent.json",
            "--socket", socket()};
  }
  [[nodiscard]] auto ask(std::vector<std::string> arguments) const -> Ended {
    arguments.insert(arguments.end(), {"--socket", socket()});
    return run_program(std::move(arguments));
  }
  /// Asks `portolan list` until it says `text`.
  [[nodiscard]] auto list_says(const std::string& text) const -> bool {
    const TimePoint limit = io::monotonic_now() + Seconds{20};
    while (io::monotonic_now() < limit) {
      if (ask({"list"}).out.contains(text)) return true;
      std::this_thread::sleep_for(Milliseconds{20});
    }
    return false;
  }

  std::filesystem::path folder;
};

const std::string web = "[[mapping]]\nprotocol = \"tcp\"\nport = 8080\n";

TEST_F(AgentTest, mappings_of_its_file_are_kept_and_listed) {
  const auto server = router();
  configure_ipv6();
  const Ended unheard = ask({"list", "--json"});
  EXPECT_EQ(unheard.status, exit_no_answer);
  EXPECT_THAT(unheard.out, HasSubstr(R"({"error":"no agent answers at )"));
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("tcp 8080 ipv4: [2001:db8:112::2]:8080 is reachable at 192.0.2.14:40000"));
  const Ended listed = ask({"list"});
  EXPECT_EQ(listed.status, exit_success) << listed.err;
  EXPECT_THAT(listed.out,
              HasSubstr("tcp 8080 ipv4: [2001:db8:112::2]:8080 is reachable at 192.0.2.14:40000"));
  const Ended json = ask({"list", "--json"});
  EXPECT_THAT(json.out, AllOf(HasSubstr(R"("internal-port":8080)"), HasSubstr(R"("external-port":40000)"),
                              HasSubstr(R"("asked":false)")));
  EXPECT_TRUE(json.out.ends_with("}}\n{\"done\":true}\n")) << json.out;
  ASSERT_FALSE(server->got().empty());
  EXPECT_THAT(json.out, Not(HasSubstr(to_string(server->got().at(0).map->nonce)))) << "that is a secret";
  const Ended dropped = ask({"drop", "tcp", "8080"});
  EXPECT_EQ(dropped.status, exit_refused);
  EXPECT_THAT(dropped.err, HasSubstr("is in the agent's file: remove it there"));
  agent.signal(SIGTERM);
  EXPECT_EQ(agent.end().status, exit_success);
  for (const auto& got : server->got()) EXPECT_NE(got.lifetime_s, 0U) << "mappings outlive the agent";
}

TEST_F(AgentTest, a_file_read_again_touches_only_what_it_says_in_other_words) {
  const auto server = router();
  configure_ipv6();
  const std::string unchanged = "[[mapping]]\nprotocol = \"tcp\"\nport = 8080\n";
  write("agent.toml", unchanged +
                          "[[mapping]]\nprotocol = \"tcp\"\nport = 8081\n"
                          "[[mapping]]\nprotocol = \"tcp\"\nport = 8082\nlifetime = 600\n");
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("tcp 8082 ipv4: [2001:db8:112::2]:8082 is reachable"));
  EXPECT_EQ(ask({"map", "udp", "5060", "--keep"}).status, exit_success);
  write("agent.toml", "[[mapping]]\nprotocol = \"tcp\"\nport = 0\n");
  agent.signal(SIGHUP);
  ASSERT_TRUE(agent.wait_for("agent.toml:3: mapping.port = 0: must be a number from 1 to 65535"));
  ASSERT_TRUE(agent.wait_for("agent.toml is not used: what it said before goes on"));
  const auto before = server->got();
  write("agent.toml",
        unchanged +
            "[[mapping]]\nprotocol = \"tcp\"\nport = 8082\nlifetime = 900\n"
            "[[mapping]]\nprotocol = \"udp\"\nport = 5060\n"
            "[[mapping]]\nprotocol = \"tcp\"\nport = 8083\nfilters = [\"2001:db8:64::/96\"]\n"
            "[[mapping]]\nprotocol = \"udp\"\nport = 7\npeer = \"2001:db8:64::1\"\npeer_port = 9\n");
  agent.signal(SIGHUP);
  ASSERT_TRUE(agent.wait_for("agent.toml is read again: 5 mappings"));
  ASSERT_TRUE(agent.wait_for("tcp 8081 ipv4: dropped at the PCP server fe80::1%eth0"));
  ASSERT_TRUE(
      agent.wait_for("udp 7 ipv4 to [2001:db8:64::1]:9: [2001:db8:112::2]:7 reaches "
                     "[2001:db8:64::1]:9 from 192.0.2.14:40000"));
  ASSERT_TRUE(list_says("tcp 8083 ipv4: [2001:db8:112::2]:8083 is reachable at 192.0.2.14:40000"));
  const auto requests = [&server, &before](std::uint16_t port) {
    std::vector<TestServer::Got> found;
    const auto got = server->got();
    for (std::size_t i = before.size(); i < got.size(); ++i)
      if (got[i].map && got[i].map->internal_port.value == port) found.push_back(got[i]);
    return found;
  };
  EXPECT_THAT(requests(8080), IsEmpty()) << "as before";
  EXPECT_THAT(requests(5060), IsEmpty()) << "asked for before, and the same";
  ASSERT_THAT(requests(8081), SizeIs(1));
  EXPECT_EQ(requests(8081)[0].lifetime_s, 0U);
  ASSERT_THAT(requests(8082), SizeIs(1));
  EXPECT_EQ(requests(8082)[0].lifetime_s, 900U);
  const auto earlier = std::ranges::find_if(
      before, [](const TestServer::Got& got) { return got.map && got.map->internal_port.value == 8082; });
  EXPECT_EQ(requests(8082)[0].map->nonce, earlier->map->nonce) << "the same mapping";
  EXPECT_THAT(ask({"drop", "udp", "5060"}).err, HasSubstr("is in the agent's file"));
}

TEST_F(AgentTest, other_servers_are_asked_when_the_file_names_them) {
  const auto server = router();
  configure_ipv6();
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("tcp 8080 ipv4: [2001:db8:112::2]:8080 is reachable"));
  // The router itself, by another name.
  write("agent.toml", "servers = [\"2001:db8:112::1\"]\n" + web);
  agent.signal(SIGHUP);
  ASSERT_TRUE(agent.wait_for("asking the PCP server 2001:db8:112::1 from 2001:db8:112::2"));
}

TEST_F(AgentTest, a_connection_and_another_hosts_mapping_are_kept_and_dropped_by_their_names) {
  const auto server = router();
  configure_ipv6();
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("asking the PCP server"));
  const Ended peer = ask({"peer", "udp", "5060", "2001:db8:64::1", "5061", "--keep"});
  EXPECT_EQ(peer.status, exit_success) << peer.err;
  EXPECT_THAT(peer.out, HasSubstr("reaches [2001:db8:64::1]:5061 from 192.0.2.14:40000"));
  ASSERT_TRUE(list_says("udp 5060 ipv4 to [2001:db8:64::1]:5061: [2001:db8:112::2]:5060 reaches"));
  EXPECT_EQ(ask({"drop", "udp", "5060"}).status, exit_refused) << "that would be a MAP mapping";
  EXPECT_EQ(ask({"drop", "udp", "5060", "--peer-address", "2001:db8:64::1"}).status, exit_usage);
  EXPECT_EQ(ask({"drop", "udp", "5060", "--peer-address", "2001:db8:64::1", "--peer-port", "5061"}).status,
            exit_success);
  ASSERT_TRUE(agent.wait_for("udp 5060 ipv4 to [2001:db8:64::1]:5061: dropped"));
  EXPECT_THAT(ask({"list"}).out, IsEmpty());
}

TEST_F(AgentTest, a_mapping_that_is_not_granted_makes_list_end_with_1) {
  configure_ipv6();  // to a router that is not there
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("asking the PCP server fe80::1%eth0 from 2001:db8:112::2"));
  const Ended listed = ask({"list"});
  EXPECT_EQ(listed.status, exit_refused);
  EXPECT_THAT(listed.out, HasSubstr("tcp 8080 ipv4: not reachable now"));
}

TEST_F(AgentTest, map_keep_hands_the_mapping_over_and_drop_takes_it_back) {
  const auto server = router();
  configure_ipv6();
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("asking the PCP server"));
  const Ended mapped = ask({"map", "udp", "5060", "--keep", "--external-port", "5060"});
  EXPECT_EQ(mapped.status, exit_success) << mapped.err;
  EXPECT_THAT(mapped.out, HasSubstr("udp port 5060 of 2001:db8:112::2 is reachable at 192.0.2.14:5060"));
  EXPECT_EQ(ask({"map", "udp", "5060", "--keep", "--external-port", "5060"}).status, exit_success)
      << "it is kept already";
  const Ended other = ask({"map", "udp", "5060", "--keep", "--lifetime", "600"});
  EXPECT_EQ(other.status, exit_refused);
  EXPECT_THAT(other.err, HasSubstr("kept already"));
  const Ended dropped = ask({"drop", "udp", "5060"});
  EXPECT_EQ(dropped.status, exit_success) << dropped.err;
  ASSERT_TRUE(agent.wait_for("udp 5060 ipv4: dropped at the PCP server fe80::1%eth0"));
  EXPECT_EQ(server->got().back().lifetime_s, 0U);
  const Ended listed = ask({"list"});
  EXPECT_EQ(listed.status, exit_success);
  EXPECT_THAT(listed.out, IsEmpty());
  EXPECT_THAT(ask({"drop", "udp", "5060"}).err, HasSubstr("udp 5060 ipv4 is not kept here"));
}

TEST_F(AgentTest, map_keep_tells_when_the_server_refuses_or_is_silent) {
  const auto server = router(TestServer::refuse(wire::ResultCode::user_ex_quota, Seconds{600}));
  configure_ipv6();
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("asking the PCP server"));
  const Ended refused = ask({"map", "tcp", "8080", "--keep", "--json"});
  EXPECT_EQ(refused.status, exit_refused);
  EXPECT_THAT(refused.err, HasSubstr("USER_EX_QUOTA: you have as many mappings as it allows: delete one; "
                                     "asking again in 600 s, until you drop it"));
  EXPECT_THAT(refused.out, HasSubstr("\"error\":"));
  ip("link set eth0 down");
  const Ended silent = ask({"map", "tcp", "8081", "--keep", "--timeout", "1"});
  EXPECT_EQ(silent.status, exit_no_answer);
  EXPECT_THAT(silent.err, HasSubstr("until you `portolan drop tcp 8081`"));
  EXPECT_THAT(ask({"list"}).out, HasSubstr("tcp 8081 ipv4: not reachable now"));
}

TEST_F(AgentTest, a_restarted_agent_asks_for_the_same_mapping_with_the_same_nonce) {
  const auto server = router();
  configure_ipv6();
  {
    Program agent(agent_arguments());
    ASSERT_TRUE(agent.wait_for("asking the PCP server"));
    ASSERT_EQ(ask({"map", "tcp", "8080", "--keep", "--external-port", "80"}).status, exit_success);
  }  // killed
  struct stat status{};
  ASSERT_EQ(::stat((folder / "state/agent.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U) << "who has the nonce has the mapping";
  const auto first = server->got();
  Program agent(agent_arguments());
  ASSERT_TRUE(list_says("is reachable at 192.0.2.14:80"));
  const TimePoint limit = io::monotonic_now() + Seconds{20};
  while (server->got().size() == first.size() && io::monotonic_now() < limit)
    std::this_thread::sleep_for(Milliseconds{5});
  const auto got = server->got();
  ASSERT_GT(got.size(), first.size()) << "the mapping is confirmed";
  EXPECT_EQ(got.back().map->nonce, first.front().map->nonce);
  EXPECT_EQ(got.back().map->suggested_external_port, Port{80});
}

TEST_F(AgentTest, the_nonce_of_a_request_outlives_an_agent_that_dies_before_the_answer) {
  std::atomic<bool> is_silent = true;
  const auto server = router([&is_silent](const wire::Request& request, std::span<const std::byte> octets) {
    return is_silent ? std::nullopt : TestServer::grant(request, octets);
  });
  configure_ipv6();
  write("agent.toml", web);
  const TimePoint limit = io::monotonic_now() + Seconds{20};
  {
    Program agent(agent_arguments());
    while (server->got().empty() && io::monotonic_now() < limit) std::this_thread::sleep_for(Milliseconds{5});
  }  // killed
  ASSERT_THAT(server->got(), testing::Not(IsEmpty()));
  is_silent = false;
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("is reachable at"));
  EXPECT_EQ(server->got().back().map->nonce, server->got().front().map->nonce);
}

TEST_F(AgentTest, mappings_follow_this_hosts_address) {
  const auto server = router();
  configure_ipv6();
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("[2001:db8:112::2]:8080 is reachable at"));
  ip("address add 2001:db8:112::3/64 dev eth0 nodad");
  ip("address del 2001:db8:112::2/64 dev eth0");
  ASSERT_TRUE(agent.wait_for(
      "this host's address was 2001:db8:112::2 and is 2001:db8:112::3 now (the old one is gone)"));
  ASSERT_TRUE(agent.wait_for("[2001:db8:112::3]:8080 is reachable at"));
  EXPECT_THAT(ask({"list"}).out, HasSubstr("[2001:db8:112::3]:8080 is reachable at"));
}

TEST_F(AgentTest, a_server_that_comes_later_is_found) {
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("there is no PCP server to ask now; waiting for the network"));
  const auto server = router();
  configure_ipv6();
  ASSERT_TRUE(agent.wait_for("[2001:db8:112::2]:8080 is reachable at"));
}

TEST_F(AgentTest, a_server_that_lost_its_state_is_asked_again) {
  const auto server = router();
  configure_ipv6();
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("is reachable at"));
  wire::Response announcement;  // epoch 0
  announcement.body = wire::Announce{};
  server->send({*IpAddress::parse("ff02::1"), Port{wire::client_port}}, wire::encode_response(announcement));
  ASSERT_TRUE(agent.wait_for("the PCP server fe80::1%eth0 lost its state; asking again for all mappings"));
  const TimePoint limit = io::monotonic_now() + Seconds{20};
  while (server->got().size() < 2 && io::monotonic_now() < limit)
    std::this_thread::sleep_for(Milliseconds{5});
  EXPECT_THAT(server->got(), SizeIs(2));
}

/// How often a process has gone to sleep, which is how often it was woken. Threads of sanitizers do not
/// count.
auto sleeps_of(pid_t process) -> long {
  std::ifstream status(fmt::format("/proc/{}/status", process));
  const std::string word = "voluntary_ctxt_switches:";
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(word)) return std::stol(line.substr(word.size()));
  ADD_FAILURE() << "no such process";
  return 0;
}

/// Has a router on lan1 advertise what is none of the kernel's business: PREF64 (RFC 8781).
void advertise() {
  io::FileDescriptor raw{::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6)};
  const int hops = 255;
  ::setsockopt(raw.get(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_scope_id = ::if_nametoindex("lan1");
  to.sin6_addr = {{{0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}};
  const std::array<std::uint8_t, 32> packet{134, 0, 0, 0, 0,    0, 0,    0,    0, 0,    0, 0, 0, 0, 0, 0,
                                            38,  2, 7, 8, 0x20, 1, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0};
  ASSERT_EQ(::sendto(raw.get(), packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(packet.size()));
}

TEST_F(AgentTest, an_idle_agent_sleeps_until_its_next_deadline) {
  const auto server = router();
  configure_ipv6();
  ip("link add eth1 type veth peer name lan1");
  for (const char* const name : {"eth1", "lan1"}) ip(fmt::format("link set {} addrgenmode none up", name));
  ip("address add fe80::1/64 dev lan1 nodad");
  std::ofstream("/proc/sys/net/ipv6/conf/eth1/accept_ra") << "2";
  auto watch = io::NetworkWatch::open(io::Advertisements::heard).value();
  write("agent.toml", web);
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("is reachable at"));
  // What it looked at when it began ends within seconds. From then on nothing wakes it before the renewal,
  // half the lifetime later (RFC 6887 s11.2.1), be it what routers advertise all the time.
  const TimePoint limit = io::monotonic_now() + Seconds{30};
  long woken = 1;
  while (woken > 0 && io::monotonic_now() < limit) {
    const long before = sleeps_of(agent.process());
    advertise();
    std::this_thread::sleep_for(Seconds{4});
    woken = sleeps_of(agent.process()) - before;
  }
  EXPECT_EQ(woken, 0);
  EXPECT_THAT(watch.take().advertised, testing::Not(IsEmpty())) << "there was something to hear";
  EXPECT_THAT(server->got(), SizeIs(1));
}

TEST_F(AgentTest, files_with_mistakes_are_told_and_nothing_is_begun) {
  write("agent.toml", "[[mapping]]\nprotocol = \"tcp\"\nport = 0\n");
  const Ended wrong = run_program(agent_arguments());
  EXPECT_EQ(wrong.status, exit_usage);
  EXPECT_THAT(wrong.err, HasSubstr("agent.toml:3: mapping.port = 0: must be a number from 1 to 65535"));
  write("agent.toml", web);
  auto checking = agent_arguments();
  checking.emplace_back("--check-config");
  EXPECT_EQ(run_program(checking).status, exit_success);
  std::filesystem::create_directory(folder / "state");
  write("state/agent.json", "{}");
  const Ended broken = run_program(agent_arguments());
  EXPECT_EQ(broken.status, exit_usage);
  EXPECT_THAT(broken.err, AllOf(HasSubstr("state/agent.json: "), HasSubstr("remove it to begin anew")));
  EXPECT_EQ(read("state/agent.json"), "{}") << "it is left for whoever mends it";
}

TEST_F(AgentTest, without_an_agent_the_commands_say_so) {
  for (const std::vector<std::string>& command : {std::vector<std::string>{"list"}, {"drop", "tcp", "80"}}) {
    const Ended ended = ask(command);
    EXPECT_EQ(ended.status, exit_no_answer);
    EXPECT_THAT(ended.err, HasSubstr("start it by `portolan agent`"));
  }
}

TEST_F(AgentTest, who_has_no_folder_for_the_socket_is_told_what_to_do) {
  ::unsetenv("XDG_RUNTIME_DIR");
  const Ended ended = Program({"agent"}, nobody).end();
  EXPECT_EQ(ended.status, exit_usage);
  EXPECT_THAT(ended.err,
              HasSubstr("unix:/run/portolan/agent.sock: Permission denied: set XDG_RUNTIME_DIR, or "
                        "give --socket"));
}

TEST_F(AgentTest, a_second_agent_of_the_same_user_is_refused) {
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("waiting for the network"));
  const Ended second = run_program(agent_arguments());
  EXPECT_EQ(second.status, exit_usage);
  EXPECT_THAT(second.err, HasSubstr("another process does"));
}

/// A connection to the agent that says whatever it likes.
class RawAsker {
 public:
  explicit RawAsker(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void say(const std::string& text) const { ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  /// All that is said until the agent closes.
  [[nodiscard]] auto hear() const -> std::string {
    std::string text;
    std::array<char, 4096> buffer{};
    for (ssize_t got = 0; (got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0)) > 0;)
      text.append(buffer.data(), static_cast<std::size_t>(got));
    return text;
  }

 private:
  io::FileDescriptor socket_;
};

TEST_F(AgentTest, what_makes_no_sense_gets_an_answer_that_says_so) {
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("waiting for the network"));
  const auto answer = [&](const std::string& text) {
    const RawAsker asker(socket());
    asker.say(text);
    return asker.hear();
  };
  EXPECT_THAT(answer("hello\n"), HasSubstr("no JSON"));
  EXPECT_THAT(answer("{\"do\":\"dance\"}\n"), HasSubstr("neither list, add nor drop"));
  const auto padded = [](std::size_t octets) {
    const std::string request = "{\"do\":\"list\"}";
    return request + std::string(octets - request.size(), ' ') + "\n";
  };
  EXPECT_THAT(answer(padded(agent_line_octets_max - 1)), HasSubstr("done"));
  EXPECT_THAT(answer(padded(agent_line_octets_max)), HasSubstr("done"));
  EXPECT_THAT(answer(padded(agent_line_octets_max + 1)), HasSubstr("at most 8192 octets"));
}

TEST_F(AgentTest, askers_beyond_the_limit_are_sent_away) {
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("waiting for the network"));
  std::vector<std::unique_ptr<RawAsker>> silent;
  for (std::size_t i = 0; i + 1 < Agent::askers_max; ++i)
    silent.push_back(std::make_unique<RawAsker>(socket()));
  EXPECT_EQ(ask({"list"}).status, exit_success) << "one more is heard";
  silent.push_back(std::make_unique<RawAsker>(socket()));
  EXPECT_THAT(RawAsker(socket()).hear(), IsEmpty());
  silent.pop_back();
  EXPECT_TRUE(list_says("") && ask({"list"}).status == exit_success) << "there is room again";
}

TEST_F(AgentTest, mappings_beyond_the_limit_are_refused) {
  std::string file;
  for (std::size_t port = 1; port < agent_mappings_max; ++port)
    file += fmt::format("[[mapping]]\nprotocol = \"tcp\"\nport = {}\n", port);
  write("agent.toml", file);
  const auto server = router();
  configure_ipv6();
  Program agent(agent_arguments());
  ASSERT_TRUE(agent.wait_for("is reachable at"));
  EXPECT_EQ(ask({"map", "udp", "1", "--keep"}).status, exit_success);
  const Ended refused = ask({"map", "udp", "2", "--keep"});
  EXPECT_EQ(refused.status, exit_refused);
  EXPECT_THAT(refused.err, HasSubstr("256 mappings are kept already, which is the most"));
}

}  // namespace
}  // namespace portolan
