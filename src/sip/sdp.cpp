// SPDX-License-Identifier: BSD-2-Clause
#include "sip/sdp.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "sip/text.h"

namespace portolan::sip {
namespace {

constexpr std::uint8_t payload_type_max = 127;
constexpr std::array directions{Direction::inactive, Direction::sendonly, Direction::recvonly,
                                Direction::sendrecv};

/// Printable ASCII without spaces: what may be said again in an answer.
auto is_token(std::string_view text) -> bool {
  return !text.empty() && std::ranges::all_of(text, [](char each) { return each > ' ' && each < '\x7f'; });
}

/// "IP4" and an address of that family; a TTL behind a slash is left out. Names are none.
auto address_of(std::string_view type, std::string_view text) -> std::optional<IpAddress> {
  const auto address = IpAddress::parse(take_until(text, '/'));
  if (!address || (type == "IP4") != address->is_ipv4() || (type != "IP4" && type != "IP6")) return {};
  return address;
}

/// "IN IP4 192.0.2.1"
auto connection_of(std::string_view text) -> std::optional<IpAddress> {
  if (take_word(text) != "IN") return {};
  const std::string_view type = take_word(text);
  return address_of(type, take_word(text));
}

/// What stands behind "altc:", in the form of RFC 6947 s4.1 or without the number.
auto alternative_of(std::string_view text) -> std::optional<Alternative> {
  Alternative alternative;
  std::string_view word = take_word(text);
  if (word != "IP4" && word != "IP6") {
    alternative.number = number_of<std::uint32_t>(word);
    if (!alternative.number) return {};
    word = take_word(text);
  }
  const auto address = address_of(word, take_word(text));
  std::string_view ports = take_word(text);
  const bool has_rtcp = ports.contains('/');
  const auto port = number_of<std::uint16_t>(take_until(ports, '/'));
  const auto rtcp_port = number_of<std::uint16_t>(ports);
  if (!address || !port || *port == 0 || (has_rtcp && !rtcp_port)) return {};
  alternative.rtp = {.address = *address, .port = Port{*port}};
  if (rtcp_port) alternative.rtcp_port = Port{*rtcp_port};
  return alternative;
}

void take_format_attribute(std::string_view name, std::string_view value, Media& medium) {
  const auto payload_type = number_of<std::uint8_t>(take_word(value));
  const auto format = std::ranges::find_if(
      medium.formats, [&](const Format& each) { return payload_type && each.payload_type == *payload_type; });
  if (format == medium.formats.end()) return;
  if (name == "fmtp") {
    format->parameters = value;
    return;
  }
  const std::string_view encoding = take_until(value, '/');
  const auto clock_rate = number_of<std::uint32_t>(take_until(value, '/'));
  const std::uint32_t channels = value.empty() ? 1U : number_of<std::uint32_t>(value).value_or(0U);
  if (!is_token(encoding) || !clock_rate || channels == 0) return;
  format->encoding = encoding;
  format->clock_rate = *clock_rate;
  format->channels = channels;
}

void take_rtcp(std::string_view value, Media& medium) {
  const auto port = number_of<std::uint16_t>(take_word(value));
  if (!port || *port == 0) return;
  medium.rtcp_port = Port{*port};
  medium.rtcp_address = connection_of(value);
}

/// Reads line by line.
class Parser {
 public:
  auto parse(std::string_view text) -> std::expected<Description, SdpError> {
    if (text.size() > sdp_octets_max) return std::unexpected(error("longer than 16384 octets"));
    while (!text.empty()) {
      std::string_view line = take_until(text, '\n');
      if (line.ends_with('\r')) line.remove_suffix(1);
      ++line_;
      if (line.empty()) continue;
      if (line.size() < 2 || line[1] != '=') return std::unexpected(error("no line of the form x=value"));
      if (auto problem = take(line[0], line.substr(2)); !problem.empty())
        return std::unexpected(error(std::move(problem)));
    }
    line_ = 0;
    if (!has_version_) return std::unexpected(error("no v= line"));
    if (!has_origin_) return std::unexpected(error("no o= line"));
    return std::move(description_);
  }

 private:
  [[nodiscard]] auto error(std::string text) const -> SdpError {
    return {.line = line_, .text = std::move(text)};
  }

  /// Out  what is wrong; empty: nothing
  auto take(char type, std::string_view value) -> std::string {
    if (!has_version_ && type != 'v') return "does not begin with v=0";
    switch (type) {
      case 'v': has_version_ = value == "0"; return has_version_ ? "" : "not version 0";
      case 'o': return take_origin(value);
      case 's': description_.name = value; return {};
      case 'c': return take_connection(value);
      case 'm': return take_media(value);
      case 'a': return take_attribute(value);
      default: return {};
    }
  }

  auto take_origin(std::string_view value) -> std::string {
    const std::string_view user = take_word(value);
    const auto session_id = number_of<std::uint64_t>(take_word(value));
    const auto version = number_of<std::uint64_t>(take_word(value));
    if (!is_token(user) || !session_id || !version) return "o= without user, session and version";
    description_.user = user;
    description_.session_id = *session_id;
    description_.version = *version;
    // A name is as good here: nobody sends to it.
    if (const auto address = connection_of(value)) description_.origin = *address;
    has_origin_ = true;
    return {};
  }

  auto take_connection(std::string_view value) -> std::string {
    const auto address = connection_of(value);
    if (!address) return "c= without an address that can be read";
    (medium_ != nullptr ? medium_->address : description_.address) = address;
    return {};
  }

  auto take_media(std::string_view value) -> std::string {
    if (description_.media.size() >= media_max) return "more than 16 media";
    Media medium;
    const std::string_view kind = take_word(value);
    std::string_view ports = take_word(value);
    const auto port = number_of<std::uint16_t>(take_until(ports, '/'));
    const std::string_view transport = take_word(value);
    if (!is_token(kind) || !port || !is_token(transport)) return "m= without kind, port and transport";
    medium.kind = kind;
    medium.port = Port{*port};
    medium.transport = transport;
    for (std::string_view rest = value, word = take_word(rest); !word.empty(); word = take_word(rest)) {
      if (!is_token(word)) return "m= with a format that is none";
      medium.format_list += (medium.format_list.empty() ? "" : " ") + std::string(word);
      const auto payload_type = number_of<std::uint8_t>(word);
      if (!transport.starts_with("RTP/") || !payload_type || *payload_type > payload_type_max) continue;
      if (medium.formats.size() >= formats_max) return "more than 32 formats";
      medium.formats.push_back({.payload_type = *payload_type});
    }
    if (medium.format_list.empty()) return "m= without a format";
    description_.media.push_back(std::move(medium));
    medium_ = &description_.media.back();
    return {};
  }

  auto take_attribute(std::string_view value) -> std::string {
    std::string_view rest = value;
    const std::string_view name = take_until(rest, ':');
    for (const Direction direction : directions)
      if (name == to_string(direction))
        (medium_ != nullptr ? medium_->direction : description_.direction) = direction;
    if (medium_ == nullptr) return {};  // altc may not stand at session level (RFC 6947 s4.1)
    if (name == "rtpmap" || name == "fmtp") take_format_attribute(name, rest, *medium_);
    if (name == "rtcp") take_rtcp(rest, *medium_);
    if (name == "altc") {
      if (medium_->alternatives.size() >= alternatives_max) return "more than 8 altc attributes";
      if (const auto alternative = alternative_of(rest)) medium_->alternatives.push_back(*alternative);
    }
    return {};
  }

  Description description_;
  Media* medium_ = nullptr;  // media.back(), nothing else is added behind it
  std::size_t line_ = 0;
  bool has_version_ = false;
  bool has_origin_ = false;
};

auto repeats(const Alternative& alternative, const Description& description, const Media& medium) -> bool {
  return alternative.rtp.port == medium.port && alternative.rtp.address == description.address_of(medium);
}

/// See parse_sdp(). All alternatives of a medium move, or none.
/// Out  whether any did
auto move_misplaced(Description& description) -> bool {
  for (Media& from : description.media) {
    const auto is_older = [](const Alternative& each) { return !each.number.has_value(); };
    const auto repeats_in = [&](const Media& medium) {
      return std::ranges::any_of(from.alternatives,
                                 [&](const Alternative& each) { return repeats(each, description, medium); });
    };
    if (from.alternatives.empty() || !std::ranges::all_of(from.alternatives, is_older) || repeats_in(from))
      continue;
    const auto to = std::ranges::find_if(description.media, [&](const Media& medium) {
      return medium.alternatives.empty() && repeats_in(medium);
    });
    if (to == description.media.end()) continue;
    to->alternatives = std::exchange(from.alternatives, {});
    return true;
  }
  return false;
}

auto connection_text(const IpAddress& address) -> std::string {
  return fmt::format("IN {} {}", address.is_ipv4() ? "IP4" : "IP6", address);
}

void write_media(std::string& text, const Media& medium) {
  const auto out = std::back_inserter(text);
  fmt::format_to(out, "m={} {} {} {}\r\n", medium.kind, medium.port, medium.transport, medium.format_list);
  if (medium.address) fmt::format_to(out, "c={}\r\n", connection_text(*medium.address));
  for (const Format& format : medium.formats) {
    if (!format.encoding.empty()) {
      fmt::format_to(out, "a=rtpmap:{} {}/{}", format.payload_type, format.encoding, format.clock_rate);
      if (format.channels != 1) fmt::format_to(out, "/{}", format.channels);
      text += "\r\n";
    }
    if (!format.parameters.empty())
      fmt::format_to(out, "a=fmtp:{} {}\r\n", format.payload_type, format.parameters);
  }
  if (medium.rtcp_port) {
    fmt::format_to(out, "a=rtcp:{}", *medium.rtcp_port);
    if (medium.rtcp_address) fmt::format_to(out, " {}", connection_text(*medium.rtcp_address));
    text += "\r\n";
  }
  for (const Alternative& each : medium.alternatives) {
    text += "a=altc:";
    if (each.number) fmt::format_to(out, "{}", *each.number);
    fmt::format_to(out, " {} {} {}", each.rtp.address.is_ipv4() ? "IP4" : "IP6", each.rtp.address,
                   each.rtp.port);
    if (each.rtcp_port) fmt::format_to(out, "/{}", *each.rtcp_port);
    text += "\r\n";
  }
  if (medium.direction) fmt::format_to(out, "a={}\r\n", to_string(*medium.direction));
}

}  // namespace

auto to_string(Direction direction) -> std::string_view {
  switch (direction) {
    case Direction::inactive: return "inactive";
    case Direction::sendonly: return "sendonly";
    case Direction::recvonly: return "recvonly";
    case Direction::sendrecv: return "sendrecv";
  }
  return "?";
}

auto parse_sdp(std::string_view text) -> std::expected<Description, SdpError> {
  auto description = Parser().parse(text);
  // What moved is where it belongs, so this ends.
  while (description && move_misplaced(*description)) {
  }
  return description;
}

auto to_text(const Description& description) -> std::string {
  std::string text = fmt::format("v=0\r\no={} {} {} {}\r\ns={}\r\n", description.user, description.session_id,
                                 description.version, connection_text(description.origin), description.name);
  if (description.address) text += fmt::format("c={}\r\n", connection_text(*description.address));
  text += "t=0 0\r\n";
  if (description.direction) text += fmt::format("a={}\r\n", to_string(*description.direction));
  for (const Media& medium : description.media) write_media(text, medium);
  return text;
}

}  // namespace portolan::sip
