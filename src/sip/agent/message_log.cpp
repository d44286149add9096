// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/message_log.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

namespace portolan::sip {
namespace {

constexpr std::string_view indent = "   ";
constexpr std::string_view separator =
    "------------------------------------------------------------------------";
constexpr std::string_view cut_mark = "*** message truncated at ";

/// Takes what is before `mark` off the text, with the mark; nothing if it is not there.
auto take_until(std::string_view& text, std::string_view mark) -> std::optional<std::string_view> {
  const auto place = text.find(mark);
  if (place == std::string_view::npos) return {};
  const auto before = text.substr(0, place);
  text.remove_prefix(place + mark.size());
  return before;
}

template <typename T>
auto number_in(std::string_view text) -> std::optional<T> {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace

auto MessageLog::take(std::string_view line) -> std::optional<Message> {
  if (!line.starts_with(indent)) {
    auto whole = state_ == State::in_text ? finish() : std::nullopt;
    begin(line);
    return whole;
  }
  line.remove_prefix(indent.size());
  switch (state_) {
    case State::outside: return {};
    case State::before_text: state_ = line == separator ? State::in_text : State::outside; return {};
    case State::in_text: break;
  }
  // A line of the text may look like the end: the message's length decides.
  if (line == separator && message_.text.size() >= octets_) return finish();
  if (line.starts_with(cut_mark)) {
    const std::string end = std::string(separator) + "\r\n";
    if (message_.text.ends_with(end)) message_.text.resize(message_.text.size() - end.size());
    return finish();
  }
  // Sofia's log ends lines of its own way; SIP has one (RFC 3261 s7).
  if (message_.text.size() < octets_) message_.text.append(line).append("\r\n");
  return {};
}

void MessageLog::begin(std::string_view line) {
  state_ = State::outside;
  message_ = {};
  message_.is_sent = line.starts_with("send ");
  if (!message_.is_sent && !line.starts_with("recv ")) return;
  line.remove_prefix(5);
  const auto length = take_until(line, " bytes ");
  const auto octets = length ? number_in<std::size_t>(*length) : std::nullopt;
  static_cast<void>(take_until(line, " "));
  const auto protocol = take_until(line, "/[");
  const auto address_text = take_until(line, "]:");
  const auto port_text = line.substr(0, line.find_first_not_of("0123456789"));
  const auto address = address_text ? IpAddress::parse(*address_text) : std::nullopt;
  const auto port = number_in<std::uint16_t>(port_text);
  if (!octets || !address || !port || (protocol != "udp" && protocol != "tcp")) return;
  message_.protocol = protocol == "tcp" ? Protocol::tcp : Protocol::udp;
  message_.remote = {.address = *address, .port = Port{*port}};
  octets_ = std::min(*octets, octets_max);
  state_ = State::before_text;
}

auto MessageLog::finish() -> std::optional<Message> {
  state_ = State::outside;
  if (message_.text.size() > octets_) message_.text.resize(octets_);
  return std::exchange(message_, {});
}

}  // namespace portolan::sip
