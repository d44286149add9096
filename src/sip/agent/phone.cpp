// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/phone.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "io/system.h"
#include "sip/agent/phone_call.h"
#include "sip/nat64.h"
#include "sip/uri.h"

namespace portolan::sip {
namespace {

/// RFC 3261 s21.4
constexpr int not_acceptable_here = 488;
constexpr int request_pending = 491;
constexpr int busy = 486;
/// Datagrams taken from a socket at a time.
constexpr std::size_t receive_at_once = 16;
/// Before a change is offered again that met one of theirs (RFC 3261 s14.1).
constexpr double retry_min_s = 2.1;
constexpr double retry_max_s = 4.0;

auto now_both() -> media::MediaTime { return {.now = io::monotonic_now(), .wall = io::wall_now()}; }

auto why_unreadable(const SdpError& error) -> std::string {
  const std::string line = error.line != 0 ? fmt::format("line {}: ", error.line) : "";
  return fmt::format("its SDP can't be read: {}{}", line, error.text);
}

}  // namespace

auto to_string(CallState state) -> std::string_view {
  switch (state) {
    case CallState::preparing: return "preparing";
    case CallState::calling: return "calling";
    case CallState::ringing: return "ringing";
    case CallState::active: return "active";
  }
  return "?";
}

auto to_string(PhoneEvent::Kind kind) -> std::string_view {
  switch (kind) {
    case PhoneEvent::Kind::mapped: return "mapped";
    case PhoneEvent::Kind::unmapped: return "unmapped";
    case PhoneEvent::Kind::registered: return "registered";
    case PhoneEvent::Kind::registration_failed: return "registration-failed";
    case PhoneEvent::Kind::unregistered: return "unregistered";
    case PhoneEvent::Kind::incoming: return "incoming";
    case PhoneEvent::Kind::ringing: return "ringing";
    case PhoneEvent::Kind::active: return "active";
    case PhoneEvent::Kind::moved: return "moved";
    case PhoneEvent::Kind::changed: return "changed";
    case PhoneEvent::Kind::change_refused: return "change-refused";
    case PhoneEvent::Kind::digits: return "digits";
    case PhoneEvent::Kind::ended: return "ended";
  }
  return "?";
}

Phone::Phone(PhoneConfig config, Random& random) : config_(std::move(config)), random_(random) {}
Phone::~Phone() = default;

auto Phone::open(PhoneConfig config, Random& random) -> std::expected<std::unique_ptr<Phone>, std::string> {
  std::unique_ptr<Phone> phone(new Phone(std::move(config), random));
  if (auto started = phone->start(); !started) return std::unexpected(started.error());
  return phone;
}

auto Phone::start() -> std::expected<void, std::string> {
  if (config_.uses_pcp) {
    auto mappings = Mappings::open(
        config_.pcp_servers,
        [this](const std::string& text) {
          if (config_.on_pcp_trace) config_.on_pcp_trace(text);
        },
        config_.on_traffic);
    if (!mappings) return std::unexpected(mappings.error());
    mappings_ = std::move(*mappings);
  }
  const unsigned port_last = std::min(config_.sip_port.value + config_.sip_ports - 1U, 65535U);
  for (unsigned port = config_.sip_port.value;; ++port) {
    const bool is_last = port >= port_last;
    const bool is_mapped = map_sip(Port{static_cast<std::uint16_t>(port)});
    if (!is_mapped && !is_last) continue;
    const auto opened = open_agent(Port{static_cast<std::uint16_t>(port)});
    if (opened) break;
    if (is_last) return opened;
  }
  if (mappings_ != nullptr) {
    mappings_watch_ = agent_->on_readable(mappings_->descriptor(), [this] {
      mappings_->process();
      look_at_mappings();
    });
  }
  told_place_ = place();
  if (told_place_) {
    agent_->set_place(*told_place_);
    tell({.kind = PhoneEvent::Kind::mapped, .place = told_place_});
  } else {
    tell({.kind = PhoneEvent::Kind::unmapped,
          .text = config_.uses_pcp ? "no PCP server gave this host an external address; portolan announce "
                                     "asks whether there is a PCP server"
                                   : "PCP is switched off"});
  }
  if (config_.is_registering) find_server();
  return {};
}

/// Out  false: another port may do; without servers, or one that answers, none does
auto Phone::map_sip(Port port) -> bool {
  if (mappings_ == nullptr) return true;
  auto mapping =
      mappings_->map({.protocol = config_.transport == Transport::tcp ? Protocol::tcp : Protocol::udp,
                      .port = port,
                      .lifetime = config_.mapping_lifetime,
                      .description = fmt::format("SIP of {}", config_.user),
                      .purpose = "Via and Contact"});
  if (!mapping) return false;
  sip_mapping_ = std::move(*mapping);
  mappings_->wait(*sip_mapping_, config_.mapping_wait);
  return !sip_mapping_->is_refused();
}

auto Phone::open_agent(Port port) -> std::expected<void, std::string> {
  AgentConfig config{.local = {.address = config_.address, .port = port},
                     .transport = config_.transport,
                     .user = config_.user,
                     .domain = config_.domain,
                     .auth_user = config_.auth_user.empty() ? config_.user : config_.auth_user,
                     .password = config_.password,
                     .reached = [this](const IpAddress& address) { return reached(address); },
                     .registration_time = config_.registration_time,
                     .on_trace = config_.on_sip_trace,
                     .on_message = config_.on_traffic};
  auto agent = Agent::open(std::move(config));
  if (!agent) return std::unexpected(agent.error());
  agent_ = std::move(*agent);
  return {};
}

auto Phone::place() const -> std::optional<Endpoint> {
  return sip_mapping_ != nullptr ? sip_mapping_->external() : std::nullopt;
}

auto Phone::nat64_prefix() const -> std::optional<Prefix> {
  const auto told = mappings_ != nullptr ? mappings_->nat64_prefix() : std::nullopt;
  return told ? told : config_.nat64_prefix;
}

auto Phone::reached(const IpAddress& address) const -> std::optional<IpAddress> {
  if (!config_.address.is_ipv4()) return as_reached(address, nat64_prefix());
  return address.is_ipv4() ? std::optional(address) : std::nullopt;
}

/// In  attempt: another one chooses another place, if the server has several
auto Phone::way_to(const ServerPlaces& places, unsigned attempt) const
    -> std::expected<std::string, std::string> {
  if (!places) return std::unexpected(places.error());
  std::vector<Endpoint> usable;
  for (const Endpoint& each : *places)
    if (const auto address = reached(each.address))
      usable.push_back({.address = *address, .port = each.port});
  if (!usable.empty()) return uri_of(usable[attempt % usable.size()]);
  return std::unexpected(fmt::format(
      "the SIP server is at {}, {}", to_string(places->front()),
      config_.address.is_ipv4() ? "and this phone has an IPv4 address: give it another one by --address"
                                : "and no NAT64 prefix is known to reach it by: give one by --nat64-prefix"));
}

/// The server's address may have changed since it was found before.
void Phone::find_server() {
  if (server_lookup_) return;
  const auto server = parse_host_port(config_.server.empty() ? config_.domain : config_.server);
  if (!server) return use_server(std::unexpected(server.error()));
  server_lookup_ = ServerLookup::start(*server, config_.transport, random_);
  server_watch_ = agent_->on_readable(server_lookup_->descriptor(), [this] {
    const auto places = server_lookup_->take();
    if (!places) return;
    server_watch_ = Agent::Watch();
    server_lookup_.reset();
    use_server(*places);
  });
}

void Phone::use_server(const ServerPlaces& places) {
  const auto way = way_to(places, registrations_failed_);
  if (way) {
    has_server_ = true;
    agent_->set_server(*way, !config_.server.empty());
    if (config_.is_registering) agent_->register_place();
    for (const auto& call : calls_) prepare(*call);
    return;
  }
  for (const auto& call : calls_)
    if (call->seeks_way && !call->lookup) end(*call, 0, way.error());
  if (config_.is_registering) on(RegistrationFailed{.phrase = way.error()});
}

auto Phone::take_events() -> std::vector<PhoneEvent> { return std::exchange(events_, {}); }

auto Phone::find(unsigned number) -> Call* {
  const auto found = std::ranges::find_if(
      calls_, [&](const auto& each) { return each->number == number && !each->is_ended; });
  return found == calls_.end() ? nullptr : found->get();
}
auto Phone::find(CallId id) -> Call* {
  const auto found =
      std::ranges::find_if(calls_, [&](const auto& each) { return each->id == id && !each->is_ended; });
  return found == calls_.end() ? nullptr : found->get();
}

auto Phone::view(const Call& call) -> CallView {
  return {.number = call.number,
          .is_outgoing = call.is_outgoing,
          .remote = call.remote,
          .state = call.state,
          .agreement = call.agreement,
          .internal = call.local.internal,
          .external = call.local.external,
          .is_held = !receives(call.local.direction),
          .statistics = call.session.statistics()};
}

auto Phone::calls() const -> std::vector<CallView> {
  std::vector<CallView> views;
  for (const auto& each : calls_)
    if (!each->is_ended) views.push_back(view(*each));
  return views;
}

/// Sockets at a free pair of ports, the first of them even (RFC 3550 s11). Where it begins to look is left to
/// chance: a pair may still be mapped for a phone that ended without a word.
auto Phone::open_media() -> std::expected<MediaSockets, std::string> {
  const auto socket_at = [&](unsigned port) {
    io::UdpOptions options;
    options.bind_address = config_.address;
    options.bind_port = Port{static_cast<std::uint16_t>(port)};
    options.receive_max = receive_at_once;
    return io::UdpSocket::open(options);
  };
  const unsigned first = (config_.media_port_first.value + 1U) & ~1U;
  const unsigned last = std::min(config_.media_port_first.value + config_.media_ports - 1U, 65535U);
  const unsigned pairs = last > first ? (last - first + 1U) / 2U : 0;
  const auto begin = static_cast<unsigned>(pairs > 0 ? random_.below(pairs) : 0);
  for (unsigned tried = 0; tried < pairs; ++tried) {
    const unsigned port = first + 2 * ((begin + tried) % pairs);
    auto rtp = socket_at(port);
    auto rtcp = socket_at(port + 1);
    if (rtp && rtcp) return MediaSockets{.rtp = std::move(*rtp), .rtcp = std::move(*rtcp)};
  }
  return std::unexpected(
      fmt::format("no two ports are free between {} and {}", config_.media_port_first, last));
}

auto Phone::make_call(std::string remote) -> std::expected<Call*, std::string> {
  auto sockets = open_media();
  if (!sockets) return std::unexpected(sockets.error());
  calls_.push_back(std::make_unique<Call>(++last_number_, std::move(sockets->rtp), std::move(sockets->rtcp),
                                          fmt::format("{}@{}", config_.user, config_.domain), random_));
  Call& call = *calls_.back();
  call.remote = std::move(remote);
  call.local.user = config_.user;
  call.local.session_id = call.local.version = random_.below(1U << 30U);
  call.local.internal = {.rtp = call.rtp.local_endpoint(), .rtcp = call.rtcp.local_endpoint()};
  call.local.nat64_prefix = nat64_prefix();
  call.local.codecs = config_.codecs;
  call.local.offers_alternatives = config_.offers_alternatives;
  call.patience = io::monotonic_now() + config_.mapping_wait;
  call.session.mute(config_.is_mute);
  call.rtp_watch = agent_->on_readable(call.rtp.descriptor(), [this, &call] { receive(call, false); });
  call.rtcp_watch = agent_->on_readable(call.rtcp.descriptor(), [this, &call] { receive(call, true); });
  if (mappings_ != nullptr)
    call.mapping = std::make_unique<MediaMapping>(*mappings_, call.local.internal.rtp.port,
                                                  config_.mapping_lifetime, config_.user, call.number);
  return &call;
}

auto Phone::call(const std::string& uri) -> std::expected<unsigned, std::string> {
  const auto place = parse_uri(uri);
  if (!place) return std::unexpected(place.error());
  auto made = make_call(uri);
  if (!made) return std::unexpected(made.error());
  (*made)->is_outgoing = true;
  // Addresses in URIs are not the server's to reach.
  (*made)->seeks_way = !IpAddress::parse(place->host);
  prepare(**made);
  return (*made)->number;
}

/// Goes on with a call whose mappings are there, or are not waited for any longer.
void Phone::prepare(Call& call) {
  if (call.is_ended || call.state != CallState::preparing || !knows_way(call)) return;
  if (call.mapping != nullptr && !call.mapping->is_settled() && io::monotonic_now() < call.patience) return;
  call.local.external = call.mapping != nullptr ? call.mapping->ends() : std::nullopt;
  call.local.nat64_prefix = nat64_prefix();
  if (call.is_outgoing) {
    offer(call);
    return;
  }
  if (call.offered) {
    // Nobody is to answer what can't become a call.
    if (const auto answer = make_answer(call.local, *call.offered); !answer)
      return refuse(call, not_acceptable_here, std::string(to_string(answer.error())));
  }
  call.state = CallState::ringing;
  agent_->ring(*call.id);
  tell({.kind = PhoneEvent::Kind::incoming, .call = call.number, .text = call.remote});
  if (call.wants_answer) try_answer(call);
}

/// Out  false: it is being found out where the INVITE goes, and prepare() called then
auto Phone::knows_way(Call& call) -> bool {
  if (!call.seeks_way) return true;
  if (!config_.server.empty()) {
    if (!has_server_) find_server();
    call.seeks_way = !has_server_;
  } else if (!call.lookup) {
    find_way(call);
  }
  return !call.seeks_way;
}

void Phone::find_way(Call& call) {
  call.lookup = ServerLookup::start(*parse_uri(call.remote), config_.transport, random_);
  call.lookup_watch = agent_->on_readable(call.lookup->descriptor(), [this, &call] {
    const auto places = call.lookup->take();
    if (!places || call.is_ended) return;
    call.lookup_watch = Agent::Watch();
    call.seeks_way = false;
    const auto way = way_to(*places, 0);
    if (!way) return end(call, 0, way.error());
    call.next_hop = *way;
    prepare(call);
  });
}

void Phone::offer(Call& call) {
  if (const auto place = parse_uri(call.remote))
    if (const auto literal = IpAddress::parse(place->host))
      if (const auto address = reached(*literal))
        call.next_hop = uri_of({.address = *address, .port = place->port.value_or(default_port)});
  note_told(call);
  const auto id = agent_->invite(call.remote, to_text(make_offer(call.local)), call.next_hop);
  if (!id) {
    end(call, 0, id.error());
    return;
  }
  call.id = *id;
  call.state = CallState::calling;
}

void Phone::answer(unsigned number) {
  Call* call = find(number);
  if (call == nullptr || call->is_outgoing) return;
  call->wants_answer = true;
  if (call->state == CallState::ringing) try_answer(*call);
}

void Phone::try_answer(Call& call) {
  note_told(call);
  if (!call.offered) {
    agent_->answer(*call.id, to_text(make_offer(call.local)));
    return;
  }
  const auto answer = make_answer(call.local, *call.offered);
  if (!answer) return refuse(call, not_acceptable_here, std::string(to_string(answer.error())));
  agent_->answer(*call.id, to_text(answer->description));
  begin_media(call, answer->agreement);
}

void Phone::begin_media(Call& call, const Agreement& agreement) {
  call.agreement = agreement;
  call.local.agreed = agreement.plan;
  call.session.begin(now_both(), agreement.plan);
  if (call.state != CallState::active) {
    call.state = CallState::active;
    tell({.kind = PhoneEvent::Kind::active,
          .call = call.number,
          .text = std::string(to_string(agreement.altc))});
  }
  serve_media(call);
}

void Phone::refuse(unsigned number) {
  Call* call = find(number);
  if (call == nullptr || call->is_outgoing || call->state == CallState::active) return;
  refuse(*call, busy, "Busy Here");
}

void Phone::refuse(Call& call, int status, const std::string& text) {
  agent_->refuse(*call.id, status);
  call.is_refused_here = true;
  end(call, status, text);
}

void Phone::hang_up(unsigned number) {
  Call* call = find(number);
  if (call == nullptr) return;
  if (call->state == CallState::active) {
    call->session.end(now_both());
    serve_media(*call);
  }
  if (call->id)
    agent_->hang_up(*call->id);
  else
    end(*call, 0, "hung up here");
}

void Phone::hold(unsigned number, bool is_held) {
  Call* call = find(number);
  if (call == nullptr || call->state != CallState::active) return;
  call->local.direction = is_held ? Direction::sendonly : Direction::sendrecv;
  want_change(*call);
}

auto Phone::send_digits(unsigned number, std::string_view digits) -> bool {
  Call* call = find(number);
  return call != nullptr && call->session.send_digits(digits);
}

void Phone::set_source(unsigned number, media::AudioSource source) {
  if (Call* call = find(number)) call->session.set_source(std::move(source));
}

void Phone::set_listener(unsigned number, std::function<void(std::span<const std::int16_t>)> listener) {
  if (Call* call = find(number)) call->session.set_listener(std::move(listener));
}

void Phone::record(unsigned number) {
  if (Call* call = find(number)) call->session.record();
}

// ---- media
// -------------------------------------------------------------------------------------------------

void Phone::receive(Call& call, bool is_rtcp) {
  const auto datagrams = (is_rtcp ? call.rtcp : call.rtp).receive();
  // ICMP errors tell nothing that the statistics don't.
  if (!datagrams) return;
  const media::MediaTime time = now_both();
  for (const io::ReceivedDatagram& each : *datagrams) {
    if (is_rtcp)
      call.session.receive_rtcp(time, each.source, each.payload);
    else
      call.session.receive_rtp(time, each.source, each.payload);
  }
  serve_media(call);
}

void Phone::serve_media(Call& call) {
  const media::MediaActions actions = call.session.take_actions();
  for (const media::MediaSend& each : actions.send)
    (each.is_rtcp ? call.rtcp : call.rtp).send({.destination = each.to, .payload = each.datagram});
  if (!actions.digits.empty())
    tell({.kind = PhoneEvent::Kind::digits, .call = call.number, .text = actions.digits});
}

// ---- the loop
// ----------------------------------------------------------------------------------------------

auto Phone::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> next;
  const auto consider = [&](const std::optional<TimePoint>& deadline) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  };
  consider(register_at_);
  for (const auto& call : calls_) {
    if (call->state == CallState::preparing && !call->seeks_way) consider(call->patience);
    consider(call->retry_at);
    consider(call->session.next_deadline());
  }
  return next;
}

void Phone::advance() {
  const media::MediaTime time = now_both();
  if (register_at_ && *register_at_ <= time.now) {
    register_at_.reset();
    find_server();
  }
  for (const auto& call : calls_) {
    if (call->is_ended) continue;
    prepare(*call);
    if (call->retry_at && *call->retry_at <= time.now) {
      call->retry_at.reset();
      send_change(*call);
    }
    call->session.advance(time);
    serve_media(*call);
  }
}

void Phone::step(Nanoseconds limit) {
  const TimePoint until = io::monotonic_now() + limit;
  is_woken_ = false;
  while (events_.empty() && !is_woken_) {
    const TimePoint next = std::min(next_deadline().value_or(until), until);
    agent_->step(std::max(next - io::monotonic_now(), Nanoseconds{0}));
    for (const AgentEvent& event : agent_->take_events())
      std::visit([this](const auto& happened) { on(happened); }, event);
    advance();
    drop_ended();
    if (io::monotonic_now() >= until) return;
  }
}

void Phone::end(Call& call, int status, const std::string& text) {
  if (call.is_ended) return;
  call.session.end(now_both());
  serve_media(call);
  call.is_ended = true;
  PhoneEvent event{.kind = PhoneEvent::Kind::ended,
                   .call = call.number,
                   .status = status,
                   .is_refused_here = call.is_refused_here,
                   .text = text};
  event.view = view(call);
  event.recording = call.session.recording();
  tell(std::move(event));
}

/// Not where they end: handlers of theirs may be at work.
void Phone::drop_ended() {
  std::erase_if(calls_, [](const auto& each) { return each->is_ended; });
}

// ---- signalling
// --------------------------------------------------------------------------------------------

void Phone::on(const Registered& event) {
  registration_retry_.reset();
  register_at_.reset();
  tell({.kind = PhoneEvent::Kind::registered,
        .text = fmt::format("for {} s", event.expires.count()),
        .place = agent_->place()});
}
void Phone::on(const RegistrationFailed& event) {
  PhoneEvent failed{
      .kind = PhoneEvent::Kind::registration_failed, .status = event.status, .text = event.phrase};
  ++registrations_failed_;
  if (RegistrationRetry::is_worth_it(event.status)) {
    const Milliseconds wait = registration_retry_.next(event.retry_after, random_);
    register_at_ = io::monotonic_now() + wait;
    failed.again_in = std::chrono::ceil<Seconds>(wait);
  }
  tell(std::move(failed));
}
void Phone::on(const Unregistered&) { tell({.kind = PhoneEvent::Kind::unregistered}); }

void Phone::on(const Incoming& event) {
  auto made = make_call(event.from);
  if (!made) {
    agent_->refuse(event.call, busy);
    return;
  }
  Call& call = **made;
  call.id = event.call;
  if (!event.sdp.empty()) {
    auto description = parse_sdp(event.sdp);
    if (!description) return refuse(call, not_acceptable_here, why_unreadable(description.error()));
    call.offered = std::move(*description);
  }
  prepare(call);
}

void Phone::on(const Offered& event) {
  Call* call = find(event.call);
  if (call == nullptr) return;
  ++call->local.version;
  if (event.sdp.empty()) {
    agent_->answer(event.call, to_text(make_offer(call->local)));
    note_told(*call);
    return;
  }
  const auto description = parse_sdp(event.sdp);
  const auto answer =
      description ? make_answer(call->local, *description) : std::unexpected(Refusal::no_audio);
  if (!answer) {
    agent_->refuse(event.call, not_acceptable_here);
    return;
  }
  agent_->answer(event.call, to_text(answer->description));
  note_told(*call);
  begin_media(*call, answer->agreement);
  tell({.kind = PhoneEvent::Kind::changed,
        .call = call->number,
        .text = std::string(to_string(answer->agreement.direction))});
}

void Phone::on(const Progress& event) {
  Call* call = find(event.call);
  if (call == nullptr || call->state == CallState::active) return;
  call->state = CallState::ringing;
  tell({.kind = PhoneEvent::Kind::ringing,
        .call = call->number,
        .status = event.status,
        .text = event.phrase});
}

void Phone::on(const Accepted& event) {
  Call* call = find(event.call);
  if (call == nullptr) return;
  call->is_changing = false;
  const auto description = parse_sdp(event.sdp);
  const auto agreement =
      description ? take_answer(call->local, *description) : std::unexpected(Refusal::no_address);
  if (!agreement) {
    const std::string why =
        fmt::format("the answer can't be used: {}",
                    description ? to_string(agreement.error()) : description.error().text);
    agent_->hang_up(event.call);
    call->is_refused_here = true;
    end(*call, not_acceptable_here, why);
    return;
  }
  begin_media(*call, *agreement);
  send_change(*call);
}

void Phone::on(const ChangeRefused& event) {
  Call* call = find(event.call);
  if (call == nullptr) return;
  call->is_changing = false;
  if (event.status == request_pending) {
    call->wants_change = true;
    const double wait_s =
        call->is_outgoing ? random_.uniform(retry_min_s, retry_max_s) : random_.uniform(0, retry_min_s - 0.1);
    call->retry_at = io::monotonic_now() + Nanoseconds{static_cast<Nanoseconds::rep>(wait_s * 1e9)};
    return;
  }
  tell({.kind = PhoneEvent::Kind::change_refused,
        .call = call->number,
        .status = event.status,
        .text = event.phrase});
  send_change(*call);
}

void Phone::on(const CallEnded& event) {
  Call* call = find(event.call);
  if (call == nullptr) return;
  // Nobody has heard of it yet.
  if (call->state == CallState::preparing && !call->is_outgoing) {
    call->is_ended = true;
    return;
  }
  end(*call, event.status,
      event.by_other_side && event.status == 0 ? event.phrase + " by the other side" : event.phrase);
}

void Phone::close(Milliseconds timeout) {
  config_.is_registering = false;
  register_at_.reset();
  server_watch_ = Agent::Watch();
  for (const auto& call : calls_) {
    if (!call->is_ended && !call->id) end(*call, 0, "hung up here");
  }
  for (const auto& call : calls_)
    if (!call->is_ended) hang_up(call->number);
  const TimePoint until = io::monotonic_now() + timeout;
  std::vector<PhoneEvent> told;
  while (!calls_.empty() && io::monotonic_now() < until) {
    step(until - io::monotonic_now());
    std::ranges::move(take_events(), std::back_inserter(told));
  }
  for (const auto& call : calls_) end(*call, 0, "no answer to our BYE");
  std::ranges::move(events_, std::back_inserter(told));
  events_ = std::move(told);
  agent_->close(timeout);
  for (const AgentEvent& event : agent_->take_events())
    if (const auto* gone = std::get_if<Unregistered>(&event)) on(*gone);
  calls_.clear();
  sip_mapping_.reset();
  if (mappings_ != nullptr) mappings_->flush(timeout);
}

}  // namespace portolan::sip
