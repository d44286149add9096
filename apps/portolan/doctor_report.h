// SPDX-License-Identifier: BSD-2-Clause
//
// How `portolan doctor` tells what it finds, step by step: findings on standard output as they come, and what
// it is at on standard error: a spinner on a terminal, a line elsewhere.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "portolan/doctor_findings.h"

namespace portolan::doctor {

/// Shows that something is going on, for as long as it lives.
class Progress {
 public:
  /// On a terminal `text` turns; else it is a line.
  Progress(std::string text, bool is_shown);
  Progress(const Progress&) = delete;
  auto operator=(const Progress&) -> Progress& = delete;
  /// Leaves no trace on a terminal.
  ~Progress();

 private:
  void show(std::size_t frame) const;
  void turn();

  std::string text_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_ended_ = false;
  std::thread thread_;
};

class Report {
 public:
  explicit Report(bool is_json) : is_json_(is_json) {}

  [[nodiscard]] auto begin(const std::string& text) const -> Progress { return {text, !is_json_}; }
  /// Tells them, or keeps them for the object.
  void add(const Findings& findings);
  void add(const std::vector<ServerSeen>& servers);
  /// This host does not even say what it has.
  void fail(const std::string& error) const;
  /// The last line, or the object. Whether all was well.
  auto finish() -> bool;

 private:
  bool is_json_;
  Findings findings_;
  std::vector<ServerSeen> servers_;
};

/// "good     ...", "PROBLEM  ..." with the remedy below. Ends its lines.
[[nodiscard]] auto text_of(const Finding& finding) -> std::string;
/// The object, without line end.
[[nodiscard]] auto json_of(const Findings& findings, const std::vector<ServerSeen>& servers) -> std::string;

}  // namespace portolan::doctor
