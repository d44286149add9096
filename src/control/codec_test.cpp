// SPDX-License-Identifier: BSD-2-Clause
#include "control/codec.h"

#include <rapidcheck.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "control/test_values.h"

namespace portolan::control {
namespace {

using ::testing::HasSubstr;
using Octets = std::vector<std::byte>;

auto octets(std::initializer_list<unsigned> values) -> Octets {
  Octets made;
  for (const unsigned value : values) made.push_back(static_cast<std::byte>(value));
  return made;
}

template <typename Message>
auto frame_of(const Message& message) -> Octets {
  Octets frame;
  append_frame(message, frame);
  return frame;
}

/// The message of a stream that holds one frame.
auto message_of(const Octets& frame) -> Octets {
  FrameReader reader;
  reader.add(frame);
  const auto message = reader.next();
  EXPECT_TRUE(message && *message) << "not one whole frame";
  if (!message || !*message) return {};
  EXPECT_EQ(reader.buffered(), 0U);
  return {(*message)->begin(), (*message)->end()};
}

auto fault_of(const Request& request) -> std::string {
  const auto decoded = decode_request(message_of(frame_of(request)));
  return decoded ? "none" : decoded.error();
}

auto fault_of(const Reply& reply) -> std::string {
  const auto decoded = decode_reply(message_of(frame_of(reply)));
  return decoded ? "none" : decoded.error();
}

RC_GTEST_PROP(Codec, requests_come_back_as_they_were, (std::uint64_t seed)) {
  Draw draw(seed);
  for (int i = 0; i < 20; ++i) {
    const Request request = draw.request();
    const auto decoded = decode_request(message_of(frame_of(request)));
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(*decoded == request);
  }
}

RC_GTEST_PROP(Codec, replies_come_back_as_they_were, (std::uint64_t seed)) {
  Draw draw(seed);
  for (int i = 0; i < 20; ++i) {
    const Reply reply = draw.reply();
    const auto decoded = decode_reply(message_of(frame_of(reply)));
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(*decoded == reply);
  }
}

RC_GTEST_PROP(Codec, a_stream_may_be_cut_anywhere, (std::uint64_t seed)) {
  Draw draw(seed);
  std::vector<Request> sent;
  Octets stream;
  for (int i = 0; i < 8; ++i) {
    sent.push_back(draw.request());
    append_frame(sent.back(), stream);
  }
  FrameReader reader;
  std::vector<Request> received;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t size = std::min<std::size_t>(1 + draw.number(200), stream.size() - at);
    reader.add(std::span(stream).subspan(at, size));
    at += size;
    for (;;) {
      const auto message = reader.next();
      RC_ASSERT(message.has_value());
      if (!*message) break;
      received.push_back(decode_request(**message).value());
    }
  }
  RC_ASSERT(received == sent);
}

RC_GTEST_PROP(Codec, damaged_messages_are_refused_or_have_a_meaning, (std::uint64_t seed)) {
  Draw draw(seed);
  Octets message = message_of(frame_of(draw.reply()));
  RC_PRE(!message.empty());
  for (int i = 0; i < 3; ++i)
    message[draw.number(message.size() - 1)] = static_cast<std::byte>(draw.number(255));
  if (const auto decoded = decode_reply(message)) {
    RC_ASSERT(decode_reply(message_of(frame_of(*decoded))).value() == *decoded);
  } else {
    RC_ASSERT(!decoded.error().empty());
  }
}

TEST(Codec, the_largest_messages_fit_into_a_frame) {
  const MappingKey key{.realm = Realm{UINT16_MAX},
                       .internal_address = *IpAddress::parse("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
                       .protocol = Protocol{255},
                       .external_family = Family::ipv6,
                       .internal_port = Port{65535}};
  const std::vector<RemoteFilter> filters(
      filters_max,
      RemoteFilter{.remote_peers = Prefix{key.internal_address, 128}, .remote_port = Port{65535}});
  const PortRange ports{.first = Port{65534}, .last = Port{65535}};
  Batch batch{.id = {UINT64_MAX}, .operations = {}};
  batch.operations.assign(operations_max, device::Install{.key = key,
                                                          .external_address = key.internal_address,
                                                          .external_port = Port{65535},
                                                          .match = device::Match::exact,
                                                          .lifetime = lifetime_max,
                                                          .filters = filters,
                                                          .port_count = 65535,
                                                          .preserve_parity = true,
                                                          .external_ports = ports,
                                                          .reserves_companion = true,
                                                          .is_bound_to_address = true});
  EXPECT_LE(frame_of(Request{batch}).size(), message_octets_max);
  EXPECT_EQ(fault_of(Request{batch}), "none");

  InventoryPart part;
  part.mappings.assign(rows_max, {.key = key,
                                  .external_address = key.internal_address,
                                  .external_port = Port{65535},
                                  .port_count = 65535,
                                  .remaining = lifetime_max,
                                  .filters = filters,
                                  .external_ports = ports,
                                  .is_bound_to_address = true,
                                  .preserve_parity = true});
  part.profiles.assign(rows_max, {.realm = Realm{UINT16_MAX},
                                  .internal_prefix = Prefix{key.internal_address, 128},
                                  .subscriber_prefix_length = 128,
                                  .external_address = key.internal_address,
                                  .external_ports = ports,
                                  .port_block_size = UINT16_MAX,
                                  .ports_max = UINT32_MAX,
                                  .sessions_max = UINT32_MAX,
                                  .sessions_per_second_max = UINT32_MAX});
  EXPECT_EQ(fault_of(Reply{part}), "none");
  Counters counters;
  counters.counters.assign(counters_max, {.name = std::string(text_octets_max, 'x'), .value = UINT64_MAX});
  EXPECT_EQ(fault_of(Reply{counters}), "none");
}

TEST(Codec, lists_have_limits) {
  // One element more than may be written, put together from two lists: Protobuf joins them.
  const auto joined = [](const Reply& one, const Reply& other) {
    Octets message = message_of(frame_of(one));
    const Octets more = message_of(frame_of(other));
    message.insert(message.end(), more.begin(), more.end());
    const auto decoded = decode_reply(message);
    return decoded ? "none" : decoded.error();
  };
  nat::PoolRange range(Ipv4Address{0}, Ipv4Address{UINT32_MAX});
  range.weight = nat::pool_weight_max;
  range.ports = {.first = Port{65534}, .last = Port{65535}};
  const auto changed = [&](std::size_t count) { return PoolChanged{std::vector(count, range)}; };
  EXPECT_EQ(joined(changed(pool_ranges_max - 1), changed(0)), "none");
  EXPECT_EQ(joined(changed(pool_ranges_max - 1), changed(1)), "none");
  EXPECT_THAT(joined(changed(pool_ranges_max), changed(1)),
              HasSubstr("pool: has 4097 elements, more than 4096"));
  const BatchResult result{.id = {1},
                           .results = std::vector<device::Result>(operations_max, device::Applied{})};
  const BatchResult one{.id = {1}, .results = {device::Applied{}}};
  EXPECT_THAT(joined(result, one), HasSubstr("results"));
}

TEST(Codec, what_filters_a_mapping_may_have_is_known_before_it_is_sent) {
  const auto with = [](std::size_t count) {
    device::Install install;
    install.filters.resize(count);
    return device::Operation{install};
  };
  EXPECT_TRUE(is_within_limits(with(filters_max - 1)));
  EXPECT_TRUE(is_within_limits(with(filters_max)));
  EXPECT_FALSE(is_within_limits(with(filters_max + 1)));
  EXPECT_TRUE(is_within_limits(device::Remove{}));
}

TEST(Codec, texts_have_a_limit) {
  // Of an Error (field 8), the text (field 2) with 1024 and with 1025 octets.
  const auto error = [](unsigned size) {
    Octets message = octets(
        {0x42, ((size + 3) & 0x7fU) | 0x80U, (size + 3) >> 7U, 0x12, (size & 0x7fU) | 0x80U, size >> 7U});
    message.resize(message.size() + size, std::byte{'x'});
    const auto decoded = decode_reply(message);
    return decoded ? "none" : decoded.error();
  };
  EXPECT_EQ(error(text_octets_max - 1), "none");
  EXPECT_EQ(error(text_octets_max), "none");
  EXPECT_THAT(error(text_octets_max + 1), HasSubstr("text: has 1025 octets, more than 1024"));
}

TEST(Codec, what_numbers_may_not_be_is_named) {
  EXPECT_THAT(fault_of(Request{Batch{.id = {1}, .operations = {device::Install{}}}}),
              HasSubstr("lifetime_seconds: is 0"));
  EXPECT_THAT(fault_of(Request{Batch{.id = {1}, .operations = {device::Remove{.key = {}, .port_count = 0}}}}),
              HasSubstr("port_count: is 0"));
  EXPECT_THAT(fault_of(Request{Query{}}), HasSubstr("number: is 0"));
  EXPECT_THAT(
      fault_of(Request{Query{.number = {1}, .filter = {.internal_port = Port{1}, .external_port = Port{1}}}}),
      "none");
  // An Endpoint with port 65536 as remote_peer of a release_peer: ToGateway.batch, operations, release_peer.
  const auto release =
      decode_request(octets({0x1a, 0x0a, 0x12, 0x08, 0x22, 0x06, 0x12, 0x04, 0x10, 0x80, 0x80, 0x04}));
  ASSERT_FALSE(release);
  EXPECT_THAT(release.error(), HasSubstr("port: 65536 is more than 65535"));
}

TEST(Codec, unknown_messages_and_operations_are_refused) {
  EXPECT_THAT(decode_request({}).error(), HasSubstr("message: is none known here"));
  EXPECT_THAT(decode_reply({}).error(), HasSubstr("message: is none known here"));
  // A batch with an operation of field 15.
  EXPECT_THAT(decode_request(octets({0x1a, 0x04, 0x12, 0x02, 0x7a, 0x00})).error(),
              HasSubstr("operation: is none known here"));
  EXPECT_THAT(decode_request(octets({0x1a, 0x05, 0x12})).error(), HasSubstr("not the encoding of a message"));
}

TEST(FrameReader, a_message_of_the_largest_size_is_read_and_no_larger_one) {
  const auto length = [](std::size_t size) {
    Octets made;
    for (; size >= 0x80; size >>= 7U) made.push_back(static_cast<std::byte>((size & 0x7fU) | 0x80U));
    made.push_back(static_cast<std::byte>(size));
    return made;
  };
  for (const std::size_t size : {message_octets_max - 1, message_octets_max}) {
    FrameReader reader;
    reader.add(length(size));
    EXPECT_EQ(reader.next().value(), std::nullopt);
    reader.add(Octets(size));
    EXPECT_EQ(reader.next().value()->size(), size);
  }
  FrameReader reader;
  reader.add(length(message_octets_max + 1));
  EXPECT_THAT(reader.next().error(), HasSubstr("4194305 octets is longer than 4194304"));
  reader.add(length(0));
  EXPECT_FALSE(reader.next()) << "it goes on behind a mistake";
}

TEST(FrameReader, a_length_has_four_octets_at_most) {
  FrameReader reader;
  reader.add(octets({0x80, 0x80, 0x80}));
  EXPECT_EQ(reader.next().value(), std::nullopt);
  reader.add(octets({0x80}));
  EXPECT_THAT(reader.next().error(), HasSubstr("more than 4 octets"));
  FrameReader whole;
  whole.add(octets({0x80, 0x80, 0x80, 0x80, 0x01}));
  EXPECT_FALSE(whole.next());
}

TEST(FrameReader, an_empty_message_is_a_message) {
  FrameReader reader;
  reader.add(octets({0x00, 0x00}));
  EXPECT_EQ(reader.next().value()->size(), 0U);
  EXPECT_EQ(reader.next().value()->size(), 0U);
  EXPECT_EQ(reader.next().value(), std::nullopt);
}

}  // namespace
}  // namespace portolan::control
