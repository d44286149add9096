// SPDX-License-Identifier: BSD-2-Clause
//
// A session that is handed datagrams of all kinds while time passes. The input is steps: an octet that says
// what (RTP, RTCP, another plan, digits, the end), one for how much time passes, one for the length of what
// follows. Properties: deadlines lie in the future after advance(); what is sent can be read; no more is
// recorded than time passed; packets that counted were received.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "media/rtcp.h"
#include "media/rtp.h"
#include "media/session.h"

namespace portolan::media {
namespace {

auto endpoint_of(std::uint8_t number) -> Endpoint {
  Ipv6Address address;
  address.octets[15] = number;
  return {.address = IpAddress{address}, .port = Port{number}};
}

auto plan_of(std::uint8_t bits, bool is_opus) -> Plan {
  Plan plan;
  plan.codec = (bits & 1U) != 0 ? Codec::pcma : Codec::pcmu;
  if (is_opus) plan.codec = Codec::opus;
  plan.payload_type = plan.own_payload_type = static_payload_type(plan.codec).value_or(96);
  plan.opus_wishes.in_band_fec = (bits & 1U) != 0;
  if ((bits & 2U) != 0) plan.event_payload_type = 101;
  plan.own_event_payload_types = {102};
  plan.sends = (bits & 4U) != 0;
  plan.receives = (bits & 8U) != 0;
  plan.remote_rtp = endpoint_of(bits >> 4U);
  plan.remote_rtcp = plan.remote_rtp;
  return plan;
}

void check_actions(const MediaActions& actions) {
  for (const MediaSend& send : actions.send) {
    if (send.is_rtcp)
      PORTOLAN_CHECK(decode_rtcp(send.datagram).has_value());
    else
      PORTOLAN_CHECK(decode_rtp(send.datagram).has_value());
  }
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  ByteReader reader(std::as_bytes(std::span(data, size)));
  SeededRandom random{size};
  Session session("fuzz", random);
  MediaTime time{.now = TimePoint{Seconds{1}}, .wall = Seconds{1'700'000'000}};
  const TimePoint began = time.now;
  std::size_t beginnings = 1;
  session.record();
  session.begin(time, plan_of(0xff, false));
  while (reader.remaining() >= 3) {
    const auto kind = reader.read<std::uint8_t>();
    const Milliseconds passed{reader.read<std::uint8_t>() * 4};
    const std::size_t length = reader.read<std::uint8_t>();
    const auto octets = reader.take(std::min(length, reader.remaining()));
    time.now += passed;
    time.wall += passed;
    switch (kind & 7U) {
      case 0:
        ++beginnings;
        session.begin(time, plan_of(octets.empty() ? 0 : std::to_integer<std::uint8_t>(octets[0]),
                                    octets.size() > 1 && (octets[1] & std::byte{1}) != std::byte{0}));
        break;
      case 1:
        static_cast<void>(session.send_digits(
            std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size())));
        break;
      case 2: session.end(time); break;
      case 3: session.receive_rtcp(time, endpoint_of(kind >> 3U), octets); break;
      default: session.receive_rtp(time, endpoint_of(kind >> 3U), octets); break;
    }
    session.advance(time);
    const auto deadline = session.next_deadline();
    PORTOLAN_CHECK(!deadline || *deadline > time.now);
    check_actions(session.take_actions());
    const Statistics statistics = session.statistics();
    PORTOLAN_CHECK(statistics.packets_late <= statistics.packets_received);
    PORTOLAN_CHECK(statistics.packets_undecodable <= statistics.packets_received);
    const auto whole = static_cast<std::size_t>((time.now - began) / Session::packet_time) + beginnings;
    PORTOLAN_CHECK(session.recording().size() <= whole * Session::packet_samples);
  }
  return 0;
}

}  // namespace portolan::media
