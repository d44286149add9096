// SPDX-License-Identifier: BSD-2-Clause
#include "sip/agent/agent.h"

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "io/system.h"
#include "sip/agent/message_log.h"

#include <sofia-sip/msg_header.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/nua.h>
#include <sofia-sip/nua_tag.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/sip_tag.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/sresolv.h>
#include <sofia-sip/su.h>
#include <sofia-sip/su_log.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/tport_tag.h>
#include <sofia-sip/url.h>

extern "C" {
// Sofia's own loggers; its headers don't name them.
extern su_log_t tport_log[];
extern su_log_t nua_log[];
extern su_log_t nta_log[];
extern su_log_t nea_log[];
extern su_log_t soa_log[];
extern su_log_t sresolv_log[];
extern su_log_t stun_log[];
}

namespace portolan::sip {
namespace {

constexpr int busy = 486;
constexpr int unauthorized = 401;
constexpr int proxy_unauthorized = 407;
constexpr int trying = 100;
constexpr int success = 200;
constexpr int redirection = 300;
/// Sofia's own, for a challenge that our credentials were refused by already.
constexpr int no_new_challenge = 904;
constexpr Milliseconds step_max = std::chrono::seconds{60};
constexpr Milliseconds shut_down_time = std::chrono::seconds{1};
/// Sofia's own resolver is not to be used: it never comes back from a name server that there is no route to.
/// In a file without any it takes one on this host.
constexpr const char* no_name_servers = "/dev/null";

auto in_brackets(const IpAddress& address) -> std::string {
  return address.is_ipv4() ? to_string(address) : fmt::format("[{}]", address);
}

auto transport_parameter(Transport transport) -> std::string_view {
  return transport == Transport::tcp ? ";transport=tcp" : "";
}

/// Only what is said of SIP messages is of interest, and only if somebody wants a trace.
[[gnu::format(printf, 2, 0)]] void collect_trace(void* stream, const char* format, va_list arguments);
void drop_log(void*, const char*, va_list) {}

/// Sofia initialises itself once for the process.
struct Library {
  Library() { su_init(); }
  Library(const Library&) = delete;
  auto operator=(const Library&) -> Library& = delete;
  ~Library() { su_deinit(); }
};

auto text_of(const url_t& url) -> std::string {
  std::array<char, 512> buffer{};
  const isize_t length = url_e(buffer.data(), static_cast<isize_t>(buffer.size()), &url);
  return length > 0 && static_cast<std::size_t>(length) < buffer.size() ? std::string(buffer.data())
                                                                        : std::string();
}

/// Of a final answer: what the other side said, where Sofia has a number of its own.
void translate(int& status, std::string& phrase) {
  if (status != no_new_challenge) return;
  status = unauthorized;
  phrase = "Unauthorized";
}

auto sdp_of(const sip_t* sip) -> std::string {
  if (sip == nullptr || sip->sip_payload == nullptr || sip->sip_payload->pl_data == nullptr) return {};
  return {sip->sip_payload->pl_data, static_cast<std::size_t>(sip->sip_payload->pl_len)};
}

}  // namespace

auto to_string(Transport transport) -> std::string_view {
  return transport == Transport::tcp ? "tcp" : "udp";
}

struct Agent::State {
  struct Call {
    CallId id{};
    bool is_outgoing = false;
    bool is_confirmed = false;
    /// It was ended here; what comes of it later makes no call.
    bool is_given_up = false;
    /// A request of theirs waits for our answer.
    bool is_asked = false;
    /// Our answer had the offer, so theirs is in the ACK.
    bool expects_answer = false;
    unsigned challenges = 0;
    /// Why the latest change of ours was refused; Sofia-SIP ends the call itself after some refusals.
    std::string refusal;
    CallEnded ending{};
  };

  explicit State(AgentConfig given) : config(std::move(given)), place(config.local) {}
  State(const State&) = delete;
  auto operator=(const State&) -> State& = delete;
  ~State() {
    shut_down(io::monotonic_now() + shut_down_time);
    // Sofia ends the process that destroys what is not shut down; what does not end in time is left behind.
    if (nua != nullptr && !is_shut_down) return;
    if (nua != nullptr) nua_destroy(nua);
    if (root != nullptr) su_root_destroy(root);
  }

  // What it changes is Sofia-SIP's. NOLINTNEXTLINE(readability-make-member-function-const)
  void step(Nanoseconds timeout) {
    const auto whole =
        std::chrono::ceil<Milliseconds>(std::clamp<Nanoseconds>(timeout, Nanoseconds{0}, step_max));
    su_root_step(root, static_cast<su_duration_t>(whole.count()));
  }
  template <typename Condition>
  void step_until(Condition is_done, TimePoint deadline) {
    while (!is_done()) {
      const Nanoseconds left = deadline - io::monotonic_now();
      if (left <= Nanoseconds{0}) return;
      step(left);
    }
  }
  void shut_down(TimePoint deadline) {
    if (nua == nullptr || is_shut_down) return;
    nua_shutdown(nua);
    step_until([this] { return is_shut_down; }, deadline);
  }

  static void on_event(nua_event_t event, int status, const char* phrase, nua_t* nua, nua_magic_t* magic,
                       nua_handle_t* handle, nua_hmagic_t* handle_magic, const sip_t* sip, tagi_t tags[]) {
    static_cast<void>(nua);
    static_cast<void>(handle_magic);
    static_cast<State*>(magic)->take(event, status, phrase == nullptr ? "" : phrase, handle, sip, tags);
  }

  void take(nua_event_t event, int status, const std::string& phrase, nua_handle_t* handle, const sip_t* sip,
            tagi_t tags[]) {
    switch (event) {
      case nua_r_register: registered(status, phrase, handle, sip); break;
      case nua_r_unregister:
        if (handle == registration) {
          if (status < success) break;
          forget_registration();
          events.emplace_back(Unregistered{});
        }
        break;
      case nua_r_shutdown: is_shut_down = status >= success; break;
      case nua_i_invite: invited(handle, sip); break;
      case nua_r_invite: answered(status, phrase, handle, sip); break;
      case nua_i_ack: acknowledged(handle, sip); break;
      case nua_i_active: active(handle); break;
      case nua_i_bye:
        if (Call* call = find(handle)) call->ending = {.phrase = "hung up", .by_other_side = true};
        break;
      case nua_i_cancel:
        if (Call* call = find(handle)) call->ending = {.phrase = "the caller gave up", .by_other_side = true};
        break;
      case nua_i_state: changed_state(handle, tags); break;
      default: break;
    }
  }

  auto find(nua_handle_t* handle) -> Call* {
    const auto found = calls.find(handle);
    return found == calls.end() ? nullptr : &found->second;
  }
  auto handle_of(CallId id) -> nua_handle_t* {
    const auto found = std::ranges::find_if(calls, [id](const auto& each) { return each.second.id == id; });
    return found == calls.end() ? nullptr : found->first;
  }

  [[nodiscard]] auto contact() const -> std::string {
    return fmt::format("<sip:{}@{}:{}{}>", config.user, in_brackets(place.address), place.port,
                       transport_parameter(config.transport));
  }
  /// With rport (RFC 3581): without it Sofia writes its own port into a Via that is given.
  [[nodiscard]] auto via() const -> std::string {
    return fmt::format("SIP/2.0/{} {}:{};rport", config.transport == Transport::tcp ? "TCP" : "UDP",
                       in_brackets(place.address), place.port);
  }

  /// Out  false: there is no challenge, or it was answered often enough
  auto authenticate(nua_handle_t* handle, int status, const sip_t* sip, unsigned& challenges) -> bool {
    if (sip == nullptr || config.password.empty() || challenges >= challenges_max) return false;
    const sip_www_authenticate_t* challenge =
        status == unauthorized ? sip->sip_www_authenticate : sip->sip_proxy_authenticate;
    if (challenge == nullptr) return false;
    const char* realm = msg_params_find(challenge->au_params, "realm=");
    if (realm == nullptr) return false;
    ++challenges;
    const std::string credentials = fmt::format("Digest:{}:{}:{}", realm, config.auth_user, config.password);
    nua_authenticate(handle, NUTAG_AUTH(credentials.c_str()), TAG_END());
    return true;
  }

  void forget_registration() {
    is_registered = false;
    if (registration != nullptr) nua_handle_destroy(std::exchange(registration, nullptr));
  }

  void registered(int status, std::string phrase, nua_handle_t* handle, const sip_t* sip) {
    if (handle != registration || status < success) return;
    translate(status, phrase);
    if ((status == unauthorized || status == proxy_unauthorized) &&
        authenticate(handle, status, sip, registration_challenges))
      return;
    registration_challenges = 0;
    if (status >= redirection) {
      RegistrationFailed failed{.status = status, .phrase = phrase};
      if (sip != nullptr && sip->sip_retry_after != nullptr)
        failed.retry_after = Seconds{static_cast<Seconds::rep>(sip->sip_retry_after->af_delta)};
      // Sofia gives it up, and keeps nothing of it that could be taken up or withdrawn.
      forget_registration();
      events.emplace_back(std::move(failed));
      return;
    }
    is_registered = true;
    Seconds expires = config.registration_time;
    const std::string own = fmt::format("{}:{}", in_brackets(place.address), place.port);
    for (const sip_contact_t* each = sip != nullptr ? sip->sip_contact : nullptr; each != nullptr;
         each = each->m_next)
      if (each->m_expires != nullptr && text_of(*each->m_url).contains(own))
        expires = Seconds{static_cast<Seconds::rep>(std::strtoul(each->m_expires, nullptr, 10))};
    events.emplace_back(Registered{.expires = expires});
  }

  void invited(nua_handle_t* handle, const sip_t* sip) {
    Call* known = find(handle);
    if (known == nullptr && (calls.size() >= calls_max || sip == nullptr || sip->sip_from == nullptr)) {
      nua_respond(handle, busy, "Busy Here", TAG_END());
      nua_handle_destroy(handle);
      return;
    }
    if (known != nullptr) {
      known->is_asked = true;
      known->expects_answer = sdp_of(sip).empty();
      events.emplace_back(Offered{.call = known->id, .sdp = sdp_of(sip)});
      return;
    }
    Call& call = calls[handle];
    call.id = CallId{++last_id};
    call.is_asked = true;
    call.expects_answer = sdp_of(sip).empty();
    // Requests of ours in this call go the way it came: by the proxy that stays in it, or to the caller.
    const url_t* way = sip->sip_record_route != nullptr ? sip->sip_record_route->r_url
                       : sip->sip_contact != nullptr    ? sip->sip_contact->m_url
                                                        : nullptr;
    if ((way == nullptr || !use_next_hop(handle, *way)) && next_hop.empty() && sip->sip_via != nullptr)
      use_sender(handle, *sip->sip_via);
    events.emplace_back(
        Incoming{.call = call.id, .from = text_of(*sip->sip_from->a_url), .sdp = sdp_of(sip)});
  }

  void set_next_hop(nua_handle_t* handle, const std::string& uri) const {
    const std::string hop = uri + std::string(transport_parameter(config.transport));
    nua_set_hparams(handle, NUTAG_PROXY(hop.c_str()), TAG_END());
  }

  /// Literal addresses are named as this host reaches them. A name is not looked up.
  /// Out  false: it is a name, or can't be reached
  [[nodiscard]] auto use_next_hop(nua_handle_t* handle, const url_t& url) const -> bool {
    return use_next_hop(handle, url.url_host, url.url_port);
  }
  [[nodiscard]] auto use_next_hop(nua_handle_t* handle, const char* named, const char* port) const -> bool {
    if (named == nullptr) return false;
    std::string_view host = named;
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::parse(host);
    if (!address) return false;
    const auto reached = config.reached ? config.reached(*address) : address;
    if (!reached) return false;
    const bool has_port = port != nullptr && *port != '\0';
    set_next_hop(handle,
                 fmt::format("sip:{}{}{}", in_brackets(*reached), has_port ? ":" : "", has_port ? port : ""));
    return true;
  }
  /// Where a request came from (RFC 3261 s18.2.1, RFC 3581 s4).
  void use_sender(nua_handle_t* handle, const sip_via_t& via) const {
    static_cast<void>(use_next_hop(handle, via.v_received != nullptr ? via.v_received : via.v_host,
                                   via.v_rport != nullptr ? via.v_rport : via.v_port));
  }

  void answered(int status, std::string phrase, nua_handle_t* handle, const sip_t* sip) {
    Call* call = find(handle);
    if (call == nullptr || status <= trying) return;
    translate(status, phrase);
    if (status < success) {
      events.emplace_back(Progress{.call = call->id, .status = status, .phrase = phrase});
      return;
    }
    if ((status == unauthorized || status == proxy_unauthorized) && !call->is_given_up &&
        authenticate(handle, status, sip, call->challenges))
      return;
    call->challenges = 0;
    if (status >= redirection) {
      if (call->is_confirmed) {
        call->refusal = fmt::format("the other side answered {} {} to a change of ours", status, phrase);
        events.emplace_back(ChangeRefused{.call = call->id, .status = status, .phrase = phrase});
      } else {
        call->ending = {.status = status, .phrase = phrase, .by_other_side = true};
      }
      return;
    }
    call->refusal.clear();
    if (!call->is_confirmed && next_hop.empty() && sip != nullptr) {
      // Of the routes the last one is nearest to us (RFC 3261 s12.1.2).
      const sip_record_route_t* route = sip->sip_record_route;
      while (route != nullptr && route->r_next != nullptr) route = route->r_next;
      // Where it is a name requests go on to where the first one went.
      if (route != nullptr)
        static_cast<void>(use_next_hop(handle, route->r_url[0]));
      else if (sip->sip_contact != nullptr)
        static_cast<void>(use_next_hop(handle, sip->sip_contact->m_url[0]));
    }
    nua_ack(handle, SIPTAG_VIA_STR(via().c_str()), NTATAG_USER_VIA(1), TAG_END());
    confirm(handle, *call);
    if (call->is_given_up) return;
    events.emplace_back(Accepted{.call = call->id, .sdp = sdp_of(sip)});
  }

  /// What was ended here before can be ended only now: by their 200 that crossed our CANCEL (RFC 3261 s9.1),
  /// or between our 200 and their ACK (RFC 3261 s15).
  void confirm(nua_handle_t* handle, Call& call) const {
    if (!std::exchange(call.is_confirmed, true) && call.is_given_up) say_bye(handle);
  }

  void acknowledged(nua_handle_t* handle, const sip_t* sip) {
    Call* call = find(handle);
    if (call == nullptr) return;
    confirm(handle, *call);
    if (call->is_given_up) return;
    if (std::exchange(call->expects_answer, false))
      events.emplace_back(Accepted{.call = call->id, .sdp = sdp_of(sip)});
  }

  void active(nua_handle_t* handle) {
    if (Call* call = find(handle)) confirm(handle, *call);
  }

  void changed_state(nua_handle_t* handle, tagi_t tags[]) {
    int state = nua_callstate_init;
    tl_gets(tags, NUTAG_CALLSTATE_REF(state), TAG_END());
    if (state != nua_callstate_terminated) return;
    const auto found = calls.find(handle);
    if (found == calls.end()) return;
    CallEnded ending = std::move(found->second.ending);
    ending.call = found->second.id;
    if (ending.phrase.empty()) ending.phrase = std::move(found->second.refusal);
    if (ending.phrase.empty()) ending.phrase = "ended";
    calls.erase(found);
    nua_handle_destroy(handle);
    events.emplace_back(std::move(ending));
  }

  void say_bye(nua_handle_t* handle) const {
    nua_bye(handle, SIPTAG_VIA_STR(via().c_str()), NTATAG_USER_VIA(1), TAG_END());
  }

  void end(nua_handle_t* handle, Call& call) const {
    if (std::exchange(call.is_given_up, true)) return;
    if (call.ending.phrase.empty()) call.ending.phrase = "hung up here";
    if (call.is_confirmed)
      say_bye(handle);
    else if (call.is_outgoing)
      nua_cancel(handle, TAG_END());
    else
      nua_respond(handle, busy, "Busy Here", TAG_END());
  }

  void trace(std::string_view text) {
    for (const char each : text) {
      if (each != '\n') {
        trace_line += each;
        continue;
      }
      if (trace_line.ends_with('\r')) trace_line.pop_back();
      if (config.on_trace) config.on_trace(trace_line);
      if (config.on_message)
        if (const auto message = message_log.take(trace_line)) tell(*message);
      trace_line.clear();
    }
  }

  void tell(const MessageLog::Message& message) const {
    config.on_message({.protocol = message.protocol,
                       .source = message.is_sent ? config.local : message.remote,
                       .destination = message.is_sent ? message.remote : config.local,
                       .octets = std::as_bytes(std::span(message.text))});
  }

  AgentConfig config;
  Endpoint place;
  Library library;
  su_root_t* root = nullptr;
  nua_t* nua = nullptr;
  /// Where registrations go, and where other requests do; URIs.
  std::string server;
  std::string next_hop;
  nua_handle_t* registration = nullptr;
  bool is_registered = false;
  unsigned registration_challenges = 0;
  std::map<nua_handle_t*, Call> calls;
  std::uint64_t last_id = 0;
  std::vector<AgentEvent> events;
  bool is_shut_down = false;
  std::string trace_line;
  MessageLog message_log;
  std::function<void(std::string_view)> trace_sink;
};

namespace {

void collect_trace(void* stream, const char* format, va_list arguments) {
  std::array<char, 8192> text{};
  const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (length <= 0) return;
  const auto* sink = static_cast<const std::function<void(std::string_view)>*>(stream);
  (*sink)(std::string_view(text.data(), std::min(static_cast<std::size_t>(length), text.size() - 1)));
}

}  // namespace

struct Agent::Watch::Registration {
  su_root_t* root = nullptr;
  int index = -1;
  std::function<void()> handler;

  static auto wake(su_root_magic_t*, su_wait_t*, su_wakeup_arg_t* registration) -> int {
    // A copy: the handler may end its own watch.
    const std::function<void()> handler = static_cast<Registration*>(registration)->handler;
    handler();
    return 0;
  }
};

Agent::Watch::Watch(std::unique_ptr<Registration> registration) : registration_(std::move(registration)) {}
Agent::Watch::Watch() noexcept = default;
Agent::Watch::Watch(Watch&& other) noexcept = default;
auto Agent::Watch::operator=(Watch&& other) noexcept -> Watch& {
  std::swap(registration_, other.registration_);
  return *this;
}
Agent::Watch::~Watch() {
  if (registration_ != nullptr) su_root_deregister(registration_->root, registration_->index);
}

Agent::Agent(std::unique_ptr<State> state) : state_(std::move(state)) {}
Agent::~Agent() { su_log_redirect(nullptr, &drop_log, nullptr); }

auto Agent::open(AgentConfig config) -> std::expected<std::unique_ptr<Agent>, std::string> {
  auto state = std::make_unique<State>(std::move(config));
  const AgentConfig& settings = state->config;
  for (su_log_t* log : {static_cast<su_log_t*>(nullptr), tport_log, nua_log, nta_log, nea_log, soa_log,
                        sresolv_log, stun_log})
    su_log_redirect(log, &drop_log, nullptr);
  state->root = su_root_create(nullptr);
  if (state->root == nullptr) return std::unexpected("Sofia-SIP can't make its event loop");
  su_root_threading(state->root, 0);
  const std::string url = fmt::format("sip:{}:{};transport={}", in_brackets(settings.local.address),
                                      settings.local.port, to_string(settings.transport));
  const std::string from = fmt::format("<sip:{}@{}>", settings.user, settings.domain);
  const bool is_traced = settings.on_trace || settings.on_message;
  state->nua =
      nua_create(state->root, &State::on_event, state.get(), NUTAG_URL(url.c_str()),
                 SIPTAG_FROM_STR(from.c_str()), SIPTAG_USER_AGENT_STR(settings.user_agent.c_str()),
                 SIPTAG_ALLOW_STR("INVITE, ACK, BYE, CANCEL, OPTIONS"), SIPTAG_SUPPORTED(nullptr),
                 NUTAG_OUTBOUND("no-options-keepalive no-validate no-natify"), NUTAG_SESSION_TIMER(0),
                 TPTAG_LOG(is_traced ? 1 : 0), SRESTAG_RESOLV_CONF(no_name_servers), TAG_END());
  if (state->nua == nullptr)
    return std::unexpected(fmt::format("SIP can't listen at {} ({}): is the port in use? Name another one",
                                       to_string(settings.local), to_string(settings.transport)));
  nua_set_params(state->nua, NUTAG_MEDIA_ENABLE(0), NUTAG_AUTOANSWER(0), NUTAG_AUTOALERT(0), NUTAG_AUTOACK(0),
                 NTATAG_USER_VIA(1), TAG_END());
  std::unique_ptr<Agent> agent(new Agent(std::move(state)));
  if (is_traced) {
    State& traced = *agent->state_;
    traced.trace_sink = [&traced](std::string_view text) { traced.trace(text); };
    // Messages go to the default log, whatever the transport's own is.
    su_log_redirect(nullptr, &collect_trace, &traced.trace_sink);
  }
  return agent;
}

auto Agent::on_readable(int descriptor, std::function<void()> handler) -> Watch {
  auto registration = std::make_unique<Watch::Registration>();
  registration->root = state_->root;
  registration->handler = std::move(handler);
  su_wait_t wait{};
  su_wait_create(&wait, descriptor, SU_WAIT_IN);
  registration->index =
      su_root_register(state_->root, &wait, &Watch::Registration::wake, registration.get(), su_pri_normal);
  return Watch(std::move(registration));
}

void Agent::step(Nanoseconds timeout) { state_->step(timeout); }

auto Agent::take_events() -> std::vector<AgentEvent> { return std::exchange(state_->events, {}); }

void Agent::set_place(const Endpoint& reachable) { state_->place = reachable; }
auto Agent::place() const -> const Endpoint& { return state_->place; }

void Agent::set_server(const std::string& uri, bool takes_all) {
  State& state = *state_;
  state.server = uri;
  if (!takes_all) return;
  state.next_hop = uri + std::string(transport_parameter(state.config.transport));
  nua_set_params(state.nua, NUTAG_PROXY(state.next_hop.c_str()), TAG_END());
}

void Agent::register_place() {
  State& state = *state_;
  if (state.server.empty()) return;
  // Destroying the handle before withdraws what it registered.
  state.forget_registration();
  const std::string aor = fmt::format("<sip:{}@{}>", state.config.user, state.config.domain);
  const std::string registrar = fmt::format("sip:{}", state.config.domain);
  state.registration = nua_handle(state.nua, nullptr, SIPTAG_TO_STR(aor.c_str()), TAG_END());
  state.registration_challenges = 0;
  state.set_next_hop(state.registration, state.server);
  nua_register(
      state.registration, NUTAG_REGISTRAR(registrar.c_str()), SIPTAG_CONTACT_STR(state.contact().c_str()),
      SIPTAG_VIA_STR(state.via().c_str()), NTATAG_USER_VIA(1),
      SIPTAG_EXPIRES_STR(fmt::format("{}", state.config.registration_time.count()).c_str()), TAG_END());
}

void Agent::unregister() {
  if (state_->is_registered)
    nua_unregister(state_->registration, TAG_END());
  else
    state_->forget_registration();
}

auto Agent::invite(const std::string& uri, const std::string& sdp, const std::string& next_hop)
    -> std::expected<CallId, std::string> {
  State& state = *state_;
  if (state.calls.size() >= calls_max)
    return std::unexpected(fmt::format("there are {} calls already", calls_max));
  nua_handle_t* handle = nua_handle(state.nua, nullptr, SIPTAG_TO_STR(uri.c_str()), TAG_END());
  if (handle == nullptr)
    return std::unexpected(fmt::format("'{}' is no SIP URI: give one like sip:13@mysip.example", uri));
  State::Call& call = state.calls[handle];
  call.id = CallId{++state.last_id};
  call.is_outgoing = true;
  if (!next_hop.empty()) state.set_next_hop(handle, next_hop);
  nua_invite(handle, SIPTAG_CONTACT_STR(state.contact().c_str()), SIPTAG_VIA_STR(state.via().c_str()),
             NTATAG_USER_VIA(1), NUTAG_AUTOACK(0), SIPTAG_CONTENT_TYPE_STR("application/sdp"),
             SIPTAG_PAYLOAD_STR(sdp.c_str()), TAG_END());
  return call.id;
}

void Agent::change(CallId call, const std::string& sdp) {
  State& state = *state_;
  nua_handle_t* handle = state.handle_of(call);
  if (handle == nullptr) return;
  nua_invite(handle, SIPTAG_CONTACT_STR(state.contact().c_str()), SIPTAG_VIA_STR(state.via().c_str()),
             NTATAG_USER_VIA(1), NUTAG_AUTOACK(0), SIPTAG_CONTENT_TYPE_STR("application/sdp"),
             SIPTAG_PAYLOAD_STR(sdp.c_str()), TAG_END());
}

void Agent::ring(CallId call) {
  if (nua_handle_t* handle = state_->handle_of(call))
    nua_respond(handle, SIP_180_RINGING, SIPTAG_CONTACT_STR(state_->contact().c_str()), TAG_END());
}

void Agent::answer(CallId call, const std::string& sdp) {
  nua_handle_t* handle = state_->handle_of(call);
  if (handle == nullptr || !std::exchange(state_->find(handle)->is_asked, false)) return;
  nua_respond(handle, SIP_200_OK, SIPTAG_CONTACT_STR(state_->contact().c_str()),
              SIPTAG_CONTENT_TYPE_STR("application/sdp"), SIPTAG_PAYLOAD_STR(sdp.c_str()), TAG_END());
}

void Agent::refuse(CallId call, int status) {
  nua_handle_t* handle = state_->handle_of(call);
  if (handle == nullptr || !std::exchange(state_->find(handle)->is_asked, false)) return;
  State::Call& refused = *state_->find(handle);
  if (!refused.is_confirmed) refused.ending = {.status = status, .phrase = sip_status_phrase(status)};
  // Sofia keeps the pointer until it sends.
  nua_respond(handle, status, sip_status_phrase(status), TAG_END());
}

void Agent::hang_up(CallId call) {
  if (nua_handle_t* handle = state_->handle_of(call)) state_->end(handle, *state_->find(handle));
}

void Agent::close(Nanoseconds timeout) {
  State& state = *state_;
  const TimePoint deadline = io::monotonic_now() + timeout;
  for (auto& [handle, call] : state.calls) state.end(handle, call);
  unregister();
  state.step_until([&] { return state.calls.empty() && state.registration == nullptr; }, deadline);
  state.shut_down(deadline);
}

}  // namespace portolan::sip
