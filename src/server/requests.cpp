// SPDX-License-Identifier: BSD-2-Clause
#include "server/requests.h"

#include <algorithm>
#include <utility>

namespace portolan::server {

using wire::OptionCode;
using wire::ResultCode;

namespace {

/// Reads the options of one request; `fault` is the first thing wrong with them.
class OptionReader {
 public:
  OptionReader(const wire::Request& request, const Policy& policy, const Config& config)
      : request_(request), policy_(policy), config_(config) {}

  auto read() -> std::expected<RequestOptions, ResultCode> {
    if (!request_.options.is_well_formed()) return std::unexpected(ResultCode::malformed_option);
    for (const wire::Option& option : request_.options)
      if (const ResultCode fault = take(option); fault != ResultCode::success) return std::unexpected(fault);
    return std::move(read_);
  }

 private:
  [[nodiscard]] auto is_map() const -> bool { return request_.opcode == wire::Opcode::map; }
  [[nodiscard]] auto is_announce() const -> bool { return request_.opcode == wire::Opcode::announce; }

  auto take(const wire::Option& option) -> ResultCode {
    switch (option.code) {
      case OptionCode::third_party:
        if (is_announce() || !policy_.third_party) return ResultCode::unsupp_option;
        return take_third_party(option);
      case OptionCode::third_party_id:
        if (is_announce() || !policy_.third_party || config_.third_party_ids.empty())
          return ResultCode::unsupp_option;
        if (read_.third_party_id) return ResultCode::malformed_option;
        if (option.data.empty()) return ResultCode::unsupp_third_party_id_length;
        read_.third_party_id = option.data;
        return ResultCode::success;
      case OptionCode::prefer_failure:
        // RFC 6887 s12.1 has a code of its own for it.
        if (request_.opcode == wire::Opcode::peer) return ResultCode::malformed_request;
        if (!is_map()) return ResultCode::unsupp_option;
        if (read_.prefer_failure || !option.data.empty()) return ResultCode::malformed_option;
        read_.prefer_failure = true;
        return ResultCode::success;
      case OptionCode::filter:
        if (!is_map()) return ResultCode::unsupp_option;
        return take_filter(option);
      case OptionCode::description: return is_announce() ? ResultCode::success : take_description(option);
      case OptionCode::prefix64:
        if (request_.opcode != wire::Opcode::peer && !config_.prefix64.empty()) read_.prefix64 = true;
        return ResultCode::success;
      case OptionCode::experimental_prefix64:
        if (!config_.experimental_prefix64 || !is_map()) return ResultCode::unsupp_option;
        return wire::ExperimentalPrefix64::decode(option.data) ? ResultCode::success
                                                               : ResultCode::malformed_option;
      case OptionCode::port_set: return is_map() ? take_port_set(option) : ResultCode::success;
      case OptionCode::port_reservation:
        if (!config_.port_reservation || !is_map()) return ResultCode::success;
        if (read_.port_reservation || !option.data.empty()) return ResultCode::malformed_option;
        read_.port_reservation = true;
        return ResultCode::success;
      default:
        return wire::is_mandatory_to_process(option.code) ? ResultCode::unsupp_option : ResultCode::success;
    }
  }

  auto take_third_party(const wire::Option& option) -> ResultCode {
    const auto third_party = wire::ThirdParty::decode(option.data);
    if (!third_party || read_.third_party) return ResultCode::malformed_option;
    read_.third_party = third_party->internal_address;
    return ResultCode::success;
  }

  auto take_filter(const wire::Option& option) -> ResultCode {
    const auto filter = wire::Filter::decode(option.data);
    if (!filter) return ResultCode::malformed_option;
    read_.filters.push_back(*filter);
    return ResultCode::success;
  }

  auto take_description(const wire::Option& option) -> ResultCode {
    if (read_.description) return ResultCode::malformed_option;
    // One that is not well-formed is ignored, the request is not (RFC 7220 s3).
    if (const auto description = wire::Description::decode(option.data)) {
      const auto kept = wire::truncated_text(description->text, description_octets_max);
      read_.description.emplace(reinterpret_cast<const char*>(kept.data()), kept.size());
    }
    return ResultCode::success;
  }

  auto take_port_set(const wire::Option& option) -> ResultCode {
    const auto port_set = wire::PortSet::decode(option.data);
    if (!port_set || read_.port_set) return ResultCode::malformed_option;
    read_.port_set = *port_set;
    return ResultCode::success;
  }

  const wire::Request& request_;
  const Policy& policy_;
  const Config& config_;
  RequestOptions read_;
};

/// How many ports are asked for. What would run past port 65535 is not there; port 0 stands for all ports,
/// and no set begins with it.
auto port_count_of(const RequestOptions& options, Port internal_port) -> std::uint16_t {
  if (internal_port == Port{0}) return 1;
  std::uint32_t count = 1;
  if (options.port_set)
    count = options.port_set->size;
  else if (options.port_reservation)
    count = 2;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(count, 65536U - internal_port.value));
}

}  // namespace

auto read_options(const wire::Request& request, const Policy& policy, const Config& config)
    -> std::expected<RequestOptions, ResultCode> {
  return OptionReader(request, policy, config).read();
}

auto wanted_by(const wire::Request& request, const IpAddress& client, RequestOptions options) -> Wanted {
  Wanted wanted;
  wanted.format = request.version == wire::version_2 ? Format::pcp_2 : Format::pcp_1;
  wanted.requested_lifetime_s = request.requested_lifetime_s;
  wanted.key.mapping.internal_address = options.third_party.value_or(client);
  const auto take = [&wanted](const auto& body) {
    MappingKey& mapping = wanted.key.mapping;
    mapping.protocol = body.protocol;
    mapping.internal_port = body.internal_port;
    // The family is the suggestion's, also when something is deleted (RFC 6887 erratum 3621).
    mapping.external_family = body.suggested_external_address.family();
    wanted.nonce = body.nonce;
    wanted.suggested_external_address = body.suggested_external_address;
    wanted.suggested_external_port = body.suggested_external_port;
  };
  if (const auto* peer = std::get_if<wire::PeerRequest>(&request.body)) {
    take(*peer);
    wanted.key.remote_peer = {peer->remote_peer_address, peer->remote_peer_port};
  } else {
    take(std::get<wire::MapRequest>(request.body));
    wanted.port_count = port_count_of(options, wanted.key.mapping.internal_port);
  }
  wanted.options = std::move(options);
  return wanted;
}

auto wanted_by(const wire::nat_pmp::MapRequest& request, const IpAddress& client) -> Wanted {
  return {.format = Format::nat_pmp,
          .key = {.mapping = {.realm = {},
                              .internal_address = client,
                              .protocol = request.protocol,
                              .external_family = Family::ipv4,
                              .internal_port = request.internal_port},
                  .remote_peer = {}},
          .nonce = {},
          .suggested_external_address = IpAddress::unspecified(Family::ipv4),
          .suggested_external_port = request.suggested_external_port,
          .requested_lifetime_s = request.requested_lifetime_s,
          .options = {}};
}

auto check_shape(const Wanted& wanted, const wire::Request& request, const IpAddress& client)
    -> std::expected<void, ResultCode> {
  const MappingKey& mapping = wanted.key.mapping;
  if (wanted.options.third_party == client) return std::unexpected(ResultCode::malformed_request);
  if (const auto* peer = std::get_if<wire::PeerRequest>(&request.body)) {
    const bool has_zero = peer->protocol == Protocol::all || peer->internal_port == Port{0} ||
                          peer->remote_peer_port == Port{0};
    // Internal and remote peer address are of one family (RFC 6887 s10).
    const bool is_of_family = peer->remote_peer_address.family() == mapping.internal_address.family();
    if (has_zero || !is_of_family || peer->remote_peer_address.is_unspecified())
      return std::unexpected(ResultCode::malformed_request);
  } else if (mapping.protocol == Protocol::all && mapping.internal_port != Port{0}) {
    return std::unexpected(ResultCode::malformed_request);
  }
  return {};
}

auto check_sense(const Wanted& wanted) -> std::expected<void, ResultCode> {
  const RequestOptions& options = wanted.options;
  const bool prefers_nothing = wanted.suggested_external_port == Port{0};
  if (options.prefer_failure && (wanted.requested_lifetime_s == 0 || prefers_nothing || options.port_set))
    return std::unexpected(ResultCode::malformed_option);
  if (!options.filters.empty() && wanted.requested_lifetime_s == 0)
    return std::unexpected(ResultCode::malformed_option);
  const bool is_of_family = std::ranges::all_of(options.filters, [&](const wire::Filter& filter) {
    return filter.prefix_length == 0 ||
           filter.remote_address.family() == wanted.key.mapping.internal_address.family();
  });
  if (!is_of_family) return std::unexpected(ResultCode::malformed_option);
  return {};
}

auto filters_after(std::vector<RemoteFilter> present, const std::vector<wire::Filter>& added)
    -> std::vector<RemoteFilter> {
  for (const wire::Filter& filter : added) {
    const auto peers = filter.remote_prefix();
    if (!peers) {
      present.clear();
      continue;
    }
    const RemoteFilter remote{.remote_peers = *peers, .remote_port = filter.remote_port};
    if (std::ranges::find(present, remote) == present.end()) present.push_back(remote);
  }
  return present;
}

}  // namespace portolan::server
