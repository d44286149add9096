// SPDX-License-Identifier: BSD-2-Clause
//
// Answers GET /metrics over HTTP, and nothing else: what Prometheus asks a portolan-nat64.
#pragma once

#include <expected>
#include <functional>
#include <string>

#include "io/event_loop.h"
#include "io/http_service.h"
#include "io/stream.h"

namespace portolan::nat64 {

class MetricsService {
 public:
  /// Hands the text to the function, at once or later on the loop's thread.
  using Gather = std::function<void(std::function<void(std::string)>)>;

  /// `loop` outlives this.
  MetricsService(io::EventLoop& loop, Gather gather);

  /// Out     where it listens: the port is known if 0 was asked for
  /// Errors  text for the operator
  [[nodiscard]] auto listen(const io::StreamAddress& address, const io::TlsIdentity& identity)
      -> std::expected<io::StreamAddress, std::string> {
    return service_.listen(address, identity);
  }
  /// Shows `identity` to who connects over TLS from now on.
  void set_identity(const io::TlsIdentity& identity) { service_.set_identity(identity); }

 private:
  void answer(io::HttpCall call);

  Gather gather_;
  io::HttpService service_;
};

}  // namespace portolan::nat64
