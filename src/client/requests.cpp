// SPDX-License-Identifier: BSD-2-Clause
#include "client/requests.h"

#include <algorithm>
#include <span>

#include "wire/options.h"

namespace portolan::client {
namespace {

auto octets_of(const std::string& text) -> std::span<const std::byte> {
  return std::as_bytes(std::span(text));
}

/// Appends options until one does not fit.
class OptionWriter {
 public:
  explicit OptionWriter(wire::Datagram& datagram) : datagram_(datagram) {}

  template <wire::TypedOption T>
  void write(const T& option) {
    fits_ = fits_ && wire::append_option(datagram_, option);
  }
  [[nodiscard]] auto fits() const -> bool { return fits_; }

 private:
  wire::Datagram& datagram_;
  bool fits_ = true;
};

void write_filters(OptionWriter& writer, const std::vector<RemoteFilter>& filters) {
  if (filters.empty()) return;
  writer.write(wire::Filter{});
  for (const RemoteFilter& filter : filters)
    writer.write(wire::Filter{.prefix_length = static_cast<std::uint8_t>(filter.remote_peers.length()),
                              .remote_port = filter.remote_port,
                              .remote_address = filter.remote_peers.address()});
}

auto value_of(const wire::Prefix64& option) -> Nat64Prefix {
  Nat64Prefix value{.prefix = option.prefix, .suffix = option.suffix, .ipv4_prefixes = {}};
  if (option.ipv4_prefixes)
    for (std::size_t i = 0; i < option.ipv4_prefixes->size(); ++i)
      value.ipv4_prefixes.push_back((*option.ipv4_prefixes)[i]);
  return value;
}

}  // namespace

auto encode_wish(const Wish& wish, const RequestFields& fields) -> std::optional<wire::Datagram> {
  wire::Request message;
  message.client_address = fields.client_address;
  message.requested_lifetime_s = fields.lifetime_s;
  if (wish.remote_peer) {
    message.opcode = wire::Opcode::peer;
    message.body = wire::PeerRequest{.nonce = fields.nonce,
                                     .protocol = wish.protocol,
                                     .internal_port = wish.internal_port,
                                     .suggested_external_port = fields.suggested.port,
                                     .suggested_external_address = fields.suggested.address,
                                     .remote_peer_port = wish.remote_peer->port,
                                     .remote_peer_address = wish.remote_peer->address};
  } else {
    message.opcode = wire::Opcode::map;
    message.body = wire::MapRequest{.nonce = fields.nonce,
                                    .protocol = wish.protocol,
                                    .internal_port = wish.internal_port,
                                    .suggested_external_port = fields.suggested.port,
                                    .suggested_external_address = fields.suggested.address};
  }
  wire::Datagram datagram = wire::encode_request(message);
  OptionWriter writer(datagram);
  if (wish.third_party && *wish.third_party != fields.client_address) {
    writer.write(wire::ThirdParty{.internal_address = *wish.third_party});
    if (wish.third_party_id) writer.write(wire::ThirdPartyId{.id = *wish.third_party_id});
  }
  if (fields.port_count > 1)
    writer.write(wire::PortSet{
        .size = fields.port_count, .first_internal_port = wish.internal_port, .parity = wish.keeps_parity});
  // Nothing else may go with a deletion (RFC 6887 s13.3, s15.1).
  if (fields.lifetime_s != 0) {
    if (wish.prefer_failure) writer.write(wire::PreferFailure{});
    write_filters(writer, wish.filters);
    if (wish.description) writer.write(wire::Description{.text = octets_of(*wish.description)});
    if (wish.wants_nat64_prefix) writer.write(wire::Prefix64::request());
  }
  if (!writer.fits()) return {};
  return datagram;
}

auto encode_announce(const IpAddress& client_address, bool wants_nat64_prefix) -> wire::Datagram {
  wire::Request message;
  message.client_address = client_address;
  message.opcode = wire::Opcode::announce;
  message.body = wire::Announce{};
  wire::Datagram datagram = wire::encode_request(message);
  OptionWriter writer(datagram);
  if (wants_nat64_prefix) writer.write(wire::Prefix64::request());
  return datagram;
}

auto options_of(const wire::Response& response) -> AnswerOptions {
  AnswerOptions options;
  for (const wire::Option& option : response.options) {
    if (option.code == wire::OptionCode::third_party) {
      if (const auto value = wire::ThirdParty::decode(option.data))
        options.third_party = value->internal_address;
    } else if (option.code == wire::OptionCode::port_set) {
      if (const auto value = wire::PortSet::decode(option.data)) options.port_count = value->size;
    } else if (option.code == wire::OptionCode::filter) {
      if (const auto value = wire::Filter::decode(option.data); value && value->prefix_length != 0)
        options.has_filter = true;
    } else if (option.code == wire::OptionCode::description) {
      if (const auto value = wire::Description::decode(option.data))
        options.description.emplace(reinterpret_cast<const char*>(value->text.data()), value->text.size());
    } else if (option.code == wire::OptionCode::prefix64) {
      if (const auto value = wire::Prefix64::decode(option.data); value && !value->is_request())
        options.nat64_prefixes.push_back(value_of(*value));
    }
  }
  return options;
}

auto nat_pmp_objection(const Wish& wish) -> wire::ResultCode {
  using wire::ResultCode;
  if (wish.is_peer()) return ResultCode::unsupp_opcode;
  if ((wish.protocol != Protocol::tcp && wish.protocol != Protocol::udp) || wish.internal_port == Port{})
    return ResultCode::unsupp_protocol;
  if (!wish.suggested_external_address.is_ipv4()) return ResultCode::cannot_provide_external;
  if (wish.third_party || wish.prefer_failure || !wish.filters.empty()) return ResultCode::unsupp_option;
  return ResultCode::success;
}

auto to_pcp(wire::nat_pmp::ResultCode result) -> wire::ResultCode {
  using NatPmp = wire::nat_pmp::ResultCode;
  using wire::ResultCode;
  switch (result) {
    case NatPmp::success: return ResultCode::success;
    case NatPmp::unsupported_version: return ResultCode::unsupp_version;
    case NatPmp::not_authorized: return ResultCode::not_authorized;
    case NatPmp::network_failure: return ResultCode::network_failure;
    case NatPmp::out_of_resources: return ResultCode::no_resources;
    case NatPmp::unsupported_opcode: return ResultCode::unsupp_opcode;
  }
  return ResultCode::malformed_request;  // what is unknown is fatal (RFC 6886 s3.5)
}

}  // namespace portolan::client
