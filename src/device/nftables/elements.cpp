// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/elements.h"

#include <algorithm>
#include <array>

#include "device/consecutive.h"
#include "device/nftables/filter_elements.h"

namespace portolan::device {
namespace {

/// The program ends mappings when they are due; the kernel does so much later, if no program is left to.
constexpr Seconds grace{60};
/// More than the kernel's clock can count is as good as for ever.
constexpr Seconds timeout_max{100LL * 365 * 86400};

auto octets_of(const io::NftFields& fields) -> std::vector<std::byte> {
  return {fields.octets().begin(), fields.octets().end()};
}

}  // namespace

auto NftablesElements::wanted(TimePoint now, const NftablesMappings::Mapping& mapping) -> Form {
  const bool is_explicit = mapping.is_explicit(now);
  const TimePoint until = std::max(mapping.explicit_until, mapping.peers_until());
  if (!is_explicit && until <= now) return {};
  return {.key = mapping.key,
          .external = mapping.external,
          .port_count = mapping.port_count,
          .is_inbound = is_explicit,
          .filters = is_explicit ? without_overlaps(mapping.filters) : std::vector<RemoteFilter>{},
          .timeout = std::min(std::chrono::ceil<Seconds>(until - now) + grace, timeout_max)};
}

auto NftablesElements::sets(Family family) -> std::span<const std::string_view> {
  static constexpr std::array<std::string_view, 9> nat44{
      "inbound",      "inbound_all_ports", "inbound_all", "outbound",    "outbound_all_ports",
      "outbound_all", "filtered",          "allowed",     "allowed_port"};
  static constexpr std::array<std::string_view, 6> firewall6{
      "pinholes", "pinholes_all_ports", "pinholes_all", "filtered", "allowed", "allowed_port"};
  return family == Family::ipv4 ? std::span<const std::string_view>(nat44)
                                : std::span<const std::string_view>(firewall6);
}

void NftablesElements::append(const Form& form, std::vector<io::NftElement>& elements) const {
  const auto add = [&](std::string_view set, const io::NftFields& key, const io::NftFields& data = {}) {
    elements.push_back({.set = set, .key = key, .data = data, .timeout = form.timeout});
  };
  const bool is_nat = family_ == Family::ipv4;
  const Protocol protocol = form.key.protocol;
  const auto host = io::NftFields().add(form.key.internal_address);
  const auto outside_host = io::NftFields().add(form.external.address);
  if (protocol == Protocol::all) {
    if (!is_nat) return add("pinholes_all", host);
    add("inbound_all", outside_host, host);
    return add("outbound_all", host, outside_host);
  }
  if (form.key.internal_port == Port{0}) {
    const auto ports = io::NftFields().add(protocol).add(form.key.internal_address);
    if (!is_nat) return add("pinholes_all_ports", ports);
    add("inbound_all_ports", io::NftFields().add(protocol).add(form.external.address), host);
    return add("outbound_all_ports", ports, outside_host);
  }
  for (std::uint16_t i = 0; i < form.port_count; ++i) {
    const Port internal = ith(form.key.internal_port, i);
    const Port external = ith(form.external.port, i);
    const auto socket = io::NftFields().add(protocol).add(form.key.internal_address).add(internal);
    if (is_nat) add("outbound", socket, io::NftFields().add(form.external.address).add(external));
    if (!form.is_inbound) continue;
    if (is_nat)
      add("inbound", io::NftFields().add(protocol).add(form.external.address).add(external),
          io::NftFields().add(form.key.internal_address).add(internal));
    else
      add("pinholes", socket);
    if (form.filters.empty()) continue;
    add("filtered", socket);
    for (const RemoteFilter& filter : form.filters)
      elements.push_back(filter_element(socket, filter, family_, form.timeout));
  }
}

void NftablesElements::update(TimePoint now, const NftablesMappings& mappings,
                              std::span<const Number> changed, io::NftBatch& batch) {
  std::vector<io::NftElement> removed;
  std::vector<io::NftElement> added;
  std::vector<Number> numbers(changed.begin(), changed.end());
  std::ranges::sort(numbers);
  const auto [end, last] = std::ranges::unique(numbers);
  numbers.erase(end, last);
  for (const Number number : numbers) {
    if (const auto former = present_.find(number); former != present_.end()) {
      append(former->second, removed);
      present_.erase(former);
    }
    const NftablesMappings::Mapping* const mapping = mappings.mapping(number);
    Form form = mapping != nullptr ? wanted(now, *mapping) : Form{};
    if (form.port_count == 0) continue;
    append(form, added);
    present_.emplace(number, std::move(form));
  }
  for (const io::NftElement& element : removed) batch.remove(element);
  for (const io::NftElement& element : added) {
    if (!leftovers_.empty())
      if (const auto same = leftovers_.find({element.set, octets_of(element.key)});
          same != leftovers_.end()) {
        batch.remove(same->second);
        leftovers_.erase(same);
      }
    batch.add(element);
  }
}

void NftablesElements::adopt(std::string_view set, const std::vector<io::NftFound>& elements) {
  for (const io::NftFound& found : elements)
    leftovers_[{set, octets_of(found.key)}] = {.set = set, .key = found.key, .key_end = found.key_end};
}

void NftablesElements::remove_leftovers(io::NftBatch& batch) {
  for (const auto& [key, element] : leftovers_) batch.remove(element);
  leftovers_.clear();
}

}  // namespace portolan::device
