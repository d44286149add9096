// SPDX-License-Identifier: BSD-2-Clause
//
// Streams of octets between two programs: UNIX sockets, TCP on this host, TLS between hosts. Listening and
// connecting sides use the same Stream; it hides Boost.Asio and OpenSSL.
//
// Rules
//   - Everything is called on the loop's thread, and handlers run there, never from within a call.
//   - A Stream that is destroyed or closed calls no handler again. A handler may destroy its own Stream.
//   - Streams and listeners are destroyed before their EventLoop.
#pragma once

#include <cstddef>
#include <expected>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "io/event_loop.h"

namespace portolan::io {

namespace detail {
class Connection;
class Acceptor;
struct TlsContext;
}  // namespace detail

/// Where to listen or to connect.
struct StreamAddress {
  enum class Kind : std::uint8_t { unix_socket, tcp, tls };

  Kind kind = Kind::unix_socket;
  std::filesystem::path path;  ///< UNIX socket
  Endpoint endpoint;           ///< else

  auto operator==(const StreamAddress&) const -> bool = default;
};

/// Reads "unix:/run/x.sock", "tcp:127.0.0.1:5352" or "tls:[2001:db8::1]:5352". Plain TCP is for loopback
/// addresses only. Errors: what is wrong and what to do
[[nodiscard]] auto parse_stream_address(std::string_view text) -> std::expected<StreamAddress, std::string>;
[[nodiscard]] auto to_string(const StreamAddress& address) -> std::string;

/// Who may use the file of a UNIX socket; others are kept out by the kernel.
struct SocketRights {
  unsigned mode = 0660;
  /// Name of the group that it gets; empty: the process's.
  std::string group;

  auto operator==(const SocketRights&) const -> bool = default;
};

/// Files in PEM that TLS needs. Both sides show a certificate, and accept only one that `authorities` signed.
struct TlsFiles {
  std::filesystem::path certificate;  ///< with those between it and an authority, if there are
  std::filesystem::path key;
  std::filesystem::path authorities;
  /// Name that the certificate of who is connected to must have; empty: the address connected to.
  std::string peer_name;

  auto operator==(const TlsFiles&) const -> bool = default;
};

/// Those files, read.
class TlsIdentity {
 public:
  /// None: no TLS.
  TlsIdentity() = default;
  /// Errors  which file is wrong, and how
  [[nodiscard]] static auto load(const TlsFiles& files) -> std::expected<TlsIdentity, std::string>;

  /// Of who listens, and asks nobody for a certificate: clients say otherwise who they are.
  /// Errors  as load()
  [[nodiscard]] static auto server(const std::filesystem::path& certificate, const std::filesystem::path& key)
      -> std::expected<TlsIdentity, std::string>;

  /// Of who connects and shows no certificate, but accepts only one that `authorities` signed, or those that
  /// the system trusts if that is empty. `peer_name` as in TlsFiles. Errors  as load()
  [[nodiscard]] static auto client(const std::filesystem::path& authorities, std::string peer_name)
      -> std::expected<TlsIdentity, std::string>;

  [[nodiscard]] auto context() const -> const std::shared_ptr<detail::TlsContext>& { return context_; }

 private:
  std::shared_ptr<detail::TlsContext> context_;
};

struct StreamHandlers {
  std::function<void()> opened = [] {};  ///< connected, and TLS has been agreed on
  /// Octets that came in.
  std::function<void(std::span<const std::byte>)> received;
  /// Everything sent has been handed to the kernel.
  std::function<void()> drained = [] {};
  /// The last handler called: the other side closed, or why the stream broke.
  std::function<void(const std::string& reason)> closed;
};

class Stream {
 public:
  /// Octets that wait to be sent. A peer that lets more than that wait is too slow: its stream breaks.
  static constexpr std::size_t queue_octets_max = std::size_t{32} << 20U;
  /// A peer that takes nothing for so long while something waits is gone: its stream breaks.
  static constexpr Seconds stall_max{30};
  /// Connecting, with TLS, takes no longer.
  static constexpr Seconds opening_max{10};
  /// After finish(), the other side has so long to take what was sent.
  static constexpr Seconds finishing_max{2};

  Stream() noexcept;
  Stream(Stream&&) noexcept;
  auto operator=(Stream&&) noexcept -> Stream&;
  ~Stream();

  /// Begins to connect; a failure comes by the handler closed.
  [[nodiscard]] static auto connect(EventLoop& loop, const StreamAddress& address,
                                    const TlsIdentity& identity, StreamHandlers handlers) -> Stream;

  /// An accepted stream does nothing before.
  void start(StreamHandlers handlers);

  /// Sends `octets` after all others, also before opened().
  void send(std::span<const std::byte> octets);
  /// Octets that wait to be sent.
  [[nodiscard]] auto queued() const -> std::size_t;
  /// Whether octets are received; those that come meanwhile wait in the kernel.
  void set_reading(bool is_wanted);
  /// Closes when all that waits is sent; nothing is received any more, and only closed() is called.
  void finish();
  /// Closes now.
  void close() noexcept;
  [[nodiscard]] auto is_open() const noexcept -> bool;
  /// Who is at the other end, for the log.
  [[nodiscard]] auto peer() const -> std::string;

 private:
  friend class detail::Acceptor;
  explicit Stream(std::shared_ptr<detail::Connection> connection) noexcept;
  std::shared_ptr<detail::Connection> connection_;
};

class StreamListener {
 public:
  StreamListener() noexcept;
  StreamListener(StreamListener&&) noexcept;
  auto operator=(StreamListener&&) noexcept -> StreamListener&;
  ~StreamListener();

  /// Listens at `address`; accepted streams wait for start(). A UNIX socket's folder is made if missing;
  /// whom `rights` let may connect. Its file goes with the listener; one left by a killed run is replaced.
  /// Errors  text for the operator
  [[nodiscard]] static auto open(EventLoop& loop, const StreamAddress& address, const TlsIdentity& identity,
                                 std::function<void(Stream)> accepted, const SocketRights& rights = {})
      -> std::expected<StreamListener, std::string>;

  /// Where it listens; the port is known if 0 was asked for.
  [[nodiscard]] auto address() const -> const StreamAddress&;
  /// Shows `identity` to who connects from now on, if it listens over TLS.
  void set_identity(const TlsIdentity& identity);

 private:
  explicit StreamListener(std::shared_ptr<detail::Acceptor> acceptor) noexcept;
  std::shared_ptr<detail::Acceptor> acceptor_;
};

}  // namespace portolan::io
