// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstddef>
#include <span>

#include "io/dns_question.h"
#include "io/resolve.h"
#include "io/system.h"

namespace portolan::io {
namespace {

constexpr std::size_t answer_octets_max = 4096;

}  // namespace

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

auto resolve_services(const std::string& name) -> std::expected<std::vector<ServiceRecord>, std::string> {
  std::array<unsigned char, answer_octets_max> answer{};
  const int length =
      ::res_query(name.c_str(), ns_c_in, ns_t_srv, answer.data(), static_cast<int>(answer.size()));
  if (length < 0) {
    if (h_errno == HOST_NOT_FOUND || h_errno == NO_DATA) return {};
    return std::unexpected(name + ": no DNS server answers");
  }
  const auto octets = std::as_bytes(std::span(answer));
  return parse_service_records(octets.first(std::min(static_cast<std::size_t>(length), octets.size())));
}

}  // namespace portolan::io
