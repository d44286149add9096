// SPDX-License-Identifier: BSD-2-Clause
#include "store/sqlite/row_codec.h"

#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"

namespace portolan::store {
namespace {

/// In a row's kind: there is none any more.
constexpr std::uint8_t dropped = 0x80;
/// Before its key.
constexpr std::size_t head_octets = 7;
/// Times further from 1970 are none of ours, and sums of them would not fit.
constexpr std::int64_t time_max = std::int64_t{1} << 62U;

// Octet of flags of a mapping.
constexpr std::uint8_t prefers_failure = 1;
constexpr std::uint8_t has_details = 2;
constexpr std::uint8_t has_description = 4;
constexpr std::uint8_t has_third_party = 8;
constexpr std::uint8_t preserves_parity = 16;
constexpr std::uint8_t all_flags =
    prefers_failure | has_details | has_description | has_third_party | preserves_parity;

// Octet of flags of a user.
constexpr std::uint8_t may_map = 1;
constexpr std::uint8_t may_peer = 2;
constexpr std::uint8_t may_ask_for_third_parties = 4;
constexpr std::uint8_t has_relaxed_nonce = 8;
constexpr std::uint8_t has_subscriber_prefix_length = 16;
constexpr std::uint8_t all_user_flags =
    may_map | may_peer | may_ask_for_third_parties | has_relaxed_nonce | has_subscriber_prefix_length;

/// Appends big-endian fields.
class Writer {
 public:
  explicit Writer(std::vector<std::byte>& octets) : octets_(octets) {}

  template <std::unsigned_integral Number>
  void number(Number value) {
    ByteWriter(grow(sizeof(Number))).write(value);
  }
  void time(Nanoseconds value) { number(static_cast<std::uint64_t>(value.count())); }
  void address(const IpAddress& value) { append(std::as_bytes(std::span(value.bits().octets))); }
  void prefix(const Prefix& value) {
    address(value.address());
    number(static_cast<std::uint8_t>(value.length()));
  }
  void ports(const PortRange& range) {
    number(range.first.value);
    number(range.last.value);
  }
  void filters(const std::vector<RemoteFilter>& filters) {
    number(static_cast<std::uint16_t>(filters.size()));
    for (const RemoteFilter& filter : filters) {
      prefix(filter.remote_peers);
      number(filter.remote_port.value);
    }
  }
  void append(std::span<const std::byte> field) {
    if (!field.empty()) std::memcpy(grow(field.size()).data(), field.data(), field.size());
  }
  /// With its length before it.
  void field(std::span<const std::byte> value) {
    PORTOLAN_CHECK(value.size() <= field_octets_max);
    number(static_cast<std::uint16_t>(value.size()));
    append(value);
  }

 private:
  auto grow(std::size_t count) -> std::span<std::byte> {
    octets_.resize(octets_.size() + count);
    return std::span(octets_).last(count);
  }

  std::vector<std::byte>& octets_;
};

/// One row: what is written while it lives is its key, and from end_key() on its value.
class RowWriter : public Writer {
 public:
  RowWriter(RowKind kind, bool is_dropped, std::vector<std::byte>& octets)
      : Writer(octets), octets_(octets), start_(octets.size()) {
    number(static_cast<std::uint8_t>(std::to_underlying(kind) | (is_dropped ? dropped : 0U)));
    number(std::uint16_t{0});
    number(std::uint32_t{0});
  }
  ~RowWriter() {
    if (!key_octets_) end_key();
    ByteWriter lengths{std::span<std::byte>(octets_).subspan(start_ + 1)};
    lengths.write(static_cast<std::uint16_t>(*key_octets_));
    lengths.write(static_cast<std::uint32_t>(octets_.size() - start_ - head_octets - *key_octets_));
  }
  RowWriter(const RowWriter&) = delete;
  auto operator=(const RowWriter&) -> RowWriter& = delete;

  void end_key() { key_octets_ = octets_.size() - start_ - head_octets; }

 private:
  std::vector<std::byte>& octets_;
  std::size_t start_;
  std::optional<std::size_t> key_octets_;
};

/// Reads what Writer wrote; is_whole() says whether all was there, legal, and nothing else.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> octets) : reader_(octets) {}

  template <std::unsigned_integral Number>
  auto number() -> Number {
    return reader_.read<Number>();
  }
  auto time() -> Nanoseconds {
    const auto count = static_cast<std::int64_t>(number<std::uint64_t>());
    require(count >= -time_max && count <= time_max);
    return Nanoseconds{is_legal_ ? count : 0};
  }
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
  auto ports() -> PortRange {
    PortRange range;
    range.first.value = number<std::uint16_t>();
    range.last.value = number<std::uint16_t>();
    return range;
  }
  auto filters() -> std::vector<RemoteFilter> {
    std::vector<RemoteFilter> filters;
    const auto count = number<std::uint16_t>();
    for (std::uint16_t i = 0; i < count && reader_.ok(); ++i) {
      RemoteFilter filter;
      filter.remote_peers = prefix();
      filter.remote_port.value = number<std::uint16_t>();
      filters.push_back(filter);
    }
    return filters;
  }
  void copy_to(std::span<std::byte> out) { reader_.copy_to(out); }
  auto field() -> std::span<const std::byte> { return reader_.take(number<std::uint16_t>()); }
  void require(bool legal) { is_legal_ = is_legal_ && legal; }
  [[nodiscard]] auto has_more() const -> bool { return reader_.ok() && reader_.remaining() > 0; }
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

void write_key(const ContractKey& key, Writer& writer) {
  writer.number(std::uint32_t{key.mapping.realm.value});
  writer.address(key.mapping.internal_address);
  writer.number(std::to_underlying(key.mapping.protocol));
  writer.number(key.mapping.internal_port.value);
  writer.number(std::to_underlying(key.mapping.external_family));
  writer.address(key.remote_peer.address);
  writer.number(key.remote_peer.port.value);
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

void write_value(const PutMapping& mapping, const TimeLine& line, Writer& writer) {
  const Contract& contract = mapping.contract;
  const ContractDetails* details = contract.details ? &*contract.details : nullptr;
  std::uint8_t flags = contract.prefer_failure ? prefers_failure : 0U;
  if (contract.preserve_parity) flags |= preserves_parity;
  if (details != nullptr) {
    flags |= has_details;
    if (details->description) flags |= has_description;
    if (details->third_party_client) flags |= has_third_party;
  }
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
  writer.filters(details->filters);
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
    details.filters = reader.filters();
    if ((flags & has_description) != 0) details.description = text_of(reader.field());
    if ((flags & has_third_party) != 0) details.third_party_client = reader.address();
    const auto id = reader.field();
    details.third_party_id.assign(id.begin(), id.end());
    contract.details = SharedDetails(std::move(details));
  }
  return reader.is_whole() ? std::optional(std::move(mapping)) : std::nullopt;
}

auto decode_epoch(std::span<const std::byte> octets, const TimeLine& line) -> std::optional<PutEpoch> {
  Reader reader(octets);
  const PutEpoch epoch{line.monotonic(reader.time())};
  return reader.is_whole() ? std::optional(epoch) : std::nullopt;
}

auto decode_path(std::span<const std::byte> key, std::span<const std::byte> octets)
    -> std::optional<PutPath> {
  Reader number(key);
  Reader reader(octets);
  PutPath path;
  path.number = number.number<std::uint16_t>();
  path.local_address = reader.address();
  path.interface = text_of(reader.field());
  return number.is_whole() && reader.is_whole() ? std::optional(std::move(path)) : std::nullopt;
}

void write_value(const Profile& user, Writer& writer) {
  const Policy& policy = user.policy;
  const Allotment& allotment = user.allotment;
  const auto& length = user.subscriber_prefix_length;
  std::uint8_t flags = policy.map ? may_map : 0U;
  if (policy.peer) flags |= may_peer;
  if (policy.third_party) flags |= may_ask_for_third_parties;
  if (policy.nonce == NoncePolicy::relaxed) flags |= has_relaxed_nonce;
  if (length) flags |= has_subscriber_prefix_length;
  writer.number(flags);
  writer.field(std::as_bytes(std::span(policy.protocols)));
  writer.ports(policy.internal_ports);
  writer.ports(policy.external_ports);
  writer.number(policy.mappings_max);
  writer.number(policy.filters_max);
  writer.number(policy.port_set_max);
  writer.address(allotment.external_address);
  writer.ports(allotment.external_ports);
  writer.number(allotment.port_block_size);
  writer.number(allotment.ports_max);
  writer.number(allotment.sessions_max);
  writer.number(allotment.sessions_per_second_max);
  if (length) writer.number(*length);
}

auto decode_user(std::span<const std::byte> key, std::span<const std::byte> octets)
    -> std::optional<PutUser> {
  Reader key_reader(key);
  PutUser user;
  user.user.users = key_reader.prefix();
  if (!key_reader.is_whole()) return {};
  Policy& policy = user.user.policy;
  Allotment& allotment = user.user.allotment;
  Reader reader(octets);
  const auto flags = reader.number<std::uint8_t>();
  reader.require((flags & ~all_user_flags) == 0);
  policy.map = (flags & may_map) != 0;
  policy.peer = (flags & may_peer) != 0;
  policy.third_party = (flags & may_ask_for_third_parties) != 0;
  policy.nonce = (flags & has_relaxed_nonce) != 0 ? NoncePolicy::relaxed : NoncePolicy::strict;
  for (const std::byte protocol : reader.field())
    policy.protocols.push_back(Protocol{std::to_integer<std::uint8_t>(protocol)});
  policy.internal_ports = reader.ports();
  policy.external_ports = reader.ports();
  policy.mappings_max = reader.number<std::uint32_t>();
  policy.filters_max = reader.number<std::uint32_t>();
  policy.port_set_max = reader.number<std::uint16_t>();
  reader.require(policy.filters_max >= 1 && policy.port_set_max >= 1);
  allotment.external_address = reader.address();
  allotment.external_ports = reader.ports();
  allotment.port_block_size = reader.number<std::uint16_t>();
  allotment.ports_max = reader.number<std::uint32_t>();
  allotment.sessions_max = reader.number<std::uint32_t>();
  allotment.sessions_per_second_max = reader.number<std::uint32_t>();
  if ((flags & has_subscriber_prefix_length) != 0) {
    user.user.subscriber_prefix_length = reader.number<std::uint8_t>();
    reader.require(*user.user.subscriber_prefix_length <= 128);
  }
  return reader.is_whole() ? std::optional(std::move(user)) : std::nullopt;
}

void write_value(const StaticMapping& mapping, const TimeLine& line, Writer& writer) {
  writer.address(mapping.external_address);
  writer.number(mapping.external_port.value);
  writer.filters(mapping.filters);
  writer.field(std::as_bytes(std::span(mapping.description)));
  if (mapping.expires) writer.time(line.stored(*mapping.expires));
}

auto decode_static(std::span<const std::byte> key, std::span<const std::byte> octets, const TimeLine& line)
    -> std::optional<PutStatic> {
  const auto contract_key = decode_key(key);
  if (!contract_key || contract_key->is_peer()) return {};
  Reader reader(octets);
  PutStatic row;
  row.mapping.key = contract_key->mapping;
  row.mapping.external_address = reader.address();
  row.mapping.external_port.value = reader.number<std::uint16_t>();
  row.mapping.filters = reader.filters();
  row.mapping.description = text_of(reader.field());
  if (reader.has_more()) row.mapping.expires = line.monotonic(reader.time());
  return reader.is_whole() ? std::optional(std::move(row)) : std::nullopt;
}

}  // namespace

void append_row(const Row& row, const TimeLine& line, std::vector<std::byte>& octets) {
  if (const auto* put = std::get_if<PutMapping>(&row)) {
    RowWriter writer(RowKind::mapping, false, octets);
    write_key(put->contract.key, writer);
    writer.end_key();
    write_value(*put, line, writer);
  } else if (const auto* drop = std::get_if<DropMapping>(&row)) {
    RowWriter writer(RowKind::mapping, true, octets);
    write_key(drop->key, writer);
  } else if (const auto* epoch = std::get_if<PutEpoch>(&row)) {
    RowWriter writer(RowKind::epoch, false, octets);
    writer.end_key();
    writer.time(line.stored(epoch->base));
  } else if (const auto* path = std::get_if<PutPath>(&row)) {
    RowWriter writer(RowKind::path, false, octets);
    writer.number(path->number);
    writer.end_key();
    writer.address(path->local_address);
    writer.field(std::as_bytes(std::span(path->interface)));
  } else if (const auto* user = std::get_if<PutUser>(&row)) {
    RowWriter writer(RowKind::user, false, octets);
    writer.prefix(user->user.users);
    writer.end_key();
    write_value(user->user, writer);
  } else if (const auto* gone = std::get_if<DropUser>(&row)) {
    RowWriter writer(RowKind::user, true, octets);
    writer.prefix(gone->users);
  } else if (const auto* fixed = std::get_if<PutStatic>(&row)) {
    RowWriter writer(RowKind::static_mapping, false, octets);
    write_key({.mapping = fixed->mapping.key, .remote_peer = {}}, writer);
    writer.end_key();
    write_value(fixed->mapping, line, writer);
  } else {
    RowWriter writer(RowKind::static_mapping, true, octets);
    write_key({.mapping = std::get<DropStatic>(row).key, .remote_peer = {}}, writer);
  }
}

void append_encoded(RowKind kind, bool is_dropped, std::span<const std::byte> key,
                    std::span<const std::byte> value, std::vector<std::byte>& octets) {
  RowWriter writer(kind, is_dropped, octets);
  writer.append(key);
  writer.end_key();
  writer.append(value);
}

auto take_row(std::span<const std::byte>& octets) -> std::optional<EncodedRow> {
  ByteReader reader(octets);
  EncodedRow row;
  const auto kind = reader.read<std::uint8_t>();
  row.kind = RowKind{static_cast<std::uint8_t>(kind & ~dropped)};
  row.is_dropped = (kind & dropped) != 0;
  const auto key = reader.read<std::uint16_t>();
  const auto value = reader.read<std::uint32_t>();
  row.key = reader.take(key);
  row.value = reader.take(value);
  if (!reader.ok()) return {};
  row.octets = octets.first(octets.size() - reader.remaining());
  octets = octets.last(reader.remaining());
  return row;
}

auto decode_row(const EncodedRow& row, const TimeLine& line) -> std::optional<Row> {
  if (row.is_dropped) return {};
  switch (row.kind) {
    case RowKind::mapping: return decode_mapping(row.key, row.value, line);
    case RowKind::epoch: return decode_epoch(row.value, line);
    case RowKind::path: return decode_path(row.key, row.value);
    case RowKind::user: return decode_user(row.key, row.value);
    case RowKind::static_mapping: return decode_static(row.key, row.value, line);
    case RowKind::stamp: break;
  }
  return {};
}

void append_stamp(const Stamp& stamp, std::vector<std::byte>& octets) {
  RowWriter writer(RowKind::stamp, false, octets);
  writer.end_key();
  writer.time(stamp.stored);
  writer.time(stamp.wall);
  writer.number(stamp.first_row);
}

auto decode_stamp(const EncodedRow& row) -> std::optional<Stamp> {
  Reader reader(row.value);
  Stamp stamp;
  stamp.stored = reader.time();
  stamp.wall = reader.time();
  stamp.first_row = reader.number<std::uint64_t>();
  return reader.is_whole() ? std::optional(stamp) : std::nullopt;
}

}  // namespace portolan::store
