// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/send_options.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <span>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "portolan/arguments.h"
#include "wire/options.h"
#include "wire/protocol.h"

namespace portolan {
namespace {

using arguments::parse_address;
using arguments::parse_hex;
using arguments::parse_number;
using arguments::refuse;

/// "A,B,C" to its parts.
auto parts_of(const std::string& text, char separator) -> std::vector<std::string> {
  std::vector<std::string> parts(1);
  for (const char character : text) {
    if (character == separator)
      parts.emplace_back();
    else
      parts.back().push_back(character);
  }
  return parts;
}

template <typename Option>
auto draft_of(const Option& option) -> wire::DraftOption {
  std::vector<std::byte> data(option.data_octets());
  ByteWriter writer(data);
  option.write(writer);
  return {.code = Option::code, .data = std::move(data)};
}

auto filter_option(const std::string& text) -> wire::DraftOption {
  const RemoteFilter filter = arguments::parse_filter("--filter", text);
  return draft_of(wire::Filter{.prefix_length = static_cast<std::uint8_t>(filter.remote_peers.length()),
                               .remote_port = filter.remote_port,
                               .remote_address = filter.remote_peers.address()});
}

auto parse_port_set(const std::string& text, Port internal_port) -> wire::DraftOption {
  constexpr std::string_view remedy = "is no port set: give SIZE, SIZE,FIRST or SIZE,FIRST,parity";
  const auto parts = parts_of(text, ',');
  if (parts.size() > 3 || (parts.size() == 3 && parts[2] != "parity")) refuse("--port-set", text, remedy);
  const wire::PortSet set{.size = arguments::parse_port("--port-set", parts[0], remedy).value,
                          .first_internal_port = parts.size() > 1
                                                     ? arguments::parse_port("--port-set", parts[1], remedy)
                                                     : internal_port,
                          .parity = parts.size() > 2};
  return draft_of(set);
}

/// CODE[/LENGTH][:HEX], where LENGTH is what the length field says.
auto parse_option(const std::string& text) -> wire::DraftOption {
  const auto colon = text.find(':');
  const auto parts = parts_of(text.substr(0, colon), '/');
  if (parts.size() > 2) refuse("--option", text, "is no option: give CODE, CODE:HEX or CODE/LENGTH:HEX");
  wire::DraftOption option;
  option.code = static_cast<wire::OptionCode>(
      parse_number("--option", parts[0], 0, UINT8_MAX, "is no option code: give a number from 0 to 255"));
  if (parts.size() == 2)
    option.claimed_length = static_cast<std::uint16_t>(
        parse_number("--option", parts[1], 0, UINT16_MAX, "is no length: give octets from 0 to 65535"));
  if (colon != std::string::npos)
    option.data = parse_hex("--option", std::string_view(text).substr(colon + 1));
  return option;
}

/// OFFSET=HEX.
auto parse_edit(const std::string& text) -> wire::Edit {
  const auto equals = text.find('=');
  if (equals == std::string::npos) refuse("--set", text, "names no octets: give OFFSET=HEX, as in 2=ffff");
  return {.offset = parse_number("--set", text.substr(0, equals), 0, wire::draft_octets_max,
                                 "is no place in a datagram: give octets from its beginning"),
          .octets = parse_hex("--set", std::string_view(text).substr(equals + 1))};
}

void set_opcode(SendCommand& command, const std::string& text) {
  using Kind = SendCommand::Kind;
  if (text == "nat-pmp-address") {
    command.kind = Kind::nat_pmp_address;
  } else if (text == "nat-pmp-udp" || text == "nat-pmp-tcp") {
    command.kind = Kind::nat_pmp_map;
    command.pcp.body.protocol = text == "nat-pmp-udp" ? Protocol::udp : Protocol::tcp;
  } else if (text == "announce" || text == "map" || text == "peer") {
    command.kind = Kind::pcp;
    command.pcp.opcode = text == "announce" ? 0 : text == "map" ? 1 : 2;
  } else {
    command.kind = Kind::pcp;
    command.pcp.opcode = static_cast<std::uint8_t>(parse_number(
        "OPCODE", text, 0, 127,
        "is no opcode: give announce, map, peer, a number from 0 to 127, nat-pmp-address, nat-pmp-udp or "
        "nat-pmp-tcp"));
  }
}

/// An option whose value is taken as it is met, so that options of the message stand in the order given.
void add_value(CLI::App& app, const std::string& name, const std::string& type, const std::string& help,
               const std::function<void(const std::string&)>& take) {
  app.add_option_function<std::string>(name, take, help)->type_name(type)->trigger_on_parse();
}

void add_fields(CLI::App& app, SendCommand& command) {
  auto& pcp = command.pcp;
  auto& body = pcp.body;
  add_value(
      app, "--pcp-version", "NUMBER", "version in the header [2]; 1 has no nonce", [&pcp](const auto& text) {
        pcp.version = static_cast<std::uint8_t>(
            parse_number("--pcp-version", text, 0, UINT8_MAX, "is no version: give a number from 0 to 255"));
      });
  add_value(app, "--lifetime", "SECONDS", "requested lifetime [7200; announce: 0]",
            [&command](const auto& text) {
              command.lifetime = parse_number("--lifetime", text, 0, UINT32_MAX,
                                              "is no lifetime: give seconds from 0 to 4294967295");
            });
  add_value(
      app, "--client-address", "ADDRESS", "PCP Client's IP Address [the packet's source]",
      [&command](const auto& text) { command.client_address = parse_address("--client-address", text); });
  add_value(app, "--nonce", "HEX24", "mapping nonce [random]", [&command](const auto& text) {
    command.nonce = Nonce::parse(text);
    if (!command.nonce) refuse("--nonce", text, "is no mapping nonce: give 24 hexadecimal digits");
  });
  add_value(app, "--protocol", "PROTOCOL", "tcp, udp, sctp, all, or a number from 0 to 255 [tcp]",
            [&body](const auto& text) {
              const auto protocol = text == "all" ? Protocol::all : parse_protocol(text);
              if (!protocol)
                refuse("--protocol", text,
                       "is no protocol: give tcp, udp, sctp, all, or a number from 0 to 255");
              body.protocol = *protocol;
            });
  const auto add_port = [&app](const char* name, const std::string& help, Port& port) {
    add_value(app, name, "PORT", help, [name, &port](const auto& text) {
      port = arguments::parse_port(name, text, "is no port: give a number from 0 to 65535");
    });
  };
  const auto add_address = [&app](const char* name, const std::string& help, IpAddress& address) {
    add_value(app, name, "ADDRESS", help,
              [name, &address](const auto& text) { address = parse_address(name, text); });
  };
  add_port("--internal-port", "internal port [8080]", body.internal_port);
  add_port("--external-port", "suggested external port [0]", body.suggested_external_port);
  add_address("--external-address", "suggested external address [0.0.0.0]", body.suggested_external_address);
  add_port("--peer-port", "remote peer's port, of peer [0]", body.remote_peer_port);
  add_address("--peer-address", "remote peer's address, of peer [::]", body.remote_peer_address);
}

void add_message_options(CLI::App& app, SendCommand& command) {
  auto& options = command.pcp.options;
  auto& body = command.pcp.body;
  add_value(app, "--third-party", "ADDRESS", "option THIRD_PARTY", [&options](const auto& text) {
    options.push_back(draft_of(wire::ThirdParty{.internal_address = parse_address("--third-party", text)}));
  });
  app.add_flag_callback(
         "--prefer-failure", [&options] { options.push_back(draft_of(wire::PreferFailure{})); },
         "option PREFER_FAILURE")
      ->trigger_on_parse();
  add_value(app, "--filter", "PREFIX[,PORT]", "option FILTER; port 0 or none: all ports",
            [&options](const auto& text) { options.push_back(filter_option(text)); });
  add_value(app, "--description", "TEXT", "option DESCRIPTION", [&options](const auto& text) {
    options.push_back(draft_of(wire::Description{.text = std::as_bytes(std::span(text))}));
  });
  app.add_flag_callback(
         "--prefix64", [&options] { options.push_back(draft_of(wire::Prefix64::request())); },
         "option PREFIX64, asking for the prefixes")
      ->trigger_on_parse();
  add_value(
      app, "--port-set", "SIZE[,FIRST[,parity]]", "option PORT_SET; FIRST is the internal port unless given",
      [&options, &body](const auto& text) { options.push_back(parse_port_set(text, body.internal_port)); });
  add_value(app, "--third-party-id", "HEX", "option THIRD_PARTY_ID", [&options](const auto& text) {
    const auto id = parse_hex("--third-party-id", text);
    options.push_back(draft_of(wire::ThirdPartyId{.id = id}));
  });
  add_value(app, "--option", "CODE[/LENGTH][:HEX]", "any option; LENGTH is what its length field says",
            [&options](const auto& text) { options.push_back(parse_option(text)); });
}

void add_malformations(CLI::App& app, SendCommand& command) {
  add_value(app, "--raw", "HEX", "the whole message, instead of OPCODE and its fields",
            [&command](const auto& text) { command.raw = parse_hex("--raw", text); });
  add_value(app, "--set", "OFFSET=HEX", "change octets of the message, or add some behind it",
            [&command](const auto& text) { command.edits.push_back(parse_edit(text)); });
  add_value(app, "--size", "OCTETS", "cut the message, or fill it up with zeros",
            [&command](const auto& text) {
              command.size =
                  parse_number("--size", text, 0, wire::draft_octets_max,
                               fmt::format("is no size: give octets from 0 to {}", wire::draft_octets_max));
            });
  add_value(app, "--fuzz", "SEED", "change each message at random, the same way for the same seed",
            [&command](const auto& text) {
              command.fuzz_seed = parse_number("--fuzz", text, 0, UINT32_MAX,
                                               "is no seed: give a number from 0 to 4294967295");
            });
}

void add_sending(CLI::App& app, SendCommand& command) {
  add_value(app, "--source-port", "PORT", "UDP port to send from [any]", [&command](const auto& text) {
    command.source_port =
        arguments::parse_port("--source-port", text, "is no port: give a number from 0 to 65535");
  });
  add_value(app, "--repeat", "NUMBER", "send so many messages [1]", [&command](const auto& text) {
    command.repeat = parse_number("--repeat", text, 1, repeat_max,
                                  fmt::format("is no count: give a number from 1 to {}", repeat_max));
  });
  add_value(app, "--rate", "NUMBER", "messages a second [1]", [&command](const auto& text) {
    command.rate = parse_number("--rate", text, 1, rate_max,
                                fmt::format("is no rate: give a number from 1 to {}", rate_max));
  });
  add_value(app, "--pcap", "FILE", "write what is sent and received to a capture file",
            [&command](const auto& text) { command.capture = text; });
  app.add_flag("--print", command.only_prints, "show the message, send nothing");
  add_value(app, "--sequence", "FILE", "send the packets of a file's steps, and compare what is answered",
            [&command](const auto& text) { command.sequence = text; });
}

auto text_of(const std::string& path) -> std::expected<std::string, std::string> {
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return std::unexpected(std::strerror(errno));
  }
  std::istream& stream = path == "-" ? std::cin : file;
  std::string text(draft_text_max + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > draft_text_max)
    return std::unexpected(fmt::format("is larger than {} octets, which no draft needs", draft_text_max));
  return text;
}

/// Of text that is no UTF-8, what is.
auto json_text(const nlohmann::ordered_json& value) -> std::string {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

auto argument_of(const nlohmann::ordered_json& value) -> std::string {
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

/// Options that are fields of a message.
constexpr std::array<std::string_view, 10> field_options{
    "--pcp-version",   "--lifetime",      "--client-address",   "--nonce",     "--protocol",
    "--internal-port", "--external-port", "--external-address", "--peer-port", "--peer-address"};
/// What goes with --sequence: its packets are in the file.
constexpr std::array<std::string_view, 8> sequence_options{
    "--sequence",         "--pcap",    "--server", "--server-port",
    "--internal-address", "--timeout", "--json",   "--verbose"};

auto is_in(std::span<const std::string_view> names, std::string_view name) -> bool {
  return std::ranges::find(names, name) != names.end();
}

/// Those of field_options that the message has.
auto fields_of(const SendCommand& command) -> std::span<const std::string_view> {
  constexpr std::size_t header = 3;
  constexpr std::size_t map = 8;
  static constexpr std::array<std::string_view, 3> nat_pmp{"--lifetime", "--internal-port",
                                                           "--external-port"};
  const std::span all(field_options);
  if (command.kind == SendCommand::Kind::nat_pmp_map) return nat_pmp;
  if (command.kind != SendCommand::Kind::pcp) return {};
  if (command.pcp.opcode == std::to_underlying(wire::Opcode::peer)) return all;
  return all.first(command.pcp.opcode == std::to_underlying(wire::Opcode::map) ? map : header);
}

/// As set_opcode() takes it.
auto opcode_word(const SendCommand& command) -> std::string {
  constexpr std::array words{"announce", "map", "peer"};
  if (command.kind == SendCommand::Kind::nat_pmp_address) return "nat-pmp-address";
  if (command.kind == SendCommand::Kind::nat_pmp_map)
    return command.pcp.body.protocol == Protocol::udp ? "nat-pmp-udp" : "nat-pmp-tcp";
  return command.pcp.opcode < words.size() ? words[command.pcp.opcode] : std::to_string(command.pcp.opcode);
}

}  // namespace

void add_send(CLI::App& app, SendCommand& command) {
  command.pcp.body.protocol = Protocol::tcp;
  command.pcp.body.internal_port = Port{8080};
  command.pcp.body.suggested_external_address = IpAddress::unspecified(Family::ipv4);
  add_value(app, "OPCODE", "", "announce, map, peer, a number, nat-pmp-address, nat-pmp-udp or nat-pmp-tcp",
            [&command](const auto& text) { set_opcode(command, text); });
  add_fields(app, command);
  add_message_options(app, command);
  add_malformations(app, command);
  add_sending(app, command);
  app.footer(
      "--draft FILE, or - for standard input, takes all of this from a JSON object:\n"
      "{\"opcode\": \"map\", \"internal-port\": 80, \"prefer-failure\": true}");
}

void check_combination(const CLI::App& app, const SendCommand& command) {
  if (!command.sequence.empty()) {
    for (const CLI::Option* option : app.get_options())
      if (option->count() > 0 && !is_in(sequence_options, option->get_name()))
        throw CLI::ValidationError("--sequence",
                                   fmt::format("has packets of its own: leave {} out", option->get_name()));
    return;
  }
  if (!command.kind && !command.raw)
    throw CLI::ValidationError("OPCODE", "is missing: give one, or the whole message with --raw");
  if (command.kind && command.raw)
    throw CLI::ValidationError("--raw", "is the whole message: leave OPCODE out");
  const bool is_pcp = command.kind == SendCommand::Kind::pcp;
  if (!is_pcp && !command.pcp.options.empty())
    throw CLI::ValidationError("OPCODE", "has no options: they go with announce, map, peer or a number");
  for (const std::string_view name : field_options)
    if (app.count(std::string(name)) > 0 && !is_in(fields_of(command), name))
      throw CLI::ValidationError(
          std::string(name),
          fmt::format("is no field of {}: leave it out", command.raw ? "--raw" : opcode_word(command)));
}

void add_decode(CLI::App& app, DecodeCommand& command) {
  app.add_option_function<std::vector<std::string>>(
         "HEX",
         [&command](const std::vector<std::string>& words) {
           std::string text;
           for (const std::string& word : words) text += word + " ";
           command.datagram = parse_hex("HEX", text);
         },
         "the UDP payload in hexadecimal digits")
      ->type_name("");
  app.add_option("--pcap", command.capture,
                 "show the packets of a capture file, pcap or pcapng; - is standard input")
      ->type_name("FILE");
  add_value(app, "--server-port", "PORT", "UDP port of the server in the capture file [5351]",
            [&command](const auto& text) {
              command.server_port =
                  arguments::parse_port("--server-port", text, "is no port: give a number from 0 to 65535");
            });
  app.add_flag("--octets", command.shows_octets,
               "show which octets each field has, and the section that defines it");
  app.add_flag("--json", command.is_json, "print one JSON object for each packet, on one line");
}

void check_combination(const DecodeCommand& command) {
  if (command.datagram.has_value() == !command.capture.empty())
    throw CLI::ValidationError("HEX", "or --pcap is wanted: give the payload's digits, or a capture file");
  if (command.is_json && command.shows_octets)
    throw CLI::ValidationError("--octets", "is part of --json already: leave one out");
}

auto arguments_of_json(std::string_view text) -> std::expected<std::vector<std::string>, std::string> {
  const auto json = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!json.is_object()) return std::unexpected(R"(is no JSON object: give one such as {"opcode": "map"})");
  std::vector<std::string> words;
  const auto add = [&words](const std::string& key, const nlohmann::ordered_json& value) {
    if (key == "opcode") {
      words.push_back(argument_of(value));
      return !words.back().starts_with('-');
    }
    if (value.is_boolean()) {
      if (value.get<bool>()) words.push_back("--" + key);
      return true;
    }
    if (!value.is_string() && !value.is_number_integer()) return false;
    // Behind "=" CLI11 takes nothing for a value that is missing.
    if (const std::string argument = argument_of(value); argument.empty())
      words.insert(words.end(), {"--" + key, argument});
    else
      words.push_back("--" + key + "=" + argument);
    return true;
  };
  const auto refuse_value = [](const std::string& key, const nlohmann::ordered_json& value) {
    return std::unexpected(fmt::format(
        "\"{}\": {} is no value of an option: give a number, a string, true or false, or a list of those",
        key, json_text(value)));
  };
  for (const auto& [key, value] : json.items()) {
    if (key == "options") {
      // Different ones in the order wanted: each is an object of one member.
      const bool is_list = value.is_array() && std::ranges::all_of(value, [](const auto& each) {
                             return each.is_object() && each.size() == 1;
                           });
      if (!is_list)
        return std::unexpected(fmt::format(
            R"("options": {} is no list of options: give [{{"prefer-failure": true}}, {{"option": "200"}}])",
            json_text(value)));
      for (const auto& each : value)
        if (const auto member = each.items().begin(); !add(member.key(), member.value()))
          return refuse_value(member.key(), member.value());
      continue;
    }
    const bool fits = value.is_array()
                          ? std::ranges::all_of(value, [&](const auto& each) { return add(key, each); })
                          : add(key, value);
    if (!fits) return refuse_value(key, value);
  }
  return words;
}

auto with_draft(std::vector<std::string> words) -> std::expected<std::vector<std::string>, std::string> {
  constexpr std::string_view flag = "--draft";
  const auto found = std::ranges::find_if(words, [&](const std::string& word) {
    return word == flag || word.starts_with(std::string(flag) + "=");
  });
  if (found == words.end()) return words;
  const bool is_apart = *found == flag;
  if (is_apart && std::next(found) == words.end())
    return std::unexpected("--draft: names no file: give one, or - for standard input");
  const std::string path = is_apart ? *std::next(found) : found->substr(flag.size() + 1);
  const auto text = text_of(path);
  if (!text) return std::unexpected(fmt::format("--draft {}: {}", path, text.error()));
  const auto drafted = arguments_of_json(*text);
  if (!drafted) return std::unexpected(fmt::format("--draft {}: {}", path, drafted.error()));
  // What the command line says itself comes later, and counts.
  const auto place = words.erase(found, found + (is_apart ? 2 : 1));
  words.insert(place == words.begin() ? place : words.begin(), drafted->begin(), drafted->end());
  return words;
}

}  // namespace portolan
