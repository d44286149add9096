// SPDX-License-Identifier: BSD-2-Clause
//
// Word from the kernel that a listening TCP socket or a UDP socket of this network namespace is gone: its
// last descriptor, in whichever process, is closed. Sockets are known by their cookies (SO_COOKIE), numbers
// that are never used twice. Needs no rights.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <vector>

namespace portolan::io {

/// The cookie of the socket of this process. 0 if it is no socket.
[[nodiscard]] auto socket_cookie(int descriptor) -> std::uint64_t;

class SocketWatch {
 public:
  /// What ends from now on is told. Errors  text: this kernel has no such service
  [[nodiscard]] static auto open() -> std::expected<SocketWatch, std::string>;
  SocketWatch(SocketWatch&&) noexcept;
  auto operator=(SocketWatch&&) noexcept -> SocketWatch&;
  ~SocketWatch();

  /// Readable when there is word; one of TCP, one of UDP.
  [[nodiscard]] auto descriptors() const -> std::vector<int>;

  struct News {
    std::vector<std::uint64_t> ended;
    /// Words were lost: ask open_sockets() which are left.
    bool is_incomplete = false;
  };
  /// Takes all words that are there.
  [[nodiscard]] auto take() -> News;

  /// Cookies of all listening TCP sockets and UDP sockets. Cost O(sockets).
  [[nodiscard]] static auto open_sockets() -> std::expected<std::vector<std::uint64_t>, std::string>;

 private:
  struct Sockets;
  explicit SocketWatch(std::unique_ptr<Sockets> sockets);
  std::unique_ptr<Sockets> sockets_;
};

}  // namespace portolan::io
