// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's requests over time: when each is sent, and what it says. receive.cpp has the answers.
#include "client/engine.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace portolan::client {

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
}

auto Engine::add(TimePoint now, Request request) -> Handle {
  PORTOLAN_CHECK(requests_.size() < requests_max);
  const Handle handle{++last_handle_};
  Request& added = requests_.emplace(handle, std::move(request)).first->second;
  ask(now, added);
  advance_request(now, handle);
  return handle;
}

auto Engine::map(TimePoint now, const MapWish& wish) -> Handle {
  PORTOLAN_CHECK(wish.lifetime >= Seconds{1} && wish.lifetime.count() <= UINT32_MAX);
  Request request;
  request.phase = Phase::asking;
  request.wish = wish;
  request.nonce = wish.nonce ? *wish.nonce : Nonce::generate(random_);
  request.suggested = {.address = wish.suggested_external_address, .port = wish.suggested_external_port};
  return add(now, std::move(request));
}

auto Engine::remove(TimePoint now, const MapWish& wish) -> Handle {
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
  if (request.phase == Phase::announcing || !request.last_sent) {
    // The server knows nothing that could be deleted.
    if (request.phase != Phase::announcing)
      actions_.events.emplace_back(Deleted{.handle = handle, .remaining = Seconds{0}, .epoch_time_s = 0});
    requests_.erase(found);
    return;
  }
  request.phase = Phase::deleting;
  request.suggested = {.address = IpAddress::unspecified(request.suggested.address.family()), .port = Port{}};
  request.mapping.reset();
  request.unanswered = 0;
  ask(now, request);
  advance_request(now, handle);
}

auto Engine::announce(TimePoint now) -> Handle {
  Request request;
  request.phase = Phase::announcing;
  return add(now, std::move(request));
}

void Engine::forget(Handle handle) { requests_.erase(handle); }

void Engine::ask(TimePoint when, Request& request) {
  if (request.phase == Phase::granted) request.phase = Phase::asking;
  request.exchange = {};
  request.next_send = when;
}

void Engine::schedule_renewal(Request& request) {
  const Mapping& mapping = *request.mapping;
  TimePoint when = renewal_time(request.granted_at, mapping.lifetime, request.renewals, random_);
  when = std::max({when, request.not_before, *request.last_sent + renewal_interval_min});
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
  ask(std::max({now, request.not_before, *request.last_sent + renewal_interval_min}), request);
}

void Engine::advance(TimePoint now) {
  for (auto next = requests_.begin(); next != requests_.end();) {
    const Handle handle = next->first;
    ++next;  // the request may go
    advance_request(now, handle);
  }
}

void Engine::advance_request(TimePoint now, Handle handle) {
  Request& request = requests_.at(handle);
  if (request.mapping && now >= request.mapping->expires) lose(now, handle, request, Lost::Reason::expired);
  if (!request.next_send || now < *request.next_send) return;
  if (request.phase != Phase::granted && request.exchange.is_exhausted(now, config_.retransmission)) {
    if (request.mapping) {
      // It was only to be confirmed, and lives on until it expires.
      request.phase = Phase::granted;
      schedule_renewal(request);
    } else {
      actions_.events.emplace_back(NoAnswer{handle});
      requests_.erase(handle);
    }
    return;
  }
  const bool is_new = request.phase == Phase::asking && !request.mapping;
  const TimePoint held_until = is_new ? std::max(no_new_before_, nothing_before_) : nothing_before_;
  if (now < held_until) {
    request.next_send = held_until;
    return;
  }
  transmit(now, handle, request);
}

void Engine::transmit(TimePoint now, Handle handle, Request& request) {
  wire::Request message;
  message.client_address = config_.client_address;
  if (request.phase == Phase::announcing) {
    message.opcode = wire::Opcode::announce;
    message.body = wire::Announce{};
  } else {
    message.opcode = wire::Opcode::map;
    if (request.phase != Phase::deleting)
      message.requested_lifetime_s = static_cast<std::uint32_t>(request.wish.lifetime.count());
    message.body = wire::MapRequest{.nonce = request.nonce,
                                    .protocol = request.wish.protocol,
                                    .internal_port = request.wish.internal_port,
                                    .suggested_external_port = request.suggested.port,
                                    .suggested_external_address = request.suggested.address};
  }
  Send& send =
      actions_.send.emplace_back(Send{.to = config_.server, .datagram = wire::encode_request(message)});
  if (request.wish.prefer_failure && request.phase != Phase::deleting)
    PORTOLAN_CHECK(wire::append_option(send.datagram, wire::OptionCode::prefer_failure, {}));

  request.last_sent = now;
  if (request.phase == Phase::granted) {
    ++request.renewals;
    schedule_renewal(request);
  } else {
    request.next_send = request.exchange.transmitted(now, config_.retransmission, random_);
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
    if (!request.mapping) continue;
    const Mapping& mapping = *request.mapping;
    if (request.phase != Phase::granted && request.phase != Phase::asking)
      return "a mapping of something that is no wish";
    if (mapping.protocol != request.wish.protocol || mapping.nonce != request.nonce ||
        mapping.internal != Endpoint{config_.client_address, request.wish.internal_port})
      return "a mapping that differs from its wish";
    if (mapping.external.address.is_unspecified()) return "a mapping without external address";
    if (mapping.lifetime < Seconds{1} || mapping.lifetime > config_.lifetime_max)
      return "a lifetime out of range";
    if (request.suggested != mapping.external) return "a suggestion other than what was assigned";
    if (request.wish.prefer_failure && mapping.external.port != request.wish.suggested_external_port)
      return "another port than was insisted on";
    if (request.wish.prefer_failure && !request.wish.suggested_external_address.is_unspecified() &&
        mapping.external.address != request.wish.suggested_external_address)
      return "another address than was insisted on";
  }
  return {};
}

}  // namespace portolan::client
