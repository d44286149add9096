// SPDX-License-Identifier: BSD-2-Clause
//
// portolan-nat64 ports: which external ports a host has, and which host has an external port, by the plan of
// a configuration (RFC 7422 s2). Asks nobody: the plan is all there is to know.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "nat/port_plan.h"

namespace portolan::nat64 {

struct PortsAnswer {
  std::string text;
  std::string json;
  bool is_subscribers = false;  ///< the plan tells whose it is, or has ports for it
};

/// In      who: an inside address or prefix, or an external address and port: "192.0.2.14:4000"
/// Errors  what `who` should have been
[[nodiscard]] auto ports_of(const nat::PortPlan& plan, std::string_view who)
    -> std::expected<PortsAnswer, std::string>;

}  // namespace portolan::nat64
