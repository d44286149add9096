// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/workers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include "base/check.h"
#include "io/rights.h"
#include "io/wakeup.h"
#include "nat/udp_gather.h"

namespace portolan::device {
namespace {

// Packets between two looks at tasks and timers: some 100 µs.
constexpr int packets_per_turn = 64;
constexpr std::size_t buffer_size = nat::Frame::headroom_min + io::Tun::buffer_bytes;
// Looks at a taken lock before the thread sleeps: who has it mostly needs less than going to sleep takes.
constexpr int looks_before_sleep = 32;

static_assert(sizeof(nat::Offload) == PacketLink::header_size);
// A packet that grew into the headroom still has room for its header.
static_assert(nat::Frame::headroom_min >= PacketLink::header_size + std::size_t{2} * nat::header_growth);

}  // namespace

Workers::Turn::Turn(Workers& workers, TimePoint now) : workers_(workers) {
  if (workers.is_shared_ && !workers.engine_mutex_.try_lock()) {
    for (int looks = 0; !workers.engine_mutex_.try_lock(); std::this_thread::yield())
      if (++looks == looks_before_sleep) {
        workers.engine_mutex_.lock();
        break;
      }
    ++workers.turns_waited_;
  }
  workers.latest_ = std::max(workers.latest_, now);
}

Workers::Turn::~Turn() {
  if (workers_.is_shared_) workers_.engine_mutex_.unlock();
}

class Workers::Worker {
 public:
  Worker(Workers& all, std::unique_ptr<PacketLink> link, bool is_first)
      : all_(all), link_(std::move(link)), is_first_(is_first), buffer_(buffer_size) {}

  ~Worker() { stop(); }
  Worker(const Worker&) = delete;
  auto operator=(const Worker&) -> Worker& = delete;

  void start() {
    thread_ = std::thread([this] {
      io::give_up_all();
      run();
    });
  }
  void wake() { wakeup_.signal(); }
  /// Ends the thread, and lets the others end.
  void stop() {
    all_.is_stopping_ = true;
    wake();
    if (thread_.joinable()) thread_.join();
  }
  void add_to(WorkerCounters& sum) const {
    sum.read_by_worker.push_back(packets_read_.load(std::memory_order_relaxed));
    sum.packets_read += sum.read_by_worker.back();
    sum.packets_unread += packets_unread_.load(std::memory_order_relaxed);
    sum.packets_unsent += packets_unsent_.load(std::memory_order_relaxed);
  }

 private:
  /// A packet of the engine's own, behind room for its header.
  struct Output {
    std::array<std::byte, PacketLink::header_size + nat::ipv6::minimum_mtu> octets{};
    std::size_t size = 0;
  };

  void run();
  /// What is due, if this is the worker for that; returns until when it may sleep.
  [[nodiscard]] auto serve_timers(TimePoint now) -> std::optional<TimePoint>;
  void serve_tasks();
  /// Returns whether more packets may be waiting.
  [[nodiscard]] auto serve_packets() -> bool;
  /// Has the engine translate `frame`, and takes it into memory of this worker.
  [[nodiscard]] auto translate(TimePoint now, nat::Frame& frame) -> nat::Action;
  void write(nat::Frame& frame);
  /// Takes what the engine has to send, to be written when others may use the engine again.
  void take_outputs(nat::Nat64& engine);
  void write_outputs();

  /// Only this thread counts.
  static void count(std::atomic<std::uint64_t>& counter) {
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  Workers& all_;
  std::unique_ptr<PacketLink> link_;
  bool is_first_;
  std::vector<std::byte> buffer_;
  nat::UdpGather gather_;
  std::vector<Output> outputs_{nat::Nat64::outputs_max};
  std::size_t output_count_ = 0;
  std::atomic<std::uint64_t> packets_read_ = 0;
  std::atomic<std::uint64_t> packets_unread_ = 0;
  std::atomic<std::uint64_t> packets_unsent_ = 0;
  io::Wakeup wakeup_;
  std::thread thread_;
};

Workers::Workers(const nat::Config& config, std::vector<std::unique_ptr<PacketLink>> links,
                 std::unique_ptr<Random> random, std::function<TimePoint()> clock, bool is_open)
    : random_(std::move(random)),
      clock_(std::move(clock)),
      is_shared_(links.size() > 1),
      is_open_(is_open),
      engine_(config, *random_) {
  PORTOLAN_CHECK(!links.empty() && links.size() <= workers_max);
  for (std::unique_ptr<PacketLink>& link : links)
    workers_.push_back(std::make_unique<Worker>(*this, std::move(link), workers_.empty()));
  for (const auto& worker : workers_) worker->start();
}

Workers::~Workers() {
  is_stopping_ = true;
  wake_all();
  for (const auto& worker : workers_) worker->stop();
}

void Workers::submit(Task task) {
  bool was_empty = false;
  {
    const std::scoped_lock lock(mutex_);
    was_empty = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (was_empty) workers_.front()->wake();
}

auto Workers::take_tasks() -> std::vector<Task> {
  const std::scoped_lock lock(mutex_);
  return std::exchange(tasks_, {});
}

void Workers::open() {
  submit([this](TimePoint, nat::Nat64&) {
    is_open_ = true;
    wake_all();
  });
}

void Workers::wake_all() {
  for (const auto& worker : workers_) worker->wake();
}

auto Workers::counters() const -> WorkerCounters {
  WorkerCounters sum;
  for (const auto& worker : workers_) worker->add_to(sum);
  const std::scoped_lock lock(mutex_);
  sum.nat = published_;
  sum.turns_waited = published_waits_;
  return sum;
}

void Workers::Worker::run() {
  bool more = true;
  for (;;) {
    const TimePoint now = all_.clock_();
    const auto deadline = serve_timers(now);
    std::optional<Nanoseconds> timeout;
    if (more)
      timeout = Nanoseconds{0};
    else if (deadline)
      timeout = *deadline - now;
    const auto woken = wakeup_.wait(all_.is_open_ ? link_->descriptor() : -1, timeout);
    if (all_.is_stopping_) return;
    if (woken.signalled && is_first_) serve_tasks();
    more = woken.readable && serve_packets();
  }
}

auto Workers::Worker::serve_timers(TimePoint now) -> std::optional<TimePoint> {
  std::optional<TimePoint> deadline;
  {
    // Whoever used the engine last comes by here before it sleeps: the first worker always wakes in time,
    // and what is published is never older than what was before.
    Turn turn(all_, now);
    if (is_first_) {
      turn.engine().advance(turn.now());
      take_outputs(turn.engine());
    }
    deadline = turn.engine().next_deadline();
    if (is_first_) {
      all_.alarm_ = deadline.value_or(TimePoint::max());
    } else if (deadline && *deadline < all_.alarm_) {
      all_.alarm_ = *deadline;
      all_.workers_.front()->wake();
    }
    const nat::Counters counters = turn.engine().counters();
    const std::scoped_lock lock(all_.mutex_);
    all_.published_ = counters;
    all_.published_waits_ = all_.turns_waited_;
  }
  if (!is_first_) return std::nullopt;
  write_outputs();
  return deadline;
}

void Workers::Worker::serve_tasks() {
  for (const Task& task : all_.take_tasks()) {
    {
      Turn turn(all_, all_.clock_());
      task(turn.now(), turn.engine());
      take_outputs(turn.engine());
    }
    write_outputs();
  }
}

auto Workers::Worker::serve_packets() -> bool {
  // The header lies right before the packet, on the way in and on the way out: nothing is copied.
  const auto into = std::span(buffer_).subspan(nat::Frame::headroom_min - PacketLink::header_size);
  const TimePoint now = all_.clock_();
  const bool gathers = link_->takes_udp_superpackets();
  const auto send = [this](nat::Frame& frame) { write(frame); };
  bool is_drained = false;
  for (int i = 0; i < packets_per_turn; ++i) {
    const std::size_t octets = link_->read(into);
    if (octets == 0) {
      is_drained = true;
      break;
    }
    count(packets_read_);
    if (octets < PacketLink::header_size) {
      count(packets_unread_);
      continue;
    }
    nat::Frame frame{.buffer = buffer_,
                     .offset = nat::Frame::headroom_min,
                     .size = octets - PacketLink::header_size,
                     .offload = {}};
    std::memcpy(&frame.offload, into.data(), sizeof frame.offload);
    const nat::Action action = translate(now, frame);
    if (action == nat::Action::forward && gathers)
      gather_.add(frame, send);
    else if (action == nat::Action::forward || action == nat::Action::leave)
      send(frame);
    write_outputs();
  }
  gather_.flush(send);
  return !is_drained;
}

auto Workers::Worker::translate(TimePoint now, nat::Frame& frame) -> nat::Action {
  Turn turn(all_, now);
  const nat::Action action = turn.engine().process(turn.now(), frame).action;
  take_outputs(turn.engine());
  // What came in fragments is in memory of the engine, until anybody's next packet.
  const bool goes_on = action == nat::Action::forward || action == nat::Action::leave;
  if (goes_on && all_.is_shared_ && frame.buffer.data() != buffer_.data()) {
    const auto into = std::span(buffer_).subspan(nat::Frame::headroom_min);
    PORTOLAN_CHECK(frame.size <= into.size());
    std::ranges::copy(frame.packet(), into.begin());
    frame.buffer = buffer_;
    frame.offset = nat::Frame::headroom_min;
  }
  return action;
}

void Workers::Worker::write(nat::Frame& frame) {
  const auto out =
      frame.buffer.subspan(frame.offset - PacketLink::header_size, frame.size + PacketLink::header_size);
  std::memcpy(out.data(), &frame.offload, sizeof frame.offload);
  if (!link_->write(out)) count(packets_unsent_);
}

void Workers::Worker::take_outputs(nat::Nat64& engine) {
  for (auto output = engine.output(); !output.empty(); output = engine.output()) {
    Output& taken = outputs_[output_count_++];
    std::ranges::copy(output, taken.octets.begin() + PacketLink::header_size);
    taken.size = PacketLink::header_size + output.size();
    engine.pop_output();
  }
}

void Workers::Worker::write_outputs() {
  for (const Output& output : std::span(outputs_).first(std::exchange(output_count_, 0)))
    if (!link_->write(std::span(output.octets).first(output.size))) count(packets_unsent_);
}

}  // namespace portolan::device
