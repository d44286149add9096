// SPDX-License-Identifier: BSD-2-Clause
//
// The NAT44 of the kernel through its device interface: the suite every device runs, and what is its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "device/nftables/netns/test_nat44.h"
#include "device/nftables/nftables_device.h"
#include "device/pool_contract_test.h"
#include "device/port_range_contract_test.h"

namespace portolan::device {

using testing::Nat44UnderTest;

INSTANTIATE_TYPED_TEST_SUITE_P(Nat44, DeviceContract, Nat44UnderTest);
INSTANTIATE_TYPED_TEST_SUITE_P(Nat44, DevicePoolContract, Nat44UnderTest);
INSTANTIATE_TYPED_TEST_SUITE_P(Nat44, DevicePortRangeContract, Nat44UnderTest);

}  // namespace portolan::device
