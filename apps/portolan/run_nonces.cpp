// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/run_nonces.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "io/secrets.h"
#include "io/system.h"
#include "io/write_file.h"

namespace portolan {
namespace {

constexpr std::size_t secret_octets = 32;
/// Whoever has it may make the secret; ports have smaller numbers.
constexpr std::uint32_t making = 1U << 24U;

auto make_secret(const std::filesystem::path& path) -> std::expected<void, std::string> {
  std::string secret(secret_octets, '\0');
  io::SystemRandom random;
  random.fill(std::as_writable_bytes(std::span(secret)));
  const auto written = io::replace_file(path, secret);
  if (!written) return std::unexpected(fmt::format("{}: {}", path.string(), io::to_string(written.error())));
  return {};
}

/// Of two that begin at once one makes it.
auto secret_at(const std::filesystem::path& path, const io::NumberLocks& locks)
    -> std::expected<std::string, std::string> {
  if (const auto is_ours = locks.wait_for(making); !is_ours)
    return std::unexpected(io::to_string(is_ours.error()));
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    if (const auto made = make_secret(path); !made) return std::unexpected(made.error());
  auto secret = io::read_secret_file(path, secret_octets);
  locks.give_up(making);
  if (secret && secret->size() != secret_octets)
    return std::unexpected(fmt::format("{}: is too short: remove it", path.string()));
  return secret;
}

}  // namespace

auto RunNonces::open(const std::filesystem::path& folder) -> std::expected<RunNonces, std::string> {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return std::unexpected(fmt::format("{}: {}", folder.string(), error.message()));
  const auto lock_path = folder / "run.lock";
  auto locks = io::NumberLocks::open(lock_path);
  if (!locks) return std::unexpected(fmt::format("{}: {}", lock_path.string(), io::to_string(locks.error())));
  auto secret = secret_at(folder / "run.secret", *locks);
  if (!secret) return std::unexpected(secret.error());
  return RunNonces(std::move(*secret), std::move(*locks));
}

auto RunNonces::take(Protocol protocol, Port port) const -> bool {
  return locks_.take(static_cast<std::uint32_t>(protocol) << 16U | port.value);
}

auto RunNonces::nonce(const NeededMapping& mapping, Family external, std::string_view server,
                      const IpAddress& client_address) const -> Nonce {
  const auto digest = io::hmac_sha256(
      secret_, fmt::format("{} {} {} {} {} {}", mapping.protocol, mapping.port, mapping.address,
                           IpAddress::unspecified(external), client_address, server));
  Nonce nonce;
  std::ranges::copy_n(digest.begin(), static_cast<std::ptrdiff_t>(nonce.octets.size()), nonce.octets.begin());
  return nonce;
}

}  // namespace portolan
