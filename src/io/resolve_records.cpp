// SPDX-License-Identifier: BSD-2-Clause
#include <poll.h>

#include <algorithm>
#include <climits>

#include "io/dns_question.h"
#include "io/resolve.h"
#include "io/system.h"

namespace portolan::io {

auto resolve_ipv6_records(const std::string& name) -> std::expected<Ipv6Records, std::string> {
  auto question = DnsQuestion::ask(name, monotonic_now());
  if (!question) return std::unexpected(question.error());
  while (true) {
    pollfd waiting{.fd = question->descriptor(), .events = POLLIN, .revents = 0};
    const auto left = std::chrono::ceil<Milliseconds>(question->deadline() - monotonic_now());
    static_cast<void>(
        ::poll(&waiting, 1, static_cast<int>(std::clamp<Milliseconds::rep>(left.count(), 0, INT_MAX))));
    if (const auto answer = question->proceed(monotonic_now())) return *answer;
  }
}

}  // namespace portolan::io
