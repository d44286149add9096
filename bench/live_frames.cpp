// SPDX-License-Identifier: BSD-2-Clause
//
// Lets the kernel receive UDP packets on an interface as if they had come from the wire, without a sender:
// live frames of BPF_PROG_TEST_RUN. Prints packets and the CPU nanoseconds of this thread, in which the
// kernel forwards them.
//
//   live_frames INTERFACE SOURCE DESTINATION FLOWS PACKETS
//
// FLOWS, a power of two up to 32768, is the number of source ports, taken at random. A program that does
// nothing is attached to the interface meanwhile: only interfaces with one take live frames.
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "base/check.h"

namespace {

constexpr std::size_t payload = 64;
constexpr std::uint16_t first_port = 16384;
constexpr std::uint16_t to_port = 5202;
constexpr std::uint32_t frames_per_batch = 64;

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "live_frames: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

auto bpf(bpf_cmd command, bpf_attr& attributes) -> int {
  return static_cast<int>(::syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

auto load(const std::vector<bpf_insn>& program) -> int {
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.insns = reinterpret_cast<std::uintptr_t>(program.data());
  attributes.license = reinterpret_cast<std::uintptr_t>("BSD-2-Clause");
  const int descriptor = bpf(BPF_PROG_LOAD, attributes);
  if (descriptor < 0) fail("BPF_PROG_LOAD");
  return descriptor;
}

void store16(std::uint8_t* at, std::uint32_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8U);
  at[1] = static_cast<std::uint8_t>(value);
}

auto sum(const std::uint8_t* octets, std::size_t count) -> std::uint32_t {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i + 1 < count; i += 2)
    total += static_cast<std::uint32_t>(octets[i] << 8U | octets[i + 1]);
  return total;
}

auto fold(std::uint32_t total) -> std::uint16_t {
  while (total > 0xffff) total = (total & 0xffffU) + (total >> 16U);
  return static_cast<std::uint16_t>(total);
}

struct Frame {
  std::array<std::uint8_t, 14 + 40 + 8 + payload> octets{};
  std::size_t size = 0;
  std::size_t udp = 0;
};

/// A datagram from `first_port`, zeros in it, addressed to the interface.
auto make_frame(const char* interface, const char* source, const char* destination) -> Frame {
  Frame frame;
  std::uint8_t* const octets = frame.octets.data();
  ifreq request{};
  std::strncpy(request.ifr_name, interface, sizeof request.ifr_name - 1);
  const int any = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (::ioctl(any, SIOCGIFHWADDR, &request) != 0) fail(interface);
  std::memcpy(octets, request.ifr_hwaddr.sa_data, 6);
  octets[6] = 2;
  std::uint8_t* const ip = octets + 14;
  std::uint32_t addresses = 0;
  if (::inet_pton(AF_INET6, source, ip + 8) == 1 && ::inet_pton(AF_INET6, destination, ip + 24) == 1) {
    store16(octets + 12, 0x86dd);
    frame.udp = 14 + 40;
    ip[0] = 0x60;
    store16(ip + 4, 8 + payload);
    ip[6] = 17;
    ip[7] = 64;
    addresses = sum(ip + 8, 32);
  } else if (::inet_pton(AF_INET, source, ip + 12) == 1 && ::inet_pton(AF_INET, destination, ip + 16) == 1) {
    store16(octets + 12, 0x0800);
    frame.udp = 14 + 20;
    ip[0] = 0x45;
    store16(ip + 2, 20 + 8 + payload);
    store16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = 17;
    store16(ip + 10, static_cast<std::uint16_t>(~fold(sum(ip, 20))));
    addresses = sum(ip + 12, 8);
  } else {
    std::fputs("live_frames: two addresses of one family are wanted\n", stderr);
    std::exit(2);
  }
  std::uint8_t* const udp = octets + frame.udp;
  store16(udp, first_port);
  store16(udp + 2, to_port);
  store16(udp + 4, 8 + payload);
  store16(udp + 6,
          static_cast<std::uint16_t>(~fold(addresses + 17 + std::uint32_t{8 + payload} + sum(udp, 6))));
  frame.size = frame.udp + 8 + payload;
  return frame;
}

auto instruction(int code, int to, int from, int offset, std::int32_t immediate) -> bpf_insn {
  bpf_insn made{};
  made.code = static_cast<std::uint8_t>(code);
  made.dst_reg = static_cast<std::uint8_t>(to) & 0xfU;
  made.src_reg = static_cast<std::uint8_t>(from) & 0xfU;
  made.off = static_cast<std::int16_t>(offset);
  made.imm = immediate;
  return made;
}

/// XDP: writes the headers, which the last use of the page has changed, and passes the packet on. With
/// several flows it adds a random number to the port and takes it off again in the payload.
auto make_program(const Frame& frame, std::uint32_t flows) -> std::vector<bpf_insn> {
  // Some of the names in an opcode stand for 0.
  // NOLINTBEGIN(misc-redundant-expression)
  constexpr int move = BPF_ALU64 | BPF_MOV;
  std::vector<bpf_insn> program{
      instruction(move | BPF_X, 6, 1, 0, 0),
      instruction(move | BPF_K, 0, 0, 0, 0),
  };
  if (flows > 1) {
    program.push_back(instruction(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32));
    program.push_back(
        instruction(BPF_ALU64 | BPF_AND | BPF_K, 0, 0, 0, static_cast<std::int32_t>(flows - 1)));
  }
  program.push_back(instruction(BPF_LDX | BPF_MEM | BPF_W, 2, 6, offsetof(xdp_md, data), 0));
  program.push_back(instruction(BPF_LDX | BPF_MEM | BPF_W, 3, 6, offsetof(xdp_md, data_end), 0));
  program.push_back(instruction(move | BPF_X, 4, 2, 0, 0));
  program.push_back(instruction(BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, static_cast<std::int32_t>(frame.size)));
  const std::size_t jump = program.size();
  program.push_back({});
  for (std::size_t at = 0; at < frame.udp + 8 + 2; at += 8) {
    std::array<std::uint32_t, 2> words{};
    std::memcpy(words.data(), frame.octets.data() + at, sizeof words);
    program.push_back(instruction(BPF_LD | BPF_DW | BPF_IMM, 5, 0, 0, static_cast<std::int32_t>(words[0])));
    program.push_back(instruction(0, 0, 0, 0, static_cast<std::int32_t>(words[1])));
    program.push_back(instruction(BPF_STX | BPF_MEM | BPF_DW, 2, 5, static_cast<int>(at), 0));
  }
  if (flows > 1) {
    const auto put = [&](std::size_t at) {
      program.push_back(instruction(BPF_ALU | BPF_END | BPF_TO_BE, 5, 0, 0, 16));
      program.push_back(instruction(BPF_STX | BPF_MEM | BPF_H, 2, 5, static_cast<int>(at), 0));
    };
    program.push_back(instruction(move | BPF_X, 5, 0, 0, 0));
    program.push_back(instruction(BPF_ALU64 | BPF_ADD | BPF_K, 5, 0, 0, first_port));
    put(frame.udp);
    program.push_back(instruction(move | BPF_K, 5, 0, 0, 0xffff));
    program.push_back(instruction(BPF_ALU64 | BPF_SUB | BPF_X, 5, 0, 0, 0));
    put(frame.udp + 8);
  }
  program.push_back(instruction(move | BPF_K, 0, 0, 0, XDP_PASS));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  const auto distance = static_cast<int>(program.size() - jump - 1);
  program[jump] = instruction(BPF_JMP | BPF_JGT | BPF_X, 4, 3, distance, 0);
  program.push_back(instruction(move | BPF_K, 0, 0, 0, XDP_ABORTED));
  program.push_back(instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  // NOLINTEND(misc-redundant-expression)
  return program;
}

auto cpu_time() -> std::int64_t {
  timespec spent{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return std::int64_t{spent.tv_sec} * 1'000'000'000 + spent.tv_nsec;
}

}  // namespace

auto main(int argc, char** argv) -> int {
  if (argc != 6) {
    std::fputs("usage: live_frames INTERFACE SOURCE DESTINATION FLOWS PACKETS\n", stderr);
    return 2;
  }
  const auto flows = static_cast<std::uint32_t>(std::strtoul(argv[4], nullptr, 10));
  PORTOLAN_CHECK(flows > 0 && flows <= 32768 && (flows & (flows - 1)) == 0);
  const std::uint32_t interface = ::if_nametoindex(argv[1]);
  if (interface == 0) fail(argv[1]);
  Frame frame = make_frame(argv[1], argv[2], argv[3]);
  const int program = load(make_program(frame, flows));

  bpf_attr link{};
  link.link_create.prog_fd =
      static_cast<std::uint32_t>(load({instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS),
                                       instruction(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)}));
  link.link_create.target_ifindex = interface;
  link.link_create.attach_type = BPF_XDP;
  if (bpf(BPF_LINK_CREATE, link) < 0) fail("BPF_LINK_CREATE");

  xdp_md context{};
  context.data_end = static_cast<std::uint32_t>(frame.size);
  context.ingress_ifindex = interface;
  bpf_attr run{};
  run.test.prog_fd = static_cast<std::uint32_t>(program);
  run.test.data_in = reinterpret_cast<std::uintptr_t>(frame.octets.data());
  run.test.data_size_in = static_cast<std::uint32_t>(frame.size);
  run.test.ctx_in = reinterpret_cast<std::uintptr_t>(&context);
  run.test.ctx_size_in = sizeof context;
  run.test.repeat = static_cast<std::uint32_t>(std::strtoul(argv[5], nullptr, 10));
  run.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  run.test.batch_size = frames_per_batch;
  const std::int64_t before = cpu_time();
  if (bpf(BPF_PROG_TEST_RUN, run) < 0) fail("BPF_PROG_TEST_RUN with live frames");
  std::printf("%u %lld\n", run.test.repeat, static_cast<long long>(cpu_time() - before));
  return 0;
}
