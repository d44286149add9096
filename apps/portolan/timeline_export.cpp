// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/timeline_export.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <system_error>

#include <fmt/format.h>

#include "io/capture/capture_file.h"
#include "io/system.h"
#include "portolan/dissection_report.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

/// A file in a folder that only this process's user can read, gone at the end.
class PrivateFile {
 public:
  PrivateFile() {
    io::SystemRandom random;
    folder_ = std::filesystem::temp_directory_path() / fmt::format("portolan-studio-{:016x}", random.next());
    // Fails if somebody has made one of that name.
    is_made_ = std::filesystem::create_directory(folder_, error_);
    if (is_made_) std::filesystem::permissions(folder_, std::filesystem::perms::owner_all, error_);
  }
  PrivateFile(const PrivateFile&) = delete;
  auto operator=(const PrivateFile&) -> PrivateFile& = delete;
  ~PrivateFile() {
    if (is_made_) std::filesystem::remove_all(folder_, error_);
  }

  [[nodiscard]] auto is_made() const -> bool { return is_made_ && !error_; }
  [[nodiscard]] auto path() const -> std::filesystem::path { return folder_ / "timeline.pcap"; }

 private:
  std::filesystem::path folder_;
  std::error_code error_;
  bool is_made_ = false;
};

auto captured(const Traffic& traffic) -> io::CapturedDatagram {
  return {.wall_time = traffic.wall_time,
          .source = traffic.source,
          .destination = traffic.destination,
          .payload = traffic.payload};
}

auto array_text(const std::vector<std::byte>& octets) -> std::string {
  constexpr std::size_t per_line = 16;
  std::string text;
  for (std::size_t at = 0; at < octets.size(); ++at)
    fmt::format_to(std::back_inserter(text), "{}0x{:02x},", at % per_line == 0 ? "\n      " : " ",
                   std::to_integer<unsigned>(octets[at]));
  return text;
}

/// Whether the PCP client's address of a request is the one that it came from (RFC 6887 s8.1).
auto has_own_address(const Traffic& request) -> bool {
  constexpr std::size_t place = 8;
  const std::span payload(request.payload);
  if (payload.size() < wire::header_octets) return false;
  const bool is_pcp = payload[0] == std::byte{wire::version_1} || payload[0] == std::byte{wire::version_2};
  const auto source = std::as_bytes(std::span(request.source.address.bits().octets));
  return is_pcp && std::ranges::equal(payload.subspan(place, source.size()), source);
}

}  // namespace

auto pcap_of(const Timeline& timeline) -> std::expected<std::string, std::string> {
  const PrivateFile file;
  if (!file.is_made()) return std::unexpected("no temporary file can be made");
  {
    auto writer = io::CaptureWriter::open(file.path());
    if (!writer) return std::unexpected(writer.error());
    for (const Timeline::Entry& entry : timeline.entries())
      if (entry.traffic &&
          entry.traffic->source.address.family() == entry.traffic->destination.address.family())
        if (const auto written = writer->write(captured(*entry.traffic)); !written)
          return std::unexpected(written.error());
  }
  std::ifstream stream(file.path(), std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

auto json_of(const Timeline& timeline) -> std::string {
  std::string text = "{\"portolan-timeline\": [";
  const char* separator = "\n";
  for (const Timeline::Entry& entry : timeline.entries()) {
    text += separator + entry.json;
    separator = ",\n";
  }
  return text + "\n]}\n";
}

auto test_of(const Timeline& timeline) -> std::string {
  std::string text(exported_test_head());
  for (const Timeline::Entry& request : timeline.entries()) {
    if (!request.traffic || request.traffic->kind != Traffic::Kind::sent) continue;
    for (const Timeline::Entry& answer : timeline.entries()) {
      if (!answer.traffic || answer.traffic->kind != Traffic::Kind::received ||
          answer.belongs_to != request.id)
        continue;
      fmt::format_to(
          std::back_inserter(text),
          "\nTEST(Exchange, request_{}_is_answered_as_before) {{\n  const Octets request{{{}\n  }};\n"
          "  const Octets answer{{{}\n  }};\n"
          "  EXPECT_EQ(compared(ask(request, Client::{})), compared(answer));\n}}\n",
          request.id, array_text(request.traffic->payload), array_text(answer.traffic->payload),
          has_own_address(*request.traffic) ? "this_host" : "recorded");
      break;
    }
  }
  return text;
}

}  // namespace portolan
