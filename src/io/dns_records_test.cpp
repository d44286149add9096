// SPDX-License-Identifier: BSD-2-Clause
#include "io/dns_records.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

/// A message with one question, and as many answers as are added.
class Message {
 public:
  Message() {
    append({0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0});
    append({8});
    for (const char letter : std::string_view("ipv4only")) append({static_cast<std::uint8_t>(letter)});
    append({4, 'a', 'r', 'p', 'a', 0, 0, 28, 0, 1});
  }

  /// 2001:db8:64::NUMBER, for so many seconds; its name is that of the question.
  auto with(std::uint8_t number, std::uint8_t time_to_live_s, std::uint8_t type = 28, std::uint8_t size = 16)
      -> Message& {
    append({0xc0, 12, 0, type, 0, 1, 0, 0, 0, time_to_live_s, 0, size});
    std::vector<std::uint8_t> data{0x20, 0x01, 0x0d, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0, number};
    data.resize(size);
    for (const std::uint8_t octet : data) append({octet});
    const unsigned count = ++answers_;
    octets[6] = static_cast<std::byte>(count >> 8U);
    octets[7] = static_cast<std::byte>(count);
    return *this;
  }
  std::vector<std::byte> octets;

 private:
  void append(std::initializer_list<std::uint8_t> values) {
    for (const std::uint8_t value : values) octets.push_back(std::byte{value});
  }
  unsigned answers_ = 0;
};

/// A message with one question for SRV records, and as many as are added.
class ServiceMessage {
 public:
  ServiceMessage() {
    append({0x12, 0x34, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'f', 'o', 'o', 0, 0, 33, 0, 1});
  }

  /// Of the host sip.foo, whose name ends with the question's.
  auto with(std::uint8_t priority, std::uint8_t weight, std::uint8_t type = 33) -> ServiceMessage& {
    append({0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, 12});
    append({0, priority, 0, weight, 0x13, 0xc4, 3, 's', 'i', 'p', 0xc0, 12});
    ++octets[7];
    return *this;
  }
  /// "Nobody has this service."
  auto with_nobody() -> ServiceMessage& {
    append({0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 7, 0, 0, 0, 0, 0, 0, 0});
    ++octets[7];
    return *this;
  }
  [[nodiscard]] auto bytes() const -> std::vector<std::byte> {
    std::vector<std::byte> all(octets.size());
    std::ranges::transform(octets, all.begin(), [](std::uint8_t octet) { return std::byte{octet}; });
    return all;
  }
  std::vector<std::uint8_t> octets;

 private:
  void append(std::initializer_list<std::uint8_t> values) { octets.insert(octets.end(), values); }
};

TEST(DnsRecords, addresses_come_with_the_shortest_time_they_may_be_believed) {
  const auto records = parse_ipv6_records(Message().with(1, 200).with(2, 100).octets);
  ASSERT_TRUE(records) << records.error();
  ASSERT_EQ(records->addresses.size(), 2U);
  EXPECT_EQ(to_string(records->addresses[0]), "2001:db8:64::1");
  EXPECT_EQ(to_string(records->addresses[1]), "2001:db8:64::2");
  EXPECT_EQ(records->time_to_live, Seconds{100});
}

TEST(DnsRecords, others_and_those_of_a_wrong_size_are_left_out) {
  const auto records =
      parse_ipv6_records(Message().with(1, 9, 5, 7).with(2, 9, 28, 15).with(3, 50).with(4, 9, 1, 4).octets);
  ASSERT_TRUE(records);
  ASSERT_EQ(records->addresses.size(), 1U);
  EXPECT_EQ(to_string(records->addresses[0]), "2001:db8:64::3");
  EXPECT_EQ(records->time_to_live, Seconds{50});
}

TEST(DnsRecords, an_answer_without_any_is_none) {
  const auto records = parse_ipv6_records(Message().octets);
  ASSERT_TRUE(records);
  EXPECT_TRUE(records->addresses.empty());
  EXPECT_EQ(records->time_to_live, Seconds{0});
}

TEST(DnsRecords, what_is_cut_off_is_malformed) {
  const auto whole = Message().with(1, 200).octets;
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_ipv6_records(std::span(whole).first(size))) << size;
  EXPECT_TRUE(parse_ipv6_records(whole));
}

TEST(DnsRecords, those_beyond_the_limit_are_left_out) {
  for (const unsigned count : {ipv6_records_max - 1, ipv6_records_max, ipv6_records_max + 1}) {
    Message message;
    for (unsigned i = 0; i < count; ++i) message.with(static_cast<std::uint8_t>(i), 9);
    EXPECT_EQ(parse_ipv6_records(message.octets)->addresses.size(), std::min(count, ipv6_records_max));
  }
}

TEST(DnsRecords, of_a_service_have_host_and_port) {
  const auto records = parse_service_records(ServiceMessage().with(10, 5).with(1, 1, 28).with(20, 0).bytes());
  ASSERT_TRUE(records) << records.error();
  ASSERT_EQ(records->size(), 2U);
  EXPECT_EQ(records->at(0),
            (ServiceRecord{.priority = 10, .weight = 5, .port = Port{5060}, .host = "sip.foo"}));
  EXPECT_EQ(records->at(1).priority, 20);
}

TEST(DnsRecords, of_a_service_that_nobody_has_name_no_host) {
  const auto records = parse_service_records(ServiceMessage().with_nobody().bytes());
  ASSERT_TRUE(records) << records.error();
  ASSERT_EQ(records->size(), 1U);
  EXPECT_EQ(records->at(0).host, "");
}

TEST(DnsRecords, of_a_service_that_are_cut_off_or_lead_in_circles_are_malformed) {
  auto whole = ServiceMessage().with(10, 5).bytes();
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_service_records(std::span(whole).first(size))) << size;
  EXPECT_TRUE(parse_service_records(whole));
  // The host's name goes on where it is itself.
  whole[whole.size() - 1] = static_cast<std::byte>(whole.size() - 2);
  EXPECT_FALSE(parse_service_records(whole));
}

TEST(DnsRecords, of_services_beyond_the_limit_are_left_out) {
  for (const unsigned count : {service_records_max - 1, service_records_max, service_records_max + 1}) {
    ServiceMessage message;
    for (unsigned i = 0; i < count; ++i) message.with(1, 1);
    EXPECT_EQ(parse_service_records(message.bytes())->size(), std::min(count, service_records_max));
  }
}

}  // namespace
}  // namespace portolan::io
