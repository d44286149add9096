// SPDX-License-Identifier: BSD-2-Clause
//
// Every change a daemon makes to its host's network: listed for the log, idempotent, undone at exit in
// reverse order. A journal file, written ahead of each change, lets the next start finish the work of a
// run that was killed: what is still wanted is taken over untouched, the rest is undone.
//
//   auto changes = HostChanges::open({.journal = "/run/portolan/portoland.host"});
//   changes->add_route(pool, "nat64");                 // taken over if the killed run had made it
//   changes->add_proxy_neighbour(pool_address, "wan0");
//   changes->undo_leftovers();                         // what the killed run had made beyond that
//   for (const auto& line : changes->list()) log(line);
//
// What was already there when it was asked for belongs to somebody else: it is neither listed nor
// undone. Undoing leaves alone what somebody changed since.
#pragma once

#include <expected>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "io/netlink.h"
#include "io/nft_table.h"

namespace portolan::io {

struct HostChangesOptions {
  /// File of this daemon's own, which has to outlive a kill: systemd empties a RuntimeDirectory unless
  /// RuntimeDirectoryPreserve=yes. Its folder is made if missing. Empty: no journal, and leftovers are
  /// found only by mark (claim_marked_neighbours).
  std::filesystem::path journal = {};
  OriginMark mark = portolan_mark;
};

/// The changes in force. Each call returns once the kernel has answered. Thread: one at a time.
class HostChanges {
 public:
  /// Reads the journal of an earlier run. Changes made in another boot or another network namespace are
  /// gone with it and dropped from the journal.
  /// Errors  journal not writable; another live process holds it
  [[nodiscard]] static auto open(const HostChangesOptions& options)
      -> std::expected<HostChanges, std::string>;
  HostChanges(HostChanges&&) noexcept;
  auto operator=(HostChanges&&) noexcept -> HostChanges&;
  /// As undo(), errors ignored.
  ~HostChanges();

  [[nodiscard]] auto add_route(const Prefix& prefix, std::string_view interface)
      -> std::expected<void, std::string>;
  /// prefix_length in bits of the address's own family.
  [[nodiscard]] auto add_address(const IpAddress& address, unsigned prefix_length, std::string_view interface)
      -> std::expected<void, std::string>;
  /// Makes the host answer for `address` on `interface`. For IPv6 that takes proxy_ndp of the interface,
  /// which is set as a change of its own. It takes effect only while the host forwards that family.
  [[nodiscard]] auto add_proxy_neighbour(const IpAddress& address, std::string_view interface)
      -> std::expected<void, std::string>;
  /// Redirects packets that come in on `interface` to the output of `to`, in place of an earlier redirect of
  /// ours on `interface`. It is made anew in any case: either may be another interface of the same name by
  /// now.
  [[nodiscard]] auto redirect(const Redirect& wanted, std::string_view interface, std::string_view to)
      -> std::expected<void, std::string>;
  /// Keeps the kernel from choosing these ports for sockets that ask for any. Those that are reserved already
  /// must be all of them, or none; others that an earlier run left are free again first.
  [[nodiscard]] auto reserve_ports(const PortRange& ports) -> std::expected<void, std::string>;
  /// Ends the reservations that an earlier run left, that of `ports` apart.
  [[nodiscard]] auto free_left_ports_but(const PortRange& ports) -> std::expected<void, std::string>;
  [[nodiscard]] auto set_sysctl(std::string_view name, std::string_view value)
      -> std::expected<void, std::string>;
  /// A table of nftables that the caller loads; undone by deleting it, unless it `stays`.
  [[nodiscard]] auto note_table(const NftTableName& table, bool stays) -> std::expected<void, std::string>;

  /// Takes proxy neighbour entries on `interface` that carry our mark for leftovers, as if the journal had
  /// named them. For use without a journal; two daemons on one interface then need different marks.
  [[nodiscard]] auto claim_marked_neighbours(std::string_view interface) -> std::expected<void, std::string>;

  /// Withdraws one of ours early; false if there is no such.
  auto remove_proxy_neighbour(const IpAddress& address, std::string_view interface)
      -> std::expected<bool, std::string>;
  auto remove_address(const IpAddress& address, unsigned prefix_length, std::string_view interface)
      -> std::expected<bool, std::string>;
  auto remove_route(const Prefix& prefix, std::string_view interface) -> std::expected<bool, std::string>;
  auto remove_redirect(std::string_view interface) -> std::expected<bool, std::string>;

  /// Undoes what an earlier run left and this one has not asked for since; returns their lines. To be
  /// called once start-up has asked for everything it wants.
  auto undo_leftovers() -> std::vector<std::string>;

  /// Undoes everything, latest first, leftovers too; returns a line per failure. What
  /// could not be undone stays in the journal for the next start.
  auto undo() -> std::vector<std::string>;

  /// One line per change in force, in the order made: "route 192.0.2.14/32 dev nat64".
  [[nodiscard]] auto list() const -> std::vector<std::string>;
  /// The same for what an earlier run left and nobody has asked for yet.
  [[nodiscard]] auto leftovers() const -> std::vector<std::string>;

 private:
  struct State;
  explicit HostChanges(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::io
