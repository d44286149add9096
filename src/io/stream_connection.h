// SPDX-License-Identifier: BSD-2-Clause
//
// What is behind a Stream. For stream.cpp and stream_listener.cpp alone: includes Boost.Asio and OpenSSL.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>

#include "io/stream.h"

namespace portolan::io::detail {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Local = asio::local::stream_protocol;
using ErrorCode = boost::system::error_code;

struct TlsContext {
  asio::ssl::context context{asio::ssl::context::tls};
  std::string peer_name;
};

/// Everything but the kind of socket. Operations under way hold a reference; they find it closed.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  explicit Connection(EventLoop& loop);
  Connection(const Connection&) = delete;
  auto operator=(const Connection&) -> Connection& = delete;
  virtual ~Connection() = default;

  void start(StreamHandlers handlers);
  void send(std::span<const std::byte> octets);
  void set_reading(bool is_wanted);
  void finish();
  void close() noexcept;
  [[nodiscard]] auto queued() const -> std::size_t { return writing_.size() - written_ + waiting_.size(); }
  [[nodiscard]] auto is_open() const noexcept -> bool { return state_ != State::closed; }
  [[nodiscard]] virtual auto peer() const -> std::string = 0;

 protected:
  using Done = std::function<void(const ErrorCode&)>;
  using Transferred = std::function<void(const ErrorCode&, std::size_t)>;

  virtual void open(Done done) = 0;
  virtual void read_some(asio::mutable_buffer buffer, Transferred done) = 0;
  virtual void write_some(asio::const_buffer buffer, Transferred done) = 0;
  virtual void shut_sending() noexcept = 0;
  virtual void close_socket() noexcept = 0;
  /// What else is known of a failure; empty: nothing.
  [[nodiscard]] virtual auto reason_of_failure() const -> std::string { return {}; }

 private:
  enum class State : std::uint8_t { idle, opening, open, finishing, closed };

  void opened(const ErrorCode& error);
  void read();
  void write();
  void fail(const std::string& reason);

  EventLoop& loop_;
  Timer timer_;  // of opening, of sending, of finishing: one at a time
  StreamHandlers handlers_;
  State state_ = State::idle;
  bool is_reading_wanted_ = true;
  bool is_reading_ = false;
  bool is_writing_ = false;
  std::size_t written_ = 0;  // of writing_
  std::vector<std::byte> writing_;
  std::vector<std::byte> waiting_;
  std::array<std::byte, std::size_t{64} << 10U> buffer_;
};

/// Over a connected socket, or one that connects when started.
template <typename Protocol>
class PlainConnection final : public Connection {
 public:
  using Socket = typename Protocol::socket;
  using SocketEndpoint = typename Protocol::endpoint;

  PlainConnection(EventLoop& loop, Socket socket) : Connection(loop), socket_(std::move(socket)) {}
  PlainConnection(EventLoop& loop, Socket socket, const SocketEndpoint& destination)
      : Connection(loop), socket_(std::move(socket)), destination_(destination), is_client_(true) {}

  [[nodiscard]] auto peer() const -> std::string override;

 private:
  void open(Done done) override;
  void read_some(asio::mutable_buffer buffer, Transferred done) override {
    socket_.async_read_some(buffer, std::move(done));
  }
  void write_some(asio::const_buffer buffer, Transferred done) override {
    socket_.async_write_some(buffer, std::move(done));
  }
  void shut_sending() noexcept override {
    ErrorCode ignored;
    static_cast<void>(socket_.shutdown(asio::socket_base::shutdown_send, ignored));
  }
  void close_socket() noexcept override {
    ErrorCode ignored;
    static_cast<void>(socket_.close(ignored));
  }

  Socket socket_;
  SocketEndpoint destination_;
  bool is_client_ = false;
};

class TlsConnection final : public Connection {
 public:
  TlsConnection(EventLoop& loop, Tcp::socket socket, std::shared_ptr<TlsContext> context);
  TlsConnection(EventLoop& loop, Tcp::socket socket, std::shared_ptr<TlsContext> context,
                const Tcp::endpoint& destination);

  [[nodiscard]] auto peer() const -> std::string override;

 private:
  void open(Done done) override;
  void agree(Done done);
  void read_some(asio::mutable_buffer buffer, Transferred done) override {
    stream_.async_read_some(buffer, std::move(done));
  }
  void write_some(asio::const_buffer buffer, Transferred done) override {
    stream_.async_write_some(buffer, std::move(done));
  }
  void shut_sending() noexcept override;
  void close_socket() noexcept override;
  [[nodiscard]] auto reason_of_failure() const -> std::string override;

  std::shared_ptr<TlsContext> context_;
  asio::ssl::stream<Tcp::socket> stream_;
  Tcp::endpoint destination_;
  bool is_client_ = false;
};

[[nodiscard]] auto to_asio(const Endpoint& endpoint) -> Tcp::endpoint;
[[nodiscard]] auto from_asio(const Tcp::endpoint& endpoint) -> Endpoint;

}  // namespace portolan::io::detail
