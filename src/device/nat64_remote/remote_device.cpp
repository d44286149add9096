// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64_remote/remote_device.h"

#include <utility>
#include <variant>

#include "io/system.h"

namespace portolan::device {

RemoteDevice::RemoteDevice(io::EventLoop& loop, io::StreamAddress address, io::TlsIdentity identity,
                           ConversationOptions options, Handlers handlers)
    : loop_(loop),
      address_(std::move(address)),
      identity_(std::move(identity)),
      handlers_(std::move(handlers)),
      conversation_(io::monotonic_now(), std::move(options)),
      timer_(loop.timer([this] {
        conversation_.advance(io::monotonic_now());
        carry_out();
      })) {
  carry_out_later();
}

RemoteDevice::~RemoteDevice() { *exists_ = false; }

void RemoteDevice::apply(BatchId batch, std::vector<Operation> operations) {
  conversation_.apply(batch, std::move(operations));
  carry_out_later();
}

void RemoteDevice::reconcile(BatchId batch, std::vector<Operation> operations) {
  conversation_.reconcile(batch, std::move(operations));
  carry_out_later();
}

void RemoteDevice::reconciled() {
  conversation_.reconciled();
  carry_out_later();
}

void RemoteDevice::connect() {
  stream_ = io::Stream::connect(loop_, address_, identity_,
                                {.opened =
                                     [this] {
                                       conversation_.connected(io::monotonic_now());
                                       carry_out();
                                     },
                                 .received =
                                     [this](std::span<const std::byte> octets) {
                                       conversation_.received(io::monotonic_now(), octets);
                                       carry_out();
                                     },
                                 .drained = [] {},
                                 .closed =
                                     [this](const std::string& reason) {
                                       conversation_.disconnected(io::monotonic_now(), reason);
                                       carry_out();
                                     }});
}

void RemoteDevice::carry_out_later() {
  if (std::exchange(is_posted_, true)) return;
  loop_.post([this, exists = exists_] {
    if (*exists) carry_out();
  });
}

void RemoteDevice::carry_out() {
  is_posted_ = false;
  const Conversation::Actions actions = conversation_.take_actions();
  for (const Conversation::Note& note : actions.notes) handlers_.note(note);
  if (actions.close) stream_.close();
  if (actions.connect) connect();
  if (!actions.octets.empty()) stream_.send(actions.octets);
  for (const auto& told : actions.told) {
    if (const auto* answer = std::get_if<Conversation::Answer>(&told))
      handlers_.completion(answer->batch, answer->results);
    else if (const auto* events = std::get_if<std::vector<Event>>(&told))
      handlers_.events(*events);
    else
      handlers_.inventory(std::get<Inventory>(told));
  }
  if (const auto deadline = conversation_.next_deadline())
    timer_.arm(*deadline);
  else
    timer_.disarm();
}

}  // namespace portolan::device
