// SPDX-License-Identifier: BSD-2-Clause
#include "io/dns_question.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <utility>

namespace portolan::io {
namespace {

constexpr std::size_t header_octets = 12;
constexpr Seconds patience_max{30};
constexpr int tries_max = 5;

/// What resolv.conf says.
struct Resolver {
  struct __res_state state{};
  bool is_open = false;

  Resolver() : is_open(::res_ninit(&state) == 0) {}
  Resolver(const Resolver&) = delete;
  auto operator=(const Resolver&) -> Resolver& = delete;
  ~Resolver() {
    if (is_open) ::res_nclose(&state);
  }
};

auto address_of(const in6_addr& address) -> IpAddress {
  Ipv6Address octets;
  std::memcpy(octets.octets.data(), &address, octets.octets.size());
  return IpAddress{octets};
}

}  // namespace

auto DnsQuestion::ask(const std::string& name, TimePoint now) -> std::expected<DnsQuestion, std::string> {
  Resolver resolver;
  if (!resolver.is_open) return std::unexpected(name + ": the resolver has no configuration");
  auto& state = resolver.state;
  std::array<unsigned char, 512> octets{};
  const int length = ::res_nmkquery(&state, ns_o_query, name.c_str(), ns_c_in, ns_t_aaaa, nullptr, 0, nullptr,
                                    octets.data(), static_cast<int>(octets.size()));
  if (length < static_cast<int>(header_octets)) return std::unexpected(name + ": is no name of the DNS");
  DnsQuestion question;
  question.name_ = name;
  const auto made = std::as_bytes(std::span(octets)).first(static_cast<std::size_t>(length));
  question.question_.assign(made.begin(), made.end());
  question.patience_ = std::clamp(Seconds{state.retrans}, Seconds{1}, patience_max);
  for (int attempt = 0; attempt < std::clamp(state.retry, 1, tries_max); ++attempt) {
    for (int i = 0; i < std::min(state.nscount, MAXNS); ++i) {
      const sockaddr_in6* const v6 = state._u._ext.nsaddrs[i];
      const sockaddr_in& v4 = state.nsaddr_list[i];
      if (v6 != nullptr)
        question.servers_.push_back(
            {.endpoint = {.address = address_of(v6->sin6_addr), .port = Port{ntohs(v6->sin6_port)}},
             .interface_index = v6->sin6_scope_id});
      else if (v4.sin_family == AF_INET)
        question.servers_.push_back(
            {.endpoint = {.address = IpAddress{Ipv4Address{ntohl(v4.sin_addr.s_addr)}},
                          .port = Port{ntohs(v4.sin_port)}}});
    }
  }
  if (!question.try_next(now)) return std::unexpected(name + ": no DNS server can be reached");
  return question;
}

auto DnsQuestion::try_next(TimePoint now) -> bool {
  while (asked_ < servers_.size()) {
    const Server& server = servers_[asked_++];
    UdpOptions options;
    options.bind_address = IpAddress::unspecified(server.endpoint.address.family());
    auto socket = UdpSocket::open(options);
    if (!socket || !socket->connect(server.endpoint, server.interface_index)) continue;
    const auto sent = socket->send({.destination = server.endpoint,
                                    .scope_id = server.interface_index,
                                    .local_address = {},
                                    .interface_index = 0,
                                    .payload = question_});
    if (sent.sent == 0) continue;
    socket_ = std::move(*socket);
    deadline_ = now + patience_;
    return true;
  }
  return false;
}

auto DnsQuestion::is_answer(std::span<const std::byte> message) const -> bool {
  constexpr std::byte response_bit{0x80};
  return message.size() >= question_.size() && (message[2] & response_bit) != std::byte{0} &&
         std::ranges::equal(message.first(2), std::span(question_).first(2)) &&
         std::ranges::equal(message.subspan(header_octets, question_.size() - header_octets),
                            std::span(question_).subspan(header_octets));
}

auto DnsQuestion::proceed(TimePoint now) -> std::optional<Answer> {
  constexpr std::byte result_bits{0x0f};
  const auto datagrams = socket_->receive();
  bool is_refused = !datagrams;
  if (datagrams) {
    for (const ReceivedDatagram& datagram : *datagrams) {
      if (!is_answer(datagram.payload)) continue;
      const auto result = datagram.payload[3] & result_bits;
      if (result == std::byte{ns_r_nxdomain}) return Ipv6Records{};
      auto records = parse_ipv6_records(datagram.payload);
      if (result == std::byte{ns_r_noerror} && records) return std::move(*records);
      is_refused = true;
    }
  }
  if (!is_refused && now < deadline_) return {};
  if (try_next(now)) return {};
  return std::unexpected(name_ + ": no DNS server answers");
}

}  // namespace portolan::io
