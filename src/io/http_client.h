// SPDX-License-Identifier: BSD-2-Clause
//
// One request to an HTTP/1.1 server and its answer, which may be a stream without end. A connection of its
// own for each, over a UNIX socket or TLS. It hides Boost.Beast.
//
// Rules
//   - Everything is called on the loop's thread, and handlers run there, never from within a call.
//   - An exchange that is destroyed calls no handler again. A handler may destroy its own exchange.
//   - Exchanges are destroyed before their EventLoop.
#pragma once

#include <cstddef>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "io/event_loop.h"
#include "io/stream.h"

namespace portolan::io {

namespace detail {
class HttpConversation;
}

struct HttpServer {
  /// Tried in this order until one accepts.
  std::vector<StreamAddress> addresses{};
  TlsIdentity identity{};
  std::string host = "localhost";  ///< for the Host field
  std::string token{};             ///< for who asks; empty: none
};

struct HttpRequest {
  std::string method = "GET";
  std::string target = "/";  ///< encoded for a request line
  std::string body{};        ///< JSON, or nothing
  /// The longest silence of a server that is being read from; none: it may say nothing for ever.
  std::optional<Seconds> silence_max{};
};

struct HttpHead {
  unsigned status = 0;
  std::string content_type{};  ///< in small letters, without parameters
};

struct HttpFailure {
  bool is_unreachable = false;  ///< no address accepted; else what it said was broken or cut short
  std::string text{};
};

struct HttpHandlers {
  /// Once, before anything is received.
  std::function<void(const HttpHead&)> headed;
  /// Octets of the body.
  std::function<void(std::string_view)> received;
  /// The last handler called: the answer is complete, or why it is not.
  std::function<void(std::expected<void, HttpFailure>)> ended;
};

class HttpExchange {
 public:
  /// Octets of a status line with its fields, and of what is between chunks.
  static constexpr std::size_t head_octets_max = std::size_t{16} << 10U;

  HttpExchange() noexcept;
  /// Begins; failures come by the handler ended. An answer whose end can't be told from a broken connection
  /// is a failure.
  HttpExchange(EventLoop& loop, const HttpServer& server, const HttpRequest& request, HttpHandlers handlers);
  HttpExchange(HttpExchange&&) noexcept;
  auto operator=(HttpExchange&&) noexcept -> HttpExchange&;
  ~HttpExchange();

  /// Whether octets are received; those that come meanwhile wait with the server.
  void set_reading(bool is_wanted);
  /// Ends it now; no handler is called.
  void close() noexcept;

 private:
  std::shared_ptr<detail::HttpConversation> conversation_;
};

/// `text` as a part of a query: what is not a letter, digit, '-', '.', '_' or '~' becomes %XX (RFC 3986
/// s2.1).
[[nodiscard]] auto percent_encoded(std::string_view text) -> std::string;

}  // namespace portolan::io
