// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/beginnings.h"

#include <gmock/gmock.h>

namespace portolan::portoland {
namespace {

using ::testing::ElementsAre;

/// A NAT64 with a pool that waits for its own address, and a firewall.
struct World {
  World() {
    beginnings.add({.place = 0,
                    .is_ready = [this] { return is_settled; },
                    .has_addresses = [this] { return has_addresses; },
                    .inventory = teller("nat64")});
    beginnings.add({.place = 1,
                    .is_ready = [] { return true; },
                    .has_addresses = [] { return true; },
                    .inventory = teller("firewall6")});
  }
  auto teller(std::string name) -> device::Device::InventoryHandler {
    return [this, name = std::move(name)](const device::Inventory& inventory) {
      EXPECT_TRUE(inventory.is_first && inventory.is_last);
      told.push_back(name);
    };
  }

  Beginnings beginnings;
  bool is_settled = false;
  bool has_addresses = true;
  std::vector<std::string> told;
};

TEST(Beginnings, each_device_begins_once_it_is_ready) {
  World world;
  world.beginnings.connect();
  EXPECT_THAT(world.told, ElementsAre("firewall6"));
  world.beginnings.connect();
  world.is_settled = true;
  EXPECT_THAT(world.told, ElementsAre("firewall6"));
  world.beginnings.connect();
  world.beginnings.connect();
  EXPECT_THAT(world.told, ElementsAre("firewall6", "nat64"));
}

TEST(Beginnings, a_device_that_could_give_away_what_was_promised_awaits_it) {
  World world;
  EXPECT_TRUE(world.beginnings.awaits(0));
  EXPECT_TRUE(world.beginnings.awaits(1));
  EXPECT_FALSE(world.beginnings.awaits(2)) << "that one is in another process";
  world.beginnings.connect();
  EXPECT_TRUE(world.beginnings.awaits(0));
  EXPECT_FALSE(world.beginnings.awaits(1));
  world.has_addresses = false;
  EXPECT_FALSE(world.beginnings.awaits(0)) << "it refuses, and hosts are told so";
  world.has_addresses = true;
  world.is_settled = true;
  world.beginnings.connect();
  EXPECT_FALSE(world.beginnings.awaits(0));
}

TEST(Beginnings, what_a_device_tells_before_it_has_begun_is_not_told) {
  World world;
  const auto tell = world.beginnings.after(0, world.teller("nat64 again"));
  world.beginnings.connect();
  tell({});
  EXPECT_THAT(world.told, ElementsAre("firewall6"));
  world.is_settled = true;
  world.beginnings.connect();
  tell({});
  EXPECT_THAT(world.told, ElementsAre("firewall6", "nat64", "nat64 again"));
}

}  // namespace
}  // namespace portolan::portoland
