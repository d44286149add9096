// SPDX-License-Identifier: BSD-2-Clause
//
// What the server asks of the engine: explicit mappings (RFC 6887 s11.3, s15).
#include "nat/nat64.h"

namespace portolan::nat {

auto to_string(InstallError error) -> std::string_view {
  switch (error) {
    case InstallError::cannot_provide_external: return "cannot provide external";
    case InstallError::no_resources: return "no resources";
    case InstallError::unsupported_protocol: return "unsupported protocol";
    case InstallError::not_inside: return "not an inside address";
    case InstallError::network_failure: return "network failure";
  }
  return "unknown error";
}

auto Nat64::endpoint_of(const MappingKey& key) const -> std::expected<InternalEndpoint, InstallError> {
  const bool is_mappable = (key.protocol == Protocol::tcp || key.protocol == Protocol::udp) &&
                           key.internal_port != Port{0} && key.external_family == Family::ipv4;
  if (!is_mappable) return std::unexpected(InstallError::unsupported_protocol);
  const std::uint8_t* address = key.internal_address.bits().octets.data();
  if (key.realm != Realm{} || key.internal_address.is_ipv4() || !is_inside_address(address) ||
      is_embedded(embedding_, address))
    return std::unexpected(InstallError::not_inside);
  return InternalEndpoint{.address = key.internal_address.bits(),
                          .port = key.internal_port.value,
                          .base = key.protocol == Protocol::tcp ? Base::tcp : Base::udp};
}

auto Nat64::external_of(const Binding& binding) const -> External {
  return {.address = bindings_.pool_address(binding.pool_index), .port = Port{binding.external_port}};
}

auto Nat64::install(TimePoint now, const MappingKey& key, const Suggestion& suggestion, Seconds lifetime)
    -> std::expected<External, InstallError> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::unexpected(internal.error());
  if (!bindings_.has_pool()) return std::unexpected(InstallError::network_failure);
  Wanted wanted{.pool_index = std::nullopt,
                .port = suggestion.external_port.value,
                .exact = suggestion.exact,
                .is_explicit = true};
  if (suggestion.external_address) {
    wanted.pool_index = bindings_.pool_index(suggestion.external_address->value);
    if (!wanted.pool_index && suggestion.exact) return std::unexpected(InstallError::cannot_provide_external);
  }

  std::uint32_t number = bindings_.find(*internal);
  if (number != 0) {
    const External present = external_of(bindings_[number]);
    const bool fits = (!suggestion.external_address || *suggestion.external_address == present.address) &&
                      (suggestion.external_port == Port{0} || suggestion.external_port == present.port);
    if (suggestion.exact && !fits) return std::unexpected(InstallError::cannot_provide_external);
  } else {
    const auto made = bindings_.make(*internal, wanted);
    if (!made) {
      const bool asked = suggestion.external_port != Port{0} || suggestion.external_address;
      return std::unexpected(made.error() == DropReason::ports_exhausted && suggestion.exact && asked
                                 ? InstallError::cannot_provide_external
                                 : InstallError::no_resources);
    }
    number = *made;
    ++counters_.bindings_made;
  }
  Binding& binding = bindings_[number];
  if (!binding.is_explicit) ++counters_.explicit_bindings;
  binding.is_explicit = true;
  const TimePoint until = now + lifetime;
  explicit_until_[number] = until.time_since_epoch().count();
  explicit_wheel_.schedule(number, until, now);
  return external_of(binding);
}

auto Nat64::remove(TimePoint now, const MappingKey& key) -> std::optional<Removed> {
  const auto internal = endpoint_of(key);
  if (!internal) return std::nullopt;
  const std::uint32_t number = bindings_.find(*internal);
  if (number == 0 || !bindings_[number].is_explicit) return std::nullopt;
  explicit_wheel_.cancel(number);
  return end_explicit(number, now);
}

auto Nat64::end_explicit(std::uint32_t number, TimePoint now) -> Removed {
  Binding& binding = bindings_[number];
  binding.is_explicit = false;
  binding.was_explicit = true;
  --counters_.explicit_bindings;
  TimePoint last = now;
  // At most Limits::sessions_per_host of them.
  for (std::uint32_t i = binding.first_session; i != 0; i = sessions_[i].next)
    if (sessions_[i].is_outbound) last = std::max(last, sessions_.deadline(sessions_[i], now, false));
  const Removed removed{.external = external_of(binding),
                        .remaining = std::chrono::ceil<Seconds>(last - now - session_tick_length)};
  release_if_unused(number, now);
  return removed;
}

}  // namespace portolan::nat
