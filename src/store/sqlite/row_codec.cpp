// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/row_codec.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace portolan::store {
namespace {

constexpr std::size_t address_octets = 16;

// Octet of flags of a mapping.
constexpr std::uint8_t prefers_failure = 1;
constexpr std::uint8_t has_details = 2;
constexpr std::uint8_t has_description = 4;
constexpr std::uint8_t has_third_party = 8;
constexpr std::uint8_t preserves_parity = 16;
constexpr std::uint8_t all_flags =
    prefers_failure | has_details | has_description | has_third_party | preserves_parity;

/// Appends big-endian fields.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& octets) : octets_(octets) { octets_.clear(); }

  template <std::unsigned_integral Number>
  void number(Number value) {
    std::array<std::byte, sizeof(Number)> field;
    ByteWriter(field).write(value);
    octets_.insert(octets_.end(), field.begin(), field.end());
  }
  void time(Nanoseconds value) { number(static_cast<std::uint64_t>(value.count())); }
  void address(const IpAddress& value) { append(std::as_bytes(std::span(value.bits().octets))); }
  void prefix(const Prefix& value) {
    address(value.address());
    number(static_cast<std::uint8_t>(value.length()));
  }
  void append(std::span<const std::byte> field) { octets_.insert(octets_.end(), field.begin(), field.end()); }
  /// With its length before it.
  void field(std::span<const std::byte> value) {
    PORTOLAN_CHECK(value.size() <= field_octets_max);
    number(static_cast<std::uint16_t>(value.size()));
    append(value);
  }

 private:
  std::vector<std::byte>& octets_;
};

/// Reads what Writer wrote; is_whole() says whether all was there, legal, and nothing else.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> octets) : reader_(octets) {}

  template <std::unsigned_integral Number>
  auto number() -> Number {
    return reader_.read<Number>();
  }
  auto time() -> Nanoseconds { return Nanoseconds{static_cast<std::int64_t>(number<std::uint64_t>())}; }
  auto address() -> IpAddress { return reader_.read_address(); }
  auto prefix() -> Prefix {
    const IpAddress bits = address();
    const auto length = number<std::uint8_t>();
    if (length > 128) {
      is_legal_ = false;
      return {};
    }
    return {bits, length};
  }
  void copy_to(std::span<std::byte> out) { reader_.copy_to(out); }
  auto field() -> std::span<const std::byte> { return reader_.take(number<std::uint16_t>()); }
  void require(bool legal) { is_legal_ = is_legal_ && legal; }
  [[nodiscard]] auto is_whole() const -> bool {
    return is_legal_ && reader_.ok() && reader_.remaining() == 0;
  }

 private:
  ByteReader reader_;
  bool is_legal_ = true;
};

auto text_of(std::span<const std::byte> octets) -> std::string {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

}  // namespace

void encode_key(const ContractKey& key, std::vector<std::byte>& octets) {
  Writer writer(octets);
  writer.number(std::uint32_t{key.mapping.realm.value});
  writer.address(key.mapping.internal_address);
  writer.number(std::to_underlying(key.mapping.protocol));
  writer.number(key.mapping.internal_port.value);
  writer.number(std::to_underlying(key.mapping.external_family));
  writer.address(key.remote_peer.address);
  writer.number(key.remote_peer.port.value);
  static_assert(key_octets == 4 + address_octets + 1 + 2 + 1 + address_octets + 2);
}

auto decode_key(std::span<const std::byte> octets) -> std::optional<ContractKey> {
  Reader reader(octets);
  ContractKey key;
  const auto realm = reader.number<std::uint32_t>();
  reader.require(realm <= std::numeric_limits<std::uint16_t>::max());
  key.mapping.realm.value = static_cast<std::uint16_t>(realm);
  key.mapping.internal_address = reader.address();
  key.mapping.protocol = Protocol{reader.number<std::uint8_t>()};
  key.mapping.internal_port.value = reader.number<std::uint16_t>();
  const auto family = reader.number<std::uint8_t>();
  reader.require(family <= std::to_underlying(Family::ipv6));
  key.mapping.external_family = Family{family};
  key.remote_peer.address = reader.address();
  key.remote_peer.port.value = reader.number<std::uint16_t>();
  return reader.is_whole() ? std::optional(key) : std::nullopt;
}

void encode_mapping(const PutMapping& mapping, const TimeLine& line, std::vector<std::byte>& octets) {
  const Contract& contract = mapping.contract;
  const ContractDetails* details = contract.details ? &*contract.details : nullptr;
  std::uint8_t flags = contract.prefer_failure ? prefers_failure : 0U;
  if (contract.preserve_parity) flags |= preserves_parity;
  if (details != nullptr) {
    flags |= has_details;
    if (details->description) flags |= has_description;
    if (details->third_party_client) flags |= has_third_party;
  }
  Writer writer(octets);
  writer.address(contract.external_address);
  writer.number(contract.external_port.value);
  writer.number(contract.port_count);
  writer.append(contract.nonce.octets);
  writer.number(std::to_underlying(contract.format));
  writer.number(flags);
  writer.number(contract.client_port.value);
  writer.number(contract.path);
  writer.prefix(contract.subscriber);
  writer.time(line.stored(contract.expires));
  writer.time(line.stored(mapping.state_since));
  if (details == nullptr) return;
  writer.number(static_cast<std::uint16_t>(details->filters.size()));
  for (const RemoteFilter& filter : details->filters) {
    writer.prefix(filter.remote_peers);
    writer.number(filter.remote_port.value);
  }
  if (details->description) writer.field(std::as_bytes(std::span(*details->description)));
  if (details->third_party_client) writer.address(*details->third_party_client);
  writer.field(details->third_party_id);
}

auto decode_mapping(std::span<const std::byte> key, std::span<const std::byte> octets, const TimeLine& line)
    -> std::optional<PutMapping> {
  const auto contract_key = decode_key(key);
  if (!contract_key) return {};
  Reader reader(octets);
  PutMapping mapping;
  Contract& contract = mapping.contract;
  contract.key = *contract_key;
  contract.external_address = reader.address();
  contract.external_port.value = reader.number<std::uint16_t>();
  contract.port_count = reader.number<std::uint16_t>();
  reader.require(contract.port_count >= 1 &&
                 std::uint32_t{contract.external_port.value} + contract.port_count <= 65'536 &&
                 std::uint32_t{contract_key->mapping.internal_port.value} + contract.port_count <= 65'536);
  reader.copy_to(contract.nonce.octets);
  const auto format = reader.number<std::uint8_t>();
  reader.require(format <= std::to_underlying(Format::pcp_2));
  contract.format = Format{format};
  const auto flags = reader.number<std::uint8_t>();
  reader.require((flags & ~all_flags) == 0);
  contract.prefer_failure = (flags & prefers_failure) != 0;
  contract.preserve_parity = (flags & preserves_parity) != 0;
  contract.client_port.value = reader.number<std::uint16_t>();
  contract.path = reader.number<std::uint16_t>();
  contract.subscriber = reader.prefix();
  contract.expires = line.monotonic(reader.time());
  mapping.state_since = line.monotonic(reader.time());
  if ((flags & has_details) != 0) {
    ContractDetails details;
    const auto filters = reader.number<std::uint16_t>();
    for (std::uint16_t i = 0; i < filters; ++i) {
      RemoteFilter filter;
      filter.remote_peers = reader.prefix();
      filter.remote_port.value = reader.number<std::uint16_t>();
      details.filters.push_back(filter);
    }
    if ((flags & has_description) != 0) details.description = text_of(reader.field());
    if ((flags & has_third_party) != 0) details.third_party_client = reader.address();
    const auto id = reader.field();
    details.third_party_id.assign(id.begin(), id.end());
    contract.details = SharedDetails(std::move(details));
  }
  return reader.is_whole() ? std::optional(std::move(mapping)) : std::nullopt;
}

void encode_epoch(const PutEpoch& epoch, const TimeLine& line, std::vector<std::byte>& octets) {
  Writer writer(octets);
  writer.time(line.stored(epoch.base));
}

auto decode_epoch(std::span<const std::byte> octets, const TimeLine& line) -> std::optional<PutEpoch> {
  Reader reader(octets);
  const PutEpoch epoch{line.monotonic(reader.time())};
  return reader.is_whole() ? std::optional(epoch) : std::nullopt;
}

void encode_path(const PutPath& path, std::vector<std::byte>& octets) {
  Writer writer(octets);
  writer.number(path.number);
  writer.address(path.local_address);
  writer.field(std::as_bytes(std::span(path.interface)));
}

auto decode_path(std::span<const std::byte> octets) -> std::optional<PutPath> {
  Reader reader(octets);
  PutPath path;
  path.number = reader.number<std::uint16_t>();
  path.local_address = reader.address();
  path.interface = text_of(reader.field());
  return reader.is_whole() ? std::optional(std::move(path)) : std::nullopt;
}

}  // namespace portolan::store
