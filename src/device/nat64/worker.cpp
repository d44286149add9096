// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/worker.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace portolan::device {
namespace {

// Packets between two looks at tasks and timers: some 100 µs.
constexpr int packets_per_turn = 64;
constexpr std::size_t buffer_size = nat::Frame::headroom_min + io::Tun::buffer_bytes;

static_assert(sizeof(nat::Offload) == PacketLink::header_size);
// A packet that grew into the headroom still has room for its header.
static_assert(nat::Frame::headroom_min >= PacketLink::header_size + std::size_t{2} * nat::header_growth);

}  // namespace

Worker::Worker(const nat::Config& config, std::unique_ptr<PacketLink> link, std::unique_ptr<Random> random,
               std::function<TimePoint()> clock, bool is_open)
    : random_(std::move(random)),
      link_(std::move(link)),
      clock_(std::move(clock)),
      engine_(config, *random_),
      buffer_(buffer_size),
      is_open_(is_open),
      thread_([this] { run(); }) {}

Worker::~Worker() {
  {
    const std::scoped_lock lock(mutex_);
    is_stopping_ = true;
  }
  wakeup_.signal();
  thread_.join();
}

void Worker::submit(Task task) {
  bool was_empty = false;
  {
    const std::scoped_lock lock(mutex_);
    was_empty = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (was_empty) wakeup_.signal();
}

void Worker::open() {
  submit([this](TimePoint, nat::Nat64&) { is_open_ = true; });
}

auto Worker::counters() const -> WorkerCounters {
  const std::scoped_lock lock(mutex_);
  return published_;
}

void Worker::run() {
  bool more = true;
  for (;;) {
    const TimePoint now = clock_();
    engine_.advance(now);
    write_outputs();
    publish_counters();
    std::optional<Nanoseconds> timeout;
    if (more)
      timeout = Nanoseconds{0};
    else if (const auto deadline = engine_.next_deadline())
      timeout = *deadline - now;
    const auto woken = wakeup_.wait(is_open_ ? link_->descriptor() : -1, timeout);
    if (woken.signalled) {
      {
        const std::scoped_lock lock(mutex_);
        if (is_stopping_) return;
      }
      serve_tasks();
    }
    more = woken.readable && serve_packets();
  }
}

void Worker::serve_tasks() {
  std::vector<Task> tasks;
  {
    const std::scoped_lock lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const Task& task : tasks) task(clock_(), engine_);
  write_outputs();
}

auto Worker::serve_packets() -> bool {
  // The header lies right before the packet, on the way in and on the way out: nothing is copied.
  const auto into = std::span(buffer_).subspan(nat::Frame::headroom_min - PacketLink::header_size);
  const TimePoint now = clock_();
  const bool gathers = link_->takes_udp_superpackets();
  const auto send = [this](nat::Frame& frame) { write(frame); };
  bool is_drained = false;
  for (int i = 0; i < packets_per_turn; ++i) {
    const std::size_t octets = link_->read(into);
    if (octets == 0) {
      is_drained = true;
      break;
    }
    ++counters_.packets_read;
    if (octets < PacketLink::header_size) {
      ++counters_.packets_unread;
      continue;
    }
    nat::Frame frame{.buffer = buffer_,
                     .offset = nat::Frame::headroom_min,
                     .size = octets - PacketLink::header_size,
                     .offload = {}};
    std::memcpy(&frame.offload, into.data(), sizeof frame.offload);
    if (engine_.process(now, frame).action == nat::Action::forward)
      gathers ? gather_.add(frame, send) : send(frame);
    write_outputs();
  }
  gather_.flush(send);
  return !is_drained;
}

void Worker::write(nat::Frame& frame) {
  const auto out =
      frame.buffer.subspan(frame.offset - PacketLink::header_size, frame.size + PacketLink::header_size);
  std::memcpy(out.data(), &frame.offload, sizeof frame.offload);
  if (!link_->write(out)) ++counters_.packets_unsent;
}

void Worker::write_outputs() {
  for (auto output = engine_.output(); !output.empty(); output = engine_.output()) {
    std::array<std::byte, PacketLink::header_size + nat::ipv6::minimum_mtu> packet{};
    std::ranges::copy(output, packet.begin() + PacketLink::header_size);
    if (!link_->write(std::span(packet).first(PacketLink::header_size + output.size())))
      ++counters_.packets_unsent;
    engine_.pop_output();
  }
}

void Worker::publish_counters() {
  counters_.nat = engine_.counters();
  const std::scoped_lock lock(mutex_);
  published_ = counters_;
}

}  // namespace portolan::device
