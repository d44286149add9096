// SPDX-License-Identifier: BSD-2-Clause
//
// An HTTP/1.1 server on the event loop (RFC 9110, RFC 9112): over UNIX sockets, TCP on this host, and TLS. It
// knows nothing of what is asked; who is answered what is up to its handlers.
//
// Requests of a connection are answered one after the other: the next is looked at when the answer to the
// last has been handed to the kernel. An answer may be a stream, made piece by piece as fast as the client
// takes it, so that one of a million rows needs the memory of one piece, and other work is done in between.
//
// Rules
//   - Everything is called on the loop's thread. Handlers run there, never from within a call.
//   - A service is destroyed before its EventLoop; what waits to be answered then is not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/event_loop.h"
#include "io/http_parser.h"
#include "io/stream.h"

namespace portolan::io {

/// A body that is made while it is sent.
class HttpBody {
 public:
  struct Piece {
    std::string octets;
    bool is_last = false;
  };

  HttpBody() = default;
  HttpBody(const HttpBody&) = delete;
  auto operator=(const HttpBody&) -> HttpBody& = delete;
  virtual ~HttpBody() = default;

  /// Called once, before next(). After next() had nothing, `ready` says that it has something now; it may be
  /// called as often as one likes, also when the connection is gone.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): who overrides it keeps `ready`.
  virtual void start(std::function<void()> ready) { static_cast<void>(ready); }
  /// The next piece; an empty one that is not the last: there is nothing now.
  virtual auto next() -> Piece = 0;
};

struct HttpReply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> fields{};
  std::string body{};
  /// Instead of `body`.
  std::unique_ptr<HttpBody> stream{};
};

namespace detail {
class HttpConnection;
}

/// A request that waits for its answer.
class HttpCall {
 public:
  HttpCall(HttpRequestHead its_head, std::string its_body, std::size_t its_listener, std::string its_peer,
           std::function<void(HttpReply)> take)
      : head(std::move(its_head)),
        body(std::move(its_body)),
        listener(its_listener),
        peer(std::move(its_peer)),
        take_(std::move(take)) {}

  HttpRequestHead head;
  std::string body;
  /// Which of the service's listeners it came to, in their order.
  std::size_t listener = 0;
  /// Who asks, for the log.
  std::string peer;

  /// Answers; once. Nothing happens if the client is gone.
  void reply(HttpReply reply) { take_(std::move(reply)); }

 private:
  std::function<void(HttpReply)> take_;
};

struct HttpServiceHandlers {
  std::function<void(HttpCall)> called;
  /// What is answered to what is no request; the connection ends then.
  std::function<HttpReply(HttpProblem)> refused;
};

/// Since the start. Each field only grows, but for `open`.
struct HttpCounters {
  std::size_t open = 0;
  std::uint64_t accepted = 0;
  std::uint64_t requests = 0;
  /// Not accepted at all.
  std::uint64_t dropped = 0;
  /// By HttpProblem.
  std::array<std::uint64_t, 7> refused{};
  /// Clients that took nothing for HttpLimits::stalled, and were cut off.
  std::uint64_t stalled = 0;
  /// Connections on which nothing was asked for HttpLimits::idle.
  std::uint64_t idle = 0;
};

class HttpService {
 public:
  HttpService(EventLoop& loop, HttpLimits limits, HttpServiceHandlers handlers);
  HttpService(const HttpService&) = delete;
  auto operator=(const HttpService&) -> HttpService& = delete;
  ~HttpService();

  /// Errors  text for the operator
  [[nodiscard]] auto listen(const StreamAddress& address, const TlsIdentity& identity,
                            const SocketRights& rights = {}) -> std::expected<StreamAddress, std::string>;
  /// Shows `identity` to who connects over TLS from now on, at all its listeners.
  void set_identity(const TlsIdentity& identity) {
    for (StreamListener& listener : listeners_) listener.set_identity(identity);
  }
  [[nodiscard]] auto counters() const -> const HttpCounters& { return counters_; }

 private:
  friend class detail::HttpConnection;
  using Number = std::uint64_t;

  void accepted(Stream stream, std::size_t listener);

  EventLoop& loop_;
  HttpLimits limits_;
  HttpServiceHandlers handlers_;
  HttpCounters counters_;
  std::vector<StreamListener> listeners_;
  std::map<Number, std::shared_ptr<detail::HttpConnection>> connections_;
  Number last_number_ = 0;
};

}  // namespace portolan::io
