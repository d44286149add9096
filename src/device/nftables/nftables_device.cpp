// SPDX-License-Identifier: BSD-2-Clause
#include "device/nftables/nftables_device.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "device/consecutive.h"
#include "device/nftables/filter_elements.h"
#include "device/nftables/ruleset.h"
#include "io/log.h"

namespace portolan::device {
namespace {

/// The kernel lets a UDP flow end 30 seconds after its last packet unless told otherwise; packets make it
/// forget what it was told.
constexpr Seconds refresh_interval{10};
constexpr Seconds repair_interval{1};
/// How long nat44.nft keeps what it notes of flows.
constexpr Seconds noted_for{3600};

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
  if (peer.is_unspecified()) return false;
  if (!peer.is_ipv4())
    return peer.bits().octets[0] != 0xff && !peer.is_link_local() && peer != IpAddress::parse("::1");
  const std::uint32_t first = peer.ipv4().value >> 24U;
  return first != 0 && first != 127 && first < 224;
}

/// What nat44.nft notes of a flow.
auto remote_peer_of(const io::NftFields& noted) -> Endpoint {
  return {IpAddress{noted.ipv4_at(0)}, noted.port_at(4)};
}

}  // namespace

auto NftablesDevice::start(const Nat44Settings& settings, Surroundings surroundings)
    -> std::expected<std::unique_ptr<NftablesDevice>, std::string> {
  return start({.name = "nat44",
                .family = Family::ipv4,
                .table = std::string(nat44_table),
                .rules = {.family = Family::ipv4,
                          .inside = settings.inside,
                          .translates = true,
                          .pool = settings.pool,
                          .explicit_ports = settings.explicit_ports,
                          .hold_down = settings.hold_down,
                          .mappings_max = settings.mappings_max,
                          .filters_max = settings.filters_max,
                          .maps_all_ports = settings.maps_all_ports},
                .udp_idle = settings.udp_idle,
                .stays_at_exit = settings.stays_at_exit,
                .ruleset = [settings](const auto& pool) { return device::ruleset(settings, pool); }},
               std::move(surroundings));
}

auto NftablesDevice::start(const Firewall6Settings& settings, Surroundings surroundings)
    -> std::expected<std::unique_ptr<NftablesDevice>, std::string> {
  return start({.name = "firewall6",
                .family = Family::ipv6,
                .table = std::string(firewall6_table),
                .rules = {.family = Family::ipv6,
                          .inside = settings.inside,
                          .translates = false,
                          .mappings_max = settings.pinholes_max,
                          .filters_max = settings.filters_max,
                          .maps_all_ports = settings.maps_all_ports},
                .udp_idle = settings.udp_idle,
                .stays_at_exit = settings.stays_at_exit,
                .ruleset = [settings](const auto& /*pool*/) { return device::ruleset(settings); }},
               std::move(surroundings));
}

auto NftablesDevice::start(Kind kind, Surroundings surroundings)
    -> std::expected<std::unique_ptr<NftablesDevice>, std::string> {
  auto table = io::NftTable::open({.family = kind.family, .name = kind.table});
  if (!table) return std::unexpected(table.error());
  auto conntrack = io::Conntrack::open();
  if (!conntrack) return std::unexpected(conntrack.error());
  std::unique_ptr<NftablesDevice> device(
      new NftablesDevice(std::move(kind), std::move(surroundings), *std::move(table), *std::move(conntrack)));
  if (auto loaded = device->load(); !loaded) return std::unexpected(loaded.error());
  device->adopt_elements();
  if (device->kind_.rules.translates)
    if (const auto kept = device->table_.keep_translating(); !kept)
      io::log::warn("table-flush-ends-flows", "table {table}: if somebody flushes it, flows may end: {error}",
                    device->kind_.table, to_string(kept.error()));
  return device;
}

NftablesDevice::NftablesDevice(Kind kind, Surroundings surroundings, io::NftTable table,
                               io::Conntrack conntrack)
    : kind_(std::move(kind)),
      surroundings_(std::move(surroundings)),
      table_(std::move(table)),
      conntrack_(std::move(conntrack)),
      mappings_(kind_.rules, *surroundings_.random),
      elements_(kind_.family),
      find_traffic_([this](const MappingKey& key) { return traffic(key); }),
      refreshed_(16, MappingKeyHash(HashKey::generate(*surroundings_.random))) {}

NftablesDevice::~NftablesDevice() {
  if (kind_.stays_at_exit) return;
  for (const Number number : mappings_.numbers()) {
    const auto& mapping = *mappings_.mapping(number);
    for (const auto& peer : mapping.peers)
      static_cast<void>(let_go(with_port(mapping.key, peer.internal_port), peer.remote_peer));
  }
  if (const auto removed = table_.remove(); !removed)
    io::log::warn("table-left-on-host", "left on this host: table {table}: {error}", kind_.table,
                  to_string(removed.error()));
}

auto NftablesDevice::load() -> std::expected<void, std::string> {
  const Ruleset text = kind_.ruleset(mappings_.pool());
  if (table_.load(text.keeping_elements)) return {};
  // Its sets are of another kind: of another version, or with other limits.
  elements_.forget();
  return table_.load(text.anew);
}

void NftablesDevice::adopt_elements() {
  for (const std::string_view set : NftablesElements::sets(kind_.family))
    if (const auto elements = table_.list(set)) elements_.adopt(set, *elements);
  if (elements_.leftover_count() > 0)
    io::log::info(
        "table-leftovers",
        "{device}: {elements} elements of an earlier run stay in force until the server has looked at them",
        kind_.name, elements_.leftover_count());
}

void NftablesDevice::apply(BatchId batch, std::vector<Operation> operations) {
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
    // The mapping is there now: a peer that sends again gets through.
    for (const auto& [protocol, mapped] : std::exchange(strayed_, {})) end_stray_flows(protocol, mapped);
    flows_of_.clear();
  }
  surroundings_.post([this, batch, results = std::move(results)]() mutable {
    surroundings_.completion(batch, std::move(results));
  });
}

auto NftablesDevice::carry_out(const Install& wanted) -> Result {
  const TimePoint now = surroundings_.now();
  const auto* const before = mappings_.find(now, wanted.key);
  const bool narrows = before != nullptr && !wanted.filters.empty() && before->filters != wanted.filters;
  const Result result = mappings_.install(now, wanted, find_traffic_);
  if (narrows && result) narrowed_.push_back(wanted.key);
  if (result && kind_.rules.translates) strayed_.emplace_back(wanted.key.protocol, *result);
  return result;
}

void NftablesDevice::end_stray_flows(Protocol protocol, const Applied& mapped) {
  const Endpoint first{mapped.external_address, mapped.external_port};
  for (std::uint32_t i = 0; i < mapped.port_count; ++i) {
    const Endpoint external = ith(first, i);
    const io::NftFields port = io::NftFields().add(protocol).add(external.address).add(external.port);
    const auto found = table_.find("strays", port);
    if (!found || !*found) continue;
    const io::FlowTuple tuple{
        .protocol = protocol, .source = remote_peer_of((*found)->data), .destination = external};
    const auto flow = conntrack_.find(tuple);
    if (flow && *flow && (*flow)->original == tuple && (*flow)->reply == tuple.reversed())
      static_cast<void>(conntrack_.remove(tuple));
    // Others that still send are noted only where nobody is. It may have run out just now: that is as well.
    io::NftBatch forgotten;
    forgotten.remove({.set = "strays", .key = port});
    static_cast<void>(table_.commit(forgotten));
  }
}

auto NftablesDevice::carry_out(const Remove& unwanted) -> Result {
  return mappings_.remove(surroundings_.now(), unwanted, find_traffic_);
}

auto NftablesDevice::carry_out(const InstallPeer& wanted) -> Result {
  const MappingKey& key = wanted.key;
  if (const auto refusal = mappings_.refusal_of(key)) return std::unexpected(*refusal);
  if (key.internal_port == Port{0}) return std::unexpected(Refusal::unsupported_protocol);
  if (!is_unicast(wanted.remote_peer.address) || wanted.remote_peer.port == Port{0})
    return std::unexpected(Refusal::remote_peer_invalid);
  if (mappings_.lacks_address()) return std::unexpected(Refusal::network_failure);
  // A flow that is made here knows no other host's mapping.
  if (mappings_.is_external(wanted.remote_peer.address)) return std::unexpected(Refusal::remote_peer_invalid);
  const TimePoint now = surroundings_.now();
  if (const auto refusal = mappings_.refusal_of_peer(now, key, wanted.remote_peer))
    return std::unexpected(*refusal);
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
    // The watch first: the kernel tells the end only of flows that began while somebody listened.
    if (!flow_watch_)
      if (auto watch = io::FlowWatch::open()) flow_watch_.emplace(*std::move(watch));
    const auto place = mappings_.place_peer(now, wanted, find_traffic_);
    if (!place) return std::unexpected(place.error());
    external = *place;
    if (const auto made = make_flow(tuple, external, lifetime); !made)
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

auto NftablesDevice::carry_out(const ReleasePeer& unwanted) -> Result {
  const TimePoint now = surroundings_.now();
  const auto external = mappings_.peer_external(unwanted.key, unwanted.remote_peer);
  if (!external)
    return Applied{.external_address = IpAddress::unspecified(kind_.family), .external_port = {}};
  const Seconds left = let_go(unwanted.key, unwanted.remote_peer);
  if (left > Seconds{0}) mappings_.let_traffic(now, unwanted.key, now + left);
  mappings_.release_peer(now, unwanted.key, unwanted.remote_peer);
  return Applied{.external_address = external->address,
                 .external_port = external->port,
                 .lifetime = left,
                 .port_count = 1};
}

auto NftablesDevice::carry_out(const PutProfile& /*wanted*/) -> Result {
  return std::unexpected(Refusal::profile_unsupported);
}

auto NftablesDevice::carry_out(const DropProfile& /*unwanted*/) -> Result { return Applied{}; }

auto NftablesDevice::make_flow(const io::FlowTuple& tuple, const Endpoint& external, Seconds lifetime)
    -> std::expected<void, io::SystemError> {
  auto made = conntrack_.create(tuple, external, lifetime);
  if (made || made.error().number != EEXIST) return made;
  // The peer may have sent to the port before, when it was nobody's, and the host itself got it.
  const io::FlowTuple answers{
      .protocol = tuple.protocol, .source = tuple.destination, .destination = external};
  const auto other = conntrack_.find(answers);
  if (!other || !*other || (*other)->original != answers || (*other)->reply != answers.reversed())
    return made;
  static_cast<void>(conntrack_.remove(answers));
  return conntrack_.create(tuple, external, lifetime);
}

auto NftablesDevice::traffic(const MappingKey& key) -> std::optional<Traffic> {
  if (kind_.family == Family::ipv6) return traffic_of_sender(key);
  const auto noted = table_.find("flows", socket_of(key));
  if (!noted || !*noted) return std::nullopt;
  const io::FlowTuple tuple = flow_of(key, remote_peer_of((*noted)->data));
  const auto flow = conntrack_.find(tuple);
  if (!flow || !*flow || (*flow)->original != tuple || (*flow)->expires_in <= Seconds{0}) return std::nullopt;
  return Traffic{.external = (*flow)->reply.destination, .left = (*flow)->expires_in};
}

auto NftablesDevice::traffic_of_sender(const MappingKey& key) -> std::optional<Traffic> {
  const auto noted = table_.find("senders", socket_of(key));
  if (!noted || !*noted) return std::nullopt;
  // Only deletions come here, and only those of sockets that have sent. Once for a batch and a host.
  const auto [host, is_new] = flows_of_.try_emplace(key.internal_address);
  if (is_new)
    if (auto listed = conntrack_.list(kind_.family, [&](const io::Flow& flow) {
          return flow.original.source.address == key.internal_address;
        }))
      host->second = *std::move(listed);
  const Endpoint socket{key.internal_address, key.internal_port};
  std::optional<Traffic> traffic;
  for (const io::Flow& flow : host->second) {
    if (flow.original.protocol != key.protocol || flow.original.source != socket) continue;
    if (!traffic || traffic->left < flow.expires_in)
      traffic = Traffic{.external = socket, .left = flow.expires_in};
  }
  return traffic;
}

auto NftablesDevice::noted_since(const MappingKey& key, const Endpoint& remote_peer)
    -> std::optional<Seconds> {
  const bool is_nat = kind_.rules.translates;
  const auto noted = table_.find(is_nat ? "flows" : "senders", socket_of(key));
  if (!noted || !*noted) return std::nullopt;
  if (is_nat && remote_peer_of((*noted)->data) != remote_peer) return std::nullopt;
  return noted_for - (*noted)->expires_in;
}

auto NftablesDevice::let_go(const MappingKey& key, const Endpoint& remote_peer) -> Seconds {
  const auto found = conntrack_.find(flow_of(key, remote_peer));
  if (!found || !*found) return Seconds{0};
  const io::Flow& flow = **found;
  const Seconds idle = key.protocol == Protocol::tcp ? tcp_idle : kind_.udp_idle;
  Seconds left{};
  if (flow.is_answered())
    left = std::min(flow.expires_in, idle);
  else if (const auto since = noted_since(key, remote_peer))
    left = std::min(idle - *since, idle);
  if (left <= Seconds{0}) {
    static_cast<void>(conntrack_.remove(flow.original));
    return Seconds{0};
  }
  static_cast<void>(conntrack_.keep(flow.original, left));
  return left;
}

auto NftablesDevice::commit() -> bool {
  const std::vector<Number> changed = mappings_.take_changed();
  batch_.clear();
  elements_.update(surroundings_.now(), mappings_, changed, batch_);
  if (batch_.is_empty()) return true;
  const auto committed = table_.commit(batch_);
  if (committed) return true;
  io::log::warn("table-commit-failed", "table {table} has not got what it should: {error}; it is loaded anew",
                kind_.table, to_string(committed.error()));
  return repair();
}

void NftablesDevice::end_forbidden_flows() {
  const std::vector<MappingKey> narrowed = std::exchange(narrowed_, {});
  if (narrowed.empty()) return;
  const TimePoint now = surroundings_.now();
  const auto is_forbidden = [&](const io::Flow& flow) {
    // What began outside is answered by the socket inside.
    return std::ranges::any_of(narrowed, [&](const MappingKey& key) {
      const auto* const mapping = mappings_.find(now, key);
      const Endpoint& inside = flow.reply.source;
      return mapping != nullptr && flow.original.protocol == key.protocol &&
             inside.address == key.internal_address && inside.port >= key.internal_port &&
             inside.port.value - key.internal_port.value < mapping->port_count &&
             !lets_in(mapping->filters, flow.reply.destination);
    });
  };
  const auto forbidden = conntrack_.list(kind_.family, is_forbidden);
  if (!forbidden) return;
  for (const io::Flow& flow : *forbidden) static_cast<void>(conntrack_.remove(flow.original));
}

auto NftablesDevice::repair() -> bool {
  const bool was_broken = next_repair_.has_value();
  elements_.forget();
  batch_.clear();
  static_cast<void>(mappings_.take_changed());
  std::string error;
  if (const auto loaded = table_.load(kind_.ruleset(mappings_.pool()).anew); !loaded) error = loaded.error();
  elements_.update(surroundings_.now(), mappings_, mappings_.numbers(), batch_);
  if (error.empty() && !batch_.is_empty())
    if (const auto committed = table_.commit(batch_); !committed) error = to_string(committed.error());
  if (!error.empty()) {
    ++counters_.failed_repairs;
    if (!was_broken)
      io::log::error("table-not-loaded",
                     "table {table} cannot be loaded, no mapping is made until it can: {error}", kind_.table,
                     error);
    next_repair_ = surroundings_.now() + repair_interval;
    return false;
  }
  ++counters_.repairs;
  next_repair_.reset();
  if (was_broken) {
    io::log::info("table-loaded-again", "table {table} is loaded again", kind_.table);
    if (surroundings_.inventory)
      surroundings_.post([this] { surroundings_.inventory(mappings_.inventory(surroundings_.now())); });
  }
  return true;
}

void NftablesDevice::look_after_table() {
  if (!table_.was_changed_by_others()) return;
  io::log::warn("table-changed-by-others",
                "somebody else has changed table {table}; it is loaded anew, {mappings} mappings with it",
                kind_.table, mappings_.numbers().size());
  static_cast<void>(repair());
}

void NftablesDevice::reconciled() {
  batch_.clear();
  const std::size_t count = elements_.leftover_count();
  if (count == 0) return;
  elements_.remove_leftovers(batch_);
  if (!table_.commit(batch_)) static_cast<void>(repair());
  io::log::info("table-leftovers-removed",
                "table {table}: {elements} elements of an earlier run that nobody wants are removed",
                kind_.table, count);
}

void NftablesDevice::set_pool(std::vector<Ipv4Address> pool) {
  if (pool == mappings_.pool()) return;
  const std::vector<Ipv4Address> before = mappings_.pool();
  std::vector<Event> events = mappings_.set_pool(surroundings_.now(), std::move(pool));
  if (table_.load(kind_.ruleset(mappings_.pool()).keeping_elements))
    static_cast<void>(commit());
  else
    static_cast<void>(repair());
  const auto is_gone = [&](const IpAddress& address) {
    return address.is_ipv4() && std::ranges::find(before, address.ipv4()) != before.end() &&
           std::ranges::find(mappings_.pool(), address.ipv4()) == mappings_.pool().end();
  };
  const auto gone = conntrack_.list(Family::ipv4, [&](const io::Flow& flow) {
    return flow.is_translated() &&
           (is_gone(flow.reply.destination.address) || is_gone(flow.original.destination.address));
  });
  if (gone)
    for (const io::Flow& flow : *gone) static_cast<void>(conntrack_.remove(flow.original));
  tell(std::move(events));
}

void NftablesDevice::tell(std::vector<Event> events) {
  if (events.empty() || !surroundings_.events) return;
  surroundings_.post(
      [this, events = std::move(events)]() mutable { surroundings_.events(std::move(events)); });
}

void NftablesDevice::keep_refreshing(const MappingKey& key) {
  if (refreshed_.insert(key).second) refreshes_.emplace_back(surroundings_.now() + refresh_interval, key);
}

auto NftablesDevice::refresh(const MappingKey& key) -> bool {
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
        static_cast<void>(make_flow(tuple, peer.external, left));
      else if ((*flow)->expires_in < left)
        static_cast<void>(conntrack_.keep((*flow)->original, left));
    }
  return is_kept;
}

void NftablesDevice::look_at_flows() {
  if (!flow_watch_) return;
  std::vector<MappingKey> ended;
  // Words that are lost are made up for by the next refresh.
  static_cast<void>(flow_watch_->take([&](const io::Flow& flow) {
    const MappingKey key{.realm = {},
                         .internal_address = flow.original.source.address,
                         .protocol = flow.original.protocol,
                         .external_family = kind_.family,
                         .internal_port = flow.original.source.port};
    if (refreshed_.contains(key)) ended.push_back(key);
  }));
  for (const MappingKey& key : ended) static_cast<void>(refresh(key));
}

void NftablesDevice::advance() {
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
    refreshed_.erase(key);
    if (refresh(key)) keep_refreshing(key);
  }
  mappings_.advance(now, find_traffic_);
  static_cast<void>(commit());
}

auto NftablesDevice::next_deadline() const -> std::optional<TimePoint> {
  if (next_repair_) return next_repair_;
  std::optional<TimePoint> next = mappings_.next_deadline();
  if (!refreshes_.empty() && (!next || refreshes_.front().first < *next)) next = refreshes_.front().first;
  return next;
}

}  // namespace portolan::device
