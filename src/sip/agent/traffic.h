// SPDX-License-Identifier: BSD-2-Clause
//
// What a phone sends and receives besides media, for those who want to look: PCP's datagrams and SIP's
// messages.
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/address.h"

namespace portolan::sip {

/// A datagram, or a message on a TCP connection; valid during the call that tells of it.
struct Traffic {
  Protocol protocol = Protocol::udp;
  Endpoint source = {};
  Endpoint destination = {};
  std::span<const std::byte> octets = {};
};

using TrafficObserver = std::function<void(const Traffic&)>;

}  // namespace portolan::sip
