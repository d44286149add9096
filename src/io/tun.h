// SPDX-License-Identifier: BSD-2-Clause
//
// A TUN interface that carries superpackets: each read and write is one 10-octet virtio-net header,
// then one IP packet of up to 64 KB (TSO, USO) whose checksum may be left to the other side. The header
// is native-endian; its layout is the reader's (src/nat), <linux/virtio_net.h> is not C++.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_descriptor.h"
#include "io/steering.h"
#include "io/system.h"

namespace portolan::io {

struct TunOptions {
  std::string name = "nat64";       ///< 1-15 octets; must not exist, or be a persistent TUN nobody has open
  unsigned mtu = 1500;              ///< 1280-65535; 1280 is the least IPv6 works with
  unsigned queues = 1;              ///< 1-256 descriptors; the kernel spreads flows over them
  unsigned tx_queue_length = 5000;  ///< packets; the default of 500 drops at bursts
};

/// What the kernel may hand us instead of plain packets, best first.
enum class TunOffloads : std::uint8_t {
  none,     ///< plain packets, complete checksums
  tso,      ///< TCP superpackets, partial checksums
  tso_uso,  ///< and UDP superpackets (Linux 6.2)
};

/// "none", "TSO" or "TSO and USO".
[[nodiscard]] auto to_string(TunOffloads offloads) -> std::string_view;

/// An open TUN interface, up, without addresses. It disappears with this object, its routes with it.
class Tun {
 public:
  static constexpr std::size_t header_bytes = 10;
  static constexpr unsigned mtu_min = 1280;
  static constexpr unsigned mtu_max = 65535;
  static constexpr unsigned queues_max = 256;
  /// A buffer this big holds everything read() may return, and leaves room to grow IPv4 into IPv6.
  static constexpr std::size_t buffer_bytes = header_bytes + 65535 + 60 + 5;

  /// Makes the interface and brings it up. Joins no other process's queues.
  /// Errors  text with the cause and what to do about it
  [[nodiscard]] static auto open(const TunOptions& options) -> std::expected<Tun, std::string>;

  /// From now on the kernel chooses queues by `steering`. Without it, or if it refuses, by a hash of the
  /// flow. Errors  no right to load BPF programs, or a kernel without them
  [[nodiscard]] auto steer(const Steering& steering) const -> std::expected<void, SystemError>;

  /// Reads one packet with its header; 0 if none waits. `buffer` shorter than the packet cuts it.
  /// Thread: any, one per queue.
  [[nodiscard]] auto read(std::span<std::byte> buffer, std::size_t queue = 0) const noexcept
      -> std::expected<std::size_t, SystemError>;
  /// Writes one packet with its header. EINVAL: the kernel found header and packet contradictory.
  [[nodiscard]] auto write(std::span<const std::byte> packet, std::size_t queue = 0) const noexcept
      -> std::expected<void, SystemError>;

  /// Non-blocking descriptor of a queue, borrowed.
  [[nodiscard]] auto descriptor(std::size_t queue = 0) const -> int { return queues_.at(queue).get(); }
  [[nodiscard]] auto queue_count() const noexcept -> std::size_t { return queues_.size(); }
  [[nodiscard]] auto name() const noexcept -> const std::string& { return name_; }
  [[nodiscard]] auto interface_index() const noexcept -> unsigned { return interface_index_; }
  [[nodiscard]] auto offloads() const noexcept -> TunOffloads { return offloads_; }

 private:
  Tun() = default;

  std::vector<FileDescriptor> queues_;
  std::string name_;
  unsigned interface_index_ = 0;
  TunOffloads offloads_ = TunOffloads::none;
};

}  // namespace portolan::io
