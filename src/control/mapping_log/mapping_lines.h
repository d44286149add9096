// SPDX-License-Identifier: BSD-2-Clause
//
// Which changes of mappings are written down, and how: lines of JSON, names as in RFC 8158 s4.2 where it has
// them. With blocks, the ports of a subscriber that has some for itself are one line when its first mapping
// there is made, and one when the last has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/contract.h"
#include "base/hash.h"
#include "base/port_range.h"
#include "base/time.h"

namespace portolan::control {

class MappingLines {
 public:
  /// External ports that are the mapping's subscriber's alone, if it has any.
  using PortsOf = std::function<std::optional<PortRange>(const Contract&)>;

  /// `key` is drawn at random.
  explicit MappingLines(const HashKey& key) : hash_(key) {}

  /// From now on; empty: each mapping has a line of its own. What is in a block already stays in it.
  void set_blocks(PortsOf ports_of) { ports_of_ = std::move(ports_of); }
  /// The log begins: nothing has been said.
  void begin() {
    blocks_.clear();
    places_.clear();
  }

  // Appends the lines that are due, none or several, with the time of day.

  void made(Nanoseconds time, const Contract& mapping, std::string& out);
  /// It was there when the log began.
  void present(Nanoseconds time, const Contract& mapping, std::string& out);
  /// `mapping` as it is now.
  void moved(Nanoseconds time, const Contract& mapping, std::string& out);
  /// `why`: "deleted", "expired", "lost".
  void ended(Nanoseconds time, const Contract& mapping, std::string_view why, std::string& out);

  /// Blocks that have been told and not taken back.
  [[nodiscard]] auto blocks() const -> std::size_t { return blocks_.size(); }

 private:
  /// Where a block is: its address and first port. Blocks do not overlap.
  using Place = std::pair<IpAddress, Port>;
  struct Block {
    Port last;
    Prefix subscriber;
    /// Hashes of the mappings in it.
    std::vector<std::size_t> mappings;
  };

  /// Puts `mapping` into its block, with a line if that is new; false: it has none.
  auto enter(Nanoseconds time, const Contract& mapping, std::string& out) -> bool;
  /// Takes it out, with a line if it was the last one; false: it was in none.
  auto leave(Nanoseconds time, const Contract& mapping, std::string& out) -> bool;

  ContractKeyHash hash_;
  PortsOf ports_of_;
  std::map<Place, Block> blocks_;
  /// Where those of a subscriber are.
  std::multimap<Prefix, Place> places_;
};

}  // namespace portolan::control
