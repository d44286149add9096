// SPDX-License-Identifier: BSD-2-Clause
//
// Messages of the NAT control protocol to octets and back. A frame is a message's length as a varint, then
// the message in Protobuf's encoding (nat_control.proto).
#pragma once

#include <cstddef>
#include <expected>
#include <span>
#include <string>
#include <vector>

#include "control/messages.h"

namespace portolan::control {

/// Of a frame's message. Whatever keeps the limits of messages.h is smaller.
inline constexpr std::size_t message_octets_max = std::size_t{4} << 20U;

/// Appends `message`, which keeps the limits of messages.h, to `out` as a frame.
/// Cost O(size); some 100 ns for each operation of a batch
void append_frame(const Request& message, std::vector<std::byte>& out);
void append_frame(const Reply& message, std::vector<std::byte>& out);

/// Whether `operation` keeps the limits of messages.h.
[[nodiscard]] auto is_within_limits(const device::Operation& operation) -> bool;

/// Reads a frame's message; any octets may come in.
/// Errors  which field is wrong, and how
[[nodiscard]] auto decode_request(std::span<const std::byte> message) -> std::expected<Request, std::string>;
[[nodiscard]] auto decode_reply(std::span<const std::byte> message) -> std::expected<Reply, std::string>;

/// Cuts the octets of a stream into messages.
class FrameReader {
 public:
  /// Takes octets that came in. No message that next() gave is valid any more.
  void add(std::span<const std::byte> octets);

  /// The next message's octets, valid until add(); empty optional: not all of it has come.
  /// Errors  a message longer than message_octets_max, or no length at all; nothing more is read then
  [[nodiscard]] auto next() -> std::expected<std::optional<std::span<const std::byte>>, std::string>;

  /// Octets kept: one message at most, and what add() was given last.
  [[nodiscard]] auto buffered() const -> std::size_t { return buffer_.size() - start_; }

 private:
  std::vector<std::byte> buffer_;
  std::size_t start_ = 0;
  bool has_failed_ = false;
};

}  // namespace portolan::control
