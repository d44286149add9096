// SPDX-License-Identifier: BSD-2-Clause
#include "io/dns_records.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/bytes.h"

namespace portolan::io {
namespace {

constexpr std::uint16_t type_aaaa = 28;  // RFC 3596 s2.1
constexpr std::uint16_t type_srv = 33;   // RFC 2782

/// A name ends with an empty label, or goes on where it was written before (RFC 1035 s4.1.4).
void skip_name(ByteReader& reader) {
  while (reader.ok()) {
    const auto length = reader.read<std::uint8_t>();
    if ((length & 0xc0U) != 0) return reader.skip(1);
    if (length == 0) return;
    reader.skip(length);
  }
}

/// Out  how many answers come next
auto skip_questions(ByteReader& reader) -> unsigned {
  reader.skip(4);
  const auto questions = reader.read<std::uint16_t>();
  const auto answers = reader.read<std::uint16_t>();
  reader.skip(4);
  for (unsigned i = 0; i < questions && reader.ok(); ++i) {
    skip_name(reader);
    reader.skip(4);
  }
  return answers;
}

/// The name at `offset` of a message, in dots. Nothing if it is none.
auto name_at(std::span<const std::byte> message, std::size_t offset) -> std::optional<std::string> {
  std::array<char, NS_MAXDNAME> name{};
  const auto* const begin = reinterpret_cast<const unsigned char*>(message.data());
  const int length =
      ::dn_expand(begin, begin + message.size(), begin + offset, name.data(), static_cast<int>(name.size()));
  if (length < 0) return {};
  return std::string(name.data());
}

}  // namespace

auto parse_ipv6_records(std::span<const std::byte> answer) -> std::expected<Ipv6Records, std::string> {
  ByteReader reader(answer);
  const unsigned answers = std::min(skip_questions(reader), ipv6_records_max);
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

auto parse_service_records(std::span<const std::byte> answer)
    -> std::expected<std::vector<ServiceRecord>, std::string> {
  ByteReader reader(answer);
  const unsigned answers = std::min(skip_questions(reader), service_records_max);
  std::vector<ServiceRecord> records;
  for (unsigned i = 0; i < answers && reader.ok(); ++i) {
    skip_name(reader);
    const auto type = reader.read<std::uint16_t>();
    reader.skip(6);
    ByteReader data(reader.take(reader.read<std::uint16_t>()));
    const std::size_t end = answer.size() - reader.remaining();
    if (type != type_srv) continue;
    ServiceRecord record{.priority = data.read<std::uint16_t>(),
                         .weight = data.read<std::uint16_t>(),
                         .port = Port{data.read<std::uint16_t>()}};
    auto host = name_at(answer.first(end), end - data.remaining());
    if (!data.ok() || !host) return std::unexpected("the answer is malformed");
    record.host = std::move(*host);
    records.push_back(std::move(record));
  }
  if (!reader.ok()) return std::unexpected("the answer is malformed");
  return records;
}

}  // namespace portolan::io
