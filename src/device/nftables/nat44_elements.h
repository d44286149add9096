// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings of a NAT44 as elements of the sets of nat44.nft, and which of them the kernel has.
#pragma once

#include <map>
#include <unordered_map>
#include <vector>

#include "device/nftables/nat44_mappings.h"
#include "io/nft_table.h"

namespace portolan::device {

class Nat44Elements {
 public:
  using Number = Nat44Mappings::Number;

  /// All that a mapping has elements in.
  static constexpr std::array<std::string_view, 9> sets{
      "inbound",           "outbound",           "filtered",    "allowed",     "allowed_port",
      "inbound_all_ports", "outbound_all_ports", "inbound_all", "outbound_all"};

  /// Adds to `batch` what makes the kernel have `changed` as it is at `now`.
  void update(TimePoint now, const Nat44Mappings& mappings, std::span<const Number> changed,
              io::NftBatch& batch);
  /// As if the kernel had nothing.
  void forget() {
    present_.clear();
    leftovers_.clear();
  }
  /// Elements of an earlier run, which stay until something takes their place, or remove_leftovers().
  void adopt(std::string_view set, const std::vector<io::NftFound>& elements);
  void remove_leftovers(io::NftBatch& batch);
  [[nodiscard]] auto leftover_count() const -> std::size_t { return leftovers_.size(); }

 private:
  /// What elements follow from.
  struct Form {
    MappingKey key;
    Endpoint external;
    std::uint16_t port_count = 0;
    bool is_inbound = false;
    std::vector<RemoteFilter> filters{};
    Seconds timeout{};
  };
  static void append(const Form& form, std::vector<io::NftElement>& elements);
  /// What the kernel should have of a mapping; no ports if nothing.
  [[nodiscard]] static auto wanted(TimePoint now, const Nat44Mappings::Mapping& mapping) -> Form;

  std::unordered_map<Number, Form> present_;
  std::map<std::pair<std::string_view, std::vector<std::byte>>, io::NftElement> leftovers_;
};

}  // namespace portolan::device
