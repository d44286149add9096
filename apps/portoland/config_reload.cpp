// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/config_reload.h"

#include "gateway/advertisement_reader.h"
#include "gateway/confinement_reader.h"
#include "gateway/nat64_config_reader.h"
#include "portoland/config_management.h"
#include "portoland/config_nftables.h"

namespace portolan::portoland::detail {

using gateway::Comparison;

void refuse_changes(Reader& reader, const toml::table& root, const Settings& wanted,
                    const Settings& running) {
  Comparison top(reader, root, "");
  top.fixed("store", wanted.store, running.store);
  top.fixed("store_path", wanted.store_path, running.store_path);
  top.fixed("runtime_directory", wanted.runtime_directory, running.runtime_directory);
  top.fixed("inside", wanted.inside, running.inside);
  Comparison pcp(reader, root, "pcp");
  pcp.fixed("listen_port", wanted.listen_port, running.listen_port);
  pcp.fixed("receive_buffer", wanted.receive_buffer_bytes, running.receive_buffer_bytes);
  pcp.fixed("mappings_max", wanted.server.mappings_max, running.server.mappings_max);
  pcp.fixed("epoch", wanted.server.epoch_scope, running.server.epoch_scope);
  gateway::refuse_changes(reader, root, wanted.confinement, running.confinement);
  gateway::refuse_changes(reader, root, wanted.advertisement, running.advertisement);
  // The usual socket is in that directory.
  if (wanted.runtime_directory == running.runtime_directory)
    refuse_management_changes(reader, root, wanted.management, running.management);
  top.fixed("device", wanted.devices, running.devices);
  if (wanted.devices != running.devices) return;
  if (wanted.has(DeviceKind::simulated)) {
    Comparison simulated(reader, root, "simulated");
    simulated.fixed("first_port", wanted.simulated.first_port, running.simulated.first_port);
    simulated.fixed("last_port", wanted.simulated.last_port, running.simulated.last_port);
    if (wanted.simulated.pool.front().family() != running.simulated.pool.front().family())
      simulated.fixed("pool", wanted.simulated.pool, running.simulated.pool);
  }
  if (wanted.has(DeviceKind::nat64_remote)) {
    Comparison remote(reader, root, "nat64_remote");
    remote.fixed("connect", wanted.remote.connect, running.remote.connect);
    remote.fixed("certificate", wanted.remote.tls.certificate, running.remote.tls.certificate);
    remote.fixed("key", wanted.remote.tls.key, running.remote.tls.key);
    remote.fixed("authorities", wanted.remote.tls.authorities, running.remote.tls.authorities);
    remote.fixed("peer_name", wanted.remote.tls.peer_name, running.remote.tls.peer_name);
  }
  if (wanted.has(DeviceKind::nat64)) gateway::refuse_changes(reader, root, wanted.nat64, running.nat64);
  if (wanted.has(DeviceKind::nat44)) refuse_changes(reader, root, wanted.nat44, running.nat44);
  if (wanted.has(DeviceKind::firewall6)) refuse_changes(reader, root, wanted.firewall6, running.firewall6);
}

}  // namespace portolan::portoland::detail
