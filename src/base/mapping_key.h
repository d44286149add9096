// SPDX-License-Identifier: BSD-2-Clause
//
// What identifies an explicit mapping, in the server's table, the store, devices, the control
// protocol and the API alike. The external family is part of it (RFC 6887 erratum 3621), and the
// realm, because internal addresses of different realms may overlap (RFC 7843).
#pragma once

#include <compare>
#include <cstdint>
#include <utility>

#include "base/address.h"
#include "base/hash.h"

namespace portolan {

/// Internal address realm; 0 unless configured.
struct Realm {
  std::uint16_t value = 0;
  auto operator<=>(const Realm&) const = default;
};

struct MappingKey {
  Realm realm;
  IpAddress internal_address;
  Protocol protocol = Protocol::all;
  Family external_family = Family::ipv4;
  Port internal_port;

  auto operator<=>(const MappingKey&) const = default;
};

/// `mapping` with port 0: names a host's ports of one protocol.
[[nodiscard]] inline auto without_port(MappingKey mapping) -> MappingKey {
  mapping.internal_port = Port{0};
  return mapping;
}

/// Keyed hasher for hash containers.
class MappingKeyHash {
 public:
  using is_avalanching = void;

  explicit MappingKeyHash(const HashKey& key) : key_(key) {}

  auto operator()(const MappingKey& mapping) const -> std::size_t {
    const auto [first, second] = mapping.internal_address.bits().words();
    const std::uint64_t rest = std::uint64_t{mapping.realm.value} << 32U |
                               std::uint64_t{mapping.internal_port.value} << 16U |
                               std::uint64_t{std::to_underlying(mapping.protocol)} << 8U |
                               std::uint64_t{std::to_underlying(mapping.external_family)};
    return keyed_hash(key_, {first, second, rest});
  }

 private:
  HashKey key_;
};

}  // namespace portolan
