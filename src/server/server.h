// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP server engine (RFC 6887, with NAT-PMP, RFC 6886): admits requests, decides them in batches, has
// the device apply and the store commit each batch, and answers. It does no I/O: it is driven by calls
// with the time as an argument, and what it wants done is fetched with take_actions().
//
// A request that changes a mapping goes through a batch:
//
//   receive -> [decide] -> Apply -> applied() -> Commit -> committed() -> Send
//
// The batch rules (docs/architecture.md):
// - one operation under way per mapping; a later request on the same mapping waits for its answer;
// - at most one commit is outstanding, and it covers every batch applied until then;
// - if a commit fails, all uncommitted batches are undone at the device, newest first, and the server is
//   read-only until a commit succeeds: renewals are answered with what is durable, all else is refused.
//
// server.cpp: what comes in. decide.cpp: MAP, PEER and NAT-PMP requests up to what only the device can
// say. statics.cpp: the operator's mappings. management.cpp, deletions.cpp, listing.cpp: what the operator
// asks. batches.cpp: device and store. restore.cpp, reconcile.cpp: what store and device have at start, and
// the device each time it is back, profiles included. answers.cpp: what goes out.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "base/random.h"
#include "base/time.h"
#include "server/actions.h"
#include "server/config.h"
#include "server/contracts.h"
#include "server/counters.h"
#include "server/device_profiles.h"
#include "server/events.h"
#include "server/management.h"
#include "server/reconciliation.h"
#include "server/requests.h"
#include "server/updates.h"
#include "server/users.h"

namespace portolan::server {

/// What the server took over from its store.
struct Restored {
  std::size_t mappings = 0;
  /// Their time was up.
  std::size_t expired = 0;
  /// The epoch goes on; otherwise state was lost, and clients are told.
  bool epoch_goes_on = false;
  /// Added by hand.
  std::size_t users = 0;
  std::size_t statics = 0;
};

class Server {
 public:
  /// `random` keys the hash tables; used during construction only. `standing_of` says of devices what the
  /// server is not told by connected(), or not yet; empty: there is nothing to say.
  Server(Config config, Random& random, device::StandingOf standing_of = {});

  /// Takes over what the store has, before anything else: mappings with what is left of their lifetimes, and
  /// the epoch. Without an epoch in `rows` there was no state, or it is lost: as announce_restart().
  ///
  /// In      interface_indexes: of the inside interfaces, as in Path; 0 where it is not known
  /// Errors  text for the operator: more mappings than mappings_max
  [[nodiscard]] auto restore(TimePoint now, std::span<const store::Row> rows,
                             std::span<const std::uint32_t> interface_indexes)
      -> std::expected<Restored, std::string>;

  /// Goes by `config` from now on. What was promised stays so: new limits and rights hold for what is asked
  /// from now on. Inside interfaces, mappings_max and epoch scope are those of before, and the epoch goes on,
  /// unless an external address is gone (RFC 6887 s8.5). Other prefixes are announced (RFC 7225 s4.2).
  void reconfigure(TimePoint now, Config config);

  /// Takes a batch of datagrams that came in on inside interfaces, in order of arrival.
  void receive(TimePoint now, std::span<const Inbound> datagrams);

  /// The device's results of `batch`, one per operation. Batches complete in order.
  void applied(TimePoint now, device::BatchId batch, std::span<const device::Result> results);
  /// What happened to mappings at the device by itself, in its order with the results of batches.
  void happened(TimePoint now, std::span<const device::Event> events);
  /// The device is there (again) and has `inventory`, a part of it or all. What it lacks is installed again
  /// at the same external endpoint, or moves if that is not to be had; what nobody owns is removed; lifetimes
  /// and filters are corrected. In batches of Apply::reconciles; then comes Actions::reconciled. Until then
  /// requests for new mappings are dropped, and clients ask again: they might be given what others were
  /// promised. All of this is about the mappings that the inventory is about. Such requests are dropped too
  /// while `standing_of` says that the device awaits its turn; one that is out of reach says so itself.
  void connected(TimePoint now, const device::Inventory& inventory);

  /// The store's word on `commit`.
  void committed(TimePoint now, store::CommitId commit, bool ok);

  /// The external address of IPv4 hosts, where the configuration names none, because it is the interface's of
  /// the moment; none if there is none. Another one is announced (RFC 6886 s3.2.1).
  void learn_address(TimePoint now, std::optional<Ipv4Address> address);

  /// State may have been lost: tells clients (RFC 6887 s14.1.3). The epoch begins at `now`; false if it did
  /// so less than a second ago.
  auto announce_restart(TimePoint now) -> bool;

  /// Does what is due at `now`: expiries, announcements, attempts to write again while read-only.
  void advance(TimePoint now);
  /// When advance() has something to do next.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// What is to be done; each action is returned once.
  [[nodiscard]] auto take_actions() -> Actions;

  /// Seconds since the server's state began (RFC 6887 s8.5), as `subscriber` sees it.
  [[nodiscard]] auto epoch_time_s(TimePoint now, const Prefix& subscriber) const -> std::uint32_t;
  [[nodiscard]] auto is_read_only() const -> bool { return is_read_only_; }
  /// Whether a further batch would be taken. Requests that come while it would not are dropped, unless they
  /// wait until it is.
  [[nodiscard]] auto has_room() const -> bool { return pipeline_.size() < config_.batches_in_flight_max; }
  [[nodiscard]] auto is_reconciling() const -> bool { return reconciliation_.has_value(); }
  /// Whether the device that has `key`, one of several, is being reconciled.
  [[nodiscard]] auto is_reconciling(const MappingKey& key) const -> bool {
    return reconciliation_ && reconciliation_->covers(key);
  }
  /// Whether that one may not be asked for new mappings yet.
  [[nodiscard]] auto awaits_reconciliation(const MappingKey& key) const -> bool;
  [[nodiscard]] auto counters() const -> const Counters& { return counters_; }
  [[nodiscard]] auto contracts() const -> const ContractTable& { return contracts_; }
  [[nodiscard]] auto device_profiles() const -> const DeviceProfiles& { return device_profiles_; }

  // For the operator (management.h). Each look costs at most page_looks_max steps.

  /// A page of the users that `filter` lets through, in no order that matters: from the configuration and by
  /// hand, then dynamic ones.
  [[nodiscard]] auto list_users(TimePoint now, const UserFilter& filter, const Cursor& cursor) const
      -> Page<UserView>;
  /// The user of just this prefix, a dynamic one's being its subscriber's.
  [[nodiscard]] auto find_user(TimePoint now, const Prefix& prefix) const -> std::optional<UserView>;
  /// Adds a user by hand, durably. What the device can't give it is a reason to refuse.
  /// Errors  invalid, exists, configured, busy, limit, read_only; later refused,
  /// not_durable
  [[nodiscard]] auto add_user(TimePoint now, Profile user) -> std::expected<OperationId, Failure>;
  /// Gives a user that was added by hand other rights and limits, for what is asked from now on.
  /// Errors  as add_user(), and not_found
  [[nodiscard]] auto change_user(TimePoint now, Profile user) -> std::expected<OperationId, Failure>;
  /// Deletes a user that was added by hand, then the mappings that its clients have, none of them static; a
  /// dynamic user is its mappings. Clients are told by mapping updates with lifetime 0. If policy lets them,
  /// they may be back as dynamic users.
  /// Errors  not_found, configured, busy, read_only; later not_durable
  [[nodiscard]] auto delete_user(TimePoint now, const Prefix& prefix) -> std::expected<OperationId, Failure>;

  [[nodiscard]] auto list_mappings(TimePoint now, const MappingFilter& filter, const Cursor& cursor) const
      -> Page<MappingView>;
  [[nodiscard]] auto find_mapping(TimePoint now, const ContractKey& key) const -> std::optional<MappingView>;
  /// Adds a static mapping by hand, durably. A client's own mapping of the same key gives way, and its client
  /// is told. With an unspecified external address it is at whichever the device has. Errors  invalid,
  /// exists, configured, busy, limit, read_only; later refused, not_durable
  [[nodiscard]] auto add_mapping(TimePoint now, StaticMapping mapping) -> std::expected<OperationId, Failure>;
  /// Deletes one mapping, a client's or one added by hand. Clients are told as by delete_user().
  /// Errors  not_found, configured, busy, read_only; later refused, not_durable
  [[nodiscard]] auto delete_mapping(TimePoint now, const ContractKey& key)
      -> std::expected<OperationId, Failure>;
  /// The same of all that `filter` lets through, in batches of bounded size, between which requests are
  /// served. Errors  busy, read_only; what is under way when the store fails is taken up again when it writes
  [[nodiscard]] auto delete_mappings(TimePoint now, const MappingFilter& filter)
      -> std::expected<OperationId, Failure>;

  /// Tells all clients the epoch, as after a restart (RFC 6887 s14.1.3); with `begins_epoch` it begins anew,
  /// so that they ask for their mappings again. Errors  busy: the epoch began less than a second ago
  [[nodiscard]] auto announce(TimePoint now, bool begins_epoch) -> std::expected<void, Failure>;
  /// The same to the clients that have mappings of one user's, one by one; returns how many.
  /// Errors  not_found; invalid: a new epoch for one user where all have the same
  [[nodiscard]] auto announce_to(TimePoint now, const Prefix& user, bool begins_epoch)
      -> std::expected<std::size_t, Failure>;

  [[nodiscard]] auto runtime_settings() const -> RuntimeSettings;
  /// For what is asked from now on. Errors  invalid, with the name of the setting
  [[nodiscard]] auto set(const RuntimeSettings& settings) -> std::expected<void, Failure>;

  /// Records events from now on, or no more: what nobody reads costs nothing.
  void record_events(bool is_on) { events_.set_on(is_on); }
  /// Records them whatever record_events() says: for a log that is to have all.
  void hold_events(bool is_held) { events_.hold(is_held); }
  /// At most `most` events from number `sequence` on; 0: from the next one on.
  [[nodiscard]] auto events_from(std::uint64_t sequence, std::size_t most) const -> EventPage {
    return events_.from(sequence, most);
  }

  [[nodiscard]] auto gauges() const -> Gauges;

  /// Says which internal truth does not hold, or nothing. For tests and the simulator; O(mappings).
  [[nodiscard]] auto broken_invariant(TimePoint now) const -> std::optional<std::string>;

 private:
  /// One change of one mapping under way.
  struct Item {
    Endpoint client;
    Path path;
    /// The request, among the octets of the batch.
    Message datagram;
    /// False for all but the last item of a request that has several but one answer.
    bool is_answered = true;
    Format format = Format::pcp_2;
    ContractKey key;
    Nonce nonce;
    IpAddress suggested_external_address;
    Port suggested_external_port;
    /// Where the operator has its owner's mappings, if anywhere.
    IpAddress given_address;
    bool prefer_failure = false;
    bool preserve_parity = false;
    /// Deleting all passed over mappings of the operator (RFC 6886 s3.4).
    bool leaves_some = false;
    /// Of the operator's making.
    bool is_static = false;
    /// Of the operator's deleting.
    OperationId operation{};
    std::uint16_t port_count = 1;
    PortRange external_ports;
    Prefix subscriber;
    /// Of the contract.
    ContractTable::Place place = 0;
    /// What will be granted; 0 deletes.
    Seconds lifetime{};
    SharedDetails details;
    /// The contract when the request was decided.
    std::optional<Contract> before;
    /// What the device said.
    std::optional<device::Result> outcome;
  };
  struct Batch {
    device::BatchId id;
    std::vector<Item> items;
    /// The requests, one behind the other.
    std::vector<std::byte> octets;
    bool is_applied = false;

    void drop_from(std::size_t first) {
      items.erase(items.begin() + static_cast<std::ptrdiff_t>(first), items.end());
    }
    /// As it came in; borrows the batch.
    [[nodiscard]] auto inbound(const Item& item) const -> Inbound {
      return {.client = item.client,
              .path = item.path,
              .payload = std::span(octets).subspan(item.datagram.offset, item.datagram.size)};
    }
  };
  /// A datagram that waits for an earlier request on the same mapping.
  struct Deferred {
    /// What it waits for.
    MappingKey key;
    Endpoint client;
    Path path;
    std::vector<std::byte> datagram;
  };
  /// Who asks, and what they may.
  struct Asker {
    /// Borrowed from configuration or user.
    const Policy* policy;
    Prefix subscriber;
    /// The one that the operator gave; unspecified: any.
    IpAddress external_address;
  };

  // server.cpp
  void fetch_requested(std::span<const Inbound> datagrams) const;
  /// `is_counted`: it waited, and was counted when it came.
  void admit(TimePoint now, const Inbound& datagram, Batch& batch, bool is_counted = false);
  void admit_nat_pmp(TimePoint now, const Inbound& datagram, Batch& batch, bool is_counted);
  void count_request(const wire::Request& request);
  void count_change(const Item& item);
  void count_answer(const Inbound& datagram, wire::ResultCode result);
  /// Takes over what is derived from the configuration.
  void derive_from_config();
  [[nodiscard]] auto asker_of(const IpAddress& address, const Path& path) const -> Asker;
  [[nodiscard]] auto path_number(const Path& path) -> std::uint16_t;

  // decide.cpp
  void decide(TimePoint now, const Inbound& datagram, const wire::Request& request, Batch& batch);
  void decide_nat_pmp(TimePoint now, const Inbound& datagram, const wire::nat_pmp::MapRequest& request,
                      Batch& batch);
  void delete_all(TimePoint now, const Inbound& datagram, const Wanted& wanted, Batch& batch);
  void carry_out(TimePoint now, const Inbound& datagram, Wanted wanted, Batch& batch);
  void answer_about_static(TimePoint now, const Inbound& datagram, const Wanted& wanted,
                           const Contract& contract, const Asker& owner);
  [[nodiscard]] auto is_admissible(TimePoint now, const Inbound& datagram, const Wanted& wanted,
                                   const Contract* contract, const Asker& owner) -> bool;
  [[nodiscard]] auto shrink_to_quota(Item& item, const Policy& policy) const -> bool;
  [[nodiscard]] auto item_for(TimePoint now, const Inbound& datagram, const Wanted& wanted,
                              const Contract* contract, const Asker& owner) const -> Item;
  void begin(TimePoint now, const Inbound& datagram, std::size_t first, Batch& batch);
  /// Nothing else changes the mapping of `item` from now on, until its batch is finished.
  void take_under_way(TimePoint now, const Item& item);
  void decide_read_only(TimePoint now, const Inbound& datagram, const Item& item);
  [[nodiscard]] auto defer_if_busy(const Inbound& datagram, const MappingKey& first, std::uint16_t port_count)
      -> bool;
  [[nodiscard]] auto realm_of(const RequestOptions& options) const -> std::expected<Realm, wire::ResultCode>;
  /// Whether the device gives such hosts external addresses of such a family.
  [[nodiscard]] auto gives(const MappingKey& key) const -> bool;
  /// Octets the answer may have beyond the request's.
  [[nodiscard]] auto added_octets(const RequestOptions& options) const -> std::size_t;

  // reconcile.cpp
  /// What the device has at `external` under `key`; is_right(contract) says whether the rest is as promised.
  template <typename IsRight>
  void compare(TimePoint now, const ContractKey& key, const Endpoint& external, std::uint16_t port_count,
               IsRight is_right);
  [[nodiscard]] auto is_owned(const ContractKey& key, const Endpoint& external) const -> bool;
  /// Submits what can be, and ends the reconciliation when nothing is left.
  void reconcile(TimePoint now);
  [[nodiscard]] auto has_repairs() const -> bool;
  [[nodiscard]] auto waits_for_profiles() const -> bool;
  /// The next thing to repair, if `looks` suffice to find it.
  [[nodiscard]] auto next_repair(TimePoint now, std::size_t& looks) -> std::optional<Repair>;
  /// Whether `repair` can begin; its keys are taken.
  [[nodiscard]] auto take_keys(Repair& repair) -> bool;
  void append_operations(TimePoint now, Repair& repair, std::vector<device::Operation>& operations) const;
  void repaired(TimePoint now, std::size_t batch, std::span<const device::Result> results);
  void release_repairs(TimePoint now, std::span<const Repair> repairs);
  /// What was found to be repaired and is not under way: it never will be.
  [[nodiscard]] auto take_unfinished() -> std::vector<Repair>;
  [[nodiscard]] auto profile_repairs() const -> std::size_t {
    return static_cast<std::size_t>(std::ranges::count(profile_batches_, true, &ProfileBatch::reconciles));
  }
  /// Submits what the device lacks of profiles, or has too much, as far as it may.
  void submit_profiles();
  void profiles_applied(TimePoint now, std::size_t batch, std::span<const device::Result> results);

  // statics.cpp
  void review_statics(TimePoint now);
  /// Begins what is to be done about those whose device `has_turn`.
  void submit_statics(TimePoint now, const std::function<bool(const MappingKey&)>& has_turn);
  [[nodiscard]] auto change_of_static(TimePoint now, const MappingKey& key) const -> std::optional<Item>;
  [[nodiscard]] auto has_run_out(TimePoint now, const MappingKey& key) const -> bool;
  /// It is no longer wanted, because its time is up.
  void end_static(TimePoint now, const MappingKey& key);
  [[nodiscard]] auto is_in_force(TimePoint now, const StaticMapping& mapping) const -> bool;
  void static_refused(const MappingKey& key, device::Refusal refusal);
  struct Static;
  /// Of what is wanted; they note that the device is to follow.
  void put_static(Static entry);
  void erase_static(const MappingKey& key);
  /// Takes over those of the configuration, which come before those added by hand.
  void configure_statics();
  void overrule_static(const MappingKey& key);
  /// Begins to delete one that was added by hand.
  void begin_static_deletion(OperationId operation, const MappingKey& key);
  /// `item` is done at the device, and durable if it has to be.
  void static_changed(const Item& item);
  void roll_back_static(const MappingKey& key);

  // management.cpp
  [[nodiscard]] auto may_change() const -> std::expected<void, Failure>;
  [[nodiscard]] auto next_operation() -> OperationId { return {++last_operation_}; }
  void end(OperationId operation, std::expected<Outcome, Failure> result);
  /// The user that was added by hand and may be changed now, or nullptr.
  [[nodiscard]] auto find_own_user(const Prefix& prefix) const -> std::expected<const User*, Failure>;
  [[nodiscard]] auto check_user(const Profile& user) const -> std::expected<const User*, Failure>;
  auto change_user_to(TimePoint now, const Prefix& prefix, std::optional<Profile> after) -> OperationId;
  /// Takes over those of the configuration, which come before those added by hand.
  void configure_users();
  /// Ends one that was added by hand, and what is under way about it: the configuration has the same.
  void overrule_user(const Prefix& prefix);
  /// Puts `user`, or erases it; and notes what the device should have now, for those within it too.
  void put_user(const Prefix& prefix, std::optional<User> user);
  void walk_profiles();
  /// Lets changes of users go on that the device has, or takes them back that it refused.
  void review_user_changes();
  void roll_back_user(const Prefix& prefix);
  /// Rows of changes of users and static mappings that the device has.
  void append_change_rows(std::vector<store::Row>& rows, std::vector<Prefix>& users,
                          std::vector<MappingKey>& statics);
  void changes_committed(TimePoint now, const std::vector<Prefix>& users,
                         const std::vector<MappingKey>& statics);
  void changes_not_durable();
  void tell_epoch(TimePoint now, const Contract& contract,
                  std::set<std::pair<Endpoint, std::uint16_t>>& told);
  void record(TimePoint now, Event::Kind kind, const Contract& contract) {
    if (events_.is_on()) events_.record({.time = now, .kind = kind, .contract = contract});
  }
  void record_finished(TimePoint now, const Item& item);

  // deletions.cpp
  struct Deletion;
  auto begin_deletion(TimePoint now, Deletion deletion) -> OperationId;
  void review_deletions(TimePoint now);
  [[nodiscard]] auto has_deletions_due() const -> bool;
  [[nodiscard]] static auto result_of(const Deletion& deletion) -> std::expected<Outcome, Failure>;
  void walk_deletion(TimePoint now, Deletion& deletion, Batch& batch);
  /// Adds what is to be done about `contract` to `batch`.
  void delete_contract(TimePoint now, Deletion& deletion, const Contract& contract, Batch& batch);
  void deletion_finished(TimePoint now, const Item& item);
  void deletion_undone(const Item& item);
  [[nodiscard]] auto is_meant(const Deletion& deletion, const Contract& contract) const -> bool;

  // restore.cpp
  void restore_user(const Profile& user);
  void fetch_restored(std::span<const store::Row> rows) const;
  void restore_static(TimePoint now, const StaticMapping& mapping);

  // listing.cpp
  [[nodiscard]] auto broken_management() const -> std::optional<std::string>;
  [[nodiscard]] auto view_of(TimePoint now, const User& user) const -> UserView;
  [[nodiscard]] auto view_of(TimePoint now, const ContractTable::Subscriber& subscriber) const -> UserView;
  void view_mappings(TimePoint now, UserView& view) const;
  [[nodiscard]] auto view_of(TimePoint now, const Contract& contract) const -> MappingView;
  /// What a static mapping that is not in force would be.
  [[nodiscard]] static auto contract_of(TimePoint now, const StaticMapping& mapping) -> Contract;
  [[nodiscard]] auto origin_of(const Contract& contract) const -> Origin;
  [[nodiscard]] auto matches(const MappingFilter& filter, const Contract& contract) const -> bool;

  // batches.cpp
  void submit(Batch batch);
  [[nodiscard]] static auto operation_for(const Item& item) -> device::Operation;
  void fetch_settled(std::span<const Item> items) const;
  void settle(TimePoint now, Item& item, const device::Result& result);
  void commit_if_possible(TimePoint now);
  [[nodiscard]] auto row_of(const Contract& contract) const -> store::PutMapping;
  void append_row(const Item& item, std::vector<store::Row>& rows) const;
  void finish(TimePoint now, std::size_t batches);
  void undo_if_possible(TimePoint now);
  void undone(TimePoint now, std::span<const device::Result> results);
  void release_keys(TimePoint now, const std::vector<Batch>& batches);
  /// Gives `key` back; who waited for it is added to `waiting`.
  void release_key(const MappingKey& key, std::vector<Deferred>& waiting);
  void admit_again(TimePoint now, std::vector<Deferred> waiting);
  /// Calls `visit` for the key of each internal port of an Item or Repair.
  template <typename Change, typename Visit>
  static void for_each_key(const Change& change, Visit visit) {
    MappingKey key = change.key.mapping;
    for (std::uint16_t i = 0; i < change.port_count; ++i, ++key.internal_port.value) visit(key);
  }
  /// Returns whether the external address is another than before.
  auto move_contract(TimePoint now, const device::Moved& moved) -> bool;
  /// The subscribers of contracts that moved, or all, have a new epoch: tells those of their clients who get
  /// no update one by one. Not all of them hear a multicast: routers may lie between (RFC 6887 s14.1.3).
  void announce_epochs(TimePoint now, std::span<const ContractKey> moved);
  auto lose_contract(TimePoint now, const ContractKey& key) -> bool;

  // answers.cpp
  void answer(TimePoint now, const Inbound& datagram, const Item& item);
  void answer_success(TimePoint now, const Inbound& datagram, const Item& item, Seconds lifetime);
  void answer_announce(TimePoint now, const Inbound& datagram, const wire::Request& request);
  void answer_error(TimePoint now, const Inbound& datagram, wire::ResultCode result, Seconds lifetime);
  void answer_error(TimePoint now, const Inbound& datagram, wire::ResultCode result) {
    answer_error(now, datagram, result, error_lifetime(result));
  }
  /// The answer to what could not be parsed as a request.
  void answer_unparsed(TimePoint now, const Inbound& datagram, wire::ResultCode result);
  void send_error(TimePoint now, const Inbound& datagram, wire::ResultCode result, Seconds lifetime,
                  std::uint8_t version, bool parsed);
  /// What NAT-PMP clients are told who have no mapping.
  [[nodiscard]] auto nat_pmp_address() const -> std::optional<Ipv4Address>;
  void answer_nat_pmp_address(TimePoint now, const Inbound& datagram);
  void answer_nat_pmp_map(TimePoint now, const Inbound& datagram, const Item& item, const Contract& mapping,
                          Seconds lifetime);
  void answer_nat_pmp_error(TimePoint now, const Inbound& datagram, wire::ResultCode result);
  [[nodiscard]] auto error_lifetime(wire::ResultCode result) const -> Seconds;
  /// Sends the message that `write` writes into a buffer of 1100 octets; it returns the size.
  template <typename Write>
  void send(const Endpoint& client, const Path& path, Write write) {
    send(client, path, std::span<const std::byte>(scratch_).first(write(std::span<std::byte>(scratch_))));
  }
  void send(const Endpoint& client, const Path& path, std::span<const std::byte> message);
  [[nodiscard]] auto append_processed_options(std::span<const std::byte> datagram, const Item& item,
                                              const Contract& mapping, std::span<std::byte> buffer,
                                              std::size_t size) const -> std::size_t;
  void send_update(TimePoint now, const Updates::Update& update);
  void send_nat_pmp(const Endpoint& client, const Path& path, const wire::nat_pmp::Response& response);
  void send_announcements(TimePoint now);
  void send_epoch(TimePoint now, const EpochAnnouncements::Recipient& recipient);
  /// Multicasts the first `size` octets of scratch_.
  void multicast(std::size_t inside, Family family, std::size_t size);

  Config config_;
  device::StandingOf standing_of_;
  Users users_;
  ContractTable contracts_;
  Counters counters_;
  Actions actions_;
  std::vector<Path> paths_;
  std::optional<Ipv4Address> learned_address_;
  /// The last one that was learned.
  std::optional<Ipv4Address> former_address_;
  /// Clients that hear no multicast are yet to be told of the epoch.
  bool has_epochs_to_announce_ = false;
  /// Limits may have become smaller than what was promised.
  bool was_reconfigured_ = false;
  /// Data of the PREFIX64 options.
  std::vector<std::vector<std::byte>> prefix64_data_;
  std::array<std::byte, wire::message_octets_max> scratch_;

  /// Batches not yet answered, oldest first.
  std::deque<Batch> pipeline_;
  std::uint64_t last_batch_ = 0;
  std::uint64_t last_commit_ = 0;

  struct OutstandingCommit {
    store::CommitId id;
    /// How many batches, from the oldest on, it makes durable.
    std::size_t batches = 0;
    /// Rows in it that no request asked for, to be written later if it fails.
    std::vector<store::Row> housekeeping;
    /// Whose clients are told once it is durable.
    std::vector<ContractKey> moved;
    /// Whose changes are in it.
    std::vector<Prefix> users{};
    std::vector<MappingKey> statics{};
  };
  std::optional<OutstandingCommit> commit_;
  std::vector<store::Row> housekeeping_;
  std::vector<ContractKey> moved_;
  Updates updates_;
  RestartAnnouncements announcements_;
  EpochAnnouncements epoch_announcements_;

  struct Static {
    StaticMapping mapping;
    Origin origin = Origin::configured;
  };
  boost::unordered_flat_map<MappingKey, Static, MappingKeyHash> statics_;
  /// How many there are by their keys without port.
  boost::unordered_flat_map<MappingKey, std::uint32_t, MappingKeyHash> static_hosts_;
  /// Keys that may not be as statics_ has them, or no longer has them; and what the device said last.
  std::map<MappingKey, std::optional<device::Refusal>> unsettled_statics_;
  TimePoint next_static_review_{};
  std::size_t statics_by_hand_ = 0;

  // Changes of the operator's under way.
  struct UserChange {
    OperationId id;
    std::optional<Profile> before;
    std::optional<Profile> after;
    bool awaits_device = true;
    bool is_committing = false;
  };
  std::map<Prefix, UserChange> user_changes_;
  struct StaticChange {
    OperationId id;
    StaticMapping mapping;
    bool is_deletion = false;
    /// Nothing is left at the device; the store is yet to drop it.
    bool awaits_store = false;
    bool is_committing = false;
  };
  std::map<MappingKey, StaticChange> static_changes_;
  /// Mappings that the operator deletes.
  struct Deletion {
    OperationId id;
    MappingFilter filter{};
    /// This one alone; or those of this user, and of nobody more specific.
    std::optional<ContractKey> only{};
    std::optional<Prefix> of_user{};
    ContractTable::Place cursor = 0;
    bool is_walked = false;
    /// Others were at work on some: another round.
    bool has_met_busy = false;
    std::size_t under_way = 0;
    Outcome outcome{};
    std::optional<device::Refusal> refusal{};
  };
  std::deque<Deletion> deletions_;
  TimePoint next_deletion_round_{};
  std::uint64_t last_operation_ = 0;
  /// Where the walk through users is that looks what the device should have of them.
  std::optional<Users::Place> profile_walk_;
  TimePoint next_announcement_{};
  EventLog events_;

  /// Keys with an operation under way, and who waits for it.
  boost::unordered_flat_map<MappingKey, std::vector<Deferred>, MappingKeyHash> in_flight_;
  std::size_t deferred_ = 0;

  /// A commit failed; batches are being undone.
  bool is_undoing_ = false;
  struct Undo {
    device::BatchId id;
    std::vector<ContractKey> keys;
  };
  std::optional<Undo> undo_;
  std::optional<Reconciliation> reconciliation_;
  DeviceProfiles device_profiles_;
  /// Profiles on their way to the device.
  struct ProfileBatch {
    device::BatchId id;
    std::vector<device::Operation> operations;
    bool reconciles = false;
    /// The device has told anew what it has since: that it was out of reach before says nothing now.
    bool is_before_inventory = false;
  };
  std::vector<ProfileBatch> profile_batches_;
  std::uint32_t last_round_ = 0;
  bool is_read_only_ = false;
  TimePoint next_write_attempt_{};
};

}  // namespace portolan::server
