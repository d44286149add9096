// SPDX-License-Identifier: BSD-2-Clause
//
// udp_echo PORT: sends every datagram back to where it came from, from the address and interface it came
// to, in batches. What no UDP server can do without; pcp_bench.py compares portoland with it.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "udp_batch.h"

auto main(int argc, char** argv) -> int {
  using namespace portolan::bench;  // NOLINT(google-build-using-namespace): a program of one file
  if (argc != 2) {
    std::fputs("usage: udp_echo PORT\n", stderr);
    return 2;
  }
  const int socket = open_udp(static_cast<in_port_t>(std::strtoul(argv[1], nullptr, 10)));
  std::puts("ready");
  std::fflush(stdout);
  static UdpBatch batch;
  for (;;) {
    const std::size_t count = batch.receive(socket, true);
    for (std::size_t i = 0; i < count; ++i)
      batch.address(i, std::min<std::size_t>(batch.messages[i].msg_len, UdpBatch::payload_octets),
                    batch.local_of(i));
    batch.send(socket, count);
  }
}
