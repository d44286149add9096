// SPDX-License-Identifier: BSD-2-Clause
//
// portoland wired together: one event loop that serves UDP, drives the server engine, and hands its
// batches to the device and the store.
#pragma once

#include <expected>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/histogram.h"
#include "control/management/api.h"
#include "device/device.h"
#include "io/event_loop.h"
#include "io/host_network.h"
#include "io/netlink.h"
#include "io/return_paths.h"
#include "io/system.h"
#include "io/udp.h"
#include "portoland/config.h"
#include "portoland/devices.h"
#include "portoland/mapping_log.h"
#include "server/server.h"
#include "store/store.h"

namespace portolan::control {
struct StoreMetrics;
}
namespace portolan::store {
class SqliteStore;
}

namespace portolan::portoland {

class Daemon {
 public:
  /// Opens sockets, makes the device and what it needs of the host. `loop` outlives the daemon.
  /// Errors  text for the operator; every change to the host made so far is undone
  [[nodiscard]] static auto start(Settings settings, io::EventLoop& loop)
      -> std::expected<std::unique_ptr<Daemon>, std::string>;
  ~Daemon();

  /// Reads the file of its settings again, and goes by it; tells log and service manager. What was promised
  /// stays so, mappings at addresses that leave the pool move. Errors  each mistake, for the operator:
  /// nothing has changed, but that logs that were moved away are begun anew
  auto reload() -> std::expected<void, std::vector<std::string>>;
  [[nodiscard]] auto settings() const -> const Settings& { return settings_; }

  /// Writes what has been counted so far to the log.
  void log_counters() const;
  /// Hands the same, and more, to `take` as text for Prometheus (control/metrics/exposition.h), later on the
  /// loop's thread; never if the daemon goes before. Cost: nothing that grows with mappings or users.
  void gather_metrics(std::function<void(std::string)> take);

 private:
  Daemon(Settings settings, io::EventLoop& loop, io::UdpSocket socket, io::Netlink netlink,
         io::ReturnPaths return_paths, io::HostChanges host);

  /// Opens the configured store, and takes over what it has.
  [[nodiscard]] auto open_store() -> std::expected<void, std::string>;
  /// Why the store's last commit failed; empty if it did not.
  [[nodiscard]] auto store_error() const -> std::string;
  /// Says once that the store does not write, and once that it does again.
  void tell_store_error();
  /// Makes the configured devices; their changes to the host are listed in host_.
  [[nodiscard]] auto make_devices() -> std::expected<void, std::string>;

  /// Has receive() called when requests wait, as long as they can be taken: else they stay in the socket.
  void listen();
  void receive();
  void carry_out_actions();
  void send(const server::Actions& actions);
  /// The addresses by which hosts on an inside interface may know the server: they take announcements only
  /// from that one (RFC 6887 s14.1.3; RFC 6886 s3.2.1).
  [[nodiscard]] auto announcement_sources(unsigned interface_index, Family family) -> std::vector<IpAddress>;
  /// Index of the inside interface `interface_index` in the settings, if it is one.
  [[nodiscard]] auto inside_of(unsigned interface_index) -> std::optional<std::size_t>;
  void learn_interfaces();
  [[nodiscard]] auto completion() -> device::Device::Completion;
  [[nodiscard]] auto event_handler() -> device::Device::EventHandler;
  [[nodiscard]] auto metrics_with(const Devices::Metrics& devices, Nanoseconds loop_delay) const
      -> std::string;
  [[nodiscard]] auto store_metrics() const -> control::StoreMetrics;
  /// Opens the logs of what happens again: somebody may have moved them away.
  void reopen_logs();
  /// Takes `wanted` instead of the present settings; load_settings() has found nothing wrong with them, nor
  /// a difference in what is fixed at start. Errors  text for the operator; nothing has changed
  [[nodiscard]] auto apply(Settings wanted) -> std::expected<void, std::string>;
  /// What operators are shown over TLS; none if they do not come by it. Errors  text for the operator
  [[nodiscard]] static auto load_identity(const ManagementSettings& wanted)
      -> std::expected<io::TlsIdentity, std::string>;
  /// Lets operators in, if they are to be.
  [[nodiscard]] auto start_management() -> std::expected<void, std::string>;
  [[nodiscard]] auto management_surroundings() -> management::Surroundings;
  [[nodiscard]] auto program_status() const -> management::ProgramStatus;
  [[nodiscard]] auto pools() const -> std::vector<management::Pool>;
  [[nodiscard]] auto program_counters() const -> std::vector<management::Counter>;
  [[nodiscard]] auto posting() -> std::function<void(std::function<void()>)>;

  Settings settings_;
  io::EventLoop& loop_;
  io::UdpSocket socket_;
  io::Netlink netlink_;
  io::ReturnPaths return_paths_;
  io::HostChanges host_;
  io::SystemRandom random_;
  server::Server server_;
  std::unique_ptr<store::Store> store_;
  /// The same, if it is one on a disk.
  const store::SqliteStore* sqlite_ = nullptr;
  std::string told_store_error_;
  std::unique_ptr<Devices> devices_;
  /// None: nobody is let in.
  std::unique_ptr<management::Api> api_;
  TimePoint up_since_ = io::monotonic_now();

  std::size_t batches_with_device_ = 0;
  Nanoseconds started_ = io::wall_now();
  SizeHistogram batch_requests_;
  TimePoint commit_began_{};
  DurationHistogram commit_seconds_;
  std::uint64_t rows_committed_ = 0;
  std::size_t rows_committing_ = 0;
  /// Kept between calls for their memory.
  std::vector<server::Inbound> inbound_;
  std::vector<io::OutgoingDatagram> outgoing_;

  std::unordered_map<unsigned, std::size_t> inside_by_index_;
  TimePoint interfaces_learned_{};
  struct {
    std::uint64_t not_inside = 0;
    std::uint64_t not_unicast = 0;
    /// The way back to the client leads elsewhere.
    std::uint64_t wrong_inside = 0;
    std::uint64_t unsent = 0;
  } dropped_;

  io::Timer timer_;
  /// After the server's, from which it takes events.
  MappingLog mapping_log_;
  io::Watch readable_;
};

}  // namespace portolan::portoland
