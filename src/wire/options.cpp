// SPDX-License-Identifier: BSD-2-Clause
//
// Coding of the options' contents. The framing, and the options of a whole message, are message.cpp's
// and encode.cpp's.
#include "wire/options.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "wire/utf8.h"

namespace portolan::wire {
namespace {

constexpr unsigned octet_bits = 8;
/// IPv4 addresses lie behind these bits of the 128-bit form (RFC 6887 s5).
constexpr unsigned mapped_prefix_bits = 96;
constexpr unsigned address_bits = 128;

auto are_equal(std::span<const std::byte> left, std::span<const std::byte> right) -> bool {
  return std::ranges::equal(left, right);
}

/// The prefix of 8 * octets.size() bits that begins an IPv6 address.
auto prefix_of(std::span<const std::byte> octets) -> Prefix {
  Ipv6Address address;
  std::memcpy(address.octets.data(), octets.data(), octets.size());
  return {IpAddress{address}, static_cast<unsigned>(octets.size()) * octet_bits};
}

/// The octets of the prefix's address that the prefix covers.
auto octets_of(const Prefix& prefix) -> std::span<const std::byte> {
  return std::as_bytes(std::span(prefix.address().bits().octets)).first(prefix.length() / octet_bits);
}

}  // namespace

auto to_string(OptionError error) -> std::string_view {
  switch (error) {
    case OptionError::wrong_length: return "wrong length";
    case OptionError::wrong_content: return "wrong content";
  }
  std::unreachable();
}

auto ThirdParty::decode(std::span<const std::byte> data) -> std::expected<ThirdParty, OptionError> {
  if (data.size() != octets) return std::unexpected(OptionError::wrong_length);
  return ThirdParty{.internal_address = ByteReader(data).read_address()};
}

void ThirdParty::write(ByteWriter& writer) const { writer.write(internal_address); }

auto Filter::decode(std::span<const std::byte> data) -> std::expected<Filter, OptionError> {
  if (data.size() != octets) return std::unexpected(OptionError::wrong_length);
  ByteReader reader(data);
  reader.skip(1);  // reserved, ignored when received
  Filter filter;
  filter.prefix_length = reader.read<std::uint8_t>();
  if (filter.prefix_length == 0) return filter;
  filter.remote_port.value = reader.read<std::uint16_t>();
  filter.remote_address = reader.read_address();
  const unsigned shortest = filter.remote_address.is_ipv4() ? mapped_prefix_bits : 1;
  if (filter.prefix_length < shortest || filter.prefix_length > address_bits)
    return std::unexpected(OptionError::wrong_content);
  return filter;
}

auto Filter::remote_prefix() const -> std::optional<Prefix> {
  if (prefix_length == 0) return {};
  return Prefix{remote_address, prefix_length};
}

void Filter::write(ByteWriter& writer) const {
  writer.zeros(1);  // reserved
  writer.write(prefix_length);
  writer.write(remote_port.value);
  writer.write(remote_address);
}

auto Description::operator==(const Description& other) const -> bool { return are_equal(text, other.text); }

auto Description::decode(std::span<const std::byte> data) -> std::expected<Description, OptionError> {
  if (data.size() > octets_max) return std::unexpected(OptionError::wrong_length);
  if (!is_description_text(data)) return std::unexpected(OptionError::wrong_content);
  return Description{.text = data};
}

auto is_description_text(std::span<const std::byte> text) -> bool {
  while (!text.empty()) {
    const Character character = first_character(text);
    if (character.octets == 0 || character.code_point == 0) return false;
    text = text.subspan(character.octets);
  }
  return true;
}

auto truncated_text(std::span<const std::byte> text, std::size_t octets_max) -> std::span<const std::byte> {
  if (text.size() <= octets_max) return text;
  // The first octet left out must begin a character: continuing ones are 10xxxxxx (RFC 3629 s3).
  std::size_t size = octets_max;
  while (size > 0 && (text[size] & std::byte{0xc0}) == std::byte{0x80}) --size;
  return text.first(size);
}

auto Ipv4PrefixList::write(std::span<const Prefix> prefixes, std::span<std::byte> buffer)
    -> std::optional<Ipv4PrefixList> {
  ByteWriter writer(buffer);
  for (const Prefix& prefix : prefixes) {
    PORTOLAN_CHECK(prefix.address().is_ipv4() && prefix.length() >= mapped_prefix_bits);
    writer.write(static_cast<std::uint16_t>(prefix.length() - mapped_prefix_bits));
    writer.write(prefix.address().ipv4().value);
  }
  if (!writer.ok()) return {};
  return Ipv4PrefixList(buffer.first(writer.size()));
}

auto Ipv4PrefixList::operator[](std::size_t index) const -> Prefix {
  PORTOLAN_CHECK(index < size());
  ByteReader reader(octets_.subspan(index * entry_octets, entry_octets));
  const unsigned length = reader.read<std::uint16_t>();
  return {IpAddress{Ipv4Address{reader.read<std::uint32_t>()}}, mapped_prefix_bits + length};
}

auto Ipv4PrefixList::operator==(const Ipv4PrefixList& other) const -> bool {
  return are_equal(octets_, other.octets_);
}

auto Prefix64::request() -> Prefix64 { return {.prefix = Prefix{IpAddress{}, mapped_prefix_bits}}; }

auto Prefix64::is_request() const -> bool {
  return prefix == request().prefix && (!ipv4_prefixes || ipv4_prefixes->size() == 0);
}

auto Prefix64::is_legal_length(unsigned bits) -> bool {
  return bits == 96 || (bits >= 32 && bits <= 64 && bits % octet_bits == 0);
}

auto Prefix64::decode(std::span<const std::byte> data) -> std::expected<Prefix64, OptionError> {
  ByteReader reader(data);
  const std::size_t prefix_octets = reader.read<std::uint16_t>();
  const auto prefix_and_suffix = reader.take(prefix_and_suffix_octets);
  if (!reader.ok()) return std::unexpected(OptionError::wrong_length);
  if (prefix_octets > prefix_and_suffix_octets ||
      !is_legal_length(static_cast<unsigned>(prefix_octets) * octet_bits))
    return std::unexpected(OptionError::wrong_content);

  Prefix64 option{.prefix = prefix_of(prefix_and_suffix.first(prefix_octets))};
  std::ranges::copy(prefix_and_suffix.subspan(prefix_octets), option.suffix.begin());
  if (reader.remaining() == 0) return option;

  const std::size_t count = reader.read<std::uint16_t>();
  const auto entries = reader.take(reader.remaining());
  if (!reader.ok() || entries.size() != count * Ipv4PrefixList::entry_octets)
    return std::unexpected(OptionError::wrong_length);
  for (ByteReader entry(entries); entry.remaining() != 0; entry.skip(sizeof(Ipv4Address::value)))
    if (entry.read<std::uint16_t>() > address_bits - mapped_prefix_bits)
      return std::unexpected(OptionError::wrong_content);
  option.ipv4_prefixes = Ipv4PrefixList(entries);
  return option;
}

auto Prefix64::data_octets() const -> std::size_t {
  const std::size_t list_octets = ipv4_prefixes ? sizeof(std::uint16_t) + ipv4_prefixes->octets().size() : 0;
  return sizeof(std::uint16_t) + prefix_and_suffix_octets + list_octets;
}

void Prefix64::write(ByteWriter& writer) const {
  PORTOLAN_CHECK(is_legal_length(prefix.length()));
  const auto prefix_octets = octets_of(prefix);
  writer.write(static_cast<std::uint16_t>(prefix_octets.size()));
  writer.write(prefix_octets);
  writer.write(std::span<const std::byte>(suffix).first(prefix_and_suffix_octets - prefix_octets.size()));
  if (!ipv4_prefixes) return;
  writer.write(static_cast<std::uint16_t>(ipv4_prefixes->size()));
  writer.write(ipv4_prefixes->octets());
}

auto ExperimentalPrefix64::decode(std::span<const std::byte> data)
    -> std::expected<ExperimentalPrefix64, OptionError> {
  if (data.size() != octets) return std::unexpected(OptionError::wrong_length);
  return ExperimentalPrefix64{.prefix = prefix_of(data)};
}

void ExperimentalPrefix64::write(ByteWriter& writer) const {
  PORTOLAN_CHECK(prefix.length() == octets * octet_bits);
  writer.write(octets_of(prefix));
}

auto PortSet::decode(std::span<const std::byte> data) -> std::expected<PortSet, OptionError> {
  if (data.size() != octets) return std::unexpected(OptionError::wrong_length);
  ByteReader reader(data);
  PortSet set;
  set.size = reader.read<std::uint16_t>();
  set.first_internal_port.value = reader.read<std::uint16_t>();
  set.parity = (reader.read<std::uint8_t>() & 1U) != 0;  // the other bits are reserved
  if (set.size == 0) return std::unexpected(OptionError::wrong_content);
  return set;
}

void PortSet::write(ByteWriter& writer) const {
  writer.write(size);
  writer.write(first_internal_port.value);
  writer.write(static_cast<std::uint8_t>(parity ? 1 : 0));
}

auto ThirdPartyId::operator==(const ThirdPartyId& other) const -> bool { return are_equal(id, other.id); }

auto ThirdPartyId::decode(std::span<const std::byte> data) -> std::expected<ThirdPartyId, OptionError> {
  if (data.size() > octets_max) return std::unexpected(OptionError::wrong_length);
  return ThirdPartyId{.id = data};
}

}  // namespace portolan::wire
