// SPDX-License-Identifier: BSD-2-Clause
#include "io/inbox.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/system.h"

namespace portolan::io {

Inbox::Inbox(FileDescriptor socket, std::filesystem::path path)
    : socket_(std::move(socket)), path_(std::move(path)) {}

Inbox::~Inbox() {
  if (path_.empty()) return;
  ::unlink(path_.c_str());
  ::rmdir(path_.parent_path().c_str());
}

auto Inbox::open() -> std::expected<Inbox, std::string> {
  const char* const runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  std::string folder =
      std::string(runtime != nullptr && *runtime == '/' ? runtime : "/tmp") + "/portolan-run-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return std::unexpected(errno_text("mkdtemp " + folder, errno));
  Inbox inbox(FileDescriptor{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)},
              std::filesystem::path(folder) / "s");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = inbox.path_.native();
  if (text.size() >= sizeof address.sun_path)
    return std::unexpected(
        text + ": the path of a socket has at most 107 octets: set XDG_RUNTIME_DIR to a shorter one");
  std::memcpy(address.sun_path, text.c_str(), text.size());
  if (!inbox.socket_ ||
      ::bind(inbox.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return std::unexpected(errno_text("socket " + text, errno));
  return inbox;
}

auto Inbox::take() -> std::vector<std::string> {
  std::vector<std::string> letters;
  std::array<char, letter_octets_max> buffer;
  while (true) {
    const auto got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return letters;
    letters.emplace_back(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace portolan::io
