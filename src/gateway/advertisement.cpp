// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/advertisement.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "discovery/nat64_prefix.h"

namespace portolan::gateway {
namespace {

constexpr std::uint8_t type_solicitation = 133;
constexpr std::uint8_t type_advertisement = 134;
constexpr std::uint8_t option_link_address = 1;
constexpr std::uint8_t option_prefix = 3;
constexpr std::uint8_t option_mtu = 5;
constexpr std::uint8_t option_dns_servers = 25;
constexpr std::uint8_t option_nat64_prefix = 38;
constexpr std::uint8_t flag_managed = 0x80;
constexpr std::uint8_t flag_other = 0x40;
/// On-link, and for hosts to make addresses of.
constexpr std::uint8_t prefix_flags = 0xc0;
constexpr std::size_t solicitation_octets = 8;
constexpr std::size_t advertisement_header_octets = 16;
constexpr int hop_limit_of_neighbours = 255;

auto prefix_length_code(unsigned length) -> std::uint16_t {
  const auto* const found = std::ranges::find(discovery::pref64_lengths, length);
  PORTOLAN_CHECK(found != discovery::pref64_lengths.end());
  return static_cast<std::uint16_t>(found - discovery::pref64_lengths.begin());
}

/// Calls take(type, content) for each option, without its first two octets; false if they are ill-formed.
auto for_each_option(ByteReader& reader, auto&& take) -> bool {
  while (reader.remaining() != 0) {
    const auto type = reader.read<std::uint8_t>();
    const std::size_t units = reader.read<std::uint8_t>();
    if (units == 0) return false;
    const auto content = reader.take(8 * units - 2);
    if (!reader.ok()) return false;
    take(type, content);
  }
  return true;
}

auto seconds32(Seconds lifetime) -> std::uint32_t {
  return static_cast<std::uint32_t>(std::clamp<Seconds::rep>(lifetime.count(), 0, UINT32_MAX));
}

void write_prefix(ByteWriter& writer, const AdvertisedPrefix& prefix) {
  writer.write(option_prefix);
  writer.write(std::uint8_t{4});
  writer.write(static_cast<std::uint8_t>(prefix.prefix.length()));
  writer.write(prefix_flags);
  writer.write(seconds32(prefix.valid));
  writer.write(seconds32(prefix.preferred));
  writer.zeros(4);
  writer.write(prefix.prefix.address());
}

void write_nat64_prefix(ByteWriter& writer, const Prefix& prefix, Seconds lifetime) {
  writer.write(option_nat64_prefix);
  writer.write(std::uint8_t{2});
  writer.write(
      static_cast<std::uint16_t>(scaled_lifetime(lifetime) << 3U | prefix_length_code(prefix.length())));
  writer.write(std::as_bytes(std::span(prefix.address().bits().octets)).first(12));
}

}  // namespace

auto scaled_lifetime(Seconds lifetime) -> std::uint16_t {
  const auto seconds = std::clamp(lifetime, Seconds{0}, pref64_lifetime_max).count();
  return static_cast<std::uint16_t>((seconds + 7) / 8);
}

auto encode(const Advertisement& advertisement) -> std::vector<std::byte> {
  std::vector<std::byte> message(advertisement_octets_max);
  ByteWriter writer(message);
  writer.write(type_advertisement);
  writer.write(std::uint8_t{0});
  writer.write(std::uint16_t{0});
  writer.write(advertisement.hop_limit);
  writer.write(static_cast<std::uint8_t>((advertisement.is_managed ? flag_managed : 0) |
                                         (advertisement.has_other_config ? flag_other : 0)));
  writer.write(static_cast<std::uint16_t>(
      std::clamp<Seconds::rep>(advertisement.router_lifetime.count(), 0, UINT16_MAX)));
  writer.zeros(8);
  if (advertisement.link_address) {
    writer.write(option_link_address);
    writer.write(std::uint8_t{1});
    writer.write(std::as_bytes(std::span(*advertisement.link_address)));
  }
  if (advertisement.mtu != 0) {
    writer.write(option_mtu);
    writer.write(std::uint8_t{1});
    writer.zeros(2);
    writer.write(advertisement.mtu);
  }
  for (const AdvertisedPrefix& prefix : advertisement.prefixes) write_prefix(writer, prefix);
  for (const Prefix& prefix : advertisement.nat64_prefixes)
    write_nat64_prefix(writer, prefix, advertisement.nat64_lifetime);
  if (!advertisement.dns_servers.empty()) {
    writer.write(option_dns_servers);
    writer.write(static_cast<std::uint8_t>(1 + 2 * advertisement.dns_servers.size()));
    writer.zeros(2);
    writer.write(seconds32(advertisement.dns_lifetime));
    for (const IpAddress& server : advertisement.dns_servers) writer.write(server);
  }
  PORTOLAN_CHECK(writer.ok());
  message.resize(writer.size());
  return message;
}

auto is_solicitation(std::span<const std::byte> message, const IpAddress& source, int hop_limit) -> bool {
  ByteReader reader(message);
  const auto type = reader.read<std::uint8_t>();
  const auto code = reader.read<std::uint8_t>();
  if (message.size() < solicitation_octets || type != type_solicitation || code != 0 ||
      hop_limit != hop_limit_of_neighbours)
    return false;
  reader.skip(solicitation_octets - 2);
  bool is_of_nobody = false;
  const bool is_well_formed = for_each_option(reader, [&](std::uint8_t option, std::span<const std::byte>) {
    is_of_nobody = is_of_nobody || (option == option_link_address && source.is_unspecified());
  });
  return is_well_formed && !is_of_nobody;
}

auto nat64_prefixes_of(std::span<const std::byte> message, const IpAddress& source, int hop_limit)
    -> std::optional<std::vector<Prefix>> {
  ByteReader reader(message);
  const auto type = reader.read<std::uint8_t>();
  const auto code = reader.read<std::uint8_t>();
  if (message.size() < advertisement_header_octets || type != type_advertisement || code != 0 ||
      hop_limit != hop_limit_of_neighbours || !source.is_link_local())
    return {};
  reader.skip(advertisement_header_octets - 2);
  if (!for_each_option(reader, [](std::uint8_t, std::span<const std::byte>) {})) return {};
  const auto options = discovery::parse_pref64_options(message.subspan(advertisement_header_octets));
  if (options.empty()) return {};
  std::vector<Prefix> prefixes;
  for (const discovery::Pref64& option : options)
    if (option.lifetime > Seconds{0}) prefixes.push_back(option.prefix);
  std::ranges::sort(prefixes);
  return prefixes;
}

}  // namespace portolan::gateway
