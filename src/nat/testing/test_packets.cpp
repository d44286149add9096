// SPDX-License-Identifier: BSD-2-Clause
#include "nat/testing/test_packets.h"

#include <algorithm>

#include <fmt/format.h>

namespace portolan::nat::test {
namespace {

void put16(Octets& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value));
}

void put_address(Octets& out, const IpAddress& address) {
  const auto& octets = address.bits().octets;
  out.insert(out.end(), octets.begin() + (address.is_ipv4() ? 12 : 0), octets.end());
}

auto get16(std::span<const std::uint8_t> octets, std::size_t at) -> unsigned {
  return static_cast<unsigned>(octets[at]) << 8U | octets[at + 1];
}

auto get_address(std::span<const std::uint8_t> octets, bool is_ipv4) -> IpAddress {
  if (is_ipv4)
    return IpAddress{Ipv4Address{static_cast<std::uint32_t>(get16(octets, 0) << 16U | get16(octets, 2))}};
  Ipv6Address address;
  std::copy_n(octets.begin(), 16, address.octets.begin());
  return IpAddress{address};
}

auto sum16(std::span<const std::uint8_t> octets) -> std::uint32_t {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); ++i)
    sum += i % 2 == 0 ? static_cast<std::uint32_t>(octets[i]) << 8U : octets[i];
  return sum;
}

auto pseudo_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                std::size_t length) -> std::uint32_t {
  Octets octets;
  put_address(octets, source);
  put_address(octets, destination);
  return sum16(octets) + protocol + static_cast<std::uint32_t>(length >> 16U) +
         static_cast<std::uint32_t>(length & 0xffffU);
}

auto checksum_at(std::uint8_t protocol) -> std::size_t {
  if (protocol == 6) return 16;
  return protocol == 17 ? 6 : 2;
}

/// The parts of a packet; only what lies within it.
struct Parts {
  bool is_ipv4 = false;
  IpAddress source;
  IpAddress destination;
  std::uint8_t protocol = 0;
  std::uint8_t ttl = 0;
  std::uint8_t tos = 0;
  bool dont_fragment = false;
  std::size_t declared_size = 0;
  std::size_t header_size = 0;
  std::span<const std::uint8_t> transport;
  std::string fault;
};

auto take_apart(std::span<const std::uint8_t> packet) -> Parts {
  Parts parts;
  if (packet.empty() || (packet[0] >> 4U != 4 && packet[0] >> 4U != 6)) {
    parts.fault = "NO IP PACKET";
    return parts;
  }
  parts.is_ipv4 = packet[0] >> 4U == 4;
  parts.header_size = parts.is_ipv4 ? (packet[0] & 15U) * 4U : 40;
  if (packet.size() < parts.header_size || parts.header_size < 20) {
    parts.fault = "SHORT HEADER";
    return parts;
  }
  parts.declared_size = parts.is_ipv4 ? get16(packet, 2) : 40 + get16(packet, 4);
  parts.protocol = parts.is_ipv4 ? packet[9] : packet[6];
  parts.ttl = parts.is_ipv4 ? packet[8] : packet[7];
  parts.tos = parts.is_ipv4 ? packet[1] : static_cast<std::uint8_t>(get16(packet, 0) >> 4U);
  parts.dont_fragment = parts.is_ipv4 && (packet[6] & 0x40U) != 0;
  parts.source = get_address(packet.subspan(parts.is_ipv4 ? 12 : 8), parts.is_ipv4);
  parts.destination = get_address(packet.subspan(parts.is_ipv4 ? 16 : 24), parts.is_ipv4);
  parts.transport = packet.subspan(parts.header_size);
  if (parts.is_ipv4 && internet_checksum(packet.first(parts.header_size)) != 0)
    parts.fault += " BAD HEADER CHECKSUM";
  return parts;
}

auto is_icmp(const Parts& parts) -> bool { return parts.protocol == (parts.is_ipv4 ? 1 : 58); }

auto is_icmp_error(const Parts& parts) -> bool {
  const std::uint8_t type = parts.transport[0];
  return parts.is_ipv4 ? type == 3 || type == 11 || type == 12 : type < 128;
}

auto transport_header_size(const Parts& parts) -> std::size_t {
  if (parts.protocol != 6) return 8;
  return parts.transport.size() > 12 ? (parts.transport[12] >> 4U) * 4U : 20;
}

auto transport_fault(const Parts& parts) -> std::string {
  const bool known = parts.protocol == 6 || parts.protocol == 17 || is_icmp(parts);
  if (!known) return "";
  if (parts.transport.size() < transport_header_size(parts)) return " SHORT TRANSPORT HEADER";
  std::span<const std::uint8_t> covered = parts.transport;
  if (parts.protocol == 17) {
    if (get16(parts.transport, 4) > parts.transport.size() || get16(parts.transport, 4) < 8)
      return " BAD UDP LENGTH";
    covered = covered.first(get16(parts.transport, 4));
    if (get16(parts.transport, 6) == 0) return parts.is_ipv4 ? " no checksum" : " NO CHECKSUM";
  }
  const bool has_pseudo = parts.protocol != 1;
  const std::uint32_t initial =
      has_pseudo ? pseudo_sum(parts.source, parts.destination, parts.protocol, covered.size()) : 0;
  return internet_checksum(covered, initial) == 0 ? "" : " BAD CHECKSUM";
}

auto text_of(std::span<const std::uint8_t> octets) -> std::string {
  if (octets.empty()) return "";
  if (octets.size() > 24 || !std::ranges::all_of(octets, [](std::uint8_t c) { return c >= 32 && c < 127; }))
    return fmt::format(" +{}", octets.size());
  return fmt::format(" \"{}\"", std::string(octets.begin(), octets.end()));
}

auto flags_text(std::uint8_t flags) -> std::string {
  std::string text;
  for (const auto& [bit, letter] :
       {std::pair{2, 'S'}, {1, 'F'}, {4, 'R'}, {8, 'P'}, {16, 'A'}, {64, 'E'}, {128, 'C'}})
    if ((flags & bit) != 0) text += letter;
  return text;
}

auto describe_parts(const Parts& parts, bool is_quoted) -> std::string;

auto describe_transport(const Parts& parts, bool is_quoted) -> std::string {
  const auto& transport = parts.transport;
  const auto header = std::min(transport_header_size(parts), transport.size());
  if (parts.protocol == 6) {
    const std::string flags = transport.size() > 13 ? flags_text(transport[13]) : "?";
    return fmt::format("tcp {}{}", flags, is_quoted ? "" : text_of(transport.subspan(header)));
  }
  if (parts.protocol == 17) return "udp" + (is_quoted ? "" : text_of(transport.subspan(header)));
  if (!is_icmp(parts)) return fmt::format("protocol {}", parts.protocol);
  if (!is_icmp_error(parts)) {
    const bool is_request = transport[0] == (parts.is_ipv4 ? 8 : 128);
    const bool is_reply = transport[0] == (parts.is_ipv4 ? 0 : 129);
    if (!is_request && !is_reply) return fmt::format("icmp {}/{}", transport[0], transport[1]);
    return fmt::format("{} {}{}", is_request ? "echo request" : "echo reply", get16(transport, 4),
                       is_quoted ? "" : text_of(transport.subspan(8)));
  }
  const std::uint32_t rest = get16(transport, 4) << 16U | get16(transport, 6);
  std::string text = fmt::format("icmp {}/{}", transport[0], transport[1]);
  if (rest != 0) text += fmt::format(" rest {:#x}", rest);
  return text + " [" + describe_parts(take_apart(transport.subspan(8)), true) + "]";
}

auto describe_parts(const Parts& parts, bool is_quoted) -> std::string {
  if (parts.source == IpAddress{} && !parts.fault.empty()) return parts.fault;
  std::string text;
  const bool has_ports = (parts.protocol == 6 || parts.protocol == 17) && parts.transport.size() >= 4;
  if (has_ports) {
    text = fmt::format(
        "{} > {} ", Endpoint{parts.source, Port{static_cast<std::uint16_t>(get16(parts.transport, 0))}},
        Endpoint{parts.destination, Port{static_cast<std::uint16_t>(get16(parts.transport, 2))}});
  } else {
    text = fmt::format("{} > {} ", parts.source, parts.destination);
  }
  text += parts.transport.size() < 8 ? "SHORT" : describe_transport(parts, is_quoted);
  text += fmt::format(" ttl {}", parts.ttl);
  if (parts.tos != 0) text += fmt::format(" tos {:#x}", parts.tos);
  if (parts.dont_fragment) text += " DF";
  if (is_quoted) {
    const bool is_complete = parts.header_size + parts.transport.size() == parts.declared_size;
    return text + fmt::format(" size {}", parts.declared_size) + parts.fault +
           (is_complete ? transport_fault(parts) : "");
  }
  if (parts.header_size + parts.transport.size() != parts.declared_size) text += " BAD LENGTH";
  return text + parts.fault + transport_fault(parts);
}

}  // namespace

auto internet_checksum(std::span<const std::uint8_t> octets, std::uint32_t initial) -> std::uint16_t {
  std::uint32_t sum = initial + sum16(octets);
  while (sum > 0xffff) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

PacketBuilder::PacketBuilder(std::string_view source, std::string_view destination)
    : source_(*IpAddress::parse(source)), destination_(*IpAddress::parse(destination)) {}

auto PacketBuilder::udp(std::uint16_t source_port, std::uint16_t destination_port) -> PacketBuilder& {
  protocol_ = 17;
  transport_header_.clear();
  put16(transport_header_, source_port);
  put16(transport_header_, destination_port);
  transport_header_.resize(8);
  return *this;
}

auto PacketBuilder::tcp(std::uint16_t source_port, std::uint16_t destination_port, std::string_view flags)
    -> PacketBuilder& {
  protocol_ = 6;
  transport_header_.clear();
  put16(transport_header_, source_port);
  put16(transport_header_, destination_port);
  for (const unsigned half : {0x0102U, 0x0304U, 0x0506U, 0x0708U}) put16(transport_header_, half);
  unsigned bits = 0;
  for (const char flag : flags) {
    const auto at = std::string_view("FSRPAUEC").find(flag);
    bits |= 1U << at;
  }
  put16(transport_header_, 0x5000U | bits);
  put16(transport_header_, 8192);
  put16(transport_header_, 0);
  put16(transport_header_, 0);
  return *this;
}

auto PacketBuilder::tcp_options(const Octets& options) -> PacketBuilder& {
  transport_header_.insert(transport_header_.end(), options.begin(), options.end());
  transport_header_[12] = static_cast<std::uint8_t>(transport_header_.size() / 4 << 4U);
  return *this;
}

auto PacketBuilder::echo_request(std::uint16_t identifier) -> PacketBuilder& {
  return icmp(source_.is_ipv4() ? 8 : 128, 0, static_cast<std::uint32_t>(identifier) << 16U | 7, {});
}

auto PacketBuilder::echo_reply(std::uint16_t identifier) -> PacketBuilder& {
  return icmp(source_.is_ipv4() ? 0 : 129, 0, static_cast<std::uint32_t>(identifier) << 16U | 7, {});
}

auto PacketBuilder::icmp(std::uint8_t type, std::uint8_t code, std::uint32_t rest, Octets quoted)
    -> PacketBuilder& {
  protocol_ = source_.is_ipv4() ? 1 : 58;
  transport_header_ = {type, code};
  put16(transport_header_, 0);
  put16(transport_header_, rest >> 16U);
  put16(transport_header_, rest);
  payload_ = std::move(quoted);
  return *this;
}

auto PacketBuilder::protocol(std::uint8_t number) -> PacketBuilder& {
  protocol_ = number;
  transport_header_.assign(8, 0);
  return *this;
}

auto PacketBuilder::payload(std::string_view text) -> PacketBuilder& {
  payload_.assign(text.begin(), text.end());
  return *this;
}
auto PacketBuilder::payload(Octets octets) -> PacketBuilder& {
  payload_ = std::move(octets);
  return *this;
}
auto PacketBuilder::payload_size(std::size_t size) -> PacketBuilder& {
  payload_.resize(size);
  for (std::size_t i = 0; i < size; ++i) payload_[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return *this;
}
auto PacketBuilder::ttl(std::uint8_t value) -> PacketBuilder& {
  ttl_ = value;
  return *this;
}
auto PacketBuilder::tos(std::uint8_t value) -> PacketBuilder& {
  tos_ = value;
  return *this;
}
auto PacketBuilder::identification(std::uint16_t value) -> PacketBuilder& {
  identification_ = value;
  return *this;
}
auto PacketBuilder::dont_fragment() -> PacketBuilder& {
  flags_ |= 0x4000;
  return *this;
}
auto PacketBuilder::fragment_field(std::uint16_t value) -> PacketBuilder& {
  fragment_ = value;
  return *this;
}
auto PacketBuilder::ipv4_options(Octets options) -> PacketBuilder& {
  options_ = std::move(options);
  return *this;
}
auto PacketBuilder::extension(std::uint8_t number, Octets octets) -> PacketBuilder& {
  extensions_.push_back({number, std::move(octets)});
  return *this;
}
auto PacketBuilder::zero_checksum() -> PacketBuilder& {
  checksum_ = Checksum::zero;
  return *this;
}
auto PacketBuilder::bad_checksum() -> PacketBuilder& {
  checksum_ = Checksum::bad;
  return *this;
}
auto PacketBuilder::partial_checksum() -> PacketBuilder& {
  checksum_ = Checksum::partial;
  return *this;
}

auto PacketBuilder::transport() const -> Octets {
  Octets octets = transport_header_;
  octets.insert(octets.end(), payload_.begin(), payload_.end());
  const bool known = protocol_ == 6 || protocol_ == 17 || protocol_ == 1 || protocol_ == 58;
  if (!known) return octets;
  if (protocol_ == 17) {
    octets[4] = static_cast<std::uint8_t>(octets.size() >> 8U);
    octets[5] = static_cast<std::uint8_t>(octets.size());
  }
  const std::uint32_t pseudo =
      protocol_ == 1 ? 0 : pseudo_sum(source_, destination_, protocol_, octets.size());
  std::uint16_t checksum = internet_checksum(octets, pseudo);
  if (checksum == 0 && protocol_ == 17) checksum = 0xffff;
  if (checksum_ == Checksum::zero) checksum = 0;
  if (checksum_ == Checksum::bad) checksum ^= 0x1234U;
  if (checksum_ == Checksum::partial) checksum = static_cast<std::uint16_t>(~internet_checksum({}, pseudo));
  const std::size_t at = checksum_at(protocol_);
  octets[at] = static_cast<std::uint8_t>(checksum >> 8U);
  octets[at + 1] = static_cast<std::uint8_t>(checksum);
  return octets;
}

auto PacketBuilder::build() const -> Octets {
  Octets packet;
  const Octets body = transport();
  if (source_.is_ipv4()) {
    const auto header_words = static_cast<unsigned>(5 + options_.size() / 4);
    packet.push_back(static_cast<std::uint8_t>(0x40U | header_words));
    packet.push_back(tos_);
    put16(packet, static_cast<unsigned>(header_words * 4 + body.size()));
    put16(packet, identification_);
    put16(packet, fragment_.value_or(0) | flags_);
    packet.push_back(ttl_);
    packet.push_back(protocol_);
    put16(packet, 0);
    put_address(packet, source_);
    put_address(packet, destination_);
    packet.insert(packet.end(), options_.begin(), options_.end());
    const std::uint16_t checksum = internet_checksum(packet);
    packet[10] = static_cast<std::uint8_t>(checksum >> 8U);
    packet[11] = static_cast<std::uint8_t>(checksum);
  } else {
    auto extensions = extensions_;
    if (fragment_) {
      Octets header(8);
      header[2] = static_cast<std::uint8_t>(*fragment_ >> 8U);
      header[3] = static_cast<std::uint8_t>(*fragment_);
      header[6] = static_cast<std::uint8_t>(identification_ >> 8U);
      header[7] = static_cast<std::uint8_t>(identification_);
      extensions.push_back({44, header});
    }
    Octets middle;
    for (std::size_t i = 0; i < extensions.size(); ++i) {
      Octets header = extensions[i].octets;
      header[0] = i + 1 < extensions.size() ? extensions[i + 1].number : protocol_;
      middle.insert(middle.end(), header.begin(), header.end());
    }
    put16(packet, 0x6000U | static_cast<unsigned>(tos_) << 4U);
    put16(packet, 0);
    put16(packet, static_cast<unsigned>(middle.size() + body.size()));
    packet.push_back(extensions.empty() ? protocol_ : extensions.front().number);
    packet.push_back(ttl_);
    put_address(packet, source_);
    put_address(packet, destination_);
    packet.insert(packet.end(), middle.begin(), middle.end());
  }
  packet.insert(packet.end(), body.begin(), body.end());
  return packet;
}

auto describe(std::span<const std::uint8_t> packet) -> std::string {
  return describe_parts(take_apart(packet), false);
}

auto describe(std::span<const std::uint8_t> packet, const Offload& offload) -> std::string {
  if ((offload.flags & Offload::needs_csum) == 0) return describe(packet);
  Octets completed(packet.begin(), packet.end());
  const std::size_t at = std::size_t{offload.csum_start} + offload.csum_offset;
  if (at + 2 > completed.size()) return "CHECKSUM OUTSIDE OF PACKET";
  std::uint16_t checksum = internet_checksum(packet.subspan(offload.csum_start));
  if (checksum == 0) checksum = 0xffff;
  completed[at] = static_cast<std::uint8_t>(checksum >> 8U);
  completed[at + 1] = static_cast<std::uint8_t>(checksum);
  return describe(completed);
}

auto find_fault(std::span<const std::uint8_t> packet) -> std::string {
  const Parts parts = take_apart(packet);
  if (!parts.fault.empty()) return parts.fault;
  if (parts.header_size + parts.transport.size() != parts.declared_size) return " BAD LENGTH";
  const std::string fault = transport_fault(parts);
  return fault == " no checksum" ? "" : fault;
}

auto reassemble(const std::vector<Octets>& fragments) -> std::optional<Octets> {
  constexpr std::size_t headers_size = 48;
  if (fragments.empty()) return std::nullopt;
  const Octets& first = fragments.front();
  if (first.size() < headers_size) return std::nullopt;
  Octets packet(first.begin(), first.begin() + 40);
  for (const Octets& fragment : fragments) {
    if (fragment.size() < headers_size || fragment[6] != 44 || fragment[40] != first[40]) return std::nullopt;
    if (fragment.size() != 40U + static_cast<std::size_t>(fragment[4] << 8U | fragment[5]))
      return std::nullopt;
    if (!std::equal(first.begin() + 44, first.begin() + 48, fragment.begin() + 44)) return std::nullopt;
    const auto offset = static_cast<std::size_t>(fragment[42] << 8U | fragment[43]) & 0xfff8U;
    const bool has_more = (fragment[43] & 1U) != 0;
    if (packet.size() != 40 + offset || has_more != (&fragment != &fragments.back())) return std::nullopt;
    packet.insert(packet.end(), fragment.begin() + headers_size, fragment.end());
  }
  packet[4] = static_cast<std::uint8_t>((packet.size() - 40) >> 8U);
  packet[5] = static_cast<std::uint8_t>(packet.size() - 40);
  packet[6] = first[40];
  return packet;
}

auto payload_of(std::span<const std::uint8_t> packet) -> Octets {
  const Parts parts = take_apart(packet);
  const auto payload = parts.transport.subspan(transport_header_size(parts));
  return {payload.begin(), payload.end()};
}

}  // namespace portolan::nat::test
