// SPDX-License-Identifier: BSD-2-Clause
#include "wire/compose.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/bytes.h"
#include "wire/protocol.h"

namespace portolan::wire {
namespace {

/// Appends big-endian fields; grows as needed.
class Octets {
 public:
  template <std::unsigned_integral Number>
  void add(Number value) {
    for (std::size_t i = sizeof(Number); i-- > 0;)
      octets_.push_back(static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i)));
  }
  void add(const IpAddress& address) { add(std::as_bytes(std::span(address.bits().octets))); }
  void add(std::span<const std::byte> octets) { octets_.insert(octets_.end(), octets.begin(), octets.end()); }
  void zeros(std::size_t count) { octets_.resize(octets_.size() + count); }

  [[nodiscard]] auto take() && -> std::vector<std::byte> { return std::move(octets_); }

 private:
  std::vector<std::byte> octets_;
};

void add_map(Octets& out, std::uint8_t version, const PeerRequest& body) {
  if (version != version_1) out.add(std::span<const std::byte>(body.nonce.octets));
  out.add(std::to_underlying(body.protocol));
  out.zeros(3);
  out.add(body.internal_port.value);
  out.add(body.suggested_external_port.value);
  out.add(body.suggested_external_address);
}

void add_peer(Octets& out, std::uint8_t version, const PeerRequest& body) {
  add_map(out, version, body);
  out.add(body.remote_peer_port.value);
  out.zeros(2);
  out.add(body.remote_peer_address);
}

void add_option(Octets& out, const DraftOption& option) {
  out.add(std::to_underlying(option.code));
  out.zeros(1);
  out.add(option.claimed_length.value_or(static_cast<std::uint16_t>(option.data.size())));
  out.add(option.data);
  out.zeros(padded(option.data.size()) - option.data.size());
}

auto lay_out(const Draft::Pcp& pcp) -> std::expected<std::vector<std::byte>, std::string> {
  if (pcp.options.size() > draft_options_max)
    return std::unexpected(fmt::format("{} options: {} are the most", pcp.options.size(), draft_options_max));
  Octets out;
  out.add(pcp.version);
  out.add(static_cast<std::uint8_t>(pcp.opcode & ~response_bit));
  out.zeros(2);
  out.add(pcp.requested_lifetime_s);
  out.add(pcp.client_address);
  if (pcp.opcode == std::to_underlying(Opcode::map)) add_map(out, pcp.version, pcp.body);
  if (pcp.opcode == std::to_underlying(Opcode::peer)) add_peer(out, pcp.version, pcp.body);
  for (const DraftOption& option : pcp.options) {
    if (option.data.size() > UINT16_MAX)
      return std::unexpected(fmt::format("option {} has {} octets: its length field goes to {}",
                                         std::to_underlying(option.code), option.data.size(), UINT16_MAX));
    add_option(out, option);
  }
  return std::move(out).take();
}

auto lay_out(const nat_pmp::Request& request) -> std::expected<std::vector<std::byte>, std::string> {
  std::vector<std::byte> octets(nat_pmp::map_request_octets);
  octets.resize(nat_pmp::write_request(request, octets));
  return octets;
}

auto lay_out(const std::vector<std::byte>& octets) -> std::expected<std::vector<std::byte>, std::string> {
  return octets;
}

auto apply_edits(const Draft& draft, std::vector<std::byte>& message) -> std::expected<void, std::string> {
  for (const Edit& edit : draft.edits) {
    const std::size_t end = edit.offset + edit.octets.size();
    if (end > draft_octets_max)
      return std::unexpected(
          fmt::format("octets at {}: a datagram has {} at most", edit.offset, draft_octets_max));
    if (end > message.size()) message.resize(end);
    std::ranges::copy(edit.octets, message.begin() + static_cast<std::ptrdiff_t>(edit.offset));
  }
  return {};
}

/// Values that boundaries are at.
auto edge_value(Random& random) -> std::byte {
  constexpr std::array edges{std::byte{0}, std::byte{1}, std::byte{0x7f}, std::byte{0x80}, std::byte{0xff}};
  return edges[random.below(edges.size())];
}

void mutate_once(std::vector<std::byte>& message, Random& random) {
  constexpr std::size_t ways = 5;
  constexpr std::size_t added_max = 32;
  const std::size_t way = random.below(ways);
  if (message.empty() || way == 0) {
    const std::size_t count = 1 + random.below(added_max);
    for (std::size_t i = 0; i < count && message.size() < draft_octets_max; ++i)
      message.push_back(static_cast<std::byte>(random.next()));
    return;
  }
  std::byte& place = message[random.below(message.size())];
  if (way == 1) place ^= std::byte{1} << random.below(8);
  if (way == 2) place = edge_value(random);
  if (way == 3) message.resize(random.below(message.size() + 1));
  if (way == 4) {
    const std::size_t from = random.below(message.size());
    const std::size_t count = std::min(1 + random.below(added_max), message.size() - from);
    const std::vector<std::byte> copy(message.begin() + static_cast<std::ptrdiff_t>(from),
                                      message.begin() + static_cast<std::ptrdiff_t>(from + count));
    if (message.size() + count <= draft_octets_max)
      message.insert(message.begin() + static_cast<std::ptrdiff_t>(from), copy.begin(), copy.end());
  }
}

}  // namespace

auto compose(const Draft& draft) -> std::expected<std::vector<std::byte>, std::string> {
  auto message = std::visit([](const auto& content) { return lay_out(content); }, draft.content);
  if (!message) return message;
  if (const auto edited = apply_edits(draft, *message); !edited) return std::unexpected(edited.error());
  if (draft.size) message->resize(std::min(*draft.size, draft_octets_max + 1));
  if (message->size() > draft_octets_max)
    return std::unexpected(fmt::format("{} octets: a datagram has {} at most",
                                       draft.size.value_or(message->size()), draft_octets_max));
  return message;
}

void mutate(std::vector<std::byte>& message, Random& random) {
  constexpr std::size_t changes_max = 8;
  const std::size_t changes = 1 + random.below(changes_max);
  for (std::size_t i = 0; i < changes; ++i) mutate_once(message, random);
}

}  // namespace portolan::wire
