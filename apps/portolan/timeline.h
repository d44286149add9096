// SPDX-License-Identifier: BSD-2-Clause
//
// What studio has seen: datagrams, troubles and steps, in order, with what belongs together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "io/event_loop.h"
#include "io/http_service.h"
#include "portolan/lines.h"

namespace portolan {

class Timeline {
 public:
  /// Beyond them the oldest entries go.
  static constexpr std::size_t entries_max = 5000;
  /// Of one piece of a stream.
  static constexpr std::size_t piece_octets_max = std::size_t{64} << 10U;
  /// Browsers that follow at one time.
  static constexpr std::size_t followers_max = 16;

  struct Entry {
    std::uint64_t id = 0;
    /// Of a datagram.
    std::optional<Traffic> traffic;
    /// Of an answer: the request that it answers, as it was sent first. Of a request: the one that it
    /// repeats. Answers beyond the number of requests belong to none: nobody asked for them.
    std::optional<std::uint64_t> belongs_to;
    /// As it is sent to browsers.
    std::string json;
  };

  explicit Timeline(io::EventLoop& loop);
  Timeline(const Timeline&) = delete;
  auto operator=(const Timeline&) -> Timeline& = delete;
  ~Timeline();

  void add(const Traffic& traffic);
  /// Something else that happened, of a kind of its own.
  void add(const std::string& kind, const nlohmann::ordered_json& members);
  void clear();
  /// Whether nothing more is to come of the request `id`: it has been answered, or is here no longer.
  [[nodiscard]] auto is_finished(std::uint64_t id) const -> bool;
  [[nodiscard]] auto last_id() const -> std::uint64_t { return last_id_; }
  [[nodiscard]] auto entries() const -> const std::deque<Entry>& { return entries_; }

  /// A stream of server-sent events behind `after`; nothing if there are too many.
  [[nodiscard]] auto follow(std::uint64_t after) -> std::unique_ptr<io::HttpBody>;

 private:
  class Follower;
  struct Counts {
    std::size_t requests = 0;
    std::size_t answers = 0;
  };
  void push(Entry entry, const nlohmann::ordered_json& json);
  void tell();
  /// Answers to the request `id`, and how often it was sent.
  [[nodiscard]] auto counts_of(std::uint64_t id) const -> Counts;
  [[nodiscard]] auto partner_of(const Traffic& traffic) const -> const Entry*;

  std::deque<Entry> entries_;
  std::uint64_t last_id_ = 0;
  /// Grows when the timeline is cleared.
  std::uint64_t generation_ = 0;
  TimePoint start_;
  std::list<Follower*> followers_;
  io::Timer heartbeat_;
};

}  // namespace portolan
