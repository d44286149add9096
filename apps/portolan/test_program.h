// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: the built program as a child process, and a PCP server that answers as a test says.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "io/event_loop.h"
#include "io/file_descriptor.h"
#include "io/udp.h"
#include "wire/message.h"

namespace portolan {

/// Who has no rights, and no files.
inline constexpr uid_t nobody = 65534;

struct Ended {
  int status = -1;  ///< exit status, or 128 + signal
  std::string out;
  std::string err;
};

/// A running `portolan ARGUMENTS`.
class Program {
 public:
  /// In  user: whose the process is
  explicit Program(std::vector<std::string> arguments, uid_t user = 0) {
    std::array<int, 2> out{};
    std::array<int, 2> err{};
    if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("pipe2");
    out_.reset(out[0]);
    err_.reset(err[0]);
    const io::FileDescriptor child_out{out[1]};
    const io::FileDescriptor child_err{err[1]};
    arguments.insert(arguments.begin(), PORTOLAN_PROGRAM);
    std::vector<char*> pointers;
    pointers.reserve(arguments.size() + 1);
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(child_out.get(), STDOUT_FILENO);
      ::dup2(child_err.get(), STDERR_FILENO);
      if (user != 0 && (::setgid(user) != 0 || ::setuid(user) != 0)) ::_exit(126);
      ::execv(PORTOLAN_PROGRAM, pointers.data());
      ::_exit(127);
    }
  }
  Program(const Program&) = delete;
  auto operator=(const Program&) -> Program& = delete;
  ~Program() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  void signal(int number) const { ::kill(child_, number); }
  [[nodiscard]] auto process() const -> pid_t { return child_; }

  /// Reads on until `text` has come on stdout or stderr; false if the program ends or 20 s pass before.
  auto wait_for(std::string_view text) -> bool {
    while (ended_.out.find(text) == std::string::npos && ended_.err.find(text) == std::string::npos)
      if (!read_some()) return false;
    return true;
  }

  /// Waits for the end.
  auto end() -> Ended {
    while (read_some()) {
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child_, &status, 0), child_);
    child_ = -1;
    ended_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ended_;
  }

 private:
  /// False once both pipes are closed, or nothing came for 20 s.
  auto read_some() -> bool {
    std::array<pollfd, 2> entries{{{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}}};
    if (!out_ && !err_) return false;
    if (::poll(entries.data(), entries.size(), 20'000) <= 0) {
      ADD_FAILURE() << "the program says nothing for 20 s";
      return false;
    }
    take(entries[0].revents, out_, ended_.out);
    take(entries[1].revents, err_, ended_.err);
    return true;
  }
  static void take(short events, io::FileDescriptor& pipe, std::string& text) {
    if (events == 0) return;
    std::array<char, 4096> buffer{};
    const auto got = ::read(pipe.get(), buffer.data(), buffer.size());
    if (got > 0)
      text.append(buffer.data(), static_cast<std::size_t>(got));
    else
      pipe.reset();
  }

  pid_t child_ = -1;
  io::FileDescriptor out_;
  io::FileDescriptor err_;
  Ended ended_;
};

[[nodiscard]] inline auto run_program(std::vector<std::string> arguments) -> Ended {
  return Program(std::move(arguments)).end();
}

/// Answers requests on a thread of its own; what it got can be looked at afterwards.
class TestServer {
 public:
  /// The answer to a request, or nothing to lose it.
  using Policy =
      std::function<std::optional<wire::Datagram>(const wire::Request&, std::span<const std::byte>)>;

  /// `set_up` runs first on the server's thread.
  explicit TestServer(Policy policy, const IpAddress& address = *IpAddress::parse("::1"), Port port = {},
                      std::function<void()> set_up = {})
      : policy_(std::move(policy)) {
    std::atomic<bool> is_ready = false;
    thread_ = std::thread([this, address, port, set_up = std::move(set_up), &is_ready] {
      if (set_up) set_up();
      auto socket = io::UdpSocket::open({.bind_address = address,
                                         .bind_port = port,
                                         .scope_id = 0,
                                         .device = {},
                                         .receive_buffer_bytes = 0,
                                         .shares_port = false});
      if (!socket) throw std::runtime_error(socket.error());
      port_ = socket->local_endpoint().port;
      socket_ = &*socket;
      const auto readable = loop_.on_readable(socket->descriptor(), [this, &socket] { serve(*socket); });
      is_ready = true;
      is_ready.notify_one();
      loop_.run();
    });
    is_ready.wait(false);
  }
  TestServer(const TestServer&) = delete;
  auto operator=(const TestServer&) -> TestServer& = delete;
  ~TestServer() {
    loop_.stop();
    thread_.join();
  }

  [[nodiscard]] auto port() const -> std::string { return std::to_string(port_.value); }

  /// Sends a datagram that nobody asked for, on the link of the last request.
  void send(const Endpoint& to, const wire::Datagram& datagram) {
    loop_.post([this, to, datagram] {
      socket_->send({.destination = to,
                     .scope_id = interface_index_,
                     .local_address = {},
                     .interface_index = interface_index_,
                     .payload = datagram.octets()});
    });
  }

  struct Got {
    Endpoint from;
    std::uint32_t lifetime_s;
    std::optional<wire::MapRequest> map;
  };
  [[nodiscard]] auto got() -> std::vector<Got> {
    const std::lock_guard lock(mutex_);
    return got_;
  }

  /// Grants what is asked for; port 40000 if none is suggested.
  static auto grant(const wire::Request& request, std::span<const std::byte>)
      -> std::optional<wire::Datagram> {
    wire::Response response;
    response.opcode = request.opcode;
    response.lifetime_s = request.requested_lifetime_s;
    response.epoch_time_s = 3600;
    response.body = wire::Announce{};
    if (const auto* map = std::get_if<wire::MapRequest>(&request.body)) {
      const bool is_deletion = request.requested_lifetime_s == 0;
      wire::MapResponse body{.nonce = map->nonce,
                             .protocol = map->protocol,
                             .internal_port = map->internal_port,
                             .assigned_external_port = map->suggested_external_port,
                             .assigned_external_address = map->suggested_external_address};
      if (!is_deletion) {
        body.assigned_external_address = *IpAddress::parse("192.0.2.14");
        if (body.assigned_external_port.value == 0) body.assigned_external_port.value = 40000;
      }
      response.body = body;
    }
    if (const auto* peer = std::get_if<wire::PeerRequest>(&request.body))
      response.body = wire::PeerResponse{.nonce = peer->nonce,
                                         .protocol = peer->protocol,
                                         .internal_port = peer->internal_port,
                                         .assigned_external_port = Port{40000},
                                         .assigned_external_address = *IpAddress::parse("192.0.2.14"),
                                         .remote_peer_port = peer->remote_peer_port,
                                         .remote_peer_address = peer->remote_peer_address};
    return wire::encode_response(response);
  }

  /// Refuses everything.
  static auto refuse(wire::ResultCode result, Seconds lifetime) -> Policy {
    return [result, lifetime](const wire::Request&, std::span<const std::byte> octets) {
      return wire::encode_error(octets, result, lifetime, 3600, true);
    };
  }

 private:
  void serve(io::UdpSocket& socket) {
    const auto datagrams = socket.receive();
    if (!datagrams) return;
    for (const io::ReceivedDatagram& datagram : *datagrams) {
      const auto request = wire::decode_request(datagram.payload);
      if (!request) continue;
      interface_index_ = datagram.interface_index;
      const auto* map = std::get_if<wire::MapRequest>(&request->body);
      {
        const std::lock_guard lock(mutex_);
        got_.push_back({.from = datagram.source,
                        .lifetime_s = request->requested_lifetime_s,
                        .map = map != nullptr ? std::optional(*map) : std::nullopt});
      }
      if (const auto answer = policy_(*request, datagram.payload))
        socket.send(io::answer_to(datagram, answer->octets()));
    }
  }

  Policy policy_;
  io::EventLoop loop_;
  std::thread thread_;
  Port port_;
  io::UdpSocket* socket_ = nullptr;
  std::uint32_t interface_index_ = 0;
  std::mutex mutex_;
  std::vector<Got> got_;
};

}  // namespace portolan
