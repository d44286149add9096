// SPDX-License-Identifier: BSD-2-Clause
//
// A stream of any octets read as a gateway's replies.
#include "control_check.h"

extern "C" auto LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) -> int {
  portolan::control::check_stream({data, size}, portolan::control::decode_reply);
  return 0;
}
