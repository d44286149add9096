// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan send --sequence`: steps of a file, and whether each was answered as expected.
#include <csignal>
#include <cstdio>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/capture/capture_file.h"
#include "io/event_loop.h"
#include "portolan/commands.h"
#include "portolan/dissection_report.h"
#include "portolan/lines.h"
#include "portolan/sequence.h"
#include "portolan/sequence_run.h"

namespace portolan {
namespace {

auto milliseconds(Nanoseconds time) -> double {
  return std::chrono::duration<double, std::milli>(time).count();
}

/// Says what happens, and writes it down.
class Account {
 public:
  Account(const SendCommand& command, const Sequence& sequence, std::optional<io::CaptureWriter> capture)
      : command_(command), sequence_(sequence), capture_(std::move(capture)) {}

  void title() const {
    if (command_.common.is_json) return;
    fmt::print("{}\n", sequence_.name);
    if (!sequence_.before.empty()) fmt::print("  Before: {}\n", sequence_.before);
    std::fflush(stdout);
  }

  /// Errors  text: the capture cannot be written
  [[nodiscard]] auto passed(const Traffic& traffic) -> std::expected<void, std::string> {
    if (start_ == TimePoint{}) start_ = traffic.time;
    if (command_.common.is_json) {
      nlohmann::ordered_json json{{"event", to_string(traffic.kind)},
                                  {"milliseconds", milliseconds(traffic.time - start_)},
                                  {"source", to_string(traffic.source)},
                                  {"destination", to_string(traffic.destination)}};
      json.update(dissection_json(traffic.payload));
      fmt::print("{}\n", json.dump());
    } else if (command_.common.is_verbose) {
      fmt::print("{:.3f} ms: {} by {} to {}:\n{}", milliseconds(traffic.time - start_),
                 to_string(traffic.kind), traffic.source, traffic.destination,
                 octets_table(traffic.payload, 2));
    }
    if (!capture_) return {};
    return capture_->write({.wall_time = traffic.wall_time,
                            .source = traffic.source,
                            .destination = traffic.destination,
                            .payload = traffic.payload});
  }

  void troubled(const Endpoint& server, const std::string& problem) const {
    fmt::print(stderr, "portolan: {}: {}\n", server, problem);
  }

  void reported(const StepReport& report) {
    ++done_;
    if (!report.differences.empty()) ++failed_;
    const Step& step = sequence_.steps[report.number];
    if (command_.common.is_json) {
      nlohmann::ordered_json json{{"event", "step"},         {"number", report.number + 1},
                                  {"name", step.name},       {"passed", report.differences.empty()},
                                  {"answer", report.answer}, {"differences", report.differences}};
      if (report.latency) json["milliseconds"] = milliseconds(*report.latency);
      fmt::print("{}\n", json.dump());
    } else {
      show(step, report);
    }
    // Whoever reads on waits for what it says of this step.
    std::fflush(stdout);
  }

  static void show(const Step& step, const StepReport& report) {
    fmt::print("  {} {}: {}", report.differences.empty() ? "ok    " : "FAILED", step.name, report.answer);
    if (report.latency) fmt::print(", {:.3f} ms", milliseconds(*report.latency));
    fmt::print("\n");
    for (const std::string& difference : report.differences) fmt::print("         {}\n", difference);
  }

  /// Exit status.
  [[nodiscard]] auto summarise() const -> int {
    const std::size_t left = sequence_.steps.size() - done_;
    if (command_.common.is_json)
      fmt::print(
          "{}\n",
          nlohmann::ordered_json{
              {"event", "summary"}, {"steps", sequence_.steps.size()}, {"failed", failed_}, {"not-run", left}}
              .dump());
    else
      fmt::print("{} steps, {} failed, {} not run\n", sequence_.steps.size(), failed_, left);
    return failed_ == 0 && left == 0 ? exit_success : exit_refused;
  }

 private:
  const SendCommand& command_;
  const Sequence& sequence_;
  std::optional<io::CaptureWriter> capture_;
  TimePoint start_{};
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
};

auto fail(const std::string& text) -> int {
  fmt::print(stderr, "portolan: {}\n", text);
  return exit_usage;
}

/// Name and title of each that comes with the program.
auto list_sequences(bool is_json) -> int {
  for (const auto& [name, text] : built_in_sequences()) {
    const auto sequence = read_toml_sequence(text);
    const std::string title = sequence ? sequence->name : sequence.error();
    if (is_json)
      fmt::print("{}\n", nlohmann::ordered_json{{"sequence", name}, {"name", title}}.dump());
    else
      fmt::print("{:18}{}\n", name, title);
  }
  return exit_success;
}

}  // namespace

auto run_sequence(const SendCommand& command) -> int {
  if (command.sequence == sequence_list_word) return list_sequences(command.common.is_json);
  const auto sequence = load_sequence(command.sequence);
  if (!sequence) return fail("--sequence " + sequence.error());
  std::optional<io::CaptureWriter> capture;
  if (!command.capture.empty()) {
    auto opened = io::CaptureWriter::open(command.capture);
    if (!opened) return fail("--pcap " + opened.error());
    capture.emplace(*std::move(opened));
  }
  Account account(command, *sequence, std::move(capture));
  io::EventLoop loop;
  std::string failure;
  std::optional<SequenceRun> run;
  Lines lines(loop, {.passed =
                         [&](const Traffic& traffic) {
                           if (const auto written = account.passed(traffic); !written) {
                             failure = "--pcap " + written.error();
                             return loop.stop();
                           }
                           run->heard(traffic);
                         },
                     .troubled = [&](const Endpoint& server,
                                     const std::string& problem) { account.troubled(server, problem); }});
  // Who else hears announcements here need not share the port.
  static_cast<void>(lines.hear_announcements());
  run.emplace(
      loop, lines, *sequence, command.common,
      [&account](const StepReport& report) { account.reported(report); }, [&loop] { loop.stop(); });
  const auto interrupt = loop.on_signal({SIGINT, SIGTERM}, [&loop](int) { loop.stop(); });
  account.title();
  run->start();
  loop.run();
  if (!failure.empty()) return fail(failure);
  return account.summarise();
}

}  // namespace portolan
