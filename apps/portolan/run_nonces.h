// SPDX-License-Identifier: BSD-2-Clause
//
// Nonces by which a run takes up the mappings of one that was killed: servers let only those renew a mapping
// who know its nonce (RFC 6887 s11.2). They are made of a secret of this user's, so nothing else is to be
// kept, and nobody can guess them.
#pragma once

#include <expected>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/address.h"
#include "base/nonce.h"
#include "io/number_locks.h"
#include "portolan/run_sockets.h"

namespace portolan {

class RunNonces {
 public:
  /// Reads the secret in `folder`, or makes both. Errors  text
  [[nodiscard]] static auto open(const std::filesystem::path& folder)
      -> std::expected<RunNonces, std::string>;

  /// Whether this run has the port until it ends. Of two that run at once one has it, else each would take
  /// the other's mapping for its own, and delete it.
  [[nodiscard]] auto take(Protocol protocol, Port port) const -> bool;

  /// The nonce for a mapping at a server, asked for from a client address: another one for each, so that who
  /// learns one knows no other.
  [[nodiscard]] auto nonce(const NeededMapping& mapping, Family external, std::string_view server,
                           const IpAddress& client_address) const -> Nonce;

 private:
  RunNonces(std::string secret, io::NumberLocks locks)
      : secret_(std::move(secret)), locks_(std::move(locks)) {}

  std::string secret_;
  io::NumberLocks locks_;
};

}  // namespace portolan
