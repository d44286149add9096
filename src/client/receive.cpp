// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's processing of responses (RFC 6887 s8.3, s8.5, s9, s11.4, s14).
#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "client/engine.h"

namespace portolan::client {
namespace {

/// Whether the same request may soon succeed, the mapping it was about being untouched (RFC 6887 s7.4).
auto is_passing(wire::ResultCode code) -> bool {
  return code == wire::ResultCode::network_failure || code == wire::ResultCode::no_resources ||
         code == wire::ResultCode::user_ex_quota;
}

}  // namespace

auto Engine::receive(TimePoint now, const Endpoint& from, std::span<const std::byte> datagram) -> Reception {
  if (from != config_.server) return Reception::not_from_server;
  const auto response = wire::decode_response(datagram);
  if (!response) {
    return response.error() == wire::ResponseError::unsupported_version ? receive_other_version(now, datagram)
                                                                        : Reception::malformed;
  }
  if (response->opcode == wire::Opcode::announce) return receive_announce(now, *response);
  if (const auto* map = std::get_if<wire::MapResponse>(&response->body))
    return receive_map(now, *response, *map);
  return Reception::of_no_request;
}

auto Engine::receive_other_version(TimePoint now, std::span<const std::byte> datagram) -> Reception {
  const auto version = wire::answered_version(datagram);
  if (!version) return Reception::malformed;
  const bool has_asked = std::ranges::any_of(
      requests_, [](const auto& entry) { return entry.second.last_sent && entry.second.next_send; });
  if (!has_asked) return Reception::of_no_request;
  Seconds lifetime = version_retry_max;
  // NAT-PMP has no lifetime here.
  if (*version != 0 && datagram.size() >= 8) {
    ByteReader reader(datagram.subspan(4));
    lifetime = std::clamp(Seconds{reader.read<std::uint32_t>()}, refusal_lifetime_min, version_retry_max);
  }
  nothing_before_ = std::max(nothing_before_, now + lifetime);
  actions_.events.emplace_back(VersionRefused{.version = *version, .lifetime = lifetime});
  return Reception::accepted;
}

auto Engine::receive_announce(TimePoint now, const wire::Response& response) -> Reception {
  const auto is_waiting = [](const auto& entry) {
    return entry.second.phase == Phase::announcing && entry.second.last_sent;
  };
  // Unsolicited announcements are successes (RFC 6887 s14.1.3).
  if (response.result != wire::ResultCode::success && std::ranges::none_of(requests_, is_waiting))
    return Reception::of_no_request;
  check_epoch(now, response.epoch_time_s);
  for (auto entry = requests_.begin(); entry != requests_.end();) {
    if (!is_waiting(*entry)) {
      ++entry;
      continue;
    }
    actions_.events.emplace_back(Announced{.handle = entry->first,
                                           .result = response.result,
                                           .epoch_time_s = response.epoch_time_s,
                                           .round_trip = now - *entry->second.last_sent});
    entry = requests_.erase(entry);
  }
  return Reception::accepted;
}

auto Engine::matches(const Request& request, const wire::Response& response,
                     const wire::MapResponse& map) const -> bool {
  if (request.phase == Phase::announcing || !request.last_sent) return false;
  if (map.protocol != request.wish.protocol || map.internal_port != request.wish.internal_port ||
      map.nonce != request.nonce)
    return false;
  // Answers to a deletion carry the zeros of the request (RFC 6887 s15.1, s11.1). That tells them from
  // late answers to what went before, or to an earlier life of the same nonce.
  const bool answers_deletion =
      map.assigned_external_address.is_unspecified() && map.assigned_external_port == Port{};
  const bool is_success = response.result == wire::ResultCode::success;
  if (request.phase == Phase::deleting) return answers_deletion || (is_success && response.lifetime_s == 0);
  return !(is_success && map.assigned_external_address.is_unspecified());
}

auto Engine::receive_map(TimePoint now, const wire::Response& response, const wire::MapResponse& map)
    -> Reception {
  std::vector<Handle> matching;
  for (const auto& [handle, request] : requests_)
    if (matches(request, response, map)) matching.push_back(handle);
  // Mappings of either external family may share the rest of the key (RFC 6887 erratum 3621).
  const auto is_of_other_family = [&](Handle handle) {
    return requests_.at(handle).suggested.address.family() != map.assigned_external_address.family();
  };
  if (matching.size() > 1 && !std::ranges::all_of(matching, is_of_other_family))
    std::erase_if(matching, is_of_other_family);
  if (matching.empty()) return Reception::of_no_request;

  check_epoch(now, response.epoch_time_s);
  Reception reception = Reception::not_as_suggested;
  for (const Handle handle : matching) {
    Request& request = requests_.at(handle);
    if (response.result != wire::ResultCode::success) {
      accept_error(now, handle, request, response);
      reception = Reception::accepted;
    } else if (request.phase == Phase::deleting) {
      actions_.events.emplace_back(
          Deleted{.handle = handle,
                  .remaining = std::min(Seconds{response.lifetime_s}, config_.lifetime_max),
                  .epoch_time_s = response.epoch_time_s});
      requests_.erase(handle);
      reception = Reception::accepted;
    } else if (is_as_insisted(request, map)) {
      accept_success(now, handle, request, response, map);
      reception = Reception::accepted;
    }
  }
  return reception;
}

auto Engine::is_as_insisted(const Request& request, const wire::MapResponse& map) const -> bool {
  if (!request.wish.prefer_failure) return true;
  return map.assigned_external_port == request.suggested.port &&
         (request.suggested.address.is_unspecified() ||
          map.assigned_external_address == request.suggested.address);
}

void Engine::accept_success(TimePoint now, Handle handle, Request& request, const wire::Response& response,
                            const wire::MapResponse& map) {
  request.unanswered = 0;
  if (response.lifetime_s == 0) {
    request.not_before = now + refusal_lifetime_min;
    if (request.mapping)
      lose(now, handle, request, Lost::Reason::withdrawn);
    else
      ask(request.not_before, request);
    return;
  }
  const Seconds lifetime = std::min(Seconds{response.lifetime_s}, config_.lifetime_max);
  const auto previous = std::exchange(
      request.mapping,
      Mapping{.protocol = map.protocol,
              .internal = {.address = config_.client_address, .port = map.internal_port},
              .external = {.address = map.assigned_external_address, .port = map.assigned_external_port},
              .nonce = map.nonce,
              .lifetime = lifetime,
              .expires = now + lifetime,
              .epoch_time_s = response.epoch_time_s});
  request.phase = Phase::granted;
  request.suggested = request.mapping->external;
  request.granted_at = now;
  request.renewals = 0;
  request.not_before = {};
  schedule_renewal(request);
  if (!previous)
    actions_.events.emplace_back(Granted{.handle = handle, .mapping = *request.mapping});
  else if (previous->external != request.mapping->external)
    actions_.events.emplace_back(
        Changed{.handle = handle, .mapping = *request.mapping, .previous_external = previous->external});
  else
    actions_.events.emplace_back(Renewed{.handle = handle, .mapping = *request.mapping});
}

void Engine::accept_error(TimePoint now, Handle handle, Request& request, const wire::Response& response) {
  const Seconds lifetime =
      std::clamp(Seconds{response.lifetime_s}, refusal_lifetime_min, config_.lifetime_max);
  const bool is_deletion = request.phase == Phase::deleting;
  request.unanswered = 0;
  request.not_before = now + lifetime;
  if (response.result == wire::ResultCode::no_resources) {
    TimePoint& held_until = is_deletion ? nothing_before_ : no_new_before_;
    held_until = std::max(held_until, request.not_before);
  }
  actions_.events.emplace_back(Refused{.handle = handle,
                                       .result = response.result,
                                       .lifetime = lifetime,
                                       .epoch_time_s = response.epoch_time_s});
  if (is_deletion && !is_passing(response.result)) {
    requests_.erase(handle);
  } else if (request.mapping && !is_passing(response.result)) {
    lose(now, handle, request, Lost::Reason::withdrawn);
  } else if (request.mapping) {
    request.phase = Phase::granted;
    schedule_renewal(request);
  } else {
    ask(request.not_before, request);
  }
}

void Engine::check_epoch(TimePoint now, std::uint32_t epoch_time_s) {
  if (epoch_.is_valid(now, epoch_time_s)) return;
  actions_.events.emplace_back(ServerRestarted{epoch_time_s});
  for (auto& [handle, request] : requests_) {
    if (request.phase != Phase::granted) continue;
    const Nanoseconds delay{
        static_cast<Nanoseconds::rep>(random_.below(Nanoseconds{recovery_delay_max}.count() + 1ULL))};
    ask(std::max({now + delay, request.not_before, *request.last_sent + renewal_interval_min}), request);
  }
}

}  // namespace portolan::client
