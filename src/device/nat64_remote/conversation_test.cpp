// SPDX-License-Identifier: BSD-2-Clause
//
// The conversation with a gateway that is a simulated NAT behind the same messages, and connections that
// break.
#include "device/nat64_remote/conversation.h"

#include <algorithm>
#include <span>
#include <utility>

#include <gmock/gmock.h>

#include "control/pool_counters.h"
#include "device/simulated/simulated_nat.h"

namespace portolan::device {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// A gateway and the connection to it; time stands still unless told.
class Talk {
 public:
  Talk() : talk_(now, {}) { run(); }

  /// Lets both sides do all they can.
  void run() {
    for (bool is_done = false; !is_done;) {
      talk_.advance(now);
      Conversation::Actions actions = talk_.take_actions();
      std::ranges::move(actions.notes, std::back_inserter(notes));
      closed += actions.close ? 1 : 0;
      if (actions.connect) {
        ++attempts;
        replies_.clear();
        if (is_listening)
          talk_.connected(now);
        else
          talk_.disconnected(now, "refused");
      }
      for (auto& told : actions.told) tell(std::move(told));
      hear(actions.octets);
      const std::vector<std::byte> replies = std::exchange(replies_, {});
      is_done = actions.octets.empty() && replies.empty() && actions.told.empty() && !actions.connect;
      // In pieces, as streams come.
      constexpr std::size_t piece = 7;
      for (std::size_t at = 0; at < replies.size(); at += piece)
        talk_.received(now, std::span(replies).subspan(at, std::min(piece, replies.size() - at)));
    }
  }
  void pass(Nanoseconds time) {
    now += time;
    run();
  }
  void cut() {
    replies_.clear();
    talk_.disconnected(now, "connection reset");
    run();
  }
  void apply(std::uint64_t batch, std::vector<Operation> operations) {
    talk_.apply(BatchId{batch}, std::move(operations));
  }
  void reconcile(std::uint64_t batch, std::vector<Operation> operations) {
    talk_.reconcile(BatchId{batch}, std::move(operations));
  }
  void reply(const control::Reply& message) { control::append_frame(message, replies_); }
  [[nodiscard]] auto answered() const -> std::vector<std::uint64_t> {
    std::vector<std::uint64_t> batches;
    batches.reserve(answers.size());
    for (const auto& answer : answers) batches.push_back(answer.batch.value);
    return batches;
  }
  auto conversation() -> Conversation& { return talk_; }

  TimePoint now{Seconds{1000}};
  SimulatedNat nat{{.pool = {*IpAddress::parse("192.0.2.14")}}};
  std::vector<PoolUse> pool;
  bool is_listening = true;
  /// The gateway answers batches and pings.
  bool is_answering = true;
  /// The server says reconciled as soon as it has the inventory.
  bool reconciles_at_once = true;
  std::uint64_t boot_id = 1;
  int attempts = 0;
  int closed = 0;
  int reconciled = 0;
  std::size_t messages = 0;
  std::vector<Conversation::Answer> answers;
  std::vector<Event> events;
  std::vector<Inventory> inventories;
  std::vector<Conversation::Note> notes;

 private:
  void tell(std::variant<Conversation::Answer, std::vector<Event>, Inventory> told) {
    if (auto* answer = std::get_if<Conversation::Answer>(&told)) {
      answers.push_back(std::move(*answer));
    } else if (auto* happened = std::get_if<std::vector<Event>>(&told)) {
      std::ranges::move(*happened, std::back_inserter(events));
    } else {
      inventories.push_back(std::get<Inventory>(std::move(told)));
      if (inventories.back().is_last && reconciles_at_once) talk_.reconciled();
    }
  }
  void hear(std::span<const std::byte> octets) {
    control::FrameReader reader;
    reader.add(octets);
    for (auto message = reader.next(); message && *message; message = reader.next()) {
      const auto request = control::decode_request(**message);
      ASSERT_TRUE(request) << request.error();
      ++messages;
      answer(*request);
    }
  }
  void answer(const control::Request& request) {
    if (const auto* hello = std::get_if<control::ClientHello>(&request)) {
      EXPECT_EQ(hello->role, control::Role::owner);
      control::GatewayHello greeting;
      greeting.boot_id = boot_id;
      greeting.program = "gateway";
      reply(greeting);
    } else if (std::holds_alternative<control::InventoryRequest>(request)) {
      const Inventory inventory = nat.inventory(now);
      if (!inventory.profiles.empty()) reply(control::InventoryPart{.profiles = inventory.profiles});
      for (const MappingRecord& mapping : inventory.mappings)
        reply(control::InventoryPart{.mappings = {mapping}, .peers = {}, .is_last = false});
      reply(control::InventoryPart{.mappings = {}, .peers = inventory.peers, .is_last = true});
    } else if (const auto* batch = std::get_if<control::Batch>(&request)) {
      control::BatchResult result{.id = batch->id, .results = {}};
      for (const Operation& operation : batch->operations)
        result.results.push_back(nat.apply(now, operation));
      if (is_answering) reply(result);
    } else if (std::holds_alternative<control::Reconciled>(request)) {
      ++reconciled;
    } else if (const auto* ping = std::get_if<control::Ping>(&request); ping != nullptr && is_answering) {
      reply(control::Pong{ping->token});
    } else if (const auto* query = std::get_if<control::Query>(&request); query != nullptr && is_answering) {
      EXPECT_EQ(query->view, control::View::counters);
      control::Counters counters{.query = query->number, .counters = {}};
      control::append_pool(pool, counters.counters);
      reply(counters);
    }
  }

  Conversation talk_;
  std::vector<std::byte> replies_;
};

auto install(std::uint16_t port, std::size_t filters = 0) -> Install {
  Install install{.key = {.realm = {},
                          .internal_address = *IpAddress::parse("2001:db8:112::2"),
                          .protocol = Protocol::udp,
                          .external_family = Family::ipv4,
                          .internal_port = Port{port}},
                  .external_address = IpAddress::unspecified(Family::ipv4),
                  .external_port = Port{port},
                  .lifetime = Seconds{600}};
  for (std::size_t i = 0; i < filters; ++i)
    install.filters.push_back({.remote_peers = *Prefix::parse("2001:db8:64:ff9b::c000:201/128"),
                               .remote_port = Port{static_cast<std::uint16_t>(i + 1)}});
  return install;
}

TEST(Conversation, greets_fetches_the_inventory_and_serves) {
  Talk talk;
  EXPECT_TRUE(talk.conversation().is_serving());
  EXPECT_EQ(talk.reconciled, 1);
  ASSERT_THAT(talk.inventories, SizeIs(1));
  EXPECT_TRUE(talk.inventories[0].is_first && talk.inventories[0].is_last);
  talk.apply(1, {install(2000), install(2001)});
  talk.apply(2, {});
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(1, 2));
  ASSERT_THAT(talk.answers[0].results, SizeIs(2));
  EXPECT_EQ(talk.answers[0].results[1]->external_port, Port{2001});
}

TEST(Conversation, an_inventory_comes_in_parts) {
  Talk talk;
  talk.apply(1, {install(2000), install(2001)});
  talk.run();
  talk.inventories.clear();
  talk.cut();
  talk.pass(Seconds{1});
  ASSERT_THAT(talk.inventories, SizeIs(3));
  EXPECT_TRUE(talk.inventories[0].is_first && !talk.inventories[1].is_first && !talk.inventories[2].is_first);
  EXPECT_TRUE(!talk.inventories[0].is_last && !talk.inventories[1].is_last && talk.inventories[2].is_last);
}

TEST(Conversation, what_was_not_answered_is_sent_again_after_reconciled_in_order) {
  Talk talk;
  talk.is_answering = false;
  talk.apply(1, {install(2000)});
  talk.apply(2, {install(2001)});
  talk.run();
  talk.cut();
  talk.apply(3, {install(2002)});
  talk.is_answering = true;
  talk.reconciles_at_once = false;
  talk.pass(Seconds{1});
  EXPECT_FALSE(talk.inventories.empty());
  EXPECT_THAT(talk.answers, IsEmpty()) << "repairs come first";
  talk.reconcile(4, {install(3000)});
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(4));
  talk.conversation().reconciled();
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(4, 1, 2, 3));
}

TEST(Conversation, repairs_are_not_kept_over_a_disconnection) {
  Talk talk;
  talk.cut();
  talk.reconciles_at_once = false;
  talk.pass(Seconds{1});
  talk.is_answering = false;
  talk.reconcile(1, {install(2000), install(2001)});
  talk.run();
  talk.cut();
  ASSERT_THAT(talk.answered(), ElementsAre(1));
  ASSERT_THAT(talk.answers[0].results, SizeIs(2));
  for (const Result& result : talk.answers[0].results) EXPECT_EQ(result.error(), Refusal::unreachable);
  talk.reconcile(2, {install(2000)});
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(1, 2)) << "at once";
}

TEST(Conversation, out_of_reach_for_too_long_batches_are_answered) {
  Talk talk;
  talk.is_listening = false;
  talk.cut();
  talk.apply(1, {install(2000)});
  talk.pass(Seconds{10} - Nanoseconds{1});
  EXPECT_THAT(talk.answers, IsEmpty());
  talk.pass(Nanoseconds{1});
  ASSERT_THAT(talk.answered(), ElementsAre(1));
  EXPECT_EQ(talk.answers[0].results.at(0).error(), Refusal::unreachable);
  talk.apply(2, {install(2000)});
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(1, 2)) << "at once from then on";
  talk.is_listening = true;
  talk.pass(Seconds{5});
  talk.apply(3, {install(2000)});
  talk.run();
  EXPECT_TRUE(talk.answers.back().results.at(0));
}

TEST(Conversation, attempts_to_connect_come_at_intervals_that_double_up_to_a_limit) {
  Talk talk;
  talk.is_listening = false;
  talk.cut();
  std::vector<std::int64_t> waits;
  TimePoint last = talk.now;
  for (int attempt = talk.attempts; waits.size() < 8;) {
    talk.pass(*talk.conversation().next_deadline() - talk.now);
    if (talk.attempts == attempt) continue;
    attempt = talk.attempts;
    waits.push_back((talk.now - last) / Milliseconds{1});
    last = talk.now;
  }
  EXPECT_THAT(waits, ElementsAre(100, 200, 400, 800, 1600, 3200, 5000, 5000));
  EXPECT_EQ(std::ranges::count_if(
                talk.notes, [](const auto& note) { return note.text.find("refused") != std::string::npos; }),
            1)
      << "once, and not at each attempt";
}

TEST(Conversation, so_many_batches_wait_and_no_more) {
  Talk talk;
  talk.is_listening = false;
  talk.cut();
  for (std::uint64_t batch = 1; batch <= Conversation::batches_max; ++batch)
    talk.apply(batch, {install(2000)});
  talk.run();
  EXPECT_THAT(talk.answers, IsEmpty());
  talk.apply(Conversation::batches_max + 1, {install(2000)});
  talk.run();
  EXPECT_THAT(talk.answered(), ElementsAre(Conversation::batches_max + 1));
}

TEST(Conversation, a_batch_larger_than_a_message_is_answered_once) {
  constexpr std::size_t most = control::operations_max;
  for (const std::size_t size : {most - 1, most, most + 1}) {
    Talk talk;
    const std::size_t before = talk.messages;
    talk.apply(1, std::vector<Operation>(size, install(2000)));
    talk.run();
    EXPECT_EQ(talk.messages - before, size <= most ? 1U : 2U);
    ASSERT_THAT(talk.answered(), ElementsAre(1));
    EXPECT_THAT(talk.answers[0].results, SizeIs(size));
  }
}

TEST(Conversation, an_operation_beyond_the_protocol_is_refused_in_its_place) {
  Talk talk;
  talk.apply(1, {install(2000), install(2001, control::filters_max + 1), install(2002)});
  talk.run();
  ASSERT_THAT(talk.answers, SizeIs(1));
  const auto& results = talk.answers[0].results;
  ASSERT_THAT(results, SizeIs(3));
  EXPECT_EQ(results[0]->external_port, Port{2000});
  EXPECT_EQ(results[1].error(), Refusal::excessive_filters);
  EXPECT_EQ(results[2]->external_port, Port{2002});
}

TEST(Conversation, events_are_told) {
  Talk talk;
  talk.reply(control::Events{.events = {Lost{install(2000).key}}});
  talk.run();
  ASSERT_THAT(talk.events, SizeIs(1));
  EXPECT_EQ(std::get<Lost>(talk.events[0]).key, install(2000).key);
}

TEST(Conversation, silence_is_asked_about_and_then_the_end) {
  Talk talk;
  const std::size_t before = talk.messages;
  talk.pass(Seconds{5});
  EXPECT_EQ(talk.messages - before, 1U);
  talk.pass(Seconds{1});
  EXPECT_EQ(talk.closed, 0) << "it answered";
  talk.is_answering = false;
  talk.pass(Seconds{5});
  talk.pass(Seconds{10});
  EXPECT_EQ(talk.closed, 1);
}

TEST(Conversation, how_much_of_the_pool_is_left_is_asked_as_long_as_the_gateway_serves) {
  Talk talk;
  EXPECT_THAT(talk.conversation().pool_use(), IsEmpty()) << "a gateway that tells nothing of it";
  talk.pool = {{.protocol = Protocol::udp, .ports = 4, .taken = 3}};
  talk.pass(*talk.conversation().next_deadline() - talk.now);
  EXPECT_THAT(talk.conversation().pool_use(), ElementsAre(talk.pool[0]));
  talk.pool[0].taken = 4;
  talk.pass(ConversationOptions{}.pool_asked);
  EXPECT_THAT(talk.conversation().pool_use(), ElementsAre(talk.pool[0]));
  talk.is_listening = false;
  talk.cut();
  EXPECT_THAT(talk.conversation().pool_use(), IsEmpty());
  talk.is_listening = true;
  talk.pass(Seconds{5});
  EXPECT_THAT(talk.conversation().pool_use(), ElementsAre(talk.pool[0]));
}

TEST(Conversation, what_no_gateway_may_say_ends_the_connection_and_it_begins_anew) {
  const std::vector<control::Reply> wrong{
      control::GatewayHello{},
      control::InventoryPart{},
      control::BatchResult{.id = BatchId{9}, .results = {}},
      control::Error{.code = control::ErrorCode::owned, .text = "owned\x1b by another", .query = {}},
      control::Counters{},
  };
  for (const control::Reply& reply : wrong) {
    Talk talk;
    const int attempts = talk.attempts;
    talk.reply(reply);
    talk.run();
    EXPECT_EQ(talk.closed, 1) << reply.index();
    talk.apply(1, {install(2000)});
    talk.pass(Seconds{1});
    EXPECT_EQ(talk.attempts, attempts + 1);
    EXPECT_TRUE(talk.conversation().is_serving());
    EXPECT_THAT(talk.answered(), ElementsAre(1));
    for (const auto& note : talk.notes) EXPECT_EQ(note.text.find('\x1b'), std::string::npos);
  }
}

TEST(Conversation, octets_that_are_no_message_end_the_connection) {
  Talk talk;
  const std::vector<std::byte> octets(64, std::byte{0xff});
  talk.conversation().received(talk.now, octets);
  talk.run();
  EXPECT_EQ(talk.closed, 1);
  talk.pass(Seconds{1});
  EXPECT_TRUE(talk.conversation().is_serving());
}

TEST(Conversation, a_gateway_that_began_anew_is_told) {
  Talk talk;
  talk.boot_id = 2;
  talk.cut();
  talk.pass(Seconds{1});
  ASSERT_GE(talk.notes.size(), 2U);
  EXPECT_THAT(talk.notes[talk.notes.size() - 2].text, HasSubstr("begun anew"));
}

}  // namespace
}  // namespace portolan::device
