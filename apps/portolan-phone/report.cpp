// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/report.h"

#include <chrono>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace portolan::phone {
namespace {

using nlohmann::json;
using sip::PhoneEvent;

auto in_ms(Nanoseconds time) -> double { return std::chrono::duration<double, std::milli>(time).count(); }

auto loss_percent(const media::Statistics& statistics) -> double {
  if (statistics.packets_expected == 0 || statistics.packets_lost <= 0) return 0;
  return 100.0 * static_cast<double>(statistics.packets_lost) /
         static_cast<double>(statistics.packets_expected);
}

auto call_json(const sip::CallView& call) -> json {
  const media::Statistics& statistics = call.statistics;
  json object{{"remote", call.remote},
              {"outgoing", call.is_outgoing},
              {"internal", to_string(call.internal.rtp)},
              {"packets-sent", statistics.packets_sent},
              {"packets-received", statistics.packets_received},
              {"packets-expected", statistics.packets_expected},
              {"packets-lost", statistics.packets_lost},
              {"packets-late", statistics.packets_late},
              {"packets-stray", statistics.packets_stray},
              {"packets-unknown", statistics.packets_unknown},
              {"packets-undecodable", statistics.packets_undecodable},
              {"packets-malformed", statistics.packets_malformed},
              {"reports-sent", statistics.reports_sent},
              {"reports-received", statistics.reports_received},
              {"jitter-ms", in_ms(statistics.jitter)},
              {"buffer-ms", in_ms(statistics.buffer_delay)}};
  if (statistics.round_trip) object["round-trip-ms"] = in_ms(*statistics.round_trip);
  if (statistics.told) object["told-lost"] = statistics.told->cumulative_lost;
  if (call.external) {
    object["external"] = to_string(call.external->rtp);
    object["external-rtcp"] = to_string(call.external->rtcp);
  }
  if (call.agreement) {
    object["codec"] = media::to_string(call.agreement->plan.codec);
    object["family"] = to_string(call.agreement->family);
    object["altc"] = sip::to_string(call.agreement->altc);
    object["direction"] = sip::to_string(call.agreement->direction);
    object["remote-rtp"] = to_string(statistics.remote_rtp);
    object["remote-rtcp"] = to_string(call.agreement->plan.remote_rtcp);
  }
  return object;
}

auto with_reason(std::string text, const PhoneEvent& event) -> std::string {
  if (event.status != 0) text += fmt::format(": {}", event.status);
  if (!event.text.empty()) text += fmt::format("{} {}", event.status != 0 ? "" : ":", event.text);
  // What this phone itself refused needs no guess at the other side's reasons.
  const std::string hint = event.is_refused_here ? std::string() : advice(event.status);
  if (!hint.empty()) text += fmt::format(" ({})", hint);
  return text;
}

auto registration_failed_text(const PhoneEvent& event) -> std::string {
  std::string text = with_reason("the registration failed", event);
  if (event.again_in) text += fmt::format("; it is tried again in {} s", event.again_in->count());
  return text;
}

auto ended_text(const PhoneEvent& event) -> std::string {
  const bool is_call_refused = event.is_refused_here && event.view && !event.view->is_outgoing;
  std::string text = with_reason(
      is_call_refused ? fmt::format("call {} from {} was refused here", event.call, event.view->remote)
                      : fmt::format("call {} ended", event.call),
      event);
  if (!event.view || !event.view->agreement) return text;
  const media::Statistics& statistics = event.view->statistics;
  text +=
      fmt::format("; sent {} packets, received {}, lost {:.1f} %, jitter {:.1f} ms", statistics.packets_sent,
                  statistics.packets_received, loss_percent(statistics), in_ms(statistics.jitter));
  if (statistics.round_trip) text += fmt::format(", round trip {:.1f} ms", in_ms(*statistics.round_trip));
  if (statistics.packets_received == 0)
    text += "; nothing was heard: is there a mapping, and does the other side send?";
  return text;
}

}  // namespace

auto advice(int status) -> std::string {
  switch (status) {
    case 401:
    case 403:
    case 407:
      return "the server does not accept user and password: look at --user, --auth-user and --password";
    case 404: return "nobody of that name is known there";
    case 408: return "no answer: is the address right, and the server reachable?";
    case 480: return "the phone that was called is not registered";
    case 486: return "busy";
    case 488:
      return "the other side can't use what was offered: without a mapping this phone has only an IPv6 "
             "address to offer";
    case 503: return "there is no way to the server: look at --server and the NAT64 prefix";
    default: return {};
  }
}

auto event_text(const PhoneEvent& event) -> std::string {
  const std::string place = event.place ? to_string(*event.place) : std::string();
  switch (event.kind) {
    case PhoneEvent::Kind::mapped: return fmt::format("reachable at {}", place);
    case PhoneEvent::Kind::unmapped:
      return fmt::format("not reachable from the IPv4 Internet: {}", event.text);
    case PhoneEvent::Kind::registered: return fmt::format("registered at {} {}", place, event.text);
    case PhoneEvent::Kind::registration_failed: return registration_failed_text(event);
    case PhoneEvent::Kind::unregistered: return "not registered any more";
    case PhoneEvent::Kind::incoming:
      return fmt::format("call {} from {}: answer or refuse?", event.call, event.text);
    case PhoneEvent::Kind::ringing: return with_reason(fmt::format("call {}", event.call), event);
    case PhoneEvent::Kind::active: return fmt::format("call {} is active; {}", event.call, event.text);
    case PhoneEvent::Kind::moved: return fmt::format("call {} moved: we are at {} now", event.call, place);
    case PhoneEvent::Kind::changed:
      return fmt::format("the other side changed call {}: we are {}", event.call, event.text);
    case PhoneEvent::Kind::change_refused:
      return with_reason(fmt::format("call {} was not changed", event.call), event);
    case PhoneEvent::Kind::digits: return fmt::format("call {}: digits {}", event.call, event.text);
    case PhoneEvent::Kind::ended: return ended_text(event);
  }
  return {};
}

auto event_json(const PhoneEvent& event) -> std::string {
  json object{{"event", sip::to_string(event.kind)}};
  if (event.call != 0) object["call"] = event.call;
  if (event.status != 0) object["status"] = event.status;
  if (!event.text.empty()) object["text"] = event.text;
  if (event.place) {
    object["address"] = to_string(event.place->address);
    object["port"] = event.place->port.value;
  }
  if (event.again_in) object["again-in-s"] = event.again_in->count();
  if (event.view) object.update(call_json(*event.view));
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

auto call_text(const sip::CallView& call) -> std::string {
  std::string text = fmt::format("{} {} {} {}", call.number, call.is_outgoing ? "to" : "from", call.remote,
                                 sip::to_string(call.state));
  if (call.agreement) {
    text += fmt::format(", {} over {}, {}, loss {:.1f} %, jitter {:.1f} ms",
                        media::to_string(call.agreement->plan.codec), call.agreement->family,
                        sip::to_string(call.agreement->direction), loss_percent(call.statistics),
                        in_ms(call.statistics.jitter));
  }
  if (call.external) text += fmt::format(", mapped to {}", to_string(call.external->rtp));
  return text;
}

}  // namespace portolan::phone
