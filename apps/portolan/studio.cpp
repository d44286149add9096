// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan studio`.
#include "portolan/studio.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/http_page.h"
#include "portolan/commands.h"
#include "portolan/composing.h"
#include "portolan/dissection_report.h"
#include "portolan/draft_reading.h"
#include "portolan/send_options.h"
#include "portolan/sequence.h"
#include "portolan/timeline_export.h"
#include "web/pages.h"
#include "wire/compose.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;

/// Octets of a request's body: a sequence's file, or the largest message in hexadecimal digits.
constexpr std::size_t body_octets_max = std::size_t{256} << 10U;

auto limits() -> io::HttpLimits {
  io::HttpLimits limits;
  limits.connections = 32;
  limits.body_octets = body_octets_max;
  return limits;
}

auto json_reply(const Json& json, unsigned status = 200) -> io::HttpReply {
  return {.status = status,
          .content_type = "application/json",
          .fields = io::page_fields(),
          .body = json.dump(-1, ' ', true, Json::error_handler_t::replace),
          .stream = {}};
}

auto file_reply(std::string content, std::string type, std::string_view name) -> io::HttpReply {
  io::HttpReply reply{.status = 200,
                      .content_type = std::move(type),
                      .fields = io::page_fields(),
                      .body = std::move(content),
                      .stream = {}};
  reply.fields.emplace_back("Content-Disposition", fmt::format("attachment; filename=\"{}\"", name));
  return reply;
}

auto text_in(const Json& body, const std::string& key) -> std::string {
  const auto found = body.find(key);
  return found != body.end() && found->is_string() ? found->get<std::string>() : std::string();
}

auto flag_in(const Json& body, const std::string& key) -> bool {
  const auto found = body.find(key);
  return found != body.end() && found->is_boolean() && found->get<bool>();
}

auto draft_text(const Json& draft) -> std::string {
  return draft.dump(-1, ' ', false, Json::error_handler_t::replace);
}

auto octets_of(const std::string& digits) -> std::optional<std::vector<std::byte>> {
  if (digits.size() % 2 != 0 || digits.size() / 2 > wire::draft_octets_max) return {};
  std::vector<std::byte> octets;
  for (std::size_t at = 0; at < digits.size(); at += 2) {
    std::uint8_t octet = 0;
    const char* const begin = digits.data() + at;
    const auto [end, error] = std::from_chars(begin, begin + 2, octet, 16);
    if (error != std::errc{} || end != begin + 2) return {};
    octets.push_back(std::byte{octet});
  }
  return octets;
}

auto number_of(std::string_view text) -> std::uint64_t {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// As their files have them, each with its name.
auto presets() -> Json {
  Json list = Json::array();
  for (const auto& [name, text] : built_in_sequences()) {
    Json preset{{"file", name}};
    if (const auto json = json_of_toml(text)) preset.update(Json::parse(*json));
    list.push_back(std::move(preset));
  }
  return list;
}

/// A file's text as a sequence, for the page to change it.
auto read(const Json& body) -> io::HttpReply {
  std::expected<std::string, std::string> json = text_in(body, "text");
  if (flag_in(body, "toml")) json = json_of_toml(*json);
  if (!json) return error_reply(422, json.error());
  if (const auto sequence = read_sequence(*json); !sequence) return error_reply(422, sequence.error());
  return json_reply(Json::parse(*json));
}

}  // namespace

Studio::Studio(io::EventLoop& loop, const StudioCommand& command)
    : loop_(loop),
      command_(command),
      guard_(random_, command.listen_address),
      timeline_(loop),
      lines_(loop, {.passed =
                        [this](const Traffic& traffic) {
                          timeline_.add(traffic);
                          if (run_) run_->heard(traffic);
                        },
                    .troubled =
                        [this](const Endpoint& server, const std::string& problem) {
                          timeline_.add("trouble", {{"text", fmt::format("{}: {}", server, problem)}});
                        }}),
      service_(loop, limits(),
               {.called = [this](io::HttpCall call) { called(std::move(call)); },
                .refused =
                    [](io::HttpProblem problem) {
                      const unsigned status = problem == io::HttpProblem::body_too_large         ? 413
                                              : problem == io::HttpProblem::header_too_large     ? 431
                                              : problem == io::HttpProblem::too_slow             ? 408
                                              : problem == io::HttpProblem::too_many_connections ? 503
                                                                                                 : 400;
                      return error_reply(status, to_string(problem));
                    }}) {}

auto Studio::listen() -> std::expected<std::string, std::string> {
  const Endpoint endpoint{.address = command_.listen_address, .port = command_.listen_port};
  const auto address =
      service_.listen({.kind = io::StreamAddress::Kind::tcp, .path = {}, .endpoint = endpoint}, {});
  if (!address) return std::unexpected(address.error());
  if (const auto hears = lines_.hear_announcements(); !hears)
    timeline_.add("trouble", {{"text", "announcements to all hosts are not heard: " + hears.error()}});
  return fmt::format("http://{}/?token={}", address->endpoint, guard_.token());
}

void Studio::called(io::HttpCall call) {
  if (auto refusal = guard_.refusal(call)) return call.reply(*std::move(refusal));
  call.reply(answer(call));
}

auto Studio::answer(const io::HttpCall& call) -> io::HttpReply {
  const std::string_view path = path_of(call.head.target);
  if (call.head.method == "GET") return get(call.head.target, call.head);
  if (call.head.method != "POST") return error_reply(405, "GET and POST are served");
  const Json body = Json::parse(call.body, nullptr, false);
  if (!body.is_object()) return error_reply(400, "the body is no JSON object");
  return post(path, body);
}

auto Studio::get(std::string_view target, const io::HttpRequestHead& head) -> io::HttpReply {
  const std::string_view path = path_of(target);
  if (path == "/api/about") return json_reply(about());
  if (path == "/api/timeline") {
    const std::string* const last = head.field("last-event-id");
    auto stream = timeline_.follow(number_of(last != nullptr ? *last : query_value(target, "after")));
    if (!stream) return error_reply(503, fmt::format("{} pages follow already", Timeline::followers_max));
    return {.status = 200,
            .content_type = "text/event-stream",
            .fields = io::page_fields(),
            .body = {},
            .stream = std::move(stream)};
  }
  if (path == "/api/export") {
    const std::string_view format = query_value(target, "format");
    if (format == "json") return file_reply(json_of(timeline_), "application/json", "timeline.json");
    if (format == "test")
      return file_reply(test_of(timeline_), "text/plain; charset=utf-8", "exchange_test.cpp");
    if (format != "pcap") return error_reply(400, "format: pcap, json or test is wanted");
    auto file = pcap_of(timeline_);
    if (!file) return error_reply(500, file.error());
    return file_reply(*std::move(file), "application/vnd.tcpdump.pcap", "timeline.pcap");
  }
  const io::HttpPage* const page = io::find_page(pages::studio(), path);
  return page == nullptr ? error_reply(404, "there is no such page") : io::reply_of(*page);
}

auto Studio::post(std::string_view path, const Json& body) -> io::HttpReply {
  if (path == "/api/compose") return compose(body);
  if (path == "/api/dissect") {
    const auto octets = octets_of(text_in(body, "octets"));
    if (!octets) return error_reply(400, "octets: hexadecimal digits of a datagram are wanted, two for each");
    Json json = dissection_json(*octets);
    json["draft"] = draft_of_octets(*octets);
    return json_reply(json);
  }
  if (path == "/api/send") return send(body);
  if (path == "/api/run") return run(body);
  if (path == "/api/read") return read(body);
  if (path == "/api/stop") {
    stop();
    return json_reply(Json::object());
  }
  if (path == "/api/clear") {
    // An answer would find no request to belong to.
    retransmitting_.clear();
    timeline_.clear();
    return json_reply(Json::object());
  }
  return error_reply(404, "there is no such request");
}

auto Studio::about() const -> Json {
  Json json{{"version", PORTOLAN_VERSION},
            {"server", command_.common.server},
            {"server-port", command_.common.server_port.value},
            {"presets", presets()}};
  if (command_.common.internal_address)
    json["internal-address"] = to_string(*command_.common.internal_address);
  const auto choice = choose_server(command_.common);
  if (choice) {
    json["client"] = to_string(choice->client_address);
    json["server-address"] = choice->address_text();
    json["chosen-server"] = choice->endpoint_text();
  } else {
    json["problem"] = choice.error().text;
  }
  return json;
}

auto Studio::compose(const Json& draft) -> io::HttpReply {
  const auto command = parse_draft(draft_text(draft), command_.common);
  if (!command) return error_reply(422, command.error());
  const auto message = message_of(*command, source_for(command->common), random_);
  if (!message) return error_reply(422, message.error());
  return json_reply(dissection_json(*message));
}

auto Studio::source_for(const ServerOptions& options) -> IpAddress {
  if (!source_ || source_->server != options.server ||
      source_->internal_address != options.internal_address) {
    const auto choice = choose_server(options);
    source_ = {.server = options.server,
               .internal_address = options.internal_address,
               .address = choice ? choice->client_address : options.internal_address.value_or(IpAddress{})};
  }
  return source_->address;
}

auto Studio::send(const Json& body) -> io::HttpReply {
  const auto draft = body.find("draft");
  if (draft == body.end() || !draft->is_object()) return error_reply(400, "draft: an object is wanted");
  const auto command = parse_draft(draft_text(*draft), command_.common);
  if (!command) return error_reply(422, command.error());
  const bool is_retransmitted = flag_in(body, "retransmit");
  if (is_retransmitted && retransmitting_.size() >= retransmitting_max)
    return error_reply(
        429, fmt::format("{} requests are being retransmitted already: stop them first", retransmitting_max));
  source_.reset();
  const auto line = lines_.to(command->common, command->source_port);
  if (!line) return error_reply(422, line.error().text);
  const auto message = message_of(*command, (*line)->choice.client_address, random_);
  if (!message) return error_reply(422, message.error());
  const auto sent = lines_.send(**line, *message);
  if (!sent) return error_reply(422, sent.error());
  const Timeline::Entry& entry = timeline_.entries().back();
  if (is_retransmitted) {
    const auto one = retransmitting_.insert(retransmitting_.end(),
                                            Retransmitting{.command = *command,
                                                           .message = *message,
                                                           .first = entry.belongs_to.value_or(entry.id),
                                                           .times = {},
                                                           .timer = {}});
    one->command.source_port = (*line)->socket.local_endpoint().port;
    one->timer = loop_.timer([this, one] { transmit_again(one); });
    one->timer.arm(one->times.transmitted(sent->time, {}, random_));
  }
  return json_reply({{"id", entry.id}});
}

void Studio::transmit_again(std::list<Retransmitting>::iterator one) {
  const auto line = timeline_.is_finished(one->first)
                        ? std::unexpected(Exit{})
                        : lines_.to(one->command.common, one->command.source_port);
  if (!line || !lines_.send(**line, one->message)) {
    retransmitting_.erase(one);
    return;
  }
  one->timer.arm(one->times.transmitted(io::monotonic_now(), {}, random_));
}

void Studio::stop() {
  if (run_) timeline_.add("ended", {{"stopped", true}});
  run_.reset();
  retransmitting_.clear();
  timeline_.add("note", {{"text", "stopped"}});
}

auto Studio::run(const Json& body) -> io::HttpReply {
  if (run_) return error_reply(409, "a sequence is running: stop it first");
  const auto given = body.find("sequence");
  const std::string name = text_in(body, "name");
  // Files are for command lines.
  if (given == body.end() && (name.empty() || name.find_first_of("./") != std::string::npos))
    return error_reply(422, "name: one of the sequences that come with the program is wanted");
  auto sequence = given != body.end() ? read_sequence(draft_text(*given)) : load_sequence(name);
  if (!sequence) return error_reply(422, sequence.error());
  Json target{{"opcode", "announce"}};
  for (const auto* key : {"server", "server-port", "internal-address"})
    if (body.contains(key)) target[key] = body[key];
  const auto defaults = parse_draft(draft_text(target), command_.common);
  if (!defaults) return error_reply(422, defaults.error());
  timeline_.add("note", {{"text", fmt::format("{}: begins", sequence->name)}});
  std::vector<std::string> names;
  for (const Step& step : sequence->steps) names.push_back(step.name);
  run_ = std::make_unique<SequenceRun>(
      loop_, lines_, *std::move(sequence), defaults->common,
      [this, names](const StepReport& report) {
        Json json{{"number", report.number + 1},  {"of", names.size()},
                  {"name", names[report.number]}, {"passed", report.differences.empty()},
                  {"answer", report.answer},      {"differences", report.differences}};
        timeline_.add("step", json);
      },
      [this] {
        timeline_.add("ended", Json::object());
        // It is in its own call.
        loop_.post([this] { run_.reset(); });
      });
  run_->start();
  return json_reply(Json::object());
}

auto run_studio(const StudioCommand& command) -> int {
  if (pages::studio().empty()) {
    fmt::print(
        stderr,
        "portolan: this program was built without studio's pages: build it with Node.js 18 or later\n");
    return exit_usage;
  }
  io::EventLoop loop;
  Studio studio(loop, command);
  const auto address = studio.listen();
  if (!address) {
    fmt::print(stderr, "portolan: {}\n", address.error());
    return exit_usage;
  }
  const auto interrupt = loop.on_signal({SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  if (command.common.is_json)
    fmt::print("{}\n", Json{{"address", *address}}.dump());
  else if (is_loopback(command.listen_address))
    fmt::print("Open this once in a browser of this host: {}\nCtrl-C ends it.\n", *address);
  else
    fmt::print(
        "Open this once in a browser: {}\nNothing on the way there is encrypted: who can read along can send "
        "packets as this host.\nCtrl-C ends it.\n",
        *address);
  std::fflush(stdout);
  loop.run();
  return exit_success;
}

}  // namespace portolan
