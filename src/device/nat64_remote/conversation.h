// SPDX-License-Identifier: BSD-2-Clause
//
// The server's side of a conversation with a NAT64 in another process: connects, greets, fetches the
// inventory, has it repaired, then passes batches on; and begins anew whenever the connection ends. Does no
// I/O: it is driven like the engines, and take_actions() says what is to be done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.h"
#include "control/codec.h"
#include "device/device.h"
#include "device/pool_use.h"

namespace portolan::device {

struct ConversationOptions {
  /// Drawn anew at each start of this process.
  std::uint64_t boot_id = 0;
  std::string program = "portoland";
  /// Out of reach for so long, batches are answered with unreachable.
  Seconds patience{10};
  /// Before another attempt to connect: the first time, and at most; it doubles.
  Milliseconds retry_first{100};
  Milliseconds retry_max{5'000};
  /// A connection on which nothing comes is asked after this, and given up after that.
  Seconds silence_asked{5};
  Seconds silence_max{15};
  /// How often it is asked how much of its pool is left.
  Seconds pool_asked{5};
};

class Conversation {
 public:
  /// Batches that are not answered; each beyond is answered with unreachable.
  static constexpr std::size_t batches_max = 1024;

  struct Answer {
    BatchId batch;
    std::vector<Result> results;
  };
  /// For the operator.
  struct Note {
    enum class Kind : std::uint8_t { connected, reconciled, out_of_reach };
    Kind kind{};
    /// connected: to which program; out_of_reach: why.
    std::string text;
  };
  struct Actions {
    /// Close the connection there is, if there is one; then make another.
    bool close = false;
    bool connect = false;
    /// To be sent, on the connection there is after both.
    std::vector<std::byte> octets;
    /// To be told, in this order.
    std::vector<std::variant<Answer, std::vector<Event>, Inventory>> told;
    std::vector<Note> notes;
  };

  /// Wants to be connected at `now`.
  Conversation(TimePoint now, ConversationOptions options);

  /// As in device::Device.
  void apply(BatchId id, std::vector<Operation> operations);
  void reconcile(BatchId id, std::vector<Operation> operations);
  void reconciled();

  /// The connection asked for is there.
  void connected(TimePoint now);
  /// Octets came.
  void received(TimePoint now, std::span<const std::byte> octets);
  /// There is no connection, or none could be made.
  void disconnected(TimePoint now, std::string_view reason);

  void advance(TimePoint now);
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  [[nodiscard]] auto take_actions() -> Actions;
  /// Whether batches are sent.
  [[nodiscard]] auto is_in_reach() const -> bool {
    return state_ == State::repairing || state_ == State::serving;
  }
  [[nodiscard]] auto is_serving() const -> bool { return state_ == State::serving; }
  /// As the gateway has last told; empty: it does not serve, or does not tell.
  [[nodiscard]] auto pool_use() const -> const std::vector<PoolUse>& { return pool_use_; }

 private:
  enum class State : std::uint8_t {
    waiting,     ///< to connect
    connecting,  ///< asked for
    greeting,    ///< its Hello is yet to come
    asking,      ///< the first part of the inventory is yet to come
    repairing,   ///< until reconciled()
    serving,
  };
  struct Batch {
    BatchId id;
    std::vector<Operation> operations;
    bool reconciles = false;
    /// Operations beyond the protocol's limits, by their place, are refused here.
    std::vector<std::size_t> refused;
    /// Messages it is sent in, and the results that have come.
    std::size_t messages = 0;
    std::vector<Result> results;
  };

  [[nodiscard]] auto make_batch(BatchId id, std::vector<Operation> operations, bool reconciles) -> Batch;
  void send_batch(Batch batch);
  void send(const control::Request& message) { control::append_frame(message, actions_.octets); }
  void answer_unreachable(const Batch& batch);
  void finish(Batch batch);
  /// The other side does what it may not, or says that it ends.
  void fail(TimePoint now, std::string_view reason);

  void take(TimePoint now, control::GatewayHello hello);
  void take(TimePoint now, control::InventoryPart part);
  void take(TimePoint now, control::BatchResult result);
  void take(TimePoint now, control::Events events);
  void take(TimePoint now, const control::Ping& ping);
  void take(TimePoint now, const control::Error& error);
  void take(TimePoint now, const control::Counters& counters);
  void take(TimePoint /*now*/, const control::PoolChanged& /*message*/) {}
  void take(TimePoint /*now*/, const control::Pong& /*message*/) {}
  /// Answers to questions that are not asked here.
  template <typename Other>
  void take(TimePoint now, const Other& /*message*/) {
    fail(now, "it answers what was not asked");
  }

  ConversationOptions options_;
  State state_ = State::waiting;
  Actions actions_;
  control::FrameReader reader_;
  TimePoint attempt_at_;
  Milliseconds retry_;
  TimePoint lost_at_;
  bool has_given_up_ = false;
  TimePoint heard_at_{};
  bool has_asked_ = false;
  bool is_inventory_whole_ = false;
  /// When the pool is asked about again; unless an answer is yet to come.
  std::optional<TimePoint> pool_asked_at_;
  std::vector<PoolUse> pool_use_;
  std::optional<std::uint64_t> gateway_boot_id_;
  std::string told_reason_;

  /// Sent, oldest first.
  std::deque<Batch> unanswered_;
  /// To be sent after reconciled().
  std::deque<Batch> parked_;
};

}  // namespace portolan::device
