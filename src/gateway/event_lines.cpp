// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/event_lines.h"

#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "io/event_file.h"

namespace portolan::gateway {
namespace {

/// RFC 8158 s4.3 natEvent, with a name for who reads the line.
struct NatEvent {
  std::string_view name;
  unsigned number = 0;
  unsigned quota = 0;  ///< s4.4 natQuotaExceededEvent, 0: none of them
};

auto exhaustion_of(const nat::Event& event) -> NatEvent {
  using nat::DropReason;
  switch (event.reason) {
    case DropReason::ports_exhausted:
      // Without an address of its own a host had the choice of all of them.
      return event.external == Ipv4Address{} ? NatEvent{.name = "addresses-exhausted", .number = 3}
                                             : NatEvent{.name = "ports-exhausted", .number = 12};
    case DropReason::sessions_exhausted: return {.name = "quota-exceeded", .number = 13, .quota = 1};
    case DropReason::bindings_exhausted: return {.name = "quota-exceeded", .number = 13, .quota = 2};
    case DropReason::subscriber_sessions_exhausted:
    case DropReason::subscriber_ports_exhausted: return {.name = "quota-exceeded", .number = 13, .quota = 3};
    case DropReason::subscribers_exhausted: return {.name = "quota-exceeded", .number = 13, .quota = 4};
    default: break;
  }
  return {.name = "quota-exceeded", .number = 13};
}

auto nat_event_of(const nat::Event& event) -> NatEvent {
  const std::string_view name = nat::to_string(event.kind);
  switch (event.kind) {
    case nat::EventKind::session_created: return {.name = name, .number = 6};
    case nat::EventKind::session_deleted: return {.name = name, .number = 7};
    case nat::EventKind::binding_created: return {.name = name, .number = 10};
    case nat::EventKind::binding_deleted: return {.name = name, .number = 11};
    case nat::EventKind::block_allocated: return {.name = name, .number = 16};
    case nat::EventKind::block_released: return {.name = name, .number = 17};
    case nat::EventKind::exhausted: return exhaustion_of(event);
    case nat::EventKind::end: break;
  }
  return {.name = name};
}

void append_endpoints(const nat::Event& event, std::string& out) {
  fmt::format_to(std::back_inserter(out),
                 R"(,"protocolIdentifier":{},"sourceIPv6Address":"{}","sourceTransportPort":{},)"
                 R"("postNATSourceIPv4Address":"{}","postNAPTSourceTransportPort":{})",
                 static_cast<unsigned>(event.protocol), event.internal, event.internal_port, event.external,
                 event.external_port);
}

}  // namespace

void append_line(const device::EventQueue::Entry& entry, std::string& out) {
  const nat::Event& event = entry.event;
  const NatEvent kind = nat_event_of(event);
  io::append_event(Nanoseconds{entry.time}, kind.name, out);
  const auto add = [&]<typename... Values>(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(out), format, std::forward<Values>(values)...);
  };
  add(R"(,"natEvent":{})", kind.number);
  switch (event.kind) {
    case nat::EventKind::session_created:
    case nat::EventKind::session_deleted:
      append_endpoints(event, out);
      // 1: inside, 2: outside.
      add(R"(,"natOriginatingAddressRealm":{})", event.is_outbound ? 1 : 2);
      if (event.remote != Ipv4Address{})
        add(R"(,"postNATDestinationIPv4Address":"{}","postNAPTDestinationTransportPort":{})", event.remote,
            event.remote_port);
      break;
    case nat::EventKind::binding_created:
    case nat::EventKind::binding_deleted: append_endpoints(event, out); break;
    case nat::EventKind::block_allocated:
    case nat::EventKind::block_released:
      add(R"(,"sourceIPv6Address":"{}","sourceIPv6PrefixLength":{},"postNATSourceIPv4Address":"{}",)"
          R"("portRangeStart":{},"portRangeEnd":{})",
          event.internal, unsigned{event.prefix_length}, event.external, event.external_port,
          event.last_port);
      break;
    case nat::EventKind::exhausted:
      if (kind.quota != 0) add(R"(,"natQuotaExceededEvent":{})", kind.quota);
      add(R"(,"reason":"{}","packets":{})", nat::to_string(event.reason), event.packets);
      if (event.internal != Ipv6Address{}) add(R"(,"sourceIPv6Address":"{}")", event.internal);
      if (event.external != Ipv4Address{}) add(R"(,"postNATSourceIPv4Address":"{}")", event.external);
      break;
    case nat::EventKind::end: break;
  }
  out += "}\n";
}

auto place_of(const nat::Event& event) -> std::string {
  std::string text;
  if (event.internal != Ipv6Address{}) text += fmt::format(", from {}", event.internal);
  if (event.external != Ipv4Address{}) text += fmt::format(", at {}", event.external);
  return text;
}

}  // namespace portolan::gateway
