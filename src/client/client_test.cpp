// SPDX-License-Identifier: BSD-2-Clause
//
// The client with several servers and addresses (RFC 7488), and with addresses that change.
#include "client/client.h"

#include <map>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/test_world.h"

namespace portolan::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

auto path(std::string_view server, std::string_view client) -> Path {
  Path path;
  path.server = {*IpAddress::parse(server), Port{5351}};
  path.client_address = *IpAddress::parse(client);
  return path;
}

const std::string router = "2001:db8:112::1";
const std::string other_router = "2001:db8:112::9";
const std::string host = "2001:db8:112::2";
const std::string new_host = "2001:db8:112::3";

/// A client among servers that grant whatever they are asked for, unless they are silent.
class Network {
 public:
  Network() : client({}, random_) {}

  void run(Nanoseconds duration) {
    const TimePoint end = now + duration;
    carry_out();
    for (int turns = 0; now < end; ++turns) {
      ASSERT_LT(turns, 20000) << "the client does not come to rest";
      now = std::max(now, std::min(client.next_deadline().value_or(end), end));
      client.advance(now);
      carry_out();
    }
  }

  [[nodiscard]] auto externals(WishId id) const -> std::vector<std::string> {
    std::vector<std::string> all;
    for (const Held& held : client.held(id))
      all.push_back(
          fmt::format("{}: {} for {}", held.server, held.mapping.external, held.mapping.internal.address));
    return all;
  }
  [[nodiscard]] auto count(std::string_view text) const -> std::ptrdiff_t {
    return std::ranges::count_if(lines, [text](const std::string& line) { return line.starts_with(text); });
  }

 private:
  SeededRandom random_{7};

 public:
  TimePoint now{1h};
  Client client;
  std::set<IpAddress> silent;
  std::vector<std::string> lines;
  std::map<IpAddress, std::set<Nonce>> nonces;

 private:
  void carry_out() {
    while (true) {
      const auto broken = client.broken_invariant();
      ASSERT_FALSE(broken) << *broken;
      ClientActions actions = client.take_actions();
      if (actions.send.empty() && actions.events.empty()) return;
      for (const ClientEvent& event : actions.events) note(event);
      for (const ClientSend& send : actions.send) serve(send);
    }
  }

  void serve(const ClientSend& send) {
    const auto request = wire::decode_request(send.datagram.octets());
    ASSERT_TRUE(request);
    ASSERT_EQ(request->client_address, send.path.client_address);
    const auto& map = std::get<wire::MapRequest>(request->body);
    lines.push_back(fmt::format("{} > {} for {} s", send.path.client_address, send.path.server.address,
                                request->requested_lifetime_s));
    if (silent.contains(send.path.server.address)) return;
    nonces[send.path.server.address].insert(map.nonce);
    const bool deletes = request->requested_lifetime_s == 0;
    wire::Response response;
    response.opcode = wire::Opcode::map;
    response.lifetime_s = request->requested_lifetime_s;
    response.epoch_time_s =
        static_cast<std::uint32_t>(std::chrono::floor<Seconds>(now.time_since_epoch()).count());
    // A server's external address tells which it is.
    const Ipv4Address external{0xc0000200U + send.path.server.address.bits().octets[15]};
    response.body = wire::MapResponse{
        .nonce = map.nonce,
        .protocol = map.protocol,
        .internal_port = map.internal_port,
        .assigned_external_port = deletes ? Port{} : Port{40000},
        .assigned_external_address = deletes ? map.suggested_external_address : IpAddress{external}};
    client.receive(now, send.path.client_address, 0, send.path.server,
                   wire::encode_response(response).octets());
  }

  void note(const ClientEvent& event) {
    std::string_view what = "other";
    if (std::holds_alternative<Granted>(event.event)) what = "granted";
    if (std::holds_alternative<Deleted>(event.event)) what = "deleted";
    if (const auto* lost = std::get_if<Lost>(&event.event)) {
      what = lost->reason == Lost::Reason::address_changed ? "lost, address changed"
             : lost->reason == Lost::Reason::server_gone   ? "lost, server gone"
                                                           : "lost";
    }
    if (std::holds_alternative<Renewed>(event.event)) what = "renewed";
    if (std::holds_alternative<Retransmitted>(event.event)) return;
    lines.push_back(fmt::format("{}: {}", event.server, what));
  }
};

auto wish() -> ClientWish { return {.wish = web_wish(), .client_address = {}, .server = {}}; }

TEST(Client, asks_every_server_each_with_a_nonce_of_its_own) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}},
                                           {.name = "b", .paths = {path(other_router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(1s);
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::2",
                                                 "b: 192.0.2.9:40000 for 2001:db8:112::2"));
  EXPECT_NE(*network.nonces.begin()->second.begin(), *network.nonces.rbegin()->second.begin());
}

TEST(Client, asks_servers_that_come_later) {
  Network network;
  const WishId id = network.client.add(network.now, wish());
  network.run(10s);
  EXPECT_THAT(network.lines, IsEmpty());
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  network.run(1s);
  EXPECT_THAT(network.externals(id), SizeIs(1));
}

TEST(Client, tries_the_next_address_after_four_requests_with_the_same_nonce) {
  Network network;
  network.silent = {*IpAddress::parse(router)};
  network.client.set_servers(network.now,
                             {{.name = "a", .paths = {path(router, host), path(other_router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(60s);
  EXPECT_EQ(network.count("2001:db8:112::2 > 2001:db8:112::1"), 4);
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.9:40000 for 2001:db8:112::2"));
  // Back to the first address when the second one is gone: the mapping lives on meanwhile.
  network.silent = {*IpAddress::parse(other_router)};
  network.run(120s);
  EXPECT_EQ(network.count("a: lost"), 0);
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::2"));
  EXPECT_EQ(network.nonces[*IpAddress::parse(router)], network.nonces[*IpAddress::parse(other_router)]);
}

TEST(Client, tries_all_addresses_again_after_a_quarter_of_an_hour) {
  Network network;
  network.silent = {*IpAddress::parse(router), *IpAddress::parse(other_router)};
  network.client.set_servers(network.now,
                             {{.name = "a", .paths = {path(router, host), path(other_router, host)}}});
  network.client.add(network.now, wish());
  network.run(200s);
  EXPECT_THAT(network.lines, SizeIs(8 + 2)) << "four each, and two lines of unresponsiveness";
  network.run(600s);
  EXPECT_THAT(network.lines, SizeIs(8 + 2));
  network.silent.clear();
  network.run(300s);
  EXPECT_EQ(network.count("a: granted"), 1);
}

TEST(Client, a_single_address_is_asked_on_and_on) {
  Network network;
  network.silent = {*IpAddress::parse(router)};
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  network.client.add(network.now, wish());
  network.run(1000s);
  EXPECT_GE(network.lines.size(), 8U);
}

TEST(Client, a_hard_icmp_error_leads_to_the_next_address_at_once) {
  Network network;
  network.silent = {*IpAddress::parse(router)};
  const Path first = path(router, host);
  network.client.set_servers(network.now, {{.name = "a", .paths = {first, path(other_router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(0s);
  network.client.unreachable(network.now, first);
  network.run(1s);
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.9:40000 for 2001:db8:112::2"));
}

/// A router whose server starts later than its hosts.
TEST(Client, a_server_that_announces_itself_is_asked_there_again) {
  wire::Response announcement;
  announcement.body = wire::Announce{};
  const wire::Datagram announced = wire::encode_response(announcement);
  for (const Nanoseconds wait : {Nanoseconds{1s}, Nanoseconds{300s}}) {
    Network network;
    network.silent = {*IpAddress::parse(router), *IpAddress::parse(other_router)};
    const Path first = path(router, host);
    network.client.set_servers(network.now, {{.name = "a", .paths = {first, path(other_router, host)}}});
    const WishId id = network.client.add(network.now, wish());
    network.run(0s);
    network.client.unreachable(network.now, first);
    // At the other address, or waiting because nobody answered at any.
    network.run(wait);
    EXPECT_THAT(network.externals(id), IsEmpty());
    network.silent.clear();
    EXPECT_EQ(network.client.receive(network.now, {}, 0, first.server, announced.octets()),
              Reception::accepted);
    network.run(Engine::recovery_delay_max);
    EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::2"));
  }
}

TEST(Client, an_announcement_at_another_address_changes_nothing_that_works) {
  wire::Response announcement;
  announcement.body = wire::Announce{};
  Network network;
  const Path other = path(other_router, host);
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host), other}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(1s);
  EXPECT_EQ(
      network.client.receive(network.now, {}, 0, other.server, wire::encode_response(announcement).octets()),
      Reception::not_from_server);
  network.run(10s);
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::2"));
}

TEST(Client, a_changed_address_moves_the_mapping_and_deletes_the_old_one) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(1s);
  network.lines.clear();
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, new_host)}}});
  network.run(1s);
  EXPECT_THAT(network.lines,
              ElementsAre("a: lost, address changed", "2001:db8:112::2 > 2001:db8:112::1 for 0 s",
                          "2001:db8:112::3 > 2001:db8:112::1 for 120 s", "a: granted"));
  EXPECT_THAT(network.externals(id), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::3"));
  EXPECT_THAT(network.client.paths(), SizeIs(1)) << "nothing is left to delete";
}

TEST(Client, deletions_from_a_lost_address_are_given_up) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  network.client.add(network.now, wish());
  network.run(1s);
  network.silent = {*IpAddress::parse(router)};
  network.client.set_servers(network.now, {});
  network.run(1s);
  EXPECT_EQ(network.count("a: lost, server gone"), 1);
  EXPECT_THAT(network.client.paths(), SizeIs(1));
  network.run(Client::leaving_time);
  EXPECT_THAT(network.client.paths(), IsEmpty());
  EXPECT_FALSE(network.client.next_deadline());
}

TEST(Client, an_address_that_lives_longer_or_shorter_moves_nothing) {
  Network network;
  Path way = path(router, host);
  way.address_valid_until = network.now + 60s;
  network.client.set_servers(network.now, {{.name = "a", .paths = {way}}});
  network.client.add(network.now, wish());
  network.run(1s);
  EXPECT_EQ(network.lines.front(), "2001:db8:112::2 > 2001:db8:112::1 for 60 s");
  way.address_valid_until.reset();
  network.client.set_servers(network.now, {{.name = "a", .paths = {way}}});
  network.run(50s);
  EXPECT_EQ(network.count("2001:db8:112::2 > 2001:db8:112::1 for 120 s"), 1) << "the renewal";
  EXPECT_EQ(network.count("a: lost"), 0);
}

TEST(Client, a_wish_is_asked_only_of_servers_that_it_is_asked_of_now) {
  Network network;
  const WishId id = network.client.add(network.now, wish());
  EXPECT_FALSE(network.client.is_asked_only_of(id, {"a"})) << "there is no server";
  const Server first{.name = "a", .paths = {path(router, host)}};
  const Server second{.name = "b", .paths = {path(other_router, host)}};
  network.client.set_servers(network.now, {first, second});
  EXPECT_FALSE(network.client.is_asked_only_of(id, {"a"}));
  EXPECT_TRUE(network.client.is_asked_only_of(id, {"a", "b"}));
  network.client.set_servers(network.now, {second});
  EXPECT_FALSE(network.client.is_asked_only_of(id, {"a"}));
  EXPECT_TRUE(network.client.is_asked_only_of(id, {"b"}));
}

TEST(Client, what_an_earlier_run_held_is_asked_for_with_its_nonce) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(1s);
  const auto held = network.client.held(id);
  Network next;
  next.client.set_servers(next.now, {{.name = "a", .paths = {path(router, host)}}});
  next.silent = {*IpAddress::parse(router)};
  const WishId again = next.client.add(next.now, wish(), held);
  next.run(1s);
  EXPECT_EQ(next.externals(again), network.externals(id)) << "held until it expires";
  next.silent.clear();
  next.run(10s);
  EXPECT_EQ(next.count("a: renewed"), 1);
  EXPECT_EQ(next.nonces, network.nonces);
}

TEST(Client, a_nonce_of_an_earlier_run_is_asked_with_though_nothing_was_granted) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  network.silent = {*IpAddress::parse(router)};
  const WishId id = network.client.add(network.now, wish());
  const Nonces nonces = network.client.nonces(id);
  ASSERT_THAT(nonces, SizeIs(1)) << "before anything is sent";
  Network next;
  const WishId again = next.client.add(next.now, wish(), {}, nonces);
  EXPECT_EQ(next.client.nonces(again), nonces);
  next.client.set_servers(next.now, {{.name = "a", .paths = {path(router, host)}}});
  next.run(1s);
  EXPECT_EQ(next.nonces[*IpAddress::parse(router)], std::set<Nonce>{nonces.at("a")});
}

TEST(Client, nonces_of_servers_long_left_make_room) {
  Network network;
  const WishId id = network.client.add(network.now, wish());
  for (std::size_t i = 1; i <= Client::nonces_max + 1; ++i) {
    network.client.set_servers(network.now, {{.name = fmt::format("{}", i), .paths = {path(router, host)}}});
    EXPECT_EQ(network.client.nonces(id).size(), i <= Client::nonces_max ? i : 1) << i;
    network.run(1s);
  }
}

TEST(Client, a_wish_is_gone_when_its_mappings_are) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}}});
  const WishId id = network.client.add(network.now, wish());
  network.run(1s);
  network.client.remove(network.now, id);
  EXPECT_TRUE(network.client.is_known(id));
  network.run(1s);
  EXPECT_FALSE(network.client.is_known(id));
  EXPECT_EQ(network.count("a: deleted"), 1);
  EXPECT_TRUE(network.client.is_idle());
}

TEST(Client, asks_only_whom_the_wish_suits) {
  Network network;
  network.client.set_servers(network.now, {{.name = "four", .paths = {path("192.0.2.1", "192.0.2.77")}},
                                           {.name = "six", .paths = {path(router, host)}}});
  ClientWish six = wish();
  six.wish.suggested_external_address = IpAddress{};
  ClientWish named = wish();
  named.server = "four";
  ClientWish from = wish();
  from.client_address = *IpAddress::parse(host);
  ClientWish by_family = wish();
  by_family.client_family = Family::ipv4;
  ClientWish peer = wish();
  peer.wish.remote_peer = Endpoint{*IpAddress::parse("198.51.100.1"), Port{443}};
  ClientWish filtered = wish();
  filtered.wish.filters = {{.remote_peers = *Prefix::parse("2001:db8:64::/96"), .remote_port = Port{0}}};
  const std::vector<std::pair<ClientWish, std::string>> cases = {
      {six, "six"}, {named, "four"}, {by_family, "four"}, {from, "six"}, {filtered, "six"}};
  for (const auto& [asked, server] : cases) {
    const WishId id = network.client.add(network.now, asked);
    network.run(1s);
    const auto held = network.client.held(id);
    ASSERT_THAT(held, SizeIs(1)) << server;
    EXPECT_EQ(held[0].server, server);
  }
}

TEST(Client, nonces_may_be_made_by_whoever_wishes) {
  Network network;
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, host)}},
                                           {.name = "four", .paths = {path("192.0.2.1", "192.0.2.77")}}});
  ClientWish made = wish();
  made.nonce_for = [](const std::string& server, const IpAddress& client_address) {
    Nonce nonce;
    nonce.octets[0] = std::byte{static_cast<unsigned char>(server.front())};
    nonce.octets[1] = std::byte{client_address.bits().octets[15]};
    return nonce;
  };
  const WishId id = network.client.add(network.now, made);
  network.run(1s);
  const auto nonce = [&made](const std::string& server, const std::string& client_address) {
    return made.nonce_for(server, *IpAddress::parse(client_address));
  };
  EXPECT_EQ(network.client.nonces(id),
            (Nonces{{"a", nonce("a", host)}, {"four", nonce("four", "192.0.2.77")}}));
  EXPECT_THAT(network.client.held(id), SizeIs(2));
  network.client.set_servers(network.now, {{.name = "a", .paths = {path(router, "2001:db8::9")}}});
  network.run(1s);
  EXPECT_EQ(network.client.nonces(id).at("a"), nonce("a", "2001:db8::9")) << "of another address another one";
}

TEST(Client, a_wish_that_names_an_address_is_asked_from_it_whatever_the_kernel_chooses) {
  Network network;
  const Path chosen = path(router, host);
  const Path other = path(router, new_host);
  network.client.set_servers(network.now, {{.name = "a", .paths = {chosen}, .other_paths = {other}}});
  ClientWish from = wish();
  from.client_address = *IpAddress::parse(new_host);
  const WishId named = network.client.add(network.now, from);
  const WishId any = network.client.add(network.now, wish());
  network.run(1s);
  const auto at_new_host = ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::3");
  EXPECT_THAT(network.externals(named), at_new_host);
  EXPECT_THAT(network.externals(any), ElementsAre("a: 192.0.2.1:40000 for 2001:db8:112::2"));
  // The kernel chooses the other one: the wish that names it does not notice.
  network.lines.clear();
  network.client.set_servers(network.now, {{.name = "a", .paths = {other}, .other_paths = {chosen}}});
  network.run(1s);
  EXPECT_THAT(network.externals(named), at_new_host);
  EXPECT_THAT(network.externals(any), at_new_host);
  EXPECT_EQ(network.count("a: lost, address changed"), 1);
  EXPECT_EQ(network.count("a: granted"), 1);
  // The address goes, and comes back.
  network.client.set_servers(network.now, {{.name = "a", .paths = {chosen}}});
  network.run(1s);
  EXPECT_FALSE(network.client.has_path_from(*from.client_address));
  EXPECT_EQ(network.client.servers_asked(named), 0U);
  EXPECT_THAT(network.externals(named), IsEmpty());
  network.client.set_servers(network.now, {{.name = "a", .paths = {chosen}, .other_paths = {other}}});
  network.run(1s);
  EXPECT_THAT(network.externals(named), at_new_host);
  EXPECT_TRUE(network.client.is_asked_only_of(named, {"a"}));
  network.client.remove(network.now, named);
  network.run(1s);
  EXPECT_THAT(network.client.paths(), SizeIs(1)) << "nobody names the address any more";
}

TEST(Client, what_is_held_at_an_address_that_is_named_is_taken_up_when_it_comes) {
  Network network;
  network.client.set_servers(
      network.now, {{.name = "a", .paths = {path(router, host)}, .other_paths = {path(router, new_host)}}});
  ClientWish from = wish();
  from.client_address = *IpAddress::parse(new_host);
  const WishId id = network.client.add(network.now, from);
  network.run(1s);
  const auto held = network.client.held(id);
  Network next;
  next.silent = {*IpAddress::parse(router), *IpAddress::parse(other_router)};
  const std::vector<Path> paths{path(router, host), path(other_router, host)};
  next.client.set_servers(next.now, {{.name = "a", .paths = paths}});
  const WishId again = next.client.add(next.now, from, held);
  next.client.add(next.now, wish());
  // It expires meanwhile, and the other wish finds nobody at either address.
  next.run(300s);
  EXPECT_EQ(next.count("a: lost"), 0);
  next.silent.clear();
  next.client.set_servers(next.now, {{.name = "a", .paths = paths, .other_paths = {path(router, new_host)}}});
  next.run(10s);
  EXPECT_EQ(next.externals(again), network.externals(id));
  EXPECT_EQ(next.nonces, network.nonces);
}

TEST(Client, paths_from_other_addresses_beyond_the_limit_are_not_used) {
  for (const std::size_t count : {other_paths_max - 1, other_paths_max, other_paths_max + 1}) {
    Network network;
    const auto address = [](std::size_t number) { return fmt::format("2001:db8:113::{:x}", number); };
    Server server{.name = "a", .paths = {path(router, host)}};
    for (std::size_t i = 1; i <= count; ++i) server.other_paths.push_back(path(router, address(i)));
    network.client.set_servers(network.now, {server});
    EXPECT_EQ(network.client.has_path_from(*IpAddress::parse(address(count))), count <= other_paths_max);
  }
}

TEST(Client, servers_beyond_the_limit_are_not_asked) {
  for (const std::size_t count : {servers_max - 1, servers_max, servers_max + 1}) {
    Network network;
    std::vector<Server> servers;
    servers.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
      servers.push_back({.name = std::to_string(i), .paths = {path(router, host)}});
    network.client.set_servers(network.now, servers);
    EXPECT_THAT(network.client.paths(), SizeIs(std::min(count, servers_max)));
  }
}

}  // namespace
}  // namespace portolan::client
