// SPDX-License-Identifier: BSD-2-Clause
//
// Options field by field. Fields that can be told apart are shown also where the values are malformed.
#include <cstdint>
#include <expected>
#include <utility>

#include "base/bytes.h"
#include "wire/describe_parts.h"
#include "wire/escape.h"
#include "wire/message.h"
#include "wire/options.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

/// Says what is wrong with an option none of whose fields are shown.
void describe_malformed(Lines& lines, const Option& option, OptionError error) {
  lines.add(2, "Malformed: {}", to_string(error));
  lines.add_hex(2, option.data);
}

/// Shows an option that decodes by `show`, else its octets and the reason.
template <typename T, typename Show>
void describe_as(Lines& lines, const Option& option, Show show) {
  if (const auto decoded = T::decode(option.data))
    show(*decoded);
  else
    describe_malformed(lines, option, decoded.error());
}

template <typename T>
void describe_empty(Lines& lines, const Option& option) {
  describe_as<T>(lines, option, [](const T&) {});
}

/// RFC 6887 s13.3.
void describe_filter(Lines& lines, const Option& option) {
  const auto filter = Filter::decode(option.data);
  if (!filter && filter.error() == OptionError::wrong_length)
    return describe_malformed(lines, option, filter.error());
  ByteReader reader(option.data);
  lines.add_reserved(2, reader.take(1));
  const auto prefix_length = reader.read<std::uint8_t>();
  const auto port = reader.read<std::uint16_t>();
  const IpAddress address = reader.read_address();
  if (!filter)
    lines.add(2, "Prefix Length: {} (malformed)", prefix_length);
  else if (const auto prefix = filter->remote_prefix())
    lines.add(2, "Prefix Length: {} ({})", prefix_length, to_string(*prefix));
  else
    lines.add(2, "Prefix Length: 0 (removes all filters)");
  lines.add(2, "Remote Peer Port: {}{}", port, port == 0 ? " (all ports)" : "");
  lines.add(2, "Remote Peer IP Address: {}", address_text(address));
}

/// RFC 7220 s2.
void describe_description(Lines& lines, const Option& option) {
  const auto description = Description::decode(option.data);
  lines.add(2, "Description: \"{}\"{}", escape(option.data), description ? "" : " (malformed)");
}

/// RFC 7225 s4.1.
void describe_prefix64(Lines& lines, const Prefix64& option) {
  lines.add(2, "Prefix64: {}{}", to_string(option.prefix), option.is_request() ? " (asks for it)" : "");
  const auto suffix = std::span<const std::byte>(option.suffix)
                          .first(Prefix64::prefix_and_suffix_octets - option.prefix.length() / 8);
  if (!is_zero(suffix)) {
    lines.add(2, "Suffix:");
    lines.add_hex(3, suffix);
  }
  if (!option.ipv4_prefixes) return;
  lines.add(2, "IPv4 Prefix Count: {}", option.ipv4_prefixes->size());
  for (std::size_t i = 0; i < option.ipv4_prefixes->size(); ++i)
    lines.add(2, "IPv4 Prefix: {}", to_string((*option.ipv4_prefixes)[i]));
}

/// RFC 7753 s4.
void describe_port_set(Lines& lines, const PortSet& set) {
  lines.add(2, "Port Set Size: {}{}", set.size, set.size == UINT16_MAX ? " (as many as possible)" : "");
  lines.add(2, "First Internal Port: {}", set.first_internal_port);
  lines.add(2, "Parity Bit: {}", set.parity ? 1 : 0);
}

/// RFC 7843 s3.
void describe_third_party_id(Lines& lines, const ThirdPartyId& third_party) {
  if (third_party.id.empty()) return;
  lines.add(2, "Third Party ID:");
  lines.add_hex(3, third_party.id);
}

void describe_option_data(Lines& lines, const Option& option) {
  switch (option.code) {
    case OptionCode::third_party:
      return describe_as<ThirdParty>(lines, option, [&lines](const ThirdParty& third_party) {
        lines.add(2, "Internal IP Address: {}", address_text(third_party.internal_address));
      });
    case OptionCode::filter: return describe_filter(lines, option);
    case OptionCode::description: return describe_description(lines, option);
    case OptionCode::prefix64:
      return describe_as<Prefix64>(lines, option,
                                   [&lines](const Prefix64& decoded) { describe_prefix64(lines, decoded); });
    case OptionCode::port_set:
      return describe_as<PortSet>(lines, option,
                                  [&lines](const PortSet& set) { describe_port_set(lines, set); });
    case OptionCode::third_party_id:
      return describe_as<ThirdPartyId>(
          lines, option, [&lines](const ThirdPartyId& decoded) { describe_third_party_id(lines, decoded); });
    case OptionCode::experimental_prefix64:
      return describe_as<ExperimentalPrefix64>(lines, option, [&lines](const ExperimentalPrefix64& decoded) {
        lines.add(2, "Prefix: {}{}", to_string(decoded.prefix), decoded.is_request() ? " (asks for it)" : "");
      });
    case OptionCode::prefer_failure: return describe_empty<PreferFailure>(lines, option);
    case OptionCode::port_reservation: return describe_empty<PortReservation>(lines, option);
    case OptionCode::checkpoint_required: return describe_empty<CheckpointRequired>(lines, option);
    default: return lines.add_hex(2, option.data);
  }
}

}  // namespace

void describe_options(Lines& lines, std::span<const std::byte> octets) {
  const OptionList options(octets);
  std::size_t used = 0;
  for (const Option& option : options) {
    const std::string name = to_string(option.code);
    const bool is_named = !name.starts_with("option ");
    lines.add(1, "Option {}{}, {} octets{}",
              is_named ? name : std::to_string(std::to_underlying(option.code)),
              is_named ? fmt::format(" ({})", std::to_underlying(option.code)) : " (unassigned)",
              option.data.size(), option.data.empty() ? "" : ":");
    describe_option_data(lines, option);
    used += option_header_octets + padded(option.data.size());
  }
  if (used == octets.size()) return;
  lines.add(1, "Malformed options: a length runs past the end of the message:");
  lines.add_hex(2, octets.subspan(used));
}

}  // namespace portolan::wire
