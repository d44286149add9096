// SPDX-License-Identifier: BSD-2-Clause
//
// Studio's server side: pages, and requests of JSON that compose, dissect, send and run sequences. What
// happens comes back by one stream, the timeline.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/timing.h"
#include "io/event_loop.h"
#include "io/http_service.h"
#include "io/system.h"
#include "portolan/lines.h"
#include "portolan/options.h"
#include "portolan/sequence_run.h"
#include "portolan/studio_guard.h"
#include "portolan/timeline.h"

namespace portolan {

class Studio {
 public:
  /// Requests that are sent again until they are answered, at one time.
  static constexpr std::size_t retransmitting_max = 64;

  Studio(io::EventLoop& loop, const StudioCommand& command);
  Studio(const Studio&) = delete;
  auto operator=(const Studio&) -> Studio& = delete;

  /// Listens; the address to open. Errors  text
  [[nodiscard]] auto listen() -> std::expected<std::string, std::string>;

 private:
  using Json = nlohmann::ordered_json;
  /// One request that is sent until it is answered.
  struct Retransmitting {
    SendCommand command;
    std::vector<std::byte> message;
    std::uint64_t first = 0;
    client::Retransmission times;
    io::Timer timer;
  };
  /// Where packets come from, as it was found last.
  struct Source {
    std::string server;
    std::optional<IpAddress> internal_address;
    IpAddress address;
  };

  void called(io::HttpCall call);
  [[nodiscard]] auto answer(const io::HttpCall& call) -> io::HttpReply;
  [[nodiscard]] auto get(std::string_view target, const io::HttpRequestHead& head) -> io::HttpReply;
  [[nodiscard]] auto post(std::string_view path, const Json& body) -> io::HttpReply;
  [[nodiscard]] auto about() const -> Json;
  [[nodiscard]] auto compose(const Json& draft) -> io::HttpReply;
  [[nodiscard]] auto send(const Json& body) -> io::HttpReply;
  [[nodiscard]] auto run(const Json& body) -> io::HttpReply;
  void stop();
  /// Where packets come from with these options. A name is looked up once, and again after something is sent.
  [[nodiscard]] auto source_for(const ServerOptions& options) -> IpAddress;
  void transmit_again(std::list<Retransmitting>::iterator one);

  io::EventLoop& loop_;
  const StudioCommand& command_;
  io::SystemRandom random_;
  StudioGuard guard_;
  Timeline timeline_;
  Lines lines_;
  std::optional<Source> source_;
  std::list<Retransmitting> retransmitting_;
  std::unique_ptr<SequenceRun> run_;
  io::HttpService service_;
};

}  // namespace portolan
