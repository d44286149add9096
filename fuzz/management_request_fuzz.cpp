// SPDX-License-Identifier: BSD-2-Clause
//
// Any octets read as HTTP requests to the management API of a server with a simulated device.
//
// - However the octets are cut, the same requests come of them.
// - Each request gets one answer, at once or when device and store have done their part, and JSON in it.
// - An error has a code that there is, with that code's status, and says what to do.
// - Whatever was asked, server, device and store agree afterwards.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/check.h"
#include "control/management/api.h"
#include "server/test_world.h"

namespace portolan::management {
namespace {

struct Request {
  io::HttpRequestHead head;
  std::string body;

  auto operator==(const Request& other) const -> bool {
    return head.method == other.head.method && head.target == other.head.target &&
           head.fields == other.head.fields && body == other.body;
  }
};

struct Reading {
  std::vector<Request> requests;
  std::optional<io::HttpProblem> problem;
};

auto read(std::string_view octets, std::size_t piece) -> Reading {
  constexpr io::HttpLimits limits{.header_octets = 1000, .body_octets = 1000};
  io::HttpParser parser(limits);
  Reading reading;
  std::string waiting;
  while (!octets.empty() || !waiting.empty()) {
    const std::string_view more = octets.substr(0, piece);
    waiting += more;
    octets.remove_prefix(more.size());
    const std::size_t taken = parser.feed(waiting);
    PORTOLAN_CHECK(taken <= waiting.size());
    waiting.erase(0, taken);
    reading.problem = parser.problem();
    if (reading.problem) return reading;
    if (parser.is_complete()) {
      reading.requests.push_back({.head = parser.head(), .body = parser.take_body()});
      parser.reset();
    } else if (octets.empty()) {
      return reading;
    }
  }
  return reading;
}

class Fuzzed {
 public:
  /// The device is there from the first on: what one that is not takes later is not asked of it here.
  Fuzzed() {
    world_.connect();
    world_.settle();
  }
  void ask(const Request& request) {
    std::optional<io::HttpReply> reply;
    api_.answer({.access = Command::Access::write, .name = "fuzzer"},
                io::HttpCall(request.head, request.body, 0, "fuzzer", [&](io::HttpReply given) {
                  PORTOLAN_CHECK(!reply);
                  reply = std::move(given);
                }));
    for (int turn = 0; turn < 100 && !reply; ++turn) {
      world_.pass(Milliseconds{100});
      api_.carried_out(world_.finished);
      world_.finished.clear();
    }
    PORTOLAN_CHECK(reply.has_value());
    check(*reply);
  }
  void finish() {
    world_.pass(Seconds{1});
    PORTOLAN_CHECK(!world_.disagreement());
  }

 private:
  static void check(io::HttpReply& reply) {
    if (reply.stream) return check_lines(*reply.stream);
    const auto json = nlohmann::json::parse(reply.body);
    if (reply.status < 300) return;
    const auto& error = json.at("error");
    PORTOLAN_CHECK(status_of(error.at("code").get<std::string>()) == reply.status);
    PORTOLAN_CHECK(!error.at("message").get<std::string>().empty() &&
                   !error.at("remedy").get<std::string>().empty());
  }
  static void check_lines(io::HttpBody& body) {
    bool is_ready = true;
    body.start([&] { is_ready = true; });
    while (is_ready) {
      is_ready = false;
      const io::HttpBody::Piece piece = body.next();
      std::istringstream lines(piece.octets);
      for (std::string line; std::getline(lines, line);)
        PORTOLAN_CHECK(nlohmann::json::parse(line).is_object());
      if (piece.is_last) return;
      is_ready = is_ready || !piece.octets.empty();
    }
  }

  io::EventLoop loop_;
  server::World world_;
  Api api_{loop_,
           world_.server,
           {.clocks = {.now = [this] { return world_.now; }, .wall_now = [] { return Nanoseconds{}; }},
            .changed = [this] { world_.collect(); },
            .status = [] { return ProgramStatus{}; },
            .pools = [] { return std::vector<management::Pool>{}; },
            .policy = [] { return server::Policy{}; },
            .counters = [] { return std::vector<Counter>{}; },
            .reload = [] { return std::expected<void, std::vector<std::string>>{}; },
            .changes = [](const std::string&, const std::string&) {},
            .refused = [](const std::string&, const std::string&) {},
            .pages = {},
            .metrics = {}}};
};

}  // namespace
}  // namespace portolan::management

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  namespace management = portolan::management;
  if (size == 0 || size > 4096) return 0;
  const std::string_view octets(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto reading = management::read(octets, std::size_t{data[0]} + 1);
  const auto whole = management::read(octets, octets.size() + 1);
  // How much of an unfinished head is there decides when Beast notices what is wrong with it.
  PORTOLAN_CHECK(reading.requests == whole.requests);
  if (reading.requests.empty()) return 0;
  management::Fuzzed fuzzed;
  for (const auto& request : reading.requests) fuzzed.ask(request);
  fuzzed.finish();
  return 0;
}
