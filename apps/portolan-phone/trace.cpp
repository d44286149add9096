// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/trace.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "io/capture/capture_file.h"
#include "io/system.h"

namespace portolan::phone {
namespace {

/// Writes until the disk refuses: a call goes on without its trace.
class TraceFile {
 public:
  explicit TraceFile(io::CaptureWriter writer) : writer_(std::move(writer)) {}

  void write(const sip::Traffic& traffic) {
    // A packet has addresses of one family.
    if (!writer_ || traffic.source.address.is_ipv4() != traffic.destination.address.is_ipv4()) return;
    const io::CapturedDatagram datagram{.wall_time = io::wall_now(),
                                        .source = traffic.source,
                                        .destination = traffic.destination,
                                        .payload = {traffic.octets.begin(), traffic.octets.end()}};
    const auto written =
        traffic.protocol == Protocol::tcp ? writer_->write_tcp(datagram) : writer_->write(datagram);
    if (written) return;
    fmt::print(stderr, "portolan-phone: {}; the trace ends here\n", written.error());
    writer_.reset();
  }

 private:
  std::optional<io::CaptureWriter> writer_;
};

/// Seconds since the start.
auto since(TimePoint start) -> double {
  return std::chrono::duration<double>(io::monotonic_now() - start).count();
}

}  // namespace

auto begin_trace(Options& options) -> std::expected<void, std::string> {
  if (options.is_traced) {
    const TimePoint start = io::monotonic_now();
    options.phone.on_sip_trace = [start](std::string_view line) {
      fmt::print(stderr, "{:9.3f} SIP | {}\n", since(start), line);
    };
    options.phone.on_pcp_trace = [start](std::string_view text) {
      fmt::print(stderr, "{:9.3f} PCP | {}\n", since(start), text);
    };
  }
  if (options.trace_file.empty()) return {};
  auto writer = io::CaptureWriter::open(options.trace_file);
  if (!writer) return std::unexpected(writer.error());
  options.phone.on_traffic = [file = std::make_shared<TraceFile>(*std::move(writer))](
                                 const sip::Traffic& traffic) { file->write(traffic); };
  return {};
}

}  // namespace portolan::phone
