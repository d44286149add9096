// SPDX-License-Identifier: BSD-2-Clause
//
// Opus packets as anybody sends them, through the jitter buffer. The input is packets: an octet that says how
// many samples are taken before it comes, two for how far its timestamp is from the one before, one for its
// length. Properties: a length is one that Opus has; no more samples come by packets than these had; a packet
// counts as late, and as undecodable, once at most; whatever a decoder got, when it is reset it gives what a
// new one would.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "media/codec.h"
#include "media/jitter_buffer.h"

namespace portolan::media {
namespace {

constexpr std::size_t shortest_frame = 20;
constexpr std::size_t longest_packet = 960;

auto decoded(Decoder& decoder, std::span<const std::byte> payload, std::size_t length)
    -> std::optional<std::vector<std::int16_t>> {
  std::vector<std::int16_t> samples(length);
  if (!decoder.decode(payload, samples)) return {};
  return samples;
}

void check_reset(Decoder& used, std::span<const std::byte> payload) {
  const auto fresh = make_decoder(Codec::opus);
  const auto length = fresh->length_of(payload);
  PORTOLAN_CHECK(used.length_of(payload) == length);
  if (!length) return;
  PORTOLAN_CHECK(*length >= shortest_frame && *length <= longest_packet && *length % shortest_frame == 0);
  std::vector<std::int16_t> concealed(*length);
  static_cast<void>(decoded(used, payload, *length));
  used.conceal(concealed, payload);
  used.reset();
  PORTOLAN_CHECK(decoded(used, payload, *length) == decoded(*fresh, payload, *length));
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  ByteReader reader(std::as_bytes(std::span(data, size)));
  JitterBuffer buffer(make_decoder(Codec::opus), clock_rate(Codec::opus));
  const auto decoder = make_decoder(Codec::opus);
  std::uint32_t timestamp = 0;
  std::uint64_t packets = 0;
  std::size_t heard = 0;
  std::size_t held = 0;
  while (reader.remaining() >= 4) {
    const std::size_t taken = reader.read<std::uint8_t>() * std::size_t{4};
    timestamp += static_cast<std::uint32_t>(static_cast<std::int16_t>(reader.read<std::uint16_t>()));
    const std::size_t length = reader.read<std::uint8_t>();
    const auto payload = reader.take(std::min(length, reader.remaining()));
    std::vector<std::int16_t> out(taken);
    heard += buffer.take(out);
    held += decoder->length_of(payload).value_or(0);
    buffer.put(timestamp, payload);
    ++packets;
    PORTOLAN_CHECK(buffer.delay() >= JitterBuffer::delay_first && buffer.delay() <= JitterBuffer::delay_max);
    if (packets <= 16) check_reset(*decoder, payload);
  }
  std::vector<std::int16_t> rest(JitterBuffer::capacity);
  heard += buffer.take(rest);
  PORTOLAN_CHECK(heard <= held);
  PORTOLAN_CHECK(buffer.late() <= packets && buffer.undecodable() <= packets);
  return 0;
}

}  // namespace portolan::media
