// SPDX-License-Identifier: BSD-2-Clause
#include "io/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "io/file_descriptor.h"
#include "io/system.h"

namespace portolan::io {
namespace {

auto path_of(std::string_view name) -> std::string {
  std::string path{name};
  if (path.find('/') == std::string::npos) std::ranges::replace(path, '.', '/');
  return "/proc/sys/" + path;
}

auto failure(std::string_view name, std::string_view operation, int number) {
  auto text = errno_text(fmt::format("{} sysctl {}", operation, name), number);
  if (number == EACCES || number == EROFS)
    text += fmt::format(" (try: sysctl {} as root, on the host)", name);
  return std::unexpected(std::move(text));
}

}  // namespace

auto read_sysctl(std::string_view name) -> std::expected<std::string, std::string> {
  const FileDescriptor file{::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) return failure(name, "reading", errno);
  // At once, for there is no second part of a list of ports: what does not fit is not given at all.
  std::string value(4096, '\0');
  while (true) {
    const auto got = ::pread(file.get(), value.data(), value.size(), 0);
    if (got < 0) return failure(name, "reading", errno);
    const bool is_whole = static_cast<std::size_t>(got) < value.size();
    if (is_whole) {
      value.resize(static_cast<std::size_t>(got));
      break;
    }
    if (value.size() >= sysctl_octets_max)
      return std::unexpected(
          fmt::format("reading sysctl {}: it has more than {} octets", name, sysctl_octets_max));
    value.resize(2 * value.size());
  }
  while (value.ends_with('\n')) value.pop_back();
  return value;
}

auto write_sysctl(std::string_view name, std::string_view value) -> std::expected<void, std::string> {
  const FileDescriptor file{::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC)};
  if (!file) return failure(name, "writing", errno);
  // A value is taken whole, but of a list a page at a time; a next part is added to it.
  std::size_t done = 0;
  do {
    const auto written = ::write(file.get(), value.data() + done, value.size() - done);
    if (written < 0) return failure(name, "writing", errno);
    if (written == 0 && done != value.size())
      return std::unexpected(
          fmt::format("writing sysctl {}: the kernel took {} of {} octets", name, done, value.size()));
    done += static_cast<std::size_t>(written);
  } while (done != value.size());
  return {};
}

auto forwarding_sysctl(Family family) -> std::string_view {
  return family == Family::ipv4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
}

auto forwarding_complaint(Family family) -> std::optional<std::string> {
  const auto name = forwarding_sysctl(family);
  const auto value = read_sysctl(name);
  if (!value) return value.error();
  if (*value != "0") return std::nullopt;
  return fmt::format(
      "this host does not forward {} packets, so nothing will pass the NAT: set sysctl {}=1, or let the "
      "daemon do it with manage_forwarding = true",
      family, name);
}

}  // namespace portolan::io
