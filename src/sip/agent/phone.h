// SPDX-License-Identifier: BSD-2-Clause
//
// A phone: signalling, mappings and media of several calls, in one event loop. It tells who uses it what
// happened by take_events(); everything else goes by itself: registration again in time, renewal of mappings,
// and, when an external address or port changes, a new registration and a new offer in the calls.
//
//   phone->call(uri); for (;;) { phone->step(limit); for (event : phone->take_events()) ...; }
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "io/udp.h"
#include "media/audio.h"
#include "media/session.h"
#include "sip/agent/agent.h"
#include "sip/agent/mappings.h"
#include "sip/agent/server_lookup.h"
#include "sip/offer.h"
#include "sip/registration_retry.h"

namespace portolan::sip {

struct PhoneConfig {
  std::string user;
  std::string domain;
  std::string auth_user;
  std::string password;
  bool is_registering = true;
  Seconds registration_time{3600};
  /// "mysip.example", "192.0.2.13:5070"; empty: calls go where their URIs say.
  std::string server;
  Transport transport = Transport::udp;
  /// Of this host; SIP and media are there.
  IpAddress address;
  Port sip_port{5060};
  /// How many ports are tried, from that one on: it may be in use, or mapped for somebody who was here
  /// before.
  unsigned sip_ports = 8;
  /// Each call takes an even one of these and the one behind it, somewhere among them.
  Port media_port_first{7078};
  unsigned media_ports = 900;
  /// Found otherwise; what the PCP server tells goes before it.
  std::optional<Prefix> nat64_prefix;
  bool uses_pcp = true;
  std::vector<std::string> pcp_servers;
  Seconds mapping_lifetime{3600};
  /// How long a mapping is waited for before it goes on without.
  Milliseconds mapping_wait{3000};
  std::vector<media::Codec> codecs = {media::Codec::pcmu, media::Codec::pcma, media::Codec::opus};
  bool offers_alternatives = true;
  /// Sends no RTP of its own.
  bool is_mute = false;
  std::function<void(std::string_view)> on_sip_trace;
  std::function<void(std::string_view)> on_pcp_trace;
  /// Sees SIP's messages and PCP's datagrams.
  TrafficObserver on_traffic;
};

enum class CallState : std::uint8_t { preparing, calling, ringing, active };
[[nodiscard]] auto to_string(CallState state) -> std::string_view;

/// A call as it is now.
struct CallView {
  unsigned number = 0;
  bool is_outgoing = false;
  std::string remote = {};
  CallState state = CallState::preparing;
  std::optional<Agreement> agreement = {};
  Ends internal = {};
  std::optional<Ends> external = {};
  bool is_held = false;
  media::Statistics statistics = {};
};

struct PhoneEvent {
  enum class Kind : std::uint8_t {
    mapped,    ///< SIP is reachable at `place`
    unmapped,  ///< no PCP server gave a mapping for SIP, or it was lost: `text` says why
    registered,
    registration_failed,
    unregistered,
    incoming,  ///< a call rings
    ringing,   ///< at the other side
    active,
    moved,           ///< our media or SIP are elsewhere, and the call was told
    changed,         ///< the other side changed the call
    change_refused,  ///< by the other side
    digits,
    ended,
  };
  Kind kind{};
  unsigned call = 0;  ///< number; 0: about no call
  int status = 0;     ///< of SIP
  /// That status is what this phone answered.
  bool is_refused_here = false;
  std::string text = {};  ///< phrase, digits
  std::optional<Endpoint> place = {};
  /// Of a registration that failed: when it is tried again, if it is.
  std::optional<Seconds> again_in = {};
  /// Of a call that ended: how it was.
  std::optional<CallView> view = {};
  std::vector<std::int16_t> recording = {};
};
[[nodiscard]] auto to_string(PhoneEvent::Kind kind) -> std::string_view;

class Phone {
 public:
  /// Waits for the mapping of SIP as long as the configuration says.
  /// In      random: borrowed for the phone's life
  /// Errors  text
  [[nodiscard]] static auto open(PhoneConfig config, Random& random)
      -> std::expected<std::unique_ptr<Phone>, std::string>;
  Phone(const Phone&) = delete;
  auto operator=(const Phone&) -> Phone& = delete;
  ~Phone();

  [[nodiscard]] auto on_readable(int descriptor, std::function<void()> handler) -> Agent::Watch {
    return agent_->on_readable(descriptor, [this, handler = std::move(handler)] {
      is_woken_ = true;
      handler();
    });
  }
  /// Serves what happens until something was told or a handler was called, at most `limit`.
  void step(Nanoseconds limit);
  [[nodiscard]] auto take_events() -> std::vector<PhoneEvent>;

  /// Errors  text: no URI, no ports, too many calls
  [[nodiscard]] auto call(const std::string& uri) -> std::expected<unsigned, std::string>;
  /// The rest do nothing for a number that no call has, or where it makes no sense.
  void answer(unsigned number);
  void refuse(unsigned number);
  void hang_up(unsigned number);
  void hold(unsigned number, bool is_held);
  [[nodiscard]] auto send_digits(unsigned number, std::string_view digits) -> bool;
  void set_source(unsigned number, media::AudioSource source);
  /// `listener` is called with what the call hears, 20 ms of it each, at the pace of sending.
  void set_listener(unsigned number, std::function<void(std::span<const std::int16_t>)> listener);
  void record(unsigned number);

  [[nodiscard]] auto calls() const -> std::vector<CallView>;
  /// Where SIP is reachable, if mapped.
  [[nodiscard]] auto place() const -> std::optional<Endpoint>;
  [[nodiscard]] auto nat64_prefix() const -> std::optional<Prefix>;

  /// Ends calls, registration and mappings, each of which may take `timeout`.
  void close(Milliseconds timeout);

 private:
  struct Call;
  Phone(PhoneConfig config, Random& random);

  [[nodiscard]] auto start() -> std::expected<void, std::string>;
  [[nodiscard]] auto map_sip(Port port) -> bool;
  [[nodiscard]] auto open_agent(Port port) -> std::expected<void, std::string>;
  [[nodiscard]] auto reached(const IpAddress& address) const -> std::optional<IpAddress>;
  [[nodiscard]] auto way_to(const ServerPlaces& places, unsigned attempt) const
      -> std::expected<std::string, std::string>;
  void find_server();
  void use_server(const ServerPlaces& places);
  [[nodiscard]] auto knows_way(Call& call) -> bool;
  void find_way(Call& call);
  struct MediaSockets {
    io::UdpSocket rtp;
    io::UdpSocket rtcp;
  };
  [[nodiscard]] auto open_media() -> std::expected<MediaSockets, std::string>;
  [[nodiscard]] auto make_call(std::string remote) -> std::expected<Call*, std::string>;
  [[nodiscard]] auto next_deadline() const -> std::optional<TimePoint>;
  void advance();
  void prepare(Call& call);
  void offer(Call& call);
  void try_answer(Call& call);
  void refuse(Call& call, int status, const std::string& text);
  void begin_media(Call& call, const Agreement& agreement);
  void serve_media(Call& call);
  void receive(Call& call, bool is_rtcp);
  void look_at_mappings();
  void look_at_sip_mapping();
  void follow_mapping(Call& call);
  void note_told(Call& call);
  void want_change(Call& call);
  void send_change(Call& call);

  void on(const Registered& event);
  void on(const RegistrationFailed& event);
  void on(const Unregistered& event);
  void on(const Incoming& event);
  void on(const Offered& event);
  void on(const Progress& event);
  void on(const Accepted& event);
  void on(const ChangeRefused& event);
  void on(const CallEnded& event);

  [[nodiscard]] auto find(unsigned number) -> Call*;
  [[nodiscard]] auto find(CallId id) -> Call*;
  [[nodiscard]] static auto view(const Call& call) -> CallView;
  void tell(PhoneEvent event) { events_.push_back(std::move(event)); }
  void end(Call& call, int status, const std::string& text);
  void drop_ended();

  PhoneConfig config_;
  Random& random_;
  std::unique_ptr<Mappings> mappings_;
  std::unique_ptr<PortMapping> sip_mapping_;
  std::unique_ptr<Agent> agent_;
  Agent::Watch mappings_watch_;
  /// Under way: where the server is.
  std::optional<ServerLookup> server_lookup_;
  Agent::Watch server_watch_;
  bool has_server_ = false;
  RegistrationRetry registration_retry_;
  std::optional<TimePoint> register_at_;
  unsigned registrations_failed_ = 0;
  /// Where SIP is reachable, as told.
  std::optional<Endpoint> told_place_;
  std::vector<std::unique_ptr<Call>> calls_;
  unsigned last_number_ = 0;
  std::vector<PhoneEvent> events_;
  bool is_woken_ = false;
};

}  // namespace portolan::sip
