// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/mappings.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/format.h>

#include <portolan/portolan.h>

namespace portolan::sip {
namespace {

auto endpoint_of(const portolan_endpoint& endpoint) -> Endpoint {
  Ipv6Address address;
  std::ranges::copy(endpoint.address.octets, address.octets.begin());
  return {.address = IpAddress{address}, .port = Port{endpoint.port}};
}

auto beside(const Endpoint& endpoint) -> Endpoint {
  return {.address = endpoint.address, .port = Port{static_cast<std::uint16_t>(endpoint.port.value + 1)}};
}

}  // namespace

void PortMapping::on_event(const portolan_event* event) {
  auto& mapping = *static_cast<PortMapping*>(event->user);
  switch (event->kind) {
    case PORTOLAN_EVENT_GRANTED:
    case PORTOLAN_EVENT_RENEWED:
    case PORTOLAN_EVENT_CHANGED:
      mapping.external_ = endpoint_of(event->info.external);
      mapping.count_ = event->info.port_count;
      mapping.is_refused_ = false;
      break;
    case PORTOLAN_EVENT_LOST: mapping.external_.reset(); break;
    case PORTOLAN_EVENT_REFUSED: mapping.is_refused_ = true; break;
    default: break;
  }
  if (event->text != nullptr && mapping.teller_)
    mapping.teller_(fmt::format("{}: {}", mapping.purpose_, event->text));
}

PortMapping::~PortMapping() { portolan_drop(mapping_); }

void Mappings::on_datagram(const portolan_datagram* datagram) {
  const Endpoint local = endpoint_of(datagram->local);
  const Endpoint remote = endpoint_of(datagram->remote);
  static_cast<Mappings*>(datagram->user)
      ->observer_({.source = datagram->is_sent != 0 ? local : remote,
                   .destination = datagram->is_sent != 0 ? remote : local,
                   .octets = std::as_bytes(std::span(datagram->octets, datagram->octet_count))});
}

auto Mappings::open(const std::vector<std::string>& servers, std::function<void(const std::string&)> teller,
                    TrafficObserver observer) -> std::expected<std::unique_ptr<Mappings>, std::string> {
  std::vector<const char*> texts;
  texts.reserve(servers.size());
  for (const std::string& each : servers) texts.push_back(each.c_str());
  portolan_options options = PORTOLAN_OPTIONS_INIT;
  options.servers = texts.data();
  options.server_count = texts.size();
  std::unique_ptr<Mappings> mappings(new Mappings(std::move(teller), std::move(observer)));
  options.user = mappings.get();
  if (mappings->observer_) options.observer = &Mappings::on_datagram;
  if (portolan_client_new(&options, &mappings->client_) != PORTOLAN_OK)
    return std::unexpected(portolan_last_error());
  return mappings;
}

Mappings::~Mappings() { portolan_client_free(client_); }

auto Mappings::descriptor() const -> int { return portolan_fd(client_); }
void Mappings::process() { portolan_process(client_); }

auto Mappings::map(const PortWish& wish) -> std::expected<std::unique_ptr<PortMapping>, std::string> {
  std::unique_ptr<PortMapping> mapping(new PortMapping(wish, teller_));
  portolan_request request = PORTOLAN_REQUEST_INIT;
  request.protocol = static_cast<std::uint8_t>(wish.protocol);
  request.internal_port = request.external_port = wish.port.value;
  request.port_count = wish.count;
  request.flags = PORTOLAN_NAT64_PREFIX | (wish.count > 1 ? PORTOLAN_KEEP_PARITY : 0U);
  request.lifetime = static_cast<std::uint32_t>(wish.lifetime.count());
  request.description = wish.description.c_str();
  request.callback = &PortMapping::on_event;
  request.user = mapping.get();
  if (portolan_map(client_, &request, &mapping->mapping_) != PORTOLAN_OK)
    return std::unexpected(portolan_last_error());
  return mapping;
}

void Mappings::wait(const PortMapping& mapping, Milliseconds timeout) {
  static_cast<void>(portolan_wait(mapping.mapping_, static_cast<int>(timeout.count()), nullptr));
}

auto Mappings::flush(Milliseconds timeout) -> bool {
  return portolan_flush(client_, static_cast<int>(timeout.count())) == PORTOLAN_OK;
}

auto Mappings::nat64_prefix() const -> std::optional<Prefix> {
  portolan_address address{};
  std::uint8_t length = 0;
  if (portolan_nat64_prefix(client_, &address, &length) != PORTOLAN_OK) return {};
  return Prefix(endpoint_of({.address = address, .port = 0}).address, length);
}

MediaMapping::MediaMapping(Mappings& mappings, Port rtp, Seconds lifetime, std::string user, unsigned call)
    : mappings_(mappings), port_(rtp), lifetime_(lifetime), user_(std::move(user)), call_(call) {
  auto pair = mappings_.map({.protocol = Protocol::udp,
                             .port = port_,
                             .count = 2,
                             .lifetime = lifetime_,
                             .description = fmt::format("RTP of {}", user_),
                             .purpose = fmt::format("m= and a=rtcp of call {}", call_)});
  if (pair) rtp_ = std::move(*pair);
}

void MediaMapping::ask_rtcp() {
  auto single = mappings_.map({.protocol = Protocol::udp,
                               .port = Port{static_cast<std::uint16_t>(port_.value + 1)},
                               .lifetime = lifetime_,
                               .description = fmt::format("RTCP of {}", user_),
                               .purpose = fmt::format("a=rtcp of call {}", call_)});
  if (single) rtcp_ = std::move(*single);
}

void MediaMapping::update() {
  if (rtp_ == nullptr) return;
  if (is_pair()) {
    rtcp_.reset();
  } else if (rtcp_ != nullptr) {
    return;
  } else if (rtp_->external()) {
    ask_rtcp();
  } else if (rtp_->is_refused() && !is_refused_pair_) {
    is_refused_pair_ = true;
    rtp_.reset();
    auto single = mappings_.map({.protocol = Protocol::udp,
                                 .port = port_,
                                 .lifetime = lifetime_,
                                 .description = fmt::format("RTP of {}", user_),
                                 .purpose = fmt::format("m= of call {}", call_)});
    if (single) rtp_ = std::move(*single);
    ask_rtcp();
  }
}

auto MediaMapping::ends() const -> std::optional<Ends> {
  if (rtp_ == nullptr || !rtp_->external()) return {};
  const Endpoint rtp = *rtp_->external();
  if (is_pair()) return Ends{.rtp = rtp, .rtcp = beside(rtp)};
  const auto rtcp = rtcp_ != nullptr ? rtcp_->external() : std::nullopt;
  return Ends{.rtp = rtp, .rtcp = rtcp.value_or(Endpoint{.address = rtp.address, .port = discard_port})};
}

auto MediaMapping::is_settled() const -> bool {
  if (rtp_ == nullptr || is_pair()) return true;
  return rtcp_ != nullptr && rtp_->is_settled() && rtcp_->is_settled();
}

}  // namespace portolan::sip
