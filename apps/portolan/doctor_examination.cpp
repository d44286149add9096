// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/doctor_examination.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "wire/options.h"

namespace portolan::doctor {
namespace {

using wire::ResultCode;

/// Long enough for the examination, and no longer in anybody's way if it is killed.
constexpr Seconds mapping_lifetime{120};
constexpr Seconds ending_max{3};
constexpr std::string_view description = "portolan doctor";

/// Somebody that a filter may name: no packet of its will ever come.
auto nobody(Family family) -> RemoteFilter {
  return {.remote_peers = *Prefix::parse(family == Family::ipv4 ? "192.0.2.1/32" : "2001:db8::1/128"),
          .remote_port = Port{}};
}

}  // namespace

auto Examination::begin(io::EventLoop& loop, const Settings& settings, std::function<void()> settled)
    -> std::expected<std::unique_ptr<Examination>, std::string> {
  io::UdpOptions options;
  options.bind_address = settings.path.client_address;
  auto socket = io::UdpSocket::open(options);
  if (!socket) return std::unexpected(socket.error());
  if (const auto connected = socket->connect(settings.path.server, settings.path.interface_index); !connected)
    return std::unexpected(connected.error());
  std::unique_ptr<Examination> made(new Examination(loop, settings, std::move(*socket), std::move(settled)));
  made->greet();
  return made;
}

Examination::Examination(io::EventLoop& loop, const Settings& settings, io::UdpSocket socket,
                         std::function<void()> settled)
    : settings_(settings),
      socket_(std::move(socket)),
      engine_({.server = settings.path.server,
               .client_address = settings.path.client_address,
               .retransmission = {}},
              random_),
      settled_(std::move(settled)) {
  readable_ = loop.on_readable(socket_.descriptor(), [this] { receive(); });
  due_ = loop.timer([this] {
    engine_.advance(io::monotonic_now());
    carry_out();
  });
  overdue_ = loop.timer([this] { go_on(true); });
}

void Examination::greet() {
  overdue_.arm(io::monotonic_now() + settings_.timeout);
  engine_.announce(io::monotonic_now(), true);
  client::Wish wish = wish_for(Protocol::tcp, 0);
  wish.description = description;
  wish.wants_nat64_prefix = true;
  ask({}, wish);
  carry_out();
}

auto Examination::wish_for(Protocol protocol, unsigned offset) const -> client::Wish {
  client::Wish wish;
  wish.protocol = protocol;
  // Ports beyond the last one begin anew behind those of the system.
  const unsigned port = settings_.internal_port.value + offset;
  wish.internal_port.value = static_cast<std::uint16_t>(port > UINT16_MAX ? port - UINT16_MAX + 1023 : port);
  wish.lifetime = mapping_lifetime;
  return wish;
}

void Examination::ask(std::string_view option, const client::Wish& wish) {
  questions_.push_back({.option = option, .handle = engine_.map(io::monotonic_now(), wish)});
}

void Examination::ask_about_options() {
  phase_ = Phase::options;
  overdue_.arm(io::monotonic_now() + settings_.timeout);
  const IpAddress external = IpAddress::unspecified(mapping_->external.address.family());
  client::Wish insisting = wish_for(Protocol::udp, 0);
  insisting.suggested_external_address = external;
  insisting.suggested_external_port = mapping_->external.port;
  insisting.prefer_failure = true;
  ask("PREFER_FAILURE", insisting);
  client::Wish filtered = wish_for(Protocol::udp, 1);
  filtered.suggested_external_address = external;
  filtered.filters = {nobody(settings_.path.client_address.family())};
  ask("FILTER", filtered);
  client::Wish several = wish_for(Protocol::udp, 2);
  several.suggested_external_address = external;
  several.port_count = 2;
  ask("PORT_SET", several);
  carry_out();
}

void Examination::receive() {
  const auto datagrams = socket_.receive();
  if (!datagrams) {
    // Only before anything was heard it means that there is nothing.
    is_closed_ = datagrams.error().number == ECONNREFUSED && !announced_ && !mapping_ && !refused_;
    if (is_closed_ && phase_ == Phase::greeting) settle();
    return;
  }
  for (const io::ReceivedDatagram& datagram : *datagrams)
    static_cast<void>(engine_.receive(io::monotonic_now(), datagram.source, datagram.payload));
  carry_out();
}

void Examination::carry_out() {
  client::Actions actions = engine_.take_actions();
  for (const client::Send& send : actions.send)
    // What is not sent is sent again.
    static_cast<void>(socket_.send({.destination = send.to,
                                    .scope_id = settings_.path.interface_index,
                                    .local_address = {},
                                    .interface_index = 0,
                                    .payload = send.datagram.octets()}));
  for (const client::Event& event : actions.events) take(event);
  if (const auto deadline = engine_.next_deadline())
    due_.arm(*deadline);
  else
    due_.disarm();
  go_on(false);
}

void Examination::take(const client::Event& event) {
  if (const auto* announced = std::get_if<client::Announced>(&event)) {
    announced_ = *announced;
    has_greeted_ = true;
  } else if (const auto* granted = std::get_if<client::Granted>(&event)) {
    const client::Mapping& mapping = granted->mapping;
    const auto found = std::ranges::find(questions_, granted->handle, &Question::handle);
    if (found == questions_.end()) return;
    std::optional<bool> is_known = true;
    if (found->option.empty()) mapping_ = mapping;
    if (found->option == "FILTER") is_known = mapping.is_filtered;
    if (found->option == "PORT_SET") is_known = mapping.port_count == 2;
    take_answer(granted->handle, is_known);
  } else if (const auto* refused = std::get_if<client::Refused>(&event)) {
    take_refusal(*refused);
  } else if (const auto* version = std::get_if<client::VersionRefused>(&event)) {
    other_version_ = version->version;
    if (phase_ == Phase::greeting) settle();
  } else if (std::holds_alternative<client::FellBackToNatPmp>(event)) {
    speaks_nat_pmp_ = true;
  }
}

void Examination::take_answer(client::Handle handle, std::optional<bool> is_known) {
  const auto found = std::ranges::find(questions_, handle, &Question::handle);
  if (found == questions_.end()) return;
  found->is_answered = true;
  found->is_known = is_known;
}

void Examination::take_refusal(const client::Refused& refused) {
  const auto found = std::ranges::find(questions_, refused.handle, &Question::handle);
  if (found == questions_.end() || found->is_answered) return;
  if (!found->option.empty()) {
    // Only what is about the option tells of it.
    const bool is_supported = refused.result == ResultCode::cannot_provide_external;
    const bool is_unsupported = refused.result == ResultCode::unsupp_option;
    take_answer(refused.handle, is_supported || is_unsupported ? std::optional(is_supported) : std::nullopt);
    return;
  }
  take_answer(refused.handle, {});
  engine_.forget(refused.handle);
  // A firewall for IPv6 has no IPv4 address to give.
  const bool is_first = !refused_.has_value();
  refused_ = refused;
  if (is_first && !settings_.path.client_address.is_ipv4() &&
      refused.result != ResultCode::address_mismatch) {
    client::Wish wish = wish_for(Protocol::tcp, 0);
    wish.suggested_external_address = IpAddress::unspecified(Family::ipv6);
    wish.description = description;
    ask({}, wish);
  }
}

auto Examination::is_answered() const -> bool {
  return has_greeted_ && std::ranges::all_of(questions_, &Question::is_answered);
}

void Examination::go_on(bool is_overdue) {
  if (phase_ == Phase::ending && (is_overdue || engine_.is_idle())) {
    phase_ = Phase::ended;
    overdue_.disarm();
    due_.disarm();
    if (ended_) ended_();
    return;
  }
  if (!is_overdue && !is_answered()) return;
  if (phase_ == Phase::greeting && mapping_ && !speaks_nat_pmp_)
    ask_about_options();
  else if (phase_ == Phase::greeting || phase_ == Phase::options)
    settle();
}

void Examination::settle() {
  phase_ = Phase::settled;
  overdue_.disarm();
  settled_();
}

void Examination::end(std::function<void()> ended) {
  ended_ = std::move(ended);
  phase_ = Phase::ending;
  for (const Question& question : questions_) {
    if (engine_.mapping(question.handle))
      engine_.remove(io::monotonic_now(), question.handle);
    else
      engine_.forget(question.handle);
  }
  overdue_.arm(io::monotonic_now() + ending_max);
  carry_out();
}

void Examination::tell(ServerSeen& seen) const {
  seen.is_closed = is_closed_;
  seen.announced = announced_;
  seen.speaks_nat_pmp = speaks_nat_pmp_;
  seen.other_version = other_version_;
  seen.mapping = mapping_;
  if (!mapping_) seen.refused = refused_;
  seen.nat64_prefixes = engine_.nat64_prefixes();
  if (speaks_nat_pmp_ || !mapping_) return;
  for (const Question& question : questions_)
    if (!question.option.empty()) seen.options.push_back({question.option, question.is_known});
  seen.options.push_back({"DESCRIPTION", mapping_->description.has_value()});
  seen.options.push_back({"PREFIX64", !engine_.nat64_prefixes().empty()});
}

}  // namespace portolan::doctor
