// SPDX-License-Identifier: BSD-2-Clause
#include "io/steering.h"

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <initializer_list>
#include <vector>

#include "base/check.h"

namespace portolan::io {
namespace {

// Fibonacci hashing; the upper half of the product is the better one.
constexpr std::uint32_t multiplier = 0x9e3779b1U;
constexpr unsigned words_per_address = 4;

// What the program reads, in octets from the start of the IP header.
constexpr int v6_next_header = 6;
constexpr int v6_source = 8;
constexpr int v6_transport = 40;
constexpr int v6_quoted_destination = v6_transport + 8 + 24;
constexpr int v4_fragment = 6;
constexpr int v4_protocol = 9;
constexpr int icmp_header_size = 8;
constexpr int fragment_bits = 0x3fff;  // more fragments, and the offset
constexpr int protocol_icmp = 1;
constexpr int protocol_tcp = 6;
constexpr int protocol_udp = 17;
constexpr int protocol_icmpv6 = 58;
constexpr int icmpv6_query_first = 128;  // below are errors
constexpr int icmp_echo_reply = 0;
constexpr int icmp_echo_request = 8;

constexpr std::uint8_t r0 = BPF_REG_0;      // results
constexpr std::uint8_t r1 = BPF_REG_1;      // the packet, at the start
constexpr std::uint8_t r6 = BPF_REG_6;      // the packet, where loads look for it
constexpr std::uint8_t hash = BPF_REG_7;    // of what was read so far
constexpr std::uint8_t offset = BPF_REG_8;  // of a transport header over IPv4

/// Instructions with jumps to labels, which are known only later.
class Assembler {
 public:
  struct Label {
    std::vector<std::size_t> jumps;
  };

  void add(std::uint8_t code, std::uint8_t to, std::uint8_t from, int value) {
    bpf_insn instruction{};
    instruction.code = code;
    instruction.dst_reg = to & 0xfU;
    instruction.src_reg = from & 0xfU;
    instruction.imm = value;
    instructions_.push_back(instruction);
  }
  /// r0 = the number at `at`, of `size`, in host order; beyond the packet's end the program ends with queue
  /// 0.
  void load(std::uint8_t size, int at) { add(BPF_LD | BPF_ABS | size, 0, 0, at); }
  void load(std::uint8_t size, std::uint8_t base, int at) { add(BPF_LD | BPF_IND | size, 0, base, at); }
  void calculate(std::uint8_t operation, std::uint8_t to, int value) {
    add(BPF_ALU | BPF_K | operation, to, 0, value);
  }
  void calculate_with(std::uint8_t operation, std::uint8_t to, std::uint8_t from) {
    add(BPF_ALU | BPF_X | operation, to, from, 0);
  }
  void copy_pointer(std::uint8_t to, std::uint8_t from) { add(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0); }
  void jump(std::uint8_t condition, int value, Label& label) {
    label.jumps.push_back(instructions_.size());
    add(BPF_JMP | BPF_K | condition, r0, 0, value);
  }
  void jump(Label& label) {
    label.jumps.push_back(instructions_.size());
    add(BPF_JMP | BPF_JA, 0, 0, 0);
  }
  /// `label` is here.
  void place(const Label& label) {
    for (const std::size_t jump : label.jumps)
      instructions_[jump].off = static_cast<short>(instructions_.size() - jump - 1);
  }
  void finish() { add(BPF_JMP | BPF_EXIT, 0, 0, 0); }
  [[nodiscard]] auto instructions() const -> const std::vector<bpf_insn>& { return instructions_; }

 private:
  std::vector<bpf_insn> instructions_;
};

/// One more word into the hash. Products carry upwards only, so the upper half comes down too: prefixes may
/// differ in the highest bits of a word alone.
constexpr auto mixed(std::uint32_t hashed, std::uint32_t word) -> std::uint32_t {
  const std::uint32_t product = (hashed ^ word) * multiplier;
  return product ^ (product >> 16U);
}

}  // namespace

Steering::Steering(unsigned prefix_length) : prefix_length_(prefix_length) {
  PORTOLAN_CHECK(prefix_length >= 1 && prefix_length <= prefix_length_max);
}

auto Steering::mask(unsigned word) const noexcept -> std::uint32_t {
  const unsigned before = word * 32;
  if (prefix_length_ <= before) return 0;
  const unsigned bits = prefix_length_ - before;
  return bits >= 32 ? ~std::uint32_t{0} : ~std::uint32_t{0} << (32 - bits);
}

auto Steering::subscriber(const Ipv6Address& address) const noexcept -> std::uint32_t {
  std::uint32_t hashed = 0;
  for (unsigned i = 0; i < words_per_address && mask(i) != 0; ++i) {
    std::uint32_t word = 0;
    for (unsigned octet = 0; octet < 4; ++octet) word = word << 8U | address.octets[i * 4 + octet];
    hashed = mixed(hashed, word & mask(i));
  }
  return (hashed * multiplier) >> 16U;
}

auto Steering::load() const -> std::expected<FileDescriptor, SystemError> {
  Assembler code;
  Assembler::Label from_ipv4;
  Assembler::Label to_first;
  Assembler::Label is_error_v6;
  Assembler::Label is_icmp;
  Assembler::Label is_echo;
  Assembler::Label is_quoted_echo;
  Assembler::Label by_port;

  const auto finish_by_address = [&](int at) {
    code.calculate(BPF_MOV, hash, 0);
    for (unsigned i = 0; i < words_per_address && mask(i) != 0; ++i) {
      code.load(BPF_W, at + static_cast<int>(i * 4));
      if (mask(i) != ~std::uint32_t{0}) code.calculate(BPF_AND, r0, std::bit_cast<int>(mask(i)));
      code.calculate_with(BPF_XOR, hash, r0);
      code.calculate(BPF_MUL, hash, std::bit_cast<int>(multiplier));
      code.calculate_with(BPF_MOV, r0, hash);
      code.calculate(BPF_RSH, r0, 16);
      code.calculate_with(BPF_XOR, hash, r0);
    }
    code.calculate_with(BPF_MOV, r0, hash);
    code.calculate(BPF_MUL, r0, std::bit_cast<int>(multiplier));
    code.calculate(BPF_RSH, r0, 16);
    code.finish();
  };
  /// offset += the size of the IPv4 header that starts there.
  const auto step_over_header = [&] {
    code.load(BPF_B, offset, 0);
    code.calculate(BPF_AND, r0, 0xf);
    code.calculate(BPF_LSH, r0, 2);
    code.calculate_with(BPF_ADD, offset, r0);
  };
  // The port at `at` of the transport header decides.
  const auto load_and_jump = [&](int at) {
    code.load(BPF_H, offset, at);
    code.jump(by_port);
  };

  code.copy_pointer(r6, r1);
  code.load(BPF_B, 0);
  code.calculate(BPF_RSH, r0, 4);
  code.jump(BPF_JEQ, 4, from_ipv4);
  code.jump(BPF_JNE, 6, to_first);

  code.load(BPF_B, v6_next_header);
  Assembler::Label by_source;
  code.jump(BPF_JNE, protocol_icmpv6, by_source);
  code.load(BPF_B, v6_transport);
  code.jump(BPF_JLT, icmpv6_query_first, is_error_v6);
  code.place(by_source);
  finish_by_address(v6_source);
  code.place(is_error_v6);
  finish_by_address(v6_quoted_destination);

  code.place(from_ipv4);
  code.load(BPF_H, v4_fragment);
  code.jump(BPF_JSET, fragment_bits, to_first);
  code.calculate(BPF_MOV, offset, 0);
  step_over_header();
  code.load(BPF_B, v4_protocol);
  code.jump(BPF_JEQ, protocol_icmp, is_icmp);
  Assembler::Label has_ports;
  code.jump(BPF_JEQ, protocol_tcp, has_ports);
  code.jump(BPF_JNE, protocol_udp, to_first);
  code.place(has_ports);
  load_and_jump(2);  // the destination's

  code.place(is_icmp);
  code.load(BPF_B, offset, 0);
  code.jump(BPF_JEQ, icmp_echo_reply, is_echo);
  code.jump(BPF_JEQ, icmp_echo_request, is_echo);
  code.calculate(BPF_ADD, offset, icmp_header_size);
  code.load(BPF_B, offset, v4_protocol);
  code.jump(BPF_JEQ, protocol_icmp, is_quoted_echo);
  step_over_header();
  load_and_jump(0);  // the source's: it is ours
  code.place(is_quoted_echo);
  step_over_header();
  code.place(is_echo);
  code.load(BPF_H, offset, 4);  // the identifier

  code.place(by_port);
  code.calculate(BPF_RSH, r0, std::countr_zero(ports_per_block));
  code.finish();
  code.place(to_first);
  code.calculate(BPF_MOV, r0, 0);
  code.finish();

  static constexpr char licence[] = "Dual BSD/GPL";
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insn_cnt = static_cast<std::uint32_t>(code.instructions().size());
  attributes.insns = reinterpret_cast<std::uintptr_t>(code.instructions().data());
  attributes.license = reinterpret_cast<std::uintptr_t>(&licence[0]);
  FileDescriptor program{static_cast<int>(::syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes))};
  if (!program) return std::unexpected(SystemError{errno, "load the steering program"});
  return program;
}

}  // namespace portolan::io
