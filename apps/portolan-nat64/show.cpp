// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-nat64/show.h"

#include <cstdio>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "control/codec.h"
#include "io/event_loop.h"

namespace portolan::nat64 {
namespace {

using nlohmann::ordered_json;

/// Names as in RFC 8512, where it has them.
auto json_of(const nat::BindingRow& row) -> ordered_json {
  return {{"type", row.is_explicit ? "dynamic-explicit" : "dynamic-implicit"},
          {"transport-protocol", to_string(row.protocol)},
          {"internal-src-address", to_string(row.internal.address)},
          {"internal-src-port", row.internal.port.value},
          {"external-src-address", to_string(row.external.address)},
          {"external-src-port", row.external.port.value},
          {"port-count", row.port_count},
          {"lifetime", row.remaining.count()},
          {"sessions", row.sessions},
          {"filters", row.filters}};
}

auto state_of(const nat::SessionRow& row) -> std::string_view {
  if (!row.state) return "-";
  switch (*row.state) {
    case nat::TcpState::v4_init: return "v4-init";
    case nat::TcpState::v6_init: return "v6-init";
    case nat::TcpState::established: return "established";
    case nat::TcpState::v4_fin: return "v4-fin";
    case nat::TcpState::v6_fin: return "v6-fin";
    case nat::TcpState::v4_and_v6_fin: return "v4-and-v6-fin";
    case nat::TcpState::trans: return "trans";
  }
  return "-";
}

auto json_of(const nat::SessionRow& row) -> ordered_json {
  return {{"transport-protocol", to_string(row.protocol)},
          {"internal-src-address", to_string(row.internal.address)},
          {"internal-src-port", row.internal.port.value},
          {"external-src-address", to_string(row.external.address)},
          {"external-src-port", row.external.port.value},
          {"external-dst-address", to_string(row.remote.address)},
          {"external-dst-port", row.remote.port.value},
          {"state", state_of(row)},
          {"begun-inside", row.is_outbound},
          {"kept", row.is_kept},
          {"lifetime", row.remaining.count()}};
}

auto json_of(const nat::HostRow& row) -> ordered_json {
  return {{"internal-src-address", to_string(row.address)},
          {"external-src-address", to_string(row.external_address)},
          {"bindings", row.bindings},
          {"sessions", row.sessions}};
}

auto json_of(const nat::PoolRow& row) -> ordered_json {
  return {{"external-ip-address", to_string(row.address)},
          {"udp-bindings", row.bindings[0]},
          {"tcp-bindings", row.bindings[1]},
          {"icmp-bindings", row.bindings[2]},
          {"udp-hold-downs", row.hold_downs[0]},
          {"tcp-hold-downs", row.hold_downs[1]},
          {"icmp-hold-downs", row.hold_downs[2]}};
}

/// 0 and what is unspecified stand for what everybody has; a port set of 1 for ports one by one.
auto json_of(const nat::ProfileRow& row) -> ordered_json {
  const nat::Allowance& asked = row.asked;
  ordered_json json{{"internal-prefix", to_string(row.internal)},
                    {"subscriber-prefix-length", asked.subscriber_prefix_length}};
  if (asked.external_address != Ipv4Address{})
    json["external-ip-address"] = to_string(asked.external_address);
  json["start-port-number"] = asked.external_ports.first.value;
  json["end-port-number"] = asked.external_ports.last.value;
  json["port-set-size"] = asked.port_block_size;
  json["port-quota"] = asked.ports_max;
  json["session-quota"] = asked.sessions_max;
  json["session-rate"] = asked.sessions_per_second_max;
  json["subscribers"] = row.subscribers;
  return json;
}

void print(const nat::BindingRow& row) {
  fmt::print("{} {} = {} {}", row.protocol, row.internal, row.external,
             row.is_explicit ? "explicit" : "implicit");
  if (row.port_count > 1) fmt::print(", {} ports", row.port_count);
  if (row.is_explicit) fmt::print(", {} s", row.remaining.count());
  fmt::print(", sessions {}, filters {}\n", row.sessions, row.filters);
}

void print(const nat::SessionRow& row) {
  fmt::print("{} {} = {} with {} {}, begun {}, {} s{}\n", row.protocol, row.internal, row.external,
             row.remote, state_of(row), row.is_outbound ? "inside" : "outside", row.remaining.count(),
             row.is_kept ? ", kept by PEER" : "");
}

void print(const nat::HostRow& row) {
  fmt::print("{} at {}, bindings {}, sessions {}\n", row.address, row.external_address, row.bindings,
             row.sessions);
}

void print(const nat::PoolRow& row) {
  fmt::print("{} bound: udp {}, tcp {}, icmp {}; held: udp {}, tcp {}, icmp {}\n", row.address,
             row.bindings[0], row.bindings[1], row.bindings[2], row.hold_downs[0], row.hold_downs[1],
             row.hold_downs[2]);
}

void print(const nat::ProfileRow& row) {
  const nat::Allowance& asked = row.asked;
  fmt::print("{}", row.internal);
  if (asked.subscriber_prefix_length != 0) fmt::print(", subscribers /{}", asked.subscriber_prefix_length);
  if (asked.external_address != Ipv4Address{}) fmt::print(", at {}", asked.external_address);
  if (asked.external_ports != PortRange{})
    fmt::print(", ports {}-{}", asked.external_ports.first, asked.external_ports.last);
  if (asked.port_block_size == nat::Allowance::no_port_blocks)
    fmt::print(", no blocks");
  else if (asked.port_block_size != 0)
    fmt::print(", blocks of {}", asked.port_block_size);
  if (asked.ports_max != 0) fmt::print(", at most {} ports", asked.ports_max);
  if (asked.sessions_max != 0) fmt::print(", at most {} sessions", asked.sessions_max);
  if (asked.sessions_per_second_max != 0) fmt::print(", {} new ones a second", asked.sessions_per_second_max);
  fmt::print("; subscribers {}\n", row.subscribers);
}

/// Text of the gateway, fit for a terminal.
auto printable(std::string text) -> std::string {
  for (char& octet : text)
    if (octet < ' ' || octet > '~') octet = '?';
  return text;
}

class Conversation {
 public:
  Conversation(const Asking& asking, const control::Request& query) : asking_(asking), query_(query) {}

  auto run() -> int {
    const auto address = io::parse_stream_address(asking_.connect);
    if (!address) return fail(exit_usage, fmt::format("--connect {} {}", asking_.connect, address.error()));
    io::TlsIdentity identity;
    if (address->kind == io::StreamAddress::Kind::tls) {
      auto loaded = io::TlsIdentity::load(asking_.tls);
      if (!loaded) return fail(exit_usage, loaded.error());
      identity = *std::move(loaded);
    }
    io::StreamHandlers handlers;
    handlers.received = [this](std::span<const std::byte> octets) { receive(octets); };
    handlers.closed = [this](const std::string& reason) {
      end(fail(exit_failure, fmt::format("{}: {}", asking_.connect, reason)));
    };
    stream_ = io::Stream::connect(loop_, *address, identity, std::move(handlers));
    send(control::ClientHello{.role = control::Role::reader, .program = "portolan-nat64"});
    send(query_);
    loop_.run();
    stream_.close();
    return result_;
  }

 private:
  static auto fail(int code, const std::string& text) -> int {
    std::fflush(stdout);
    fmt::print(stderr, "portolan-nat64: {}\n", text);
    return code;
  }

  void end(int code) {
    if (is_over_) return;
    is_over_ = true;
    result_ = code;
    loop_.stop();
  }

  void send(const control::Request& request) {
    std::vector<std::byte> frame;
    control::append_frame(request, frame);
    stream_.send(frame);
  }

  void receive(std::span<const std::byte> octets) {
    reader_.add(octets);
    while (!is_over_) {
      const auto message = reader_.next();
      if (!message) return end(fail(exit_failure, message.error()));
      if (!*message) return;
      const auto reply = control::decode_reply(**message);
      if (!reply) return end(fail(exit_failure, "the gateway's answer is not understood: " + reply.error()));
      std::visit([this](const auto& each) { take(each); }, *reply);
    }
  }

  void take(const auto& /*other*/) {}

  void take(const control::Error& error) { end(fail(exit_failure, printable(error.text))); }

  void take(const control::Counters& counters) {
    ordered_json json;
    for (const control::Counter& counter : counters.counters) {
      if (asking_.is_json)
        json[printable(counter.name)] = counter.value;
      else if (counter.value != 0)
        fmt::print("{} {}\n", printable(counter.name), counter.value);
    }
    if (asking_.is_json) fmt::print("{}\n", json.dump(2));
    end(exit_fine);
  }

  template <typename Row>
  void take(const control::Rows<Row>& rows) {
    for (const Row& row : rows.rows) {
      if (asking_.is_json)
        fmt::print("{}{}", std::exchange(separator_, ",\n"), json_of(row).dump());
      else
        print(row);
    }
    if (!rows.is_last) return;
    if (asking_.is_json) fmt::print("{}\n", separator_ == "[\n" ? "[]" : "\n]");
    end(exit_fine);
  }

  void take(const control::Trace& trace) {
    if (asking_.is_json) {
      ordered_json json{{"forwarded", trace.is_forwarded}, {"hairpinned", trace.is_hairpinned}};
      if (trace.is_forwarded) {
        json["source"] = to_string(trace.source);
        json["destination"] = to_string(trace.destination);
      } else {
        json["drop-reason"] = printable(trace.drop_reason);
      }
      if (trace.binding) json["binding"] = json_of(*trace.binding);
      if (trace.session) json["session"] = json_of(*trace.session);
      for (const std::string& step : trace.steps) json["steps"].push_back(printable(step));
      fmt::print("{}\n", json.dump(2));
    } else {
      for (const std::string& step : trace.steps) fmt::print("{}\n", printable(step));
    }
    end(trace.is_forwarded ? exit_fine : exit_dropped);
  }

  const Asking& asking_;
  const control::Request& query_;
  io::EventLoop loop_;
  io::Stream stream_;
  control::FrameReader reader_;
  std::string_view separator_ = "[\n";
  int result_ = exit_failure;
  bool is_over_ = false;
};

}  // namespace

auto ask(const Asking& asking, const control::Request& query) -> int {
  return Conversation(asking, query).run();
}

}  // namespace portolan::nat64
