// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/options.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sip/uri.h"

namespace portolan::phone {
namespace {

constexpr std::uint32_t seconds_max = 86400;
constexpr double tone_hz_min = 50;
constexpr double tone_hz_max = 3900;
constexpr std::size_t text_octets_max = 128;

[[noreturn]] void refuse(const std::string& option, const std::string& text, std::string_view remedy) {
  throw CLI::ValidationError(option, fmt::format("'{}' {}", text, remedy));
}

auto number(const std::string& option, const std::string& text, std::uint32_t minimum, std::uint32_t maximum,
            std::string_view what) -> std::uint32_t {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < minimum || value > maximum)
    refuse(option, text, fmt::format("is no {}: give a number from {} to {}", what, minimum, maximum));
  return value;
}

/// A text that goes into SIP messages: no characters that mean something there.
auto name(const std::string& option, const std::string& text) -> std::string {
  const bool is_good = !text.empty() && text.size() <= text_octets_max &&
                       text.find_first_of("<>\"@;:, \r\n\t\\") == std::string::npos;
  if (!is_good) refuse(option, text, "is no name: give letters, digits, '-', '.' and '_', at most 128");
  return text;
}

auto codecs_of(const std::string& option, const std::vector<std::string>& names)
    -> std::vector<media::Codec> {
  std::vector<media::Codec> codecs;
  for (const std::string& each : names) {
    media::Codec codec{};
    if (each == "pcmu")
      codec = media::Codec::pcmu;
    else if (each == "pcma")
      codec = media::Codec::pcma;
    else if (each == "opus")
      codec = media::Codec::opus;
    else
      refuse(option, each, "is no codec: give some of pcmu, pcma and opus, with commas between them");
    if (std::ranges::find(codecs, codec) != codecs.end())
      refuse(option, each, "stands there twice: name each codec once");
    codecs.push_back(codec);
  }
  return codecs;
}

void add_number(CLI::App& app, const std::string& option, std::uint32_t minimum, std::uint32_t maximum,
                const std::string& what, const std::string& help,
                const std::function<void(std::uint32_t)>& set) {
  app.add_option_function<std::string>(
         option, [=](const std::string& text) { set(number(option, text, minimum, maximum, what)); }, help)
      ->type_name("NUMBER");
}

void add_account(CLI::App& app, sip::PhoneConfig& phone) {
  app.add_option_function<std::string>(
         "--user", [&](const std::string& text) { phone.user = name("--user", text); },
         "name at the SIP server")
      ->type_name("NAME");
  app.add_option_function<std::string>(
         "--domain", [&](const std::string& text) { phone.domain = name("--domain", text); },
         "domain of the SIP server")
      ->type_name("NAME");
  app.add_option("--auth-user", phone.auth_user, "name for its password, if another one")->type_name("NAME");
  app.add_option("--password", phone.password, "better in the file than here, where others see it")
      ->type_name("TEXT");
  app.add_option_function<std::string>(
         "--server",
         [&](const std::string& text) {
           const auto place = sip::parse_host_port(text);
           if (!place) throw CLI::ValidationError("--server", place.error());
           phone.server = text;
         },
         "where requests go: a name or an address, with :PORT if another than 5060 [the domain]")
      ->type_name("HOST[:PORT]");
  app.add_flag_callback("--no-server", [&] { phone.server = "-"; }, "requests go where their URIs say");
  app.add_flag_callback("--no-register", [&] { phone.is_registering = false; }, "don't register");
  add_number(app, "--expires", 10, seconds_max, "time", "seconds to register for at a time [3600]",
             [&](std::uint32_t value) { phone.registration_time = Seconds{value}; });
}

void add_network(CLI::App& app, sip::PhoneConfig& phone) {
  app.add_option_function<std::string>(
         "--transport",
         [&](const std::string& text) {
           if (text != "udp" && text != "tcp")
             refuse("--transport", text, "is no transport: give udp or tcp");
           phone.transport = text == "tcp" ? sip::Transport::tcp : sip::Transport::udp;
         },
         "udp or tcp, for SIP [udp]")
      ->type_name("NAME");
  app.add_option_function<std::string>(
         "--address",
         [&](const std::string& text) {
           const auto address = IpAddress::parse(text);
           if (!address || address->is_link_local())
             refuse("--address", text,
                    "is no address of this host to use: give one that others reach, like 2001:db8::1");
           phone.address = *address;
         },
         "address of this host to use; the one its traffic would use unless given")
      ->type_name("ADDRESS");
  add_number(app, "--sip-port", 1, 65535, "port", "port for SIP, and no other [5060, or one of the next 7]",
             [&](std::uint32_t value) {
               phone.sip_port = Port{static_cast<std::uint16_t>(value)};
               phone.sip_ports = 1;
             });
  add_number(app, "--media-port", 1024, 65000, "port",
             fmt::format("first of {} ports for media [{}]", phone.media_ports, phone.media_port_first),
             [&](std::uint32_t value) { phone.media_port_first = Port{static_cast<std::uint16_t>(value)}; });
  app.add_option_function<std::string>(
         "--nat64-prefix",
         [&](const std::string& text) {
           phone.nat64_prefix = Prefix::parse(text);
           if (!phone.nat64_prefix || phone.nat64_prefix->address().is_ipv4())
             refuse("--nat64-prefix", text, "is no IPv6 prefix: give one like 64:ff9b::/96");
         },
         "of the network's NAT64, if neither PCP nor DNS64 tells it")
      ->type_name("PREFIX");
  app.add_flag_callback("--no-pcp", [&] { phone.uses_pcp = false; }, "ask nobody for external ports");
  app.add_option("--pcp-server", phone.pcp_servers, "PCP server; the default router unless given")
      ->type_name("ADDRESS[%ZONE]");
  add_number(app, "--mapping-lifetime", 10, seconds_max, "time",
             "seconds to ask for mappings at a time [3600]",
             [&](std::uint32_t value) { phone.mapping_lifetime = Seconds{value}; });
  add_number(app, "--mapping-wait", 0, 60, "time",
             "seconds to wait for a mapping before going on without [3]",
             [&](std::uint32_t value) { phone.mapping_wait = Seconds{value}; });
}

void add_media(CLI::App& app, Options& options) {
  sip::PhoneConfig& phone = options.phone;
  app.add_option_function<std::vector<std::string>>(
         "--codecs",
         [&](const std::vector<std::string>& names) { phone.codecs = codecs_of("--codecs", names); },
         "what it speaks, in the order of offers [pcmu,pcma,opus]")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  app.add_flag_callback(
      "--no-altc", [&] { phone.offers_alternatives = false; }, "offer one address, the external one, only");
  app.add_flag("--mute", phone.is_mute, "send no audio");
  app.add_option("--play", options.play, "WAV file to send over and over: 16 bits, 8000 Hz, mono")
      ->type_name("FILE");
  app.add_option_function<std::string>(
         "--tone",
         [&](const std::string& text) {
           options.tone_hz = number("--tone", text, static_cast<std::uint32_t>(tone_hz_min),
                                    static_cast<std::uint32_t>(tone_hz_max), "tone in Hz");
         },
         "tone to send, in Hz")
      ->type_name("NUMBER");
  app.add_option_function<std::string>(
         "--sound-card",
         [&](const std::string& text) {
           // Of a flag, in the file of options.
           options.sound_card = text.empty() || text == "true" ? "default" : text;
         },
         "speak and hear by the sound card, of another ALSA name than default if one is given")
      ->expected(0, 1)
      ->type_name("[NAME]");
  app.add_option("--record", options.record,
                 "WAV file for what is heard; a number is added for the second call on")
      ->type_name("FILE");
}

void add_what_to_do(CLI::App& app, Options& options) {
  app.add_option("--call", options.call, "call this URI, and end when the call ends")->type_name("URI");
  app.add_flag("--answer", options.answers, "answer every call");
  add_number(
      app, "--calls", 1, 1000000, "number of calls",
      "with --call, call so often, one call after the other [1]; with --answer, end after so many [never]",
      [&](std::uint32_t value) { options.call_count = value; });
  add_number(app, "--duration", 0, seconds_max, "time", "seconds after which a call is ended here [never]",
             [&](std::uint32_t value) { options.duration = Seconds{value}; });
  add_number(app, "--wait", 1, seconds_max, "time",
             "seconds to wait for the registration, and for an answer [30]",
             [&](std::uint32_t value) { options.wait = Seconds{value}; });
  app.add_option("--digits", options.digits, "digits to send when the call begins: 0-9, *, #, A-D")
      ->type_name("TEXT");
  app.add_flag("--json", options.is_json, "print a JSON object on a line for each event");
  app.add_option_function<std::string>(
         "--trace",
         [&](const std::string& text) {
           // Of a flag, in the file of options.
           if (text.empty() || text == "true")
             options.is_traced = true;
           else if (text.ends_with(".pcap"))
             options.trace_file = text;
           else
             refuse("--trace", text, "is no name of a capture file: let it end in .pcap");
         },
         "show SIP messages and PCP events side by side, on standard error; or write SIP's messages and "
         "PCP's datagrams to a file")
      ->expected(0, 1)
      ->type_name("[FILE.pcap]");
}

auto problem_with(const Options& options) -> std::string {
  const sip::PhoneConfig& phone = options.phone;
  if (phone.user.empty() || phone.domain.empty())
    return "--user and --domain are needed: who is this phone at its SIP server?";
  if (const auto whom = sip::parse_uri(options.call); !options.call.empty() && !whom)
    return fmt::format("--call: {}", whom.error());
  if (!options.call.empty() && options.answers)
    return "--call and --answer contradict each other: leave one out";
  if (!options.play.empty() && options.tone_hz > 0)
    return "--play and --tone contradict each other: leave one out";
  if (!options.sound_card.empty() && (!options.play.empty() || options.tone_hz > 0))
    return "--sound-card takes what is sent from the microphone: leave out --play and --tone";
  if (options.call_count > 0 && !options.answers && options.call.empty())
    return "--calls counts calls of --call or --answer: add one of them";
  if (options.is_json && options.call.empty() && !options.answers)
    return "--json is for programs: add --call or --answer";
  return {};
}

}  // namespace

auto parse_command_line(std::span<const char* const> arguments) -> std::expected<Options, Exit> {
  Options options;
  CLI::App app(
      "A SIP phone for a host behind a NAT64 or NAT: it asks a PCP server for the ports that others reach it "
      "at, and "
      "tells them in SIP and SDP.",
      "portolan-phone");
  app.set_version_flag("--version", "portolan-phone " PORTOLAN_VERSION);
  app.set_config("--config", "", "file with these options as \"name = value\" lines")->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.footer(
      "Without --call and --answer it takes commands; \"help\" lists them. Exit status: 0 done, 1 a call or "
      "the "
      "registration failed, 2 usage, 3 the system refused something.");
  add_account(app, options.phone);
  add_network(app, options.phone);
  add_media(app, options);
  add_what_to_do(app, options);
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      if (dynamic_cast<const CLI::CallForVersion*>(&error) != nullptr)
        return std::unexpected(Exit{.status = exit_success, .text = fmt::format("{}\n", error.what())});
      return std::unexpected(Exit{.status = exit_success, .text = app.help()});
    }
    return std::unexpected(
        Exit{.status = exit_usage,
             .text = fmt::format("portolan-phone: {}\nportolan-phone --help tells more.\n", error.what())});
  }
  if (const std::string problem = problem_with(options); !problem.empty())
    return std::unexpected(
        Exit{.status = exit_usage,
             .text = fmt::format("portolan-phone: {}\nportolan-phone --help tells more.\n", problem)});
  if (options.phone.server == "-")
    options.phone.server.clear();
  else if (options.phone.server.empty())
    options.phone.server = options.phone.domain;
  return options;
}

}  // namespace portolan::phone
