// SPDX-License-Identifier: BSD-2-Clause
//
// Where a data-plane worker gets packets from and sends them to: a TUN, or a test.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "io/tun.h"

namespace portolan::device {

/// Packets with a 10-octet virtio-net header before each. Thread: the worker's only.
class PacketLink {
 public:
  static constexpr std::size_t header_size = io::Tun::header_bytes;

  virtual ~PacketLink() = default;
  /// Octets of header and packet read; 0 if none waits.
  [[nodiscard]] virtual auto read(std::span<std::byte> buffer) -> std::size_t = 0;
  /// False if it could not be sent.
  [[nodiscard]] virtual auto write(std::span<const std::byte> packet) -> bool = 0;
  /// Whether UDP superpackets may be written.
  [[nodiscard]] virtual auto takes_udp_superpackets() const -> bool = 0;
  /// Readable while packets wait.
  [[nodiscard]] virtual auto descriptor() const -> int = 0;
};

/// One queue of a TUN.
class TunLink final : public PacketLink {
 public:
  TunLink(std::shared_ptr<const io::Tun> tun, std::size_t queue) : tun_(std::move(tun)), queue_(queue) {}
  auto read(std::span<std::byte> buffer) -> std::size_t override;
  auto write(std::span<const std::byte> packet) -> bool override {
    return tun_->write(packet, queue_).has_value();
  }
  auto takes_udp_superpackets() const -> bool override {
    return tun_->offloads() == io::TunOffloads::tso_uso;
  }
  auto descriptor() const -> int override { return is_gone_ ? -1 : tun_->descriptor(queue_); }

 private:
  std::shared_ptr<const io::Tun> tun_;
  std::size_t queue_;
  bool is_gone_ = false;  // the interface was deleted under us: its descriptor would be readable forever
};

/// A link for each queue of `tun`.
[[nodiscard]] auto links_of(io::Tun tun) -> std::vector<std::unique_ptr<PacketLink>>;

}  // namespace portolan::device
