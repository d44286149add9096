// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/script.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "io/signals.h"
#include "io/system.h"
#include "media/wav.h"
#include "portolan-phone/report.h"

namespace portolan::phone {
namespace {

constexpr Milliseconds pause_max = std::chrono::seconds{60};
constexpr Milliseconds close_time = std::chrono::seconds{4};

class Script {
 public:
  Script(const Options& options, sip::Phone& phone, Sound sound)
      : options_(options),
        phone_(phone),
        sound_(std::move(sound)),
        patience_(io::monotonic_now() + options.wait) {}

  auto run(io::Signals& signals) -> int {
    const auto watch = phone_.on_readable(signals.descriptor(), [&] {
      static_cast<void>(signals.take());
      is_over_ = true;
    });
    if (!options_.phone.is_registering) begin();
    while (!is_over_) {
      phone_.step(next_pause());
      tell_all();
      look_at_time();
    }
    phone_.close(close_time);
    tell_all();
    return status_;
  }

 private:
  [[nodiscard]] auto next_pause() const -> Nanoseconds {
    TimePoint next = io::monotonic_now() + pause_max;
    if (patience_) next = std::min(next, *patience_);
    for (const auto& [number, until] : hang_up_at_) next = std::min(next, until);
    return std::max(next - io::monotonic_now(), Nanoseconds{0});
  }

  void tell_all() {
    for (sip::PhoneEvent& event : phone_.take_events()) {
      // Without the first one this ends.
      if (!has_begun_) event.again_in.reset();
      fmt::print("{}\n", options_.is_json ? event_json(event) : event_text(event));
      static_cast<void>(std::fflush(stdout));
      take(event);
    }
    if (const auto followed = sound_.follow(phone_); !followed)
      fmt::print(stderr, "portolan-phone: {}\n", followed.error());
  }

  void begin() {
    if (has_begun_) return;
    has_begun_ = true;
    patience_.reset();
    if (!options_.call.empty()) call();
  }

  void call() {
    patience_ = io::monotonic_now() + options_.wait;
    const auto number = phone_.call(options_.call);
    if (!number) return fail(number.error());
    sound_.prepare(phone_, *number);
  }

  void fail(const std::string& text) {
    fmt::print(stderr, "portolan-phone: {}\n", text);
    status_ = exit_refused;
    is_over_ = true;
  }

  void take(const sip::PhoneEvent& event) {
    switch (event.kind) {
      case sip::PhoneEvent::Kind::registered: begin(); break;
      case sip::PhoneEvent::Kind::registration_failed:
        if (!has_begun_) fail(event_text(event));
        break;
      case sip::PhoneEvent::Kind::incoming:
        if (!options_.answers) {
          phone_.refuse(event.call);
          break;
        }
        sound_.prepare(phone_, event.call);
        phone_.answer(event.call);
        break;
      case sip::PhoneEvent::Kind::active:
        if (!options_.answers) patience_.reset();
        active_.insert(event.call);
        if (options_.duration) hang_up_at_[event.call] = io::monotonic_now() + *options_.duration;
        if (!options_.digits.empty() && !phone_.send_digits(event.call, options_.digits))
          fmt::print(stderr, "portolan-phone: the other side takes no digits, or '{}' are none\n",
                     options_.digits);
        break;
      case sip::PhoneEvent::Kind::ended: ended(event); break;
      default: break;
    }
  }

  void ended(const sip::PhoneEvent& event) {
    // Somebody who called meanwhile.
    if (!options_.answers && !event.view->is_outgoing) return;
    hang_up_at_.erase(event.call);
    const bool was_active = active_.erase(event.call) > 0;
    if (was_active) {
      if (const auto saved = save_recording(options_, event); !saved) fail(saved.error());
    }
    if (was_active) ++calls_had_;
    if (is_over_) return;
    if (options_.answers) {
      is_over_ = was_active && calls_had_ == options_.call_count;
    } else if (!was_active) {
      status_ = exit_refused;
      is_over_ = true;
    } else if (calls_had_ >= options_.call_count) {
      is_over_ = true;
    } else {
      call();
    }
  }

  void look_at_time() {
    const TimePoint now = io::monotonic_now();
    if (patience_ && *patience_ <= now) {
      patience_.reset();
      fail(has_begun_
               ? fmt::format("nobody answered within {} s", options_.wait.count() / 1000)
               : fmt::format("the SIP server did not answer within {} s", options_.wait.count() / 1000));
    }
    for (auto each = hang_up_at_.begin(); each != hang_up_at_.end();) {
      if (each->second > now) {
        ++each;
        continue;
      }
      phone_.hang_up(each->first);
      each = hang_up_at_.erase(each);
    }
  }

  const Options& options_;
  sip::Phone& phone_;
  Sound sound_;
  /// For the registration, then for an answer.
  std::optional<TimePoint> patience_;
  bool has_begun_ = false;
  bool is_over_ = false;
  int status_ = exit_success;
  unsigned calls_had_ = 0;
  std::set<unsigned> active_;
  std::map<unsigned, TimePoint> hang_up_at_;
};

}  // namespace

auto save_recording(const Options& options, const sip::PhoneEvent& ended)
    -> std::expected<void, std::string> {
  if (options.record.empty()) return {};
  std::filesystem::path path = options.record;
  if (ended.call > 1)
    path.replace_filename(
        fmt::format("{}-{}{}", path.stem().string(), ended.call, path.extension().string()));
  const auto file = media::encode_wav(ended.recording);
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  out.close();
  if (!out)
    return std::unexpected(
        fmt::format("{} can't be written: is its folder there, and the disk not full?", path.string()));
  return {};
}

auto run_script(const Options& options, sip::Phone& phone, Sound sound, io::Signals& signals) -> int {
  return Script(options, phone, std::move(sound)).run(signals);
}

}  // namespace portolan::phone
