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
#include "store/store.h"
#include "wire/message.h"

namespace portolan::server {

/// Where a request came in, hence where its answer leaves. Opaque to the engine but for `inside`.
struct Path {
  IpAddress local_address;
  std::uint32_t interface_index = 0;
  /// Index into Config::inside.
  std::size_t inside = 0;
};

/// A datagram received on an inside interface; `payload` is borrowed for the call.
struct Inbound {
  Endpoint client;
  Path path;
  std::span<const std::byte> payload;
};

struct Apply {
  device::BatchId batch;
  std::vector<device::Operation> operations;
};

struct Commit {
  store::CommitId commit;
  std::vector<store::Row> rows;
};

struct Send {
  Endpoint client;
  Path path;
  wire::Datagram datagram;
};

struct Actions {
  std::vector<Apply> apply;
  std::vector<Commit> commit;
  std::vector<Send> send;
};

}  // namespace portolan::server
