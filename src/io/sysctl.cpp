// SPDX-License-Identifier: BSD-2-Clause
#include "io/sysctl.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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
  std::array<char, 4096> text{};
  const auto got = ::read(file.get(), text.data(), text.size());
  if (got < 0) return failure(name, "reading", errno);
  std::string value{text.data(), static_cast<std::size_t>(got)};
  while (value.ends_with('\n')) value.pop_back();
  return value;
}

auto write_sysctl(std::string_view name, std::string_view value) -> std::expected<void, std::string> {
  const FileDescriptor file{::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC)};
  if (!file) return failure(name, "writing", errno);
  // The kernel takes a value whole or not at all.
  if (::write(file.get(), value.data(), value.size()) < 0) return failure(name, "writing", errno);
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
