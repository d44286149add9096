// SPDX-License-Identifier: BSD-2-Clause
//
// How requests are taken and answered; api_commands.cpp has what each command does.
#include "control/management/api.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "control/management/openapi.h"
#include "control/management/target.h"
#include "wire/escape.h"

namespace portolan::management {
namespace {

constexpr std::string_view openapi_path = "/v1/openapi.json";
constexpr std::string_view metrics_path = "/metrics";

/// Octets of a request in the log.
constexpr std::size_t shown_octets_max = 500;

auto shown(std::string_view text) -> std::string {
  return wire::escape(std::as_bytes(std::span(text.substr(0, shown_octets_max))));
}

auto is_json(const std::string& content_type) -> bool {
  const std::string_view type = std::string_view(content_type).substr(0, content_type.find(';'));
  return type == "application/json";
}

}  // namespace

Api::Api(io::EventLoop& loop, server::Server& server, Surroundings surroundings, io::HttpLimits limits)
    : loop_(loop),
      server_(server),
      surroundings_(std::move(surroundings)),
      catalogue_(built_in_catalogue()),
      openapi_(openapi_of(catalogue_)),
      limits_(limits),
      followers_(loop, server, surroundings_.clocks),
      service_(
          loop, limits,
          {.called = [this](io::HttpCall call) { called(std::move(call)); },
           .refused = [this](io::HttpProblem problem) { return reply_of(error_of(problem, limits_)); }}) {}

Api::~Api() = default;

auto Api::listen(const std::vector<Listener>& listeners, std::vector<std::string> names, Tokens tokens)
    -> std::expected<std::vector<io::StreamAddress>, std::string> {
  PORTOLAN_CHECK(guard_ == nullptr);
  std::vector<io::StreamAddress> addresses;
  for (const Listener& listener : listeners) {
    auto address = service_.listen(listener.address, listener.identity, listener.rights);
    if (!address) return std::unexpected(address.error());
    addresses.push_back(*std::move(address));
  }
  guard_ = std::make_unique<Guard>(addresses, std::move(names), std::move(tokens));
  return addresses;
}

void Api::set_tokens(Tokens tokens) {
  if (guard_) guard_->set_tokens(std::move(tokens));
}

void Api::carried_out(std::span<const server::Finished> finished) {
  for (const server::Finished& operation : finished) {
    auto waiting = waiting_.extract(operation.id);
    if (!waiting) continue;
    auto& [call, answer] = waiting.mapped();
    call.reply(operation.result ? answer(*operation.result) : reply_of(error_of(operation.result.error())));
  }
  followers_.wake();
}

void Api::called(io::HttpCall call) {
  if (call.head.method == "GET" && guard_->serves_pages(call))
    if (const io::HttpPage* const page = io::find_page(surroundings_.pages, call.head.target))
      return call.reply(io::reply_of(*page));
  const auto caller = guard_->admit(now(), call);
  if (caller) return answer(*caller, std::move(call));
  ++refused_[caller.error().code];
  // There are few of these, see WrongTokens; of others there may be as many as somebody likes.
  if (caller.error().code == "wrong-token") surroundings_.refused(call.peer, caller.error().message);
  call.reply(reply_of(caller.error()));
}

void Api::answer(const Caller& caller, io::HttpCall call) {
  const auto target = parse_target(call.head.target);
  if (!target)
    return call.reply(
        reply_of({.code = "malformed", .message = target.error(), .remedy = "see GET /v1/openapi.json"}));
  const bool is_get = call.head.method == "GET";
  if (is_get && target->path == openapi_path) return call.reply({.body = openapi_});
  if (is_get && target->path == metrics_path && surroundings_.metrics)
    return surroundings_.metrics([waiting =
                                      std::make_shared<io::HttpCall>(std::move(call))](std::string text) {
      waiting->reply({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(text)});
    });
  const Command* const command = catalogue_.find(call.head.method, target->path);
  if (command == nullptr) return call.reply(no_command(target->path));
  if (command->access == Command::Access::write && caller.access == Command::Access::read)
    return call.reply(reply_of(
        {.code = "read-only-token",
         .message = fmt::format("'{}' changes something, and {} may only look", command->name(), caller.name),
         .field = "Authorization",
         .remedy = "use a token with the right to write"}));
  const auto arguments = arguments_of(*command, target->query, call);
  if (!arguments) return call.reply(reply_of(arguments.error()));
  if (command->access == Command::Access::write)
    surroundings_.changes(
        caller.name,
        fmt::format("{} {}", command->name(), shown(command->has_body() ? call.body : call.head.target)));
  run(caller, *command, *arguments, std::move(call));
}

auto Api::no_command(const std::string& path) const -> io::HttpReply {
  std::vector<std::string> methods;
  for (const Command& command : catalogue_.commands)
    if (command.is_remote() && command.path == path) methods.push_back(command.method);
  if (path == openapi_path || (path == metrics_path && surroundings_.metrics)) methods.emplace_back("GET");
  if (methods.empty())
    return reply_of({.code = "unknown-path",
                     .message = fmt::format("nothing is at '{}'", path),
                     .remedy = "GET /v1/openapi.json tells what there is"});
  auto reply = reply_of({.code = "wrong-method",
                         .message = fmt::format("'{}' does not take that method", path),
                         .remedy = fmt::format("use {}", fmt::join(methods, ", "))});
  reply.fields.emplace_back("Allow", fmt::format("{}", fmt::join(methods, ", ")));
  return reply;
}

auto Api::arguments_of(const Command& command, const std::vector<std::pair<std::string, std::string>>& query,
                       const io::HttpCall& call) const -> std::expected<Arguments, Error> {
  if (!command.has_body()) {
    if (!call.body.empty())
      return std::unexpected(Error{.code = "malformed",
                                   .message = fmt::format("'{}' takes no body", command.name()),
                                   .remedy = "send the parameters in the query"});
    return read_query(command, query);
  }
  if (!query.empty())
    return std::unexpected(Error{.code = "unknown-parameter",
                                 .message = fmt::format("'{}' takes no query", command.name()),
                                 .field = query.front().first,
                                 .remedy = "send the parameters in the body, as a JSON object"});
  const bool needs_body = std::ranges::any_of(command.parameters, &Parameter::is_required);
  if (needs_body && !call.head.has_length)
    return std::unexpected(Error{.code = "no-length",
                                 .message = fmt::format("'{}' needs a body", command.name()),
                                 .field = "Content-Length",
                                 .remedy = "send the parameters as a JSON object, with its length"});
  const std::string* const type = call.head.field("content-type");
  if (!call.body.empty() && (type == nullptr || !is_json(*type)))
    return std::unexpected(Error{.code = "wrong-content-type",
                                 .message = "the body must be JSON",
                                 .field = "Content-Type",
                                 .remedy = "send 'Content-Type: application/json'"});
  return read_body(command, call.body);
}

void Api::await(std::expected<server::OperationId, server::Failure> begun, io::HttpCall call,
                AnswerTo answer) {
  if (!begun) return call.reply(reply_of(error_of(begun.error())));
  waiting_.emplace(*begun, Waiting{.call = std::move(call), .answer = std::move(answer)});
  surroundings_.changed();
}

}  // namespace portolan::management
