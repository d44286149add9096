// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/server_lookup.h"

#include <algorithm>
#include <iterator>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "io/resolve.h"
#include "io/wakeup.h"

namespace portolan::sip {
namespace {

/// Of several servers of one name: that many are enough to try.
constexpr std::size_t servers_max = 8;

/// As clients are to try them: by priority, and by chance in proportion to the weights among equals.
auto in_order(std::vector<io::ServiceRecord> records, Random& random) -> std::vector<io::ServiceRecord> {
  std::ranges::stable_sort(records, {}, &io::ServiceRecord::priority);
  for (auto first = records.begin(); first != records.end(); ++first) {
    const auto last = std::find_if(first, records.end(),
                                   [&](const auto& each) { return each.priority != first->priority; });
    const auto sum =
        std::accumulate(first, last, std::uint64_t{0},
                        [](std::uint64_t so_far, const auto& each) { return so_far + each.weight; });
    std::uint64_t chosen = random.below(sum + 1);
    const auto next = std::find_if(first, last, [&](const auto& each) {
      if (chosen <= each.weight) return true;
      chosen -= each.weight;
      return false;
    });
    if (next != last) std::iter_swap(first, next);
  }
  return records;
}

auto append_addresses(std::vector<Endpoint>& places, const std::string& host, Port port)
    -> std::expected<void, std::string> {
  const auto addresses = io::resolve(host);
  if (!addresses) return std::unexpected(addresses.error());
  for (const io::ScopedAddress& each : *addresses) places.push_back({.address = each.address, .port = port});
  return {};
}

}  // namespace

auto find_servers(const HostPort& server, Transport transport, std::uint64_t seed) -> ServerPlaces {
  std::vector<Endpoint> places;
  std::string problem;
  if (!server.port && !IpAddress::parse(server.host)) {
    // Whether nobody answers is found out by asking for the addresses.
    const auto records = io::resolve_services(fmt::format("_sip._{}.{}", to_string(transport), server.host))
                             .value_or(std::vector<io::ServiceRecord>{});
    SeededRandom random(seed);
    for (const io::ServiceRecord& each : in_order(records, random)) {
      if (each.host.empty()) {
        problem = fmt::format("{} has no SIP server by {}", server.host, to_string(transport));
        continue;
      }
      if (const auto found = append_addresses(places, each.host, each.port); !found) problem = found.error();
      if (places.size() >= servers_max) break;
    }
  }
  if (places.empty() && problem.empty())
    if (const auto found = append_addresses(places, server.host, server.port.value_or(default_port)); !found)
      problem = found.error();
  if (!places.empty()) return places;
  return std::unexpected(
      fmt::format("the SIP server was not found: {}. Is the name right, and can a name server of "
                  "/etc/resolv.conf be reached? An address needs none",
                  problem));
}

struct ServerLookup::State {
  io::Wakeup done;
  std::mutex mutex;
  std::optional<ServerPlaces> result;
};

auto ServerLookup::start(HostPort server, Transport transport, Random& random) -> ServerLookup {
  auto state = std::make_shared<State>();
  std::thread([state, server = std::move(server), transport, seed = random.next()] {
    auto result = find_servers(server, transport, seed);
    {
      const std::lock_guard lock(state->mutex);
      state->result = std::move(result);
    }
    state->done.signal();
  }).detach();
  return ServerLookup(std::move(state));
}

auto ServerLookup::descriptor() const -> int { return state_->done.descriptor(); }

auto ServerLookup::take() const -> std::optional<ServerPlaces> {
  const std::lock_guard lock(state_->mutex);
  static_cast<void>(state_->done.take());
  return std::exchange(state_->result, std::nullopt);
}

}  // namespace portolan::sip
