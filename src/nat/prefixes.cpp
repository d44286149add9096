// SPDX-License-Identifier: BSD-2-Clause
#include "nat/prefixes.h"

#include <algorithm>

#include "base/check.h"

namespace portolan::nat {

auto make_embedding(const Prefix& prefix) -> Embedding {
  Embedding embedding{};
  std::copy_n(prefix.address().bits().octets.begin(), sizeof embedding.prefix, embedding.prefix);
  embedding.length = static_cast<std::uint8_t>(prefix.length());
  return embedding;
}

Prefixes::Prefixes(const Config& config) {
  const auto add = [&](const Prefix& prefix) {
    PORTOLAN_CHECK(count_ < each_.size());
    Each& each = each_[count_++];
    each = {.embedding = make_embedding(prefix),
            .is_well_known = prefix == *Prefix::parse("64:ff9b::/96"),
            .high = 0,
            .low = 0,
            .high_mask = 0,
            .low_mask = 0};
    std::array<std::uint8_t, 16> mask{};
    std::fill_n(mask.begin(), prefix.length() / 8, std::uint8_t{0xff});
    std::memcpy(&each.high, each.embedding.prefix, sizeof each.high);
    std::memcpy(&each.low, each.embedding.prefix + sizeof each.high, sizeof each.low);
    std::memcpy(&each.high_mask, mask.data(), sizeof each.high_mask);
    std::memcpy(&each.low_mask, mask.data() + sizeof each.high_mask, sizeof each.low_mask);
  };
  add(config.prefix);
  for (const Prefix& prefix : config.more_prefixes) add(prefix);
}

AddressSet::AddressSet(const std::vector<Prefix>& prefixes) {
  constexpr unsigned ipv4_bits_at = 96;
  for (const Prefix& prefix : prefixes) {
    const std::uint32_t first = load32(prefix.address().bits().octets.data() + 12);
    const std::uint64_t size = std::uint64_t{1} << (128 - std::max(prefix.length(), ipv4_bits_at));
    ranges_.push_back({.first = first, .last = static_cast<std::uint32_t>(first + (size - 1))});
  }
  std::ranges::sort(ranges_, {}, &Range::first);
  std::vector<Range> apart;
  for (const Range& range : ranges_) {
    if (!apart.empty() && range.first <= apart.back().last)
      apart.back().last = std::max(apart.back().last, range.last);
    else
      apart.push_back(range);
  }
  ranges_ = std::move(apart);
}

auto AddressSet::is_in_range(std::uint32_t address) const -> bool {
  const auto after = std::ranges::upper_bound(ranges_, address, {}, &Range::first);
  return after != ranges_.begin() && address <= std::prev(after)->last;
}

}  // namespace portolan::nat
