// SPDX-License-Identifier: BSD-2-Clause
//
// Answers that are streams of JSON objects, one a line (NDJSON): users, mappings, events. Each piece is a
// page of the engine's, made when the client has taken the last one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/time.h"
#include "control/management/row.h"
#include "io/event_loop.h"
#include "io/http_service.h"
#include "server/server.h"

namespace portolan::management {

/// The clocks that answers need.
struct Clocks {
  std::function<TimePoint()> now;
  std::function<Nanoseconds()> wall_now;
};

/// Rows that are there already.
class RowList final : public io::HttpBody {
 public:
  explicit RowList(std::vector<Row> rows) : rows_(std::move(rows)) {}
  auto next() -> Piece override;

 private:
  std::vector<Row> rows_;
};

/// Pages that `page` makes from a cursor on. With `kind`, rows begin with a member of that name.
class Listing final : public io::HttpBody {
 public:
  struct Lines {
    std::vector<Row> rows;
    std::optional<server::Cursor> next;
  };
  using Pages = std::function<Lines(const server::Cursor&)>;

  /// At most `limit` rows of all `parts`, one after the other.
  Listing(std::vector<Pages> parts, std::uint64_t limit) : parts_(std::move(parts)), left_(limit) {}
  void start(std::function<void()> ready) override { ready_ = std::move(ready); }
  auto next() -> Piece override;

 private:
  std::vector<Pages> parts_;
  std::size_t part_ = 0;
  server::Cursor cursor_{};
  std::uint64_t left_ = 0;
  std::function<void()> ready_;
};

/// Those who follow events; while there are any, and for a while after, the engine records them.
class Followers {
 public:
  /// Streams of events at one time.
  static constexpr std::size_t followers_max = 16;
  /// Events are recorded for so long after the last one went, so that who comes back misses none.
  static constexpr Seconds recorded_after{300};
  /// A stream on which nothing has happened for so long says so.
  static constexpr Seconds heartbeat{15};
  /// Events of one piece.
  static constexpr std::size_t piece_events_max = 64;

  Followers(io::EventLoop& loop, server::Server& server, Clocks clocks);

  /// Follows from behind event `after` on, or from the next one on; nullptr: there are too many followers.
  [[nodiscard]] auto follow(std::optional<Prefix> user, std::optional<std::uint64_t> after)
      -> std::unique_ptr<io::HttpBody>;
  /// Something may have happened.
  void wake();
  [[nodiscard]] auto size() const -> std::size_t { return followers_.size(); }
  /// Gaps told so far, because a reader fell behind.
  [[nodiscard]] auto gaps() const -> std::uint64_t { return gaps_; }

 private:
  class Follower;

  io::EventLoop& loop_;
  server::Server& server_;
  Clocks clocks_;
  std::set<Follower*> followers_;
  io::Timer forget_;
  bool is_recording_ = false;
  /// Number of the first event since recording last began: before it others may have been that have no
  /// number.
  std::uint64_t recorded_from_ = 0;
  std::uint64_t gaps_ = 0;
  /// Number of the next event, as far as followers were woken.
  std::uint64_t woken_until_ = 0;
};

}  // namespace portolan::management
