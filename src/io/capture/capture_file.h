// SPDX-License-Identifier: BSD-2-Clause
//
// UDP datagrams in capture files: pcap and pcapng are read, pcap is written, with TCP data too. libpcap knows
// the files, this what is in them.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"

namespace portolan::io {

/// A datagram as it was on a link.
struct CapturedDatagram {
  /// Since 1970.
  Nanoseconds wall_time{};
  Endpoint source{};
  Endpoint destination{};
  std::vector<std::byte> payload{};
  /// The capture has less of it than was sent.
  bool is_cut = false;

  auto operator==(const CapturedDatagram&) const -> bool = default;
};

/// The UDP datagram in a packet of a link of libpcap's type `link_type` (Ethernet with VLAN tags, Linux
/// cooked, raw IP, loopback); none if there is none, or only a part of one in a fragment, or behind IPv6
/// extension headers.
[[nodiscard]] auto udp_in_packet(int link_type, std::span<const std::byte> packet)
    -> std::optional<CapturedDatagram>;

class CaptureReader {
 public:
  /// "-" is standard input. Errors  text that names file and cause
  [[nodiscard]] static auto open(const std::filesystem::path& path)
      -> std::expected<CaptureReader, std::string>;

  CaptureReader(CaptureReader&&) noexcept;
  auto operator=(CaptureReader&&) noexcept -> CaptureReader&;
  ~CaptureReader();

  /// The next UDP datagram; none at the end. Errors  text: the file is damaged, or ends in a packet
  [[nodiscard]] auto next() -> std::expected<std::optional<CapturedDatagram>, std::string>;

 private:
  struct State;
  explicit CaptureReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class CaptureWriter {
 public:
  /// Makes the file anew. Errors  text that names file and cause
  [[nodiscard]] static auto open(const std::filesystem::path& path)
      -> std::expected<CaptureWriter, std::string>;

  CaptureWriter(CaptureWriter&&) noexcept;
  auto operator=(CaptureWriter&&) noexcept -> CaptureWriter&;
  ~CaptureWriter();

  /// Writes `datagram` in an IP packet with right checksums, and to the disk at once. Source and destination
  /// are of one family. Errors  text: what the disk says
  [[nodiscard]] auto write(const CapturedDatagram& datagram) -> std::expected<void, std::string>;
  /// As write(), but the payload is what goes next on the TCP connection of these endpoints. Only its data is
  /// shown: sequence numbers count from 1, and begin and end of the connection are not there.
  [[nodiscard]] auto write_tcp(const CapturedDatagram& data) -> std::expected<void, std::string>;

 private:
  struct State;
  explicit CaptureWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
