// SPDX-License-Identifier: BSD-2-Clause
#include "control/management/listing.h"

#include <algorithm>
#include <utility>

namespace portolan::management {

auto RowList::next() -> Piece {
  Piece piece{.octets = {}, .is_last = true};
  for (const Row& row : rows_) piece.octets += to_json(row) + '\n';
  return piece;
}

auto Listing::next() -> Piece {
  Piece piece;
  const Lines lines = parts_[part_](cursor_);
  for (const Row& row : lines.rows) {
    if (left_ == 0) break;
    --left_;
    piece.octets += to_json(row) + '\n';
  }
  if (lines.next) {
    cursor_ = *lines.next;
  } else {
    ++part_;
    cursor_ = {};
  }
  piece.is_last = left_ == 0 || part_ == parts_.size();
  // A page on which nothing was found: others are served first.
  if (piece.octets.empty() && !piece.is_last) ready_();
  return piece;
}

class Followers::Follower final : public io::HttpBody {
 public:
  Follower(Followers& followers, std::optional<Prefix> user, std::uint64_t next, bool has_missed_unknown)
      : followers_(followers),
        user_(user),
        next_(next),
        is_gap_due_(has_missed_unknown),
        heartbeat_(followers.loop_.timer([this] {
          is_heartbeat_due_ = true;
          ready_();
        })) {}
  Follower(const Follower&) = delete;
  auto operator=(const Follower&) -> Follower& = delete;
  ~Follower() override {
    followers_.followers_.erase(this);
    if (followers_.followers_.empty())
      followers_.forget_.arm(followers_.clocks_.now() + Followers::recorded_after);
  }

  void start(std::function<void()> ready) override {
    ready_ = std::move(ready);
    arm_heartbeat();
  }
  void wake() { ready_(); }

  auto next() -> Piece override {
    Piece piece;
    const server::EventPage page = followers_.server_.events_from(next_, Followers::piece_events_max);
    if (page.missed > 0 || is_gap_due_) piece.octets += gap(page);
    for (const server::Event& event : page.events)
      if (is_wanted(event)) piece.octets += line(event);
    const bool has_more = page.events.size() == Followers::piece_events_max;
    next_ = page.next;
    if (piece.octets.empty() && is_heartbeat_due_) piece.octets = heartbeat();
    if (!piece.octets.empty()) {
      is_heartbeat_due_ = false;
      arm_heartbeat();
    } else if (has_more) {
      ready_();
    }
    return piece;
  }

 private:
  void arm_heartbeat() { heartbeat_.arm(followers_.clocks_.now() + Followers::heartbeat); }

  [[nodiscard]] auto is_wanted(const server::Event& event) const -> bool {
    if (!user_) return true;
    if (event.contract) return user_->contains(event.contract->key.mapping.internal_address);
    return event.user && user_->length() <= event.user->length() && user_->contains(event.user->address());
  }

  [[nodiscard]] auto wall_time(TimePoint then) const -> Nanoseconds {
    return followers_.clocks_.wall_now() - (followers_.clocks_.now() - then);
  }

  [[nodiscard]] auto line(const server::Event& event) const -> std::string {
    return to_json(row_of(event, wall_time(event.time), followers_.clocks_.now())) + '\n';
  }

  [[nodiscard]] auto gap(const server::EventPage& page) -> std::string {
    is_gap_due_ = false;
    ++followers_.gaps_;
    const std::uint64_t first = page.events.empty() ? page.next : page.events.front().sequence;
    Row row{{"sequence", first - 1},
            {"time", time_text(followers_.clocks_.wall_now())},
            {"event", std::string("gap")}};
    // Unknown of events of another run of the server.
    if (page.missed > 0) row.emplace_back("missed", page.missed);
    return to_json(row) + '\n';
  }

  [[nodiscard]] auto heartbeat() const -> std::string {
    return to_json({{"sequence", next_ - 1},
                    {"time", time_text(followers_.clocks_.wall_now())},
                    {"event", std::string("heartbeat")}}) +
           '\n';
  }

  Followers& followers_;
  std::optional<Prefix> user_;
  std::uint64_t next_;
  bool is_gap_due_;
  bool is_heartbeat_due_ = false;
  std::function<void()> ready_ = [] {};
  io::Timer heartbeat_;
};

Followers::Followers(io::EventLoop& loop, server::Server& server, Clocks clocks)
    : loop_(loop), server_(server), clocks_(std::move(clocks)), forget_(loop.timer([this] {
        server_.record_events(false);
        is_recording_ = false;
      })) {}

auto Followers::follow(std::optional<Prefix> user, std::optional<std::uint64_t> after)
    -> std::unique_ptr<io::HttpBody> {
  if (followers_.size() >= followers_max) return nullptr;
  forget_.disarm();
  server_.record_events(true);
  const std::uint64_t newest = server_.events_from(0, 0).next;
  if (!std::exchange(is_recording_, true)) recorded_from_ = newest;
  // A number that is yet to come is one of an earlier run of the server.
  const bool is_known = after && *after >= recorded_from_ && *after < newest;
  const std::uint64_t next = is_known ? *after + 1 : newest;
  auto follower = std::make_unique<Follower>(*this, user, next, after.has_value() && !is_known);
  followers_.insert(follower.get());
  return follower;
}

void Followers::wake() {
  if (followers_.empty()) return;
  const std::uint64_t newest = server_.events_from(0, 0).next;
  if (newest == std::exchange(woken_until_, newest)) return;
  for (Follower* const follower : followers_) follower->wake();
}

}  // namespace portolan::management
