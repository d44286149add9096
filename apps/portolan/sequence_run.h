// SPDX-License-Identifier: BSD-2-Clause
//
// Steps one after the other, driven by an event loop.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/event_loop.h"
#include "io/system.h"
#include "portolan/lines.h"
#include "portolan/options.h"
#include "portolan/sequence.h"

namespace portolan {

/// What became of a step.
struct StepReport {
  /// From 0.
  std::size_t number = 0;
  /// Sentences; none: it is as expected.
  std::vector<std::string> differences;
  /// "MAP SUCCESS"; "nothing" if none came.
  std::string answer;
  /// Of the answer, if something was sent.
  std::optional<Nanoseconds> latency;
};

class SequenceRun {
 public:
  /// `reported` is called for each step, `ended` after the last; the run may be destroyed in there.
  SequenceRun(io::EventLoop& loop, Lines& lines, Sequence sequence, ServerOptions defaults,
              std::function<void(const StepReport&)> reported, std::function<void()> ended);
  SequenceRun(const SequenceRun&) = delete;
  auto operator=(const SequenceRun&) -> SequenceRun& = delete;

  void start();
  /// What the lines heard.
  void heard(const Traffic& traffic);

 private:
  enum class State : std::uint8_t { pausing, waiting, ended };

  void begin();
  void send();
  void timed_out();
  void take(const Traffic& answer);
  void finish(std::vector<std::string> differences, const Traffic* answer);
  [[nodiscard]] auto step() const -> const Step& { return sequence_.steps[number_]; }
  /// How long the step waits for an answer.
  [[nodiscard]] auto timeout() const -> Seconds;
  /// `text` with ${variables} replaced. Errors  text: one that no step has saved
  [[nodiscard]] auto filled(const std::string& text) const -> std::expected<std::string, std::string>;

  Lines& lines_;
  Sequence sequence_;
  ServerOptions defaults_;
  std::function<void(const StepReport&)> reported_;
  std::function<void()> ended_;
  io::SystemRandom random_;
  io::Timer timer_;
  State state_ = State::ended;
  std::size_t number_ = 0;
  /// Saved by steps; "client" and "server" are the addresses that the defaults lead to.
  std::map<std::string, std::string> variables_;
  /// Fields of the step, with variables replaced.
  std::vector<ExpectedField> fields_;
  std::optional<Traffic> sent_;
  /// Of a step that listens: why the last thing heard was not it.
  std::vector<std::string> unlike_;
};

}  // namespace portolan
