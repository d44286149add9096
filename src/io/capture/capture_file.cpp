// SPDX-License-Identifier: BSD-2-Clause
#include "io/capture/capture_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"

#include <pcap/pcap.h>

namespace portolan::io {
namespace {

constexpr std::uint16_t ether_ipv4 = 0x0800;
constexpr std::uint16_t ether_ipv6 = 0x86dd;
constexpr std::uint16_t ether_vlan = 0x8100;
constexpr std::uint16_t ether_service_vlan = 0x88a8;
constexpr std::uint8_t protocol_tcp = 6;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::size_t ipv4_header_octets = 20;
constexpr std::size_t ipv6_header_octets = 40;
constexpr std::size_t udp_header_octets = 8;
constexpr std::size_t tcp_header_octets = 20;
/// No options, PSH and ACK.
constexpr std::uint16_t tcp_flags = 0x5018;
constexpr std::uint16_t tcp_window = 0xffff;
/// Largest packet that is read or written.
constexpr int snapshot_octets = 262'144;
/// Directions of TCP connections that are known; beyond them all begin anew.
constexpr std::size_t connections_max = 8192;

/// Goes behind the link's header; whether there is an IP packet.
auto skip_link_header(int link_type, ByteReader& reader) -> bool {
  switch (link_type) {
    case DLT_RAW:
    case DLT_IPV4:
    case DLT_IPV6: return true;
    case DLT_NULL:
    case DLT_LOOP: reader.skip(4); return true;
    case DLT_EN10MB: {
      reader.skip(12);
      auto type = reader.read<std::uint16_t>();
      while (type == ether_vlan || type == ether_service_vlan) {
        reader.skip(2);
        type = reader.read<std::uint16_t>();
      }
      return type == ether_ipv4 || type == ether_ipv6;
    }
    case DLT_LINUX_SLL: reader.skip(16); return true;
    case DLT_LINUX_SLL2: reader.skip(20); return true;
    default: return false;
  }
}

struct IpHeader {
  IpAddress source;
  IpAddress destination;
};

auto read_ipv4(ByteReader& reader) -> std::optional<IpHeader> {
  const auto first = reader.read<std::uint8_t>();
  reader.skip(5);
  const auto fragment = reader.read<std::uint16_t>();
  reader.skip(1);
  const auto protocol = reader.read<std::uint8_t>();
  reader.skip(2);
  const IpAddress source{Ipv4Address{reader.read<std::uint32_t>()}};
  const IpAddress destination{Ipv4Address{reader.read<std::uint32_t>()}};
  const std::size_t header_octets = std::size_t{first & 0xfU} * 4;
  // More fragments, or an offset.
  if (protocol != protocol_udp || (fragment & 0x3fffU) != 0 || header_octets < ipv4_header_octets) return {};
  reader.skip(header_octets - ipv4_header_octets);
  return IpHeader{.source = source, .destination = destination};
}

auto read_ipv6(ByteReader& reader) -> std::optional<IpHeader> {
  reader.skip(6);
  const auto next_header = reader.read<std::uint8_t>();
  reader.skip(1);
  const IpAddress source = reader.read_address();
  const IpAddress destination = reader.read_address();
  if (next_header != protocol_udp) return {};
  return IpHeader{.source = source, .destination = destination};
}

/// Sum of 16-bit words (RFC 1071), an odd octet at the end counting as a word's first.
auto checksum_sum(std::span<const std::byte> octets) -> std::uint64_t {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < octets.size(); ++i)
    sum += std::uint64_t{std::to_integer<std::uint8_t>(octets[i])} << (i % 2 == 0 ? 8U : 0U);
  return sum;
}

auto checksum_of(std::uint64_t sum) -> std::uint16_t {
  while (sum >> 16U != 0) sum = (sum & 0xffffU) + (sum >> 16U);
  return static_cast<std::uint16_t>(~sum);
}

void set_number(std::span<std::byte> place, std::uint16_t number) { ByteWriter(place).write(number); }

/// What a packet has besides addresses and ports: of UDP nothing.
struct TcpNumbers {
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgment = 0;
};

/// The packet that carries `datagram`, as data of TCP where there are numbers.
auto packet_with(const CapturedDatagram& datagram, const std::optional<TcpNumbers>& tcp)
    -> std::vector<std::byte> {
  const bool is_ipv4 = datagram.source.address.is_ipv4();
  const std::uint8_t protocol = tcp ? protocol_tcp : protocol_udp;
  const std::size_t ip_octets = is_ipv4 ? ipv4_header_octets : ipv6_header_octets;
  const std::size_t header_octets = tcp ? tcp_header_octets : udp_header_octets;
  const auto behind_ip = static_cast<std::uint16_t>(header_octets + datagram.payload.size());
  std::vector<std::byte> packet(ip_octets + behind_ip);
  const std::span<std::byte> whole(packet);
  ByteWriter writer(whole);
  std::span<const std::byte> addresses;
  if (is_ipv4) {
    writer.write(std::uint16_t{0x4500});
    writer.write(static_cast<std::uint16_t>(packet.size()));
    writer.zeros(4);
    writer.write(static_cast<std::uint16_t>(64U << 8U | protocol));
    writer.zeros(2);
    writer.write(datagram.source.address.ipv4().value);
    writer.write(datagram.destination.address.ipv4().value);
    set_number(whole.subspan(10, 2), checksum_of(checksum_sum(whole.first(ipv4_header_octets))));
    addresses = whole.subspan(12, 8);
  } else {
    writer.write(std::uint32_t{0x60000000});
    writer.write(behind_ip);
    writer.write(static_cast<std::uint16_t>(unsigned{protocol} << 8U | 64U));
    writer.write(datagram.source.address);
    writer.write(datagram.destination.address);
    addresses = whole.subspan(8, 32);
  }
  writer.write(datagram.source.port.value);
  writer.write(datagram.destination.port.value);
  if (tcp) {
    writer.write(tcp->sequence);
    writer.write(tcp->acknowledgment);
    writer.write(tcp_flags);
    writer.write(tcp_window);
    writer.zeros(4);
  } else {
    writer.write(behind_ip);
    writer.zeros(2);
  }
  writer.write(datagram.payload);
  const std::uint16_t checksum =
      checksum_of(checksum_sum(addresses) + behind_ip + protocol + checksum_sum(whole.subspan(ip_octets)));
  // To UDP none is 0 (RFC 768).
  set_number(whole.subspan(ip_octets + (tcp ? 16 : 6), 2),
             checksum == 0 && !tcp ? std::uint16_t{0xffff} : checksum);
  return packet;
}

struct CloseCapture {
  void operator()(pcap_t* capture) const { pcap_close(capture); }
};
struct CloseDump {
  void operator()(pcap_dumper_t* dump) const { pcap_dump_close(dump); }
};

}  // namespace

auto udp_in_packet(int link_type, std::span<const std::byte> packet) -> std::optional<CapturedDatagram> {
  ByteReader reader(packet);
  if (!skip_link_header(link_type, reader) || reader.remaining() == 0) return {};
  const auto version = std::to_integer<unsigned>(packet[packet.size() - reader.remaining()]) >> 4U;
  const auto ip = version == 4 ? read_ipv4(reader) : version == 6 ? read_ipv6(reader) : std::nullopt;
  if (!ip) return {};
  CapturedDatagram datagram;
  datagram.source = {.address = ip->source, .port = Port{reader.read<std::uint16_t>()}};
  datagram.destination = {.address = ip->destination, .port = Port{reader.read<std::uint16_t>()}};
  const std::size_t udp_octets = reader.read<std::uint16_t>();
  reader.skip(2);
  if (!reader.ok() || udp_octets < udp_header_octets) return {};
  const std::size_t said = udp_octets - udp_header_octets;
  datagram.is_cut = said > reader.remaining();
  const auto payload = reader.take(std::min(said, reader.remaining()));
  datagram.payload.assign(payload.begin(), payload.end());
  return datagram;
}

struct CaptureReader::State {
  std::string path;
  std::unique_ptr<pcap_t, CloseCapture> capture;
};

CaptureReader::CaptureReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureReader::CaptureReader(CaptureReader&&) noexcept = default;
auto CaptureReader::operator=(CaptureReader&&) noexcept -> CaptureReader& = default;
CaptureReader::~CaptureReader() = default;

auto CaptureReader::open(const std::filesystem::path& path) -> std::expected<CaptureReader, std::string> {
  std::array<char, PCAP_ERRBUF_SIZE> error{};
  auto state = std::make_unique<State>();
  state->path = path.string();
  state->capture.reset(
      pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, error.data()));
  // libpcap's words begin with the path where the file cannot be opened.
  if (!state->capture)
    return std::unexpected(fmt::format("{}: no capture file: {}", state->path, error.data()));
  return CaptureReader(std::move(state));
}

auto CaptureReader::next() -> std::expected<std::optional<CapturedDatagram>, std::string> {
  pcap_pkthdr* header = nullptr;
  const u_char* data = nullptr;
  for (;;) {
    const int status = pcap_next_ex(state_->capture.get(), &header, &data);
    if (status == PCAP_ERROR_BREAK) return std::nullopt;
    if (status != 1)
      return std::unexpected(fmt::format("{}: {}", state_->path, pcap_geterr(state_->capture.get())));
    const auto packet = std::as_bytes(std::span(data, header->caplen));
    auto datagram = udp_in_packet(pcap_datalink(state_->capture.get()), packet);
    if (!datagram) continue;
    datagram->wall_time = Seconds{header->ts.tv_sec} + Nanoseconds{header->ts.tv_usec};
    return datagram;
  }
}

struct CaptureWriter::State {
  std::string path;
  std::unique_ptr<pcap_t, CloseCapture> kind;
  std::unique_ptr<pcap_dumper_t, CloseDump> dump;
  /// Sequence number of what comes next from the first to the second endpoint.
  std::map<std::pair<Endpoint, Endpoint>, std::uint32_t> next_of;

  [[nodiscard]] auto write(Nanoseconds wall_time, std::span<const std::byte> packet)
      -> std::expected<void, std::string>;
};

CaptureWriter::CaptureWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
CaptureWriter::CaptureWriter(CaptureWriter&&) noexcept = default;
auto CaptureWriter::operator=(CaptureWriter&&) noexcept -> CaptureWriter& = default;
CaptureWriter::~CaptureWriter() = default;

auto CaptureWriter::open(const std::filesystem::path& path) -> std::expected<CaptureWriter, std::string> {
  auto state = std::make_unique<State>();
  state->path = path.string();
  state->kind.reset(
      pcap_open_dead_with_tstamp_precision(DLT_RAW, snapshot_octets, PCAP_TSTAMP_PRECISION_NANO));
  state->dump.reset(pcap_dump_open(state->kind.get(), path.c_str()));
  if (!state->dump) return std::unexpected(pcap_geterr(state->kind.get()));
  return CaptureWriter(std::move(state));
}

auto CaptureWriter::State::write(Nanoseconds wall_time, std::span<const std::byte> packet)
    -> std::expected<void, std::string> {
  const auto seconds = std::chrono::duration_cast<Seconds>(wall_time);
  pcap_pkthdr header{};
  header.ts.tv_sec = static_cast<time_t>(seconds.count());
  header.ts.tv_usec = static_cast<suseconds_t>((wall_time - seconds).count());
  header.caplen = header.len = static_cast<bpf_u_int32>(packet.size());
  // libpcap takes its dumper as octets.
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast)
  pcap_dump(reinterpret_cast<u_char*>(dump.get()), &header, reinterpret_cast<const u_char*>(packet.data()));
  if (pcap_dump_flush(dump.get()) != 0)
    return std::unexpected(fmt::format("{}: {}", path, std::strerror(errno)));
  return {};
}

auto CaptureWriter::write(const CapturedDatagram& datagram) -> std::expected<void, std::string> {
  return state_->write(datagram.wall_time, packet_with(datagram, {}));
}

auto CaptureWriter::write_tcp(const CapturedDatagram& data) -> std::expected<void, std::string> {
  auto& next = state_->next_of;
  if (next.size() >= connections_max) next.clear();
  // Both ways begin at 1.
  const auto there = next.try_emplace({data.source, data.destination}, 1).first;
  const auto back = next.try_emplace({data.destination, data.source}, 1).first;
  const TcpNumbers numbers{.sequence = there->second, .acknowledgment = back->second};
  there->second += static_cast<std::uint32_t>(data.payload.size());
  return state_->write(data.wall_time, packet_with(data, numbers));
}

}  // namespace portolan::io
