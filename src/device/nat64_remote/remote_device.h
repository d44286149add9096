// SPDX-License-Identifier: BSD-2-Clause
//
// A NAT64 in another process as a device: `device = "nat64-remote"`. Conversation knows what to say; this
// gives it a stream and the time.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "device/device.h"
#include "device/nat64_remote/conversation.h"
#include "io/event_loop.h"
#include "io/stream.h"

namespace portolan::device {

class RemoteDevice final : public Device {
 public:
  /// All are called on the loop's thread, never from within a call of this class.
  struct Handlers {
    Completion completion;
    EventHandler events;
    /// The NAT64 is there (again): what it has, in parts.
    InventoryHandler inventory;
    /// For the operator.
    std::function<void(const Conversation::Note&)> note;
  };

  /// Begins to connect, and goes on to whenever there is no connection. `loop` outlives this.
  RemoteDevice(io::EventLoop& loop, io::StreamAddress address, io::TlsIdentity identity,
               ConversationOptions options, Handlers handlers);
  ~RemoteDevice() override;
  RemoteDevice(const RemoteDevice&) = delete;
  auto operator=(const RemoteDevice&) -> RemoteDevice& = delete;

  void apply(BatchId batch, std::vector<Operation> operations) override;
  void reconcile(BatchId batch, std::vector<Operation> operations) override;
  void reconciled() override;

  /// Shows `identity` when it connects the next time.
  void set_identity(io::TlsIdentity identity) { identity_ = std::move(identity); }

  /// Whether it has told what it has, so that it carries out batches.
  [[nodiscard]] auto is_in_reach() const -> bool { return conversation_.is_in_reach(); }
  /// Whether the NAT64 is there and has all that was promised.
  [[nodiscard]] auto is_serving() const -> bool { return conversation_.is_serving(); }
  /// As of some seconds ago; empty: it does not serve, or does not tell.
  [[nodiscard]] auto pool_use() const -> std::vector<PoolUse> { return conversation_.pool_use(); }

 private:
  void connect();
  /// Has carry_out() called soon, from the loop.
  void carry_out_later();
  void carry_out();

  io::EventLoop& loop_;
  io::StreamAddress address_;
  io::TlsIdentity identity_;
  Handlers handlers_;
  Conversation conversation_;
  io::Stream stream_;
  io::Timer timer_;
  bool is_posted_ = false;
  /// What is posted finds out whether this still exists.
  std::shared_ptr<bool> exists_ = std::make_shared<bool>(true);
};

}  // namespace portolan::device
