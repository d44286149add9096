// SPDX-License-Identifier: BSD-2-Clause
//
// The client engine under any order of wishes, deletions, time and datagrams, most of these answers to its
// own requests with a few octets changed. Properties: a mapping always agrees with its wish and every
// request has a deadline (Engine::broken_invariant); requests for one mapping are never closer together
// than the first retransmission may be; nothing is sent but requests of this client to this server. The last
// octet says whether it may speak NAT-PMP.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "client/engine.h"
#include "wire/nat_pmp.h"
#include "wire/options.h"

namespace portolan::client {
namespace {

using namespace std::chrono_literals;

constexpr auto shortest_retransmission = 2700ms;  // (1 - 0.1) * IRT
constexpr std::size_t handles_max = 32;

class Driver {
 public:
  explicit Driver(std::span<const std::byte> script)
      : script_(script), config_(config_of(script)), random_(1), engine_(config_, random_) {}

  void run() {
    while (script_.remaining() != 0) {
      step();
      check();
    }
  }

 private:
  static auto config_of(std::span<const std::byte> script) -> Config {
    const unsigned chosen = script.empty() ? 0 : std::to_integer<unsigned>(script.back());
    Config config;
    config.server = {*IpAddress::parse("2001:db8:112::1"), Port{5351}};
    config.client_address = *IpAddress::parse("2001:db8:112::2");
    if (chosen % 2 == 0) return config;
    config.server.address = *IpAddress::parse("192.0.2.1");
    config.client_address = *IpAddress::parse("192.0.2.2");
    config.speech = chosen % 4 == 1 ? Speech::automatic : Speech::nat_pmp;
    config.unanswered_max = 4;
    return config;
  }

  /// What goes beyond a plain MAP request.
  void add_options(Wish& wish) {
    const unsigned options = octet();
    if (options % 2 == 1)
      wish.remote_peer = Endpoint{config_.server.address, Port{static_cast<std::uint16_t>(octet())}};
    if (options & 2U)
      wish.third_party = octet() % 2 == 0 ? config_.client_address : *IpAddress::parse("2001:db8:112::3");
    if (options & 4U)
      wish.filters.assign(std::size_t{octet()} % 64,
                          {.remote_peers = Prefix(config_.server.address, 128), .remote_port = Port{}});
    if (options & 8U) wish.port_count = octet();
    if (options & 16U) wish.description = std::string(octet(), static_cast<char>(octet()));
    if (options & 32U) wish.wants_nat64_prefix = true;
  }

  void step() {
    switch (octet() % 8) {
      case 0: {
        if (handles_.size() >= handles_max) return;
        Wish wish;
        wish.protocol = octet() % 2 == 0 ? Protocol::tcp : Protocol::udp;
        wish.internal_port = Port{static_cast<std::uint16_t>(octet() % 4)};
        wish.suggested_external_port = Port{static_cast<std::uint16_t>(octet() % 4)};
        wish.prefer_failure = octet() % 2 == 1;
        if (octet() % 4 == 0) wish.suggested_external_address = IpAddress{};
        wish.lifetime = Seconds{1 + octet() * 30};
        if (octet() % 4 == 0) add_options(wish);
        if (!error_in(wish)) handles_.push_back(engine_.map(now_, wish));
        break;
      }
      case 1:
        if (!handles_.empty()) engine_.remove(now_, handles_[octet() % handles_.size()]);
        break;
      case 2:
        if (handles_.size() < handles_max) handles_.push_back(engine_.announce(now_));
        break;
      case 3: now_ += octet() * 100ms; break;
      case 4: now_ += octet() * 60s; break;
      case 5:
        if (const auto deadline = engine_.next_deadline()) now_ = std::max(now_, *deadline);
        break;
      case 6: answer(); break;
      default: {
        const std::size_t size = octet() * std::size_t{5};
        static_cast<void>(
            engine_.receive(now_, config_.server, script_.take(std::min(size, script_.remaining()))));
        break;
      }
    }
    engine_.advance(now_);
  }

  /// Answers an earlier request, right or nearly so.
  void answer() {
    if (requests_.empty()) return;
    const auto& request = requests_[octet() % requests_.size()];
    if (request.front() == std::byte{wire::nat_pmp::version}) {
      answer_nat_pmp(request);
      return;
    }
    const auto decoded = wire::decode_request(request);
    const unsigned kind = octet();
    const std::uint32_t lifetime_s = octet() * 10U;
    epoch_s_ = static_cast<std::uint32_t>(std::chrono::floor<Seconds>(now_.time_since_epoch()).count()) +
               (kind >= 250 ? octet() * 100U : 0U);
    wire::Datagram datagram;
    if (kind % 4 == 3) {
      datagram = wire::encode_error(request, static_cast<wire::ResultCode>(1 + octet() % 26),
                                    Seconds{lifetime_s}, epoch_s_, true);
    } else {
      wire::Response response;
      response.opcode = decoded->opcode;
      response.lifetime_s = lifetime_s;
      response.epoch_time_s = epoch_s_;
      response.body = wire::Announce{};
      if (const auto* map = std::get_if<wire::MapRequest>(&decoded->body)) {
        response.body = wire::MapResponse{
            .nonce = map->nonce,
            .protocol = map->protocol,
            .internal_port = map->internal_port,
            .assigned_external_port =
                kind % 4 == 0 ? map->suggested_external_port : Port{static_cast<std::uint16_t>(octet())},
            .assigned_external_address =
                kind % 4 == 1 ? map->suggested_external_address : *IpAddress::parse("192.0.2.14")};
      }
      if (const auto* peer = std::get_if<wire::PeerRequest>(&decoded->body)) {
        response.body = wire::PeerResponse{.nonce = peer->nonce,
                                           .protocol = peer->protocol,
                                           .internal_port = peer->internal_port,
                                           .assigned_external_port = Port{octet()},
                                           .assigned_external_address = *IpAddress::parse("192.0.2.14"),
                                           .remote_peer_port = peer->remote_peer_port,
                                           .remote_peer_address = peer->remote_peer_address};
      }
      datagram = wire::encode_response(response);
      if (octet() % 4 != 0)
        for (const wire::Option& option : decoded->options)
          static_cast<void>(wire::append_option(datagram, option.code, option.data));
      if (octet() % 4 == 0)
        static_cast<void>(wire::append_option(
            datagram, wire::Prefix64{.prefix = Prefix(*IpAddress::parse("2001:db8:64::"), 96)}));
    }
    std::vector<std::byte> octets(datagram.octets().begin(), datagram.octets().end());
    if (octet() % 4 == 0) octets[octet() % octets.size()] ^= std::byte{octet()};
    static_cast<void>(engine_.receive(now_, config_.server, octets));
  }

  void answer_nat_pmp(const std::vector<std::byte>& request) {
    namespace nat_pmp = wire::nat_pmp;
    const auto decoded = nat_pmp::decode_request(request);
    nat_pmp::Response response{.result = static_cast<nat_pmp::ResultCode>(octet() % 8 == 0 ? octet() : 0),
                               .epoch_time_s = octet() * 60U,
                               .body = nat_pmp::AddressResponse{Ipv4Address{0xcb007100U + octet()}}};
    if (const auto* map = std::get_if<nat_pmp::MapRequest>(&*decoded))
      response.body = nat_pmp::MapResponse{.protocol = map->protocol,
                                           .internal_port = map->internal_port,
                                           .mapped_external_port = Port{octet()},
                                           .lifetime_s = octet() * 10U};
    std::vector<std::byte> octets(nat_pmp::map_response_octets);
    octets.resize(nat_pmp::write_response(response, octets));
    if (octet() % 4 == 0) octets[octet() % octets.size()] ^= std::byte{octet()};
    static_cast<void>(engine_.receive(now_, config_.server, octets));
  }

  void check() {
    PORTOLAN_CHECK(!engine_.broken_invariant());
    Actions actions = engine_.take_actions();
    for (const Send& send : actions.send) {
      PORTOLAN_CHECK(send.to == config_.server);
      if (requests_.size() < 256)
        requests_.emplace_back(send.datagram.octets().begin(), send.datagram.octets().end());
      if (send.datagram.octets().front() == std::byte{wire::nat_pmp::version}) {
        PORTOLAN_CHECK(config_.client_address.is_ipv4());
        PORTOLAN_CHECK(wire::nat_pmp::decode_request(send.datagram.octets()).has_value());
        continue;
      }
      const auto request = wire::decode_request(send.datagram.octets());
      PORTOLAN_CHECK(request.has_value() && request->options.is_well_formed());
      PORTOLAN_CHECK(request->client_address == config_.client_address);
      const auto* map = std::get_if<wire::MapRequest>(&request->body);
      // A change of the version asks at once.
      if (map != nullptr && !config_.client_address.is_ipv4()) {
        // A deletion follows a wish at once; each for itself keeps its distance.
        const auto key = std::pair(map->nonce, request->requested_lifetime_s == 0);
        const auto before = last_sent_.find(key);
        if (before != last_sent_.end()) PORTOLAN_CHECK(now_ - before->second >= shortest_retransmission);
        last_sent_[key] = now_;
      }
    }
    if (const auto deadline = engine_.next_deadline()) PORTOLAN_CHECK(*deadline > now_);
  }

  auto octet() -> std::uint8_t { return script_.read<std::uint8_t>(); }

  ByteReader script_;
  Config config_;
  SeededRandom random_;
  Engine engine_;
  TimePoint now_{1h};
  std::uint32_t epoch_s_ = 0;
  std::vector<Handle> handles_;
  std::vector<std::vector<std::byte>> requests_;
  std::map<std::pair<Nonce, bool>, TimePoint> last_sent_;
};

}  // namespace

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  Driver(std::as_bytes(std::span(data, size))).run();
  return 0;
}

}  // namespace portolan::client
