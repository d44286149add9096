// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: an engine, its clock, and a server that follows a script. Everything that happens is kept
// as lines with their time.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "client/engine.h"
#include "wire/message.h"

namespace portolan::client {

using namespace std::chrono_literals;

/// What the scripted server does with the next request it gets.
struct Answer {
  Nanoseconds delay = 10ms;
  bool is_lost = false;
  wire::ResultCode result = wire::ResultCode::success;
  std::uint32_t lifetime_s = 120;
  std::uint32_t epoch_time_s = 1000;  ///< at the start of the test; it runs on with the clock
  Endpoint external{*IpAddress::parse("192.0.2.14"), Port{40000}};
  /// Last changes before the answer leaves.
  std::function<void(std::vector<std::byte>&)> corrupt;
  /// Options of the request are repeated, as by a server that does what they say.
  bool echoes_options = true;
  std::function<void(wire::Datagram&)> add_options;
  /// Source, unless it is the server's address.
  std::optional<Endpoint> from;
};

constexpr auto lost = [] {
  Answer answer;
  answer.is_lost = true;
  return answer;
};
constexpr auto granted = [](std::uint32_t lifetime_s = 120, std::uint16_t port = 40000) {
  Answer answer;
  answer.lifetime_s = lifetime_s;
  answer.external.port.value = port;
  return answer;
};
constexpr auto refused = [](wire::ResultCode result, std::uint32_t lifetime_s) {
  Answer answer;
  answer.result = result;
  answer.lifetime_s = lifetime_s;
  return answer;
};

class World {
 public:
  struct Line {
    Nanoseconds at;
    std::string text;
  };

  explicit World(Config config = default_config(), std::uint64_t seed = 1)
      : random_(seed), engine(config, random_), config_(config) {}

  static auto default_config() -> Config {
    Config config;
    config.server = {*IpAddress::parse("2001:db8:112::1"), Port{5351}};
    config.client_address = *IpAddress::parse("2001:db8:112::2");
    return config;
  }

  [[nodiscard]] auto now() const -> TimePoint { return start_ + elapsed_; }
  [[nodiscard]] auto elapsed() const -> Nanoseconds { return elapsed_; }

  /// Lets `duration` pass: delivers answers, advances the engine at its deadlines.
  void run(Nanoseconds duration) {
    const Nanoseconds end = elapsed_ + duration;
    carry_out();
    for (int turns = 0;; ++turns) {
      ASSERT_LT(turns, 100000) << "the engine does not come to rest";
      Nanoseconds next = end;
      if (!in_flight_.empty()) next = std::min(next, in_flight_.begin()->first);
      if (const auto deadline = engine.next_deadline()) next = std::min(next, *deadline - start_);
      elapsed_ = std::max(elapsed_, next);
      if (!in_flight_.empty() && in_flight_.begin()->first <= elapsed_) {
        const auto [from, datagram] = in_flight_.begin()->second;
        in_flight_.erase(in_flight_.begin());
        deliver(datagram, from);
      } else if (elapsed_ >= end) {
        break;
      }
      engine.advance(now());
      carry_out();
    }
  }

  /// Hands the engine a datagram at once.
  auto deliver(std::span<const std::byte> datagram, std::optional<Endpoint> from = {}) -> Reception {
    const Reception reception = engine.receive(now(), from.value_or(config_.server), datagram);
    if (reception != Reception::accepted) note("ignored: " + std::string(to_string(reception)));
    carry_out();
    return reception;
  }

  /// A success response to the last MAP request, as the server would send it unasked.
  [[nodiscard]] auto update(const Answer& answer) const -> std::vector<std::byte> {
    return make_answer(last_map_request, answer);
  }

  [[nodiscard]] auto epoch_now(std::uint32_t at_start) const -> std::uint32_t {
    return at_start + static_cast<std::uint32_t>(std::chrono::floor<Seconds>(elapsed_).count());
  }

  /// Texts of all lines.
  [[nodiscard]] auto story() const -> std::vector<std::string> {
    std::vector<std::string> texts;
    texts.reserve(lines.size());
    for (const Line& line : lines) texts.push_back(line.text);
    return texts;
  }
  /// Times of the lines whose text starts with `text`.
  [[nodiscard]] auto times_of(std::string_view text) const -> std::vector<double> {
    std::vector<double> times;
    for (const Line& line : lines)
      if (line.text.starts_with(text)) times.push_back(std::chrono::duration<double>(line.at).count());
    return times;
  }

 private:
  SeededRandom random_;

 public:
  Engine engine;
  std::deque<Answer> script;
  std::optional<Answer> otherwise;  ///< once the script is over; no answer unless set
  std::vector<Line> lines;
  std::vector<std::byte> last_map_request;

 private:
  void note(std::string text) { lines.push_back({elapsed_, std::move(text)}); }

  void carry_out() {
    const auto broken = engine.broken_invariant();
    ASSERT_FALSE(broken) << *broken;
    Actions actions = engine.take_actions();
    for (const Event& event : actions.events)
      note(std::visit([](const auto& happened) { return text_of(happened); }, event));
    for (const Send& send : actions.send) {
      ASSERT_EQ(send.to, config_.server);
      serve(send.datagram.octets());
    }
  }

  static auto has_prefer_failure(const wire::OptionList& options) -> bool {
    return std::ranges::any_of(
        options, [](const wire::Option& option) { return option.code == wire::OptionCode::prefer_failure; });
  }

  void serve(std::span<const std::byte> datagram) {
    const auto request = wire::decode_request(datagram);
    ASSERT_TRUE(request);
    ASSERT_EQ(request->client_address, config_.client_address);
    if (const auto* map = std::get_if<wire::MapRequest>(&request->body)) {
      note(fmt::format("MAP {} {} -> {} for {} s{}", map->protocol, map->internal_port,
                       Endpoint{map->suggested_external_address, map->suggested_external_port},
                       request->requested_lifetime_s,
                       has_prefer_failure(request->options) ? ", or nothing" : ""));
      last_map_request.assign(datagram.begin(), datagram.end());
    } else if (const auto* peer = std::get_if<wire::PeerRequest>(&request->body)) {
      note(fmt::format("PEER {} {} to {} -> {} for {} s", peer->protocol, peer->internal_port,
                       Endpoint{peer->remote_peer_address, peer->remote_peer_port},
                       Endpoint{peer->suggested_external_address, peer->suggested_external_port},
                       request->requested_lifetime_s));
    } else {
      note(fmt::format("ANNOUNCE for {} s", request->requested_lifetime_s));
    }
    if (script.empty() && !otherwise) return;
    const Answer answer = script.empty() ? *otherwise : script.front();
    if (!script.empty()) script.pop_front();
    if (answer.is_lost) return;
    const Nanoseconds arrival = elapsed_ + answer.delay;
    in_flight_.emplace(arrival, std::pair(answer.from.value_or(config_.server),
                                          make_answer({datagram.begin(), datagram.end()}, answer)));
  }

  auto make_answer(const std::vector<std::byte>& request, const Answer& answer) const
      -> std::vector<std::byte> {
    const auto decoded = wire::decode_request(request);
    wire::Datagram datagram;
    if (answer.result != wire::ResultCode::success) {
      datagram = wire::encode_error(request, answer.result, Seconds{answer.lifetime_s},
                                    epoch_now(answer.epoch_time_s), true);
    } else {
      wire::Response response;
      response.opcode = decoded->opcode;
      response.lifetime_s = answer.lifetime_s;
      response.epoch_time_s = epoch_now(answer.epoch_time_s);
      response.body = wire::Announce{};
      if (const auto* map = std::get_if<wire::MapRequest>(&decoded->body)) {
        const bool is_deletion = decoded->requested_lifetime_s == 0;
        response.body = wire::MapResponse{
            .nonce = map->nonce,
            .protocol = map->protocol,
            .internal_port = map->internal_port,
            .assigned_external_port = is_deletion ? map->suggested_external_port : answer.external.port,
            .assigned_external_address =
                is_deletion ? map->suggested_external_address : answer.external.address};
      }
      if (const auto* peer = std::get_if<wire::PeerRequest>(&decoded->body)) {
        response.body = wire::PeerResponse{.nonce = peer->nonce,
                                           .protocol = peer->protocol,
                                           .internal_port = peer->internal_port,
                                           .assigned_external_port = answer.external.port,
                                           .assigned_external_address = answer.external.address,
                                           .remote_peer_port = peer->remote_peer_port,
                                           .remote_peer_address = peer->remote_peer_address};
      }
      datagram = wire::encode_response(response);
      if (answer.echoes_options)
        for (const wire::Option& option : decoded->options)
          PORTOLAN_CHECK(wire::append_option(datagram, option.code, option.data));
      if (answer.add_options) answer.add_options(datagram);
    }
    std::vector<std::byte> octets(datagram.octets().begin(), datagram.octets().end());
    if (answer.corrupt) answer.corrupt(octets);
    return octets;
  }

  static auto text_of(const Granted& event) -> std::string {
    return fmt::format("granted {} for {} s", event.mapping.external, event.mapping.lifetime.count());
  }
  static auto text_of(const Renewed& event) -> std::string {
    return fmt::format("renewed {} for {} s", event.mapping.external, event.mapping.lifetime.count());
  }
  static auto text_of(const Changed& event) -> std::string {
    return fmt::format("changed {} to {}", event.previous_external, event.mapping.external);
  }
  static auto text_of(const Refused& event) -> std::string {
    return fmt::format("refused {} for {} s", wire::to_string(event.result), event.lifetime.count());
  }
  static auto text_of(const Lost& event) -> std::string {
    return fmt::format("lost {}, {}", event.mapping.external,
                       event.reason == Lost::Reason::expired ? "expired" : "withdrawn");
  }
  static auto text_of(const Deleted& event) -> std::string {
    return fmt::format("deleted, {} s remaining", event.remaining.count());
  }
  static auto text_of(const Announced& event) -> std::string {
    return fmt::format("announced {} after {} ms", wire::to_string(event.result),
                       std::chrono::duration_cast<Milliseconds>(event.round_trip).count());
  }
  static auto text_of(const Retransmitted& event) -> std::string {
    return fmt::format("no answer yet, sent {} times", event.transmissions);
  }
  static auto text_of(const NoAnswer&) -> std::string { return "no answer"; }
  static auto text_of(const ServerRestarted& event) -> std::string {
    return fmt::format("server restarted, epoch {} s", event.epoch_time_s);
  }
  static auto text_of(const VersionRefused& event) -> std::string {
    return fmt::format("version {} offered, waiting {} s", event.version, event.lifetime.count());
  }
  static auto text_of(const FellBackToNatPmp&) -> std::string { return "NAT-PMP from now on"; }
  static auto text_of(const Unresponsive&) -> std::string { return "unresponsive"; }
  static auto text_of(const Nat64PrefixesLearned& event) -> std::string {
    std::string text = "NAT64:";
    for (const Nat64Prefix& known : event.prefixes) {
      text += fmt::format(" {}", known.prefix);
      for (const Prefix& prefix : known.ipv4_prefixes) text += fmt::format(" for {}", prefix);
    }
    return text;
  }

  Config config_;
  TimePoint start_{1h};
  Nanoseconds elapsed_{0};
  std::multimap<Nanoseconds, std::pair<Endpoint, std::vector<std::byte>>> in_flight_;
};

/// A web server's wish.
inline auto web_wish() -> Wish {
  Wish wish;
  wish.protocol = Protocol::tcp;
  wish.internal_port = Port{8080};
  wish.suggested_external_port = Port{8080};
  wish.lifetime = Seconds{120};
  return wish;
}

/// Lines of its story: asked for the first time, renewed, deleted, and what comes of it.
inline const std::string ask_line = "MAP tcp 8080 -> 0.0.0.0:8080 for 120 s";
inline const std::string renew_line = "MAP tcp 8080 -> 192.0.2.14:40000 for 120 s";
inline const std::string delete_line = "MAP tcp 8080 -> 0.0.0.0:0 for 0 s";
inline const std::string granted_line = "granted 192.0.2.14:40000 for 120 s";
inline const std::string renewed_line = "renewed 192.0.2.14:40000 for 120 s";

}  // namespace portolan::client
