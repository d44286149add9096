// SPDX-License-Identifier: BSD-2-Clause
//
// One question to the servers of resolv.conf that nobody waits for: somebody's event loop watches a
// descriptor and a deadline. The C library makes the question and reads the configuration; nothing else is
// needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "io/dns_records.h"
#include "io/udp.h"

namespace portolan::io {

class DnsQuestion {
 public:
  using Answer = std::expected<Ipv6Records, std::string>;

  /// Asks for the AAAA records of `name`, past the host's own names and orders of preference. The query has
  /// Checking Disabled clear, so that a DNS64 makes its addresses (RFC 7050 s3).
  /// Errors  text: no server is known, or none can be reached
  [[nodiscard]] static auto ask(const std::string& name, TimePoint now)
      -> std::expected<DnsQuestion, std::string>;

  /// Another one after each proceed().
  [[nodiscard]] auto descriptor() const -> int { return socket_->descriptor(); }
  [[nodiscard]] auto deadline() const -> TimePoint { return deadline_; }

  /// To be called when the descriptor is readable, or the deadline has come. Nothing: there is no answer yet.
  /// A name without addresses, or that is not there, has an answer without any. After an answer the question
  /// is over. Errors  text: no server answered
  [[nodiscard]] auto proceed(TimePoint now) -> std::optional<Answer>;

 private:
  struct Server {
    Endpoint endpoint;
    std::uint32_t interface_index = 0;
  };

  DnsQuestion() = default;
  /// Asks the next server, if there is one left.
  auto try_next(TimePoint now) -> bool;
  /// The message that answers the question, if `message` is it.
  [[nodiscard]] auto is_answer(std::span<const std::byte> message) const -> bool;

  std::string name_;
  std::vector<std::byte> question_;
  std::vector<Server> servers_;  ///< as often as each is to be asked
  std::size_t asked_ = 0;
  Seconds patience_{5};
  std::optional<UdpSocket> socket_;
  TimePoint deadline_;
};

}  // namespace portolan::io
