// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/engine_config.h"

#include <gtest/gtest.h>

namespace portolan::portoland {
namespace {

TEST(EngineConfig, a_nat64_speaks_no_nat_pmp) {
  Settings settings;
  settings.device = DeviceKind::simulated;
  EXPECT_TRUE(server_config(settings, {}).nat_pmp);
  for (const DeviceKind device : {DeviceKind::nat64, DeviceKind::nat64_remote}) {
    settings.device = device;
    EXPECT_FALSE(server_config(settings, {}).nat_pmp);
  }
}

}  // namespace
}  // namespace portolan::portoland
