// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_service.h"

#include <sys/stat.h>

#include <deque>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/system.h"
#include "io/test_certificates.h"
#include "io/testing.h"

namespace portolan::io {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Kind = StreamAddress::Kind;

constexpr std::string_view get = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

class HttpServiceTest : public ::testing::Test {
 protected:
  /// A client that sends octets and keeps what comes.
  struct Client {
    Stream stream;
    std::string received;
    std::optional<std::string> closed;

    void send(std::string_view text) { stream.send(testing::octets_of(text)); }
  };

  void serve(HttpLimits limits = {}) {
    service.emplace(loop, limits,
                    HttpServiceHandlers{.called =
                                            [this](HttpCall call) {
                                              calls.push_back(std::move(call));
                                              if (answers_at_once) answer();
                                              loop.stop();
                                            },
                                        .refused =
                                            [](HttpProblem problem) {
                                              return HttpReply{.status = 400,
                                                               .body = std::string(to_string(problem))};
                                            }});
  }
  void listen() {
    const auto listening =
        service->listen({.kind = Kind::unix_socket, .path = folder.path() / "http.sock", .endpoint = {}}, {});
    ASSERT_TRUE(listening) << listening.error();
    address = *listening;
  }
  void answer(HttpReply reply = {.body = "hello"}) {
    calls.front().reply(std::move(reply));
    calls.pop_front();
  }
  auto connect(const TlsIdentity& identity = {}) -> std::unique_ptr<Client> {
    auto client = std::make_unique<Client>();
    client->stream = Stream::connect(loop, address, identity,
                                     {.received =
                                          [this, client = client.get()](std::span<const std::byte> octets) {
                                            client->received += testing::text_of(octets);
                                            loop.stop();
                                          },
                                      .closed =
                                          [this, client = client.get()](const std::string& reason) {
                                            client->closed = reason;
                                            loop.stop();
                                          }});
    return client;
  }
  /// Not everything that is waited for stops the loop.
  void run_until(auto condition) {
    while (!condition()) {
      const Timer turn = loop.at(monotonic_now() + Milliseconds{10}, [this] { loop.stop(); });
      loop.run();
    }
  }
  static auto count(std::string_view text, std::string_view part) -> std::size_t {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1))
      ++found;
    return found;
  }

  testing::TemporaryFolder folder;
  EventLoop loop;
  StreamAddress address;
  std::deque<HttpCall> calls;
  bool answers_at_once = true;
  std::optional<HttpService> service;
};

TEST_F(HttpServiceTest, a_request_is_answered) {
  serve();
  listen();
  const auto client = connect();
  client->send("POST /a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
  answers_at_once = false;
  run_until([&] { return !calls.empty(); });
  EXPECT_EQ(calls.front().head.method, "POST");
  EXPECT_EQ(calls.front().head.target, "/a?b=c");
  EXPECT_EQ(calls.front().body, "{}");
  EXPECT_EQ(calls.front().listener, 0U);
  EXPECT_THAT(calls.front().peer, StartsWith("process "));
  answer({.status = 201, .fields = {{"X-More", "y"}}, .body = "hello"});
  run_until([&] { return client->received.ends_with("hello"); });
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 201 Created\r\n"));
  EXPECT_THAT(client->received, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(client->received, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(client->received, HasSubstr("X-More: y\r\n"));
  EXPECT_THAT(client->received, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_EQ(service->counters().requests, 1U);
}

TEST_F(HttpServiceTest, requests_sent_at_once_are_answered_one_after_the_other) {
  serve({.pipelined_octets = 100});
  listen();
  const auto client = connect();
  std::string many;
  for (int i = 0; i < 50; ++i) many += get;
  client->send(many);
  run_until([&] { return count(client->received, "hello") == 50; });
  EXPECT_EQ(service->counters().requests, 50U);
  EXPECT_EQ(service->counters().open, 1U);
}

TEST_F(HttpServiceTest, who_wants_the_connection_to_end_gets_that) {
  serve();
  listen();
  for (const char* text :
       {"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET /a HTTP/1.0\r\n\r\n"}) {
    const auto client = connect();
    client->send(text);
    run_until([&] { return client->closed.has_value(); });
    EXPECT_THAT(client->received, EndsWith("hello"));
    EXPECT_THAT(client->received, HasSubstr("Connection: close\r\n"));
  }
}

TEST_F(HttpServiceTest, what_is_no_request_is_answered_and_the_connection_ends) {
  serve({.header_octets = 1000, .body_octets = 10});
  listen();
  for (const auto& [text, answer] : std::vector<std::pair<std::string, std::string>>{
           {"hello\r\n\r\n", "malformed"},
           {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", "body-too-large"},
           {"GET / HTTP/1.1\r\nA: " + std::string(2000, 'a'), "header-too-large"}}) {
    const auto client = connect();
    client->send(text);
    run_until([&] { return client->closed.has_value(); });
    EXPECT_THAT(client->received, EndsWith("\r\n\r\n" + answer));
    EXPECT_THAT(client->received, HasSubstr("Connection: close\r\n"));
  }
  EXPECT_EQ(service->counters().refused[static_cast<std::size_t>(HttpProblem::malformed)], 1U);
  EXPECT_EQ(service->counters().requests, 0U);
}

TEST_F(HttpServiceTest, a_slow_request_is_refused) {
  serve({.request = Seconds{1}});
  listen();
  const auto client = connect();
  client->send("GET /a HTTP/1.1\r\nHost: ");
  run_until([&] { return client->closed.has_value(); });
  EXPECT_THAT(client->received, EndsWith("too-slow"));
  EXPECT_EQ(service->counters().refused[static_cast<std::size_t>(HttpProblem::too_slow)], 1U);
}

TEST_F(HttpServiceTest, a_connection_without_requests_ends_in_silence) {
  serve({.idle = Seconds{1}});
  listen();
  const auto client = connect();
  run_until([&] { return client->closed.has_value(); });
  EXPECT_EQ(client->received, "");
  EXPECT_EQ(service->counters().idle, 1U);
  EXPECT_EQ(service->counters().open, 0U);
}

TEST_F(HttpServiceTest, connections_have_a_limit) {
  serve({.connections = 2});
  listen();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(connect());
    clients.back()->send(get);
    run_until([&] { return clients.back()->received.ends_with("hello"); });
  }
  const auto third = connect();
  run_until([&] { return third->closed.has_value(); });
  EXPECT_THAT(third->received, EndsWith("too-many-connections"));
  // One goes, and there is room again.
  clients.pop_back();
  run_until([&] { return service->counters().open == 1; });
  const auto fourth = connect();
  fourth->send(get);
  run_until([&] { return fourth->received.ends_with("hello"); });
}

TEST_F(HttpServiceTest, a_client_that_is_gone_gets_no_answer) {
  serve();
  listen();
  answers_at_once = false;
  auto client = connect();
  client->send(get);
  run_until([&] { return !calls.empty(); });
  client.reset();
  run_until([&] { return service->counters().open == 0; });
  answer();
}

/// Counts up to `last`, one number a piece, each with `padding` octets.
class Counting final : public HttpBody {
 public:
  Counting(int last, std::size_t padding, int& made) : last_(last), padding_(padding), made_(made) {}
  auto next() -> Piece override {
    ++made_;
    return {.octets = std::to_string(made_) + std::string(padding_, '.') + "\n", .is_last = made_ == last_};
  }

 private:
  int last_;
  std::size_t padding_;
  int& made_;
};

TEST_F(HttpServiceTest, a_stream_comes_in_chunks) {
  serve();
  listen();
  answers_at_once = false;
  const auto client = connect();
  client->send(get);
  run_until([&] { return !calls.empty(); });
  int made = 0;
  answer({.content_type = "application/x-ndjson", .stream = std::make_unique<Counting>(3, 0, made)});
  run_until([&] { return client->received.ends_with("0\r\n\r\n"); });
  EXPECT_THAT(client->received, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(client->received, EndsWith("2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n"));
  // The connection goes on.
  client->received.clear();
  answers_at_once = true;
  client->send(get);
  run_until([&] { return client->received.ends_with("hello"); });
}

TEST_F(HttpServiceTest, a_client_of_version_1_0_gets_a_stream_that_ends_with_the_connection) {
  serve();
  listen();
  answers_at_once = false;
  const auto client = connect();
  client->send("GET /a HTTP/1.0\r\n\r\n");
  run_until([&] { return !calls.empty(); });
  int made = 0;
  answer({.stream = std::make_unique<Counting>(3, 0, made)});
  run_until([&] { return client->closed.has_value(); });
  EXPECT_THAT(client->received, EndsWith("\r\n\r\n1\n2\n3\n"));
  EXPECT_THAT(client->received, Not(HasSubstr("chunked")));
}

TEST_F(HttpServiceTest, a_stream_waits_for_its_reader_who_is_cut_off_if_it_takes_nothing) {
  serve({.stalled = Seconds{1}});
  listen();
  answers_at_once = false;
  const auto client = connect();
  client->stream.set_reading(false);
  client->send(get);
  run_until([&] { return !calls.empty(); });
  int made = 0;
  constexpr int pieces = 1'000'000;
  answer({.stream = std::make_unique<Counting>(pieces, 100'000, made)});
  run_until([&] { return service->counters().stalled == 1; });
  // What the kernel holds, and one piece.
  EXPECT_LT(made, 200);
  EXPECT_EQ(service->counters().open, 0U);
}

/// Has something when told so.
class Waiting final : public HttpBody {
 public:
  Waiting(std::function<void()>& ready, std::deque<std::string>& pieces) : ready_(ready), pieces_(pieces) {}
  void start(std::function<void()> ready) override { ready_ = std::move(ready); }
  auto next() -> Piece override {
    if (pieces_.empty()) return {};
    Piece piece{.octets = pieces_.front(), .is_last = false};
    pieces_.pop_front();
    return piece;
  }

 private:
  std::function<void()>& ready_;
  std::deque<std::string>& pieces_;
};

TEST_F(HttpServiceTest, a_stream_that_has_nothing_now_goes_on_when_it_has) {
  serve();
  listen();
  answers_at_once = false;
  auto client = connect();
  client->send(get);
  run_until([&] { return !calls.empty(); });
  std::function<void()> ready;
  std::deque<std::string> pieces{"one"};
  answer({.stream = std::make_unique<Waiting>(ready, pieces)});
  run_until([&] { return client->received.ends_with("3\r\none\r\n"); });
  pieces.emplace_back("three");
  ready();
  run_until([&] { return client->received.ends_with("5\r\nthree\r\n"); });
  // Who goes while there is nothing is noticed, and what is ready then is nobody's.
  client.reset();
  const auto other = connect();
  other->send(get);
  run_until([&] { return !calls.empty() && service->counters().open == 1; });
  ready();
  answer();
  run_until([&] { return other->received.ends_with("hello"); });
}

TEST_F(HttpServiceTest, it_listens_over_tls_and_asks_for_no_certificate) {
  serve();
  testing::Authority authority(folder.path() / "keys");
  const TlsFiles files = authority.sign("gateway");
  const auto identity = TlsIdentity::server(files.certificate, files.key);
  ASSERT_TRUE(identity) << identity.error();
  const auto listening = service->listen(
      {.kind = Kind::tls, .path = {}, .endpoint = {testing::address("127.0.0.1"), Port{0}}}, *identity);
  ASSERT_TRUE(listening) << listening.error();
  address = *listening;
  const TlsFiles own = authority.sign("client");
  const auto client = connect(TlsIdentity::load(own).value());
  client->send(get);
  run_until([&] { return client->received.ends_with("hello"); });
  // Octets that are no TLS end with the handshake.
  address.kind = Kind::tcp;
  const auto plain = connect();
  plain->send(get);
  run_until([&] { return plain->closed.has_value(); });
  EXPECT_THAT(plain->received, Not(HasSubstr("hello")));
}

TEST_F(HttpServiceTest, a_file_that_is_no_certificate_is_named) {
  testing::Authority authority(folder.path() / "keys");
  const TlsFiles files = authority.sign("gateway");
  EXPECT_THAT(TlsIdentity::server("/nowhere.pem", files.key).error(),
              StartsWith("/nowhere.pem: no certificate"));
  EXPECT_THAT(TlsIdentity::server(files.certificate, "/nowhere.key").error(),
              StartsWith("/nowhere.key: no private key"));
}

TEST_F(HttpServiceTest, a_unix_socket_gets_the_mode_and_group_it_is_to_have) {
  serve();
  const auto path = folder.path() / "rights.sock";
  const StreamAddress where{.kind = Kind::unix_socket, .path = path, .endpoint = {}};
  EXPECT_THAT(service->listen(where, {}, {.mode = 0600, .group = "no-such-group"}).error(),
              HasSubstr("there is no group 'no-such-group'"));
  const auto listening = service->listen(where, {}, {.mode = 0600, .group = {}});
  ASSERT_TRUE(listening) << listening.error();
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

}  // namespace
}  // namespace portolan::io
