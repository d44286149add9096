// SPDX-License-Identifier: BSD-2-Clause
//
// Answers of the DNS. Properties: addresses and services are no more than are taken, and without addresses
// there is no time; one octet more behind an answer changes nothing.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/check.h"
#include "io/dns_records.h"

namespace portolan::io {
namespace {

void check_addresses(std::span<const std::byte> octets, std::span<const std::byte> longer) {
  const auto records = parse_ipv6_records(octets);
  if (!records) return;
  PORTOLAN_CHECK(records->addresses.size() <= ipv6_records_max);
  PORTOLAN_CHECK(!records->addresses.empty() || records->time_to_live == Seconds{0});
  const auto again = parse_ipv6_records(longer);
  PORTOLAN_CHECK(again && again->addresses == records->addresses &&
                 again->time_to_live == records->time_to_live);
}

void check_services(std::span<const std::byte> octets, std::span<const std::byte> longer) {
  const auto records = parse_service_records(octets);
  if (!records) return;
  PORTOLAN_CHECK(records->size() <= service_records_max);
  PORTOLAN_CHECK(parse_service_records(longer) == records);
}

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  const auto octets = std::as_bytes(std::span(data, size));
  std::vector<std::byte> longer(octets.begin(), octets.end());
  longer.push_back(std::byte{0xff});
  check_addresses(octets, longer);
  check_services(octets, longer);
  return 0;
}

}  // namespace portolan::io
