// SPDX-License-Identifier: BSD-2-Clause
//
// Listening to what routers say of the network's NAT64.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "discovery/nat64_prefix.h"

namespace portolan {

/// Learns what routers advertise in so many seconds. Blocks; what went wrong is a remark.
void hear_advertisements(Seconds wait, discovery::Nat64Prefixes& prefixes, std::vector<std::string>& remarks);

}  // namespace portolan
