// SPDX-License-Identifier: BSD-2-Clause
//
// The engine's processing of responses (RFC 6887 s8.3, s8.5, s9, s11.4, s12.4, s14).
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
  const bool has_version_0 = !datagram.empty() && datagram.front() == std::byte{wire::nat_pmp::version};
  Reception reception = Reception::malformed;
  if (is_nat_pmp_ && has_version_0) {
    reception = receive_nat_pmp(now, datagram);
  } else if (const auto response = wire::decode_response(datagram)) {
    reception = receive_pcp(now, *response);
  } else if (response.error() == wire::ResponseError::unsupported_version) {
    reception = receive_other_version(now, datagram);
  }
  if (reception == Reception::accepted) is_unresponsive_ = false;
  return reception;
}

auto Engine::receive_pcp(TimePoint now, const wire::Response& response) -> Reception {
  if (is_nat_pmp_ && config_.speech == Speech::automatic) begin_pcp(now);
  if (response.opcode == wire::Opcode::announce) return receive_announce(now, response);
  Answer answer{.result = response.result,
                .lifetime_s = response.lifetime_s,
                .epoch_time_s = response.epoch_time_s,
                .nonce = {},
                .protocol = {},
                .internal_port = {},
                .assigned = {},
                .remote_peer = {},
                .options = options_of(response),
                .is_nat_pmp = false};
  const auto take = [&answer](const auto& body) {
    answer.nonce = body.nonce;
    answer.protocol = body.protocol;
    answer.internal_port = body.internal_port;
    answer.assigned = {.address = body.assigned_external_address, .port = body.assigned_external_port};
  };
  if (const auto* map = std::get_if<wire::MapResponse>(&response.body)) {
    take(*map);
  } else if (const auto* peer = std::get_if<wire::PeerResponse>(&response.body)) {
    take(*peer);
    answer.remote_peer = Endpoint{.address = peer->remote_peer_address, .port = peer->remote_peer_port};
  } else {
    return Reception::of_no_request;
  }
  return receive_answer(now, answer);
}

auto Engine::receive_other_version(TimePoint now, std::span<const std::byte> datagram) -> Reception {
  const auto version = wire::answered_version(datagram);
  if (!version) return Reception::malformed;
  const bool has_asked = std::ranges::any_of(
      requests_, [](const auto& entry) { return entry.second.last_sent && entry.second.next_send; });
  if (!has_asked) return Reception::of_no_request;
  if (*version == wire::nat_pmp::version && may_speak_nat_pmp()) {
    begin_nat_pmp(now);
    return Reception::accepted;
  }
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
  auto options = options_of(response);
  if (response.result == wire::ResultCode::success && !options.nat64_prefixes.empty())
    learn_prefixes(std::move(options.nat64_prefixes));
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

void Engine::learn_prefixes(std::vector<Nat64Prefix> prefixes) {
  if (prefixes.size() > nat64_prefixes_max) prefixes.resize(nat64_prefixes_max);
  if (prefixes == nat64_prefixes_) return;
  nat64_prefixes_ = std::move(prefixes);
  actions_.events.emplace_back(Nat64PrefixesLearned{nat64_prefixes_});
}

auto Engine::matches(const Request& request, const Answer& answer) const -> bool {
  if (request.phase == Phase::announcing || !request.last_sent) return false;
  if (answer.protocol != request.wish.protocol || answer.internal_port != request.wish.internal_port ||
      answer.remote_peer != request.wish.remote_peer)
    return false;
  if (answer.is_nat_pmp ? !goes_by_nat_pmp(request) : answer.nonce != request.nonce) return false;
  if (answer.options.third_party.value_or(config_.client_address) != internal_address(request)) return false;
  // Answers to a deletion carry the zeros of the request (RFC 6887 s15.1, s11.1). That tells them from
  // late answers to what went before, or to an earlier life of the same nonce. NAT-PMP's errors tell no more.
  const bool is_success = answer.result == wire::ResultCode::success;
  const bool answers_deletion =
      (answer.assigned.address.is_unspecified() || answer.is_nat_pmp) && answer.assigned.port == Port{};
  if (request.phase == Phase::deleting) return answers_deletion || (is_success && answer.lifetime_s == 0);
  return !(is_success && (answer.assigned.address.is_unspecified() ||
                          (answer.is_nat_pmp && answer.assigned.port == Port{})));
}

auto Engine::receive_answer(TimePoint now, const Answer& answer) -> Reception {
  std::vector<Handle> matching;
  for (const auto& [handle, request] : requests_)
    if (matches(request, answer)) matching.push_back(handle);
  // Mappings of either external family may share the rest of the key (RFC 6887 erratum 3621).
  const auto is_of_other_family = [&](Handle handle) {
    return requests_.at(handle).suggested.address.family() != answer.assigned.address.family();
  };
  if (matching.size() > 1 && !std::ranges::all_of(matching, is_of_other_family))
    std::erase_if(matching, is_of_other_family);
  if (matching.empty()) return Reception::of_no_request;

  if (answer.is_nat_pmp)
    check_nat_pmp_epoch(now, answer.epoch_time_s);
  else
    check_epoch(now, answer.epoch_time_s);
  Reception reception = Reception::not_as_suggested;
  for (const Handle handle : matching) {
    Request& request = requests_.at(handle);
    if (answer.result != wire::ResultCode::success) {
      accept_error(now, handle, request, answer);
      reception = Reception::accepted;
    } else if (request.phase == Phase::deleting) {
      actions_.events.emplace_back(
          Deleted{.handle = handle,
                  .remaining = std::min(Seconds{answer.lifetime_s}, config_.lifetime_max),
                  .epoch_time_s = answer.epoch_time_s});
      requests_.erase(handle);
      reception = Reception::accepted;
    } else if (is_as_insisted(request, answer)) {
      accept_success(now, handle, request, answer);
      reception = Reception::accepted;
    }
  }
  return reception;
}

auto Engine::is_as_insisted(const Request& request, const Answer& answer) const -> bool {
  if (!request.wish.prefer_failure) return true;
  return answer.assigned.port == request.suggested.port &&
         (request.suggested.address.is_unspecified() || answer.assigned.address == request.suggested.address);
}

void Engine::accept_success(TimePoint now, Handle handle, Request& request, const Answer& answer) {
  const bool is_update = request.mapping && request.unanswered == 0;
  request.unanswered = 0;
  if (answer.lifetime_s == 0) {
    request.not_before = now + refusal_lifetime_min;
    if (request.mapping)
      lose(now, handle, request, Lost::Reason::withdrawn);
    else
      ask(request.not_before, request);
    return;
  }
  if (!answer.options.nat64_prefixes.empty() && request.wish.wants_nat64_prefix)
    learn_prefixes(answer.options.nat64_prefixes);
  const Seconds lifetime = std::min(Seconds{answer.lifetime_s}, config_.lifetime_max);
  // An update that nobody asked for has no optional options (RFC 6887 s14.2): what they said is kept, and if
  // that was a set of ports, asked for.
  const bool is_set_kept = is_update && request.mapping->port_count > 1 && answer.options.port_count == 1;
  const std::uint16_t port_count = is_set_kept ? request.mapping->port_count
                                               : std::min(answer.options.port_count, request.wish.port_count);
  auto description = request.wish.description ? answer.options.description : std::nullopt;
  if (is_update && !description) description = request.mapping->description;
  const auto previous =
      std::exchange(request.mapping,
                    Mapping{.protocol = answer.protocol,
                            .internal = {.address = internal_address(request), .port = answer.internal_port},
                            .external = answer.assigned,
                            .nonce = request.nonce,
                            .lifetime = lifetime,
                            .expires = now + lifetime,
                            .epoch_time_s = answer.epoch_time_s,
                            .remote_peer = answer.remote_peer,
                            .port_count = port_count,
                            .is_filtered = answer.options.has_filter,
                            .description = std::move(description),
                            .is_nat_pmp = answer.is_nat_pmp});
  request.phase = Phase::granted;
  request.suggested = request.mapping->external;
  request.granted_at = now;
  request.renewals = 0;
  request.not_before = {};
  request.address = AddressQuery::needed;
  request.waits_for_turn = false;
  schedule_renewal(request);
  if (is_set_kept) request.next_send = earliest(now, request);
  if (!previous)
    actions_.events.emplace_back(Granted{.handle = handle, .mapping = *request.mapping});
  else if (previous->external != request.mapping->external ||
           previous->port_count != request.mapping->port_count)
    actions_.events.emplace_back(
        Changed{.handle = handle, .mapping = *request.mapping, .previous_external = previous->external});
  else
    actions_.events.emplace_back(Renewed{.handle = handle, .mapping = *request.mapping});
}

void Engine::accept_error(TimePoint now, Handle handle, Request& request, const Answer& answer) {
  const Seconds lifetime = std::clamp(Seconds{answer.lifetime_s}, refusal_lifetime_min, config_.lifetime_max);
  const bool is_deletion = request.phase == Phase::deleting;
  request.unanswered = 0;
  request.not_before = now + lifetime;
  if (answer.result == wire::ResultCode::no_resources) {
    TimePoint& held_until = is_deletion ? nothing_before_ : no_new_before_;
    held_until = std::max(held_until, request.not_before);
  }
  // PEER and SCTP are refused where another mapping would be moved (RFC 6887 s12.1, s16.3.3). What was
  // assigned once is not to be had any more then, and asking without it is another question.
  const Endpoint wished{.address = request.wish.suggested_external_address,
                        .port = request.wish.suggested_external_port};
  if (answer.result == wire::ResultCode::cannot_provide_external && !request.wish.prefer_failure &&
      !is_deletion && request.suggested != wished) {
    request.suggested = wished;
    request.not_before = now;
  }
  actions_.events.emplace_back(Refused{
      .handle = handle, .result = answer.result, .lifetime = lifetime, .epoch_time_s = answer.epoch_time_s});
  if (is_deletion && !is_passing(answer.result)) {
    requests_.erase(handle);
  } else if (request.mapping && !is_passing(answer.result)) {
    lose(now, handle, request, Lost::Reason::withdrawn);
  } else if (request.mapping) {
    request.phase = Phase::granted;
    schedule_renewal(request);
  } else {
    ask(earliest(now, request), request);
  }
}

void Engine::check_epoch(TimePoint now, std::uint32_t epoch_time_s) {
  if (!epoch_.is_valid(now, epoch_time_s)) recover(now, epoch_time_s);
}

void Engine::recover(TimePoint now, std::uint32_t epoch_time_s) {
  actions_.events.emplace_back(ServerRestarted{epoch_time_s});
  for (auto& [handle, request] : requests_) {
    if (request.phase != Phase::granted) continue;
    const Nanoseconds delay{
        static_cast<Nanoseconds::rep>(random_.below(Nanoseconds{recovery_delay_max}.count() + 1ULL))};
    ask(earliest(now + delay, request), request);
  }
}

}  // namespace portolan::client
