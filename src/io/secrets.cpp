// SPDX-License-Identifier: BSD-2-Clause
#include "io/secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/format.h>

#include "base/check.h"
#include "io/file_descriptor.h"
#include "io/system.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace portolan::io {

auto sha256(std::string_view octets) -> Sha256 {
  Sha256 digest{};
  unsigned size = 0;
  PORTOLAN_CHECK(EVP_Digest(octets.data(), octets.size(), reinterpret_cast<unsigned char*>(digest.data()),
                            &size, EVP_sha256(), nullptr) == 1);
  PORTOLAN_CHECK(size == digest.size());
  return digest;
}

auto hmac_sha256(std::string_view key, std::string_view octets) -> Sha256 {
  Sha256 digest{};
  unsigned size = 0;
  PORTOLAN_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                      reinterpret_cast<const unsigned char*>(octets.data()), octets.size(),
                      reinterpret_cast<unsigned char*>(digest.data()), &size) != nullptr);
  PORTOLAN_CHECK(size == digest.size());
  return digest;
}

auto equal_in_constant_time(std::span<const std::byte> left, std::span<const std::byte> right) -> bool {
  return left.size() == right.size() && CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

auto read_secret_file(const std::filesystem::path& path, std::size_t octets_max)
    -> std::expected<std::string, std::string> {
  const auto failed = [&](std::string_view what) {
    return std::unexpected(fmt::format("{}: {}", path.string(), what));
  };
  // A pipe without a writer must not be waited for.
  const FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.get() < 0) return failed(errno_text("open", errno));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return failed(errno_text("fstat", errno));
  if (!S_ISREG(status.st_mode)) return failed("is no regular file");
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    return failed("belongs to another user: chown it to root");
  constexpr mode_t others = S_IWGRP | S_IXGRP | S_IRWXO;
  if ((status.st_mode & others) != 0)
    return failed(
        fmt::format("has mode {:04o}, so that others may use it: chmod 0640", status.st_mode & 07777U));
  std::string octets(octets_max + 1, '\0');
  std::size_t size = 0;
  while (size < octets.size()) {
    const ssize_t got = ::read(file.get(), octets.data() + size, octets.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(errno_text("read", errno));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > octets_max) return failed(fmt::format("is longer than {} octets", octets_max));
  octets.resize(size);
  return octets;
}

}  // namespace portolan::io
