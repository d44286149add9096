// SPDX-License-Identifier: BSD-2-Clause
//
// Writes down explicit mappings as they come and go, for whoever asks later whose a port was: takes the
// server's events, in parts, and has control/mapping_log make lines of them.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>

#include "control/mapping_log/mapping_lines.h"
#include "io/append_file.h"
#include "io/event_file.h"
#include "io/event_loop.h"
#include "nat/events.h"
#include "portoland/config.h"
#include "server/server.h"

namespace portolan::portoland {

class MappingLog {
 public:
  /// Events taken from the server in one turn of the loop.
  static constexpr std::size_t events_per_turn = 1024;
  /// How long it rests after a turn.
  static constexpr Milliseconds rest{20};
  /// Turns that are enough for all events that the server keeps.
  static constexpr std::size_t drain_turns_max = server::events_kept / events_per_turn + 1;

  /// Off at first. `loop` and `server` outlive this.
  MappingLog(io::EventLoop& loop, server::Server& server, Random& random);
  /// Writes what has happened so far, if it is read; the log says what was not.
  ~MappingLog();
  MappingLog(const MappingLog&) = delete;
  auto operator=(const MappingLog&) -> MappingLog& = delete;

  /// Opens what `settings` name. Errors  text for the operator
  [[nodiscard]] static auto open(const MappingLogSettings& settings)
      -> std::expected<io::AppendFile, std::string>;
  /// From now on writes to `file`, just opened, what `settings` say. Turned on, it tells first what is there.
  void use(io::AppendFile file, const Settings& settings);
  /// The server may have events.
  void look();

  [[nodiscard]] auto is_on() const -> bool { return file_.is_on(); }
  [[nodiscard]] auto counters() const -> const io::EventFile::Counters& { return file_.counters(); }

 private:
  void serve();
  /// Writes a turn's events, or mappings that are there; false: there is nothing more now.
  auto take_some() -> bool;
  void append(const server::Event& event);
  /// Whether the NAT64 in this process does not write it down itself.
  [[nodiscard]] auto is_told(const Contract& mapping) const -> bool;
  [[nodiscard]] auto own_ports_of(const Contract& mapping) const -> std::optional<PortRange>;
  auto drain() -> bool;

  server::Server& server_;
  io::EventFile file_{"mapping log"};
  control::MappingLines lines_;
  /// The server's next event.
  std::uint64_t next_ = 0;
  /// Where the walk over what was there is; none: it is done.
  std::optional<server::Cursor> present_;
  bool has_nat64_ = false;
  nat::EventSource nat64_;
  io::Timer rested_;
};

}  // namespace portolan::portoland
