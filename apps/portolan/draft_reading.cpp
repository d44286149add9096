// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/draft_reading.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "io/system.h"
#include "portolan/composing.h"
#include "portolan/dissection_report.h"
#include "portolan/options.h"
#include "wire/message.h"
#include "wire/nat_pmp.h"
#include "wire/options.h"

namespace portolan {
namespace {

using Json = nlohmann::ordered_json;

auto read_address(ByteReader& reader) -> IpAddress {
  Ipv6Address bits;
  for (auto& octet : bits.octets) octet = reader.read<std::uint8_t>();
  return IpAddress(bits);
}

auto protocol_word(Protocol protocol) -> std::string {
  return protocol == Protocol::all ? "all" : to_string(protocol);
}

/// MAP's and PEER's body.
void read_body(ByteReader& reader, std::uint8_t version, bool is_peer, Json& draft) {
  if (version != wire::version_1) {
    Nonce nonce;
    for (std::byte& octet : nonce.octets) octet = std::byte{reader.read<std::uint8_t>()};
    draft["nonce"] = to_string(nonce);
  }
  draft["protocol"] = protocol_word(static_cast<Protocol>(reader.read<std::uint8_t>()));
  for (int reserved = 0; reserved < 3; ++reserved) static_cast<void>(reader.read<std::uint8_t>());
  draft["internal-port"] = reader.read<std::uint16_t>();
  draft["external-port"] = reader.read<std::uint16_t>();
  draft["external-address"] = to_string(read_address(reader));
  if (!is_peer) return;
  draft["peer-port"] = reader.read<std::uint16_t>();
  static_cast<void>(reader.read<std::uint16_t>());
  draft["peer-address"] = to_string(read_address(reader));
}

template <typename Option, typename Word>
auto word_of(const wire::Option& option, Word word) -> std::optional<Json> {
  const auto decoded = Option::decode(option.data);
  return decoded ? std::optional<Json>(word(*decoded)) : std::nullopt;
}

/// The word for an option that `send` has one for, if its octets are what that composes to.
auto named(const wire::Option& option) -> std::optional<Json> {
  switch (option.code) {
    case wire::OptionCode::third_party:
      return word_of<wire::ThirdParty>(
          option, [](const auto& it) { return Json{{"third-party", to_string(it.internal_address)}}; });
    case wire::OptionCode::prefer_failure:
      return word_of<wire::PreferFailure>(option, [](const auto&) { return Json{{"prefer-failure", true}}; });
    case wire::OptionCode::filter: {
      const auto filter = wire::Filter::decode(option.data);
      if (!filter || !filter->remote_prefix()) return {};
      return Json{{"filter", fmt::format("{},{}", *filter->remote_prefix(), filter->remote_port)}};
    }
    case wire::OptionCode::description:
      return word_of<wire::Description>(option, [](const auto& it) {
        return Json{
            {"description", std::string(reinterpret_cast<const char*>(it.text.data()), it.text.size())}};
      });
    case wire::OptionCode::prefix64: {
      const auto prefix = wire::Prefix64::decode(option.data);
      if (!prefix || !prefix->is_request() || prefix->ipv4_prefixes) return {};
      return Json{{"prefix64", true}};
    }
    case wire::OptionCode::port_set:
      return word_of<wire::PortSet>(option, [](const auto& it) {
        return Json{{"port-set",
                     fmt::format("{},{}{}", it.size, it.first_internal_port, it.parity ? ",parity" : "")}};
      });
    case wire::OptionCode::third_party_id: return Json{{"third-party-id", plain_hex(option.data)}};
    default: return {};
  }
}

auto composed(const Json& draft) -> std::optional<std::vector<std::byte>> {
  const auto command = parse_draft(draft.dump(-1, ' ', false, Json::error_handler_t::replace), {});
  if (!command) return {};
  io::SystemRandom random;
  auto message = message_of(*command, IpAddress{}, random);
  return message ? std::optional(*std::move(message)) : std::nullopt;
}

auto plain(const wire::Option& option) -> Json {
  return {{"option", fmt::format("{}{}{}", std::to_underlying(option.code), option.data.empty() ? "" : ":",
                                 plain_hex(option.data))}};
}

/// The word for it if there is one that says exactly the same octets, as `other` has them.
auto option_word(const wire::Option& option) -> Json {
  auto word = named(option);
  const Json by_number{
      {"opcode", "announce"}, {"client-address", "::"}, {"options", Json::array({plain(option)})}};
  if (!word) return plain(option);
  Json by_name = by_number;
  by_name["options"] = Json::array({*word});
  return composed(by_name) == composed(by_number) ? *std::move(word) : plain(option);
}

auto pcp_draft(std::span<const std::byte> message) -> Json {
  const auto version = std::to_integer<std::uint8_t>(message[0]);
  const auto opcode =
      static_cast<std::uint8_t>(std::to_integer<std::uint8_t>(message[1]) & ~wire::response_bit);
  const bool is_peer = opcode == std::to_underlying(wire::Opcode::peer);
  const bool is_map = opcode == std::to_underlying(wire::Opcode::map);
  const std::size_t whole = is_peer  ? wire::peer_message_octets
                            : is_map ? wire::map_message_octets
                                     : wire::header_octets;
  const std::size_t body_end =
      whole - ((is_map || is_peer) && version == wire::version_1 ? wire::nonce_octets : 0);
  // What is cut off reads as zeros: the draft's size tells of it.
  std::vector<std::byte> filled(message.begin(), message.end());
  filled.resize(std::max(filled.size(), body_end));
  ByteReader reader(filled);
  Json draft;
  constexpr std::array words{"announce", "map", "peer"};
  draft["opcode"] = opcode < words.size() ? Json(words[opcode]) : Json(std::to_string(opcode));
  draft["pcp-version"] = version;
  static_cast<void>(reader.read<std::uint32_t>());
  draft["lifetime"] = reader.read<std::uint32_t>();
  draft["client-address"] = to_string(read_address(reader));
  if (is_map || is_peer) read_body(reader, version, is_peer, draft);
  Json options = Json::array();
  for (const wire::Option& option : wire::OptionList(std::span(filled).subspan(body_end)))
    if (options.size() < wire::draft_options_max) options.push_back(option_word(option));
  if (!options.empty()) draft["options"] = std::move(options);
  return draft;
}

auto nat_pmp_draft(std::span<const std::byte> message) -> std::optional<Json> {
  const auto request = wire::nat_pmp::decode_request(message);
  if (!request) return {};
  if (std::holds_alternative<wire::nat_pmp::AddressRequest>(*request))
    return Json{{"opcode", "nat-pmp-address"}};
  const auto* map = std::get_if<wire::nat_pmp::MapRequest>(&*request);
  if (map == nullptr) return {};
  return Json{{"opcode", map->protocol == Protocol::udp ? "nat-pmp-udp" : "nat-pmp-tcp"},
              {"internal-port", map->internal_port.value},
              {"external-port", map->suggested_external_port.value},
              {"lifetime", map->requested_lifetime_s}};
}

/// Adds what makes `made` the same as `message`. A few runs of octets; more of them are better told as they
/// are.
auto with_edits(Json draft, std::vector<std::byte> made, std::span<const std::byte> message)
    -> std::optional<Json> {
  constexpr std::size_t runs_max = 16;
  if (made.size() != message.size()) {
    draft["size"] = message.size();
    made.resize(message.size());
  }
  Json runs = Json::array();
  for (std::size_t at = 0; at < message.size();) {
    std::size_t end = at;
    while (end < message.size() && made[end] != message[end]) ++end;
    if (end > at) runs.push_back(fmt::format("{}={}", at, plain_hex(message.subspan(at, end - at))));
    at = std::max(end, at + 1);
  }
  if (runs.size() > runs_max) return {};
  if (!runs.empty()) draft["set"] = std::move(runs);
  return draft;
}

}  // namespace

auto draft_of_octets(std::span<const std::byte> message) -> nlohmann::ordered_json {
  Json raw{{"raw", plain_hex(message)}};
  std::optional<Json> draft;
  if (message.size() >= wire::header_octets && message[0] != std::byte{wire::nat_pmp::version})
    draft = pcp_draft(message);
  else
    draft = nat_pmp_draft(message);
  if (!draft) return raw;
  const auto made = composed(*draft);
  if (!made) return raw;
  auto whole = with_edits(*std::move(draft), *made, message);
  if (!whole) return raw;
  const auto again = composed(*whole);
  return again && std::ranges::equal(*again, message) ? *whole : raw;
}

}  // namespace portolan
