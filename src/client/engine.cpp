// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's requests over time: when each is sent, and what it says. receive.cpp has the answers,
// nat_pmp.cpp the servers that speak NAT-PMP.
#include "client/engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portolan::client {
namespace {

/// NAT-PMP where nothing else may be spoken: there is nothing to give up for.
constexpr RetransmissionTimes nat_pmp_only_times = [] {
  RetransmissionTimes times = nat_pmp_times;
  times.count_max = 0;
  return times;
}();

/// Whether what was once granted is still about this wish.
auto is_of(const Wish& wish, const IpAddress& internal_address, const Mapping& held) -> bool {
  return held.protocol == wish.protocol &&
         held.internal == Endpoint{.address = internal_address, .port = wish.internal_port} &&
         held.remote_peer == wish.remote_peer && (!wish.nonce || held.nonce == *wish.nonce) &&
         held.external.address.family() == wish.suggested_external_address.family() &&
         !held.external.address.is_unspecified() && held.port_count <= wish.port_count;
}

auto is_what_is_insisted_on(const Wish& wish, const Endpoint& external) -> bool {
  return !wish.prefer_failure || (external.port == wish.suggested_external_port &&
                                  (wish.suggested_external_address.is_unspecified() ||
                                   external.address == wish.suggested_external_address));
}

}  // namespace

auto to_string(Reception reception) -> std::string_view {
  switch (reception) {
    case Reception::accepted: return "accepted";
    case Reception::not_from_server: return "it is not from the PCP server";
    case Reception::malformed: return "it is no PCP version 2 response";
    case Reception::of_no_request: return "it answers nothing that was asked";
    case Reception::not_as_suggested: return "it grants something other than was insisted on";
  }
  std::unreachable();
}

Engine::Engine(const Config& config, Random& random) : config_(config), random_(random) {
  PORTOLAN_CHECK(config.lifetime_max >= refusal_lifetime_min);
  is_nat_pmp_ = config.speech == Speech::nat_pmp && may_speak_nat_pmp();
}

auto Engine::add(TimePoint now, Request request) -> Handle {
  PORTOLAN_CHECK(requests_.size() < requests_max);
  const Handle handle{++last_handle_};
  Request& added = requests_.emplace(handle, std::move(request)).first->second;
  ask(now, added);
  advance_request(now, handle);
  return handle;
}

auto Engine::map(TimePoint now, const Wish& wish, const std::optional<Mapping>& held) -> Handle {
  PORTOLAN_CHECK(!error_in(wish));
  Request request;
  request.phase = Phase::asking;
  request.wish = wish;
  request.suggested = {.address = wish.suggested_external_address, .port = wish.suggested_external_port};
  const bool holds =
      held && is_of(wish, internal_address(request), *held) && is_what_is_insisted_on(wish, held->external);
  if (wish.nonce)
    request.nonce = *wish.nonce;
  else
    request.nonce = holds ? held->nonce : Nonce::generate(random_);
  if (holds) {
    request.suggested = held->external;
    const Seconds left = std::chrono::floor<Seconds>(held->expires - now);
    if (left >= Seconds{1} && left <= held->lifetime && held->lifetime <= config_.lifetime_max) {
      request.mapping = held;
      request.granted_at = held->expires - held->lifetime;
    }
  }
  return add(now, std::move(request));
}

auto Engine::remove(TimePoint now, const Wish& wish) -> Handle {
  Request request;
  request.phase = Phase::deleting;
  request.wish = wish;
  request.nonce = wish.nonce.value_or(Nonce{});
  request.suggested.address = IpAddress::unspecified(wish.suggested_external_address.family());
  return add(now, std::move(request));
}

void Engine::remove(TimePoint now, Handle handle) {
  const auto found = requests_.find(handle);
  if (found == requests_.end() || found->second.phase == Phase::deleting) return;
  Request& request = found->second;
  // There is nothing at the server, or nothing that could be deleted (RFC 6887 s12.3).
  if (request.phase == Phase::announcing || request.wish.is_peer() ||
      (!request.last_sent && !request.mapping)) {
    Seconds remaining{0};
    if (request.mapping)
      remaining = std::max(Seconds{0}, std::chrono::ceil<Seconds>(request.mapping->expires - now));
    if (request.phase != Phase::announcing)
      actions_.events.emplace_back(Deleted{.handle = handle, .remaining = remaining, .epoch_time_s = 0});
    requests_.erase(found);
    return;
  }
  request.phase = Phase::deleting;
  request.suggested = {.address = IpAddress::unspecified(request.suggested.address.family()), .port = Port{}};
  request.mapping.reset();
  request.unanswered = 0;
  request.not_before = {};
  ask(now, request);
  advance_request(now, handle);
}

auto Engine::announce(TimePoint now, bool wants_nat64_prefix) -> Handle {
  Request request;
  request.phase = Phase::announcing;
  request.wish.wants_nat64_prefix = wants_nat64_prefix;
  return add(now, std::move(request));
}

void Engine::forget(Handle handle) { requests_.erase(handle); }

void Engine::ask(TimePoint when, Request& request) {
  if (request.phase == Phase::granted) request.phase = Phase::asking;
  request.exchange = {};
  request.next_send = when;
  request.address = AddressQuery::needed;
  request.waits_for_turn = false;
}

auto Engine::earliest(TimePoint now, const Request& request) const -> TimePoint {
  const TimePoint spaced = request.last_sent ? *request.last_sent + renewal_interval_min : now;
  return std::max({now, request.not_before, spaced});
}

void Engine::schedule_renewal(Request& request) {
  const Mapping& mapping = *request.mapping;
  TimePoint when = renewal_time(request.granted_at, mapping.lifetime, request.renewals, random_);
  when = earliest(when, request);
  request.next_send.reset();
  if (when < mapping.expires) request.next_send = when;
}

void Engine::lose(TimePoint now, Handle handle, Request& request, Lost::Reason reason) {
  actions_.events.emplace_back(Lost{.handle = handle, .mapping = *request.mapping, .reason = reason});
  request.mapping.reset();
  // Who insists on one external port would insist on the lost one for ever; it may have been the second
  // choice of a wish that left the address open.
  if (request.wish.prefer_failure)
    request.suggested = {.address = request.wish.suggested_external_address,
                         .port = request.wish.suggested_external_port};
  ask(earliest(now, request), request);
}

void Engine::advance(TimePoint now) {
  // Who waits for NAT-PMP's turn comes before who had it.
  for (const bool waits : {true, false}) {
    for (auto entry = requests_.begin(); entry != requests_.end();) {
      const Handle handle = entry->first;
      if (entry->second.waits_for_turn == waits) advance_request(now, handle);
      entry = requests_.upper_bound(handle);  // requests may be gone
    }
  }
}

void Engine::advance_request(TimePoint now, Handle handle) {
  const auto found = requests_.find(handle);
  Request& request = found->second;
  if (request.mapping && now >= request.mapping->expires) lose(now, handle, request, Lost::Reason::expired);
  if (!request.next_send || now < *request.next_send) return;
  if (request.phase != Phase::granted && request.exchange.is_exhausted(now, times_of(request))) {
    give_up(now, handle, request);
    return;
  }
  const bool is_new = request.phase == Phase::asking && !request.mapping;
  TimePoint held_until = is_new ? std::max(no_new_before_, nothing_before_) : nothing_before_;
  const bool is_nat_pmp = goes_by_nat_pmp(request);
  request.waits_for_turn = is_nat_pmp && now < nat_pmp_turn_until_;
  if (request.waits_for_turn) held_until = std::max(held_until, nat_pmp_turn_until_);
  if (now < held_until) {
    request.next_send = held_until;
    return;
  }
  if (is_nat_pmp_ && !is_nat_pmp && config_.speech == Speech::nat_pmp) {
    refuse_unspeakable(now);
    return;
  }
  transmit(now, handle, request);
}

void Engine::give_up(TimePoint now, Handle handle, Request& request) {
  if (goes_by_nat_pmp(request)) {
    begin_pcp(now);
    // Those that had been looked at have something to send again.
    advance(now);
  } else if (request.mapping) {
    // It was only to be confirmed, and lives on until it expires.
    request.phase = Phase::granted;
    schedule_renewal(request);
  } else {
    actions_.events.emplace_back(NoAnswer{handle});
    requests_.erase(handle);
  }
}

auto Engine::times_of(const Request& request) const -> const RetransmissionTimes& {
  if (!goes_by_nat_pmp(request)) return config_.retransmission;
  return config_.speech == Speech::nat_pmp ? nat_pmp_only_times : nat_pmp_times;
}

auto Engine::internal_address(const Request& request) const -> IpAddress {
  return request.wish.third_party.value_or(config_.client_address);
}

auto Engine::requested_lifetime_s(TimePoint now, const Request& request) const -> std::uint32_t {
  if (request.phase == Phase::deleting) return 0;
  Seconds lifetime = request.wish.lifetime;
  if (address_valid_until_)
    lifetime = std::min(lifetime, std::chrono::floor<Seconds>(*address_valid_until_ - now));
  return static_cast<std::uint32_t>(std::max(lifetime, Seconds{1}).count());
}

auto Engine::pcp_datagram(TimePoint now, const Request& request) const -> wire::Datagram {
  if (request.phase == Phase::announcing)
    return encode_announce(config_.client_address, request.wish.wants_nat64_prefix);
  const auto datagram = encode_wish(
      request.wish, {.client_address = config_.client_address,
                     .nonce = request.nonce,
                     .suggested = request.suggested,
                     .lifetime_s = requested_lifetime_s(now, request),
                     // What is held is renewed as the one thing that it is (RFC 7753 s4.4).
                     .port_count = request.mapping ? request.mapping->port_count : request.wish.port_count});
  PORTOLAN_CHECK(datagram);  // error_in() has seen to that
  return *datagram;
}

void Engine::transmit(TimePoint now, Handle handle, Request& request) {
  if (config_.unanswered_max != 0 && request.unanswered >= config_.unanswered_max && !is_unresponsive_) {
    is_unresponsive_ = true;
    actions_.events.emplace_back(Unresponsive{});
    // What it told of its NAT64 may be stale (RFC 7225 s4.3).
    learn_prefixes({});
  }
  const bool is_nat_pmp = goes_by_nat_pmp(request);
  const bool follows_address = is_nat_pmp && request.address == AddressQuery::answered;
  actions_.send.push_back(
      {.to = config_.server,
       .datagram = is_nat_pmp ? nat_pmp_datagram(now, request) : pcp_datagram(now, request)});
  request.last_sent = now;
  if (request.phase == Phase::granted) {
    if (!follows_address) ++request.renewals;
    schedule_renewal(request);
    if (is_nat_pmp) nat_pmp_turn_until_ = now + nat_pmp_times.initial;
  } else {
    request.next_send = request.exchange.transmitted(now, times_of(request), random_);
    if (is_nat_pmp) nat_pmp_turn_until_ = *request.next_send;
  }
  if (++request.unanswered > 1)
    actions_.events.emplace_back(Retransmitted{.handle = handle, .transmissions = request.unanswered});
}

auto Engine::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> earliest;
  const auto consider = [&earliest](TimePoint when) {
    earliest = earliest ? std::min(*earliest, when) : when;
  };
  for (const auto& [handle, request] : requests_) {
    if (request.next_send) consider(*request.next_send);
    if (request.mapping) consider(request.mapping->expires);
  }
  return earliest;
}

auto Engine::take_actions() -> Actions { return std::exchange(actions_, {}); }

auto Engine::nonce(Handle handle) const -> std::optional<Nonce> {
  const auto found = requests_.find(handle);
  if (found == requests_.end() || found->second.phase == Phase::announcing) return {};
  return found->second.nonce;
}

auto Engine::mapping(Handle handle) const -> std::optional<Mapping> {
  const auto found = requests_.find(handle);
  return found == requests_.end() ? std::nullopt : found->second.mapping;
}

auto Engine::broken_invariant() const -> std::optional<std::string> {
  for (const auto& [handle, request] : requests_) {
    if (!request.next_send && !request.mapping) return "a request that waits for nothing";
    if (request.phase == Phase::granted && !request.mapping) return "granted, but no mapping";
    if (request.waits_for_turn && !is_nat_pmp_) return "a turn waited for that nobody has";
    if (!request.mapping) continue;
    const Mapping& mapping = *request.mapping;
    if (request.phase != Phase::granted && request.phase != Phase::asking)
      return "a mapping of something that is no wish";
    if (mapping.protocol != request.wish.protocol || mapping.nonce != request.nonce ||
        mapping.remote_peer != request.wish.remote_peer ||
        mapping.internal != Endpoint{internal_address(request), request.wish.internal_port})
      return "a mapping that differs from its wish";
    if (mapping.external.address.is_unspecified()) return "a mapping without external address";
    if (mapping.lifetime < Seconds{1} || mapping.lifetime > config_.lifetime_max)
      return "a lifetime out of range";
    if (mapping.port_count < 1 || mapping.port_count > request.wish.port_count)
      return "more ports than were wanted";
    if (request.suggested != mapping.external) return "a suggestion other than what was assigned";
    if (!is_what_is_insisted_on(request.wish, mapping.external))
      return "another external endpoint than was insisted on";
  }
  if (nat64_prefixes_.size() > nat64_prefixes_max) return "more prefixes than are kept";
  return {};
}

}  // namespace portolan::client
