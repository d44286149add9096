// SPDX-License-Identifier: BSD-2-Clause
//
// What PCP's options carry, as values in host order, with their coding. Each type T has T::code,
// T::decode(option.data) and, for write_option() and append_option(), data_octets() and write().
// Texts, identifiers and prefix lists are borrowed from the datagram: nothing is allocated.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"
#include "wire/message.h"
#include "wire/protocol.h"

namespace portolan::wire {

/// Why an option's data is none: MALFORMED_OPTION if the option is mandatory to process (RFC 6887 s7.3).
enum class OptionError : std::uint8_t { wrong_length, wrong_content };
[[nodiscard]] auto to_string(OptionError error) -> std::string_view;

/// The internal address a request is about, instead of its sender's (RFC 6887 s13.1).
struct ThirdParty {
  static constexpr OptionCode code = OptionCode::third_party;
  static constexpr std::size_t octets = 16;
  IpAddress internal_address{};

  auto operator==(const ThirdParty&) const -> bool = default;
  [[nodiscard]] static auto decode(std::span<const std::byte> data) -> std::expected<ThirdParty, OptionError>;
  [[nodiscard]] static auto data_octets() -> std::size_t { return octets; }
  void write(ByteWriter& writer) const;
};

/// An option that says all by being there.
template <OptionCode Code>
struct EmptyOption {
  static constexpr OptionCode code = Code;

  auto operator==(const EmptyOption&) const -> bool = default;
  [[nodiscard]] static auto decode(std::span<const std::byte> data)
      -> std::expected<EmptyOption, OptionError> {
    if (!data.empty()) return std::unexpected(OptionError::wrong_length);
    return EmptyOption{};
  }
  [[nodiscard]] static auto data_octets() -> std::size_t { return 0; }
  void write(ByteWriter& /*writer*/) const {}
};

/// The suggested external address and port, or an error (RFC 6887 s13.2).
using PreferFailure = EmptyOption<OptionCode::prefer_failure>;
/// Only with a standby that holds a copy (RFC 7767 s3).
using CheckpointRequired = EmptyOption<OptionCode::checkpoint_required>;
/// Historic: the assigned port keeps the internal port's parity and the next one is reserved too, for RTP
/// and RTCP. PORT_SET of size 2 with parity is its successor (RFC 7753 s4).
using PortReservation = EmptyOption<OptionCode::port_reservation>;

/// One permitted remote peer, or with prefix length 0 the order to forget all (RFC 6887 s13.3).
struct Filter {
  static constexpr OptionCode code = OptionCode::filter;
  static constexpr std::size_t octets = 20;
  /// Bits of the 128-bit form, 0 to 128; with IPv4 addresses 0 or 96 to 128.
  std::uint8_t prefix_length = 0;
  /// 0 means all ports.
  Port remote_port{};
  IpAddress remote_address{};

  /// Remote addresses let through; nothing if this is no filter but removes all previous ones.
  [[nodiscard]] auto remote_prefix() const -> std::optional<Prefix>;

  auto operator==(const Filter&) const -> bool = default;
  /// With prefix length 0 port and address are ignored and come out zero (RFC 6887 erratum 3891).
  [[nodiscard]] static auto decode(std::span<const std::byte> data) -> std::expected<Filter, OptionError>;
  [[nodiscard]] static auto data_octets() -> std::size_t { return octets; }
  void write(ByteWriter& writer) const;
};

/// Text that says what a mapping is for (RFC 7220 s2).
struct Description {
  static constexpr OptionCode code = OptionCode::description;
  static constexpr std::size_t octets_max = 1016;
  /// UTF-8 without NUL, borrowed; empty erases (RFC 7220 s3).
  std::span<const std::byte> text{};

  auto operator==(const Description& other) const -> bool;
  [[nodiscard]] static auto decode(std::span<const std::byte> data)
      -> std::expected<Description, OptionError>;
  [[nodiscard]] auto data_octets() const -> std::size_t { return text.size(); }
  void write(ByteWriter& writer) const { writer.write(text); }
};

/// Whether `text` is UTF-8 (RFC 3629 s4) without NUL, as a description must be.
[[nodiscard]] auto is_description_text(std::span<const std::byte> text) -> bool;

/// The longest beginning of `text` that has at most `octets_max` octets and no character cut in two.
/// `text` is UTF-8.
[[nodiscard]] auto truncated_text(std::span<const std::byte> text, std::size_t octets_max)
    -> std::span<const std::byte>;

/// IPv4 prefixes for whose addresses a Prefix64 is, as a view over their octets (RFC 7225 s4.1).
class Ipv4PrefixList {
 public:
  static constexpr std::size_t entry_octets = 6;

  Ipv4PrefixList() = default;
  /// `octets`: entries of length (16 bits, at most 32) and address; checked by Prefix64::decode().
  explicit Ipv4PrefixList(std::span<const std::byte> octets) : octets_(octets) {}

  /// Lays out `prefixes`, all IPv4, in `buffer` and returns the view over it; nothing if it is too small.
  [[nodiscard]] static auto write(std::span<const Prefix> prefixes, std::span<std::byte> buffer)
      -> std::optional<Ipv4PrefixList>;

  [[nodiscard]] auto size() const -> std::size_t { return octets_.size() / entry_octets; }
  /// The prefix at `index`, below size(); bits behind its length are cleared.
  [[nodiscard]] auto operator[](std::size_t index) const -> Prefix;
  [[nodiscard]] auto octets() const -> std::span<const std::byte> { return octets_; }
  auto operator==(const Ipv4PrefixList& other) const -> bool;

 private:
  std::span<const std::byte> octets_{};
};

/// A prefix, and suffix, of which the NAT64 makes IPv6 addresses for IPv4 ones (RFC 7225 s4.1).
struct Prefix64 {
  static constexpr OptionCode code = OptionCode::prefix64;
  /// Octets of prefix and suffix together.
  static constexpr std::size_t prefix_and_suffix_octets = 12;
  /// IPv6, 32, 40, 48, 56, 64 or 96 bits long.
  Prefix prefix{};
  /// The first 12 - prefix.length() / 8 octets count, the others are zero; octet 8 of the address is
  /// among them unless the prefix has 96 bits (RFC 6052 s2.2).
  std::array<std::byte, 8> suffix{};
  /// Absent: for all IPv4 addresses.
  std::optional<Ipv4PrefixList> ipv4_prefixes{};

  /// What a client asks with: ::/96 (RFC 7225 s4.3).
  [[nodiscard]] static auto request() -> Prefix64;
  /// Whether this is what a client asks with; an empty list may be there.
  [[nodiscard]] auto is_request() const -> bool;
  /// Whether `bits` is one of the six lengths a prefix may have (RFC 6052 s2.2).
  [[nodiscard]] static auto is_legal_length(unsigned bits) -> bool;

  auto operator==(const Prefix64&) const -> bool = default;
  [[nodiscard]] static auto decode(std::span<const std::byte> data) -> std::expected<Prefix64, OptionError>;
  [[nodiscard]] auto data_octets() const -> std::size_t;
  void write(ByteWriter& writer) const;
};

/// Historic, as in version 1 of the drafts: the bare prefix, 96 bits. Zero in a request.
struct ExperimentalPrefix64 {
  static constexpr OptionCode code = OptionCode::experimental_prefix64;
  static constexpr std::size_t octets = 12;
  /// IPv6, 96 bits long; ::/96 in a request.
  Prefix prefix{IpAddress{}, 96};

  [[nodiscard]] auto is_request() const -> bool { return *this == ExperimentalPrefix64{}; }

  auto operator==(const ExperimentalPrefix64&) const -> bool = default;
  [[nodiscard]] static auto decode(std::span<const std::byte> data)
      -> std::expected<ExperimentalPrefix64, OptionError>;
  [[nodiscard]] static auto data_octets() -> std::size_t { return octets; }
  void write(ByteWriter& writer) const;
};

/// Several ports in a row instead of one (RFC 7753 s4).
struct PortSet {
  static constexpr OptionCode code = OptionCode::port_set;
  static constexpr std::size_t octets = 5;
  /// Number of ports, never 0; 65535 asks for as many as possible.
  std::uint16_t size = 1;
  Port first_internal_port{};
  /// External ports have the parity of the internal ones.
  bool parity = false;

  auto operator==(const PortSet&) const -> bool = default;
  [[nodiscard]] static auto decode(std::span<const std::byte> data) -> std::expected<PortSet, OptionError>;
  [[nodiscard]] static auto data_octets() -> std::size_t { return octets; }
  void write(ByteWriter& writer) const;
};

/// The realm of the third party's address; what it means is agreed locally (RFC 7843 s3).
struct ThirdPartyId {
  static constexpr OptionCode code = OptionCode::third_party_id;
  static constexpr std::size_t octets_max = 1016;
  /// Borrowed. UNSUPP_THIRD_PARTY_ID_LENGTH is the server's to say, also for no octets at all.
  std::span<const std::byte> id{};

  auto operator==(const ThirdPartyId& other) const -> bool;
  [[nodiscard]] static auto decode(std::span<const std::byte> data)
      -> std::expected<ThirdPartyId, OptionError>;
  [[nodiscard]] auto data_octets() const -> std::size_t { return id.size(); }
  void write(ByteWriter& writer) const { writer.write(id); }
};

template <typename T>
concept TypedOption = requires(const T& option, ByteWriter& writer) {
  { T::code } -> std::convertible_to<OptionCode>;
  { option.data_octets() } -> std::same_as<std::size_t>;
  option.write(writer);
};

/// For write_option(): starts an option behind the `size` octets of a message, to be followed by exactly
/// `data_octets` octets of data; nothing if it does not fit.
[[nodiscard]] auto option_writer(std::span<std::byte> buffer, std::size_t size, OptionCode code,
                                 std::size_t data_octets) -> std::optional<ByteWriter>;
/// For write_option(): pads the option begun by option_writer() and returns the message's new size.
[[nodiscard]] auto finish_option(ByteWriter& writer, std::size_t size, std::size_t data_octets)
    -> std::size_t;

/// Writes `option` behind the `size` octets of the message in `buffer`, as write_option() for raw data.
template <TypedOption T>
[[nodiscard]] auto write_option(std::span<std::byte> buffer, std::size_t size, const T& option)
    -> std::optional<std::size_t> {
  auto writer = option_writer(buffer, size, T::code, option.data_octets());
  if (!writer) return {};
  option.write(*writer);
  return finish_option(*writer, size, option.data_octets());
}

/// write_option() on a Datagram. Returns false, leaving the message as it was, if the option does not fit.
template <TypedOption T>
[[nodiscard]] auto append_option(Datagram& datagram, const T& option) -> bool {
  const auto size = write_option(datagram.buffer(), datagram.octets().size(), option);
  if (size) datagram.resize(*size);
  return size.has_value();
}

}  // namespace portolan::wire
