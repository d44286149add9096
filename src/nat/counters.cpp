// SPDX-License-Identifier: BSD-2-Clause
#include "nat/counters.h"

namespace portolan::nat {

auto to_string(DropReason reason) -> std::string_view {
  switch (reason) {
    case DropReason::none: return "none";
    case DropReason::malformed: return "malformed";
    case DropReason::truncated: return "truncated";
    case DropReason::bad_checksum: return "bad_checksum";
    case DropReason::bad_offload: return "bad_offload";
    case DropReason::too_long: return "too_long";
    case DropReason::fragment: return "fragment";
    case DropReason::left_to_host: return "left_to_host";
    case DropReason::fragments_malformed: return "fragments_malformed";
    case DropReason::fragments_incomplete: return "fragments_incomplete";
    case DropReason::extension_in_fragment: return "extension_in_fragment";
    case DropReason::unsupported_protocol: return "unsupported_protocol";
    case DropReason::source_route: return "source_route";
    case DropReason::routing_header: return "routing_header";
    case DropReason::illegal_source: return "illegal_source";
    case DropReason::illegal_destination: return "illegal_destination";
    case DropReason::source_in_prefix: return "source_in_prefix";
    case DropReason::destination_not_in_prefix: return "destination_not_in_prefix";
    case DropReason::destination_not_in_pool: return "destination_not_in_pool";
    case DropReason::non_global_ipv4: return "non_global_ipv4";
    case DropReason::untranslated: return "untranslated";
    case DropReason::hop_limit_exceeded: return "hop_limit_exceeded";
    case DropReason::filtered: return "filtered";
    case DropReason::unsolicited_syn: return "unsolicited_syn";
    case DropReason::no_mapping: return "no_mapping";
    case DropReason::not_reconciled: return "not_reconciled";
    case DropReason::bindings_exhausted: return "bindings_exhausted";
    case DropReason::sessions_exhausted: return "sessions_exhausted";
    case DropReason::subscribers_exhausted: return "subscribers_exhausted";
    case DropReason::subscriber_sessions_exhausted: return "subscriber_sessions_exhausted";
    case DropReason::subscriber_ports_exhausted: return "subscriber_ports_exhausted";
    case DropReason::subscriber_rate_exceeded: return "subscriber_rate_exceeded";
    case DropReason::ports_exhausted: return "ports_exhausted";
    case DropReason::too_big: return "too_big";
    case DropReason::fragments_lost: return "fragments_lost";
    case DropReason::icmp_unknown: return "icmp_unknown";
    case DropReason::icmp_untranslatable: return "icmp_untranslatable";
    case DropReason::end: break;
  }
  return "unknown";
}

auto to_string(Kind kind) -> std::string_view {
  switch (kind) {
    case Kind::udp: return "udp";
    case Kind::tcp: return "tcp";
    case Kind::icmp_echo: return "icmp_echo";
    case Kind::icmp_error: return "icmp_error";
    case Kind::end: break;
  }
  return "unknown";
}

}  // namespace portolan::nat
