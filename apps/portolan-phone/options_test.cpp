// SPDX-License-Identifier: BSD-2-Clause
#include "portolan-phone/options.h"

#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portolan::phone {
namespace {

using ::testing::HasSubstr;

auto parse(std::vector<const char*> arguments) -> std::expected<Options, Exit> {
  arguments.insert(arguments.begin(), {"--user", "client4", "--domain", "mysip.example"});
  return parse_command_line(arguments);
}

TEST(PhoneOptions, requests_go_to_the_domain_unless_told_otherwise) {
  EXPECT_EQ(parse({})->phone.server, "mysip.example");
  EXPECT_EQ(parse({"--server", "192.0.2.13:5070"})->phone.server, "192.0.2.13:5070");
  EXPECT_EQ(parse({"--server", "[2001:db8::13]:5070"})->phone.server, "[2001:db8::13]:5070");
  EXPECT_EQ(parse({"--no-server"})->phone.server, "");
}

TEST(PhoneOptions, a_scripted_call_has_what_the_issue_names) {
  const auto options = parse({"--call", "sip:13@mysip.example", "--play", "in.wav", "--record", "out.wav",
                              "--duration", "10", "--json"});
  ASSERT_TRUE(options) << options.error().text;
  EXPECT_EQ(options->call, "sip:13@mysip.example");
  EXPECT_EQ(options->duration, Milliseconds{10000});
  EXPECT_TRUE(options->is_json);
}

TEST(PhoneOptions, values_are_checked_with_a_remedy) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> mistakes = {
      {{"--sip-port", "0"}, "'0' is no port: give a number from 1 to 65535"},
      {{"--sip-port", "65536"}, "'65536' is no port: give a number from 1 to 65535"},
      {{"--sip-port", "x"}, "'x' is no port: give a number from 1 to 65535"},
      {{"--transport", "sctp"}, "'sctp' is no transport: give udp or tcp"},
      {{"--nat64-prefix", "192.0.2.0/24"}, "is no IPv6 prefix: give one like 64:ff9b::/96"},
      {{"--tone", "49"}, "is no tone in Hz: give a number from 50 to 3900"},
      {{"--tone", "3901"}, "is no tone in Hz: give a number from 50 to 3900"},
      {{"--codecs", "speex"}, "'speex' is no codec: give some of pcmu, pcma and opus"},
      {{"--codecs", "opus,OPUS"}, "'OPUS' is no codec: give some of pcmu, pcma and opus"},
      {{"--codecs", "opus,pcmu,opus"}, "'opus' stands there twice: name each codec once"},
      {{"--codecs", ""}, "'' is no codec: give some of pcmu, pcma and opus"},
      {{"--address", "fe80::1"}, "'fe80::1' is no address of this host to use: give one that others reach"},
      {{"--mapping-wait", "61"}, "'61' is no time: give a number from 0 to 60"},
      {{"--duration", "86401"}, "'86401' is no time: give a number from 0 to 86400"},
      {{"--trace", "call.txt"}, "is no name of a capture file: let it end in .pcap"},
      {{"--server", "a_b"}, "'a_b' is neither name nor address of a host: give one like mysip.example"},
      {{"--server", "a-b:99999"}, "'a-b:99999' has no port behind its host: give a number from 1 to 65535"},
      {{"--server", "2001:db8::13"}, "an IPv6 address goes into brackets, like [2001:db8::13]"},
      {{"--call", "sips:bob@mysip.example"}, "'sips:bob@mysip.example' asks for TLS"},
      {{"--call", "bob"}, "'bob' is no SIP URI: give one like sip:13@mysip.example"},
      {{"--nonsense"}, "portolan-phone --help tells more"}};
  for (const auto& [arguments, words] : mistakes) {
    const auto options = parse(arguments);
    ASSERT_FALSE(options) << arguments[0];
    EXPECT_EQ(options.error().status, exit_usage);
    EXPECT_THAT(options.error().text, HasSubstr(std::string(arguments[0])));
    EXPECT_THAT(options.error().text, HasSubstr(words));
  }
  EXPECT_THAT(parse_command_line(std::vector<const char*>{"--user", "a@b"}).error().text,
              HasSubstr("--user: 'a@b' is no name: give letters, digits"));
}

TEST(PhoneOptions, a_trace_goes_to_standard_error_or_to_a_file) {
  EXPECT_FALSE(parse({})->is_traced);
  for (const std::vector<const char*>& each :
       std::vector<std::vector<const char*>>{{"--trace"}, {"--trace", "--mute"}, {"--mute", "--trace"}}) {
    EXPECT_TRUE(parse(each)->is_traced);
    EXPECT_TRUE(parse(each)->trace_file.empty());
  }
  EXPECT_FALSE(parse({"--trace", "call.pcap"})->is_traced);
  EXPECT_EQ(parse({"--trace", "call.pcap"})->trace_file, "call.pcap");
}

TEST(PhoneOptions, codecs_have_the_order_in_which_they_are_named) {
  using enum media::Codec;
  EXPECT_EQ(parse({})->phone.codecs, (std::vector{pcmu, pcma, opus}));
  EXPECT_EQ(parse({"--codecs", "opus"})->phone.codecs, std::vector{opus});
  EXPECT_EQ(parse({"--codecs", "opus,pcmu", "--mute"})->phone.codecs, (std::vector{opus, pcmu}));
  EXPECT_FALSE(parse({"--codecs", "opus", "pcmu"}));
  const std::string path = testing::TempDir() + "portolan-phone-codecs-test.conf";
  for (const char* line :
       {"codecs = \"opus,pcma\"\n", "codecs = opus,pcma\n", "codecs = [\"opus\", \"pcma\"]\n"}) {
    std::ofstream(path) << line;
    const auto options = parse({"--config", path.c_str()});
    ASSERT_TRUE(options) << options.error().text;
    EXPECT_EQ(options->phone.codecs, (std::vector{opus, pcma})) << line;
  }
  std::remove(path.c_str());
}

TEST(PhoneOptions, the_sound_card_may_be_named) {
  EXPECT_TRUE(parse({})->sound_card.empty());
  EXPECT_EQ(parse({"--sound-card"})->sound_card, "default");
  EXPECT_EQ(parse({"--sound-card", "--mute"})->sound_card, "default");
  EXPECT_EQ(parse({"--sound-card", "plughw:1"})->sound_card, "plughw:1");
}

TEST(PhoneOptions, contradictions_are_told) {
  EXPECT_FALSE(parse({"--sound-card", "--tone", "440"}));
  EXPECT_FALSE(parse({"--call", "sip:13@mysip.example", "--answer"}));
  EXPECT_FALSE(parse({"--call", "sip:13@mysip.example", "--play", "x.wav", "--tone", "440"}));
  EXPECT_FALSE(parse({"--calls", "3"}));
  EXPECT_EQ(parse({"--call", "sip:13@mysip.example", "--calls", "3"})->call_count, 3U);
  EXPECT_FALSE(parse({"--json"}));
  EXPECT_FALSE(parse_command_line(std::vector<const char*>{"--user", "client4"}));
}

TEST(PhoneOptions, a_file_has_the_same_options) {
  const std::string path = testing::TempDir() + "portolan-phone-options-test.conf";
  {
    std::ofstream file(path);
    file << "password = \"pw-client4\"\nsip-port = 3938\ntransport = \"tcp\"\n";
  }
  const auto options = parse({"--config", path.c_str()});
  ASSERT_TRUE(options) << options.error().text;
  EXPECT_EQ(options->phone.password, "pw-client4");
  EXPECT_EQ(options->phone.sip_port.value, 3938);
  EXPECT_EQ(options->phone.transport, sip::Transport::tcp);
  {
    std::ofstream file(path, std::ios::app);
    file << "sip-prt = 3938\n";
  }
  EXPECT_FALSE(parse({"--config", path.c_str()}));
  std::remove(path.c_str());
}

TEST(PhoneOptions, help_and_version_are_no_mistakes) {
  const auto help = parse({"--help"});
  ASSERT_FALSE(help);
  EXPECT_EQ(help.error().status, exit_success);
  EXPECT_THAT(help.error().text, HasSubstr("--call"));
  EXPECT_THAT(parse({"--version"}).error().text, HasSubstr("portolan-phone 0."));
}

}  // namespace
}  // namespace portolan::phone
