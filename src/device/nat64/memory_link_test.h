// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: a link whose other end is in memory.
#pragma once

#include <condition_variable>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "device/nat64/packet_link.h"
#include "io/wakeup.h"
#include "nat/frame.h"
#include "nat/testing/test_packets.h"

namespace portolan::device {

/// What the two ends of a link in memory share.
class Wire {
 public:
  void send(const nat::test::Octets& packet, nat::Offload offload = {}) {
    nat::test::Octets octets(sizeof offload);
    std::memcpy(octets.data(), &offload, sizeof offload);
    octets.insert(octets.end(), packet.begin(), packet.end());
    send_raw(std::move(octets));
  }
  /// Sends what begins with a header, or should.
  void send_raw(nat::test::Octets octets) {
    const std::scoped_lock lock(mutex_);
    to_worker_.push_back(std::move(octets));
    is_idle_ = false;
    readable_.signal();
  }
  /// Sends `packet` to the worker and returns what it wrote until it found nothing more to read.
  auto exchange(const nat::test::Octets& packet, nat::Offload offload = {})
      -> std::vector<nat::test::Octets> {
    send(packet, offload);
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [&] { return is_idle_; });
    return std::exchange(from_worker_, {});
  }

 private:
  friend class MemoryLink;
  std::mutex mutex_;
  std::condition_variable idle_;
  io::Wakeup readable_;
  std::deque<nat::test::Octets> to_worker_;
  std::vector<nat::test::Octets> from_worker_;
  bool is_idle_ = true;
};

class MemoryLink final : public PacketLink {
 public:
  explicit MemoryLink(Wire& wire) : wire_(wire) {}
  auto read(std::span<std::byte> buffer) -> std::size_t override {
    const std::scoped_lock lock(wire_.mutex_);
    if (wire_.to_worker_.empty()) {
      static_cast<void>(wire_.readable_.take());
      wire_.is_idle_ = true;
      wire_.idle_.notify_all();
      return 0;
    }
    const nat::test::Octets packet = std::move(wire_.to_worker_.front());
    wire_.to_worker_.pop_front();
    std::ranges::copy(std::as_bytes(std::span(packet)), buffer.begin());
    return packet.size();
  }
  auto write(std::span<const std::byte> packet) -> bool override {
    const std::scoped_lock lock(wire_.mutex_);
    const auto* data = reinterpret_cast<const std::uint8_t*>(packet.data());
    wire_.from_worker_.emplace_back(data + header_size, data + packet.size());
    return true;
  }
  auto takes_udp_superpackets() const -> bool override { return false; }
  auto descriptor() const -> int override { return wire_.readable_.descriptor(); }

 private:
  Wire& wire_;
};

inline auto links_to(std::span<Wire> wires) -> std::vector<std::unique_ptr<PacketLink>> {
  std::vector<std::unique_ptr<PacketLink>> links;
  for (Wire& wire : wires) links.push_back(std::make_unique<MemoryLink>(wire));
  return links;
}

}  // namespace portolan::device
