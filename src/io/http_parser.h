// SPDX-License-Identifier: BSD-2-Clause
//
// Octets of an HTTP/1.1 client to requests. No I/O. It hides Boost.Beast, which takes long to compile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace portolan::io {

/// Why octets are no request that is served.
enum class HttpProblem : std::uint8_t {
  malformed,             ///< 400
  too_slow,              ///< 408
  body_too_large,        ///< 413
  header_too_large,      ///< 431
  transfer_unsupported,  ///< 501: a transfer coding other than chunked
  version_unsupported,   ///< 505
  too_many_connections,  ///< 503
};
/// As the enumerator, with dashes.
[[nodiscard]] auto to_string(HttpProblem problem) -> std::string_view;

struct HttpLimits {
  /// Beyond them a connection is answered that there are too many; twice as many are not accepted at all.
  std::size_t connections = 64;
  /// Octets of a request line with its fields.
  std::size_t header_octets = std::size_t{16} << 10U;
  std::size_t body_octets = std::size_t{64} << 10U;
  /// Octets that a client may send ahead of the answer to its last request; those beyond wait in the kernel.
  std::size_t pipelined_octets = std::size_t{64} << 10U;
  /// From a request's first octet to its last.
  Seconds request{10};
  /// Between requests.
  Seconds idle{60};
  /// A client that takes nothing for so long while something waits is cut off.
  Seconds stalled{20};
};

struct HttpRequestHead {
  std::string method;
  /// As it came: "/v1/users?limit=3".
  std::string target;
  /// Names in small letters.
  std::vector<std::pair<std::string, std::string>> fields;
  /// Its length is given, or it is in chunks.
  bool has_length = false;

  /// The first field of that name, or nullptr.
  [[nodiscard]] auto field(std::string_view name) const -> const std::string*;
  [[nodiscard]] auto count(std::string_view name) const -> std::size_t;
};

namespace detail {
class BeastParser;
}

/// One request after the other.
class HttpParser {
 public:
  explicit HttpParser(const HttpLimits& limits);
  HttpParser(HttpParser&&) noexcept;
  auto operator=(HttpParser&&) noexcept -> HttpParser&;
  ~HttpParser();

  /// Takes `octets` as far as the present request goes; what it has not taken comes again with more behind
  /// it. Returns how many it took. After a problem it takes no more.
  auto feed(std::string_view octets) -> std::size_t;

  [[nodiscard]] auto problem() const -> std::optional<HttpProblem> { return problem_; }
  [[nodiscard]] auto is_complete() const -> bool;
  /// The client waits for word that its body is wanted (RFC 9110 s10.1.1); true once a request.
  [[nodiscard]] auto wants_continue() -> bool;

  // Of a complete request:
  [[nodiscard]] auto head() const -> HttpRequestHead;
  [[nodiscard]] auto take_body() -> std::string;
  /// The client does not end the connection with it.
  [[nodiscard]] auto is_kept() const -> bool;
  /// Answers may be in chunks.
  [[nodiscard]] auto takes_chunks() const -> bool;

  /// For the next request.
  void reset();

 private:
  /// Where the header ends in `octets`, which have its end.
  [[nodiscard]] auto header_end(std::string_view octets) const -> std::size_t;

  HttpLimits limits_;
  std::unique_ptr<detail::BeastParser> parser_;
  std::optional<HttpProblem> problem_;
  /// Of the header, taken so far.
  std::size_t header_octets_ = 0;
  bool was_continued_ = false;
};

}  // namespace portolan::io
