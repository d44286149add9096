// SPDX-License-Identifier: BSD-2-Clause
//
// The translator under any packets, with and without offload metadata. Properties: what leaves is a
// packet of the other family whose lengths agree with each other, whose IPv4 header checksum is right,
// whose offload metadata points into it, and that fits the MTU; generated packets have right checksums;
// the tables agree with each other to the end.
//
// Input: frames of [control, offload (10 octets, if control says so), size (2 octets), packet]. The last
// octet of all says also what is configured.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "nat/nat64.h"
#include "nat/testing/test_packets.h"

namespace {

using namespace portolan;  // NOLINT(google-build-using-namespace): a program of one file

constexpr std::uint16_t mtu = 1500;

auto as_octets(std::span<const std::byte> bytes) -> std::span<const std::uint8_t> {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

/// Takes parts off the front of the input; empty when it is used up.
class Input {
 public:
  explicit Input(std::span<const std::uint8_t> octets) : octets_(octets) {}
  auto take(std::size_t count) -> std::span<const std::uint8_t> {
    const auto taken = octets_.first(std::min(count, octets_.size()));
    octets_ = octets_.subspan(taken.size());
    return taken;
  }
  auto number(std::size_t octets) -> std::uint64_t {
    std::uint64_t value = 0;
    for (const std::uint8_t octet : take(octets)) value = value << 8U | octet;
    return value;
  }
  [[nodiscard]] auto is_empty() const -> bool { return octets_.empty(); }

 private:
  std::span<const std::uint8_t> octets_;
};

auto make_config(std::uint8_t features) -> nat::Config {
  nat::Config config;
  config.prefix = *Prefix::parse("64:ff9b:1::/96");
  config.pool = {*Ipv4Address::parse("192.0.2.14")};
  config.ipv6_mtu = mtu;
  if ((features & 1U) != 0)
    config.more_prefixes = {*Prefix::parse("64:ff9b::/96"), *Prefix::parse("2001:db9:100::/40")};
  if ((features & 2U) != 0)
    config.filtering = {.udp = nat::Filtering::address_dependent,
                        .tcp = nat::Filtering::address_dependent,
                        .icmp = nat::Filtering::address_dependent};
  if ((features & 4U) != 0) config.untranslated = {*Prefix::parse("198.51.100.0/25")};
  config.answers_unsolicited = (features & 8U) == 0;
  config.copies_traffic_class = (features & 16U) == 0;
  config.completes_udp_checksums = (features & 32U) == 0;
  config.limits = {.bindings = 32,
                   .sessions = 64,
                   .subscribers = 16,
                   .sessions_per_subscriber = 32,
                   .hold_downs = 8,
                   .errors_per_second = 100,
                   .waiting_syns = 4,
                   .fragments = 256};
  return config;
}

void check_forwarded(const nat::Frame& frame, bool had_valid_checksum, bool was_ipv6) {
  const auto packet = as_octets(frame.packet());
  PORTOLAN_CHECK(packet.size() >= 28);
  const bool is_ipv4 = packet[0] >> 4U == 4;
  const std::size_t declared = is_ipv4 ? static_cast<std::size_t>(packet[2]) << 8U | packet[3]
                                       : 40 + (static_cast<std::size_t>(packet[4]) << 8U | packet[5]);
  PORTOLAN_CHECK(declared == packet.size());
  PORTOLAN_CHECK(!is_ipv4 || nat::test::internet_checksum(packet.first(20)) == 0);
  const nat::Offload& offload = frame.offload;
  PORTOLAN_CHECK((offload.flags & ~nat::Offload::needs_csum) == 0);
  if (offload.flags != 0) {
    PORTOLAN_CHECK(offload.csum_start == (is_ipv4 ? 20 : 40));
    PORTOLAN_CHECK(std::size_t{offload.csum_start} + offload.csum_offset + 2 <= packet.size());
  }
  if (offload.gso_type != nat::Offload::gso_none) {
    PORTOLAN_CHECK(offload.gso_size > 0);
    PORTOLAN_CHECK(is_ipv4 || offload.gso_size + 48U <= mtu);
  } else if (!is_ipv4 && !was_ipv6) {
    PORTOLAN_CHECK(packet.size() <= mtu);
  }
  // A right checksum stays right: an attacker's packet may be as wrong as it came.
  if (had_valid_checksum && offload.flags == 0) PORTOLAN_CHECK(nat::test::find_fault(packet).empty());
}

/// Behind IPv6 extension headers find_fault() does not look; a fragment alone says nothing of its packet.
auto is_surely_valid(std::span<const std::uint8_t> packet) -> bool {
  if (packet.size() < 28 || !nat::test::find_fault(packet).empty()) return false;
  if (packet[0] >> 4U == 4) return (packet[6] & 0x3fU) == 0 && packet[7] == 0;
  return packet[6] == 6 || packet[6] == 17 || packet[6] == 58;
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  SeededRandom random(1);
  const nat::Config config = make_config(size == 0 ? 0 : data[size - 1]);
  nat::Nat64 engine(config, random);
  TimePoint now{Seconds{1000}};
  const MappingKey mapped{.realm = {},
                          .internal_address = *IpAddress::parse("2001:db8::2"),
                          .protocol = Protocol::udp,
                          .external_family = Family::ipv4,
                          .internal_port = Port{4000}};
  PORTOLAN_CHECK(engine.install(now, mapped, {}, Seconds{600}).has_value());

  const Endpoint peer{*IpAddress::parse("64:ff9b:1::192.0.2.200"), Port{53}};
  const RemoteFilter filter{.remote_peers = Prefix{peer.address, 124}, .remote_port = {}};
  std::uint32_t pool_end = 0;

  Input input({data, size});
  std::vector<std::byte> buffer;
  while (!input.is_empty()) {
    const auto control = static_cast<std::uint8_t>(input.number(1));
    nat::Offload offload{};
    if ((control & 1U) != 0) {
      const auto raw = input.take(sizeof offload);
      std::memcpy(&offload, raw.data(), raw.size());
    }
    const auto packet = input.take(input.number(2));
    buffer.assign(nat::Frame::headroom_min + packet.size(), std::byte{0});
    std::ranges::copy(std::as_bytes(packet), buffer.begin() + nat::Frame::headroom_min);
    const bool was_valid = is_surely_valid(packet);
    nat::Frame frame{
        .buffer = buffer, .offset = nat::Frame::headroom_min, .size = packet.size(), .offload = offload};
    if (engine.process(now, frame).action == nat::Action::forward)
      check_forwarded(frame, was_valid, packet[0] >> 4U == 6);
    for (auto output = engine.output(); !output.empty(); output = engine.output()) {
      PORTOLAN_CHECK(nat::test::find_fault(as_octets(output)).empty());
      engine.pop_output();
    }
    if ((control & 2U) != 0) {
      now += Seconds{control};
      engine.advance(now);
    }
    if ((control & 4U) != 0) static_cast<void>(engine.remove(now, mapped));
    if ((control & 8U) != 0) static_cast<void>(engine.install_peer(now, mapped, peer, {}, Seconds{control}));
    if ((control & 16U) != 0) static_cast<void>(engine.release_peer(now, mapped, peer));
    if ((control & 32U) != 0)
      static_cast<void>(engine.install(
          now, mapped, {}, Seconds{600},
          {.filters = std::span(&filter, control >> 7U), .port_count = control, .preserve_parity = true}));
    if ((control & 64U) != 0) {
      pool_end ^= 1U;
      static_cast<void>(engine.set_pool(now, {Ipv4Address{0xc000020eU ^ pool_end}}));
    }
  }
  engine.check_invariants();
  return 0;
}
