// SPDX-License-Identifier: BSD-2-Clause
//
// A router's side of neighbour discovery on this host's links: solicitations and other routers'
// advertisements come in, advertisements go out.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "base/address.h"
#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

/// A raw ICMPv6 socket, which takes CAP_NET_RAW to open and nothing to use. Thread: one at a time.
class RouterSocket {
 public:
  static constexpr std::size_t message_octets_max = 1280;

  /// Valid until the next receive(); cut at message_octets_max, which no message of sense reaches.
  struct Received {
    IpAddress source = {};
    unsigned interface_index = 0;
    int hop_limit = 0;
    std::span<const std::byte> message = {};
  };

  /// Errors  text with the cause and what to do about it
  [[nodiscard]] static auto open() -> std::expected<RouterSocket, std::string>;

  /// Takes what is sent to all routers of a link from now on.
  [[nodiscard]] auto join(unsigned interface_index) const -> std::expected<void, std::string>;
  /// A solicitation or an advertisement that waits; of other types of message none ever does.
  [[nodiscard]] auto receive() -> std::expected<std::optional<Received>, SystemError>;
  /// Sends `message` to all hosts of a link, this one apart. The kernel makes the checksum.
  /// In  source: link-local; the interface need not have it
  [[nodiscard]] auto advertise(unsigned interface_index, const IpAddress& source,
                               std::span<const std::byte> message) const -> std::expected<void, SystemError>;

  [[nodiscard]] auto descriptor() const -> int { return descriptor_.get(); }

 private:
  explicit RouterSocket(FileDescriptor descriptor) : descriptor_(std::move(descriptor)) {}

  FileDescriptor descriptor_;
  std::array<std::byte, message_octets_max> buffer_{};
};

}  // namespace portolan::io
