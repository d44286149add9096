// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/metrics_service.h"

#include <memory>
#include <string_view>
#include <utility>

#include "control/metrics/exposition.h"

namespace portolan::nat64 {
namespace {

auto text_reply(unsigned status, std::string text) -> io::HttpReply {
  return {.status = status, .content_type = "text/plain; charset=utf-8", .body = std::move(text)};
}

auto refusal_of(io::HttpProblem problem) -> io::HttpReply {
  const auto status = [&] {
    switch (problem) {
      case io::HttpProblem::too_slow: return 408U;
      case io::HttpProblem::body_too_large: return 413U;
      case io::HttpProblem::header_too_large: return 431U;
      case io::HttpProblem::transfer_unsupported: return 501U;
      case io::HttpProblem::version_unsupported: return 505U;
      case io::HttpProblem::too_many_connections: return 503U;
      case io::HttpProblem::malformed: break;
    }
    return 400U;
  }();
  return text_reply(status, std::string(to_string(problem)) + "\n");
}

}  // namespace

MetricsService::MetricsService(io::EventLoop& loop, Gather gather)
    : gather_(std::move(gather)),
      service_(loop, {},
               {.called = [this](io::HttpCall call) { answer(std::move(call)); }, .refused = refusal_of}) {}

void MetricsService::answer(io::HttpCall call) {
  const std::string_view target = call.head.target;
  if (target.substr(0, target.find('?')) != "/metrics")
    return call.reply(text_reply(404, "only /metrics is here\n"));
  if (call.head.method != "GET") {
    io::HttpReply refusal = text_reply(405, "GET is what /metrics answers\n");
    refusal.fields.emplace_back("Allow", "GET");
    return call.reply(std::move(refusal));
  }
  gather_([waiting = std::make_shared<io::HttpCall>(std::move(call))](std::string text) {
    waiting->reply({.status = 200,
                    .content_type = std::string(control::exposition_content_type),
                    .body = std::move(text)});
  });
}

}  // namespace portolan::nat64
