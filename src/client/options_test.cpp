// SPDX-License-Identifier: BSD-2-Clause
//
// PEER and the options of MAP and PEER: what the engine asks for, and what it takes for an answer.
#include "wire/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/engine.h"
#include "client/test_world.h"
#include "wire/test_octets.h"

namespace portolan::client {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using wire::ResultCode;

auto call_wish() -> Wish {
  Wish wish;
  wish.protocol = Protocol::tcp;
  wish.internal_port = Port{50000};
  wish.remote_peer = Endpoint{*IpAddress::parse("2001:db8:64::c633:6414"), Port{443}};
  wish.lifetime = Seconds{120};
  return wish;
}

const std::string peer_line = "PEER tcp 50000 to [2001:db8:64::c633:6414]:443 -> 0.0.0.0:0 for 120 s";

TEST(Peer, is_asked_for_granted_and_renewed) {
  World world;
  world.script = {granted(), granted()};
  const Handle handle = world.engine.map(world.now(), call_wish());
  world.run(80s);
  EXPECT_THAT(world.story(),
              ElementsAre(peer_line, granted_line,
                          "PEER tcp 50000 to [2001:db8:64::c633:6414]:443 -> 192.0.2.14:40000 for 120 s",
                          renewed_line));
  EXPECT_EQ(world.engine.mapping(handle)->remote_peer, call_wish().remote_peer);
}

TEST(Peer, is_no_longer_renewed_when_removed) {
  World world;
  world.script = {granted()};
  const Handle handle = world.engine.map(world.now(), call_wish());
  world.run(20s);
  world.engine.remove(world.now(), handle);
  world.run(200s);
  EXPECT_THAT(world.story(), ElementsAre(peer_line, granted_line, "deleted, 101 s remaining"));
}

/// RFC 6887 s12.1: what is suggested is granted or refused, also if it was assigned before.
TEST(Peer, what_was_assigned_is_not_suggested_for_ever) {
  World world;
  world.script = {granted(), refused(ResultCode::cannot_provide_external, 1800), granted(120, 40007)};
  world.engine.map(world.now(), call_wish());
  world.run(80s);
  EXPECT_THAT(world.story(),
              ElementsAre(peer_line, granted_line,
                          "PEER tcp 50000 to [2001:db8:64::c633:6414]:443 -> 192.0.2.14:40000 for 120 s",
                          "refused CANNOT_PROVIDE_EXTERNAL for 1800 s", "lost 192.0.2.14:40000, withdrawn",
                          peer_line, "granted 192.0.2.14:40007 for 120 s"));
}

TEST(Peer, what_is_wished_for_and_refused_is_waited_for) {
  World world;
  Wish wish = call_wish();
  wish.suggested_external_port = Port{50000};
  world.script = {refused(ResultCode::cannot_provide_external, 60), granted(120, 50000)};
  world.engine.map(world.now(), wish);
  world.run(59s);
  EXPECT_THAT(world.story(), SizeIs(2));
  world.run(10s);
  EXPECT_THAT(world.story(), SizeIs(4));
}

TEST(Peer, another_peers_answer_is_none) {
  for (const std::size_t octet : {std::size_t{61}, std::size_t{79}}) {
    World world;
    Answer answer = granted();
    answer.corrupt = [octet](auto& octets) { octets[octet] ^= std::byte{1}; };
    world.script = {answer};
    world.engine.map(world.now(), call_wish());
    world.run(1s);
    EXPECT_EQ(world.story().back(), "ignored: it answers nothing that was asked") << octet;
  }
}

TEST(Peer, a_map_answer_with_its_nonce_is_none) {
  World world;
  Wish map = web_wish();
  map.nonce = Nonce{};
  world.script = {granted()};
  world.engine.map(world.now(), map);
  world.run(1s);
  const auto answer = world.update(granted());
  World other;
  Wish peer = call_wish();
  peer.internal_port = map.internal_port;
  peer.nonce = Nonce{};
  other.engine.map(other.now(), peer);
  other.run(1s);
  EXPECT_EQ(other.deliver(answer), Reception::of_no_request);
}

TEST(Options, third_party_goes_first_and_is_matched) {
  World world;
  Wish wish = web_wish();
  wish.nonce = Nonce{};
  wish.third_party = *IpAddress::parse("2001:db8:112::99");
  world.script = {granted()};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(wire::hex(std::span(world.last_map_request).subspan(60)),
            "0100001020010db8011200000000000000000099");
  EXPECT_EQ(to_string(world.engine.mapping(handle)->internal), "[2001:db8:112::99]:8080");
}

TEST(Options, an_answer_without_the_third_party_maps_somebody_else) {
  World world;
  Wish wish = web_wish();
  wish.third_party = *IpAddress::parse("2001:db8:112::99");
  Answer answer = granted();
  answer.echoes_options = false;
  world.script = {answer};
  world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(world.story().back(), "ignored: it answers nothing that was asked");
}

TEST(Options, the_clients_own_address_is_no_third_party) {
  World world;
  Wish wish = web_wish();
  wish.third_party = World::default_config().client_address;
  world.script = {granted()};
  world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_THAT(world.last_map_request, SizeIs(60));
  EXPECT_EQ(world.story().back(), granted_line);
}

TEST(Options, filters_follow_the_order_to_forget_all_others) {
  World world;
  Wish wish = web_wish();
  wish.filters = {{.remote_peers = *Prefix::parse("2001:db8:64::c633:6400/120"), .remote_port = Port{0}},
                  {.remote_peers = *Prefix::parse("2001:db8:64::c000:201/128"), .remote_port = Port{5060}}};
  world.script = {granted()};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(wire::hex(std::span(world.last_map_request).subspan(60)),
            "03000014"
            "0000000000000000000000000000000000000000"
            "03000014"
            "0078000020010db80064000000000000c6336400"
            "03000014"
            "008013c420010db80064000000000000c0000201");
  EXPECT_TRUE(world.engine.mapping(handle)->is_filtered);
}

TEST(Options, a_server_that_passes_over_filters_is_found_out) {
  World world;
  Wish wish = web_wish();
  wish.filters = {{.remote_peers = *Prefix::parse("2001:db8:64::/96"), .remote_port = Port{0}}};
  Answer answer = granted();
  answer.echoes_options = false;
  world.script = {answer};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_FALSE(world.engine.mapping(handle)->is_filtered);
}

TEST(Options, a_port_set_is_renewed_as_it_was_granted_and_deleted_as_one) {
  World world;
  Wish wish = web_wish();
  wish.port_count = 100;
  wish.keeps_parity = true;
  Answer answer = granted();
  answer.echoes_options = false;
  answer.add_options = [](wire::Datagram& datagram) {
    PORTOLAN_CHECK(wire::append_option(
        datagram, wire::PortSet{.size = 32, .first_internal_port = Port{8080}, .parity = true}));
  };
  world.script = {answer, answer};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(wire::hex(std::span(world.last_map_request).subspan(60)),
            "820000050064"
            "1f90"
            "01000000");
  EXPECT_EQ(world.engine.mapping(handle)->port_count, 32);
  world.run(80s);
  EXPECT_EQ(wire::hex(std::span(world.last_map_request).subspan(60)),
            "820000050020"
            "1f90"
            "01000000");
  world.engine.remove(world.now(), handle);
  world.run(0s);
  EXPECT_THAT(world.last_map_request, SizeIs(60 + 12)) << "PORT_SET, whatever the size (RFC 7753 s4.4)";
}

TEST(Options, a_single_port_where_many_were_asked_for_is_one) {
  World world;
  Wish wish = web_wish();
  wish.port_count = 100;
  Answer answer = granted();
  answer.echoes_options = false;
  world.script = {answer};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(world.engine.mapping(handle)->port_count, 1);
}

TEST(Options, an_update_of_a_port_set_moves_all_of_it_and_is_verified) {
  World world;
  Wish wish = web_wish();
  wish.port_count = 2;
  Answer answer = granted();
  answer.echoes_options = false;
  answer.add_options = [](wire::Datagram& datagram) {
    PORTOLAN_CHECK(
        wire::append_option(datagram, wire::PortSet{.size = 2, .first_internal_port = Port{8080}}));
  };
  world.script = {answer, answer};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  Answer moved = granted(60, 50000);
  moved.echoes_options = false;
  moved.epoch_time_s = 0;              // what moves mappings resets the epoch
  world.deliver(world.update(moved));  // without PORT_SET, as of RFC 6887 s14.2
  EXPECT_EQ(world.engine.mapping(handle)->external.port, Port{50000});
  EXPECT_EQ(world.engine.mapping(handle)->port_count, 2);
  world.last_map_request.clear();
  world.run(4s);
  EXPECT_EQ(wire::hex(std::span(world.last_map_request).subspan(60)), "8200000500021f9000000000");
}

TEST(Options, a_description_is_what_the_server_stores) {
  World world;
  Wish wish = web_wish();
  wish.description = "web server of the lab";
  Answer answer = granted();
  answer.echoes_options = false;
  answer.add_options = [](wire::Datagram& datagram) {
    constexpr std::string_view text = "web";
    PORTOLAN_CHECK(wire::append_option(datagram, wire::Description{.text = std::as_bytes(std::span(text))}));
  };
  world.script = {answer};
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_EQ(world.engine.mapping(handle)->description, "web");
}

TEST(Options, prefixes_of_the_nat64_are_learnt_and_replaced) {
  World world;
  Wish wish = web_wish();
  wish.wants_nat64_prefix = true;
  Answer answer = granted();
  answer.echoes_options = false;
  answer.add_options = [](wire::Datagram& datagram) {
    PORTOLAN_CHECK(
        wire::append_option(datagram, wire::Prefix64{.prefix = *Prefix::parse("2001:db8:64::/96")}));
  };
  world.script = {answer};
  world.engine.map(world.now(), wish);
  world.run(1s);
  EXPECT_THAT(world.story(), ElementsAre(ask_line, "NAT64: 2001:db8:64::/96", granted_line));
  wire::Response announcement;
  announcement.body = wire::Announce{};
  announcement.epoch_time_s = world.epoch_now(1000);
  wire::Datagram datagram = wire::encode_response(announcement);
  PORTOLAN_CHECK(wire::append_option(datagram, wire::Prefix64{.prefix = *Prefix::parse("2001:db8:65::/96")}));
  world.deliver(datagram.octets());
  world.deliver(datagram.octets());
  EXPECT_THAT(world.times_of("NAT64:"), SizeIs(2));
  EXPECT_EQ(world.story().back(), "NAT64: 2001:db8:65::/96");
}

TEST(Options, announce_may_ask_for_the_prefix_too) {
  World world;
  world.engine.announce(world.now(), true);
  const Actions actions = world.engine.take_actions();
  ASSERT_THAT(actions.send, SizeIs(1));
  EXPECT_EQ(wire::hex(actions.send[0].datagram.octets().subspan(24)),
            wire::hex(wire::octets("81 00 000e 000c 000000000000000000000000 0000")));
}

TEST(Options, ports_of_protocols_without_any_are_refused) {
  for (const unsigned number : {1U, 6U, 17U, 33U, 46U, 47U, 50U, 58U, 132U, 136U, 255U}) {
    Wish wish = web_wish();
    wish.protocol = static_cast<Protocol>(number);
    const bool has_ports = number == 6 || number == 17 || number == 33 || number == 132 || number == 136;
    EXPECT_EQ(error_in(wish), has_ports ? std::nullopt : std::optional(WishError::port_of_portless_protocol))
        << number;
    wish.internal_port = Port{0};
    EXPECT_FALSE(error_in(wish)) << number;
  }
}

TEST(Options, a_wish_that_cannot_be_one_is_named) {
  struct Case {
    WishError error;
    std::function<void(Wish&)> change;
  };
  const std::vector<RemoteFilter> one = {
      {.remote_peers = *Prefix::parse("2001:db8:64::/96"), .remote_port = Port{0}}};
  const std::vector<Case> cases = {
      {WishError::lifetime_out_of_range, [](Wish& wish) { wish.lifetime = Seconds{0}; }},
      {WishError::lifetime_out_of_range,
       [](Wish& wish) { wish.lifetime = Seconds{UINT32_MAX} + Seconds{1}; }},
      {WishError::port_without_protocol, [](Wish& wish) { wish.protocol = Protocol::all; }},
      {WishError::port_of_portless_protocol, [](Wish& wish) { wish.protocol = Protocol::icmp; }},
      {WishError::prefer_failure_without_port,
       [](Wish& wish) {
         wish.prefer_failure = true;
         wish.suggested_external_port = Port{0};
       }},
      {WishError::prefer_failure_for_peer,
       [](Wish& wish) {
         wish.remote_peer = call_wish().remote_peer;
         wish.prefer_failure = true;
       }},
      {WishError::filter_for_peer,
       [&one](Wish& wish) {
         wish.remote_peer = call_wish().remote_peer;
         wish.filters = one;
       }},
      {WishError::port_set_for_peer,
       [](Wish& wish) {
         wish.remote_peer = call_wish().remote_peer;
         wish.port_count = 2;
       }},
      {WishError::prefer_failure_for_port_set,
       [](Wish& wish) {
         wish.prefer_failure = true;
         wish.port_count = 2;
       }},
      {WishError::port_set_out_of_range, [](Wish& wish) { wish.port_count = 0; }},
      {WishError::port_set_out_of_range,
       [](Wish& wish) {
         wish.port_count = 2;
         wish.internal_port = Port{0};
       }},
      {WishError::peer_without_port,
       [](Wish& wish) {
         wish.remote_peer = call_wish().remote_peer;
         wish.internal_port = Port{0};
       }},
      {WishError::peer_is_unspecified, [](Wish& wish) { wish.remote_peer = Endpoint{}; }},
      {WishError::filter_for_everyone,
       [](Wish& wish) {
         wish.filters = {{.remote_peers = *Prefix::parse("::/0"), .remote_port = Port{80}}};
       }},
      {WishError::third_party_id_alone, [](Wish& wish) { wish.third_party_id.emplace(4); }},
      {WishError::description_not_utf8, [](Wish& wish) { wish.description = "\xff"; }},
      {WishError::too_long, [](Wish& wish) { wish.description = std::string(1017, 'x'); }},
      {WishError::too_long, [&one](Wish& wish) { wish.filters.assign(43, one[0]); }},
  };
  for (const Case& bad : cases) {
    Wish wish = web_wish();
    bad.change(wish);
    EXPECT_EQ(error_in(wish), bad.error) << to_string(bad.error);
  }
  for (const std::size_t filters : {std::size_t{41}, std::size_t{42}}) {
    Wish wish = web_wish();
    wish.filters.assign(filters, one[0]);
    EXPECT_EQ(error_in(wish), std::nullopt) << "up to 1100 octets fit";
  }
}

TEST(Options, nothing_is_asked_for_beyond_the_life_of_the_address) {
  World world;
  world.engine.limit_lifetimes(world.now() + 90s);
  world.script = {granted(60), granted(60)};
  world.engine.map(world.now(), web_wish());
  world.run(0s);
  EXPECT_THAT(world.story(), ElementsAre("MAP tcp 8080 -> 0.0.0.0:8080 for 90 s"));
  world.engine.limit_lifetimes(std::nullopt);
  world.run(40s);
  EXPECT_EQ(world.story()[2], renew_line);
}

TEST(Held, is_asked_for_at_once_with_its_nonce_and_lives_until_then) {
  World first;
  first.script = {granted()};
  const Handle made = first.engine.map(first.now(), web_wish());
  first.run(1s);
  const auto held = first.engine.mapping(made);

  World world;
  world.script = {lost(), granted()};
  const Handle handle = world.engine.map(world.now(), web_wish(), held);
  EXPECT_EQ(world.engine.mapping(handle), held);
  EXPECT_EQ(world.engine.nonce(handle), held->nonce);
  world.run(5s);
  EXPECT_THAT(world.story(),
              ElementsAre(renew_line, "no answer yet, sent 2 times", renew_line, renewed_line));
}

TEST(Held, that_is_of_another_wish_is_nothing) {
  World first;
  first.script = {granted()};
  const Handle made = first.engine.map(first.now(), web_wish());
  first.run(1s);
  const Mapping held = *first.engine.mapping(made);
  std::vector<Mapping> others(6, held);
  others[0].protocol = Protocol::udp;
  others[1].internal.port = Port{22};
  others[2].internal.address = *IpAddress::parse("2001:db8:112::3");
  others[3].external.address = IpAddress::unspecified(Family::ipv4);
  others[4].remote_peer = call_wish().remote_peer;
  others[5].expires = first.now();
  for (const Mapping& other : others) {
    World world;
    const Handle handle = world.engine.map(world.now() + 1s, web_wish(), other);
    EXPECT_FALSE(world.engine.mapping(handle));
    EXPECT_FALSE(world.engine.broken_invariant());
  }
}

TEST(Engine, tells_once_that_the_server_is_unresponsive) {
  Config config = World::default_config();
  config.unanswered_max = 4;
  World world(config);
  world.engine.map(world.now(), web_wish());
  world.run(400s);
  EXPECT_THAT(world.times_of("unresponsive"), SizeIs(1));
  EXPECT_NEAR(world.times_of("unresponsive")[0], 3 + 6 + 12 + 24, 8);
  world.otherwise = granted();
  world.run(1000s);
  world.otherwise.reset();
  world.run(10000s);
  EXPECT_THAT(world.times_of("unresponsive"), SizeIs(2));
}

}  // namespace
}  // namespace portolan::client
