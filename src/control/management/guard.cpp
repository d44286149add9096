// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/guard.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace portolan::management {
namespace {

auto equal_without_case(std::string_view left, std::string_view right) -> bool {
  return std::ranges::equal(left, right, [](unsigned char one, unsigned char other) {
    return std::tolower(one) == std::tolower(other);
  });
}

/// Without port and brackets.
auto name_in(std::string_view host) -> std::string_view {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string_view::npos ? std::string_view() : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

}  // namespace

auto Guard::is_host(const std::string& host, const io::StreamAddress& listener) const -> bool {
  const std::string_view name = name_in(host);
  if (const auto address = IpAddress::parse(name)) {
    // Whoever listens at all addresses does not know which of them are its own; no page has a name of digits
    // only.
    return listener.endpoint.address.is_unspecified() || *address == listener.endpoint.address;
  }
  if (equal_without_case(name, "localhost")) return true;
  return std::ranges::any_of(names_,
                             [&](const std::string& known) { return equal_without_case(known, name); });
}

auto Guard::serves_pages(const io::HttpCall& call) const -> bool {
  const io::StreamAddress& listener = listeners_.at(call.listener);
  return listener.kind != io::StreamAddress::Kind::unix_socket && call.head.count("host") == 1 &&
         is_host(*call.head.field("host"), listener);
}

auto Guard::is_own_page(const io::HttpCall& call, const std::string& origin) const -> bool {
  const bool is_tls = listeners_.at(call.listener).kind == io::StreamAddress::Kind::tls;
  return serves_pages(call) &&
         equal_without_case(origin, (is_tls ? "https://" : "http://") + *call.head.field("host"));
}

auto Guard::admit(TimePoint now, const io::HttpCall& call) -> std::expected<Caller, Error> {
  const io::HttpRequestHead& head = call.head;
  if (const std::string* const origin = head.field("origin");
      origin != nullptr && !is_own_page(call, *origin))
    return std::unexpected(
        Error{.code = "browser",
              .message = "a web page of '" + *origin + "' sent this",
              .field = "Origin",
              .remedy = "use the dashboard, portolanctl, or a program that is no browser"});
  const io::StreamAddress& listener = listeners_.at(call.listener);
  if (listener.kind == io::StreamAddress::Kind::unix_socket)
    return Caller{.access = Command::Access::write, .name = call.peer};

  if (head.count("host") != 1 || head.count("authorization") > 1)
    return std::unexpected(Error{.code = "malformed",
                                 .message = "the request has not one field Host, or several Authorization",
                                 .field = "Host",
                                 .remedy = "send each once"});
  if (!is_host(*head.field("host"), listener))
    return std::unexpected(Error{.code = "wrong-host",
                                 .message = "'" + *head.field("host") + "' is no name of this server",
                                 .field = "Host",
                                 .remedy = "connect to its address, or add the name to management.names"});
  constexpr std::string_view scheme = "Bearer ";
  const std::string* const authorization = head.field("authorization");
  if (authorization == nullptr || authorization->size() <= scheme.size() ||
      !equal_without_case(std::string_view(*authorization).substr(0, scheme.size()), scheme))
    return std::unexpected(
        Error{.code = "no-token",
              .message = "the request has no token",
              .field = "Authorization",
              .remedy = "send 'Authorization: Bearer TOKEN'; management.tokens has their digests"});
  const Tokens::Token* const token = tokens_.find(std::string_view(*authorization).substr(scheme.size()));
  if (token != nullptr) return Caller{.access = token->access, .name = "token " + token->name};
  if (!wrong_tokens_.note(now))
    return std::unexpected(
        Error{.code = "too-many-wrong-tokens",
              .message = "too many wrong tokens have been tried",
              .field = "Authorization",
              .remedy = "wait a minute; requests with a right token are served meanwhile"});
  return std::unexpected(Error{.code = "wrong-token",
                               .message = "there is no such token",
                               .field = "Authorization",
                               .remedy = "use a token whose digest is in the file management.tokens"});
}

}  // namespace portolan::management
