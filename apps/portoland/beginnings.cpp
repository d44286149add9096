// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/beginnings.h"

#include <algorithm>
#include <utility>

namespace portolan::portoland {

void Beginnings::connect() {
  for (std::size_t i = 0; i < pending_.size();) {
    if (!pending_[i].is_ready()) {
      ++i;
      continue;
    }
    const Beginning ready = std::move(pending_[i]);
    pending_.erase(pending_.begin() + static_cast<std::ptrdiff_t>(i));
    begun_.insert(ready.place);
    ready.inventory({});
  }
}

auto Beginnings::awaits(std::size_t place) const -> bool {
  return std::ranges::any_of(
      pending_, [&](const Beginning& each) { return each.place == place && each.has_addresses(); });
}

auto Beginnings::after(std::size_t place, device::Device::InventoryHandler inventory)
    -> device::Device::InventoryHandler {
  return [this, place, inventory = std::move(inventory)](device::Inventory told) {
    if (begun_.contains(place)) inventory(std::move(told));
  };
}

}  // namespace portolan::portoland
