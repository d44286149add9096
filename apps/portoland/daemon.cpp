// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/daemon.h"

#include <utility>

#include "io/log.h"
#include "portoland/engine_config.h"
#include "store/memory/no_store.h"
#include "store/sqlite/sqlite_store.h"

namespace portolan::portoland {
namespace {

/// Requests per turn of the loop: what waits is decided together, so that handing it to the device and
/// back costs little each; but not so much that it leaves the processor's cache on the way.
constexpr std::size_t batch_max = 512;
/// Batches with the device beyond which requests wait in the socket. If they went on to the server in ever
/// smaller batches, those would use up its limit of batches while the kernel still has room.
constexpr std::size_t batches_with_device_max = 4;
/// The kernel queues a burst of some ten thousand requests in this much.
constexpr std::size_t default_receive_buffer_bytes = 16U << 20U;
/// How often an unknown interface index makes the daemon look at the interfaces again.
constexpr Seconds learn_interval{1};

/// Addresses of one interface and family from which announcements are sent.
constexpr std::size_t announcement_sources_max = 8;

/// Where announcements go (RFC 6887 s14.1.3).
constexpr IpAddress all_hosts_ipv4{Ipv4Address{0xe0000001}};
constexpr auto all_nodes_ipv6() -> IpAddress {
  Ipv6Address address;
  address.octets[0] = 0xff;
  address.octets[1] = 0x02;
  address.octets[15] = 0x01;
  return IpAddress{address};
}

auto is_multicast(const IpAddress& address) -> bool {
  return address.is_ipv4() ? address.ipv4().value >> 28U == 0xe : address.bits().octets[0] == 0xff;
}

}  // namespace

auto Daemon::start(Settings settings, io::EventLoop& loop)
    -> std::expected<std::unique_ptr<Daemon>, std::string> {
  auto host = io::HostChanges::open({.journal = settings.runtime_directory / "host-changes"});
  if (!host) return std::unexpected(host.error());
  auto netlink = io::Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  const std::size_t buffer =
      settings.receive_buffer_bytes != 0 ? settings.receive_buffer_bytes : default_receive_buffer_bytes;
  io::UdpOptions options;
  options.bind_port = settings.listen_port;
  options.receive_buffer_bytes = buffer;
  options.receive_max = batch_max;
  io::SystemRandom random;
  auto return_paths = io::ReturnPaths::open(random);
  if (!return_paths) return std::unexpected(return_paths.error());
  auto socket = io::UdpSocket::open(options);
  if (!socket) return std::unexpected(socket.error());
  if (socket->receive_buffer_bytes() < buffer)
    io::log::warn("receive-buffer-small",
                  "receive buffer is {octets} octets, not {wanted}: a burst may lose requests; raise sysctl "
                  "net.core.rmem_max",
                  socket->receive_buffer_bytes(), buffer);

  std::unique_ptr<Daemon> daemon(new Daemon(std::move(settings), loop, std::move(*socket),
                                            std::move(*netlink), std::move(*return_paths), std::move(*host)));
  if (const auto opened = daemon->open_store(); !opened) return std::unexpected(opened.error());
  if (const auto made = daemon->make_devices(); !made) return std::unexpected(made.error());
  for (const std::string& change : daemon->host_.undo_leftovers())
    io::log::info("leftover-undone", "undid what an earlier run left: {change}", change);
  for (const std::string& change : daemon->host_.list())
    io::log::info("host-changed", "changed on this host: {change}", change);
  auto mapping_file = MappingLog::open(daemon->settings_.mapping_log);
  if (!mapping_file) return std::unexpected(mapping_file.error());
  daemon->mapping_log_.use(*std::move(mapping_file), daemon->settings_);
  daemon->listen();
  daemon->devices_->connect();
  daemon->server_.advance(io::monotonic_now());
  daemon->carry_out_actions();
  if (const auto started = daemon->start_management(); !started) return std::unexpected(started.error());
  return daemon;
}

Daemon::Daemon(Settings settings, io::EventLoop& loop, io::UdpSocket socket, io::Netlink netlink,
               io::ReturnPaths return_paths, io::HostChanges host)
    : settings_(std::move(settings)),
      loop_(loop),
      socket_(std::move(socket)),
      netlink_(std::move(netlink)),
      return_paths_(std::move(return_paths)),
      host_(std::move(host)),
      server_(server_config(settings_, io::monotonic_now()), random_,
              [this](const MappingKey& key) {
                return devices_ ? devices_->standing_of(key) : device::Standing::there;
              }),
      timer_(loop.timer([this] {
        server_.advance(io::monotonic_now());
        carry_out_actions();
      })),
      mapping_log_(loop, server_, random_) {
  learn_interfaces();
  for (const InsideInterface& inside : settings_.inside)
    if (const auto found = netlink_.interface(inside.interface); !found)
      io::log::warn("inside-missing", "inside {error}; requests are answered there once it does",
                    found.error());
}

Daemon::~Daemon() {
  readable_.cancel();
  api_.reset();
  // What is under way is finished, and asks for nothing more.
  sqlite_ = nullptr;
  store_.reset();
  // The devices go before what they made on the host.
  devices_.reset();
  for (const std::string& failure : host_.undo())
    io::log::warn("left-on-host", "left on this host: {what}", failure);
}

auto Daemon::posting() -> std::function<void(std::function<void()>)> {
  return [this](std::function<void()> task) { loop_.post(std::move(task)); };
}

auto Daemon::open_store() -> std::expected<void, std::string> {
  const auto completion = [this](store::CommitId commit, bool ok) {
    tell_store_error();
    const TimePoint now = io::monotonic_now();
    commit_seconds_.observe(std::chrono::duration<double>(now - commit_began_).count());
    if (ok) rows_committed_ += rows_committing_;
    server_.committed(now, commit, ok);
    carry_out_actions();
    listen();
  };
  if (settings_.store == StoreKind::memory) {
    store_ = std::make_unique<store::NoStore>(completion, posting());
    io::log::warn("store-memory",
                  "store \"memory\": a restart loses every mapping, and hosts have to ask again");
  } else {
    auto sqlite =
        store::SqliteStore::open({.log = {.path = settings_.store_path,
                                          .clocks = {.now = io::monotonic_now, .wall_now = io::wall_now}}},
                                 completion, posting());
    if (!sqlite) return std::unexpected(sqlite.error());
    sqlite_ = sqlite->get();
    store_ = *std::move(sqlite);
    tell_store_error();
  }
  const auto rows = store_->load();
  if (!rows) return std::unexpected(rows.error());
  std::vector<std::uint32_t> interfaces(settings_.inside.size());
  for (const auto& [interface_index, inside] : inside_by_index_) interfaces[inside] = interface_index;
  const auto restored = server_.restore(io::monotonic_now(), *rows, interfaces);
  if (!restored)
    return std::unexpected(fmt::format("store {}: {}", settings_.store_path.string(), restored.error()));
  if (settings_.store == StoreKind::sqlite)
    io::log::info("store-restored",
                  "store {path}: {mappings} mappings restored, {expired} had expired; the epoch {epoch}",
                  settings_.store_path.string(), restored->mappings, restored->expired,
                  restored->epoch_goes_on ? "goes on" : "begins anew, and is announced");
  if (restored->users + restored->statics > 0)
    io::log::info("store-restored-by-hand",
                  "store {path}: {users} users and {mappings} static mappings that were added by hand",
                  settings_.store_path.string(), restored->users, restored->statics);
  return {};
}

auto Daemon::store_error() const -> std::string {
  return sqlite_ == nullptr ? std::string() : sqlite_->last_error();
}

void Daemon::tell_store_error() {
  std::string error = store_error();
  if (error == told_store_error_) return;
  if (error.empty())
    io::log::info("store-writes-again", "store {path} writes again", settings_.store_path.string());
  else
    io::log::error("store-does-not-write",
                   "store {path} does not write, no mapping is made or deleted until it does: {error}",
                   settings_.store_path.string(), error);
  told_store_error_ = std::move(error);
}

auto Daemon::make_devices() -> std::expected<void, std::string> {
  const auto take_inventory = [this](const device::Inventory& inventory) {
    server_.connected(io::monotonic_now(), inventory);
    carry_out_actions();
  };
  const auto take_address = [this](std::optional<Ipv4Address> address) {
    server_.learn_address(io::monotonic_now(), address);
    // Before there are devices, the start goes on to carry out all there is.
    if (devices_) carry_out_actions();
  };
  auto devices = Devices::start(settings_, {.loop = loop_,
                                            .host = host_,
                                            .boot_id = random_.next(),
                                            .completion = completion(),
                                            .events = event_handler(),
                                            .inventory = take_inventory,
                                            .address = take_address});
  if (!devices) return std::unexpected(devices.error());
  devices_ = *std::move(devices);
  return {};
}

auto Daemon::completion() -> device::Device::Completion {
  return [this](device::BatchId batch, const std::vector<device::Result>& results) {
    --batches_with_device_;
    server_.applied(io::monotonic_now(), batch, results);
    carry_out_actions();
    listen();
  };
}

void Daemon::listen() {
  const bool takes_requests = batches_with_device_ < batches_with_device_max && server_.has_room();
  if (!takes_requests)
    readable_.cancel();
  else if (!readable_.is_active())
    readable_ = loop_.on_readable(socket_.descriptor(), [this] { receive(); });
}

auto Daemon::event_handler() -> device::Device::EventHandler {
  return [this](const std::vector<device::Event>& events) {
    server_.happened(io::monotonic_now(), events);
    carry_out_actions();
  };
}

void Daemon::receive() {
  const auto datagrams = socket_.receive();
  if (!datagrams)
    return io::log::warn("receive-failed", "UDP port {port}: {error}", settings_.listen_port,
                         to_string(datagrams.error()));
  inbound_.clear();
  const TimePoint now = io::monotonic_now();
  for (const io::ReceivedDatagram& datagram : *datagrams) {
    const auto inside = inside_of(datagram.interface_index);
    if (!inside) {
      ++dropped_.not_inside;
      continue;
    }
    if (is_multicast(datagram.local_address)) {
      ++dropped_.not_unicast;
      continue;
    }
    if (settings_.check_return_path &&
        !return_paths_.leads_back(now, datagram.source.address, datagram.interface_index)) {
      ++dropped_.wrong_inside;
      continue;
    }
    inbound_.push_back({.client = datagram.source,
                        .path = {.local_address = datagram.local_address,
                                 .interface_index = datagram.interface_index,
                                 .inside = *inside},
                        .payload = datagram.payload});
  }
  if (inbound_.empty()) return;
  batch_requests_.observe(static_cast<double>(inbound_.size()));
  server_.receive(now, inbound_);
  carry_out_actions();
  listen();
}

void Daemon::carry_out_actions() {
  server::Actions actions = server_.take_actions();
  for (server::Apply& apply : actions.apply) {
    ++batches_with_device_;
    if (apply.reconciles)
      devices_->device().reconcile(apply.batch, std::move(apply.operations));
    else
      devices_->device().apply(apply.batch, std::move(apply.operations));
  }
  if (actions.reconciled) devices_->device().reconciled();
  for (server::Commit& commit : actions.commit) {
    // One at a time is with the store.
    commit_began_ = io::monotonic_now();
    rows_committing_ = commit.rows.size();
    store_->commit(commit.commit, std::move(commit.rows));
  }
  for (const server::RefusedStatic& refused : actions.refused_statics)
    io::log::warn("static-mapping-refused",
                  "mapping of {protocol} to port {internal_port} of {internal_address} is not in force, and "
                  "tried again: {reason}",
                  refused.key.protocol, refused.key.internal_port, refused.key.internal_address,
                  to_string(refused.refusal));
  for (const server::RefusedProfile& refused : actions.refused_profiles)
    io::log::warn("user-not-served",
                  "user {user}: the device does not do what the configuration gives it, but what everybody "
                  "has: {reason}",
                  refused.users, to_string(refused.refusal));
  for (const server::Overruled& overruled : actions.overruled) {
    if (overruled.user)
      io::log::warn("user-overruled", "user {user} that was added by hand is gone: the configuration has it",
                    *overruled.user);
    if (overruled.mapping)
      io::log::warn("mapping-overruled",
                    "the mapping of {protocol} port {port} of {host} that was added by hand is gone: the "
                    "configuration has the same",
                    overruled.mapping->protocol, overruled.mapping->internal_port,
                    overruled.mapping->internal_address);
  }
  send(actions);
  if (api_) api_->carried_out(actions.finished);
  if (const auto deadline = server_.next_deadline())
    timer_.arm(*deadline);
  else
    timer_.disarm();
  mapping_log_.look();
}

void Daemon::send(const server::Actions& actions) {
  outgoing_.clear();
  for (const server::Send& answer : actions.send)
    outgoing_.push_back({.destination = answer.client,
                         .scope_id = answer.client.address.is_link_local() ? answer.path.interface_index : 0,
                         .local_address = answer.path.local_address,
                         .interface_index = answer.path.interface_index,
                         .payload = actions.octets_of(answer.message)});
  for (const server::Multicast& multicast : actions.multicast) {
    const auto inside =
        std::ranges::find(inside_by_index_, multicast.inside, [](const auto& entry) { return entry.second; });
    if (inside == inside_by_index_.end()) continue;
    const IpAddress group = multicast.family == Family::ipv4 ? all_hosts_ipv4 : all_nodes_ipv6();
    for (const IpAddress& source : announcement_sources(inside->first, multicast.family))
      outgoing_.push_back({.destination = {group, Port{wire::client_port}},
                           .scope_id = multicast.family == Family::ipv6 ? inside->first : 0,
                           .local_address = source,
                           .interface_index = inside->first,
                           .payload = actions.octets_of(multicast.message)});
  }
  if (outgoing_.empty()) return;
  const io::SendResult result = socket_.send(outgoing_);
  // A client whose answer is lost asks again (RFC 6887 s8.1.1).
  dropped_.unsent += result.refused + result.unsent;
  if (result.error) io::log::debug("answers-not-sent", "answers not sent: {error}", to_string(*result.error));
}

auto Daemon::announcement_sources(unsigned interface_index, Family family) -> std::vector<IpAddress> {
  std::vector<IpAddress> sources;
  if (const auto addresses = netlink_.addresses(interface_index)) {
    for (const io::InterfaceAddress& address : *addresses)
      if (address.address.family() == family && !address.is_tentative &&
          sources.size() < announcement_sources_max)
        sources.push_back(address.address);
  }
  // Without one the kernel may know better.
  if (sources.empty()) sources.emplace_back();
  return sources;
}

auto Daemon::inside_of(unsigned interface_index) -> std::optional<std::size_t> {
  if (const auto known = inside_by_index_.find(interface_index); known != inside_by_index_.end())
    return known->second;
  if (io::monotonic_now() < interfaces_learned_ + learn_interval) return {};
  learn_interfaces();
  const auto known = inside_by_index_.find(interface_index);
  return known == inside_by_index_.end() ? std::nullopt : std::optional(known->second);
}

void Daemon::learn_interfaces() {
  interfaces_learned_ = io::monotonic_now();
  inside_by_index_.clear();
  for (std::size_t i = 0; i < settings_.inside.size(); ++i) {
    const auto found = netlink_.find_interface(settings_.inside[i].interface);
    if (found && *found) inside_by_index_[(*found)->index] = i;
  }
}

void Daemon::log_counters() const {
  const server::Counters& counters = server_.counters();
  io::log::info("server-mappings", "mappings {mappings}, expired {expired}", server_.contracts().size(),
                counters.expired);
  if (server_.is_read_only()) io::log::info("server-read-only", "read-only: the store does not write");
  io::log::info("server-requests",
                "requests: MAP {map}, PEER {peer}, ANNOUNCE {announce}, NAT-PMP {nat_pmp}, others {others}",
                counters.map_requests, counters.peer_requests, counters.announce_requests,
                counters.nat_pmp_requests, counters.other_requests);
  io::log::info(
      "server-unasked",
      "unasked: mapping updates {updates}, announcements {announcements}; moved {moved}, lost {lost}",
      counters.updates_sent, counters.announcements_sent, counters.moved, counters.lost);
  for (std::size_t code = 0; code < counters.answers.size(); ++code)
    if (counters.answers[code] != 0)
      io::log::info("server-answers", "answers {result}: {answers}",
                    wire::to_string(static_cast<wire::ResultCode>(code)), counters.answers[code]);
  io::log::info("server-dropped",
                "dropped: too short {too_short}, responses {responses}, overload {overload}, not from inside "
                "{not_inside}, not unicast {not_unicast}, "
                "from another interface than answers go to {wrong_interface}, answers not sent {unsent}",
                counters.dropped_too_short, counters.dropped_response, counters.dropped_overload,
                dropped_.not_inside, dropped_.not_unicast, dropped_.wrong_inside, dropped_.unsent);
  devices_->log_counters();
}

}  // namespace portolan::portoland
