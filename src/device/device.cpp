// SPDX-License-Identifier: BSD-2-Clause
#include "device/device.h"

namespace portolan::device {

auto to_string(Refusal refusal) -> std::string_view {
  switch (refusal) {
    case Refusal::cannot_provide_external: return "cannot provide external";
    case Refusal::no_resources: return "no resources";
    case Refusal::unsupported_protocol: return "unsupported protocol";
    case Refusal::not_inside: return "not an inside address";
    case Refusal::network_failure: return "network failure";
    case Refusal::excessive_filters: return "excessive filters";
    case Refusal::outbound_mapping: return "outbound mapping";
    case Refusal::remote_peer_invalid: return "remote peer invalid";
    case Refusal::unreachable: return "the device can't be reached";
    case Refusal::profile_unsupported: return "profile unsupported";
  }
  return "unknown refusal";
}

}  // namespace portolan::device
