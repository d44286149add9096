// SPDX-License-Identifier: BSD-2-Clause
//
// The engine with a server that speaks only NAT-PMP (RFC 6886; RFC 6887 s9 and appendix A). Its requests
// go one by one. The external address is asked for before each mapping, because it may have changed.
#include <algorithm>
#include <utility>

#include "client/engine.h"

namespace portolan::client {

namespace nat_pmp = wire::nat_pmp;

auto Engine::may_speak_nat_pmp() const -> bool {
  return config_.speech != Speech::pcp && config_.client_address.is_ipv4();
}

auto Engine::goes_by_nat_pmp(const Request& request) const -> bool {
  return is_nat_pmp_ &&
         (request.phase == Phase::announcing || nat_pmp_objection(request.wish) == wire::ResultCode::success);
}

void Engine::begin_nat_pmp(TimePoint now) {
  is_nat_pmp_ = true;
  nat_pmp_turn_until_ = now;
  actions_.events.emplace_back(FellBackToNatPmp{});
  for (auto& [handle, request] : requests_) {
    request.unanswered = 0;
    if (goes_by_nat_pmp(request)) ask(std::max(now, request.not_before), request);
  }
  refuse_unspeakable(now);
  advance(now);
}

void Engine::begin_pcp(TimePoint now) {
  is_nat_pmp_ = false;
  for (auto& [handle, request] : requests_) {
    request.unanswered = 0;
    request.waits_for_turn = false;
    if (request.phase != Phase::granted) ask(std::max(now, request.not_before), request);
  }
}

void Engine::refuse_unspeakable(TimePoint now) {
  std::vector<Handle> refused;
  for (const auto& [handle, request] : requests_)
    if (request.next_send && now >= request.not_before && request.phase != Phase::granted &&
        !goes_by_nat_pmp(request))
      refused.push_back(handle);
  for (const Handle handle : refused) {
    Request& request = requests_.at(handle);
    Answer answer;
    answer.result = nat_pmp_objection(request.wish);
    answer.lifetime_s = static_cast<std::uint32_t>(version_retry_max.count());
    accept_error(now, handle, request, answer);
  }
}

auto Engine::nat_pmp_datagram(TimePoint now, Request& request) const -> wire::Datagram {
  nat_pmp::Request message = nat_pmp::AddressRequest{};
  if (request.phase == Phase::deleting || request.address == AddressQuery::answered)
    message = nat_pmp::MapRequest{.protocol = request.wish.protocol,
                                  .internal_port = request.wish.internal_port,
                                  .suggested_external_port = request.suggested.port,
                                  .requested_lifetime_s = requested_lifetime_s(now, request)};
  else
    request.address = AddressQuery::sent;
  wire::Datagram datagram;
  datagram.resize(nat_pmp::write_request(message, datagram.buffer()));
  return datagram;
}

auto Engine::receive_nat_pmp(TimePoint now, std::span<const std::byte> datagram) -> Reception {
  const auto response = nat_pmp::decode_response(datagram);
  if (!response) return Reception::malformed;
  if (const auto* address = std::get_if<nat_pmp::AddressResponse>(&response->body))
    return receive_address(now, *response, address->external_address);
  if (const auto* map = std::get_if<nat_pmp::MapResponse>(&response->body)) {
    Answer answer;
    answer.result = to_pcp(response->result);
    // NAT-PMP's errors have no lifetime.
    answer.lifetime_s =
        answer.result == wire::ResultCode::success
            ? map->lifetime_s
            : static_cast<std::uint32_t>(wire::recommended_error_lifetime(answer.result).count());
    answer.epoch_time_s = response->epoch_time_s;
    answer.protocol = map->protocol;
    answer.internal_port = map->internal_port;
    answer.assigned = {.address = IpAddress{nat_pmp_external_}, .port = map->mapped_external_port};
    answer.is_nat_pmp = true;
    const Reception reception = receive_answer(now, answer);
    if (reception == Reception::accepted) give_turn(now);
    return reception;
  }
  // A request in PCP's words was not understood.
  if (std::holds_alternative<nat_pmp::UnsupportedVersion>(response->body)) {
    refuse_unspeakable(now);
    return Reception::accepted;
  }
  return Reception::of_no_request;
}

auto Engine::receive_address(TimePoint now, const nat_pmp::Response& response, Ipv4Address external)
    -> Reception {
  const bool is_success = response.result == nat_pmp::ResultCode::success;
  check_nat_pmp_epoch(now, response.epoch_time_s);
  if (is_success && !IpAddress{external}.is_unspecified()) move_to(external);
  std::vector<Handle> asked;
  for (const auto& [handle, request] : requests_)
    if (request.address == AddressQuery::sent) asked.push_back(handle);
  Answer answer;
  answer.result = to_pcp(response.result);
  // No address yet is a failure of the network behind the server (RFC 6886 s3.5).
  if (is_success && IpAddress{external}.is_unspecified()) answer.result = wire::ResultCode::network_failure;
  answer.lifetime_s = static_cast<std::uint32_t>(wire::recommended_error_lifetime(answer.result).count());
  answer.epoch_time_s = response.epoch_time_s;
  for (const Handle handle : asked) {
    Request& request = requests_.at(handle);
    request.unanswered = 0;
    if (request.phase == Phase::announcing) {
      actions_.events.emplace_back(Announced{.handle = handle,
                                             .result = answer.result,
                                             .epoch_time_s = response.epoch_time_s,
                                             .round_trip = now - *request.last_sent});
      requests_.erase(handle);
    } else if (answer.result != wire::ResultCode::success) {
      accept_error(now, handle, request, answer);
      request.address = AddressQuery::needed;
    } else {
      if (request.phase != Phase::granted) ask(now, request);
      request.address = AddressQuery::answered;
      request.next_send = now;
    }
  }
  give_turn(now);
  return Reception::accepted;
}

void Engine::move_to(Ipv4Address external) {
  nat_pmp_external_ = external;
  for (auto& [handle, request] : requests_) {
    if (!request.mapping || !request.mapping->is_nat_pmp ||
        request.mapping->external.address == IpAddress{external})
      continue;
    const Endpoint previous = request.mapping->external;
    request.mapping->external.address = IpAddress{external};
    request.suggested = request.mapping->external;
    actions_.events.emplace_back(
        Changed{.handle = handle, .mapping = *request.mapping, .previous_external = previous});
  }
}

void Engine::check_nat_pmp_epoch(TimePoint now, std::uint32_t epoch_time_s) {
  if (!nat_pmp_epoch_.is_valid(now, epoch_time_s)) recover(now, epoch_time_s);
}

void Engine::give_turn(TimePoint now) {
  nat_pmp_turn_until_ = now;
  for (auto& [handle, request] : requests_)
    if (request.waits_for_turn) request.next_send = now;
  advance(now);
}

}  // namespace portolan::client
