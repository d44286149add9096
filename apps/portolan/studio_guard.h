// SPDX-License-Identifier: BSD-2-Clause
//
// Who may use studio: the browser that opened the address printed at the start. Other users of this host can
// connect as well, and web pages of others run in the same browser: neither knows the token or has the
// cookie, pages of other hosts are told by their Origin, and names that lead here (DNS rebinding) by their
// Host: it must be a loopback address, or the address that the user had studio listen at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "io/http_service.h"

namespace portolan {

/// "/api/export" of "/api/export?format=pcap".
[[nodiscard]] auto path_of(std::string_view target) -> std::string_view;
/// Of the query's member `name`, as it is; nothing if there is none.
[[nodiscard]] auto query_value(std::string_view target, std::string_view name) -> std::string_view;
/// 127.0.0.0/8 and ::1.
[[nodiscard]] auto is_loopback(const IpAddress& address) -> bool;
/// {"error": text}.
[[nodiscard]] auto error_reply(unsigned status, std::string_view text) -> io::HttpReply;

class StudioGuard {
 public:
  /// `listened`: the address that it listens at.
  StudioGuard(Random& random, const IpAddress& listened);

  /// For the address that is printed. Good for one browser.
  [[nodiscard]] auto token() const -> const std::string& { return token_; }
  /// Of a request that is not to be served: the answer to it. The token's gets the cookie.
  [[nodiscard]] auto refusal(const io::HttpCall& call) -> std::optional<io::HttpReply>;

 private:
  [[nodiscard]] auto has_cookie(const io::HttpRequestHead& head) const -> bool;
  /// What is wrong with where the request comes from.
  [[nodiscard]] auto foreign(const io::HttpRequestHead& head) const -> std::optional<std::string>;
  [[nodiscard]] auto is_host(std::string_view host) const -> bool;

  IpAddress listened_;
  std::string token_;
  std::string session_;
  /// Cookies of a host are those of all its ports.
  std::string cookie_name_;
  bool is_token_used_ = false;
};

}  // namespace portolan
