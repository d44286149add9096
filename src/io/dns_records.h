// SPDX-License-Identifier: BSD-2-Clause
//
// What an answer of the DNS (RFC 1035) says of IPv6 addresses and of services. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::io {

/// IPv6 addresses of a name as the resolver's records have them, and how long they may be believed.
struct Ipv6Records {
  std::vector<IpAddress> addresses;
  Seconds time_to_live{0};
};

/// Who has a service, as an SRV record says (RFC 2782).
struct ServiceRecord {
  std::uint16_t priority = 0;  ///< those of the lowest are tried first
  std::uint16_t weight = 0;    ///< how large a part of the clients is to choose it, among its priority
  Port port;
  std::string host = {};  ///< empty: nobody has it
  auto operator==(const ServiceRecord&) const -> bool = default;
};

/// AAAA records taken of one answer.
inline constexpr unsigned ipv6_records_max = 64;

/// The AAAA records of a message, whatever name they are of. Errors  text: it is malformed
[[nodiscard]] auto parse_ipv6_records(std::span<const std::byte> answer)
    -> std::expected<Ipv6Records, std::string>;

/// SRV records taken of one answer.
inline constexpr unsigned service_records_max = 32;

/// The SRV records of a message, whatever name they are of. Errors  text: it is malformed
[[nodiscard]] auto parse_service_records(std::span<const std::byte> answer)
    -> std::expected<std::vector<ServiceRecord>, std::string>;

}  // namespace portolan::io
