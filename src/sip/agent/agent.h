// SPDX-License-Identifier: BSD-2-Clause
//
// SIP signalling (RFC 3261) by Sofia-SIP, and the event loop that it brings. It hides Sofia's headers.
//
// What others are to reach us at, our Via and Contact, is set apart from where the socket is: behind a NAT64
// it is the external endpoint of a mapping. Requests go to one next hop, whatever literal IPv4 addresses
// Routes and Contacts have (RFC 3261 s8.1.2): an IPv6-only host can't reach those. That hop has an address:
// names are looked up before (server_lookup.h).
//
// Everything runs on one thread, in step(). Nobody is called back by the signalling: take_events() has what
// happened. Handlers of watched descriptors are called in step().
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "sip/agent/events.h"
#include "sip/agent/traffic.h"

namespace portolan::sip {

enum class Transport : std::uint8_t { udp, tcp };
[[nodiscard]] auto to_string(Transport transport) -> std::string_view;

struct AgentConfig {
  /// Where it listens: an address of this host, and a port.
  Endpoint local = {};
  Transport transport = Transport::udp;
  std::string user = {};
  std::string domain = {};
  std::string auth_user = {};
  std::string password = {};
  /// An address as this host reaches it now, if it does; empty: as it is.
  std::function<std::optional<IpAddress>(const IpAddress&)> reached = {};
  Seconds registration_time{3600};
  std::string user_agent = "portolan-phone";
  /// Called with each line of each message as it is sent or received; empty: not.
  std::function<void(std::string_view)> on_trace = {};
  /// Called with each message; empty: not. Of a TCP connection our port is not known: `local` stands for it.
  TrafficObserver on_message = {};
};

class Agent {
 public:
  /// Calls at a time; one more from outside is answered "486 Busy Here".
  static constexpr std::size_t calls_max = 128;
  /// Credentials are sent this often in a row before a challenge counts as a refusal.
  static constexpr unsigned challenges_max = 2;

  /// A descriptor that is looked at while this lives; not to be closed before.
  class Watch {
   public:
    Watch() noexcept;
    Watch(Watch&& other) noexcept;
    auto operator=(Watch&& other) noexcept -> Watch&;
    ~Watch();

   private:
    friend class Agent;
    struct Registration;
    explicit Watch(std::unique_ptr<Registration> registration);
    std::unique_ptr<Registration> registration_;
  };

  /// Errors  text: the address can't be listened at
  [[nodiscard]] static auto open(AgentConfig config) -> std::expected<std::unique_ptr<Agent>, std::string>;
  Agent(const Agent&) = delete;
  auto operator=(const Agent&) -> Agent& = delete;
  /// Ends at once whatever is left; close() is the polite way.
  ~Agent();

  /// Calls `handler` in step() while `descriptor` is readable. Watches end before their Agent.
  [[nodiscard]] auto on_readable(int descriptor, std::function<void()> handler) -> Watch;
  /// Waits for the first thing that happens, at most `timeout`, and does it.
  void step(Nanoseconds timeout);
  [[nodiscard]] auto take_events() -> std::vector<AgentEvent>;

  /// Where others reach us from now on. Calls and registration learn of it by their next requests.
  void set_place(const Endpoint& reachable);
  [[nodiscard]] auto place() const -> const Endpoint&;

  /// Where registrations go from now on; if `takes_all` other requests too, and else where their URIs say.
  /// In  uri: SIP, without transport; its host is an address
  void set_server(const std::string& uri, bool takes_all);

  /// Registers the present place, in place of the one before, and again in time until it fails once. Nothing
  /// happens before there is a server.
  void register_place();
  /// Ends the registration, if there is one.
  void unregister();

  /// `next_hop` goes before the server: a URI as for set_server(). Errors  text: no URI, or too many calls
  [[nodiscard]] auto invite(const std::string& uri, const std::string& sdp, const std::string& next_hop = {})
      -> std::expected<CallId, std::string>;
  /// Offers `sdp` for the rest of the call (RFC 3261 s14).
  void change(CallId call, const std::string& sdp);
  /// Tells a caller that it rings here.
  void ring(CallId call);
  /// Accepts an incoming call or change.
  void answer(CallId call, const std::string& sdp);
  /// Refuses an incoming call or change by a status of RFC 3261 s21.
  void refuse(CallId call, int status);
  /// Ends a call, in whatever state it is.
  void hang_up(CallId call);

  /// Ends calls and registration and waits for answers, at most `timeout`.
  void close(Nanoseconds timeout);

 private:
  struct State;
  explicit Agent(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace portolan::sip
