// SPDX-License-Identifier: BSD-2-Clause
//
// Whether a connection from outside arrives: a helper outside is asked, over TCP, to connect back to where
// the question came from, at a port, and to say a word there. It knocks at nobody else's door.
//
//   asker to helper:   portolan-knock 1 PORT WORD
//   helper to PORT:    WORD
//   helper to asker:   done ADDRESS              ADDRESS being where the asker is seen from
//                      failed ADDRESS REASON
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/nonce.h"
#include "io/event_loop.h"
#include "io/stream.h"

namespace portolan::doctor {

/// Octets of a line; what sends more is none of ours.
inline constexpr std::size_t line_max = 256;
/// Askers that a helper serves at a time; more are sent away.
inline constexpr std::size_t askers_max = 64;
/// A helper gives each asker, and its knock, so long: less than a stream has to open.
inline constexpr Seconds knock_max{8};

/// A question, as its line says.
struct KnockRequest {
  Port port;
  Nonce word;
  auto operator==(const KnockRequest&) const -> bool = default;
};
[[nodiscard]] auto to_line(const KnockRequest& request) -> std::string;
/// Errors  text: what was expected
[[nodiscard]] auto parse_request(std::string_view line) -> std::expected<KnockRequest, std::string>;

/// What a helper answered.
struct KnockAnswer {
  IpAddress seen_from;
  std::optional<std::string> failure;  ///< printable
  auto operator==(const KnockAnswer&) const -> bool = default;
};
[[nodiscard]] auto to_line(const KnockAnswer& answer) -> std::string;
[[nodiscard]] auto parse_answer(std::string_view line) -> std::optional<KnockAnswer>;

/// Lines of a stream, one at a time, as they come in.
class LineReader {
 public:
  /// The first line, once it is whole; the rest is thrown away. Nothing for more than line_max octets.
  auto take(std::span<const std::byte> octets) -> std::optional<std::string>;
  [[nodiscard]] auto is_too_long() const -> bool { return text_.size() > line_max; }

 private:
  std::string text_;
};

/// A TCP port of this host at which a knock is waited for.
class Door {
 public:
  /// Listens at a port that the kernel chooses. Errors  text
  [[nodiscard]] static auto open(io::EventLoop& loop, const IpAddress& address)
      -> std::expected<std::unique_ptr<Door>, std::string>;
  Door(const Door&) = delete;
  auto operator=(const Door&) -> Door& = delete;

  [[nodiscard]] auto port() const -> Port { return listener_.address().endpoint.port; }
  /// Calls `knocked` when a connection says the word.
  void await(const Nonce& word, std::function<void()> knocked);

 private:
  struct Visitor {
    io::Stream stream;
    LineReader reader;
  };
  Door() = default;
  void let_in(io::Stream stream);

  /// Connections at a time; the port is open to the world.
  static constexpr std::size_t visitors_max = 16;

  std::string word_;
  std::function<void()> knocked_;
  std::map<std::uint64_t, Visitor> visitors_;
  std::uint64_t last_visitor_ = 0;
  io::StreamListener listener_;
};

/// Asks a helper. `done` is called once: it answers, or the stream breaks, told in words.
class Knock {
 public:
  using Done = std::function<void(const std::expected<KnockAnswer, std::string>&)>;
  Knock(io::EventLoop& loop, const Endpoint& helper, const KnockRequest& request, Done done);
  Knock(const Knock&) = delete;
  auto operator=(const Knock&) -> Knock& = delete;

 private:
  void end(const std::expected<KnockAnswer, std::string>& answer);

  LineReader reader_;
  Done done_;
  io::Stream stream_;
};

/// The helper.
class Knocker {
 public:
  /// `tell` gets a line for each knock. Errors  text
  [[nodiscard]] static auto open(io::EventLoop& loop, const Endpoint& endpoint,
                                 std::function<void(const std::string&)> tell)
      -> std::expected<std::unique_ptr<Knocker>, std::string>;
  Knocker(const Knocker&) = delete;
  auto operator=(const Knocker&) -> Knocker& = delete;

  [[nodiscard]] auto endpoint() const -> const Endpoint& { return listener_.address().endpoint; }

 private:
  struct Asker {
    io::Stream stream;
    LineReader reader;
    IpAddress address;
    std::optional<io::Stream> knock;
    io::Timer overdue;
    bool is_answered = false;
  };
  Knocker(io::EventLoop& loop, std::function<void(const std::string&)> tell);

  void let_in(io::Stream stream);
  void hear(std::uint64_t number, std::span<const std::byte> octets);
  void knock(std::uint64_t number, const KnockRequest& request);
  void answer(std::uint64_t number, const std::optional<std::string>& failure);
  /// Lets go of an asker, once its handlers have returned.
  void drop(std::uint64_t number);

  io::EventLoop& loop_;
  std::function<void(const std::string&)> tell_;
  std::map<std::uint64_t, Asker> askers_;
  std::uint64_t last_asker_ = 0;
  io::StreamListener listener_;
};

}  // namespace portolan::doctor
