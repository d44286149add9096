// SPDX-License-Identifier: BSD-2-Clause
//
// Consecutive UDP packets of one flow, translated and about to be written, become one superpacket: the
// kernel forwards it once and cuts it up where it leaves the host or reaches a socket. Per small packet that
// is the greater part of what the gateway costs.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nat/frame.h"

namespace portolan::nat {

/// Holds back what may grow until it is told to let go: flush() before waiting for more.
///
/// What comes out of the kernel's cutting is what went in, octet by octet, but for identifications of IPv4
/// packets that must not be fragmented, which mean nothing (RFC 6864 s4.1). Packets of one flow stay in
/// order.
class UdpGather {
 public:
  /// Flows that may be gathered at the same time.
  static constexpr std::size_t flows_max = 16;
  /// Packets in one superpacket.
  static constexpr std::uint32_t segments_max = 64;

  /// Throws std::bad_alloc.
  UdpGather();

  /// Calls `send(Frame&)` for each frame that goes out now, before or instead of `frame`; its offset leaves
  /// Frame::headroom_min octets before the packet.
  ///
  /// Cost    copies the octets of what may be gathered; from the second of a flow on adds them up, unless
  ///         their checksum is left to the kernel: a wrong one goes out alone and stays wrong
  template <typename Send>
  void add(Frame& frame, Send send) {
    const Shape shape = shape_of(frame);
    if (!shape.may_gather) {
      if (shape.is_udp) flush(send);
      send(frame);
      return;
    }
    Flow& flow = flows_[shape.flow];
    if (flow.segments != 0) {
      const bool is_appended = append(flow, frame, shape);
      if (is_appended && !flow.is_closed) return;
      let_go(flow, send);
      if (is_appended) return;
    }
    begin(flow, frame, shape);
  }

  /// Sends all that is held back.
  template <typename Send>
  void flush(Send send) {
    for (; held_ != 0; held_ &= held_ - 1) let_go_one(flows_[first_held()], send);
  }

  /// Superpackets made.
  [[nodiscard]] auto gathered() const -> std::uint64_t { return gathered_; }

 private:
  /// What a packet's headers say.
  struct Shape {
    bool is_udp = false;  ///< or hides what it is: a fragment
    bool may_gather = false;
    std::size_t flow = 0;         ///< where packets like it are held
    std::uint32_t ip_header = 0;  ///< octets
    std::uint32_t payload = 0;    ///< octets
  };
  struct Flow {
    Frame frame;
    std::uint32_t segments = 0;
    std::uint32_t ip_header = 0;
    std::uint32_t segment_size = 0;  ///< of the first and all others but the last
    bool is_trusted = false;         ///< the first one's checksum is known to be right
    bool is_closed = false;          ///< nothing fits behind it
  };

  [[nodiscard]] static auto shape_of(const Frame& frame) -> Shape;
  [[nodiscard]] auto append(Flow& flow, const Frame& frame, const Shape& shape) -> bool;
  void begin(Flow& flow, const Frame& frame, const Shape& shape);
  /// Makes a superpacket's headers of the first packet's, if there is more than one.
  void finish(Flow& flow);
  [[nodiscard]] auto first_held() const -> std::size_t {
    return static_cast<std::size_t>(__builtin_ctz(held_));
  }

  template <typename Send>
  void let_go(Flow& flow, Send send) {
    held_ &= ~(1U << static_cast<unsigned>(&flow - flows_.data()));
    let_go_one(flow, send);
  }
  template <typename Send>
  void let_go_one(Flow& flow, Send send) {
    finish(flow);
    send(flow.frame);
    flow.segments = 0;
  }

  std::vector<std::byte> memory_;
  std::array<Flow, flows_max> flows_{};
  std::uint32_t held_ = 0;  // a bit for each flow that has something
  std::uint64_t gathered_ = 0;
};

}  // namespace portolan::nat
