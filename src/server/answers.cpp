// SPDX-License-Identifier: BSD-2-Clause
//
// What goes out: answers in the format of the request, mapping updates in the format that made the
// mapping (RFC 6887 s7.2, s7.3, s8.2, s14; RFC 6886 s3).
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/server.h"

namespace portolan::server {

namespace nat_pmp = wire::nat_pmp;
using wire::ResultCode;

namespace {

auto result_code_of(device::Refusal refusal) -> ResultCode {
  switch (refusal) {
    case device::Refusal::cannot_provide_external: return ResultCode::cannot_provide_external;
    case device::Refusal::no_resources: return ResultCode::no_resources;
    case device::Refusal::unsupported_protocol: return ResultCode::unsupp_protocol;
    case device::Refusal::not_inside: return ResultCode::not_authorized;
    case device::Refusal::network_failure: return ResultCode::network_failure;
    case device::Refusal::excessive_filters: return ResultCode::excessive_remote_peers;
    case device::Refusal::outbound_mapping: return ResultCode::not_authorized;
    case device::Refusal::remote_peer_invalid: return ResultCode::malformed_request;
    case device::Refusal::unreachable: return ResultCode::network_failure;
    case device::Refusal::profile_unsupported: break;  // not about a request
  }
  return ResultCode::no_resources;
}

/// NAT-PMP knows fewer (RFC 6886 s3.5).
auto nat_pmp_result_of(ResultCode result) -> nat_pmp::ResultCode {
  switch (result) {
    case ResultCode::success: return nat_pmp::ResultCode::success;
    case ResultCode::network_failure: return nat_pmp::ResultCode::network_failure;
    case ResultCode::no_resources:
    case ResultCode::user_ex_quota:
    case ResultCode::cannot_provide_external: return nat_pmp::ResultCode::out_of_resources;
    case ResultCode::unsupp_opcode: return nat_pmp::ResultCode::unsupported_opcode;
    default: return nat_pmp::ResultCode::not_authorized;
  }
}

auto kind_of(const Inbound& datagram) -> RequestKind {
  if (datagram.is_nat_pmp()) return RequestKind::nat_pmp;
  switch (static_cast<wire::Opcode>(datagram.payload[1] & ~std::byte{wire::response_bit})) {
    case wire::Opcode::announce: return RequestKind::announce;
    case wire::Opcode::map: return RequestKind::map;
    case wire::Opcode::peer: return RequestKind::peer;
    default: return RequestKind::other;
  }
}

auto version_of(Format format) -> std::uint8_t { return static_cast<std::uint8_t>(format); }

/// The success response about `mapping`; its options are the caller's.
auto response_about(const Contract& mapping, std::uint8_t version, Seconds lifetime,
                    std::uint32_t epoch_time_s) -> wire::Response {
  wire::Response response{.version = version,
                          .opcode = wire::Opcode::map,
                          .result = ResultCode::success,
                          .lifetime_s = static_cast<std::uint32_t>(lifetime.count()),
                          .epoch_time_s = epoch_time_s,
                          .body = {},
                          .options = {}};
  const MappingKey& key = mapping.key.mapping;
  if (mapping.key.is_peer()) {
    response.opcode = wire::Opcode::peer;
    response.body = wire::PeerResponse{.nonce = mapping.nonce,
                                       .protocol = key.protocol,
                                       .internal_port = key.internal_port,
                                       .assigned_external_port = mapping.external_port,
                                       .assigned_external_address = mapping.external_address,
                                       .remote_peer_port = mapping.key.remote_peer.port,
                                       .remote_peer_address = mapping.key.remote_peer.address};
  } else {
    response.body = wire::MapResponse{.nonce = mapping.nonce,
                                      .protocol = key.protocol,
                                      .internal_port = key.internal_port,
                                      .assigned_external_port = mapping.external_port,
                                      .assigned_external_address = mapping.external_address};
  }
  return response;
}

/// Appends options to a message that is being written; what doesn't fit is left out.
class OptionWriter {
 public:
  OptionWriter(std::span<std::byte> buffer, std::size_t size) : buffer_(buffer), size_(size) {}
  void raw(wire::OptionCode code, std::span<const std::byte> data) {
    if (const auto size = wire::write_option(buffer_, size_, code, data)) size_ = *size;
  }
  void value(const auto& option) {
    if (const auto size = wire::write_option(buffer_, size_, option)) size_ = *size;
  }
  [[nodiscard]] auto size() const -> std::size_t { return size_; }

 private:
  std::span<std::byte> buffer_;
  std::size_t size_;
};

}  // namespace

void Server::send(const Endpoint& client, const Path& path, std::span<const std::byte> message) {
  const std::size_t offset = actions_.octets.size();
  actions_.octets.insert(actions_.octets.end(), message.begin(), message.end());
  actions_.send.push_back(
      {.client = client, .path = path, .message = {.offset = offset, .size = message.size()}});
}

void Server::count_answer(const Inbound& datagram, ResultCode result) {
  ++counters_.answers[std::to_underlying(result)];
  ++counters_.answers_to[std::to_underlying(kind_of(datagram))][std::to_underlying(result)];
}

auto Server::error_lifetime(ResultCode result) const -> Seconds {
  const Seconds recommended = wire::recommended_error_lifetime(result);
  if (recommended == wire::short_error_lifetime) return config_.short_error_lifetime;
  return recommended == wire::long_error_lifetime ? config_.long_error_lifetime : recommended;
}

void Server::answer(TimePoint now, const Inbound& datagram, const Item& item) {
  if (!item.is_answered) return;
  const device::Result& outcome = *item.outcome;
  if (item.leaves_some) return answer_error(now, datagram, ResultCode::not_authorized);
  const bool deletes = item.lifetime == Seconds{0};
  if (!outcome) {
    // What can't be mapped can't be there to be deleted (RFC 6887 s15.1).
    if (deletes && outcome.error() != device::Refusal::outbound_mapping &&
        outcome.error() != device::Refusal::unreachable)
      return answer_success(now, datagram, item, Seconds{0});
    return answer_error(now, datagram, result_code_of(outcome.error()));
  }
  if (deletes) return answer_success(now, datagram, item, outcome->lifetime);
  // The commit took its time; what is promised from now on is what is left, if anything is.
  const Contract* contract = contracts_.find(item.key, item.place);
  PORTOLAN_CHECK(contract != nullptr);
  answer_success(now, datagram, item, contract->expires > now ? remaining_life(*contract, now) : Seconds{0});
}

void Server::answer_success(TimePoint now, const Inbound& datagram, const Item& item, Seconds lifetime) {
  count_answer(datagram, ResultCode::success);
  const std::uint32_t epoch = epoch_time_s(now, item.subscriber);
  Contract mapping;
  mapping.key = item.key;
  mapping.external_address = item.suggested_external_address;
  mapping.external_port = item.suggested_external_port;
  const Contract* contract = item.lifetime == Seconds{0} ? nullptr : contracts_.find(item.key, item.place);
  if (contract != nullptr) mapping = *contract;
  mapping.nonce = item.nonce;
  if (item.format == Format::nat_pmp) return answer_nat_pmp_map(now, datagram, item, mapping, lifetime);
  send(item.client, item.path, [&](std::span<std::byte> buffer) {
    const std::size_t size =
        wire::write_response(response_about(mapping, version_of(item.format), lifetime, epoch), buffer);
    return append_processed_options(datagram.payload, item, mapping, buffer, size);
  });
}

// RFC 6887 s7.3: options that were processed, in the request's order.
auto Server::append_processed_options(std::span<const std::byte> datagram, const Item& item,
                                      const Contract& mapping, std::span<std::byte> buffer,
                                      std::size_t size) const -> std::size_t {
  // An answer without options is as long as its request without options.
  if (datagram.size() <= size) return size;
  // It was admitted, whatever versions are answered by now.
  const auto request = wire::decode_request(datagram, {.version_1 = true});
  if (!request || request->options.octets().empty()) return size;
  OptionWriter writer(buffer, size);
  for (const wire::Option& option : request->options) {
    switch (option.code) {
      case wire::OptionCode::third_party:
      case wire::OptionCode::prefer_failure:
      case wire::OptionCode::filter:
      case wire::OptionCode::third_party_id: writer.raw(option.code, option.data); break;
      case wire::OptionCode::description: {
        if (mapping.is_static) {
          if (mapping.details && mapping.details->description)
            writer.raw(option.code, std::as_bytes(std::span(*mapping.details->description)));
          break;
        }
        // The value that is kept; none if it was not well-formed (RFC 7220 s3).
        if (const auto description = wire::Description::decode(option.data))
          writer.raw(option.code, wire::truncated_text(description->text, description_octets_max));
        break;
      }
      case wire::OptionCode::prefix64:
        for (const auto& data : prefix64_data_) writer.raw(wire::OptionCode::prefix64, data);
        break;
      case wire::OptionCode::port_set:
        if (mapping.port_count > 1)
          writer.value(wire::PortSet{.size = mapping.port_count,
                                     .first_internal_port = mapping.key.mapping.internal_port,
                                     .parity = item.preserve_parity});
        break;
      case wire::OptionCode::port_reservation:
        if (config_.port_reservation && mapping.port_count == 2) writer.raw(option.code, {});
        break;
      case wire::OptionCode::experimental_prefix64:
        if (!config_.prefix64.empty() && config_.prefix64.front().prefix.length() == 96)
          writer.value(wire::ExperimentalPrefix64{.prefix = config_.prefix64.front().prefix});
        break;
      default: break;
    }
  }
  return writer.size();
}

void Server::answer_announce(TimePoint now, const Inbound& datagram, const wire::Request& request) {
  const Asker asker = asker_of(datagram.client.address, datagram.path);
  const auto options = read_options(request, *asker.policy, config_);
  if (!options) return answer_error(now, datagram, options.error());
  if (datagram.payload.size() + added_octets(*options) > wire::message_octets_max)
    return answer_error(now, datagram, ResultCode::malformed_request);
  count_answer(datagram, ResultCode::success);
  send(datagram.client, datagram.path, [&](std::span<std::byte> buffer) {
    const std::size_t size = wire::write_response({.version = request.version,
                                                   .opcode = wire::Opcode::announce,
                                                   .result = ResultCode::success,
                                                   .lifetime_s = 0,
                                                   .epoch_time_s = epoch_time_s(now, asker.subscriber),
                                                   .body = wire::Announce{},
                                                   .options = {}},
                                                  buffer);
    OptionWriter writer(buffer, size);
    if (options->prefix64)
      for (const auto& data : prefix64_data_) writer.raw(wire::OptionCode::prefix64, data);
    return writer.size();
  });
}

void Server::answer_error(TimePoint now, const Inbound& datagram, ResultCode result, Seconds lifetime) {
  if (datagram.is_nat_pmp()) return answer_nat_pmp_error(now, datagram, result);
  count_answer(datagram, result);
  // The version the client speaks; admission let no other in.
  const auto version = std::to_integer<std::uint8_t>(datagram.payload[0]);
  send_error(now, datagram, result, lifetime, version, true);
}

void Server::answer_unparsed(TimePoint now, const Inbound& datagram, ResultCode result) {
  count_answer(datagram, result);
  // RFC 6887 s9: the version closest to the client's; for what parsed so far, its own.
  const auto version = std::to_integer<std::uint8_t>(datagram.payload[0]);
  const bool speaks_1 = config_.version_1 && version <= 1;
  send_error(now, datagram, result, error_lifetime(result), speaks_1 ? wire::version_1 : wire::version_2,
             false);
}

void Server::send_error(TimePoint now, const Inbound& datagram, ResultCode result, Seconds lifetime,
                        std::uint8_t version, bool parsed) {
  const std::uint32_t epoch = epoch_time_s(now, asker_of(datagram.client.address, datagram.path).subscriber);
  send(datagram.client, datagram.path, [&](std::span<std::byte> buffer) {
    return wire::write_error(
        datagram.payload,
        {.result = result, .lifetime = lifetime, .epoch_time_s = epoch, .parsed = parsed, .version = version},
        buffer);
  });
}

auto Server::nat_pmp_address() const -> std::optional<Ipv4Address> {
  if (config_.nat_pmp_addresses.empty()) return learned_address_;
  return config_.nat_pmp_addresses.front();
}

void Server::answer_nat_pmp_address(TimePoint now, const Inbound& datagram) {
  const Asker asker = asker_of(datagram.client.address, datagram.path);
  // The address the client's mappings have, if it has any.
  std::optional<Ipv4Address> address = nat_pmp_address();
  const IpAddress& given = asker.external_address;
  if (given.is_ipv4() && !given.is_unspecified()) address = given.ipv4();
  contracts_.for_each_of(asker.subscriber, [&](const Contract& contract) {
    if (contract.external_address.is_ipv4()) address = contract.external_address.ipv4();
  });
  const ResultCode result = address ? ResultCode::success : ResultCode::network_failure;
  count_answer(datagram, result);
  send_nat_pmp(datagram.client, datagram.path,
               {.result = nat_pmp_result_of(result),
                .epoch_time_s = epoch_time_s(now, asker.subscriber),
                .body = nat_pmp::AddressResponse{.external_address = address.value_or(Ipv4Address{})}});
}

void Server::answer_nat_pmp_map(TimePoint now, const Inbound& datagram, const Item& item,
                                const Contract& mapping, Seconds lifetime) {
  // Of a deletion external port and lifetime are 0, whatever traffic keeps (RFC 6886 s3.4).
  const bool deletes = item.lifetime == Seconds{0};
  const auto request = nat_pmp::decode_request(datagram.payload);
  PORTOLAN_CHECK(request && std::holds_alternative<nat_pmp::MapRequest>(*request));
  send_nat_pmp(item.client, item.path,
               {.result = nat_pmp::ResultCode::success,
                .epoch_time_s = epoch_time_s(now, item.subscriber),
                .body = nat_pmp::MapResponse{
                    .protocol = mapping.key.mapping.protocol,
                    .internal_port = std::get<nat_pmp::MapRequest>(*request).internal_port,
                    .mapped_external_port = deletes ? Port{0} : mapping.external_port,
                    .lifetime_s = deletes ? 0 : static_cast<std::uint32_t>(lifetime.count())}});
}

void Server::answer_nat_pmp_error(TimePoint now, const Inbound& datagram, ResultCode result) {
  count_answer(datagram, result);
  const auto request = nat_pmp::decode_request(datagram.payload);
  PORTOLAN_CHECK(request && std::holds_alternative<nat_pmp::MapRequest>(*request));
  const auto& map = std::get<nat_pmp::MapRequest>(*request);
  send_nat_pmp(
      datagram.client, datagram.path,
      {.result = nat_pmp_result_of(result),
       .epoch_time_s = epoch_time_s(now, asker_of(datagram.client.address, datagram.path).subscriber),
       .body = nat_pmp::MapResponse{.protocol = map.protocol, .internal_port = map.internal_port}});
}

void Server::send_nat_pmp(const Endpoint& client, const Path& path, const nat_pmp::Response& response) {
  send(client, path, [&](std::span<std::byte> buffer) { return nat_pmp::write_response(response, buffer); });
}

// RFC 6887 s14.2.
void Server::send_update(TimePoint now, const Updates::Update& update) {
  const Contract* contract = update.lost ? &*update.lost : contracts_.find(update.key);
  // Of a path no longer known the client will hear from the restart announcement, or when it renews.
  if (contract == nullptr || contract->path >= paths_.size()) return;
  ++counters_.updates_sent;
  const Endpoint client{contract->client_address(), contract->client_port};
  const std::uint32_t epoch = epoch_time_s(now, contract->subscriber);
  const Seconds lifetime = update.lost ? Seconds{0} : remaining_life(*contract, now);
  if (contract->format == Format::nat_pmp)
    return send_nat_pmp(
        client, paths_[contract->path],
        {.result = update.lost && !update.is_deleted ? nat_pmp::ResultCode::network_failure
                                                     : nat_pmp::ResultCode::success,
         .epoch_time_s = epoch,
         .body = nat_pmp::MapResponse{.protocol = contract->key.mapping.protocol,
                                      .internal_port = contract->key.mapping.internal_port,
                                      .mapped_external_port = update.lost ? Port{0} : contract->external_port,
                                      .lifetime_s = static_cast<std::uint32_t>(lifetime.count())}});
  send(client, paths_[contract->path], [&](std::span<std::byte> buffer) {
    wire::Response response = response_about(*contract, version_of(contract->format), lifetime, epoch);
    // What the operator deleted is told as if the client had asked for it (RFC 6887 s15.1).
    if (update.lost && !update.is_deleted) {
      response.result =
          contract->prefer_failure ? ResultCode::cannot_provide_external : ResultCode::network_failure;
      response.lifetime_s = static_cast<std::uint32_t>(config_.short_error_lifetime.count());
    }
    OptionWriter writer(buffer, wire::write_response(response, buffer));
    if (contract->details) {
      if (contract->details->third_party_client)
        writer.value(wire::ThirdParty{.internal_address = contract->key.mapping.internal_address});
      for (const RemoteFilter& filter : contract->details->filters)
        writer.value(wire::Filter{.prefix_length = static_cast<std::uint8_t>(filter.remote_peers.length()),
                                  .remote_port = filter.remote_port,
                                  .remote_address = filter.remote_peers.address()});
    }
    return writer.size();
  });
}

// RFC 6887 s14.1.3: unicast, because the epoch is one subscriber's.
void Server::send_epoch(TimePoint now, const EpochAnnouncements::Recipient& recipient) {
  ++counters_.announcements_sent;
  send(recipient.client, paths_[recipient.path], [&](std::span<std::byte> buffer) {
    return wire::write_response({.version = wire::version_2,
                                 .opcode = wire::Opcode::announce,
                                 .result = ResultCode::success,
                                 .lifetime_s = 0,
                                 .epoch_time_s = epoch_time_s(now, recipient.subscriber),
                                 .body = wire::Announce{},
                                 .options = {}},
                                buffer);
  });
}

void Server::multicast(std::size_t inside, Family family, std::size_t size) {
  const std::size_t offset = actions_.octets.size();
  actions_.octets.insert(actions_.octets.end(), scratch_.begin(),
                         scratch_.begin() + static_cast<std::ptrdiff_t>(size));
  actions_.multicast.push_back(
      {.inside = inside, .family = family, .message = {.offset = offset, .size = size}});
  ++counters_.announcements_sent;
}

// RFC 6887 s14.1.3, RFC 6886 s3.2.1.
void Server::send_announcements(TimePoint now) {
  for (std::size_t inside = 0; inside < config_.inside.size(); ++inside) {
    for (const Family family : config_.inside[inside].families) {
      const std::size_t size = wire::write_response({.version = wire::version_2,
                                                     .opcode = wire::Opcode::announce,
                                                     .result = ResultCode::success,
                                                     .lifetime_s = 0,
                                                     .epoch_time_s = epoch_time_s(now, {}),
                                                     .body = wire::Announce{},
                                                     .options = {}},
                                                    scratch_);
      OptionWriter writer(scratch_, size);
      for (const auto& data : prefix64_data_) writer.raw(wire::OptionCode::prefix64, data);
      multicast(inside, family, writer.size());
      // It tells one epoch to all: there must be one.
      const auto external = nat_pmp_address();
      const bool speaks_nat_pmp =
          config_.nat_pmp && family == Family::ipv4 && external && config_.epoch_scope == EpochScope::server;
      if (!speaks_nat_pmp) continue;
      const nat_pmp::AddressResponse address{.external_address = *external};
      multicast(inside, family,
                nat_pmp::write_response({.result = nat_pmp::ResultCode::success,
                                         .epoch_time_s = epoch_time_s(now, {}),
                                         .body = address},
                                        scratch_));
    }
  }
}

}  // namespace portolan::server
