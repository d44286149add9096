// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/operations.h"

namespace portolan::device {
namespace {

auto refusal_of(nat::InstallError error) -> Refusal {
  switch (error) {
    case nat::InstallError::cannot_provide_external: return Refusal::cannot_provide_external;
    case nat::InstallError::no_resources: return Refusal::no_resources;
    case nat::InstallError::unsupported_protocol: return Refusal::unsupported_protocol;
    case nat::InstallError::not_inside: return Refusal::not_inside;
    case nat::InstallError::network_failure: return Refusal::network_failure;
  }
  return Refusal::no_resources;
}

auto install(nat::Nat64& nat64, TimePoint now, const Install& wanted) -> Result {
  const bool exact = wanted.match == Match::exact;
  nat::Suggestion suggestion{.external_address = {}, .external_port = wanted.external_port, .exact = exact};
  if (wanted.external_address.is_ipv4() && !wanted.external_address.is_unspecified())
    suggestion.external_address = wanted.external_address.ipv4();
  else if (!wanted.external_address.is_unspecified() && exact)
    return std::unexpected(Refusal::cannot_provide_external);
  const auto external = nat64.install(now, wanted.key, suggestion, wanted.lifetime);
  if (!external) return std::unexpected(refusal_of(external.error()));
  return Applied{.external_address = IpAddress{external->address},
                 .external_port = external->port,
                 .lifetime = wanted.lifetime};
}

auto remove(nat::Nat64& nat64, TimePoint now, const Remove& unwanted) -> Result {
  const auto removed = nat64.remove(now, unwanted.key);
  if (!removed)
    return Applied{.external_address = IpAddress::unspecified(unwanted.key.external_family),
                   .external_port = {},
                   .lifetime = {}};
  return Applied{.external_address = IpAddress{removed->external.address},
                 .external_port = removed->external.port,
                 .lifetime = removed->remaining};
}

}  // namespace

auto apply(nat::Nat64& nat64, TimePoint now, const Operation& operation) -> Result {
  if (const auto* wanted = std::get_if<Install>(&operation)) return install(nat64, now, *wanted);
  if (const auto* unwanted = std::get_if<Remove>(&operation)) return remove(nat64, now, *unwanted);
  return std::unexpected(Refusal::unsupported_protocol);
}

}  // namespace portolan::device
