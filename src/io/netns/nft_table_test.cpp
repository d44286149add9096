// SPDX-License-Identifier: BSD-2-Clause
//
// A table of nftables with the real kernel and the real nft(8).
#include "io/nft_table.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/child_program.h"
#include "io/netns/private_network.h"
#include "io/testing.h"
#include "io/udp.h"

namespace portolan::io {
namespace {

using testing::address;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::octets_of;
using ::testing::SizeIs;

constexpr std::string_view skeleton = R"(
table ip test {
  map inbound { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; size 65536; }
  map outbound { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; size 65536; }
  map owners { type inet_service : ipv4_addr; flags timeout; }
  set small { type ipv4_addr; size 2; }
  set allowed { type inet_proto . ipv4_addr . inet_service; flags interval, timeout; }
}
)";

auto key(unsigned number) -> NftFields {
  NftFields fields;
  fields.add(Protocol::udp).add(Ipv4Address{0xc0000201U + (number >> 16U)});
  return fields.add(Port{static_cast<std::uint16_t>(number)});
}

auto data(std::string_view text, std::uint16_t port) -> NftFields {
  return NftFields{}.add(address(text)).add(Port{port});
}

auto mapping(unsigned number, Seconds timeout = {}) -> NftElement {
  return {.set = "inbound", .key = key(number), .data = data("198.51.100.7", 4000), .timeout = timeout};
}

class NftTableTest : public testing::PrivateNetwork {
 protected:
  void SetUp() override {
    PrivateNetwork::SetUp();
    table_.emplace(opened());
    const auto loaded = table().load(skeleton);
    ASSERT_TRUE(loaded) << loaded.error();
    EXPECT_FALSE(table().was_changed_by_others());
  }
  static auto opened(Family family = Family::ipv4) -> NftTable {
    auto table = NftTable::open({.family = family, .name = "test"});
    if (!table) throw std::runtime_error(table.error());
    return std::move(*table);
  }
  auto table() -> NftTable& { return table_.value(); }
  auto batch() -> NftBatch& { return batch_; }
  /// Commits batch() and clears it: 0, or what the kernel refused with.
  auto commit() -> int {
    const auto done = table().commit(batch_);
    batch_.clear();
    return done ? 0 : done.error().number;
  }
  auto add(const NftElement& element) -> int {
    batch().add(element);
    return commit();
  }
  auto found(std::string_view set, const NftFields& key) -> std::optional<NftFound> {
    auto answer = table().find(set, key);
    if (!answer) throw std::runtime_error(to_string(answer.error()));
    return *answer;
  }
  auto count(std::string_view set) -> std::size_t {
    auto answer = table().list(set);
    if (!answer) throw std::runtime_error(to_string(answer.error()));
    return answer->size();
  }
  /// Somebody else's nft(8).
  static void nft(std::string_view text) {
    const auto end = run_program("nft", {"-f", "-"}, text);
    ASSERT_TRUE(end) << end.error();
    ASSERT_EQ(end->exit_code, 0) << end->errors;
  }
  [[nodiscard]] auto is_readable() -> bool {
    pollfd entry{.fd = table().descriptor(), .events = POLLIN, .revents = 0};
    return ::poll(&entry, 1, 0) == 1;
  }

 private:
  std::optional<NftTable> table_;
  NftBatch batch_;
};

TEST_F(NftTableTest, table_is_there_after_it_is_loaded_until_it_is_removed) {
  EXPECT_TRUE(table().exists().value());
  EXPECT_TRUE(table().remove().value());
  EXPECT_FALSE(table().exists().value());
  EXPECT_FALSE(table().remove().value());
}

TEST_F(NftTableTest, tables_of_the_other_family_are_others) {
  NftTable other = opened(Family::ipv6);
  EXPECT_FALSE(other.exists().value());
  ASSERT_TRUE(other.load("table ip6 test { set hosts { type ipv6_addr; }; }"));
  EXPECT_FALSE(table().was_changed_by_others());
  EXPECT_TRUE(other.remove().value());
  EXPECT_TRUE(table().exists().value());
}

TEST_F(NftTableTest, text_that_nft_refuses_is_told_with_its_line_and_changes_nothing) {
  const auto loaded = table().load("table ip test { set more { type ipv4_addr; }\n nonsense }\n");
  ASSERT_FALSE(loaded);
  EXPECT_THAT(loaded.error(), HasSubstr("nft(8): "));
  EXPECT_THAT(loaded.error(), HasSubstr(":2:"));
  const auto more = table().list("more");
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().number, ENOENT);
}

TEST_F(NftTableTest, text_of_megabytes_is_read_to_its_end) {
  std::string text(4 << 20, '#');
  text += "\nadd element ip test small { 192.0.2.1 }\n";
  ASSERT_TRUE(table().load(text));
  EXPECT_EQ(count("small"), 1U);
}

TEST_F(NftTableTest, errors_longer_than_a_pipe_holds_are_cut) {
  // It shows the line.
  std::string text = "add element ip test no_such_set { 192.0.2.1";
  for (int number = 0; number < 10'000; ++number) text += ", 192.0.2.1";
  text += " }\n";
  const auto loaded = table().load(text);
  ASSERT_FALSE(loaded);
  EXPECT_GT(loaded.error().size(), 1000U);
  EXPECT_LT(loaded.error().size(), 5000U);
}

TEST_F(NftTableTest, nft_is_found_where_the_path_does_not_lead) {
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const auto loaded = table().load("add element ip test small { 192.0.2.1 }");
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_TRUE(loaded) << loaded.error();
}

TEST_F(NftTableTest, program_that_is_not_there_or_fails_is_told) {
  const auto missing = run_program("no-such-program-of-ours", {}, "");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error(), "no-such-program-of-ours: No such file or directory");
  EXPECT_EQ(run_program("false", {}, "").value().exit_code, 1);
  // It does not read; that is no reason for this program to end.
  EXPECT_EQ(run_program("true", {}, std::string(1 << 20, 'x')).value().exit_code, 0);
}

TEST_F(NftTableTest, element_is_found_as_it_was_added) {
  ASSERT_EQ(add(mapping(53, Seconds{100})), 0);
  const auto element = found("inbound", key(53));
  ASSERT_TRUE(element);
  EXPECT_EQ(element->key, key(53));
  EXPECT_EQ(element->key.protocol_at(0), Protocol::udp);
  EXPECT_EQ(to_string(element->key.ipv4_at(4)), "192.0.2.1");
  EXPECT_EQ(element->key.port_at(8), Port{53});
  EXPECT_EQ(element->data, data("198.51.100.7", 4000));
  EXPECT_GT(element->expires_in, Seconds{90});
  EXPECT_LE(element->expires_in, Seconds{100});
  EXPECT_FALSE(found("inbound", key(54)));
  EXPECT_FALSE(found("outbound", key(53)));
}

TEST_F(NftTableTest, nft_sees_the_elements) {
  batch().add(mapping(53, Seconds{3600}));
  batch().add(
      {.set = "owners", .key = NftFields{}.add(Port{80}), .data = NftFields{}.add(address("192.0.2.9"))});
  ASSERT_EQ(commit(), 0);
  // It fails if there is no such element.
  nft("delete element ip test inbound { udp . 192.0.2.1 . 53 : 198.51.100.7 . 4000 }");
  nft("delete element ip test owners { 80 : 192.0.2.9 }");
  EXPECT_EQ(count("inbound"), 0U);
}

TEST_F(NftTableTest, fields_that_stand_alone_have_their_own_size) {
  const NftFields port = NftFields{}.add(Port{443});
  ASSERT_EQ(add({.set = "owners", .key = port, .data = NftFields{}.add(address("198.51.100.9"))}), 0);
  const auto element = found("owners", port);
  ASSERT_TRUE(element);
  EXPECT_EQ(element->key.port_at(0), Port{443});
  EXPECT_EQ(to_string(element->data.ipv4_at(0)), "198.51.100.9");
}

TEST_F(NftTableTest, elements_without_timeout_stay_and_a_hundred_years_are_no_limit) {
  const Seconds century{std::chrono::hours{24 * 36525}};
  batch().add(mapping(1));
  batch().add(mapping(2, century));
  ASSERT_EQ(commit(), 0);
  EXPECT_EQ(found("inbound", key(1)).value().expires_in, Seconds{0});
  EXPECT_GT(found("inbound", key(2)).value().expires_in, century - Seconds{10});
  EXPECT_LE(found("inbound", key(2)).value().expires_in, century);
  EXPECT_EQ(add(mapping(3, Seconds::max())), ERANGE);
}

TEST_F(NftTableTest, element_runs_out_and_nobody_has_changed_anything) {
  ASSERT_EQ(add(mapping(7, Seconds{1})), 0);
  const TimePoint limit = monotonic_now() + Seconds{10};
  while (found("inbound", key(7)).has_value()) ASSERT_LT(monotonic_now(), limit);
  EXPECT_EQ(count("inbound"), 0U);
  batch().remove(mapping(7));
  EXPECT_EQ(commit(), ENOENT);
  ASSERT_EQ(add(mapping(7)), 0);
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST_F(NftTableTest, change_refused_in_the_middle_leaves_all_as_it_was) {
  ASSERT_EQ(add(mapping(1)), 0);
  batch().add(mapping(2));
  batch().remove(mapping(3));  // which is not there
  batch().remove(mapping(1));
  batch().add(mapping(4));
  EXPECT_EQ(commit(), ENOENT);
  EXPECT_TRUE(found("inbound", key(1)));
  EXPECT_EQ(count("inbound"), 1U);

  batch().add(mapping(2));
  batch().add({.set = "no_such_set", .key = key(1)});
  batch().add(mapping(5));
  EXPECT_EQ(commit(), ENOENT);
  EXPECT_EQ(count("inbound"), 1U);
  // Nothing of it is left for the next one to read.
  EXPECT_EQ(add(mapping(6)), 0);
  EXPECT_EQ(count("inbound"), 2U);
}

TEST_F(NftTableTest, first_of_several_refusals_is_told) {
  ASSERT_EQ(add(mapping(1)), 0);
  NftElement other = mapping(1);
  other.data = data("198.51.100.8", 1);
  batch().add(other);
  batch().remove(mapping(3));
  EXPECT_EQ(commit(), EEXIST);
  batch().remove(mapping(3));
  batch().add(other);
  EXPECT_EQ(commit(), ENOENT);
}

TEST_F(NftTableTest, more_refusals_than_the_socket_holds_are_a_refusal) {
  NftBatch many;
  // Messages of their own, since the sets alternate.
  for (unsigned number = 0; number < 5000; ++number) {
    many.remove({.set = "inbound", .key = key(number)});
    many.remove({.set = "outbound", .key = key(number)});
  }
  const auto done = table().commit(many);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().number, ENOENT);
  EXPECT_EQ(add(mapping(1)), 0);
}

TEST_F(NftTableTest, set_that_is_full_refuses) {
  const auto host = [](std::string_view text) {
    return NftElement{.set = "small", .key = NftFields{}.add(address(text))};
  };
  batch().add(host("192.0.2.1"));
  batch().add(host("192.0.2.2"));
  EXPECT_EQ(commit(), 0);
  EXPECT_EQ(add(host("192.0.2.3")), ENFILE);
  EXPECT_EQ(count("small"), 2U);
}

TEST_F(NftTableTest, element_added_again_is_as_it_was_and_removed_before_is_new) {
  ASSERT_EQ(add(mapping(1, Seconds{1000})), 0);
  EXPECT_EQ(add(mapping(1, Seconds{1000})), 0);
  NftElement moved = mapping(1, Seconds{5000});
  moved.data = data("198.51.100.8", 1);
  EXPECT_EQ(add(moved), EEXIST);
  batch().remove(mapping(1));
  batch().add(moved);
  EXPECT_EQ(commit(), 0);
  EXPECT_EQ(found("inbound", key(1)).value().data, moved.data);
  EXPECT_GT(found("inbound", key(1)).value().expires_in, Seconds{4000});
}

TEST_F(NftTableTest, changes_happen_in_their_order) {
  ASSERT_EQ(add(mapping(1)), 0);
  batch().add(mapping(2));
  batch().remove_all("inbound");
  batch().add(mapping(3));
  batch().add({.set = "outbound", .key = key(3), .data = data("192.0.2.1", 3)});
  batch().add(mapping(4));
  batch().remove(mapping(3));
  ASSERT_EQ(commit(), 0);
  const auto left = table().list("inbound");
  ASSERT_TRUE(left) << to_string(left.error());
  ASSERT_THAT(*left, SizeIs(1));
  EXPECT_EQ(left->front().key, key(4));
  EXPECT_EQ(count("outbound"), 1U);
}

TEST_F(NftTableTest, nothing_is_a_batch_too) { EXPECT_EQ(commit(), 0); }

TEST_F(NftTableTest, interval_holds_all_between_its_ends) {
  const auto corner = [](std::string_view text, std::uint16_t port) {
    return NftFields{}.add(Protocol::tcp).add(address(text)).add(Port{port});
  };
  const NftElement block{.set = "allowed",
                         .key = corner("192.0.2.0", 1000),
                         .key_end = corner("192.0.2.255", 1999),
                         .timeout = Seconds{60}};
  const NftElement single{.set = "allowed", .key = corner("198.51.100.1", 7)};
  batch().add(block);
  batch().add(single);
  ASSERT_EQ(commit(), 0);
  EXPECT_TRUE(found("allowed", corner("192.0.2.77", 1500)));
  EXPECT_TRUE(found("allowed", corner("192.0.2.255", 1999)));
  EXPECT_FALSE(found("allowed", corner("192.0.2.77", 2000)));
  EXPECT_FALSE(found("allowed", corner("192.0.3.0", 1500)));
  EXPECT_TRUE(found("allowed", single.key));
  EXPECT_FALSE(found("allowed", corner("198.51.100.1", 8)));
  batch().remove(block);
  ASSERT_EQ(commit(), 0);
  EXPECT_FALSE(found("allowed", corner("192.0.2.77", 1500)));
  EXPECT_EQ(count("allowed"), 1U);
}

TEST_F(NftTableTest, twenty_thousand_elements_are_one_change_of_ours) {
  constexpr unsigned many = 20'000;
  NftBatch all;
  for (unsigned number = 0; number < many; ++number) all.add(mapping(number, Seconds{7200}));
  const auto added = table().commit(all);
  ASSERT_TRUE(added) << to_string(added.error());
  EXPECT_FALSE(is_readable());
  EXPECT_EQ(count("inbound"), many);
  for (const unsigned number : {0U, 1U, 9'999U, many - 1}) EXPECT_TRUE(found("inbound", key(number)));
  EXPECT_FALSE(found("inbound", key(many)));

  // The last one of the next batch spoils it.
  NftBatch spoiled;
  for (unsigned number = 0; number < many; ++number) spoiled.remove(mapping(number));
  spoiled.remove(mapping(many));
  const auto refused = table().commit(spoiled);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().number, ENOENT);
  EXPECT_EQ(count("inbound"), many);

  // Each a message of its own.
  NftBatch renewed;
  for (unsigned number = 0; number < many; ++number) {
    renewed.remove(mapping(number));
    renewed.add(mapping(number, Seconds{9000}));
  }
  const auto again = table().commit(renewed);
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_GT(found("inbound", key(many / 2)).value().expires_in, Seconds{8000});
  batch().remove_all("inbound");
  ASSERT_EQ(commit(), 0);
  EXPECT_EQ(count("inbound"), 0U);
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST_F(NftTableTest, ipv6_addresses_are_keys_and_data) {
  NftTable six = opened(Family::ipv6);
  ASSERT_TRUE(
      six.load("table ip6 test {\n map pinholes { type inet_proto . ipv6_addr . inet_service : ipv6_addr; }\n"
               " set few { type ipv6_addr . ipv6_addr; flags interval; }\n}"));
  const Ipv6Address host = Ipv6Address::parse("2001:db8::7").value();
  const auto where = NftFields{}.add(Protocol::sctp).add(host).add(Port{9});
  const auto range = [](std::string_view first, std::string_view second) {
    return NftFields{}.add(address(first)).add(address(second));
  };
  NftBatch two;
  two.add({.set = "pinholes", .key = where, .data = NftFields{}.add(address("2001:db8:1::8"))});
  two.add({.set = "few",
           .key = range("2001:db8::", "2001:db8:5::"),
           .key_end = range("2001:db8::ffff", "2001:db8:5:ffff:ffff:ffff:ffff:ffff")});
  const auto done = six.commit(two);
  ASSERT_TRUE(done) << to_string(done.error());
  const auto element = six.find("pinholes", where).value();
  ASSERT_TRUE(element);
  EXPECT_EQ(element->key.ipv6_at(4), host);
  EXPECT_EQ(element->key.port_at(20), Port{9});
  EXPECT_EQ(to_string(element->data.ipv6_at(0)), "2001:db8:1::8");
  EXPECT_TRUE(six.find("few", range("2001:db8::77", "2001:db8:5::1")).value());
  EXPECT_FALSE(six.find("few", range("2001:db8::1:0", "2001:db8:5::1")).value());
}

TEST_F(NftTableTest, flush_behind_its_back_is_told_once) {
  nft("flush ruleset");
  EXPECT_TRUE(is_readable());
  EXPECT_TRUE(table().was_changed_by_others());
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(table().was_changed_by_others());
  EXPECT_FALSE(table().exists().value());
}

TEST_F(NftTableTest, every_part_that_others_change_is_told) {
  ASSERT_EQ(add(mapping(1)), 0);
  for (const auto* change : {
           "add element ip test small { 192.0.2.1 }",
           "delete element ip test small { 192.0.2.1 }",
           "flush map ip test inbound",
           "add chain ip test mine",
           "add rule ip test mine accept",
           "flush chain ip test mine",
           "delete chain ip test mine",
           "add set ip test mine { type ipv4_addr; }",
           "delete set ip test mine",
           "add counter ip test mine",
           "delete counter ip test mine",
           "delete table ip test",
           "add table ip test",
       }) {
    nft(change);
    EXPECT_TRUE(table().was_changed_by_others()) << change;
    EXPECT_FALSE(table().was_changed_by_others()) << change;
  }
}

TEST_F(NftTableTest, other_tables_are_not_ours) {
  nft("table ip tests { set small { type ipv4_addr; elements = { 192.0.2.1 }; }; }");
  nft("table ip6 test { set small { type ipv6_addr; }; }");
  nft("table inet test { chain forward { type filter hook forward priority 0; policy drop; }; }");
  nft("delete table inet test");
  EXPECT_TRUE(is_readable());
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST_F(NftTableTest, own_changes_are_not_others) {
  ASSERT_EQ(add(mapping(1)), 0);
  batch().remove_all("inbound");
  ASSERT_EQ(commit(), 0);
  EXPECT_TRUE(table().remove().value());
  EXPECT_FALSE(is_readable());
  ASSERT_TRUE(table().load(skeleton));
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST_F(NftTableTest, change_of_others_around_a_load_is_told) {
  nft("add element ip test small { 192.0.2.1 }");
  ASSERT_TRUE(table().load("add element ip test small { 192.0.2.2 }"));
  EXPECT_TRUE(table().was_changed_by_others());
  ASSERT_TRUE(table().load("delete element ip test small { 192.0.2.2 }"));
  nft("delete element ip test small { 192.0.2.1 }");
  EXPECT_TRUE(table().was_changed_by_others());
}

TEST_F(NftTableTest, words_that_were_lost_are_a_change) {
  const int room = 1;  // the kernel makes it the least there is
  ASSERT_EQ(::setsockopt(table().descriptor(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
  // Words of other tables: that some were lost is all there is to see.
  std::string text = "table ip others { set many { type ipv4_addr; }; }\n";
  for (int number = 0; number < 250; ++number)
    text += fmt::format("add element ip others many {{ 192.0.2.{} }}\n", number);
  nft(text);
  EXPECT_TRUE(table().was_changed_by_others());
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST_F(NftTableTest, elements_that_packets_add_are_nobodys_change) {
  ASSERT_TRUE(
      table().load("table ip test {\n map seen { type inet_proto . inet_service : ipv4_addr; flags dynamic, "
                   "timeout; timeout 1h; }\n"
                   " chain out { type filter hook output priority 0; meta l4proto udp update @seen { meta "
                   "l4proto . udp dport : ip saddr }; }\n}"));
  EXPECT_FALSE(table().was_changed_by_others());
  auto socket = UdpSocket::open({.bind_address = address("127.0.0.1")});
  ASSERT_TRUE(socket) << socket.error();
  const OutgoingDatagram datagram{.destination = {address("127.0.0.1"), Port{9}}, .payload = octets_of("x")};
  ASSERT_EQ(socket->send(datagram).sent, 1U);
  const auto element = found("seen", NftFields{}.add(Protocol::udp).add(Port{9}));
  ASSERT_TRUE(element);
  EXPECT_EQ(to_string(element->data.ipv4_at(0)), "127.0.0.1");
  EXPECT_GT(element->expires_in, Seconds{3500});
  EXPECT_FALSE(is_readable());
  EXPECT_FALSE(table().was_changed_by_others());
}

TEST(NftFieldsTest, are_filled_up_if_there_are_several) {
  EXPECT_THAT(NftFields{}.add(Port{0x1234}).octets(), ElementsAre(std::byte{0x12}, std::byte{0x34}));
  EXPECT_THAT(NftFields{}.add(Protocol::tcp).add(Port{0x1234}).octets(),
              ElementsAre(std::byte{6}, std::byte{}, std::byte{}, std::byte{}, std::byte{0x12},
                          std::byte{0x34}, std::byte{}, std::byte{}));
  EXPECT_TRUE(NftFields{}.is_empty());
}

TEST(NftFieldsTest, that_are_not_there_are_zero) {
  const NftFields fields = NftFields{}.add(Port{80});
  EXPECT_EQ(fields.port_at(4), Port{0});
  EXPECT_EQ(fields.ipv6_at(NftFields::octets_max - 4), Ipv6Address{});
  const std::array<std::byte, NftFields::octets_max + 1> more{};
  EXPECT_THAT(NftFields::of(more).octets(), SizeIs(NftFields::octets_max));
}

}  // namespace
}  // namespace portolan::io
