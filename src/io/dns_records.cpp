// SPDX-License-Identifier: BSD-2-Clause
#include "io/dns_records.h"

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"

namespace portolan::io {
namespace {

constexpr std::uint16_t type_aaaa = 28;  // RFC 3596 s2.1

/// A name ends with an empty label, or goes on where it was written before (RFC 1035 s4.1.4).
void skip_name(ByteReader& reader) {
  while (reader.ok()) {
    const auto length = reader.read<std::uint8_t>();
    if ((length & 0xc0U) != 0) return reader.skip(1);
    if (length == 0) return;
    reader.skip(length);
  }
}

}  // namespace

auto parse_ipv6_records(std::span<const std::byte> answer) -> std::expected<Ipv6Records, std::string> {
  ByteReader reader(answer);
  reader.skip(4);
  const auto questions = reader.read<std::uint16_t>();
  const auto answers = std::min<unsigned>(reader.read<std::uint16_t>(), ipv6_records_max);
  reader.skip(4);
  for (unsigned i = 0; i < questions && reader.ok(); ++i) {
    skip_name(reader);
    reader.skip(4);
  }
  Ipv6Records records;
  Seconds lowest = Seconds::max();
  for (unsigned i = 0; i < answers && reader.ok(); ++i) {
    skip_name(reader);
    const auto type = reader.read<std::uint16_t>();
    reader.skip(2);
    const Seconds time_to_live{reader.read<std::uint32_t>()};
    ByteReader data(reader.take(reader.read<std::uint16_t>()));
    if (type != type_aaaa || data.remaining() != sizeof(Ipv6Address)) continue;
    records.addresses.push_back(data.read_address());
    lowest = std::min(lowest, time_to_live);
  }
  if (!reader.ok()) return std::unexpected("the answer is malformed");
  if (!records.addresses.empty()) records.time_to_live = lowest;
  return records;
}

}  // namespace portolan::io
