// SPDX-License-Identifier: BSD-2-Clause
//
// For tests: a server that answers HTTP requests with whatever octets a test wants, on a thread of its own.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "io/event_loop.h"
#include "io/stream.h"

namespace portolan::io::testing {

class HttpTestServer {
 public:
  struct Answer {
    /// Each leaves when the ones before have been taken.
    std::deque<std::string> pieces{};
    /// The connection ends behind them; else it stays, silent.
    bool is_closed = true;
  };
  using Policy = std::function<Answer(const std::string& request)>;

  HttpTestServer(const StreamAddress& address, const TlsIdentity& identity, Policy policy)
      : policy_(std::move(policy)) {
    std::atomic<bool> is_ready = false;
    thread_ = std::thread([&, this] {
      auto listener = StreamListener::open(loop_, address, identity,
                                           [this](Stream stream) { accept(std::move(stream)); });
      if (listener) address_ = listener->address();
      is_ready = true;
      is_ready.notify_one();
      if (listener) loop_.run();
      clients_.clear();
    });
    is_ready.wait(false);
    if (address_ == StreamAddress{}) throw std::runtime_error("the test's server can't listen");
  }
  HttpTestServer(const HttpTestServer&) = delete;
  auto operator=(const HttpTestServer&) -> HttpTestServer& = delete;
  ~HttpTestServer() {
    loop_.stop();
    thread_.join();
  }

  [[nodiscard]] auto address() const -> const StreamAddress& { return address_; }
  [[nodiscard]] auto requests() -> std::vector<std::string> {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

  /// A whole answer.
  static auto whole(unsigned status, std::string_view type, std::string_view body) -> Answer {
    return {.pieces = {fmt::format("HTTP/1.1 {} Word\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
                                   status, type, body.size(), body)}};
  }
  /// One in chunks, without the last, empty one.
  static auto begun(std::string_view type, const std::vector<std::string>& parts) -> Answer {
    Answer answer{.pieces = {fmt::format(
                      "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nTransfer-Encoding: chunked\r\n\r\n", type)}};
    for (const std::string& part : parts)
      answer.pieces.push_back(fmt::format("{:x}\r\n{}\r\n", part.size(), part));
    return answer;
  }
  static auto chunked(std::string_view type, const std::vector<std::string>& parts) -> Answer {
    Answer answer = begun(type, parts);
    answer.pieces.emplace_back("0\r\n\r\n");
    return answer;
  }

 private:
  struct Client {
    Stream stream;
    std::string request;
    std::optional<Answer> answer;
  };

  void accept(Stream stream) {
    Client& client = clients_.emplace_back();
    client.stream = std::move(stream);
    client.stream.start({.received =
                             [this, &client](std::span<const std::byte> octets) {
                               client.request.append(reinterpret_cast<const char*>(octets.data()),
                                                     octets.size());
                               if (!client.answer && is_whole(client.request)) answer(client);
                             },
                         .drained = [&client] { go_on(client); },
                         .closed =
                             [this, &client](const std::string&) {
                               clients_.remove_if([&](const Client& each) { return &each == &client; });
                             }});
  }

  static auto is_whole(const std::string& request) -> bool {
    const std::size_t end = request.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::size_t field = request.find("Content-Length: ");
    const std::size_t body = field == std::string::npos ? 0 : std::stoul(request.substr(field + 16));
    return request.size() >= end + 4 + body;
  }

  void answer(Client& client) {
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(client.request);
    }
    client.answer = policy_(client.request);
    go_on(client);
  }

  static void go_on(Client& client) {
    if (!client.answer) return;
    auto& pieces = client.answer->pieces;
    if (pieces.empty()) {
      if (client.answer->is_closed) client.stream.finish();
      return;
    }
    const std::string piece = std::move(pieces.front());
    pieces.pop_front();
    client.stream.send(std::as_bytes(std::span(piece)));
  }

  Policy policy_;
  EventLoop loop_;
  StreamAddress address_;
  std::list<Client> clients_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
};

}  // namespace portolan::io::testing
