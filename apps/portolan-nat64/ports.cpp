// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/ports.h"

#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/stream.h"

namespace portolan::nat64 {
namespace {

using nlohmann::ordered_json;

auto kind_of(nat::PortHolder::Kind kind) -> std::string_view {
  switch (kind) {
    case nat::PortHolder::Kind::subscriber: return "subscriber";
    case nat::PortHolder::Kind::dynamic: return "dynamic";
    case nat::PortHolder::Kind::nobody: return "nobody";
    case nat::PortHolder::Kind::reserved: return "reserved";
    case nat::PortHolder::Kind::elsewhere: return "elsewhere";
  }
  return "elsewhere";
}

auto told(const nat::PortHolder& holder) -> std::string {
  switch (holder.kind) {
    case nat::PortHolder::Kind::subscriber: return to_string(holder.subscriber);
    case nat::PortHolder::Kind::dynamic: return "dynamic: the log tells who had it";
    case nat::PortHolder::Kind::nobody: return "nobody's";
    case nat::PortHolder::Kind::reserved: return "reserved: no host has it";
    case nat::PortHolder::Kind::elsewhere: break;
  }
  return "not an address of the pool";
}

auto answer(const nat::PortPlan& plan, const Endpoint& external) -> PortsAnswer {
  const nat::PortHolder holder = plan.holder_of(external.address.ipv4(), external.port);
  const bool is_subscribers = holder.kind == nat::PortHolder::Kind::subscriber;
  ordered_json json{{"external-ip-address", to_string(external.address)},
                    {"external-port", external.port.value},
                    {"holder", kind_of(holder.kind)}};
  if (is_subscribers) json["subscriber"] = to_string(holder.subscriber);
  return {.text = fmt::format("{} {}", external, told(holder)),
          .json = json.dump(),
          .is_subscribers = is_subscribers};
}

auto answer(const nat::PortPlan& plan, const IpAddress& inside) -> PortsAnswer {
  const auto ports = plan.ports_of(inside.bits());
  const Prefix subscriber(inside, plan.subscriber_prefix_length());
  ordered_json json{{"subscriber", to_string(subscriber)}};
  if (!ports) {
    json["external-ip-address"] = nullptr;
    return {.text = fmt::format("{} is not in {}: it has dynamic ports only", inside, plan.inside()),
            .json = json.dump(),
            .is_subscribers = false};
  }
  json["external-ip-address"] = to_string(ports->address);
  json["start-port-number"] = ports->ports.first.value;
  json["end-port-number"] = ports->ports.last.value;
  std::string text =
      fmt::format("{} {} ports {}-{}", subscriber, ports->address, ports->ports.first, ports->ports.last);
  if (const auto dynamic = plan.dynamic_at(ports->address)) {
    json["dynamic-start-port-number"] = dynamic->first.value;
    json["dynamic-end-port-number"] = dynamic->last.value;
    text += fmt::format(", then dynamic ones of {}-{}", dynamic->first, dynamic->last);
  }
  return {.text = std::move(text), .json = json.dump(), .is_subscribers = true};
}

}  // namespace

auto ports_of(const nat::PortPlan& plan, std::string_view who) -> std::expected<PortsAnswer, std::string> {
  if (const auto address = IpAddress::parse(who); address && !address->is_ipv4())
    return answer(plan, *address);
  if (const auto prefix = Prefix::parse(who); prefix && !prefix->address().is_ipv4()) {
    if (prefix->length() >= plan.subscriber_prefix_length()) return answer(plan, prefix->address());
    return std::unexpected(fmt::format("is more than one subscriber: write a prefix of at least {} bits",
                                       plan.subscriber_prefix_length()));
  }
  const auto external = io::parse_stream_address(fmt::format("tls:{}", who));
  if (external && external->endpoint.address.is_ipv4()) return answer(plan, external->endpoint);
  return std::unexpected(
      "write an inside address such as 2001:db8:112::2, or an external one with its port: "
      "192.0.2.14:4000");
}

}  // namespace portolan::nat64
