// SPDX-License-Identifier: BSD-2-Clause
//
// The gateway's side of the NAT control protocol (control/nat_control.proto): serves a server that drives the
// NAT64, and operators who look at it.
#pragma once

#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "control/codec.h"
#include "control/messages.h"
#include "device/nat64/nat64_device.h"
#include "io/event_loop.h"
#include "io/stream.h"

namespace portolan::gateway {

class ControlServer {
 public:
  /// Connections at a time; more are closed at once.
  static constexpr std::size_t connections_max = 32;
  /// Batches with the device; a server that sends more waits.
  static constexpr std::size_t batches_max = 256;
  /// Octets that wait for a slow reader beyond which no further rows are asked of the device.
  static constexpr std::size_t rows_queued_max = std::size_t{1} << 20U;
  /// An owner that another server wants to replace has so long to say that it is there.
  static constexpr Seconds owner_answer_max{2};

  /// `hello` is what clients are told of the gateway. Until a server says Reconciled, or `reconcile_grace`
  /// has passed, flows from inside get no external ports, so that a server that comes back finds those it
  /// promised. `loop` and `device` outlive this; the device's completion and event handler call completed()
  /// and happened().
  ControlServer(io::EventLoop& loop, device::Nat64Device& device, control::GatewayHello hello,
                Seconds reconcile_grace);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  auto operator=(const ControlServer&) -> ControlServer& = delete;

  /// Errors  text for the operator
  [[nodiscard]] auto listen(const io::StreamAddress& address, const io::TlsIdentity& identity)
      -> std::expected<io::StreamAddress, std::string>;
  /// Shows `identity` to who connects over TLS from now on, and asks for its authorities' certificates.
  void set_identity(const io::TlsIdentity& identity);

  void completed(const std::vector<device::Result>& results);
  void happened(const std::vector<device::Event>& events);
  /// The gateway's pool has changed: the device knows it already.
  void pool_changed(std::vector<nat::PoolRange> pool);

  [[nodiscard]] auto is_reconciled() const -> bool { return !hello_.awaits_reconciliation; }
  [[nodiscard]] auto has_owner() const -> bool { return owner_ != 0; }
  [[nodiscard]] auto connections() const -> std::size_t { return connections_.size(); }

 private:
  using Number = std::uint64_t;  ///< of a connection; 0: none

  struct Connection {
    io::Stream stream;
    control::FrameReader reader;
    bool has_greeted = false;
    bool is_finished = false;
    std::function<void()> next_part;  ///< asks for more of what is being shown, or of the inventory
    bool is_part_due = false;         ///< next_part waits until the other side has read
  };
  struct Applied {
    Number connection;
    device::BatchId batch;
  };

  void accepted(io::Stream stream);
  void serve(Number number);
  void closed(Number number, const std::string& reason);
  void handle(Number number, control::Request request);
  void handle(Number number, control::ClientHello& hello);
  void handle(Number number, control::InventoryRequest& request);
  void handle(Number number, control::Batch& batch);
  void handle(Number number, control::Reconciled& reconciled);
  void handle(Number number, control::Ping& ping);
  void handle(Number number, control::Pong& pong);
  void handle(Number number, control::Query& query);
  void handle(Number number, control::TraceQuery& query);

  void send(Number number, const control::Reply& reply);
  void refuse(Number number, control::ErrorCode code, std::string text, control::QueryNumber query = {});
  /// The same, and the connection ends.
  void expel(Number number, control::ErrorCode code, std::string text);
  [[nodiscard]] auto is_owner(Number number, std::string_view what) -> bool;
  void make_owner(Number number);
  void end_candidacy();
  void allow_implicit(std::string_view why);

  [[nodiscard]] auto find(Number number) -> Connection*;
  /// Whether another answer in parts may begin.
  [[nodiscard]] auto may_begin(Number number, control::QueryNumber query) -> bool;
  void part_sent(Number number, bool is_last);
  void inventory_from(Number number, device::Nat64Device::Cursor from);
  template <typename Row>
  void rows_from(Number number, const control::Query& query, device::Nat64Device::Cursor from);

  io::EventLoop& loop_;
  device::Nat64Device& device_;
  control::GatewayHello hello_;
  io::Timer grace_;
  io::Timer candidacy_;
  std::vector<io::StreamListener> listeners_;
  std::map<Number, Connection> connections_;
  Number last_number_ = 0;
  Number owner_ = 0;
  Number candidate_ = 0;
  std::uint64_t ping_token_ = 0;
  std::uint64_t last_batch_ = 0;
  std::deque<Applied> applied_;
  std::vector<std::byte> frame_;  // kept for its memory
  /// Lives as long as this; answers of the device find out.
  std::shared_ptr<bool> is_here_ = std::make_shared<bool>(true);
};

}  // namespace portolan::gateway
