// SPDX-License-Identifier: BSD-2-Clause
//
// control_load ADDRESS COUNT: drives a portolan-nat64 that nobody else drives, and installs COUNT mappings
// over its control protocol, in batches of 256 that do not wait for each other. Prints the seconds from the
// first batch to the last result as JSON; fails if a mapping is refused, or if the inventory has not all of
// them afterwards.
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "control/codec.h"
#include "io/event_loop.h"
#include "io/stream.h"
#include "io/system.h"

namespace portolan {
namespace {

constexpr std::uint32_t batch_size = 256;
constexpr std::uint32_t ports_per_host = 100;

auto mapping(std::uint32_t number) -> device::Install {
  Ipv6Address host{{0x20, 0x01, 0x0d, 0xb8, 0x01, 0x12}};
  const std::uint32_t host_number = number / ports_per_host / 2;
  for (unsigned i = 0; i < 4; ++i)
    host.octets[12 + i] = static_cast<std::uint8_t>(host_number >> (24 - 8 * i));
  host.octets[11] = 1;
  return {.key = {.realm = {},
                  .internal_address = IpAddress{host},
                  .protocol = number % 2 == 0 ? Protocol::udp : Protocol::tcp,
                  .external_family = Family::ipv4,
                  .internal_port = Port{static_cast<std::uint16_t>(5000 + number / 2 % ports_per_host)}},
          .external_address = IpAddress::unspecified(Family::ipv4),
          .external_port = {},
          .lifetime = Seconds{3600}};
}

class Load {
 public:
  Load(const io::StreamAddress& address, std::uint32_t count) : count_(count) {
    io::StreamHandlers handlers;
    handlers.received = [this](std::span<const std::byte> octets) { receive(octets); };
    handlers.closed = [](const std::string& reason) { fail(reason); };
    stream_ = io::Stream::connect(loop_, address, {}, std::move(handlers));
    send(control::ClientHello{.role = control::Role::owner, .program = "control_load"});
    loop_.run();
  }

 private:
  [[noreturn]] static void fail(std::string_view text) {
    fmt::print(stderr, "control_load: {}\n", text);
    std::exit(1);
  }

  void send(const control::Request& request) {
    octets_.clear();
    control::append_frame(request, octets_);
    stream_.send(octets_);
  }

  void receive(std::span<const std::byte> octets) {
    reader_.add(octets);
    for (;;) {
      const auto message = reader_.next();
      if (!message) fail(message.error());
      if (!*message) return;
      const auto reply = control::decode_reply(**message);
      if (!reply) fail(reply.error());
      std::visit([this](const auto& each) { take(each); }, *reply);
    }
  }

  void take(const auto& /*other*/) {}
  void take(const control::Error& error) { fail(error.text); }
  void take(const control::Ping& ping) { send(control::Pong{ping.token}); }

  void take(const control::GatewayHello& /*hello*/) {
    begin_ = io::monotonic_now();
    for (std::uint32_t first = 0; first < count_; first += batch_size) {
      control::Batch batch{.id = {first}, .operations = {}};
      for (std::uint32_t number = first; number < count_ && number < first + batch_size; ++number)
        batch.operations.emplace_back(mapping(number));
      send(batch);
    }
  }

  void take(const control::BatchResult& result) {
    for (const device::Result& each : result.results)
      if (!each) fail(fmt::format("a mapping was refused: {}", to_string(each.error())));
    installed_ += static_cast<std::uint32_t>(result.results.size());
    if (installed_ != count_) return;
    const std::chrono::duration<double> seconds = io::monotonic_now() - begin_;
    fmt::print("{{\"mappings\": {}, \"seconds\": {:.3f}}}\n", count_, seconds.count());
    send(control::InventoryRequest{});
  }

  void take(const control::InventoryPart& part) {
    listed_ += static_cast<std::uint32_t>(part.mappings.size());
    if (!part.is_last) return;
    if (listed_ != count_) fail(fmt::format("{} mappings are in the inventory", listed_));
    loop_.stop();
  }

  std::uint32_t count_;
  io::EventLoop loop_;
  io::Stream stream_;
  control::FrameReader reader_;
  std::vector<std::byte> octets_;
  TimePoint begin_{};
  std::uint32_t installed_ = 0;
  std::uint32_t listed_ = 0;
};

}  // namespace
}  // namespace portolan

auto main(int argc, char** argv) -> int {
  std::uint32_t count = 0;
  if (argc == 3) {
    const std::string_view text = argv[2];
    std::from_chars(text.data(), text.data() + text.size(), count);
  }
  const auto address = portolan::io::parse_stream_address(argc > 1 ? argv[1] : "");
  if (!address || count == 0) {
    fmt::print(stderr, "usage: control_load ADDRESS COUNT\n");
    return 2;
  }
  const portolan::Load load(*address, count);
  return 0;
}
