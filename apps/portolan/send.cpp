// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan send`: a packet as composed, sent as it is, and what comes back.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/random.h"
#include "io/capture/capture_file.h"
#include "io/event_loop.h"
#include "io/system.h"
#include "io/udp.h"
#include "portolan/commands.h"
#include "portolan/composing.h"
#include "portolan/dissection_report.h"
#include "portolan/lines.h"
#include "portolan/server_choice.h"
#include "wire/compose.h"

namespace portolan {
namespace {

/// More packets than this are counted, not shown, unless --verbose or --json asks for them.
constexpr std::uint32_t shown_max = 10;
/// One run of the command: sends at the rate wanted, shows what comes.
class Exchange {
 public:
  Exchange(const SendCommand& command, ServerChoice choice, io::UdpSocket socket,
           std::optional<io::CaptureWriter> capture)
      : command_(command),
        choice_(std::move(choice)),
        socket_(std::move(socket)),
        capture_(std::move(capture)),
        readable_(loop_.on_readable(socket_.descriptor(), [this] { receive(); })),
        next_(loop_.timer([this] { send_due(); })),
        timeout_(loop_.timer([this] { loop_.stop(); })),
        interrupt_(loop_.on_signal({SIGINT, SIGTERM}, [this](int) { loop_.stop(); })) {}

  auto run() -> int {
    start_ = io::monotonic_now();
    next_.arm(start_);
    loop_.run();
    if (!failure_.empty()) {
      fmt::print(stderr, "portolan: {}\n", failure_);
      return exit_usage;
    }
    summarise();
    if (answered_ == 0) return exit_no_answer;
    return refused_ == 0 ? exit_success : exit_refused;
  }

 private:
  void fail(std::string text) {
    failure_ = std::move(text);
    loop_.stop();
  }

  [[nodiscard]] auto due(std::uint64_t number) const -> TimePoint {
    return start_ +
           Nanoseconds{std::int64_t{1'000'000'000} * static_cast<std::int64_t>(number) / command_.rate};
  }

  void send_due() {
    const TimePoint now = io::monotonic_now();
    while (sent_ < command_.repeat && due(sent_) <= now && failure_.empty()) send_one();
    if (sent_ < command_.repeat)
      next_.arm(due(sent_));
    else
      timeout_.arm(now + command_.common.timeout);
  }

  void send_one() {
    auto message = message_of(command_, choice_.client_address, random_);
    if (!message) return fail(message.error());
    if (command_.fuzz_seed) {
      SeededRandom seeded(std::uint64_t{*command_.fuzz_seed} + sent_);
      wire::mutate(*message, seeded);
    }
    ++sent_;
    const io::SendResult result =
        socket_.send({.destination = {.address = choice_.server.address, .port = choice_.port},
                      .scope_id = choice_.server.interface_index,
                      .local_address = {},
                      .interface_index = 0,
                      .payload = *message});
    if (result.error && result.sent == 0)
      return fail(fmt::format("{}: {} octets cannot be sent: {}", choice_.endpoint_text(), message->size(),
                              to_string(*result.error)));
    show("sent", socket_.local_endpoint(), {.address = choice_.server.address, .port = choice_.port},
         *message);
  }

  void receive() {
    const auto datagrams = socket_.receive();
    if (!datagrams) return hint(datagrams.error());
    const Endpoint own = socket_.local_endpoint();
    for (const io::ReceivedDatagram& datagram : *datagrams) {
      ++answered_;
      if (!is_success(datagram.payload)) ++refused_;
      ++answers_[answer_word(datagram.payload)];
      show("received", datagram.source, own, datagram.payload);
    }
    if (sent_ == command_.repeat && answered_ >= sent_) loop_.stop();
  }

  void hint(const io::SystemError& error) {
    if (error.number == ECONNREFUSED && command_.repeat == 1) loop_.stop();
    if (std::exchange(is_hinted_, true)) return;
    fmt::print(stderr, "portolan: {}: {}\n", choice_.endpoint_text(), trouble_text(error));
  }

  void show(std::string_view what, const Endpoint& source, const Endpoint& destination,
            std::span<const std::byte> payload) {
    if (capture_) {
      const auto written = capture_->write({.wall_time = io::wall_now(),
                                            .source = source,
                                            .destination = destination,
                                            .payload = {payload.begin(), payload.end()}});
      if (!written) return fail("--pcap " + written.error());
    }
    const auto milliseconds = std::chrono::duration<double, std::milli>(io::monotonic_now() - start_).count();
    if (command_.common.is_json) {
      nlohmann::ordered_json json{{"event", what},
                                  {"milliseconds", milliseconds},
                                  {"source", to_string(source)},
                                  {"destination", to_string(destination)}};
      json.update(dissection_json(payload));
      fmt::print("{}\n", json.dump());
    } else if (command_.repeat <= shown_max || command_.common.is_verbose) {
      fmt::print("{:.3f} ms: {} by {} to {}:\n{}", milliseconds, what, source, destination,
                 octets_table(payload, 2));
    }
  }

  void summarise() const {
    if (command_.common.is_json) {
      fmt::print("{}\n",
                 nlohmann::ordered_json{
                     {"event", "summary"}, {"sent", sent_}, {"received", answered_}, {"answers", answers_}}
                     .dump());
      return;
    }
    fmt::print("{} sent, {} received", sent_, answered_);
    const char* separator = ": ";
    for (const auto& [word, count] : answers_) {
      fmt::print("{}{} {}", separator, count, word);
      separator = ", ";
    }
    fmt::print("\n");
  }

  const SendCommand& command_;
  ServerChoice choice_;
  io::UdpSocket socket_;
  std::optional<io::CaptureWriter> capture_;
  io::SystemRandom random_;
  TimePoint start_;
  std::uint64_t sent_ = 0;
  std::uint64_t answered_ = 0;
  std::uint64_t refused_ = 0;
  std::map<std::string, std::uint64_t> answers_;
  std::string failure_;
  bool is_hinted_ = false;
  io::EventLoop loop_;
  io::Watch readable_;
  io::Timer next_;
  io::Timer timeout_;
  io::Watch interrupt_;
};

auto fail(const Exit& exit) -> int {
  fmt::print(stderr, "portolan: {}\n", exit.text);
  return exit.status;
}

/// Without a server the packet is that of an unspecified source.
auto print_only(const SendCommand& command) -> int {
  io::SystemRandom random;
  auto message = message_of(command, command.common.internal_address.value_or(IpAddress{}), random);
  if (!message) return fail({.status = exit_usage, .text = message.error()});
  if (command.fuzz_seed) {
    SeededRandom seeded(*command.fuzz_seed);
    wire::mutate(*message, seeded);
  }
  if (command.common.is_json)
    fmt::print("{}\n", dissection_json(*message).dump());
  else
    fmt::print("{}\n{}", hex_text(*message), octets_table(*message, 0));
  return exit_success;
}

}  // namespace

auto run_send(const SendCommand& command) -> int {
  if (!command.sequence.empty()) return run_sequence(command);
  if (command.only_prints) return print_only(command);
  auto choice = choose_server(command.common);
  if (!choice) return fail(choice.error());
  io::UdpOptions options;
  options.bind_address = choice->client_address;
  options.bind_port = command.source_port;
  options.scope_id = choice->server.interface_index;
  auto socket = io::UdpSocket::open(options);
  if (!socket)
    return fail(
        {.status = exit_usage,
         .text = fmt::format("{}: give --internal-address and --source-port of this host", socket.error())});
  if (const auto connected = socket->connect({.address = choice->server.address, .port = choice->port},
                                             choice->server.interface_index);
      !connected)
    return fail({.status = exit_no_answer, .text = connected.error()});
  std::optional<io::CaptureWriter> capture;
  if (!command.capture.empty()) {
    auto opened = io::CaptureWriter::open(command.capture);
    if (!opened) return fail({.status = exit_usage, .text = "--pcap " + opened.error()});
    capture.emplace(*std::move(opened));
  }
  return Exchange(command, *std::move(choice), *std::move(socket), std::move(capture)).run();
}

}  // namespace portolan
