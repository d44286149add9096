// SPDX-License-Identifier: BSD-2-Clause
#include <sys/un.h>

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "io/stream.h"

namespace portolan::io {
namespace {

constexpr std::size_t path_octets_max = sizeof(sockaddr_un::sun_path) - 1;

/// "192.0.2.1:80" or "[2001:db8::1]:80".
auto parse_endpoint(std::string_view text) -> std::optional<Endpoint> {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  const bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  const auto address = IpAddress::parse(host);
  if (!address || is_bracketed == address->is_ipv4()) return std::nullopt;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
  return Endpoint{*address, Port{port}};
}

auto is_loopback(const IpAddress& address) -> bool {
  constexpr auto loopback = [] {
    Ipv6Address made;
    made.octets[15] = 1;
    return made;
  }();
  return address.is_ipv4() ? address.ipv4().value >> 24U == 127 : address.bits() == loopback;
}

}  // namespace

auto parse_stream_address(std::string_view text) -> std::expected<StreamAddress, std::string> {
  StreamAddress address;
  if (text.starts_with("unix:")) {
    address.path = text.substr(5);
    if (!address.path.is_absolute()) return std::unexpected("must name an absolute path: \"unix:/run/...\"");
    if (address.path.native().size() > path_octets_max)
      return std::unexpected(
          fmt::format("is longer than {} octets, the longest path of a UNIX socket: choose a "
                      "shorter one",
                      path_octets_max));
    return address;
  }
  const bool is_tls = text.starts_with("tls:");
  if (!is_tls && !text.starts_with("tcp:"))
    return std::unexpected("must begin with \"unix:\", \"tcp:\" or \"tls:\"");
  address.kind = is_tls ? StreamAddress::Kind::tls : StreamAddress::Kind::tcp;
  const auto endpoint = parse_endpoint(text.substr(4));
  if (!endpoint)
    return std::unexpected(
        "must have a numeric address and a port: \"tls:192.0.2.1:5352\" or \"tls:[2001:db8::1]:5352\"");
  address.endpoint = *endpoint;
  if (!is_tls && !is_loopback(endpoint->address))
    return std::unexpected(
        "is plain TCP, which anybody on the way could read and change: use \"tls:\" with certificates, or a "
        "loopback address such as \"tcp:127.0.0.1:5352\"");
  return address;
}

auto to_string(const StreamAddress& address) -> std::string {
  if (address.kind == StreamAddress::Kind::unix_socket) return fmt::format("unix:{}", address.path.string());
  return fmt::format("{}:{}", address.kind == StreamAddress::Kind::tls ? "tls" : "tcp", address.endpoint);
}

}  // namespace portolan::io
