// SPDX-License-Identifier: BSD-2-Clause
//
// Mappings as elements of the sets of nat44.nft or firewall6.nft, and which of them the kernel has.
#pragma once

#include <map>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "device/nftables/mappings.h"
#include "io/nft_table.h"

namespace portolan::device {

class NftablesElements {
 public:
  using Number = NftablesMappings::Number;

  explicit NftablesElements(Family family) : family_(family) {}

  /// All sets of the table of `family` that mappings have elements in.
  [[nodiscard]] static auto sets(Family family) -> std::span<const std::string_view>;

  /// Adds to `batch` what makes the kernel have `changed` as it is at `now`.
  void update(TimePoint now, const NftablesMappings& mappings, std::span<const Number> changed,
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
  void append(const Form& form, std::vector<io::NftElement>& elements) const;
  /// What the kernel should have of a mapping; no ports if nothing.
  [[nodiscard]] static auto wanted(TimePoint now, const NftablesMappings::Mapping& mapping) -> Form;

  Family family_;
  std::unordered_map<Number, Form> present_;
  std::map<std::pair<std::string_view, std::vector<std::byte>>, io::NftElement> leftovers_;
};

}  // namespace portolan::device
