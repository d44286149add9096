// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/nat44_device.h"

#include <linux/netfilter/nf_conntrack_common.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

#include "device/nftables/filter_elements.h"
#include "device/nftables/ruleset.h"

namespace portolan::device {
namespace {

/// The kernel lets a UDP flow end 30 seconds after its last packet unless told otherwise; packets make it
/// forget what it was told.
constexpr Seconds refresh_interval{10};
constexpr Seconds repair_interval{1};
/// How long nat44.nft keeps what it notes of flows.
constexpr Seconds noted_for{3600};
/// RFC 5382 REQ-5.
constexpr Seconds tcp_idle{7440};

auto socket_of(const MappingKey& key) -> io::NftFields {
  return io::NftFields().add(key.protocol).add(key.internal_address).add(key.internal_port);
}

auto flow_of(const MappingKey& key, const Endpoint& remote_peer) -> io::FlowTuple {
  return {.protocol = key.protocol,
          .source = {key.internal_address, key.internal_port},
          .destination = remote_peer};
}

/// Whether a router would forward to `peer`.
auto is_unicast(const IpAddress& peer) -> bool {
  if (!peer.is_ipv4()) return false;
  const std::uint32_t first = peer.ipv4().value >> 24U;
  return first != 0 && first != 127 && first < 224;
}

}  // namespace

auto Nat44Device::start(Nat44Settings settings, Surroundings surroundings)
    -> std::expected<std::unique_ptr<Nat44Device>, std::string> {
  auto table = io::NftTable::open({.family = Family::ipv4, .name = std::string(nat44_table)});
  if (!table) return std::unexpected(table.error());
  auto conntrack = io::Conntrack::open();
  if (!conntrack) return std::unexpected(conntrack.error());
  std::unique_ptr<Nat44Device> device(new Nat44Device(std::move(settings), std::move(surroundings),
                                                      *std::move(table), *std::move(conntrack)));
  if (auto loaded = device->load(device->settings_.pool); !loaded) return std::unexpected(loaded.error());
  device->adopt_elements();
  return device;
}

Nat44Device::Nat44Device(Nat44Settings settings, Surroundings surroundings, io::NftTable table,
                         io::Conntrack conntrack)
    : settings_(std::move(settings)),
      surroundings_(std::move(surroundings)),
      table_(std::move(table)),
      conntrack_(std::move(conntrack)),
      mappings_(settings_, *surroundings_.random),
      find_traffic_([this](const MappingKey& key) { return traffic(key); }),
      refreshed_(16, MappingKeyHash(HashKey::generate(*surroundings_.random))) {}

Nat44Device::~Nat44Device() {
  if (settings_.stays_at_exit) return;
  if (const auto removed = table_.remove(); !removed)
    spdlog::warn("left on this host: table ip {}: {}", nat44_table, to_string(removed.error()));
}

auto Nat44Device::load(const std::vector<Ipv4Address>& pool) -> std::expected<void, std::string> {
  const Ruleset ruleset = nat44_ruleset(settings_, pool);
  if (table_.load(ruleset.keeping_elements)) return {};
  // Its sets are of another kind: of another version, or with other limits.
  elements_.forget();
  return table_.load(ruleset.anew);
}

void Nat44Device::adopt_elements() {
  for (const std::string_view set : Nat44Elements::sets)
    if (const auto elements = table_.list(set)) elements_.adopt(set, *elements);
  if (elements_.leftover_count() > 0)
    spdlog::info("nat44: {} elements of an earlier run stay in force until the server has looked at them",
                 elements_.leftover_count());
}

void Nat44Device::apply(BatchId batch, std::vector<Operation> operations) {
  ++counters_.batches;
  std::vector<Result> results;
  results.reserve(operations.size());
  if (next_repair_) {
    results.assign(operations.size(), std::unexpected(Refusal::unreachable));
  } else {
    for (const Operation& operation : operations)
      results.push_back(std::visit([&](const auto& each) { return carry_out(each); }, operation));
    if (!commit()) results.assign(operations.size(), std::unexpected(Refusal::unreachable));
    end_forbidden_flows();
  }
  surroundings_.post([this, batch, results = std::move(results)]() mutable {
    surroundings_.completion(batch, std::move(results));
  });
}

auto Nat44Device::carry_out(const Install& wanted) -> Result {
  const TimePoint now = surroundings_.now();
  const auto* const before = mappings_.find(now, wanted.key);
  const bool narrows = before != nullptr && !wanted.filters.empty() && before->filters != wanted.filters;
  const Result result = mappings_.install(now, wanted, find_traffic_);
  if (narrows && result) narrowed_.push_back(wanted.key);
  return result;
}

auto Nat44Device::carry_out(const Remove& unwanted) -> Result {
  return mappings_.remove(surroundings_.now(), unwanted, find_traffic_);
}

auto Nat44Device::carry_out(const InstallPeer& wanted) -> Result {
  const MappingKey& key = wanted.key;
  if (const auto refusal = mappings_.refusal_of(key)) return std::unexpected(*refusal);
  if (key.internal_port == Port{0}) return std::unexpected(Refusal::unsupported_protocol);
  if (!is_unicast(wanted.remote_peer.address) || wanted.remote_peer.port == Port{0})
    return std::unexpected(Refusal::remote_peer_invalid);
  if (mappings_.pool().empty()) return std::unexpected(Refusal::network_failure);
  const TimePoint now = surroundings_.now();
  const io::FlowTuple tuple = flow_of(key, wanted.remote_peer);
  const auto found = conntrack_.find(tuple);
  if (!found) return std::unexpected(Refusal::network_failure);
  Endpoint external;
  Seconds lifetime = wanted.lifetime;
  if (const std::optional<io::Flow>& flow = *found) {
    external = flow->original == tuple ? flow->reply.destination : flow->original.destination;
    if (!mappings_.may_have(now, key, external)) return std::unexpected(Refusal::cannot_provide_external);
    if (flow->expires_in >= lifetime)
      lifetime = flow->expires_in;
    else if (!conntrack_.keep(flow->original, lifetime))
      return std::unexpected(Refusal::no_resources);
  } else {
    const auto place = mappings_.place_peer(now, wanted, find_traffic_);
    if (!place) return std::unexpected(place.error());
    external = *place;
    if (const auto made = conntrack_.create(tuple, external, lifetime); !made)
      return std::unexpected(made.error().number == EEXIST ? Refusal::cannot_provide_external
                                                           : Refusal::no_resources);
  }
  const TimePoint until = mappings_.keep_peer(now, key, wanted.remote_peer, external, now + lifetime);
  keep_refreshing(key);
  return Applied{.external_address = external.address,
                 .external_port = external.port,
                 .lifetime = std::chrono::floor<Seconds>(until - now),
                 .port_count = 1};
}

auto Nat44Device::carry_out(const ReleasePeer& unwanted) -> Result {
  const TimePoint now = surroundings_.now();
  const auto external = mappings_.release_peer(now, unwanted.key, unwanted.remote_peer);
  if (!external)
    return Applied{.external_address = IpAddress::unspecified(Family::ipv4), .external_port = {}};
  const Seconds left = let_go(unwanted.key, unwanted.remote_peer);
  if (left > Seconds{0}) mappings_.let_traffic(now, unwanted.key, now + left);
  return Applied{.external_address = external->address,
                 .external_port = external->port,
                 .lifetime = left,
                 .port_count = 1};
}

auto Nat44Device::carry_out(const PutProfile& /*wanted*/) -> Result {
  return std::unexpected(Refusal::profile_unsupported);
}

auto Nat44Device::carry_out(const DropProfile& /*unwanted*/) -> Result { return Applied{}; }

auto Nat44Device::traffic(const MappingKey& key) -> std::optional<Traffic> {
  const auto noted = table_.find("flows", socket_of(key));
  if (!noted || !*noted) return std::nullopt;
  const io::NftFields& data = (*noted)->data;
  const Endpoint remote_peer{IpAddress{data.ipv4_at(8)}, data.port_at(12)};
  const auto flow = conntrack_.find(flow_of(key, remote_peer));
  if (!flow || !*flow || (*flow)->expires_in <= Seconds{0}) return std::nullopt;
  return Traffic{.external = {IpAddress{data.ipv4_at(0)}, data.port_at(4)}, .left = (*flow)->expires_in};
}

auto Nat44Device::let_go(const MappingKey& key, const Endpoint& remote_peer) -> Seconds {
  const auto found = conntrack_.find(flow_of(key, remote_peer));
  if (!found || !*found) return Seconds{0};
  const io::Flow& flow = **found;
  const Seconds idle = key.protocol == Protocol::tcp ? tcp_idle : settings_.udp_idle;
  Seconds left{};
  if ((flow.status & IPS_SEEN_REPLY) != 0) {
    left = std::min(flow.expires_in, idle);
  } else if (const auto noted = table_.find("flows", socket_of(key)); noted && *noted) {
    const io::NftFields& data = (*noted)->data;
    if (Endpoint{IpAddress{data.ipv4_at(8)}, data.port_at(12)} == remote_peer)
      left = std::min(idle - (noted_for - (*noted)->expires_in), idle);
  }
  if (left <= Seconds{0}) {
    static_cast<void>(conntrack_.remove(flow.original));
    return Seconds{0};
  }
  static_cast<void>(conntrack_.keep(flow.original, left));
  return left;
}

auto Nat44Device::commit() -> bool {
  const std::vector<Number> changed = mappings_.take_changed();
  batch_.clear();
  elements_.update(surroundings_.now(), mappings_, changed, batch_);
  if (batch_.is_empty()) return true;
  const auto committed = table_.commit(batch_);
  if (committed) return true;
  spdlog::warn("nat44: table ip {} has not got what it should: {}; it is loaded anew", nat44_table,
               to_string(committed.error()));
  return repair();
}

void Nat44Device::end_forbidden_flows() {
  const std::vector<MappingKey> narrowed = std::exchange(narrowed_, {});
  if (narrowed.empty()) return;
  const TimePoint now = surroundings_.now();
  const auto is_forbidden = [&](const io::Flow& flow) {
    if ((flow.status & IPS_DST_NAT) == 0) return false;
    return std::ranges::any_of(narrowed, [&](const MappingKey& key) {
      const auto* const mapping = mappings_.find(now, key);
      const Endpoint& inside = flow.reply.source;
      return mapping != nullptr && flow.original.protocol == key.protocol &&
             inside.address == key.internal_address && inside.port >= key.internal_port &&
             inside.port.value - key.internal_port.value < mapping->port_count &&
             !lets_in(mapping->filters, flow.reply.destination);
    });
  };
  const auto forbidden = conntrack_.list(Family::ipv4, is_forbidden);
  if (!forbidden) return;
  for (const io::Flow& flow : *forbidden) static_cast<void>(conntrack_.remove(flow.original));
}

auto Nat44Device::repair() -> bool {
  const bool was_broken = next_repair_.has_value();
  elements_.forget();
  batch_.clear();
  static_cast<void>(mappings_.take_changed());
  std::string error;
  if (const auto loaded = table_.load(nat44_ruleset(settings_, mappings_.pool()).anew); !loaded)
    error = loaded.error();
  elements_.update(surroundings_.now(), mappings_, mappings_.numbers(), batch_);
  if (error.empty() && !batch_.is_empty())
    if (const auto committed = table_.commit(batch_); !committed) error = to_string(committed.error());
  if (!error.empty()) {
    ++counters_.failed_repairs;
    if (!was_broken)
      spdlog::error("nat44: table ip {} cannot be loaded, no mapping is made until it can: {}", nat44_table,
                    error);
    next_repair_ = surroundings_.now() + repair_interval;
    return false;
  }
  ++counters_.repairs;
  next_repair_.reset();
  if (was_broken) {
    spdlog::info("nat44: table ip {} is loaded again", nat44_table);
    if (surroundings_.inventory)
      surroundings_.post([this] { surroundings_.inventory(mappings_.inventory(surroundings_.now())); });
  }
  return true;
}

void Nat44Device::look_after_table() {
  if (!table_.was_changed_by_others()) return;
  spdlog::warn("nat44: somebody else has changed table ip {}; it is loaded anew, {} mappings with it",
               nat44_table, mappings_.numbers().size());
  static_cast<void>(repair());
}

void Nat44Device::reconciled() {
  batch_.clear();
  const std::size_t count = elements_.leftover_count();
  if (count == 0) return;
  elements_.remove_leftovers(batch_);
  if (!table_.commit(batch_)) static_cast<void>(repair());
  spdlog::info("nat44: {} elements of an earlier run that nobody wants are removed", count);
}

auto Nat44Device::set_pool(std::vector<Ipv4Address> pool) -> std::expected<void, std::string> {
  if (pool == mappings_.pool()) return {};
  const std::vector<Ipv4Address> before = mappings_.pool();
  std::vector<Event> events = mappings_.set_pool(surroundings_.now(), std::move(pool));
  const auto loaded = load(mappings_.pool());
  if (!loaded || !commit()) static_cast<void>(repair());
  const auto is_gone = [&](const IpAddress& address) {
    return address.is_ipv4() && std::ranges::find(before, address.ipv4()) != before.end() &&
           std::ranges::find(mappings_.pool(), address.ipv4()) == mappings_.pool().end();
  };
  const auto gone = conntrack_.list(Family::ipv4, [&](const io::Flow& flow) {
    return (flow.status & IPS_NAT_MASK) != 0 &&
           (is_gone(flow.reply.destination.address) || is_gone(flow.original.destination.address));
  });
  if (gone)
    for (const io::Flow& flow : *gone) static_cast<void>(conntrack_.remove(flow.original));
  tell(std::move(events));
  return loaded;
}

void Nat44Device::tell(std::vector<Event> events) {
  if (events.empty() || !surroundings_.events) return;
  surroundings_.post(
      [this, events = std::move(events)]() mutable { surroundings_.events(std::move(events)); });
}

void Nat44Device::keep_refreshing(const MappingKey& key) {
  if (refreshed_.insert(key).second) refreshes_.emplace_back(surroundings_.now() + refresh_interval, key);
}

void Nat44Device::refresh(const MappingKey& key) {
  const TimePoint now = surroundings_.now();
  const auto* const mapping = mappings_.find(now, key);
  bool is_kept = false;
  if (mapping != nullptr)
    for (const auto& peer : mapping->peers) {
      const auto left = std::chrono::ceil<Seconds>(peer.until - now);
      if (peer.internal_port != key.internal_port || left <= Seconds{0}) continue;
      is_kept = true;
      const io::FlowTuple tuple = flow_of(key, peer.remote_peer);
      const auto flow = conntrack_.find(tuple);
      if (!flow) continue;
      if (!*flow)
        static_cast<void>(conntrack_.create(tuple, peer.external, left));
      else if ((*flow)->expires_in < left)
        static_cast<void>(conntrack_.keep((*flow)->original, left));
    }
  refreshed_.erase(key);
  if (is_kept) keep_refreshing(key);
}

void Nat44Device::advance() {
  const TimePoint now = surroundings_.now();
  if (next_repair_) {
    if (*next_repair_ > now) return;
    static_cast<void>(repair());
    return;
  }
  // In parts, so that requests do not wait for it.
  constexpr int refreshes_at_once = 256;
  for (int i = 0; i < refreshes_at_once && !refreshes_.empty() && refreshes_.front().first <= now; ++i) {
    const MappingKey key = refreshes_.front().second;
    refreshes_.pop_front();
    refresh(key);
  }
  mappings_.advance(now);
  static_cast<void>(commit());
}

auto Nat44Device::next_deadline() const -> std::optional<TimePoint> {
  if (next_repair_) return next_repair_;
  std::optional<TimePoint> next = mappings_.next_deadline();
  if (!refreshes_.empty() && (!next || refreshes_.front().first < *next)) next = refreshes_.front().first;
  return next;
}

}  // namespace portolan::device
