// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/system.h"
#include "wire/protocol.h"

namespace portolan::doctor {
namespace {

using Json = nlohmann::ordered_json;

constexpr Milliseconds frame_time{120};
constexpr std::array<std::string_view, 4> frames{"|", "/", "-", "\\"};

auto is_bad(const Finding& finding) -> bool { return finding.state == State::problem; }

auto json_of(const ServerSeen& server) -> Json {
  Json options = Json::object();
  for (const OptionSeen& option : server.options)
    options[std::string(option.name)] = option.is_known ? Json(*option.is_known) : Json(nullptr);
  Json prefixes = Json::array();
  for (const client::Nat64Prefix& known : server.nat64_prefixes) prefixes.push_back(to_string(known.prefix));
  Json version = nullptr;
  if (server.speaks_nat_pmp)
    version = 0;
  else if (server.other_version)
    version = *server.other_version;
  else if (server.answers())
    version = 2;
  return {{"server", server.name},
          {"origin", std::string(to_string(server.origin))},
          {"client-address", to_string(server.client_address)},
          {"answers", server.answers()},
          {"version", version},
          {"epoch", server.announced ? Json(server.announced->epoch_time_s) : Json(nullptr)},
          {"external-address",
           server.mapping ? Json(to_string(server.mapping->external.address)) : Json(nullptr)},
          {"result", server.refused   ? Json(wire::to_string(server.refused->result))
                     : server.mapping ? Json(wire::to_string(wire::ResultCode::success))
                                      : Json(nullptr)},
          {"options", std::move(options)},
          {"nat64-prefixes", std::move(prefixes)}};
}

}  // namespace

Progress::Progress(std::string text, bool is_shown) : text_(std::move(text)) {
  if (!is_shown) return;
  if (io::is_terminal(stderr)) {
    show(0);
    thread_ = std::thread([this] { turn(); });
  } else {
    fmt::print(stderr, "{} ...\n", text_);
  }
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_ended_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void Progress::show(std::size_t frame) const {
  fmt::print(stderr, "\r{} {} ...", frames.at(frame), text_);
  static_cast<void>(std::fflush(stderr));
}

void Progress::turn() {
  std::unique_lock lock(mutex_);
  for (std::size_t frame = 1; !ended_.wait_for(lock, frame_time, [this] { return is_ended_; });
       frame = (frame + 1) % frames.size())
    show(frame);
  // Back to the beginning of the line, which is empty then.
  fmt::print(stderr, "\r\x1b[K");
  static_cast<void>(std::fflush(stderr));
}

void Report::add(const Findings& findings) {
  findings_.insert(findings_.end(), findings.begin(), findings.end());
  if (is_json_) return;
  for (const Finding& finding : findings) fmt::print("{}", text_of(finding));
  static_cast<void>(std::fflush(stdout));
}

void Report::add(const std::vector<ServerSeen>& servers) { servers_ = servers; }

void Report::fail(const std::string& error) const {
  if (is_json_) fmt::print("{}\n", Json{{"healthy", nullptr}, {"error", error}}.dump());
  fmt::print(stderr, "portolan: {}\n", error);
}

auto Report::finish() -> bool {
  const auto problems = std::ranges::count_if(findings_, is_bad);
  if (is_json_)
    fmt::print("{}\n", json_of(findings_, servers_));
  else if (problems == 0)
    fmt::print("all is well\n");
  else
    fmt::print("{} {} found\n", problems, problems == 1 ? "problem" : "problems");
  return problems == 0;
}

auto text_of(const Finding& finding) -> std::string {
  const std::string_view mark = finding.state == State::problem ? "PROBLEM" : to_string(finding.state);
  std::string text = fmt::format("{:<8} {}\n", mark, finding.text);
  if (!finding.remedy.empty()) text += fmt::format("{:<8} what to do: {}\n", "", finding.remedy);
  return text;
}

auto json_of(const Findings& findings, const std::vector<ServerSeen>& servers) -> std::string {
  Json json{{"healthy", std::ranges::none_of(findings, is_bad)},
            {"findings", Json::array()},
            {"servers", Json::array()}};
  for (const Finding& finding : findings)
    json["findings"].push_back({{"id", std::string(finding.id)},
                                {"state", std::string(to_string(finding.state))},
                                {"text", finding.text},
                                {"remedy", finding.remedy.empty() ? Json(nullptr) : Json(finding.remedy)}});
  for (const ServerSeen& server : servers) json["servers"].push_back(json_of(server));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace portolan::doctor
