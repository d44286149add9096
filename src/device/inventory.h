// SPDX-License-Identifier: BSD-2-Clause
//
// What a device holds for the server: what both compare when they meet again after one of them was away.
#pragma once

#include <cstdint>
#include <vector>

#include "base/address.h"
#include "base/mapping_key.h"
#include "base/port_range.h"
#include "base/remote_filter.h"
#include "base/time.h"

namespace portolan::device {

/// An explicit mapping, a port set as a whole.
struct MappingRecord {
  MappingKey key;
  IpAddress external_address;
  Port external_port;
  std::uint16_t port_count = 1;
  Seconds remaining{};
  /// As the device applies them: what means the same may be written in another way than in Install.
  std::vector<RemoteFilter> filters{};
  PortRange external_ports{};
  bool is_bound_to_address = false;
  bool preserve_parity = false;

  auto operator==(const MappingRecord&) const -> bool = default;
};

/// A five-tuple that InstallPeer keeps.
struct PeerRecord {
  MappingKey key;
  Endpoint remote_peer;
  IpAddress external_address;
  Port external_port;
  Seconds remaining{};

  auto operator==(const PeerRecord&) const -> bool = default;
};

}  // namespace portolan::device
