// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/studio_guard.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/address.h"
#include "io/http_page.h"
#include "io/secrets.h"
#include "portolan/dissection_report.h"

namespace portolan {
namespace {

constexpr std::size_t secret_octets = 32;

auto secret(Random& random, std::size_t octets) -> std::string {
  std::vector<std::byte> bits(octets);
  random.fill(bits);
  return plain_hex(bits);
}

auto is_equal(std::string_view left, std::string_view right) -> bool {
  return io::equal_in_constant_time(std::as_bytes(std::span(left)), std::as_bytes(std::span(right)));
}

auto text_reply(unsigned status, std::string text) -> io::HttpReply {
  return {.status = status,
          .content_type = "text/plain; charset=utf-8",
          .fields = io::page_fields(),
          .body = std::move(text),
          .stream = {}};
}

}  // namespace

auto path_of(std::string_view target) -> std::string_view { return target.substr(0, target.find('?')); }

auto query_value(std::string_view target, std::string_view name) -> std::string_view {
  const auto question = target.find('?');
  std::string_view query = question == std::string_view::npos ? "" : target.substr(question + 1);
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view member = query.substr(0, end);
    if (member.starts_with(name) && member.substr(name.size()).starts_with('='))
      return member.substr(name.size() + 1);
    query = end == std::string_view::npos ? "" : query.substr(end + 1);
  }
  return {};
}

auto error_reply(unsigned status, std::string_view text) -> io::HttpReply {
  return {
      .status = status,
      .content_type = "application/json",
      .fields = io::page_fields(),
      .body = nlohmann::json{{"error", text}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
      .stream = {}};
}

auto is_loopback(const IpAddress& address) -> bool {
  constexpr std::uint32_t loopback_net = 127;
  return address.is_ipv4() ? address.ipv4().value >> 24U == loopback_net
                           : address == *IpAddress::parse("::1");
}

StudioGuard::StudioGuard(Random& random, const IpAddress& listened)
    : listened_(listened),
      token_(secret(random, secret_octets)),
      session_(secret(random, secret_octets)),
      cookie_name_("portolan-studio-" + secret(random, 4)) {}

auto StudioGuard::has_cookie(const io::HttpRequestHead& head) const -> bool {
  for (const auto& [name, value] : head.fields) {
    if (name != "cookie") continue;
    std::string_view rest = value;
    while (!rest.empty()) {
      const auto end = rest.find(';');
      std::string_view pair = rest.substr(0, end);
      while (pair.starts_with(' ')) pair.remove_prefix(1);
      if (pair.starts_with(cookie_name_ + "=") && is_equal(pair.substr(cookie_name_.size() + 1), session_))
        return true;
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
  }
  return false;
}

/// "[::1]:8000", "127.0.0.1:8000" and "localhost:8000"; another port may be forwarded here.
auto StudioGuard::is_host(std::string_view host) const -> bool {
  std::string_view name = host.substr(0, host.find(':'));
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    if (end == std::string_view::npos) return false;
    name = host.substr(1, end - 1);
  }
  if (name == "localhost") return true;
  const auto address = IpAddress::parse(name);
  return address && (is_loopback(*address) || *address == listened_);
}

auto StudioGuard::foreign(const io::HttpRequestHead& head) const -> std::optional<std::string> {
  const std::string* const host = head.field("host");
  if (head.count("host") != 1 || !is_host(*host))
    return "Host: this is not served under that name: open the address that portolan studio printed";
  if (const std::string* const origin = head.field("origin");
      origin != nullptr && *origin != "http://" + *host)
    return "Origin: another web page sent this";
  if (const std::string* const site = head.field("sec-fetch-site");
      site != nullptr && *site != "same-origin" && *site != "none")
    return "Sec-Fetch-Site: another web page sent this";
  return {};
}

auto StudioGuard::refusal(const io::HttpCall& call) -> std::optional<io::HttpReply> {
  const io::HttpRequestHead& head = call.head;
  if (const auto problem = foreign(head)) return text_reply(403, *problem + "\n");
  const bool is_known = has_cookie(head);
  const std::string_view token = query_value(head.target, "token");
  if (head.method == "GET" && path_of(head.target) == "/" && !token.empty()) {
    const bool is_right = is_equal(token, token_) && !is_token_used_;
    if (!is_known && !is_right)
      return text_reply(
          403,
          "This address has been used, or is none that portolan studio printed: start it again, and "
          "open the address that it prints.\n");
    io::HttpReply reply = text_reply(303, "");
    reply.fields.emplace_back("Location", "/");
    if (!is_known) {
      is_token_used_ = true;
      reply.fields.emplace_back(
          "Set-Cookie", fmt::format("{}={}; HttpOnly; SameSite=Strict; Path=/", cookie_name_, session_));
    }
    return reply;
  }
  if (!is_known)
    return text_reply(403, "No cookie of this studio: open the address that portolan studio printed.\n");
  if (head.method != "GET") {
    const std::string* const type = head.field("content-type");
    if (type == nullptr || !type->starts_with("application/json"))
      return error_reply(415, "Content-Type: application/json is wanted");
  }
  return {};
}

}  // namespace portolan
