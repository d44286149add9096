// SPDX-License-Identifier: BSD-2-Clause
//
// What an operator sees of the server engine and may do with it while it runs: users, mappings,
// announcements, settings, and a stream of what changes. Values only; the calls are Server's (server.h, "For
// the operator").
//
// Looking is answered at once. A change that device and store must carry out is refused at once, or gets an
// OperationId; Actions::finished says how it ended, when the device has it and the store has it durably.
// If either has not, nothing has changed.
//
// Who owns a user or mapping: what the configuration has is changed there and by a reload. What was added by
// hand is durable in the store. Where both have the same user, the same mapping key, or the same external
// endpoint of a protocol, the configuration's counts: an addition is refused, and when a later configuration
// brings one that was added by hand, the latter ends and is told (Actions::overruled).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/contract.h"
#include "device/device.h"
#include "server/config.h"

namespace portolan::server {

/// Where a user or mapping comes from.
enum class Origin : std::uint8_t {
  configured,  ///< [[user]], [[mapping]]
  by_hand,     ///< added while the server ran, kept by the store
  dynamic,     ///< user: appeared with its first mapping; mapping: a client asked for it
};
/// "configured", "by-hand", "dynamic".
[[nodiscard]] auto to_string(Origin origin) -> std::string_view;

/// Why something was not done. Nothing has changed, unless `reason` says otherwise.
struct Failure {
  enum class Reason : std::uint8_t {
    invalid,      ///< the value makes no sense
    exists,       ///< it is there already
    not_found,    ///< it is not there
    configured,   ///< the configuration has it: change it there, and reload
    busy,         ///< another change of the same is under way, or too many are
    limit,        ///< a table is full
    read_only,    ///< the store does not write
    refused,      ///< by the device, see `refusal`
    not_durable,  ///< the store did not take it; what the device had done was undone
  };
  Reason reason = Reason::invalid;
  std::optional<device::Refusal> refusal{};
  /// For the operator: names the value, and says what to do.
  std::string text;
};
/// As the enumerator, with dashes.
[[nodiscard]] auto to_string(Failure::Reason reason) -> std::string_view;

/// Numbers operations of one server run, ascending.
struct OperationId {
  std::uint64_t value = 0;
  auto operator<=>(const OperationId&) const = default;
};

/// What an operation did.
struct Outcome {
  /// Mappings that ended.
  std::size_t deleted = 0;
  /// Mappings that were meant too and stay, because the configuration has them.
  std::size_t kept = 0;
};

/// In Actions::finished: each operation once.
struct Finished {
  OperationId id;
  std::expected<Outcome, Failure> result;
};

/// In Actions::overruled: what was added by hand ended because the configuration has the same.
struct Overruled {
  std::optional<Prefix> user{};
  std::optional<MappingKey> mapping{};
};

/// Where a listing goes on; the default is the beginning. A listing shows once whatever is there from its
/// first page to its last; what comes or goes meanwhile it may show or not. To be used with one filter only.
struct Cursor {
  /// 0: users or contracts that have a place in a table. 1: what comes after them.
  std::uint8_t part = 0;
  std::uint32_t place = 0;
  std::optional<MappingKey> after{};
};

/// Rows of a page, and what is looked at to find them: a page may be empty, and others follow.
constexpr std::size_t page_rows_max = 256;
constexpr std::size_t page_looks_max = 4096;

template <typename Row>
struct Page {
  std::vector<Row> rows{};
  /// None at the end.
  std::optional<Cursor> next{};
};

/// A user as of now.
struct UserView {
  Prefix prefix;
  Origin origin = Origin::dynamic;
  /// What counts for it: its own, or of who is dynamic what its addresses' most specific user has, or what
  /// all have.
  Policy policy{};
  Allotment allotment{};
  std::optional<std::uint8_t> subscriber_prefix_length{};
  /// Given by the allotment, or that of its last mapping; unspecified: it has none.
  IpAddress external_address{};
  /// Of the subscriber with this very prefix: one within a larger user is a dynamic user.
  std::uint32_t mappings = 0;
  std::uint32_t ports = 0;
  /// As its clients are told it (RFC 6887 s8.5).
  std::uint32_t epoch_time_s = 0;
  /// A change of it is under way.
  bool is_changing = false;
  /// The device did not take what the allotment says: its users have what everybody has.
  std::optional<device::Refusal> refusal{};
};

/// Which users; what is not given is any.
struct UserFilter {
  /// Those whose prefix is in it.
  std::optional<Prefix> within{};
  std::optional<Origin> origin{};
};

/// A mapping as of now.
struct MappingView {
  /// Of a static one that is not in force: what is wanted.
  Contract contract;
  Origin origin = Origin::dynamic;
  /// None: it does not expire.
  std::optional<Seconds> remaining{};
  bool is_in_force = true;
  /// What the device said last of a static one that is not in force.
  std::optional<device::Refusal> refusal{};
};

/// Which mappings; what is not given is any.
struct MappingFilter {
  /// Those whose internal address is in it.
  std::optional<Prefix> user{};
  std::optional<Realm> realm{};
  std::optional<Protocol> protocol{};
  /// One of a port set's ports counts.
  std::optional<Port> internal_port{};
  std::optional<IpAddress> external_address{};
  std::optional<Port> external_port{};
  std::optional<Origin> origin{};
};

/// What may be set while the server runs. Not durable: the configuration's count again after a restart or
/// reload.
struct RuntimeSettings {
  Seconds minimum_lifetime{};
  Seconds maximum_lifetime{};
  Seconds short_error_lifetime{};
  Seconds long_error_lifetime{};
  /// 0 to announcements_max.
  unsigned announcements = 0;
  /// Rights and quotas of users that have none of their own.
  bool map = true;
  bool peer = true;
  bool third_party = false;
  std::uint32_t mappings_per_user_max = 0;
  std::uint32_t filters_max = 0;
  std::uint16_t port_set_max = 0;

  auto operator==(const RuntimeSettings&) const -> bool = default;
};

/// Something that has happened to a mapping or user.
struct Event {
  enum class Kind : std::uint8_t {
    mapping_created,
    mapping_renewed,  ///< or its filters, description or nonce changed
    mapping_moved,    ///< by the device (RFC 6887 s14.2), to where `contract` says
    mapping_deleted,  ///< by its client, or by the operator
    mapping_expired,
    mapping_lost,  ///< by the device
    user_added,    ///< by hand; dynamic users come and go with their mappings
    user_changed,
    user_deleted,
  };
  /// Consecutive, from 1 on, as long as events are recorded.
  std::uint64_t sequence = 0;
  TimePoint time{};
  Kind kind = Kind::mapping_created;
  /// Of mappings: as it is from then on, or was until then.
  std::optional<Contract> contract{};
  /// Of users.
  std::optional<Prefix> user{};
};
/// As the enumerator, with dashes.
[[nodiscard]] auto to_string(Event::Kind kind) -> std::string_view;

/// Operations of the operator's under way; beyond them busy. One that deletes many counts once.
constexpr std::size_t operations_max = 1024;

/// Events that are kept for readers; older ones make way.
constexpr std::size_t events_kept = 16'384;

struct EventPage {
  std::vector<Event> events{};
  /// To be asked for next.
  std::uint64_t next = 1;
  /// Events between what was asked for and the first one here that are not kept any more.
  std::uint64_t missed = 0;
};

/// What is wrong with a user or static mapping that is to be added by hand; empty: nothing.
[[nodiscard]] auto problem_of(const Profile& user) -> std::string;
[[nodiscard]] auto problem_of(const StaticMapping& mapping) -> std::string;

/// How full things are now.
struct Gauges {
  std::size_t users_configured = 0;
  std::size_t users_by_hand = 0;
  /// Subscribers that have mappings, whether or not they are users as well.
  std::size_t subscribers = 0;
  std::size_t contracts = 0;
  std::size_t ports = 0;
  std::size_t statics_configured = 0;
  std::size_t statics_by_hand = 0;
  std::size_t statics_not_in_force = 0;
  /// Limits of the former.
  std::size_t ports_max = 0;
  std::size_t users_by_hand_max = 0;
  /// Batches with device or store, requests that wait for an earlier one, operations of the operator's.
  std::size_t batches = 0;
  std::size_t deferred = 0;
  std::size_t operations = 0;
  std::size_t refused_profiles = 0;
  bool is_read_only = false;
  bool is_reconciling = false;
};

}  // namespace portolan::server
