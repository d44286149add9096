// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/timeline.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/system.h"
#include "portolan/composing.h"
#include "portolan/dissection_report.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

/// Without one a browser does not see that studio has ended behind something that keeps the connection.
constexpr Seconds heartbeat_interval{15};

auto octet(const std::vector<std::byte>& payload, std::size_t at) -> unsigned {
  return at < payload.size() ? std::to_integer<unsigned>(payload[at]) : 0;
}

/// Octets that a request and its answer have in common (RFC 6887 s8.3): from nonce to internal port of MAP,
/// and on to the peer of PEER.
auto is_answer_to(const Traffic& answer, const Traffic& request) -> bool {
  if (answer.source != request.destination || answer.destination != request.source) return false;
  if ((octet(answer.payload, 1) & ~unsigned{wire::response_bit}) != octet(request.payload, 1)) return false;
  const bool has_nonce = octet(request.payload, 0) == wire::version_2 && octet(request.payload, 1) != 0;
  constexpr std::size_t common_end = 42;
  if (!has_nonce || std::min(answer.payload.size(), request.payload.size()) < common_end) return true;
  return std::equal(answer.payload.begin() + wire::header_octets, answer.payload.begin() + common_end,
                    request.payload.begin() + wire::header_octets);
}

auto milliseconds(Nanoseconds time) -> double {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

class Timeline::Follower final : public io::HttpBody {
 public:
  Follower(Timeline& timeline, std::uint64_t after)
      : timeline_(&timeline), after_(after), generation_(timeline.generation_) {
    timeline.followers_.push_back(this);
  }
  ~Follower() override {
    if (timeline_ != nullptr) std::erase(timeline_->followers_, this);
  }

  void start(std::function<void()> ready) override { ready_ = std::move(ready); }

  auto next() -> Piece override {
    if (timeline_ == nullptr) return {.octets = {}, .is_last = true};
    Piece piece;
    if (std::exchange(is_new_, false)) piece.octets = ": portolan studio\n\n";
    if (generation_ != timeline_->generation_) {
      generation_ = timeline_->generation_;
      piece.octets += "event: cleared\ndata: {}\n\n";
    }
    const auto& entries = timeline_->entries_;
    for (auto entry = std::ranges::upper_bound(entries, after_, {}, &Entry::id);
         entry != entries.end() && piece.octets.size() < piece_octets_max; ++entry) {
      piece.octets += fmt::format("id: {}\ndata: {}\n\n", entry->id, entry->json);
      after_ = entry->id;
    }
    if (piece.octets.empty() && std::exchange(is_heartbeat_due_, false)) piece.octets = ": still here\n\n";
    return piece;
  }

  void tell() {
    if (ready_) ready_();
  }
  void beat() {
    is_heartbeat_due_ = true;
    tell();
  }
  void leave() {
    timeline_ = nullptr;
    tell();
  }

 private:
  Timeline* timeline_;
  std::uint64_t after_;
  std::uint64_t generation_;
  std::function<void()> ready_;
  bool is_new_ = true;
  bool is_heartbeat_due_ = false;
};

Timeline::Timeline(io::EventLoop& loop)
    : start_(io::monotonic_now()), heartbeat_(loop.timer([this] {
        for (Follower* follower : followers_) follower->beat();
        heartbeat_.arm(io::monotonic_now() + heartbeat_interval);
      })) {
  heartbeat_.arm(start_ + heartbeat_interval);
}

Timeline::~Timeline() {
  for (Follower* follower : followers_) follower->leave();
}

auto Timeline::counts_of(std::uint64_t id) const -> Counts {
  Counts counts;
  for (const Entry& entry : entries_) {
    if (!entry.traffic || entry.belongs_to.value_or(entry.id) != id) continue;
    ++(entry.traffic->kind == Traffic::Kind::sent ? counts.requests : counts.answers);
  }
  return counts;
}

auto Timeline::partner_of(const Traffic& traffic) const -> const Entry* {
  const bool is_sent = traffic.kind == Traffic::Kind::sent;
  if (traffic.kind == Traffic::Kind::announced) return nullptr;
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
    if (!entry->traffic || entry->traffic->kind != Traffic::Kind::sent) continue;
    const Traffic& request = *entry->traffic;
    const bool is_alike = is_sent ? request.payload == traffic.payload && request.source == traffic.source &&
                                        request.destination == traffic.destination
                                  : is_answer_to(traffic, request);
    if (!is_alike) continue;
    const auto [requests, answers] = counts_of(entry->belongs_to.value_or(entry->id));
    // An update that a server sends unasked (RFC 6887 s14.2) is like one more answer.
    if (answers < (is_sent ? 1 : requests)) return &*entry;
  }
  return nullptr;
}

auto Timeline::is_finished(std::uint64_t id) const -> bool {
  const auto [requests, answers] = counts_of(id);
  return answers > 0 || requests == 0;
}

void Timeline::add(const Traffic& traffic) {
  const Entry* const partner = partner_of(traffic);
  nlohmann::ordered_json json{{"kind", to_string(traffic.kind)},
                              {"milliseconds", milliseconds(traffic.time - start_)},
                              {"time", std::chrono::duration_cast<Milliseconds>(traffic.wall_time).count()},
                              {"source", to_string(traffic.source)},
                              {"destination", to_string(traffic.destination)}};
  if (traffic.kind != Traffic::Kind::sent) json["word"] = answer_word(traffic.payload);
  Entry entry{.id = {}, .traffic = traffic, .belongs_to = {}, .json = {}};
  if (partner != nullptr) {
    entry.belongs_to = partner->belongs_to.value_or(partner->id);
    json["belongs-to"] = *entry.belongs_to;
    json["latency"] = milliseconds(traffic.time - partner->traffic->time);
  }
  json.update(dissection_json(traffic.payload));
  push(std::move(entry), json);
}

void Timeline::add(const std::string& kind, const nlohmann::ordered_json& members) {
  nlohmann::ordered_json json{{"kind", kind},
                              {"milliseconds", milliseconds(io::monotonic_now() - start_)},
                              {"time", std::chrono::duration_cast<Milliseconds>(io::wall_now()).count()}};
  json.update(members);
  push({}, json);
}

void Timeline::push(Entry entry, const nlohmann::ordered_json& json) {
  entry.id = ++last_id_;
  nlohmann::ordered_json whole{{"id", entry.id}};
  whole.update(json);
  // In ASCII, so that no octets from the network are anything else in the stream.
  entry.json = whole.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace);
  entries_.push_back(std::move(entry));
  if (entries_.size() > entries_max) entries_.pop_front();
  tell();
}

void Timeline::clear() {
  entries_.clear();
  ++generation_;
  tell();
}

void Timeline::tell() {
  for (Follower* follower : followers_) follower->tell();
}

auto Timeline::follow(std::uint64_t after) -> std::unique_ptr<io::HttpBody> {
  if (followers_.size() >= followers_max) return {};
  return std::make_unique<Follower>(*this, after);
}

}  // namespace portolan
