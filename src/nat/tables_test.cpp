// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's parts by themselves: arithmetic, embedding, tables, timers, ports.
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/random.h"
#include "nat/checksum.h"
#include "nat/config.h"
#include "nat/embedding.h"
#include "nat/filters.h"
#include "nat/flat_table.h"
#include "nat/port_space.h"
#include "nat/session_entry.h"
#include "nat/sessions.h"
#include "nat/tcp_state.h"
#include "nat/testing/test_packets.h"

namespace portolan::nat::test {
namespace {

RC_GTEST_PROP(Checksum, agrees_with_the_obvious_way, (const Octets& octets)) {
  const auto sum = fold(sum_octets(octets.data(), static_cast<std::uint32_t>(octets.size())));
  RC_ASSERT(from_raw16(static_cast<std::uint16_t>(~sum)) == internet_checksum(octets));
}

RC_GTEST_PROP(Checksum, an_adjusted_one_is_that_of_the_changed_octets, (std::vector<std::uint16_t> words)) {
  RC_PRE(words.size() >= 2);
  const auto octets = [](const std::vector<std::uint16_t>& from) {
    return fold(sum_octets(reinterpret_cast<const std::uint8_t*>(from.data()),
                           static_cast<std::uint32_t>(from.size() * 2)));
  };
  const auto checksum = static_cast<std::uint16_t>(~octets(words));
  const std::uint16_t old_word = words[1];
  words[1] = *rc::gen::arbitrary<std::uint16_t>();
  const std::uint16_t adjusted = adjust_checksum(checksum, difference(words[1], old_word));
  // Equal as numbers modulo 0xffff, in which 0 and 0xffff are the same.
  RC_ASSERT(adjusted % 0xffff == static_cast<std::uint16_t>(~octets(words)) % 0xffff);
}

auto embedding_of(const char* prefix) -> Embedding {
  const Prefix parsed = *Prefix::parse(prefix);
  Embedding embedding{};
  std::copy_n(parsed.address().bits().octets.begin(), 16, embedding.prefix);
  embedding.length = static_cast<std::uint8_t>(parsed.length());
  return embedding;
}

TEST(EmbeddedAddresses, the_examples_of_rfc_6052) {
  const std::vector<std::pair<const char*, const char*>> examples{
      {"2001:db8::/32", "2001:db8:c000:221::"},
      {"2001:db8:100::/40", "2001:db8:1c0:2:21::"},
      {"2001:db8:122::/48", "2001:db8:122:c000:2:2100::"},
      {"2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"},
      {"2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"},
      {"2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"},
      {"64:ff9b::/96", "64:ff9b::192.0.2.33"},
  };
  const std::uint8_t v4[4] = {192, 0, 2, 33};
  for (const auto& [prefix, text] : examples) {
    const Embedding embedding = embedding_of(prefix);
    Ipv6Address v6;
    embed(embedding, v4, v6.octets.data());
    EXPECT_EQ(to_string(v6), to_string(*Ipv6Address::parse(text)));
    EXPECT_TRUE(is_embedded(embedding, v6.octets.data()));
    std::uint8_t back[4];
    extract(embedding, v6.octets.data(), back);
    EXPECT_EQ(0, std::memcmp(back, v4, 4)) << prefix;
    v6.octets[embedding.length / 8 - 1] ^= 1U;
    EXPECT_FALSE(is_embedded(embedding, v6.octets.data())) << prefix;
  }
}

TEST(PeerFilters, what_prefixes_seen_from_inside_mean_outside) {
  const auto converted = [](const char* translation, const char* peers, std::uint16_t port = 0) {
    const auto prefix = Prefix::parse(translation);
    Embedding embedding{};
    std::copy_n(prefix->address().bits().octets.begin(), 16, embedding.prefix);
    embedding.length = static_cast<std::uint8_t>(prefix->length());
    return to_peer_filter({.remote_peers = *Prefix::parse(peers), .remote_port = Port{port}}, embedding);
  };
  const auto peers = [](std::uint32_t address, std::uint32_t mask, std::uint16_t port = 0) {
    return PeerFilter{.address = address, .mask = mask, .port = port};
  };
  const auto everyone = peers(0, 0);
  EXPECT_EQ(converted("2001:db8:64::/96", "::/0"), everyone);
  EXPECT_EQ(converted("2001:db8:64::/96", "2001:db8:64::/96", 7), peers(0, 0, 7));
  EXPECT_EQ(converted("2001:db8:64::/96", "2001:db8:64::c000:200/120"), peers(0xc0000200, 0xffffff00));
  EXPECT_EQ(converted("2001:db8:64::/96", "2001:db8:64::c000:201/128"), peers(0xc0000201, 0xffffffff));
  // Octet 8 lies among the address's; neither it nor a suffix is anything but zero.
  EXPECT_EQ(converted("2001:db8::/32", "2001:db8:c000:201::/64"), peers(0xc0000201, 0xffffffff));
  EXPECT_EQ(converted("2001:db8:100::/40", "2001:db8:1c0:2::/64"), peers(0xc0000200, 0xffffff00));
  EXPECT_EQ(converted("2001:db8:100::/40", "2001:db8:1c0:2::/72"), peers(0xc0000200, 0xffffff00));
  EXPECT_EQ(converted("2001:db8:100::/40", "2001:db8:1c0:2:1::/80"), peers(0xc0000201, 0xffffffff));
  EXPECT_EQ(converted("2001:db8:122::/48", "2001:db8:122:c000::/76"), peers(0xc0000000, 0xfffff000));
  EXPECT_EQ(converted("2001:db8:122:300::/56", "2001:db8:122:3c0::/64"), peers(0xc0000000, 0xff000000));
  EXPECT_EQ(converted("2001:db8:122:344::/64", "2001:db8:122:344:c0:2::/96"), peers(0xc0000200, 0xffffff00));
  for (const auto& [translation, of_nobody] : std::vector<std::pair<const char*, const char*>>{
           {"2001:db8:64::/96", "2001:db8:65::/48"},
           {"2001:db8:64::/96", "2001:db8:65::c000:201/128"},
           {"2001:db8:122:344::/64", "2001:db8:122:344:8000::/72"},
           {"2001:db8:122:344::/64", "2001:db8:122:344:c0:201:1::/112"},
           {"2001:db8::/32", "2001:db8:c000:201::1/128"},
           {"2001:db8:64::/96", "192.0.2.0/24"}}) {
    const PeerFilter filter = converted(translation, of_nobody);
    for (const std::uint32_t remote : {0x00000000U, 0x00000001U, 0xc0000201U, 0xffffffffU})
      EXPECT_FALSE(filter.matches(remote, 53)) << of_nobody;
  }
}

TEST(EmbeddedAddresses, which_ipv4_addresses_are_global) {
  const auto is_global = [](const char* text) {
    std::uint8_t octets[4];
    store32(octets, Ipv4Address::parse(text)->value);
    return is_global_ipv4(octets);
  };
  for (const char* text :
       {"10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "169.254.9.9", "172.16.0.1",
        "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "0.1.2.3"})
    EXPECT_FALSE(is_global(text)) << text;
  for (const char* text : {"8.8.8.8", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1",
                           "198.17.0.1", "198.20.0.1", "192.88.99.1", "223.255.255.255"})
    EXPECT_TRUE(is_global(text)) << text;
}

TEST(TcpStates, every_transition_of_rfc_6146_s3_5_2_2) {
  using enum TcpState;
  using enum TcpEvent;
  constexpr auto v6 = Direction::from_ipv6;
  constexpr auto v4 = Direction::from_ipv4;
  struct Edge {
    TcpState from;
    Direction side;
    TcpEvent event;
    TcpState to;
    bool restart;
  };
  const std::vector<Edge> edges{
      {v4_init, v6, syn, established, true},
      {v4_init, v6, fin, v4_init, false},
      {v4_init, v6, rst, v4_init, false},
      {v4_init, v6, other, v4_init, false},
      {v4_init, v4, syn, v4_init, false},
      {v4_init, v4, fin, v4_init, false},
      {v4_init, v4, rst, v4_init, false},
      {v4_init, v4, other, v4_init, false},
      {v6_init, v6, syn, v6_init, true},
      {v6_init, v6, fin, v6_init, false},
      {v6_init, v6, rst, v6_init, false},
      {v6_init, v6, other, v6_init, false},
      {v6_init, v4, syn, established, true},
      {v6_init, v4, fin, v6_init, false},
      {v6_init, v4, rst, v6_init, false},
      {v6_init, v4, other, v6_init, false},
      {established, v6, syn, established, true},
      {established, v6, fin, v6_fin, true},
      {established, v6, rst, trans, true},
      {established, v6, other, established, true},
      {established, v4, syn, established, true},
      {established, v4, fin, v4_fin, true},
      {established, v4, rst, trans, true},
      {established, v4, other, established, true},
      {v4_fin, v6, syn, v4_fin, true},
      {v4_fin, v6, fin, v4_and_v6_fin, true},
      {v4_fin, v6, rst, v4_fin, true},
      {v4_fin, v6, other, v4_fin, true},
      {v4_fin, v4, syn, v4_fin, true},
      {v4_fin, v4, fin, v4_fin, true},
      {v4_fin, v4, rst, v4_fin, true},
      {v4_fin, v4, other, v4_fin, true},
      {v6_fin, v6, syn, v6_fin, true},
      {v6_fin, v6, fin, v6_fin, true},
      {v6_fin, v6, rst, v6_fin, true},
      {v6_fin, v6, other, v6_fin, true},
      {v6_fin, v4, syn, v6_fin, true},
      {v6_fin, v4, fin, v4_and_v6_fin, true},
      {v6_fin, v4, rst, v6_fin, true},
      {v6_fin, v4, other, v6_fin, true},
      {v4_and_v6_fin, v6, syn, v6_init, true},
      {v4_and_v6_fin, v6, fin, v4_and_v6_fin, false},
      {v4_and_v6_fin, v6, rst, v4_and_v6_fin, false},
      {v4_and_v6_fin, v6, other, v4_and_v6_fin, false},
      {v4_and_v6_fin, v4, syn, v4_init, true},
      {v4_and_v6_fin, v4, fin, v4_and_v6_fin, false},
      {v4_and_v6_fin, v4, rst, v4_and_v6_fin, false},
      {v4_and_v6_fin, v4, other, v4_and_v6_fin, false},
      {trans, v6, syn, established, true},
      {trans, v6, fin, established, true},
      {trans, v6, rst, trans, false},
      {trans, v6, other, established, true},
      {trans, v4, syn, established, true},
      {trans, v4, fin, established, true},
      {trans, v4, rst, trans, false},
      {trans, v4, other, established, true},
  };
  ASSERT_EQ(edges.size(), 7U * 2 * 4) << "all states, sides and events";
  for (const Edge& edge : edges) {
    const auto [to, restart] = next_state(edge.from, edge.side, edge.event);
    EXPECT_EQ(to, edge.to) << static_cast<int>(edge.from) << static_cast<int>(edge.side)
                           << static_cast<int>(edge.event);
    EXPECT_EQ(restart, edge.restart);
  }
}

TEST(TcpStates, flags_make_one_event) {
  EXPECT_EQ(tcp_event(tcp::syn), TcpEvent::syn);
  EXPECT_EQ(tcp_event(tcp::syn | tcp::ack), TcpEvent::syn);
  EXPECT_EQ(tcp_event(tcp::fin | tcp::ack), TcpEvent::fin);
  EXPECT_EQ(tcp_event(tcp::rst | tcp::ack), TcpEvent::rst);
  EXPECT_EQ(tcp_event(tcp::rst | tcp::syn | tcp::fin), TcpEvent::rst);
  EXPECT_EQ(tcp_event(tcp::ack), TcpEvent::other);
}

/// A table entry with nothing but a number as its key.
struct alignas(64) NumberEntry {
  std::uint32_t sequence;
  std::uint32_t number;
  std::uint32_t hash;
  std::uint32_t copies[13];
  [[nodiscard]] auto is_empty() const -> bool { return number == 0; }
  [[nodiscard]] auto matches(std::uint32_t key) const -> bool { return number == key; }
};

class NumberStorage {
 public:
  explicit NumberStorage(std::uint32_t capacity)
      : entries_(std::size_t{capacity} + probe_max), capacity_(capacity) {}
  auto at(std::uint32_t slot) -> NumberEntry& { return entries_[slot]; }
  [[nodiscard]] auto capacity() const -> std::uint32_t { return capacity_; }

 private:
  LazyArray<NumberEntry> entries_;
  std::uint32_t capacity_;
};

RC_GTEST_PROP(FlatTable, behaves_like_a_set_under_any_hash,
              (const std::vector<std::pair<bool, std::uint8_t>>& operations, std::uint32_t hash_mask)) {
  // A mask with few bits makes many numbers collide.
  const auto hash = [&](std::uint32_t number) { return (number * 0x9e3779b1U) & hash_mask; };
  FlatTable<NumberEntry, NumberStorage> table(NumberStorage(64));
  std::map<std::uint32_t, std::uint32_t> slots;
  for (const auto& [insert, low] : operations) {
    const std::uint32_t number = low + 1U;
    const auto known = slots.find(number);
    RC_ASSERT((table.find(hash(number), number) != table.no_slot) == (known != slots.end()));
    if (insert && known == slots.end()) {
      slots[number] = table.insert({.sequence = 0, .number = number, .hash = hash(number), .copies = {}});
      RC_ASSERT(slots[number] != table.no_slot);
    } else if (!insert && known != slots.end()) {
      table.erase(known->second,
                  [&](const NumberEntry& moved, std::uint32_t slot) { slots[moved.number] = slot; });
      slots.erase(number);
    }
    for (const auto& [each, slot] : slots) RC_ASSERT(table.find(hash(each), each) == slot);
  }
}

TEST(FlatTable, an_insertion_that_finds_no_slot_near_fails) {
  FlatTable<NumberEntry, NumberStorage> table(NumberStorage(16));
  for (std::uint32_t number = 1; number <= probe_max; ++number)
    ASSERT_NE(table.insert({.sequence = 0, .number = number, .hash = 0, .copies = {}}), table.no_slot);
  EXPECT_EQ(table.insert({.sequence = 0, .number = 9999, .hash = 0, .copies = {}}), table.no_slot);
  EXPECT_NE(table.find(0, std::uint32_t{probe_max}), table.no_slot);
}

TEST(Sessions, as_many_as_the_limit_says_and_not_one_more) {
  // The longest search grows with the logarithm of the table: this many need more than 256 slots.
  Config config;
  config.limits.sessions = 1'000'000;
  SeededRandom random(1);
  Sessions sessions(config, random);
  const auto add = [&](std::uint32_t number) {
    SessionEntry outward{};
    outward.direction = Direction::from_ipv6;
    outward.protocol = 17;
    std::memcpy(outward.inside, &number, sizeof number);
    outward.remote = static_cast<std::uint32_t>(random.next());
    outward.inside_port = outward.external_port = static_cast<std::uint16_t>(number);
    outward.external = 0xc0000200U + (number >> 16U);
    outward.remote_port = static_cast<std::uint16_t>(random.next());
    SessionEntry inward = outward;
    inward.direction = Direction::from_ipv4;
    Session session{};
    session.is_udp = true;
    return sessions.add(outward, inward, session, TimePoint{});
  };
  for (std::uint32_t number = 1; number <= config.limits.sessions; ++number)
    ASSERT_NE(add(number), 0U) << "session " << number;
  EXPECT_EQ(add(config.limits.sessions + 1), 0U);
}

TEST(FlatTable, a_reader_sees_whole_entries_or_none) {
  FlatTable<NumberEntry, NumberStorage> table(NumberStorage(64));
  const std::uint32_t slot = table.insert({.sequence = 0, .number = 7, .hash = 0, .copies = {}});
  NumberEntry copy{};
  ASSERT_TRUE(table.read(0, 7U, copy));
  table.update(slot, [](NumberEntry& entry) { entry.copies[0] = 5; });
  ASSERT_TRUE(table.read(0, 7U, copy));
  EXPECT_EQ(copy.copies[0], 5U);
  EXPECT_EQ(copy.sequence % 2, 0U);
  table.at(slot).sequence |= 1U;  // a writer stopped halfway
  EXPECT_FALSE(table.read(0, 7U, copy));
}

TEST(PortSpace, picks_every_free_port_of_a_choice_and_no_other) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  const PortChoice choice{.low = 1000, .high = 1130, .odd = true};
  std::set<std::uint16_t> picked;
  while (const auto port = ports.pick(choice, random)) {
    EXPECT_TRUE(picked.insert(*port).second);
    ports.give_to_binding(*port, 1);
  }
  EXPECT_EQ(picked.size(), 65U);
  EXPECT_EQ(*picked.begin(), 1001);
  EXPECT_EQ(*picked.rbegin(), 1129);
  ports.release(1055);
  EXPECT_EQ(ports.pick(choice, random), 1055);
}

TEST(PortSpace, withheld_ports_are_free_for_nobody_and_come_back_when_granted) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  ports.give_to_binding(1010, 7);
  ports.withhold({.first = Port{1000}, .last = Port{1999}});
  EXPECT_EQ(ports.pick({.low = 1000, .high = 1999, .odd = {}}, random), std::nullopt);
  EXPECT_TRUE(ports.is_free(999));
  EXPECT_TRUE(ports.is_free(2000));
  EXPECT_EQ(ports.owner(1010).binding, 7U) << "who has one keeps it";
  ports.release(1010);
  EXPECT_FALSE(ports.is_free(1010));
  ports.grant({.first = Port{1500}, .last = Port{1500}});
  EXPECT_EQ(ports.pick({.low = 1000, .high = 1999, .odd = {}}, random), 1500);
  ports.give_to_binding(1500, 8);
  ports.withhold({});
  ports.grant({.first = Port{1499}, .last = Port{1501}});
  EXPECT_FALSE(ports.is_free(1500)) << "somebody has it";
  EXPECT_TRUE(ports.is_free(1499));
  EXPECT_TRUE(ports.is_free(1501));
  EXPECT_FALSE(ports.is_free(1498));
}

TEST(PortSpace, ports_of_blocks_are_not_chosen) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  std::vector<std::uint32_t> blocks(PortSpace::word_count, 1);
  blocks[20] = blocks[21] = 0;
  const PortChoice choice{.low = 0, .high = 65535, .odd = {}, .blocks = blocks.data()};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*ports.pick(choice, random) / 128, 10);
  EXPECT_EQ(ports.pick_run(choice, 200, random).count, 128U);
  EXPECT_EQ(ports.pick_run(choice, 200, random).first, 1280);
}

TEST(PortSpace, the_last_free_port_of_all_is_found) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  for (std::uint32_t port = 0; port < PortSpace::port_count; ++port)
    ports.give_to_binding(static_cast<std::uint16_t>(port), 1);
  const PortChoice all{.low = 0, .high = 65535, .odd = std::nullopt};
  EXPECT_EQ(ports.pick(all, random), std::nullopt);
  for (const std::uint16_t last : {std::uint16_t{0}, std::uint16_t{65535}, std::uint16_t{31337}}) {
    ports.release(last);
    EXPECT_EQ(ports.pick(all, random), last);
    ports.give_to_binding(last, 1);
  }
}

TEST(PortSpace, runs_have_the_length_and_parity_asked_for_or_the_most_there_is) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  // 100..199 but for 150 is free.
  for (std::uint32_t port = 0; port < 1000; ++port)
    if (port < 100 || port > 199 || port == 150) ports.give_to_binding(static_cast<std::uint16_t>(port), 1);
  for (int turn = 0; turn < 200; ++turn) {
    const PortRun run = ports.pick_run({.low = 0, .high = 999, .odd = true}, 48, random);
    EXPECT_EQ(run.count, 48U);
    EXPECT_EQ(run.first % 2, 1);
    EXPECT_TRUE((run.first >= 100 && run.first + run.count <= 150) ||
                (run.first > 150 && run.first + run.count <= 200));
  }
  const PortRun fifty = ports.pick_run({.low = 0, .high = 999, .odd = std::nullopt}, 50, random);
  EXPECT_EQ(fifty.first, 100);
  EXPECT_EQ(fifty.count, 50U);
  const PortRun longest = ports.pick_run({.low = 0, .high = 999, .odd = true}, 60, random);
  EXPECT_EQ(longest.count, 49U);
  EXPECT_EQ(ports.pick_run({.low = 0, .high = 99, .odd = std::nullopt}, 2, random).count, 0U);
  EXPECT_EQ(ports.pick_run({.low = 65530, .high = 65535, .odd = std::nullopt}, 9, random).count, 6U);
}

TEST(PortSpace, picks_are_spread_over_the_range) {
  const auto memory = std::make_unique<PortMemory>();
  PortSpace ports(*memory);
  SeededRandom random(1);
  std::vector<int> buckets(16);
  for (int i = 0; i < 16000; ++i)
    ++buckets[*ports.pick({.low = 1024, .high = 65535, .odd = {}}, random) / 4096U];
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    EXPECT_GT(buckets[i], 800);
    EXPECT_LT(buckets[i], 1250);
  }
}

auto good_config() -> Config {
  Config config;
  config.prefix = *Prefix::parse("2001:db8:64:ff9b::/96");
  config.pool = {*Ipv4Address::parse("192.0.2.14")};
  return config;
}

TEST(NatConfig, what_the_rfcs_forbid_is_refused_in_words) {
  EXPECT_TRUE(check(good_config()));
  const auto error = [](auto change) {
    Config config = good_config();
    change(config);
    const auto result = check(config);
    return result ? std::string("fine") : result.error();
  };
  EXPECT_NE(error([](Config& c) { c.prefix = *Prefix::parse("2001:db8::/33"); }).find("RFC 6052 s2.2"),
            std::string::npos);
  EXPECT_NE(
      error([](Config& c) { c.prefix = *Prefix::parse("2001:db8:0:0:ff00::/96"); }).find("bits 64 to 71"),
      std::string::npos);
  EXPECT_NE(error([](Config& c) { c.pool.push_back(c.pool.front()); }).find("192.0.2.14 is listed twice"),
            std::string::npos);
  EXPECT_NE(error([](Config& c) { c.pool.emplace_back(Ipv4Address{0xe0000001}); }).find("224.0.0.1"),
            std::string::npos);
  EXPECT_EQ(error([](Config& c) { c.timeouts.udp = Seconds{119}; }),
            "timeout udp is 119 s, must be 120 to 2592000 s");
  EXPECT_EQ(error([](Config& c) { c.timeouts.udp = Seconds{120}; }), "fine");
  EXPECT_NE(error([](Config& c) { c.timeouts.tcp_established = Seconds{7199}; }), "fine");
  EXPECT_NE(error([](Config& c) { c.timeouts.tcp_closing = Seconds{239}; }), "fine");
  EXPECT_NE(error([](Config& c) { c.timeouts.tcp_opening = Seconds{5}; }), "fine");
  EXPECT_EQ(error([](Config& c) { c.timeouts.tcp_opening = Seconds{6}; }), "fine");
  EXPECT_NE(error([](Config& c) { c.timeouts.icmp = Seconds{59}; }), "fine");
  EXPECT_NE(error([](Config& c) { c.limits.sessions = 0; }), "fine");
  EXPECT_NE(error([](Config& c) { c.ipv6_mtu = 1279; }), "fine");
  EXPECT_NE(error([](Config& c) { c.lowest_ipv6_mtu = 1279; }), "fine");
  EXPECT_NE(error([](Config& c) { c.lowest_ipv6_mtu = 1501; }), "fine");
  EXPECT_EQ(error([](Config& c) { c.lowest_ipv6_mtu = 1500; }), "fine");
}

}  // namespace
}  // namespace portolan::nat::test
