// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT64 prefix of a network: the PREF64 option of router advertisements (RFC 8781), the addresses that a
// DNS64 makes for ipv4only.arpa (RFC 7050), and which of the sources counts.
//
//    0                   1                   2                   3
//    0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//   |  Type (38)    |  Length (2)   |   Scaled Lifetime       | PLC |
//   |              Highest 96 bits of the prefix                    |
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::discovery {

/// By prefix length code.
inline constexpr std::array<unsigned, 6> pref64_lengths{96, 64, 56, 48, 40, 32};

struct Pref64 {
  Prefix prefix;
  Seconds lifetime{0};  ///< 0: not to be used any more
  auto operator==(const Pref64&) const -> bool = default;
};

/// PREF64 options among `options`, neighbour discovery options one behind the other. Others, and those that
/// the RFC says to ignore, are left out; one that is cut ends the list.
///
/// Spec  RFC 8781 s4, s4.1; RFC 4861 s4.6
[[nodiscard]] auto parse_pref64_options(std::span<const std::byte> options) -> std::vector<Pref64>;

/// The name that only IPv4 addresses belong to (RFC 7050 s8.1), asked for by its AAAA records.
inline constexpr std::string_view ipv4only_name = "ipv4only.arpa";

/// Prefixes in the addresses that a resolver gave for ipv4only_name, in their order, none twice.
///
/// Spec  RFC 7050 s3: a well-known IPv4 address at a place of RFC 6052 s2.2, and only once in the address
[[nodiscard]] auto prefixes_of_answers(std::span<const IpAddress> answers) -> std::vector<Prefix>;

/// The IPv6 address by which a NAT64 with this prefix reaches an IPv4 host.
///
/// Spec  RFC 6052 s2.2
/// In    prefix: of 32, 40, 48, 56, 64 or 96 bits
[[nodiscard]] auto synthesize(const Prefix& prefix, Ipv4Address address) -> IpAddress;

/// Where a prefix was learned, the best source first (RFC 8781 s5.1).
enum class PrefixSource : std::uint8_t { pcp, router_advertisement, dns };
[[nodiscard]] auto to_string(PrefixSource source) -> std::string_view;

/// What has been learned, and until when it holds.
class Nat64Prefixes {
 public:
  /// At a time; one more is not learned.
  static constexpr std::size_t prefixes_max = 64;

  struct Entry {
    PrefixSource source = PrefixSource::dns;
    std::uint32_t interface_index = 0;  ///< 0: any
    Prefix prefix;
    TimePoint until;
    auto operator==(const Entry&) const -> bool = default;
  };

  /// A prefix, or the same for longer or shorter; a lifetime of 0 takes it back.
  void learn(TimePoint now, PrefixSource source, std::uint32_t interface_index, const Pref64& learned);
  /// What a source said before is void: its answer is new, or its interface is gone.
  void forget(PrefixSource source, std::uint32_t interface_index);
  /// Lets go of what is over.
  void advance(TimePoint now);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// Those to use, in the order learned: of the best source that has any (RFC 8781 s5.1).
  [[nodiscard]] auto in_use() const -> std::vector<Entry>;

 private:
  std::vector<Entry> entries_;
};

}  // namespace portolan::discovery
