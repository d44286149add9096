// SPDX-License-Identifier: BSD-2-Clause
//
// Options field by field. Fields that can be told apart are shown also where the values are malformed.
#include <cstdint>
#include <expected>
#include <utility>

#include "wire/dissect_parts.h"
#include "wire/escape.h"
#include "wire/message.h"
#include "wire/options.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

constexpr std::string_view options_source = "RFC 6887 s7.3";
constexpr std::string_view filter_source = "RFC 6887 s13.3";
constexpr std::string_view prefix64_source = "RFC 7225 s4.1";
constexpr std::string_view port_set_source = "RFC 7753 s4";

auto source_of(OptionCode code) -> std::string_view {
  switch (code) {
    case OptionCode::third_party: return "RFC 6887 s13.1";
    case OptionCode::prefer_failure: return "RFC 6887 s13.2";
    case OptionCode::filter: return filter_source;
    case OptionCode::description: return "RFC 7220 s2";
    case OptionCode::prefix64: return prefix64_source;
    case OptionCode::port_set: return port_set_source;
    case OptionCode::third_party_id: return "RFC 7843 s4";
    default: return options_source;
  }
}

/// An option none of whose fields can be shown.
void dissect_malformed(Dissection& message, const Option& option, OptionError error) {
  message.fault(2, std::string(to_string(error)), source_of(option.code));
  message.octets(2, option.data.size());
}

/// Shows an option that decodes by `show`, else its octets and the reason.
template <typename T, typename Show>
void dissect_as(Dissection& message, const Option& option, Show show) {
  if (const auto decoded = T::decode(option.data))
    show(*decoded);
  else
    dissect_malformed(message, option, decoded.error());
}

template <typename T>
void dissect_empty(Dissection& message, const Option& option) {
  dissect_as<T>(message, option, [](const T&) {});
}

void dissect_filter(Dissection& message, const Option& option) {
  const auto filter = Filter::decode(option.data);
  if (!filter && filter.error() == OptionError::wrong_length)
    return dissect_malformed(message, option, filter.error());
  message.reserved(2, 1, filter_source);
  std::size_t from = message.offset();
  const auto prefix_length = message.read<std::uint8_t>();
  if (!filter)
    message.value(2, from, "Prefix Length", filter_source, "{} (malformed)", prefix_length);
  else if (const auto prefix = filter->remote_prefix())
    message.value(2, from, "Prefix Length", filter_source, "{} ({})", prefix_length, to_string(*prefix));
  else
    message.value(2, from, "Prefix Length", filter_source, "0 (removes all filters)");
  from = message.offset();
  const auto port = message.read<std::uint16_t>();
  message.value(2, from, "Remote Peer Port", filter_source, "{}{}", port, port == 0 ? " (all ports)" : "");
  from = message.offset();
  const IpAddress address = message.read_address();
  message.value(2, from, "Remote Peer IP Address", filter_source, "{}", address_text(address));
}

void dissect_description(Dissection& message, const Option& option) {
  const auto description = Description::decode(option.data);
  const std::size_t from = message.offset();
  message.skip(option.data.size());
  message.value(2, from, "Description", source_of(option.code), "\"{}\"{}", escape(option.data),
                description ? "" : " (malformed)");
}

void dissect_prefix64(Dissection& message, const Prefix64& option) {
  constexpr std::size_t length_octets = 2;
  const std::size_t prefix_octets = option.prefix.length() / 8;
  const std::size_t suffix_octets = Prefix64::prefix_and_suffix_octets - prefix_octets;
  std::size_t from = message.offset();
  message.skip(length_octets + prefix_octets);
  message.value(2, from, "Prefix64", prefix64_source, "{}{}", to_string(option.prefix),
                option.is_request() ? " (asks for it)" : "");
  if (is_zero(message.ahead(suffix_octets)))
    message.reserved(2, suffix_octets, prefix64_source, "Suffix");
  else
    message.octets(2, suffix_octets, "Suffix", prefix64_source);
  if (!option.ipv4_prefixes) return;
  from = message.offset();
  message.skip(sizeof(std::uint16_t));
  message.value(2, from, "IPv4 Prefix Count", prefix64_source, "{}", option.ipv4_prefixes->size());
  for (std::size_t i = 0; i < option.ipv4_prefixes->size(); ++i) {
    from = message.offset();
    message.skip(Ipv4PrefixList::entry_octets);
    message.value(2, from, "IPv4 Prefix", prefix64_source, "{}", to_string((*option.ipv4_prefixes)[i]));
  }
}

void dissect_port_set(Dissection& message, const PortSet& set) {
  std::size_t from = message.offset();
  message.skip(sizeof(std::uint16_t));
  message.value(2, from, "Port Set Size", port_set_source, "{}{}", set.size,
                set.size == UINT16_MAX ? " (as many as possible)" : "");
  from = message.offset();
  message.skip(sizeof(std::uint16_t));
  message.value(2, from, "First Internal Port", port_set_source, "{}", set.first_internal_port);
  from = message.offset();
  message.skip(1);
  message.value(2, from, "Parity Bit", port_set_source, "{}", set.parity ? 1 : 0);
}

void dissect_option_data(Dissection& message, const Option& option) {
  switch (option.code) {
    case OptionCode::third_party:
      return dissect_as<ThirdParty>(message, option, [&](const ThirdParty& third_party) {
        const std::size_t from = message.offset();
        message.skip(option.data.size());
        message.value(2, from, "Internal IP Address", source_of(option.code), "{}",
                      address_text(third_party.internal_address));
      });
    case OptionCode::filter: return dissect_filter(message, option);
    case OptionCode::description: return dissect_description(message, option);
    case OptionCode::prefix64:
      return dissect_as<Prefix64>(
          message, option, [&message](const Prefix64& decoded) { dissect_prefix64(message, decoded); });
    case OptionCode::port_set:
      return dissect_as<PortSet>(message, option,
                                 [&message](const PortSet& set) { dissect_port_set(message, set); });
    case OptionCode::third_party_id:
      return message.octets(2, option.data.size(), "Third Party ID", source_of(option.code));
    case OptionCode::experimental_prefix64:
      return dissect_as<ExperimentalPrefix64>(message, option, [&](const ExperimentalPrefix64& decoded) {
        const std::size_t from = message.offset();
        message.skip(option.data.size());
        message.value(2, from, "Prefix", options_source, "{}{}", to_string(decoded.prefix),
                      decoded.is_request() ? " (asks for it)" : "");
      });
    case OptionCode::prefer_failure: return dissect_empty<PreferFailure>(message, option);
    case OptionCode::port_reservation: return dissect_empty<PortReservation>(message, option);
    case OptionCode::checkpoint_required: return dissect_empty<CheckpointRequired>(message, option);
    default: return message.octets(2, option.data.size());
  }
}

void dissect_option(Dissection& message, const Option& option) {
  const std::string name = to_string(option.code);
  const auto number = std::to_underlying(option.code);
  const std::size_t padded_octets = padded(option.data.size());
  message.heading(1, option_header_octets + padded_octets,
                  name.starts_with("option ") ? fmt::format("Option {} (unassigned)", number)
                                              : fmt::format("Option {} ({})", name, number),
                  fmt::format("{} octets", option.data.size()), source_of(option.code));
  message.frame(2, 1, "Option Code", options_source, number);
  message.reserved(2, 1, options_source);
  message.frame(2, 2, "Option Length", options_source, option.data.size());
  dissect_option_data(message, option);
  message.reserved(2, padded_octets - option.data.size(), options_source, "Padding");
}

}  // namespace

void dissect_options(Dissection& message) {
  const OptionList options(message.ahead(message.remaining()));
  for (const Option& option : options) dissect_option(message, option);
  message.octets(1, message.remaining(), "Malformed options: a length runs past the end of the message",
                 options_source);
}

}  // namespace portolan::wire
