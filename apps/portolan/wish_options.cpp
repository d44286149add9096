// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/wish_options.h"

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "portolan/agent_options.h"
#include "portolan/arguments.h"

namespace portolan {
namespace {

using arguments::parse_address;
using arguments::parse_number;
using arguments::parse_port;
using arguments::refuse;

void add_flow(CLI::App& app, client::Wish& wish, const std::string& port_help) {
  app.add_option_function<std::string>(
         "PROTOCOL",
         [&wish](const std::string& text) {
           const auto protocol = text == "all" ? Protocol::all : parse_protocol(text);
           if (!protocol)
             refuse("PROTOCOL", text, "is no protocol: give tcp, udp, sctp, all, or a number from 0 to 255");
           wish.protocol = *protocol;
         },
         "tcp, udp, sctp, all, or an IANA protocol number")
      ->required();
  app.add_option_function<std::string>(
         "INTERNAL_PORT",
         [&wish](const std::string& text) {
           wish.internal_port = parse_port("INTERNAL_PORT", text,
                                           "is no port: give a number from 1 to 65535, or 0 for all ports");
         },
         port_help)
      ->required();
}

void add_remote_peer(CLI::App& app, client::Wish& wish) {
  app.add_option_function<std::string>(
         "PEER_ADDRESS",
         [&wish](const std::string& text) {
           wish.remote_peer->address = parse_address("PEER_ADDRESS", text);
         },
         "the other end of the connection, as this host sees it")
      ->required();
  app.add_option_function<std::string>(
         "PEER_PORT",
         [&wish](const std::string& text) {
           wish.remote_peer->port = Port{static_cast<std::uint16_t>(
               parse_number("PEER_PORT", text, 1, UINT16_MAX, "is no port: give a number from 1 to 65535"))};
         },
         "and its port")
      ->required();
}

void add_external(CLI::App& app, client::Wish& wish) {
  app.add_option_function<std::string>(
         "--external-port",
         [&wish](const std::string& text) {
           wish.suggested_external_port =
               parse_port("--external-port", text, "is no port: give a number from 0 to 65535, 0 for any");
         },
         "external port to suggest [any]")
      ->type_name("PORT");
  app.add_option_function<std::string>(
         "--external-address",
         [&wish](const std::string& text) {
           wish.suggested_external_address = parse_address("--external-address", text);
         },
         "external address to suggest; 0.0.0.0 or :: for any of that family [0.0.0.0]")
      ->type_name("ADDRESS");
}

void add_lifetime(CLI::App& app, client::Wish& wish, const std::string& remedy) {
  app.add_option_function<std::string>(
         "--lifetime",
         [&wish, remedy](const std::string& text) {
           wish.lifetime = Seconds{parse_number("--lifetime", text, 1, UINT32_MAX, remedy)};
         },
         "seconds to ask for [7200]")
      ->type_name("SECONDS");
}

void add_nonce(CLI::App& app, client::Wish& wish) {
  app.add_option_function<std::string>(
         "--nonce",
         [&wish](const std::string& text) {
           wish.nonce = Nonce::parse(text);
           if (!wish.nonce)
             refuse("--nonce", text,
                    "is no mapping nonce: give the 24 hexadecimal digits that were printed when it was made");
         },
         "nonce of an existing mapping, to renew or delete it [random]")
      ->type_name("HEX24");
}

void add_common(CLI::App& app, MapCommand& command) {
  client::Wish& wish = command.wish;
  app.add_option_function<std::string>(
         "--third-party",
         [&wish](const std::string& text) { wish.third_party = parse_address("--third-party", text); },
         "host that the mapping is for, instead of this one; few servers allow it")
      ->type_name("ADDRESS");
  app.add_option_function<std::string>(
         "--third-party-id",
         [&wish](const std::string& text) {
           wish.third_party_id = arguments::parse_hex("--third-party-id", text);
         },
         "its identifier, where its address alone does not tell (RFC 7843)")
      ->type_name("HEX");
  app.add_option("--description", wish.description, "what the mapping is for, for whoever lists them")
      ->type_name("TEXT");
  app.add_flag("--nat64-prefix", wish.wants_nat64_prefix, "ask for the prefix of the server's NAT64 too");
  app.add_option_function<std::string>(
         "--speak",
         [&command](const std::string& text) {
           if (text == "pcp")
             command.speech = client::Speech::pcp;
           else if (text == "nat-pmp")
             command.speech = client::Speech::nat_pmp;
           else if (text != "auto")
             refuse("--speak", text, "is no protocol to speak: give auto, pcp or nat-pmp");
         },
         "pcp, nat-pmp, or auto: NAT-PMP where an IPv4 server knows nothing else [auto]")
      ->type_name("PROTOCOL");
}

void add_map_options(CLI::App& app, client::Wish& wish) {
  app.add_flag("--prefer-failure", wish.prefer_failure, "rather fail than take another external port");
  app.add_option_function<std::vector<std::string>>(
         "--filter",
         [&wish](const std::vector<std::string>& texts) {
           for (const std::string& text : texts)
             wish.filters.push_back(arguments::parse_filter("--filter", text));
         },
         "who may send to it, as this host sees them; may be given again [everyone]")
      ->type_name("PREFIX[,PORT]")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option_function<std::string>(
         "--port-set",
         [&wish](const std::string& text) {
           wish.port_count = static_cast<std::uint16_t>(
               parse_number("--port-set", text, 1, UINT16_MAX,
                            "is no number of ports: give 1 to 65535, 65535 for as many as there are"));
         },
         "number of ports in a row, from INTERNAL_PORT on [1]")
      ->type_name("COUNT");
  app.add_flag("--parity", wish.keeps_parity,
               "external ports of a set are even or odd as the internal ones are");
}

}  // namespace

void add_map(CLI::App& app, MapCommand& command) {
  client::Wish& wish = command.wish;
  add_flow(app, wish, "port of this host to make reachable; 0 means all ports");
  add_external(app, wish);
  add_lifetime(app, wish, "is no lifetime: give seconds from 1 to 4294967295, or --delete to end a mapping");
  add_map_options(app, wish);
  add_common(app, command);
  add_nonce(app, wish);
  app.add_flag("--delete", command.is_deletion, "delete the mapping instead of making it; needs --nonce");
  app.add_flag("--keep", command.is_kept,
               "have the agent keep the mapping; without an agent, stay, and delete it on Ctrl-C");
  add_socket(app, command.agent_socket);
}

void add_peer(CLI::App& app, MapCommand& command) {
  client::Wish& wish = command.wish;
  wish.remote_peer.emplace();
  add_flow(app, wish, "port of this host that the connection leaves from");
  add_remote_peer(app, wish);
  add_external(app, wish);
  add_lifetime(app, wish, "is no lifetime: give seconds from 1 to 4294967295");
  add_common(app, command);
  add_nonce(app, wish);
  app.add_flag("--keep", command.is_kept,
               "have the agent keep the mapping; without an agent, stay, and renew it until Ctrl-C");
  add_socket(app, command.agent_socket);
}

void check_combination(const MapCommand& command) {
  const client::Wish& wish = command.wish;
  if (wish.protocol == Protocol::all && wish.internal_port.value != 0 && !wish.is_peer()) {
    throw CLI::ValidationError("INTERNAL_PORT",
                               fmt::format("'{}' of all protocols cannot be mapped: give 0, or "
                                           "one protocol (RFC 6887 s11.1)",
                                           wish.internal_port));
  }
  if (wish.prefer_failure && wish.suggested_external_port.value == 0)
    throw CLI::ValidationError("--prefer-failure",
                               "needs a port to insist on: add --external-port (RFC 6887 s13.2)");
  if (command.is_deletion && !wish.nonce)
    throw CLI::ValidationError("--delete", "needs the mapping's nonce: add --nonce with what map printed");
  if (command.is_deletion && command.is_kept)
    throw CLI::ValidationError("--delete", "and --keep contradict each other: leave one out");
  if (command.is_deletion && wish.prefer_failure)
    throw CLI::ValidationError("--delete", "takes no --prefer-failure: leave it out");
  if (command.is_deletion && !wish.filters.empty())
    throw CLI::ValidationError("--delete", "takes no --filter: leave it out");
  if (wish.keeps_parity && wish.port_count == 1)
    throw CLI::ValidationError("--parity", "is about a set of ports: add --port-set");
  if (const auto error = client::error_in(wish))
    throw CLI::ValidationError(wish.is_peer() ? "peer" : "map", std::string(to_string(*error)));
}

}  // namespace portolan
