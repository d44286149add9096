// SPDX-License-Identifier: BSD-2-Clause
#include "io/name_lookup.h"

#include <mutex>
#include <thread>
#include <utility>

namespace portolan::io {

struct NameLookup::State {
  std::mutex mutex;
  EventLoop* loop = nullptr;  ///< nullptr: nobody waits for it any more
  Handler handler;            ///< of the loop's thread
};

auto NameLookup::start(EventLoop& loop, std::string host, Handler handler) -> NameLookup {
  auto state = std::make_shared<State>();
  state->loop = &loop;
  state->handler = std::move(handler);
  std::thread([state, host = std::move(host)] {
    auto result = resolve(host);
    const std::lock_guard lock(state->mutex);
    if (state->loop == nullptr) return;
    state->loop->post([state, result = std::move(result)] {
      // It may have been given up since it was posted; the handler may give it up.
      if (const Handler answer = std::exchange(state->handler, {})) answer(result);
    });
  }).detach();
  return NameLookup(std::move(state));
}

NameLookup::NameLookup(std::shared_ptr<State> state) : state_(std::move(state)) {}
NameLookup::NameLookup(NameLookup&&) noexcept = default;
auto NameLookup::operator=(NameLookup&& other) noexcept -> NameLookup& {
  cancel();
  state_ = std::move(other.state_);
  return *this;
}
NameLookup::~NameLookup() { cancel(); }

void NameLookup::cancel() noexcept {
  if (!state_) return;
  const std::lock_guard lock(state_->mutex);
  state_->loop = nullptr;
  state_->handler = {};
}

}  // namespace portolan::io
