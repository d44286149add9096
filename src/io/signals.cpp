// SPDX-License-Identifier: BSD-2-Clause
#include "io/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace portolan::io {

struct Signals::Mask {
  sigset_t set;
};

Signals::Signals(FileDescriptor descriptor, std::unique_ptr<Mask> before)
    : descriptor_(std::move(descriptor)), before_(std::move(before)) {}
Signals::Signals(Signals&& other) noexcept = default;
auto Signals::operator=(Signals&& other) noexcept -> Signals& {
  std::swap(descriptor_, other.descriptor_);
  std::swap(before_, other.before_);
  return *this;
}
Signals::~Signals() {
  if (before_ != nullptr) pthread_sigmask(SIG_SETMASK, &before_->set, nullptr);
}

auto Signals::open(std::initializer_list<int> signals) -> std::expected<Signals, SystemError> {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) sigaddset(&set, signal);
  FileDescriptor descriptor(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!descriptor) return std::unexpected(SystemError{errno, "signalfd"});
  auto before = std::make_unique<Mask>();
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, &before->set); error != 0)
    return std::unexpected(SystemError{error, "pthread_sigmask"});
  return Signals(std::move(descriptor), std::move(before));
}

auto Signals::take() -> std::optional<int> {
  signalfd_siginfo info{};
  if (::read(descriptor_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return {};
  return static_cast<int>(info.ssi_signo);
}

}  // namespace portolan::io
