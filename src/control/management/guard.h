// SPDX-License-Identifier: BSD-2-Clause
//
// Who may ask at all, before anything is looked at of what is asked.
//
// A UNIX socket is guarded by its file: who may connect may do everything. Over TCP each request needs a
// token. A web page in an operator's browser can send requests to servers that the browser reaches, also
// under a name of its own that leads here (DNS rebinding): so a request that a page sent is refused, over any
// transport, and over TCP the Host must be an address that is listened at, or a name that the configuration
// has.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "control/management/error.h"
#include "control/management/schema/schema.h"
#include "control/management/tokens.h"
#include "io/http_service.h"
#include "io/stream.h"

namespace portolan::management {

/// Who asks.
struct Caller {
  Command::Access access = Command::Access::read;
  /// Of the token, or of the process behind the socket: for the log.
  std::string name;
};

class Guard {
 public:
  /// `listeners`: as the service numbers them. `names`: of this host, for the Host field.
  Guard(std::vector<io::StreamAddress> listeners, std::vector<std::string> names, Tokens tokens)
      : listeners_(std::move(listeners)), names_(std::move(names)), tokens_(std::move(tokens)) {}

  /// Errors  malformed, browser, wrong-host, no-token, wrong-token, too-many-wrong-tokens
  [[nodiscard]] auto admit(TimePoint now, const io::HttpCall& call) -> std::expected<Caller, Error>;

  /// Whether `call` may have the files of the pages: they are nobody's secret, but of a Host of ours only.
  [[nodiscard]] auto serves_pages(const io::HttpCall& call) const -> bool;

  void set_tokens(Tokens tokens) { tokens_ = std::move(tokens); }

 private:
  [[nodiscard]] auto is_own_page(const io::HttpCall& call, const std::string& origin) const -> bool;
  [[nodiscard]] auto is_host(const std::string& host, const io::StreamAddress& listener) const -> bool;

  std::vector<io::StreamAddress> listeners_;
  std::vector<std::string> names_;
  Tokens tokens_;
  WrongTokens wrong_tokens_;
};

}  // namespace portolan::management
