// SPDX-License-Identifier: BSD-2-Clause
//
// What goes into the server engine and what it wants done. The program that drives the engine carries
// actions out in any order and reports device and store completions back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "device/device.h"
#include "server/device_profiles.h"
#include "server/management.h"
#include "store/store.h"

namespace portolan::server {

/// Where a request came in, hence where its answer leaves. Opaque to the engine but for `inside`.
struct Path {
  IpAddress local_address;
  std::uint32_t interface_index = 0;
  /// Index into Config::inside.
  std::size_t inside = 0;
  auto operator==(const Path&) const -> bool = default;
};

/// A datagram received on an inside interface; `payload` is borrowed for the call.
struct Inbound {
  Endpoint client;
  Path path;
  std::span<const std::byte> payload;

  /// Whether it speaks NAT-PMP (RFC 6886 s1.1), which IPv4 hosts do.
  [[nodiscard]] auto is_nat_pmp() const -> bool {
    return client.address.is_ipv4() && !payload.empty() && payload[0] == std::byte{0};
  }
};

struct Apply {
  device::BatchId batch;
  std::vector<device::Operation> operations;
  /// For Device::reconcile() instead of apply().
  bool reconciles = false;
};

struct Commit {
  store::CommitId commit;
  std::vector<store::Row> rows;
};

/// Octets of Actions::octets.
struct Message {
  std::size_t offset = 0;
  std::size_t size = 0;
};

struct Send {
  Endpoint client;
  Path path;
  Message message;
};

/// To all hosts of an inside interface: 224.0.0.1 or ff02::1, port 5350, from the port that requests come
/// to (RFC 6887 s14.1.3).
struct Multicast {
  std::size_t inside = 0;
  Family family = Family::ipv6;
  Message message;
};

/// The device did not make a mapping of Config::static_mappings; it is asked again.
struct RefusedStatic {
  MappingKey key;
  device::Refusal refusal{};
};

struct Actions {
  std::vector<Apply> apply;
  std::vector<Commit> commit;
  std::vector<Send> send;
  std::vector<Multicast> multicast;
  /// For the operator; each refusal is told once until it is another.
  std::vector<RefusedStatic> refused_statics;
  /// The same of profiles; the device is asked again when it is back, or when the profile is another.
  std::vector<RefusedProfile> refused_profiles;
  /// Of the operator's; what was overruled by the configuration.
  std::vector<Finished> finished;
  std::vector<Overruled> overruled;
  /// The device has all that was promised: after `apply`.
  bool reconciled = false;
  /// The messages, one behind the other.
  std::vector<std::byte> octets;

  [[nodiscard]] auto octets_of(const Message& message) const -> std::span<const std::byte> {
    return std::span(octets).subspan(message.offset, message.size);
  }
};

}  // namespace portolan::server
