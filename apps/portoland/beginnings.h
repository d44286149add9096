// SPDX-License-Identifier: BSD-2-Clause
//
// How devices in this process begin: they have nothing that an earlier run promised, and get it once they
// have the addresses it is at.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <vector>

#include "device/device.h"

namespace portolan::portoland {

class Beginnings {
 public:
  struct Beginning {
    /// The device's among others (device::SeveralDevices::Place); 0 of one that is alone.
    std::size_t place = 0;
    /// Whether what was promised can be where it was: before, it would be lost, or move.
    std::function<bool()> is_ready;
    /// Whether the device gives addresses to whoever asks; if it has none, it says so itself.
    std::function<bool()> has_addresses;
    device::Device::InventoryHandler inventory;
  };

  void add(Beginning beginning) { pending_.push_back(std::move(beginning)); }
  /// Tells an empty inventory of each that has become ready since.
  void connect();
  /// Whether the device there is yet to get what was promised, and could give it away.
  [[nodiscard]] auto awaits(std::size_t place) const -> bool;
  /// `inventory`, but that what the device there tells before connect() did is not told: the server would
  /// begin with a device that is not ready. This outlives it.
  [[nodiscard]] auto after(std::size_t place, device::Device::InventoryHandler inventory)
      -> device::Device::InventoryHandler;

 private:
  std::vector<Beginning> pending_;
  /// Places of those that have begun.
  std::set<std::size_t> begun_;
};

}  // namespace portolan::portoland
