// SPDX-License-Identifier: BSD-2-Clause
//
// The C interface as a program uses it, with a small PCP server at the other end of a loopback socket.
#include "portolan/portolan.h"

#include <netinet/in.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/udp.h"
#include "wire/message.h"
#include "wire/options.h"

namespace portolan {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Answers each request at once, when turn() is called.
class FakeServer {
 public:
  FakeServer() : socket_(*io::UdpSocket::open({.bind_address = *IpAddress::parse("127.0.0.1")})) {}

  [[nodiscard]] auto name() const -> std::string { return to_string(socket_.local_endpoint()); }
  [[nodiscard]] auto descriptor() const -> int { return socket_.descriptor(); }

  void turn() {
    const auto datagrams = socket_.receive();
    ASSERT_TRUE(datagrams);
    for (const io::ReceivedDatagram& datagram : *datagrams) {
      const auto request = wire::decode_request(datagram.payload);
      ASSERT_TRUE(request);
      ++requests;
      last_from = datagram.source;
      if (is_silent) continue;
      const auto answer = answer_to(*request, datagram.payload);
      socket_.send(io::answer_to(datagram, answer.octets()));
    }
  }
  /// Says something unasked to whom it heard last.
  void send(std::span<const std::byte> payload) {
    socket_.send({.destination = last_from, .payload = payload});
  }

  wire::ResultCode result = wire::ResultCode::success;
  Port external{40000};
  std::uint32_t epoch_time_s = 1000;
  bool is_silent = false;
  int requests = 0;
  int deletions = 0;
  std::vector<Nonce> nonces;
  Endpoint last_from;

 private:
  auto answer_to(const wire::Request& request, std::span<const std::byte> octets) -> wire::Datagram {
    if (result != wire::ResultCode::success)
      return wire::encode_error(octets, result, Seconds{60}, epoch_time_s, true);
    wire::Response response;
    response.opcode = request.opcode;
    response.lifetime_s = request.requested_lifetime_s;
    response.epoch_time_s = epoch_time_s;
    if (const auto* map = std::get_if<wire::MapRequest>(&request.body)) {
      const bool deletes = request.requested_lifetime_s == 0;
      deletions += deletes ? 1 : 0;
      nonces.push_back(map->nonce);
      response.body =
          wire::MapResponse{.nonce = map->nonce,
                            .protocol = map->protocol,
                            .internal_port = map->internal_port,
                            .assigned_external_port = deletes ? Port{} : external,
                            .assigned_external_address =
                                deletes ? map->suggested_external_address : *IpAddress::parse("192.0.2.14")};
    } else if (const auto* peer = std::get_if<wire::PeerRequest>(&request.body)) {
      response.body = wire::PeerResponse{.nonce = peer->nonce,
                                         .protocol = peer->protocol,
                                         .internal_port = peer->internal_port,
                                         .assigned_external_port = external,
                                         .assigned_external_address = *IpAddress::parse("192.0.2.14"),
                                         .remote_peer_port = peer->remote_peer_port,
                                         .remote_peer_address = peer->remote_peer_address};
    }
    wire::Datagram datagram = wire::encode_response(response);
    for (const wire::Option& option : request.options) {
      if (option.code == wire::OptionCode::prefix64)
        EXPECT_TRUE(
            wire::append_option(datagram, wire::Prefix64{.prefix = *Prefix::parse("2001:db8:64::/96")}));
      else
        EXPECT_TRUE(wire::append_option(datagram, option.code, option.data));
    }
    return datagram;
  }

  io::UdpSocket socket_;
};

/// A client of one FakeServer, turned by hand.
class Library : public testing::Test {
 protected:
  Library() { make(); }
  void TearDown() override { portolan_client_free(client); }

  void make(std::uint32_t flags = 0) {
    const std::string name = server.name();
    const char* const text = name.c_str();
    portolan_options options = PORTOLAN_OPTIONS_INIT;
    options.flags = flags;
    options.servers = &text;
    options.server_count = 1;
    ASSERT_EQ(portolan_client_new(&options, &client), PORTOLAN_OK) << portolan_last_error();
  }

  static auto web() -> portolan_request {
    portolan_request request = PORTOLAN_REQUEST_INIT;
    request.protocol = IPPROTO_TCP;
    request.internal_port = 8080;
    return request;
  }

  auto map(const portolan_request& request) -> portolan_mapping* {
    portolan_mapping* mapping = nullptr;
    EXPECT_EQ(portolan_map(client, &request, &mapping), PORTOLAN_OK) << portolan_last_error();
    return mapping;
  }

  /// Lets client and server work until `is_done`.
  void until(const std::function<bool()>& is_done) {
    for (int turns = 0; !is_done(); ++turns) {
      ASSERT_LT(turns, 100);
      std::array<pollfd, 2> polled{{{.fd = portolan_fd(client), .events = POLLIN, .revents = 0},
                                    {.fd = server.descriptor(), .events = POLLIN, .revents = 0}}};
      ASSERT_GT(::poll(polled.data(), polled.size(), 20'000), 0) << "nothing happens any more";
      if (polled[0].revents != 0) portolan_process(client);
      if (polled[1].revents != 0) server.turn();
    }
  }
  void until_granted(portolan_mapping* mapping) {
    until([mapping] { return portolan_mapping_count(mapping) == 1; });
  }

  FakeServer server;
  portolan_client* client = nullptr;
};

auto text_of(const portolan_endpoint& endpoint) -> std::string {
  std::array<char, PORTOLAN_ENDPOINT_TEXT> text{};
  return portolan_endpoint_text(&endpoint, text.data());
}

struct Heard {
  std::vector<portolan_event_kind> kinds;
  std::vector<std::string> texts;
  static void call(const portolan_event* event) {
    auto* heard = static_cast<Heard*>(event->user);
    heard->kinds.push_back(event->kind);
    heard->texts.emplace_back(event->text);
  }
};

TEST_F(Library, a_mapping_is_told_to_its_callback_and_can_be_asked_for) {
  Heard heard;
  portolan_request request = web();
  request.callback = Heard::call;
  request.user = &heard;
  portolan_mapping* const mapping = map(request);
  until_granted(mapping);
  EXPECT_THAT(heard.kinds, ElementsAre(PORTOLAN_EVENT_GRANTED));
  EXPECT_THAT(heard.texts[0], StartsWith("tcp 127.0.0.1:8080 is reachable at 192.0.2.14:40000 for 7200 s"));
  portolan_info info = PORTOLAN_INFO_INIT;
  ASSERT_EQ(portolan_mapping_get(mapping, 0, &info), PORTOLAN_OK);
  EXPECT_EQ(text_of(info.external), "192.0.2.14:40000");
  EXPECT_EQ(text_of(info.internal), "127.0.0.1:8080");
  EXPECT_EQ(info.server, server.name());
  EXPECT_EQ(info.lifetime, 7200U);
  EXPECT_GT(info.remaining, 7100U);
  EXPECT_EQ(info.description, nullptr);
  EXPECT_EQ(portolan_mapping_get(mapping, 1, &info), PORTOLAN_NONE);
}

/// What an observer saw: "to" or "from" and the server, the first octets.
struct Seen {
  std::vector<std::string> datagrams;
  static void call(const portolan_datagram* datagram) {
    EXPECT_EQ(datagram->size, sizeof(portolan_datagram));
    EXPECT_THAT(text_of(datagram->local), StartsWith("127.0.0.1:"));
    EXPECT_THAT(text_of(datagram->local), Not(EndsWith(":0")));
    ASSERT_EQ(datagram->octet_count, 60U);
    static_cast<Seen*>(datagram->user)
        ->datagrams.push_back((datagram->is_sent != 0 ? "to " : "from ") + text_of(datagram->remote) + " " +
                              std::to_string(datagram->octets[0]) + " " +
                              std::to_string(datagram->octets[1]));
  }
};

TEST_F(Library, an_observer_sees_each_datagram) {
  Seen seen;
  portolan_client_free(client);
  client = nullptr;
  const std::string name = server.name();
  const char* const text = name.c_str();
  portolan_options options = PORTOLAN_OPTIONS_INIT;
  options.servers = &text;
  options.server_count = 1;
  options.observer = Seen::call;
  options.user = &seen;
  ASSERT_EQ(portolan_client_new(&options, &client), PORTOLAN_OK) << portolan_last_error();
  until_granted(map(web()));
  // Version 2, MAP, and the bit of an answer.
  EXPECT_THAT(seen.datagrams, ElementsAre("to " + name + " 2 1", "from " + name + " 2 129"));
}

TEST_F(Library, events_without_a_callback_wait_to_be_taken) {
  portolan_mapping* const mapping = map(web());
  until_granted(mapping);
  portolan_event event = PORTOLAN_EVENT_INIT;
  ASSERT_EQ(portolan_next_event(client, &event), PORTOLAN_OK);
  EXPECT_EQ(event.kind, PORTOLAN_EVENT_GRANTED);
  EXPECT_EQ(event.mapping, mapping);
  EXPECT_EQ(event.server, server.name());
  EXPECT_EQ(text_of(event.info.external), "192.0.2.14:40000");
  EXPECT_EQ(portolan_next_event(client, &event), PORTOLAN_NONE);
}

TEST_F(Library, a_refusal_tells_result_and_time) {
  server.result = wire::ResultCode::address_mismatch;
  static_cast<void>(map(web()));
  portolan_event event = PORTOLAN_EVENT_INIT;
  until([&] { return portolan_next_event(client, &event) == PORTOLAN_OK; });
  EXPECT_EQ(event.kind, PORTOLAN_EVENT_REFUSED);
  EXPECT_EQ(event.result, PORTOLAN_RESULT_ADDRESS_MISMATCH);
  EXPECT_EQ(event.retry_after, 60U);
  EXPECT_THAT(event.text, StartsWith("there is a NAT between you and the PCP server at 127.0.0.1"));
}

TEST_F(Library, an_update_unasked_for_moves_the_mapping) {
  portolan_mapping* const mapping = map(web());
  until_granted(mapping);
  wire::Response update;
  update.opcode = wire::Opcode::map;
  update.lifetime_s = 600;
  update.epoch_time_s = server.epoch_time_s;
  update.body = wire::MapResponse{.nonce = server.nonces.front(),
                                  .protocol = Protocol::tcp,
                                  .internal_port = Port{8080},
                                  .assigned_external_port = Port{50000},
                                  .assigned_external_address = *IpAddress::parse("192.0.2.15")};
  server.send(wire::encode_response(update).octets());
  portolan_event event = PORTOLAN_EVENT_INIT;
  ASSERT_EQ(portolan_next_event(client, &event), PORTOLAN_OK);
  until([&] { return portolan_next_event(client, &event) == PORTOLAN_OK; });
  EXPECT_EQ(event.kind, PORTOLAN_EVENT_CHANGED);
  EXPECT_EQ(text_of(event.previous), "192.0.2.14:40000");
  EXPECT_EQ(text_of(event.info.external), "192.0.2.15:50000");
}

TEST_F(Library, dropping_deletes_and_flushing_waits_for_it) {
  Heard heard;
  portolan_request request = web();
  request.callback = Heard::call;
  request.user = &heard;
  portolan_mapping* const mapping = map(request);
  until_granted(mapping);
  portolan_drop(mapping);
  std::atomic<bool> is_over = false;
  std::thread other([this, &is_over] {
    while (!is_over) {
      pollfd polled{.fd = server.descriptor(), .events = POLLIN, .revents = 0};
      if (::poll(&polled, 1, 50) > 0) server.turn();
    }
  });
  EXPECT_EQ(portolan_flush(client, 20'000), PORTOLAN_OK);
  is_over = true;
  other.join();
  EXPECT_EQ(server.deletions, 1);
  EXPECT_THAT(heard.kinds, ElementsAre(PORTOLAN_EVENT_GRANTED)) << "a dropped handle hears nothing more";
}

TEST_F(Library, releasing_tells_no_server) {
  portolan_mapping* const mapping = map(web());
  until_granted(mapping);
  const int before = server.requests;
  portolan_release(mapping);
  portolan_event event = PORTOLAN_EVENT_INIT;
  EXPECT_EQ(portolan_next_event(client, &event), PORTOLAN_NONE) << "its events went with it";
  EXPECT_EQ(portolan_flush(client, 0), PORTOLAN_OK);
  EXPECT_EQ(portolan_timeout_ms(client), -1) << "an idle client has nothing to wake up for";
  EXPECT_EQ(server.requests, before);
}

TEST_F(Library, a_callback_may_drop_its_own_mapping_and_make_another) {
  struct Context {
    portolan_client* client;
    portolan_mapping* next = nullptr;
  } context{client};
  portolan_request request = web();
  request.user = &context;
  request.callback = [](const portolan_event* event) {
    auto* made = static_cast<Context*>(event->user);
    portolan_drop(event->mapping);
    portolan_request other = PORTOLAN_REQUEST_INIT;
    other.protocol = IPPROTO_UDP;
    other.internal_port = 5060;
    EXPECT_EQ(portolan_map(made->client, &other, &made->next), PORTOLAN_OK);
    EXPECT_EQ(portolan_wait(made->next, 0, nullptr), PORTOLAN_INVALID) << "no waiting in callbacks";
  };
  static_cast<void>(map(request));
  until([&] { return context.next != nullptr && portolan_mapping_count(context.next) == 1; });
  until([&] { return server.deletions == 1; });
}

TEST_F(Library, what_was_saved_is_taken_up_with_its_nonce) {
  portolan_mapping* const mapping = map(web());
  until_granted(mapping);
  std::string state(portolan_mapping_save(mapping, nullptr, 0), '\0');
  EXPECT_EQ(portolan_mapping_save(mapping, state.data(), state.size() + 1), state.size());
  portolan_client_free(client);
  make();
  portolan_request request = web();
  request.state = state.c_str();
  portolan_mapping* const again = map(request);
  EXPECT_EQ(portolan_mapping_count(again), 1U) << "it lives";
  const int before = server.requests;
  until([&] { return server.requests > before; });
  EXPECT_EQ(server.nonces.back(), server.nonces.front());
}

TEST_F(Library, peer_is_asked_for_with_the_other_end) {
  portolan_request request = web();
  portolan_endpoint peer{};
  ASSERT_EQ(portolan_address_parse("198.51.100.20", &peer.address), PORTOLAN_OK);
  peer.port = 443;
  portolan_mapping* mapping = nullptr;
  ASSERT_EQ(portolan_peer(client, &request, &peer, &mapping), PORTOLAN_OK);
  until_granted(mapping);
  portolan_info info = PORTOLAN_INFO_INIT;
  ASSERT_EQ(portolan_mapping_get(mapping, 0, &info), PORTOLAN_OK);
  EXPECT_EQ(text_of(info.remote_peer), "198.51.100.20:443");
}

TEST_F(Library, options_arrive_and_come_back) {
  portolan_filter filter{};
  ASSERT_EQ(portolan_address_parse("198.51.100.0", &filter.address), PORTOLAN_OK);
  filter.prefix_length = 24;
  portolan_request request = web();
  request.filters = &filter;
  request.filter_count = 1;
  request.description = "web";
  request.port_count = 4;
  request.flags = PORTOLAN_NAT64_PREFIX;
  portolan_mapping* const mapping = map(request);
  until_granted(mapping);
  portolan_info info = PORTOLAN_INFO_INIT;
  ASSERT_EQ(portolan_mapping_get(mapping, 0, &info), PORTOLAN_OK);
  EXPECT_STREQ(info.description, "web");
  EXPECT_EQ(info.port_count, 4);
  EXPECT_EQ(info.flags, PORTOLAN_INFO_FILTERED);
  portolan_address prefix{};
  std::uint8_t length = 0;
  ASSERT_EQ(portolan_nat64_prefix(client, &prefix, &length), PORTOLAN_OK);
  std::array<char, PORTOLAN_ADDRESS_TEXT> text{};
  EXPECT_STREQ(portolan_address_text(&prefix, text.data()), "2001:db8:64::");
  EXPECT_EQ(length, 96);
}

TEST_F(Library, stop_ends_a_run_from_another_thread) {
  std::thread other([this] { portolan_stop(client); });
  EXPECT_EQ(portolan_run(client, -1), PORTOLAN_STOPPED);
  other.join();
  EXPECT_EQ(portolan_run(client, 0), PORTOLAN_TIMEOUT);
}

TEST_F(Library, waiting_ends_with_the_refusal_of_all) {
  server.result = wire::ResultCode::not_authorized;
  portolan_mapping* const mapping = map(web());
  EXPECT_EQ(portolan_wait(mapping, 0, nullptr), PORTOLAN_TIMEOUT);
  server.turn();
  EXPECT_EQ(portolan_wait(mapping, 20'000, nullptr), PORTOLAN_REFUSED);
}

TEST_F(Library, other_servers_may_be_named_at_any_time) {
  portolan_mapping* const mapping = map(web());
  until_granted(mapping);
  EXPECT_EQ(portolan_use_servers(client, nullptr, 1), PORTOLAN_INVALID);
  const std::array<const char*, 1> wrong{"nowhere"};
  EXPECT_EQ(portolan_use_servers(client, wrong.data(), 1), PORTOLAN_INVALID);
  EXPECT_THAT(portolan_last_error(), HasSubstr("nowhere"));
  EXPECT_EQ(portolan_mapping_count(mapping), 1U) << "a mistake changes nothing";
  FakeServer second;
  const std::string name = second.name();
  const std::array<const char*, 1> servers{name.c_str()};
  ASSERT_EQ(portolan_use_servers(client, servers.data(), 1), PORTOLAN_OK);
  EXPECT_EQ(portolan_mapping_count(mapping), 0U);
  until([&] { return server.deletions == 1; });
}

TEST_F(Library, a_refusal_counts_while_its_server_is_asked) {
  server.result = wire::ResultCode::not_authorized;
  portolan_mapping* const mapping = map(web());
  server.turn();
  EXPECT_EQ(portolan_wait(mapping, 20'000, nullptr), PORTOLAN_REFUSED);
  FakeServer second;
  const std::string name = second.name();
  const std::array<const char*, 1> servers{name.c_str()};
  ASSERT_EQ(portolan_use_servers(client, servers.data(), 1), PORTOLAN_OK);
  EXPECT_EQ(portolan_wait(mapping, 0, nullptr), PORTOLAN_TIMEOUT) << "the second one has not answered yet";
  second.turn();
  EXPECT_EQ(portolan_wait(mapping, 20'000, nullptr), PORTOLAN_OK);
}

TEST_F(Library, waiting_in_vain_says_what_is_missing) {
  portolan_request request = web();
  ASSERT_EQ(portolan_address_parse("192.0.2.99", &request.client_address), PORTOLAN_OK);
  EXPECT_EQ(portolan_wait(map(request), 0, nullptr), PORTOLAN_TIMEOUT);
  EXPECT_THAT(portolan_last_error(),
              HasSubstr("can be asked from 192.0.2.99: this host does not have that address"));
  ASSERT_EQ(portolan_address_parse("127.0.0.1", &request.client_address), PORTOLAN_OK);
  portolan_mapping* const mapping = map(request);
  EXPECT_EQ(portolan_wait(mapping, 0, nullptr), PORTOLAN_TIMEOUT);
  EXPECT_THAT(portolan_last_error(), HasSubstr("it has not happened in time"));
  until_granted(mapping);
  request = web();
  request.server = "203.0.113.1";
  EXPECT_EQ(portolan_wait(map(request), 0, nullptr), PORTOLAN_TIMEOUT);
  EXPECT_THAT(portolan_last_error(), HasSubstr("no PCP server that is known here suits the request"));
  const std::array<const char*, 1> servers{"fe80::1%nowhere"};
  ASSERT_EQ(portolan_use_servers(client, servers.data(), 1), PORTOLAN_OK);
  EXPECT_EQ(portolan_wait(mapping, 0, nullptr), PORTOLAN_TIMEOUT);
  EXPECT_THAT(portolan_last_error(),
              HasSubstr("no PCP server is known here: connect this host to a network"));
}

TEST_F(Library, mistakes_are_named) {
  portolan_mapping* mapping = nullptr;
  portolan_request request = web();
  EXPECT_EQ(portolan_map(nullptr, &request, &mapping), PORTOLAN_INVALID);
  EXPECT_EQ(portolan_map(client, nullptr, &mapping), PORTOLAN_INVALID);
  EXPECT_EQ(portolan_map(client, &request, nullptr), PORTOLAN_INVALID);
  EXPECT_EQ(portolan_peer(client, &request, nullptr, &mapping), PORTOLAN_INVALID);
  const auto refused = [&](const std::function<void(portolan_request&)>& change, const char* words) {
    portolan_request bad = web();
    change(bad);
    EXPECT_EQ(portolan_map(client, &bad, &mapping), PORTOLAN_INVALID);
    EXPECT_THAT(portolan_last_error(), HasSubstr(words));
  };
  refused([](auto& bad) { bad.size = 0; }, "PORTOLAN_..._INIT");
  refused([](auto& bad) { bad.flags = 1U << 31U; }, "flags");
  refused([](auto& bad) { bad.protocol = 0; }, "port 0");
  refused([](auto& bad) { bad.filter_count = 1; }, "filters");
  refused([](auto& bad) { bad.description = "\xff"; }, "UTF-8");
  refused([](auto& bad) { bad.state = "rubbish"; }, "line 1");
  refused([](auto& bad) { bad.flags = PORTOLAN_PREFER_FAILURE; }, "suggest one");
  portolan_filter filter{};
  refused(
      [&filter](auto& bad) {
        bad.filters = &filter;
        bad.filter_count = 1;
      },
      "prefix_length 0");
  EXPECT_EQ(mapping, nullptr);
  portolan_options options = PORTOLAN_OPTIONS_INIT;
  portolan_client* other = nullptr;
  options.flags = PORTOLAN_ONLY_PCP | PORTOLAN_ONLY_NAT_PMP;
  EXPECT_EQ(portolan_client_new(&options, &other), PORTOLAN_INVALID);
  EXPECT_EQ(portolan_client_new(nullptr, nullptr), PORTOLAN_INVALID);
  portolan_address address{};
  EXPECT_EQ(portolan_address_parse("192.0.2", &address), PORTOLAN_INVALID);
  portolan_drop(nullptr);
  portolan_release(nullptr);
  portolan_client_free(nullptr);
}

TEST_F(Library, structures_of_other_versions_are_understood) {
  // An older program knows fewer members: here all behind internal_port.
  struct {
    portolan_request known = PORTOLAN_REQUEST_INIT;
    std::array<unsigned char, 16> later{};
  } request;
  request.known = web();
  request.known.external_port = 9;
  request.known.size = offsetof(portolan_request, external_port);
  static_cast<void>(map(request.known));
  // A newer one knows more, and asks for none of it.
  request.known = web();
  request.known.internal_port = 8081;
  request.known.size = sizeof request;
  static_cast<void>(map(request.known));
  // Or for something.
  request.later[3] = 1;
  portolan_mapping* mapping = nullptr;
  EXPECT_EQ(portolan_map(client, &request.known, &mapping), PORTOLAN_INVALID);
  EXPECT_THAT(portolan_last_error(), HasSubstr("later libportolan"));
  // What is handed out ends where the program's structure does.
  portolan_mapping* const third = map(web());
  until_granted(third);
  portolan_info info = PORTOLAN_INFO_INIT;
  info.port_count = 77;
  info.size = offsetof(portolan_info, port_count);
  ASSERT_EQ(portolan_mapping_get(third, 0, &info), PORTOLAN_OK);
  EXPECT_EQ(info.lifetime, 7200U);
  EXPECT_EQ(info.port_count, 77);
}

TEST_F(Library, a_silent_server_is_told_of) {
  server.is_silent = true;
  static_cast<void>(map(web()));
  portolan_event event = PORTOLAN_EVENT_INIT;
  until([&] { return portolan_next_event(client, &event) == PORTOLAN_OK; });
  EXPECT_EQ(event.kind, PORTOLAN_EVENT_SILENT);
  EXPECT_EQ(event.transmissions, 1U);
}

}  // namespace
}  // namespace portolan
