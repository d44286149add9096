// SPDX-License-Identifier: BSD-2-Clause
#include "io/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {

auto notify_service_manager(std::string_view assignments) -> std::expected<bool, std::string> {
  const char* variable = std::getenv("NOTIFY_SOCKET");
  if (variable == nullptr || *variable == '\0') return false;
  const std::string_view path{variable};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return std::unexpected(
        fmt::format("NOTIFY_SOCKET has {} octets, more than a socket address holds", path.size()));
  std::memcpy(address.sun_path, path.data(), path.size());
  // systemd writes abstract addresses with '@' for the leading zero octet.
  if (path.front() == '@') address.sun_path[0] = '\0';
  const FileDescriptor socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) return std::unexpected(errno_text("NOTIFY_SOCKET: socket", errno));
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (::sendto(socket.get(), assignments.data(), assignments.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&address), length) < 0)
    return std::unexpected(errno_text(fmt::format("NOTIFY_SOCKET {}", path), errno));
  return true;
}

}  // namespace portolan::io
