// SPDX-License-Identifier: BSD-2-Clause
#include "library/text.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "discovery/address_plan.h"
#include "wire/protocol.h"

namespace portolan::library {
namespace {

constexpr std::string_view format_word = "portolan1";
/// Lines of a text that are taken: one for each server there may be.
constexpr std::size_t lines_max = client::servers_max;

template <typename Number>
auto parse_number(std::string_view text) -> std::optional<Number> {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return number;
}

/// "192.0.2.1:80" or "[2001:db8::1]:80".
auto parse_endpoint(std::string_view text) -> std::optional<Endpoint> {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  const auto parsed = IpAddress::parse(address);
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!parsed || !port) return {};
  return Endpoint{.address = *parsed, .port = Port{*port}};
}

/// Cuts the first word off `text`.
auto take_word(std::string_view& text) -> std::string_view {
  const auto space = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, space);
  text.remove_prefix(std::min(space + 1, text.size()));
  return word;
}

auto parse_server_address(std::string_view text) -> std::optional<ServerAddress> {
  ServerAddress server;
  server.endpoint.port = Port{wire::server_port};
  std::string_view address = text;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return {};
    address = text.substr(1, end - 1);
    if (const std::string_view rest = text.substr(end + 1); !rest.empty()) {
      const auto port = rest.front() == ':' ? parse_number<std::uint16_t>(rest.substr(1)) : std::nullopt;
      if (!port) return {};
      server.endpoint.port = Port{*port};
    }
  } else if (std::ranges::count(text, ':') == 1) {
    const auto port = parse_number<std::uint16_t>(text.substr(text.find(':') + 1));
    if (!port) return {};
    server.endpoint.port = Port{*port};
    address = text.substr(0, text.find(':'));
  }
  if (const auto percent = address.find('%'); percent != std::string_view::npos) {
    server.zone = address.substr(percent + 1);
    address = address.substr(0, percent);
  }
  const auto parsed = IpAddress::parse(address);
  if (!parsed || parsed->is_unspecified() || server.endpoint.port == Port{}) return {};
  server.endpoint.address = *parsed;
  if (parsed->is_link_local() == server.zone.empty()) return {};
  return server;
}

auto wall_seconds(Nanoseconds wall) -> std::int64_t { return std::chrono::floor<Seconds>(wall).count(); }

auto parse_line(std::string_view line, const Moment& moment) -> std::optional<client::Held> {
  if (take_word(line) != format_word) return {};
  client::Held held;
  client::Mapping& mapping = held.mapping;
  const auto protocol = parse_protocol(take_word(line));
  const auto internal = parse_endpoint(take_word(line));
  const auto external = parse_endpoint(take_word(line));
  const std::string_view peer_word = take_word(line);
  const auto nonce = Nonce::parse(take_word(line));
  const auto lifetime = parse_number<std::uint32_t>(take_word(line));
  const auto expires = parse_number<std::int64_t>(take_word(line));
  const auto epoch = parse_number<std::uint32_t>(take_word(line));
  const auto port_count = parse_number<std::uint16_t>(take_word(line));
  const auto by = take_word(line);
  const auto peer = parse_endpoint(peer_word);
  if (!protocol || !internal || !external || !nonce || !lifetime || !expires || !epoch || !port_count ||
      *port_count == 0 || *lifetime == 0 || (!peer && peer_word != "-") || (by != "pcp" && by != "nat-pmp") ||
      line.empty())
    return {};
  mapping.protocol = *protocol;
  mapping.internal = *internal;
  mapping.external = *external;
  if (peer_word != "-") mapping.remote_peer = peer;
  mapping.nonce = *nonce;
  mapping.lifetime = Seconds{*lifetime};
  const std::int64_t left =
      std::clamp<std::int64_t>(*expires - wall_seconds(moment.wall), 0, std::int64_t{*lifetime});
  mapping.expires = moment.now + Seconds{left};
  mapping.epoch_time_s = *epoch;
  mapping.port_count = *port_count;
  mapping.is_nat_pmp = by == "nat-pmp";
  held.server = line;
  return held;
}

class Description {
 public:
  explicit Description(const client::ClientEvent& event) : event_(event) {}

  auto operator()(const client::Granted& happened) const -> std::string {
    return at(happened.mapping) + " by " + server();
  }
  auto operator()(const client::Renewed& happened) const -> std::string {
    return "renewed: " + at(happened.mapping) + " by " + server();
  }
  auto operator()(const client::Changed& happened) const -> std::string {
    return "moved from " + to_string(happened.previous_external) + ": " + at(happened.mapping) + " by " +
           server();
  }
  auto operator()(const client::Refused& happened) const -> std::string {
    if (happened.result == wire::ResultCode::address_mismatch)
      return discovery::address_mismatch_text(event_.path.client_address, server());
    return server() + " said no: " + wire::to_string(happened.result) + "; asked again in " +
           std::to_string(happened.lifetime.count()) + " s";
  }
  auto operator()(const client::Lost& happened) const -> std::string {
    return to_string(happened.mapping.external) + " is gone, " + std::string(why(happened.reason));
  }
  auto operator()(const client::Retransmitted& happened) const -> std::string {
    return server() + " has not answered " + std::to_string(happened.transmissions - 1) + " requests";
  }
  auto operator()(const client::ServerRestarted&) const -> std::string {
    return server() + " may have lost its mappings: they are asked for again";
  }
  auto operator()(const client::VersionRefused& happened) const -> std::string {
    return server() + " does not speak PCP version 2, but version " + std::to_string(happened.version) +
           "; tried again in " + std::to_string(happened.lifetime.count()) + " s";
  }
  auto operator()(const client::FellBackToNatPmp&) const -> std::string {
    return server() + " speaks NAT-PMP only";
  }
  auto operator()(const client::Nat64PrefixesLearned& happened) const -> std::string {
    if (event_.path.server.port == Port{} && happened.prefixes.empty())
      return "nothing is known any more of a NAT64 of this network";
    if (event_.path.server.port == Port{})
      return "the network has a NAT64 with prefix " + to_string(happened.prefixes.front().prefix) + ", by " +
             event_.server;
    if (happened.prefixes.empty()) return "nothing is known any more of the NAT64 of " + server();
    return server() + " has a NAT64 with prefix " + to_string(happened.prefixes.front().prefix);
  }
  template <typename Other>
  auto operator()(const Other&) const -> std::string {
    return server();
  }

 private:
  [[nodiscard]] auto server() const -> std::string { return to_string(event_.path.server.address); }
  [[nodiscard]] static auto at(const client::Mapping& mapping) -> std::string {
    return to_string(mapping.protocol) + " " + to_string(mapping.internal) + " is reachable at " +
           to_string(mapping.external) + " for " + std::to_string(mapping.lifetime.count()) + " s";
  }
  [[nodiscard]] static auto why(client::Lost::Reason reason) -> std::string_view {
    switch (reason) {
      case client::Lost::Reason::expired: return "it expired";
      case client::Lost::Reason::withdrawn: return "the server withdrew it";
      case client::Lost::Reason::address_changed: return "this host has another address now";
      case client::Lost::Reason::server_gone: return "its server is not asked any more";
    }
    std::unreachable();
  }

  const client::ClientEvent& event_;
};

}  // namespace

auto parse_server(std::string_view text) -> std::expected<std::vector<ServerAddress>, std::string> {
  std::vector<ServerAddress> addresses;
  std::string_view left = text;
  while (true) {
    const auto comma = std::min(left.find(','), left.size());
    const std::string_view word = left.substr(0, comma);
    const auto address = parse_server_address(word);
    if (!address)
      return std::unexpected("server \"" + std::string(text) + "\": \"" + std::string(word) +
                             "\" is no address: write 192.0.2.1, [2001:db8::1]:5351 or fe80::1%eth0");
    if (addresses.size() == client::paths_max)
      return std::unexpected("server \"" + std::string(text) + "\": has more than " +
                             std::to_string(client::paths_max) + " addresses");
    addresses.push_back(*address);
    if (comma == left.size()) return addresses;
    left.remove_prefix(comma + 1);
  }
}

auto save_text(const std::vector<client::Held>& held, const Moment& moment) -> std::string {
  std::string text;
  for (const auto& [server, mapping] : held) {
    const std::int64_t expires = wall_seconds(moment.wall + (mapping.expires - moment.now));
    text += std::string(format_word) + " " + to_string(mapping.protocol) + " " + to_string(mapping.internal) +
            " " + to_string(mapping.external) + " " +
            (mapping.remote_peer ? to_string(*mapping.remote_peer) : "-") + " " + to_string(mapping.nonce) +
            " " + std::to_string(mapping.lifetime.count()) + " " + std::to_string(expires) + " " +
            std::to_string(mapping.epoch_time_s) + " " + std::to_string(mapping.port_count) + " " +
            (mapping.is_nat_pmp ? "nat-pmp " : "pcp ") + server + "\n";
  }
  return text;
}

auto parse_saved(std::string_view text, const Moment& moment)
    -> std::expected<std::vector<client::Held>, std::string> {
  std::vector<client::Held> all;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto held = parse_line(text.substr(0, end), moment);
    if (!held || all.size() == lines_max)
      return std::unexpected("state, line " + std::to_string(number) +
                             ": is none that portolan_mapping_save() wrote: leave it out");
    all.push_back(std::move(*held));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

auto describe(const client::ClientEvent& event) -> std::string {
  return std::visit(Description(event), event.event);
}

}  // namespace portolan::library
