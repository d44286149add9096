// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/error.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/check.h"
#include "control/management/row.h"

namespace portolan::management {
namespace {

constexpr auto codes = std::to_array<ErrorCode>({
    {"malformed", 400, "These octets are no HTTP request, or its target or body is broken."},
    {"unknown-parameter", 400, "The command has no such parameter."},
    {"missing-parameter", 400, "The command needs this parameter."},
    {"invalid", 400, "The value is none that the parameter or the server takes."},
    {"no-token", 401, "Over TCP a request needs a token."},
    {"wrong-token", 401, "There is no such token."},
    {"read-only-token", 403, "The token lets look, not change."},
    {"wrong-host", 403, "The request names a host that this server is not."},
    {"browser", 403, "A web page that is not the dashboard sent the request."},
    {"unknown-path", 404, "Nothing is there."},
    {"not-found", 404, "There is no such user or mapping."},
    {"wrong-method", 405, "The path takes other methods; the field Allow names them."},
    {"too-slow", 408, "The request did not come in whole in time."},
    {"exists", 409, "It is there already."},
    {"configured", 409, "The configuration has it: it is changed there, and by a reload."},
    {"refused", 409, "The device does not do that."},
    {"wrong-configuration", 409,
     "The configuration has mistakes, or asks for a restart; nothing has changed."},
    {"no-length", 411, "The command needs a body, and the request does not say how long it is."},
    {"body-too-large", 413, "The body is longer than any command needs."},
    {"wrong-content-type", 415, "The body is not application/json."},
    {"too-many-wrong-tokens", 429, "Too many wrong tokens have been tried of late."},
    {"header-too-large", 431, "The request line and its fields are too long."},
    {"transfer-unsupported", 501, "The body comes in another coding than chunks."},
    {"busy", 503, "Another change of the same is under way, or too many are."},
    {"limit", 503, "A table is full."},
    {"read-only", 503, "The store does not write, so nothing changes."},
    {"not-durable", 503, "The store did not take the change, and it was undone."},
    {"too-many-connections", 503, "As many clients are connected as may be."},
    {"too-many-watchers", 503, "As many clients follow events as may."},
    {"version-unsupported", 505, "The request is in another version of HTTP than 1.0 and 1.1."},
});

}  // namespace

auto error_codes() -> std::span<const ErrorCode> { return codes; }

auto status_of(std::string_view code) -> unsigned {
  const auto* const found = std::ranges::find(codes, code, &ErrorCode::code);
  PORTOLAN_CHECK(found != codes.end());
  return found->status;
}

auto error_of(const server::Failure& failure) -> Error {
  const std::string_view code = to_string(failure.reason);
  constexpr auto remedy = [](server::Failure::Reason reason) -> std::string_view {
    using enum server::Failure::Reason;
    switch (reason) {
      case invalid: return "give another value";
      case exists: return "change it, or delete it first";
      case not_found: return "list what there is";
      case configured: return "change the configuration, then reload";
      case busy: return "try again in a second";
      case limit: return "delete what is not needed, or raise the limit in the configuration";
      case read_only: return "see why the store does not write: 'show' and the log tell";
      case refused: return "ask for something that the device has";
      case not_durable: return "see why the store does not write, then try again";
    }
    return "";
  };
  std::string message = failure.text;
  if (failure.refusal) message += fmt::format(" ({})", to_string(*failure.refusal));
  return {.code = code, .message = std::move(message), .remedy = std::string(remedy(failure.reason))};
}

auto error_of(io::HttpProblem problem, const io::HttpLimits& limits) -> Error {
  using enum io::HttpProblem;
  switch (problem) {
    case malformed:
      return {.code = "malformed",
              .message = "this is no HTTP/1.1 request",
              .remedy = "use an HTTP client, such as curl or portolanctl"};
    case too_slow:
      return {.code = "too-slow",
              .message = fmt::format("the request was not complete after {} s", limits.request.count()),
              .remedy = "send it at once"};
    case body_too_large:
      return {.code = "body-too-large",
              .message = fmt::format("the body is longer than {} octets", limits.body_octets),
              .remedy = "send the parameters of one command"};
    case header_too_large:
      return {
          .code = "header-too-large",
          .message = fmt::format("request line and fields are longer than {} octets", limits.header_octets),
          .remedy = "send fewer fields"};
    case transfer_unsupported:
      return {.code = "transfer-unsupported",
              .message = "the body comes in a transfer coding that is not known here",
              .field = "Transfer-Encoding",
              .remedy = "send it with a Content-Length, or in chunks"};
    case version_unsupported:
      return {.code = "version-unsupported",
              .message = "the version of HTTP is not known here",
              .remedy = "use HTTP/1.1"};
    case too_many_connections: break;
  }
  return {.code = "too-many-connections",
          .message = fmt::format("{} connections are open, and there may be no more", limits.connections),
          .remedy = "close one, or try again later"};
}

auto reply_of(const Error& error) -> io::HttpReply {
  Row inner{{"code", std::string(error.code)}, {"message", error.message}};
  if (!error.field.empty()) inner.emplace_back("field", error.field);
  inner.emplace_back("remedy", error.remedy);
  io::HttpReply reply{.status = status_of(error.code),
                      .body = fmt::format("{{\"error\":{}}}\n", to_json(inner))};
  if (reply.status == 401) reply.fields.emplace_back("WWW-Authenticate", "Bearer");
  if (error.code == "busy") reply.fields.emplace_back("Retry-After", "1");
  if (error.code == "too-many-wrong-tokens") reply.fields.emplace_back("Retry-After", "60");
  return reply;
}

}  // namespace portolan::management
