// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_reload.h"

namespace portolan::portoland::detail {
namespace {

constexpr std::string_view problem = "can't change while portoland runs: restart it to change this";

/// Compares the settings of one table.
class Comparison {
 public:
  Comparison(Reader& reader, const toml::table& root, std::string_view name)
      : reader_(reader), table_(name.empty() ? &root : root.get_as<toml::table>(name)) {
    if (!name.empty()) where_ = fmt::format("{}.", name);
  }

  void fixed(std::string_view key, const auto& wanted, const auto& running) {
    if (wanted == running) return;
    const auto name = fmt::format("{}{}", where_, key);
    const toml::node* node = table_ == nullptr ? nullptr : table_->get(key);
    if (node != nullptr) return reader_.fail(*node, name, problem);
    const unsigned line = table_ == nullptr ? 1 : std::max(table_->source().begin.line, 1U);
    reader_.fail_at(line, fmt::format("{} was given and is missing now: it {}", name, problem));
  }

 private:
  Reader& reader_;
  const toml::table* table_;
  std::string where_;
};

}  // namespace

void refuse_changes(Reader& reader, const toml::table& root, const Settings& wanted,
                    const Settings& running) {
  Comparison top(reader, root, "");
  top.fixed("runtime_directory", wanted.runtime_directory, running.runtime_directory);
  top.fixed("inside", wanted.inside, running.inside);
  Comparison pcp(reader, root, "pcp");
  pcp.fixed("listen_port", wanted.listen_port, running.listen_port);
  pcp.fixed("receive_buffer", wanted.receive_buffer_bytes, running.receive_buffer_bytes);
  pcp.fixed("mappings_max", wanted.server.mappings_max, running.server.mappings_max);
  pcp.fixed("epoch", wanted.server.epoch_scope, running.server.epoch_scope);
  top.fixed("device", wanted.device, running.device);
  if (wanted.device != running.device) return;
  if (wanted.device == DeviceKind::simulated) {
    Comparison simulated(reader, root, "simulated");
    simulated.fixed("first_port", wanted.simulated.first_port, running.simulated.first_port);
    simulated.fixed("last_port", wanted.simulated.last_port, running.simulated.last_port);
    if (wanted.simulated.pool.front().family() != running.simulated.pool.front().family())
      simulated.fixed("pool", wanted.simulated.pool, running.simulated.pool);
    return;
  }
  Comparison nat64(reader, root, "nat64");
  nat64.fixed("prefix", wanted.nat64.prefix, running.nat64.prefix);
  nat64.fixed("outside", wanted.nat64.outside, running.nat64.outside);
  nat64.fixed("tun", wanted.nat64.tun, running.nat64.tun);
  nat64.fixed("mtu", wanted.nat64.mtu, running.nat64.mtu);
  nat64.fixed("lowest_ipv6_mtu", wanted.nat64.lowest_ipv6_mtu, running.nat64.lowest_ipv6_mtu);
  nat64.fixed("mss_max", wanted.nat64.mss_max, running.nat64.mss_max);
  nat64.fixed("manage_forwarding", wanted.nat64.manage_forwarding, running.nat64.manage_forwarding);
  nat64.fixed("bindings_max", wanted.nat64.limits.bindings, running.nat64.limits.bindings);
  nat64.fixed("sessions_max", wanted.nat64.limits.sessions, running.nat64.limits.sessions);
  nat64.fixed("hosts_max", wanted.nat64.limits.hosts, running.nat64.limits.hosts);
  nat64.fixed("hold_downs_max", wanted.nat64.limits.hold_downs, running.nat64.limits.hold_downs);
  nat64.fixed("fragments_max", wanted.nat64.limits.fragments, running.nat64.limits.fragments);
  const nat::Timeouts& wanted_timeouts = wanted.nat64.timeouts;
  const nat::Timeouts& timeouts = running.nat64.timeouts;
  nat64.fixed("udp_timeout", wanted_timeouts.udp, timeouts.udp);
  nat64.fixed("tcp_established_timeout", wanted_timeouts.tcp_established, timeouts.tcp_established);
  nat64.fixed("tcp_transitory_timeout", wanted_timeouts.tcp_transitory, timeouts.tcp_transitory);
  nat64.fixed("icmp_timeout", wanted_timeouts.icmp, timeouts.icmp);
  nat64.fixed("hold_down", wanted_timeouts.hold_down, timeouts.hold_down);
  nat64.fixed("fragment_timeout", wanted_timeouts.fragment, timeouts.fragment);
}

}  // namespace portolan::portoland::detail
