// SPDX-License-Identifier: BSD-2-Clause
#include "io/capture/capture_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <pcap/dlt.h>

namespace portolan::io {
namespace {

auto bytes(std::string_view hex) -> std::vector<std::byte> {
  std::vector<std::byte> octets;
  for (std::size_t i = 0; i + 1 < hex.size(); ++i) {
    if (hex[i] == ' ') continue;
    octets.push_back(static_cast<std::byte>(std::stoul(std::string(hex.substr(i++, 2)), nullptr, 16)));
  }
  return octets;
}

auto endpoint(std::string_view address, std::uint16_t port) -> Endpoint {
  return {.address = *IpAddress::parse(address), .port = Port{port}};
}

/// A file that goes with the test.
class CaptureFile : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "portolan-capture.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  [[nodiscard]] auto path() const -> std::filesystem::path { return directory_ / "some.pcap"; }

 private:
  std::filesystem::path directory_;
};

TEST_F(CaptureFile, what_is_written_is_read_again) {
  const std::vector<CapturedDatagram> datagrams{
      {.wall_time = Seconds{1'700'000'000} + Nanoseconds{123'456'789},
       .source = endpoint("2001:db8:112::2", 40000),
       .destination = endpoint("2001:db8:112::1", 5351),
       .payload = bytes("0200ff")},
      {.wall_time = Seconds{1'700'000'001},
       .source = endpoint("192.0.2.1", 5351),
       .destination = endpoint("198.51.100.2", 40000),
       .payload = std::vector<std::byte>(1100, std::byte{7})},
      {.wall_time = Seconds{1'700'000'002},
       .source = endpoint("192.0.2.1", 5351),
       .destination = endpoint("198.51.100.2", 40000),
       .payload = {}}};
  {
    auto writer = CaptureWriter::open(path());
    ASSERT_TRUE(writer) << writer.error();
    for (const CapturedDatagram& datagram : datagrams) ASSERT_TRUE(writer->write(datagram));
  }
  auto reader = CaptureReader::open(path());
  ASSERT_TRUE(reader) << reader.error();
  for (const CapturedDatagram& datagram : datagrams) {
    const auto read = reader->next();
    ASSERT_TRUE(read && *read);
    EXPECT_EQ(**read, datagram);
  }
  const auto end = reader->next();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST_F(CaptureFile, tcp_data_has_the_numbers_of_its_connection) {
  {
    auto writer = CaptureWriter::open(path());
    ASSERT_TRUE(writer) << writer.error();
    const Endpoint here = endpoint("192.0.2.1", 5060);
    const Endpoint there = endpoint("192.0.2.2", 5061);
    ASSERT_TRUE(writer->write_tcp(
        {.wall_time = {}, .source = here, .destination = there, .payload = bytes("01020304")}));
    ASSERT_TRUE(
        writer->write_tcp({.wall_time = {}, .source = there, .destination = here, .payload = bytes("0506")}));
    ASSERT_TRUE(
        writer->write_tcp({.wall_time = {}, .source = here, .destination = there, .payload = bytes("07")}));
  }
  std::ifstream file(path(), std::ios::binary);
  const std::string octets{std::istreambuf_iterator<char>(file), {}};
  // Behind the file's header, each packet has one of its own; then IPv4, ports, sequence, acknowledgment.
  std::vector<std::string> numbers;
  for (std::size_t at = 24; at < octets.size();) {
    numbers.push_back(octets.substr(at + 16 + 24, 8));
    EXPECT_EQ(octets[at + 16 + 9], 6);
    at += std::size_t{16} + static_cast<unsigned char>(octets.at(at + 8));
  }
  EXPECT_EQ(numbers, (std::vector<std::string>{
                         {"\0\0\0\1\0\0\0\1", 8}, {"\0\0\0\1\0\0\0\5", 8}, {"\0\0\0\5\0\0\0\3", 8}}));
}

TEST_F(CaptureFile, a_file_that_ends_in_a_packet_is_told) {
  {
    auto writer = CaptureWriter::open(path());
    ASSERT_TRUE(writer && writer->write({.wall_time = {},
                                         .source = endpoint("192.0.2.1", 1),
                                         .destination = endpoint("192.0.2.2", 2),
                                         .payload = bytes("00")}));
  }
  std::filesystem::resize_file(path(), std::filesystem::file_size(path()) - 1);
  auto reader = CaptureReader::open(path());
  ASSERT_TRUE(reader);
  const auto read = reader->next();
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().find("some.pcap"), std::string::npos) << read.error();
}

TEST_F(CaptureFile, what_is_no_capture_is_refused_in_words) {
  std::ofstream(path()) << "no capture at all, but long enough for a header";
  const auto reader = CaptureReader::open(path());
  ASSERT_FALSE(reader);
  EXPECT_NE(reader.error().find("some.pcap: no capture file: "), std::string::npos) << reader.error();
  EXPECT_FALSE(CaptureWriter::open(path() / "below-a-file"));
}

constexpr const char* ipv4_udp = "45000020 00000000 4011b6a7 c0000201 c6336402 14e79c40 000c0000 00800000";

TEST(UdpInPacket, of_all_kinds_of_links) {
  const auto packet = bytes(ipv4_udp);
  const auto behind = [&](std::string_view link_header) {
    auto whole = bytes(link_header);
    whole.insert(whole.end(), packet.begin(), packet.end());
    return whole;
  };
  const std::vector<std::pair<int, std::vector<std::byte>>> cases{
      {DLT_RAW, packet},
      {DLT_EN10MB, behind("020000000001 020000000002 0800")},
      {DLT_EN10MB, behind("020000000001 020000000002 88a8 0001 8100 0002 0800")},
      {DLT_LINUX_SLL, behind("0000 0001 0006 020000000001 0000 0800")},
      {DLT_LINUX_SLL2, behind("0800 0000 00000001 0001 00 06 0200000000010000")},
      {DLT_NULL, behind("02000000")}};
  for (const auto& [link_type, octets] : cases) {
    const auto datagram = udp_in_packet(link_type, octets);
    ASSERT_TRUE(datagram) << link_type;
    EXPECT_EQ(datagram->source, endpoint("192.0.2.1", 5351));
    EXPECT_EQ(datagram->destination, endpoint("198.51.100.2", 40000));
    EXPECT_EQ(datagram->payload, bytes("00800000"));
    EXPECT_FALSE(datagram->is_cut);
  }
}

TEST(UdpInPacket, is_not_in_what_is_cut_off_or_something_else) {
  const auto packet = bytes(ipv4_udp);
  for (std::size_t size = 0; size < 28; ++size)
    EXPECT_FALSE(udp_in_packet(DLT_RAW, std::span(packet).first(size))) << size;
  EXPECT_TRUE(udp_in_packet(DLT_RAW, std::span(packet).first(30))->is_cut);
  auto other = packet;
  other[9] = std::byte{6};
  EXPECT_FALSE(udp_in_packet(DLT_RAW, other)) << "TCP";
  other = packet;
  other[6] = std::byte{0x20};
  EXPECT_FALSE(udp_in_packet(DLT_RAW, other)) << "a fragment";
  other = packet;
  other[0] = std::byte{0x44};
  EXPECT_FALSE(udp_in_packet(DLT_RAW, other)) << "a header too short";
  EXPECT_FALSE(udp_in_packet(DLT_EN10MB, bytes("020000000001 020000000002 0806 0001"))) << "ARP";
  EXPECT_FALSE(udp_in_packet(9999, packet)) << "an unknown link";
}

}  // namespace
}  // namespace portolan::io
