// SPDX-License-Identifier: BSD-2-Clause
#include "nat/sessions.h"

#include <algorithm>

#include "base/check.h"

namespace portolan::nat {
namespace {

// Two entries a session at four fifths load, which costs 160 octets a session: an insertion practically never
// meets probe_max, and a search for what isn't there reads 13 neighbouring lines when all sessions are in
// use.
auto table_capacity(std::uint32_t sessions) -> std::uint32_t {
  const std::uint64_t capacity = std::uint64_t{sessions} * 2 * 5 / 4 + 64;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(capacity, UINT32_MAX - probe_max - 1));
}

auto age(std::uint32_t tick, TimePoint now) -> Nanoseconds {
  // Signed: a stamp may be a tick ahead of `now` if the caller's clock is coarser than another's.
  return Nanoseconds{std::int64_t{static_cast<std::int32_t>(session_tick(now) - tick)} << 20U};
}

auto is_steady(const Session& session) -> bool {
  return !session.is_tcp || session.state == TcpState::established;
}

}  // namespace

Sessions::Sessions(const Config& config, Random& random)
    : timeouts_(config.timeouts),
      table_(Memory(table_capacity(config.limits.sessions))),
      numbers_(config.limits.sessions),
      sessions_(std::size_t{config.limits.sessions} + 1),
      wheel_(config.limits.sessions) {
  for (std::uint64_t& word : secret_.words) word = random.next();
}

auto Sessions::add(const SessionEntry& outward, const SessionEntry& inward, const Session& session,
                   TimePoint now) -> std::uint32_t {
  const std::uint32_t number = numbers_.take();
  if (number == 0) return 0;
  const auto insert = [&](const SessionEntry& given, Direction direction, std::uint32_t hash) {
    SessionEntry entry = given;
    entry.session = number;
    entry.hash = hash;
    entry.last = session_tick(now);
    entry.direction = direction;
    entry.steady = is_steady(session) ? 1 : 0;
    return table_.insert(entry);
  };
  InsideKey inside_key{.inside = {},
                       .remote = outward.remote,
                       .inside_port = outward.inside_port,
                       .remote_port = outward.remote_port,
                       .protocol = outward.protocol};
  std::copy_n(outward.inside, sizeof outward.inside, inside_key.inside);
  const OutsideKey outside_key{.external = inward.external,
                               .remote = inward.remote,
                               .external_port = inward.external_port,
                               .remote_port = inward.remote_port,
                               .protocol = inward.protocol};
  // The second entry's line is on its way while the first is written.
  const std::uint32_t outside_hash = hash_key(secret_, outside_key);
  table_.prefetch(outside_hash);
  const std::uint32_t outward_slot = insert(outward, Direction::from_ipv6, hash_key(secret_, inside_key));
  if (outward_slot == Table::no_slot) {
    numbers_.give_back(number);
    return 0;
  }
  Session& record = sessions_[number];
  record = session;
  record.since = session_tick(now);
  record.slots[0] = outward_slot;
  record.slots[1] = insert(inward, Direction::from_ipv4, outside_hash);
  if (record.slots[1] == Table::no_slot) {
    erase_entry(outward_slot);
    numbers_.give_back(number);
    return 0;
  }
  wheel_.schedule(number, now + lifetime(record), now);
  return number;
}

void Sessions::erase(std::uint32_t number) {
  __builtin_prefetch(&table_.at(sessions_[number].slots[1]), 1);
  wheel_.cancel(number);
  erase_entry(sessions_[number].slots[0]);
  // Read after the first entry went: the second may have moved.
  erase_entry(sessions_[number].slots[1]);
  numbers_.give_back(number);
}

void Sessions::erase_entry(std::uint32_t slot) {
  table_.erase(slot, [&](const SessionEntry& entry, std::uint32_t new_slot) {
    sessions_[entry.session].slots[static_cast<std::size_t>(entry.direction)] = new_slot;
  });
}

void Sessions::segment(std::uint32_t number, Direction side, TcpEvent event, TimePoint now) {
  Session& session = sessions_[number];
  const auto [state, restart] = next_state(session.state, side, event);
  if (session.kept_until != 0 && (event == TcpEvent::rst || state == TcpState::v4_and_v6_fin))
    let_go(number, now);
  if (restart) session.since = session_tick(now);
  if (state == session.state && !restart) return;
  const Seconds before = lifetime(session);
  const bool was_steady = is_steady(session);
  session.state = state;
  // A lifetime that became longer is noticed when the session comes up; a shorter one must be told.
  if (lifetime(session) < before) wheel_.schedule(number, now + lifetime(session), now);
  if (is_steady(session) == was_steady) return;
  for (const std::uint32_t slot : session.slots)
    table_.update(slot, [&](SessionEntry& entry) { entry.steady = is_steady(session) ? 1 : 0; });
}

void Sessions::decline(std::uint32_t number, TimePoint now) {
  Session& session = sessions_[number];
  PORTOLAN_CHECK(session.is_tcp && session.state == TcpState::established);
  session.state = TcpState::trans;
  session.since = session_tick(now);
  for (const std::uint32_t slot : session.slots)
    table_.update(slot, [](SessionEntry& entry) { entry.steady = 0; });
  wheel_.schedule(number, now + lifetime(session), now);
}

void Sessions::set_prefix(std::uint32_t number, const SessionEntry& outward, const SessionEntry& inward) {
  for (const SessionEntry* changed : {&outward, &inward})
    table_.update(sessions_[number].slots[static_cast<std::size_t>(changed->direction)],
                  [&](SessionEntry& entry) {
                    entry.prefix = changed->prefix;
                    entry.address_delta = changed->address_delta;
                    entry.flow_delta = changed->flow_delta;
                  });
}

void Sessions::keep(std::uint32_t number, TimePoint until, TimePoint now) {
  Session& session = sessions_[number];
  const std::int64_t seconds = std::chrono::ceil<Seconds>(until.time_since_epoch()).count();
  const auto kept_until = static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 1, UINT32_MAX));
  session.kept_until = std::max(session.kept_until, kept_until);
  // A connection that was closed is as good as one not yet begun: what comes next opens it.
  if (session.is_tcp && session.state == TcpState::v4_and_v6_fin) session.state = TcpState::trans;
  wheel_.schedule(number, deadline(session, now, false), now);
}

auto Sessions::let_go(std::uint32_t number, TimePoint now) -> TimePoint {
  sessions_[number].kept_until = 0;
  const TimePoint end = deadline(sessions_[number], now, false);
  wheel_.schedule(number, end, now);
  return end;
}

void Sessions::make_idle(std::uint32_t number, TimePoint now) {
  Session& session = sessions_[number];
  session.since = session_tick(now - lifetime(session));
  for (const std::uint32_t slot : session.slots)
    table_.update(slot, [&](SessionEntry& entry) { entry.last = session.since; });
}

auto Sessions::lifetime(const Session& session) const -> Seconds {
  if (session.is_udp) return timeouts_.udp;
  if (!session.is_tcp) return timeouts_.icmp;
  if (is_refreshing(session.state)) return timeouts_.tcp_established;
  return is_opening(session.state) ? timeouts_.tcp_opening : timeouts_.tcp_closing;
}

auto Sessions::deadline(const Session& session, TimePoint now, bool outbound_only) -> TimePoint {
  Nanoseconds idle = age(session.since, now);
  if (!session.is_tcp || is_refreshing(session.state)) {
    idle = std::min(idle, age(table_.at(session.slots[0]).last, now));
    if (!outbound_only) idle = std::min(idle, age(table_.at(session.slots[1]).last, now));
  }
  const TimePoint idle_end = now + lifetime(session) - idle;
  return std::max(idle_end, TimePoint{Seconds{session.kept_until}});
}

}  // namespace portolan::nat
