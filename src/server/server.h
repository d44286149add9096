// SPDX-License-Identifier: BSD-2-Clause
//
// The PCP server engine (RFC 6887): admits requests, decides them in batches, has the device apply and
// the store commit each batch, and answers. It does no I/O: it is driven by calls with the time as an
// argument, and what it wants done is fetched with take_actions().
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
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "base/random.h"
#include "base/time.h"
#include "server/actions.h"
#include "server/config.h"
#include "server/contracts.h"
#include "server/map_checks.h"

namespace portolan::server {

/// What has happened since the start. Each field only grows.
struct Counters {
  /// Requests admitted, by what they ask.
  std::uint64_t announce_requests = 0;
  std::uint64_t map_requests = 0;
  std::uint64_t other_requests = 0;
  /// Answers by result code.
  std::array<std::uint64_t, 256> answers{};
  /// Datagrams dropped without an answer, by reason.
  std::uint64_t dropped_too_short = 0;
  std::uint64_t dropped_response = 0;
  std::uint64_t dropped_overload = 0;
  /// Contracts whose lifetime ran out.
  std::uint64_t expired = 0;
  /// Commits that failed, and operations the device would not undo thereafter.
  std::uint64_t failed_commits = 0;
  std::uint64_t refused_undos = 0;
};

class Server {
 public:
  /// `random` keys the hash tables; used during construction only.
  Server(Config config, Random& random);

  /// Takes a batch of datagrams that came in on inside interfaces, in order of arrival.
  void receive(TimePoint now, std::span<const Inbound> datagrams);

  /// The device's results of `batch`, one per operation. Batches complete in order.
  void applied(TimePoint now, device::BatchId batch, std::span<const device::Result> results);

  /// The store's word on `commit`.
  void committed(TimePoint now, store::CommitId commit, bool ok);

  /// Does what is due at `now`: expiries, and attempts to write again while read-only.
  void advance(TimePoint now);
  /// When advance() has something to do next.
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;

  /// What is to be done; each action is returned once.
  [[nodiscard]] auto take_actions() -> Actions;

  /// Seconds since the server's state began (RFC 6887 s8.5).
  [[nodiscard]] auto epoch_time_s(TimePoint now) const -> std::uint32_t;
  [[nodiscard]] auto is_read_only() const -> bool { return is_read_only_; }
  [[nodiscard]] auto counters() const -> const Counters& { return counters_; }
  [[nodiscard]] auto contracts() const -> const ContractTable& { return contracts_; }

  /// Says which internal truth does not hold, or nothing. For tests and the simulator; O(mappings).
  [[nodiscard]] auto broken_invariant() const -> std::optional<std::string>;

 private:
  /// A MAP request under way.
  struct Item {
    Endpoint client;
    Path path;
    std::vector<std::byte> datagram;
    wire::MapRequest map;
    MapOptions options;
    MappingKey key;
    Prefix subscriber;
    /// What will be granted; 0 deletes.
    Seconds lifetime{};
    /// The contract when the request was decided.
    std::optional<Contract> before;
    /// What the device said.
    std::optional<device::Result> outcome;
  };
  struct Batch {
    device::BatchId id;
    std::vector<Item> items;
    bool is_applied = false;
  };
  /// A datagram that waits for an earlier request on the same mapping.
  struct Deferred {
    Endpoint client;
    Path path;
    std::vector<std::byte> datagram;
  };

  void admit(TimePoint now, const Inbound& datagram, Batch& batch);
  void decide_map(TimePoint now, const Inbound& datagram, const wire::Request& request, Batch& batch);
  void decide_read_only(TimePoint now, const Item& item);
  void defer(const Inbound& datagram, const MappingKey& key);
  void submit(Batch batch);
  [[nodiscard]] static auto operation_for(const Item& item) -> device::Operation;

  void settle(TimePoint now, Item& item, const device::Result& result);
  void commit_if_possible(TimePoint now);
  void append_row(const Item& item, std::vector<store::Row>& rows) const;
  void finish(TimePoint now, std::size_t batches);
  void undo_if_possible(TimePoint now);
  void undone(TimePoint now, std::span<const device::Result> results);
  void release_keys(TimePoint now, std::vector<Batch> batches);

  void answer(TimePoint now, const Item& item);
  void answer_map(TimePoint now, const Item& item, IpAddress external_address, Port external_port,
                  Seconds lifetime);
  void answer_error(TimePoint now, const Inbound& datagram, wire::ResultCode result, Seconds lifetime,
                    bool parsed = true);
  void answer_error(TimePoint now, const Inbound& datagram, wire::ResultCode result) {
    answer_error(now, datagram, result, wire::recommended_error_lifetime(result));
  }
  [[nodiscard]] auto subscriber_of(const IpAddress& client, const Path& path) const -> Prefix;

  Config config_;
  ContractTable contracts_;
  Counters counters_;
  Actions actions_;

  /// Batches not yet answered, oldest first.
  std::deque<Batch> pipeline_;
  std::uint64_t last_batch_ = 0;
  std::uint64_t last_commit_ = 0;

  struct OutstandingCommit {
    store::CommitId id;
    /// How many batches, from the oldest on, it makes durable.
    std::size_t batches = 0;
    /// Rows of expired contracts in it, to be written later if it fails.
    std::vector<store::Row> housekeeping;
  };
  std::optional<OutstandingCommit> commit_;
  std::vector<store::Row> housekeeping_;

  /// Keys with an operation under way, and who waits for it.
  boost::unordered_flat_map<MappingKey, std::vector<Deferred>, MappingKeyHash> in_flight_;
  std::size_t deferred_ = 0;

  /// A commit failed; batches are being undone.
  bool is_undoing_ = false;
  struct Undo {
    device::BatchId id;
    std::vector<MappingKey> keys;
  };
  std::optional<Undo> undo_;
  bool is_read_only_ = false;
  TimePoint next_write_attempt_{};
};

}  // namespace portolan::server
