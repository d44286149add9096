// SPDX-License-Identifier: BSD-2-Clause
//
// What Nat64Device shows of its engine.
#include <utility>

#include "device/nat64/nat64_device.h"

namespace portolan::device {
namespace {

auto record_of(nat::MappingRow row) -> MappingRecord {
  return {.key = row.key,
          .external_address = row.external.address,
          .external_port = row.external.port,
          .port_count = row.port_count,
          .remaining = row.remaining,
          .filters = std::move(row.filters),
          .external_ports = row.external_ports,
          .is_bound_to_address = row.is_bound_to_address,
          .preserve_parity = row.preserve_parity};
}

auto record_of(const nat::ProfileRow& row) -> PutProfile {
  return {.realm = {},
          .internal_prefix = row.internal,
          .subscriber_prefix_length = row.asked.subscriber_prefix_length,
          .external_address = row.asked.external_address == Ipv4Address{}
                                  ? IpAddress{}
                                  : IpAddress{row.asked.external_address},
          .external_ports = row.asked.external_ports,
          .port_block_size = row.asked.port_block_size,
          .ports_max = row.asked.ports_max,
          .sessions_max = row.asked.sessions_max,
          .sessions_per_second_max = row.asked.sessions_per_second_max};
}

auto record_of(const nat::PeerRow& row) -> PeerRecord {
  return {.key = row.key,
          .remote_peer = row.remote_peer,
          .external_address = row.external.address,
          .external_port = row.external.port,
          .remaining = row.remaining};
}

}  // namespace

auto pool_use_of(const nat::Counters& counters) -> std::vector<PoolUse> {
  std::vector<PoolUse> pool;
  for (const nat::Base base : {nat::Base::tcp, nat::Base::udp, nat::Base::icmp}) {
    const auto place = static_cast<std::size_t>(base);
    pool.push_back({.protocol = nat::pcp_protocol(base),
                    .ports = counters.pool_ports[place],
                    .taken = counters.pool_ports_taken[place]});
  }
  return pool;
}

void Nat64Device::inventory(Cursor from, Take<InventoryPart> take) {
  workers_.submit(
      [answers = answers_, post = post_, from, take = std::move(take)](TimePoint now, nat::Nat64& nat64) {
        InventoryPart part;
        Cursor next = from;
        // Table 0: profiles; 1: mappings; 2: sessions that PEER keeps.
        if (from.table == 0) {
          std::vector<nat::ProfileRow> rows;
          next.place = nat64.view(now, {}, from.place, rows);
          for (const nat::ProfileRow& row : rows) part.profiles.push_back(record_of(row));
          if (next.place == 0) next.table = 1;
        } else if (from.table == 1) {
          std::vector<nat::MappingRow> rows;
          next.place = nat64.view(now, from.place, rows);
          for (nat::MappingRow& row : rows) part.mappings.push_back(record_of(std::move(row)));
          if (next.place == 0) next.table = 2;
        } else {
          std::vector<nat::PeerRow> rows;
          next.place = nat64.view(now, from.place, rows);
          for (const nat::PeerRow& row : rows) part.peers.push_back(record_of(row));
          next.is_end = next.place == 0;
        }
        post([answers, take, part = std::move(part), next]() mutable {
          if (!answers->is_device_gone) take(std::move(part), next);
        });
      });
}

template <typename Row>
void Nat64Device::view(const nat::RowFilter& filter, Cursor from, Take<std::vector<Row>> take) {
  workers_.submit([answers = answers_, post = post_, filter, from, take = std::move(take)](
                      TimePoint now, nat::Nat64& nat64) {
    std::vector<Row> rows;
    Cursor next = from;
    next.place = nat64.view(now, filter, from.place, rows);
    next.is_end = next.place == 0;
    post([answers, take, rows = std::move(rows), next]() mutable {
      if (!answers->is_device_gone) take(std::move(rows), next);
    });
  });
}

void Nat64Device::bindings(const nat::RowFilter& filter, Cursor from,
                           Take<std::vector<nat::BindingRow>> take) {
  view<nat::BindingRow>(filter, from, std::move(take));
}
void Nat64Device::sessions(const nat::RowFilter& filter, Cursor from,
                           Take<std::vector<nat::SessionRow>> take) {
  view<nat::SessionRow>(filter, from, std::move(take));
}
void Nat64Device::hosts(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::HostRow>> take) {
  view<nat::HostRow>(filter, from, std::move(take));
}
void Nat64Device::pools(const nat::RowFilter& filter, Cursor from, Take<std::vector<nat::PoolRow>> take) {
  view<nat::PoolRow>(filter, from, std::move(take));
}

void Nat64Device::profiles(const nat::RowFilter& filter, Cursor from,
                           Take<std::vector<nat::ProfileRow>> take) {
  view<nat::ProfileRow>(filter, from, std::move(take));
}

void Nat64Device::trace(const nat::TraceQuery& query, std::function<void(nat::TraceResult)> take) {
  workers_.submit(
      [answers = answers_, post = post_, query, take = std::move(take)](TimePoint now, nat::Nat64& nat64) {
        post([answers, take, result = nat64.trace(now, query)] {
          if (!answers->is_device_gone) take(result);
        });
      });
}

void Nat64Device::set_event_rules(nat::EventRules rules) {
  workers_.submit([events = &events_, rules = std::move(rules)](TimePoint, nat::Nat64& nat64) {
    nat64.set_events(events, rules);
  });
}

void Nat64Device::allow_implicit(bool is_allowed) {
  workers_.submit([is_allowed](TimePoint, nat::Nat64& nat64) { nat64.allow_implicit(is_allowed); });
}

}  // namespace portolan::device
