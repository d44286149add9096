// SPDX-License-Identifier: BSD-2-Clause
#include "io/stream.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <optional>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/event_loop.h"
#include "io/file_descriptor.h"
#include "io/test_certificates.h"

namespace portolan::io {
namespace {

using ::testing::HasSubstr;
using Kind = StreamAddress::Kind;

auto octets_of(std::string_view text) -> std::span<const std::byte> {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// One end of a stream, and what happened to it.
struct End {
  Stream stream;
  std::string received;
  std::optional<std::string> closed;
  bool is_opened = false;
  int drained = 0;

  auto handlers(EventLoop& loop) -> StreamHandlers {
    return {.opened =
                [this, &loop] {
                  is_opened = true;
                  loop.stop();
                },
            .received =
                [this, &loop](std::span<const std::byte> octets) {
                  received.append(reinterpret_cast<const char*>(octets.data()), octets.size());
                  loop.stop();
                },
            .drained =
                [this, &loop] {
                  ++drained;
                  loop.stop();
                },
            .closed =
                [this, &loop](const std::string& reason) {
                  closed = reason;
                  loop.stop();
                }};
  }
};

class StreamTest : public ::testing::Test {
 public:
  ~StreamTest() override { std::filesystem::remove_all(folder); }

 protected:
  StreamTest() : folder(std::filesystem::path(::testing::TempDir()) / fmt::format("streams-{}", ::getpid())) {
    std::filesystem::create_directories(folder);
  }

  [[nodiscard]] auto local(std::string_view name = "a.sock") const -> StreamAddress {
    return {.kind = Kind::unix_socket, .path = folder / name, .endpoint = {}};
  }
  static auto loopback(Kind kind) -> StreamAddress {
    return {.kind = kind, .path = {}, .endpoint = {IpAddress{Ipv4Address{0x7f000001}}, Port{0}}};
  }

  void listen(const StreamAddress& address, const TlsIdentity& identity = {}) {
    auto made = StreamListener::open(loop, address, identity, [this](Stream accepted) {
      server.stream = std::move(accepted);
      server.stream.start(server.handlers(loop));
    });
    ASSERT_TRUE(made) << made.error();
    listener = *std::move(made);
  }
  void connect(const TlsIdentity& identity = {}) {
    client.stream = Stream::connect(loop, listener.address(), identity, client.handlers(loop));
  }
  void run_until(auto condition) {
    while (!condition()) loop.run();
  }

  std::filesystem::path folder;
  EventLoop loop;
  StreamListener listener;
  End server;
  End client;
};

TEST(StreamAddress, is_read_and_written) {
  for (const char* text : {"unix:/run/portolan/nat64.sock", "tcp:127.0.0.1:5352", "tcp:[::1]:5352",
                           "tls:192.0.2.1:5352", "tls:[2001:db8::1]:1"}) {
    const auto address = parse_stream_address(text);
    ASSERT_TRUE(address) << text << ": " << address.error();
    EXPECT_EQ(to_string(*address), text);
  }
}

TEST(StreamAddress, mistakes_are_named_with_a_remedy) {
  const auto error = [](std::string_view text) {
    const auto address = parse_stream_address(text);
    return address ? "none" : address.error();
  };
  EXPECT_THAT(error("tcp:192.0.2.1:5352"), HasSubstr("use \"tls:\""));
  EXPECT_THAT(error("tcp:[2001:db8::1]:5352"), HasSubstr("use \"tls:\""));
  EXPECT_THAT(error("tcp:0.0.0.0:5352"), HasSubstr("use \"tls:\""));
  for (const char* text : {"tcp:127.0.0.1", "tcp:127.0.0.1:", "tcp:127.0.0.1:65536", "tcp:localhost:1",
                           "tls:2001:db8::1:80", "tcp:[127.0.0.1]:1", "tls:[]:1", "tcp:127.0.0.1:1x"})
    EXPECT_THAT(error(text), HasSubstr("numeric address and a port")) << text;
  EXPECT_THAT(error("unix:nat64.sock"), HasSubstr("absolute path"));
  EXPECT_THAT(error("http://x"), HasSubstr("\"unix:\", \"tcp:\" or \"tls:\""));
  const std::size_t longest = sizeof(sockaddr_un::sun_path) - 1;
  EXPECT_EQ(error("unix:/" + std::string(longest - 1, 'x')), "none");
  EXPECT_THAT(error("unix:/" + std::string(longest, 'x')), HasSubstr("longer than 107 octets"));
}

TEST_F(StreamTest, octets_go_both_ways_over_every_transport) {
  testing::Authority authority(folder);
  const auto identity = TlsIdentity::load(authority.sign("gateway.example.com"));
  ASSERT_TRUE(identity) << identity.error();
  for (const StreamAddress& address : {local(), loopback(Kind::tcp), loopback(Kind::tls)}) {
    SCOPED_TRACE(to_string(address));
    server = {};
    client = {};
    listen(address, *identity);
    connect(*identity);
    client.stream.send(octets_of("before it is open, "));
    run_until([&] { return client.is_opened && server.is_opened; });
    client.stream.send(octets_of("and after"));
    run_until([&] { return server.received == "before it is open, and after"; });
    const std::string large(3'000'000, 'x');
    server.stream.send(octets_of(large));
    run_until([&] { return client.received.size() == large.size() && server.drained > 0; });
    EXPECT_EQ(client.received, large);
    EXPECT_EQ(server.stream.queued(), 0U);
    EXPECT_NE(server.stream.peer(), "nobody");
    client.stream.close();
    run_until([&] { return server.closed.has_value(); });
    EXPECT_THAT(*server.closed, HasSubstr("closed by the other side"));
    EXPECT_FALSE(client.closed) << "who closes is not told";
  }
}

TEST_F(StreamTest, tls_takes_only_peers_that_the_authority_knows) {
  testing::Authority authority(folder / "ours");
  testing::Authority other(folder / "others");
  TlsFiles stranger = other.sign("client.example.com");
  stranger.authorities = folder / "ours" / "authority.pem";  // it would trust the gateway
  listen(loopback(Kind::tls), TlsIdentity::load(authority.sign("gateway.example.com")).value());
  connect(TlsIdentity::load(stranger).value());
  run_until([&] { return server.closed && client.closed; });
  EXPECT_FALSE(server.is_opened);
  EXPECT_THAT(*server.closed, HasSubstr(": certificate signature failure"));
  EXPECT_THAT(server.stream.peer(), HasSubstr("127.0.0.1:"));
  // The other way round: a client does not talk to a gateway it can't trust.
  server = {};
  client = {};
  connect(TlsIdentity::load(other.sign("client.example.com")).value());
  run_until([&] { return server.closed && client.closed; });
  EXPECT_FALSE(client.is_opened);
  EXPECT_FALSE(server.is_opened);
}

TEST_F(StreamTest, tls_looks_at_the_name_of_who_is_connected_to) {
  testing::Authority authority(folder);
  listen(loopback(Kind::tls), TlsIdentity::load(authority.sign("gateway.example.com")).value());
  TlsFiles files = authority.sign("client.example.com");
  files.peer_name = "other.example.com";
  connect(TlsIdentity::load(files).value());
  run_until([&] { return client.closed.has_value(); });
  EXPECT_FALSE(client.is_opened);
  EXPECT_THAT(*client.closed, HasSubstr("certificate verify failed"));
  EXPECT_THAT(*client.closed, HasSubstr(": hostname mismatch"));
  server = {};
  client = {};
  files.peer_name = "gateway.example.com";
  connect(TlsIdentity::load(files).value());
  run_until([&] { return client.is_opened && server.is_opened; });
  EXPECT_THAT(server.stream.peer(), HasSubstr("CN=client.example.com"));
}

TEST_F(StreamTest, files_that_tls_can_not_use_are_named) {
  testing::Authority authority(folder);
  const TlsFiles good = authority.sign("gateway.example.com");
  const auto error = [](const TlsFiles& files) { return TlsIdentity::load(files).error(); };
  TlsFiles bad = good;
  bad.certificate = folder / "missing.pem";
  EXPECT_THAT(error(bad), HasSubstr("missing.pem: no certificate"));
  bad = good;
  bad.key = authority.sign("other.example.com").key;
  EXPECT_THAT(error(bad), HasSubstr("other.example.com.key: no private key of that certificate"));
  bad = good;
  bad.authorities = good.key;
  EXPECT_THAT(error(bad), HasSubstr("no certificates of authorities"));
}

TEST_F(StreamTest, a_peer_that_does_not_read_is_cut_off_at_the_limit) {
  listen(local());
  connect();
  run_until([&] { return client.is_opened && server.is_opened; });
  client.stream.set_reading(false);
  const std::string block(std::size_t{1} << 20U, 'x');
  while (server.stream.queued() + block.size() <= Stream::queue_octets_max)
    server.stream.send(octets_of(block));
  const std::size_t left = Stream::queue_octets_max - server.stream.queued();
  server.stream.send(octets_of(block).first(left));
  EXPECT_EQ(server.stream.queued(), Stream::queue_octets_max);
  EXPECT_TRUE(server.stream.is_open());
  server.stream.send(octets_of("x"));
  run_until([&] { return server.closed.has_value(); });
  EXPECT_EQ(server.closed, "the other side is too slow");
}

TEST_F(StreamTest, finish_sends_what_waits_first) {
  listen(local());
  connect();
  run_until([&] { return client.is_opened && server.is_opened; });
  const std::string large(1'000'000, 'x');
  server.stream.send(octets_of(large));
  server.stream.finish();
  server.stream.send(octets_of("too late"));
  run_until([&] { return client.closed.has_value(); });
  EXPECT_EQ(client.received, large);
  run_until([&] { return server.closed.has_value(); });
}

TEST_F(StreamTest, a_socket_that_a_killed_run_left_is_replaced_and_a_living_one_is_not) {
  listen(local());
  EXPECT_TRUE(std::filesystem::exists(folder / "a.sock"));
  const auto second = StreamListener::open(loop, local(), {}, [](Stream) {});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("another process does"));
  listener = {};
  EXPECT_FALSE(std::filesystem::exists(folder / "a.sock")) << "its file goes with the listener";
  // Bound, and then closed without a word.
  {
    FileDescriptor left(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (folder / "a.sock").c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(left.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  ASSERT_TRUE(std::filesystem::exists(folder / "a.sock"));
  listen(local());
  const auto mode = std::filesystem::status(folder / "a.sock").permissions();
  EXPECT_EQ(mode & std::filesystem::perms::others_all, std::filesystem::perms::none);
  connect();
  run_until([&] { return client.is_opened && server.is_opened; });
}

TEST_F(StreamTest, nobody_there_is_told_by_closed) {
  client.stream = Stream::connect(loop, local("nobody.sock"), {}, client.handlers(loop));
  EXPECT_FALSE(client.closed) << "not from within the call";
  run_until([&] { return client.closed.has_value(); });
  EXPECT_FALSE(client.is_opened);
}

TEST_F(StreamTest, a_handler_may_destroy_its_stream) {
  listen(local());
  StreamHandlers handlers = client.handlers(loop);
  handlers.received = [&](std::span<const std::byte>) { client.stream = {}; };
  client.stream = Stream::connect(loop, listener.address(), {}, std::move(handlers));
  run_until([&] { return server.is_opened; });
  server.stream.send(octets_of("go"));
  run_until([&] { return server.closed.has_value(); });
}

}  // namespace
}  // namespace portolan::io
