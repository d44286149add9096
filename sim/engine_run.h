// SPDX-License-Identifier: BSD-2-Clause
//
// One run of the PCP server engine with a simulated NAT and a store: hosts ask anything, device and store
// answer when they like, refuse and fail, external addresses come and go, the device goes out of reach and
// comes back with what it had or with nothing, the operator adds, changes and deletes, time passes. For the
// simulator, which decides by a seed, and the fuzzer, which decides by its input.
//
// After every step the engine's own invariants hold. Beyond these:
// - a request that goes through alone gets its answers in its own format; an error answer changes
//   nothing, and what a success answer says is what the table has;
// - when all is quiet, every request was answered or counted as dropped, and every operation of the
// operator's
//   has ended once;
// - when the store works besides, server, device and store agree;
// - a device that comes back, with the addresses that it had, moves and loses nothing.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "server/test_world.h"
#include "sim/asks.h"
#include "sim/choices.h"

namespace portolan::sim {

class EngineRun {
 public:
  /// The configuration is the first of the `choices`, which outlive this.
  explicit EngineRun(Choices& choices);

  /// One step and its checks. Returns what doesn't hold.
  auto step() -> std::optional<std::string>;
  /// Lets everything become quiet with a working store, and compares server, device and store.
  auto quiesce() -> std::optional<std::string>;
  /// Without requests everything comes to its end, everywhere.
  auto run_out() -> std::optional<std::string>;

  [[nodiscard]] auto answered() const -> std::uint64_t { return answered_; }
  [[nodiscard]] auto world() const -> const server::World& { return world_; }

 private:
  auto act() -> std::optional<std::string>;
  void deliver();
  void manage();
  void change_users();
  void change_mappings();
  void reload();
  void begun(const std::expected<server::OperationId, server::Failure>& operation);
  [[nodiscard]] auto wrong_listing() const -> std::optional<std::string>;
  [[nodiscard]] auto wrong_operations() const -> std::optional<std::string>;
  void change_pool();
  void outbound();
  void lose_device();
  [[nodiscard]] auto is_settled() const -> bool;
  /// How many mappings the device moved, lost, or would not restore.
  [[nodiscard]] auto disturbed() const -> std::uint64_t;
  [[nodiscard]] auto bring_back() -> std::optional<std::string>;
  auto ask_alone() -> std::optional<std::string>;
  void count_answers();
  [[nodiscard]] auto miscounted() const -> std::optional<std::string>;
  [[nodiscard]] auto unmapped() const -> std::optional<std::string>;
  [[nodiscard]] auto is_due() const -> bool;

  Choices& choices_;
  /// With port sets a request may be about several mappings and have as many answers.
  bool has_port_sets_;
  server::Config config_;
  server::World world_;
  bool has_operator_;
  /// Operations that were not refused at once.
  std::uint64_t begun_ = 0;
  std::vector<IpAddress> pool_{external_address(0)};
  /// External addresses changed while the device was out of reach, or something was under way.
  bool has_missed_events_ = false;
  /// The device began anew, and is not reconciled yet: it gives ports to nobody else.
  bool is_gated_ = false;
  std::vector<Ask> network_;
  std::uint64_t asked_ = 0;
  std::uint64_t answered_ = 0;
};

}  // namespace portolan::sim
