// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_knock.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "io/system.h"

namespace portolan::doctor {
namespace {

constexpr std::string_view magic = "portolan-knock";
constexpr std::string_view request_form = "portolan-knock 1 PORT WORD, the word in 24 hexadecimal digits";

/// The next word of `text`, which goes on behind it.
auto take_word(std::string_view& text) -> std::string_view {
  const std::size_t space = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, space);
  text.remove_prefix(std::min(space + 1, text.size()));
  return word;
}

auto octets_of(const std::string& text) -> std::span<const std::byte> {
  return std::as_bytes(std::span(text));
}

/// What somebody else wrote, as it may be shown.
auto printable(std::string_view text) -> std::string {
  std::string shown;
  for (const char character : text) shown += character >= ' ' && character <= '~' ? character : '?';
  return shown;
}

/// Of "192.0.2.14:40000" or "[2001:db8::1]:40000".
auto address_of(std::string_view endpoint) -> std::optional<IpAddress> {
  std::string_view host = endpoint.substr(0, endpoint.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return IpAddress::parse(host);
}

auto tcp(const Endpoint& endpoint) -> io::StreamAddress {
  return {.kind = io::StreamAddress::Kind::tcp, .path = {}, .endpoint = endpoint};
}

}  // namespace

auto to_line(const KnockRequest& request) -> std::string {
  return fmt::format("{} 1 {} {}\n", magic, request.port, to_string(request.word));
}

auto parse_request(std::string_view line) -> std::expected<KnockRequest, std::string> {
  const auto wrong = [] { return std::unexpected(fmt::format("expected: {}", request_form)); };
  if (take_word(line) != magic || take_word(line) != "1") return wrong();
  const std::string_view digits = take_word(line);
  KnockRequest request;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), request.port.value);
  if (error != std::errc{} || end != digits.data() + digits.size() || request.port.value == 0) return wrong();
  const auto word = Nonce::parse(line);
  if (!word) return wrong();
  request.word = *word;
  return request;
}

auto to_line(const KnockAnswer& answer) -> std::string {
  if (!answer.failure) return fmt::format("done {}\n", answer.seen_from);
  std::string line = fmt::format("failed {} {}", answer.seen_from, printable(*answer.failure));
  line.resize(std::min(line.size(), line_max - 1));
  return line + "\n";
}

auto parse_answer(std::string_view line) -> std::optional<KnockAnswer> {
  const std::string_view kind = take_word(line);
  const auto address = IpAddress::parse(take_word(line));
  if ((kind != "done" && kind != "failed") || !address) return {};
  KnockAnswer answer{.seen_from = *address, .failure = {}};
  if (kind == "failed") answer.failure = printable(line);
  return answer;
}

auto LineReader::take(std::span<const std::byte> octets) -> std::optional<std::string> {
  for (const std::byte octet : octets) {
    const char character = static_cast<char>(octet);
    if (is_too_long()) return {};
    if (character == '\n') return std::exchange(text_, {});
    text_ += character;
  }
  return {};
}

// ---- Door

auto Door::open(io::EventLoop& loop, const IpAddress& address)
    -> std::expected<std::unique_ptr<Door>, std::string> {
  std::unique_ptr<Door> door(new Door());
  auto listener =
      io::StreamListener::open(loop, tcp({.address = address, .port = {}}), {},
                               [here = door.get()](io::Stream stream) { here->let_in(std::move(stream)); });
  if (!listener) return std::unexpected(listener.error());
  door->listener_ = std::move(*listener);
  return door;
}

void Door::await(const Nonce& word, std::function<void()> knocked) {
  word_ = to_string(word);
  knocked_ = std::move(knocked);
}

void Door::let_in(io::Stream stream) {
  if (visitors_.size() >= visitors_max) visitors_.erase(visitors_.begin());
  const std::uint64_t number = ++last_visitor_;
  Visitor& visitor = visitors_[number];
  visitor.stream = std::move(stream);
  visitor.stream.start({.received =
                            [this, number](std::span<const std::byte> octets) {
                              const auto line = visitors_[number].reader.take(octets);
                              if (line && !word_.empty() && *line == word_ && knocked_) knocked_();
                            },
                        .closed = [](const std::string&) {}});
}

// ---- Knock

Knock::Knock(io::EventLoop& loop, const Endpoint& helper, const KnockRequest& request, Done done)
    : done_(std::move(done)) {
  stream_ = io::Stream::connect(
      loop, tcp(helper), {},
      {.received =
           [this](std::span<const std::byte> octets) {
             const auto line = reader_.take(octets);
             if (!line && !reader_.is_too_long()) return;
             const auto answer = line ? parse_answer(*line) : std::nullopt;
             if (answer)
               end(*answer);
             else
               end(std::unexpected("it answers, but not as portolan doctor --listen-helper does"));
           },
       .closed = [this](const std::string& reason) { end(std::unexpected(printable(reason))); }});
  stream_.send(octets_of(to_line(request)));
}

void Knock::end(const std::expected<KnockAnswer, std::string>& answer) {
  if (const Done done = std::exchange(done_, {})) done(answer);
}

// ---- Knocker

auto Knocker::open(io::EventLoop& loop, const Endpoint& endpoint,
                   std::function<void(const std::string&)> tell)
    -> std::expected<std::unique_ptr<Knocker>, std::string> {
  std::unique_ptr<Knocker> knocker(new Knocker(loop, std::move(tell)));
  auto listener = io::StreamListener::open(
      loop, tcp(endpoint), {},
      [here = knocker.get()](io::Stream stream) { here->let_in(std::move(stream)); });
  if (!listener) return std::unexpected(listener.error());
  knocker->listener_ = std::move(*listener);
  return knocker;
}

Knocker::Knocker(io::EventLoop& loop, std::function<void(const std::string&)> tell)
    : loop_(loop), tell_(std::move(tell)) {}

void Knocker::let_in(io::Stream stream) {
  const auto address = address_of(stream.peer());
  // A stream that goes out of scope is closed.
  if (!address || askers_.size() >= askers_max) return;
  const std::uint64_t number = ++last_asker_;
  Asker& asker = askers_[number];
  asker.stream = std::move(stream);
  asker.address = *address;
  asker.overdue = loop_.at(io::monotonic_now() + knock_max, [this, number] {
    const auto found = askers_.find(number);
    if (found == askers_.end()) return;
    if (found->second.knock) answer(number, fmt::format("no answer within {} s", knock_max.count()));
    drop(number);
  });
  asker.stream.start({.received = [this, number](auto octets) { hear(number, octets); },
                      .closed = [this, number](const std::string&) { drop(number); }});
}

void Knocker::hear(std::uint64_t number, std::span<const std::byte> octets) {
  Asker& asker = askers_.at(number);
  if (asker.is_answered || asker.knock) return;
  const auto line = asker.reader.take(octets);
  if (!line && !asker.reader.is_too_long()) return;
  const auto request = parse_request(line.value_or(""));
  if (request)
    knock(number, *request);
  else
    answer(number, request.error());
}

void Knocker::knock(std::uint64_t number, const KnockRequest& request) {
  Asker& asker = askers_.at(number);
  asker.knock =
      io::Stream::connect(loop_, tcp({.address = asker.address, .port = request.port}), {},
                          {.opened =
                               [this, number, word = to_string(request.word) + "\n"] {
                                 io::Stream& stream = *askers_.at(number).knock;
                                 stream.send(octets_of(word));
                                 stream.finish();
                                 answer(number, {});
                               },
                           .received = [](auto) {},
                           .closed = [this, number](const std::string& reason) { answer(number, reason); }});
}

void Knocker::answer(std::uint64_t number, const std::optional<std::string>& failure) {
  const auto found = askers_.find(number);
  if (found == askers_.end() || found->second.is_answered) return;
  Asker& asker = found->second;
  asker.is_answered = true;
  const KnockAnswer said{.seen_from = asker.address, .failure = failure};
  asker.stream.send(octets_of(to_line(said)));
  asker.stream.finish();
  tell_(failure ? fmt::format("{}: {}", asker.address, printable(*failure))
                : fmt::format("{}: knocked", asker.address));
}

void Knocker::drop(std::uint64_t number) {
  loop_.post([this, number] { askers_.erase(number); });
}

}  // namespace portolan::doctor
