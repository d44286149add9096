// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include <fmt/format.h>

#include "io/resolve.h"

namespace portolan::io {
namespace {

/// Records taken of one answer.
constexpr int records_max = 64;

struct Resolver {
  struct __res_state state{};
  bool is_open = false;

  Resolver() : is_open(::res_ninit(&state) == 0) {}
  Resolver(const Resolver&) = delete;
  auto operator=(const Resolver&) -> Resolver& = delete;
  ~Resolver() {
    if (is_open) ::res_nclose(&state);
  }
};

auto read_records(const unsigned char* answer, int length) -> std::expected<Ipv6Records, std::string> {
  ns_msg message{};
  if (::ns_initparse(answer, length, &message) != 0) return std::unexpected("the answer is malformed");
  Ipv6Records records;
  Seconds lowest = Seconds::max();
  const int count = std::min<int>(ns_msg_count(message, ns_s_an), records_max);
  for (int i = 0; i < count; ++i) {
    ns_rr record{};
    if (::ns_parserr(&message, ns_s_an, i, &record) != 0) return std::unexpected("the answer is malformed");
    if (ns_rr_type(record) != ns_t_aaaa || ns_rr_rdlen(record) != sizeof(Ipv6Address)) continue;
    Ipv6Address address;
    std::memcpy(address.octets.data(), ns_rr_rdata(record), address.octets.size());
    records.addresses.emplace_back(address);
    lowest = std::min(lowest, Seconds{ns_rr_ttl(record)});
  }
  if (!records.addresses.empty()) records.time_to_live = lowest;
  return records;
}

}  // namespace

auto resolve_ipv6_records(const std::string& name) -> std::expected<Ipv6Records, std::string> {
  Resolver resolver;
  if (!resolver.is_open) return std::unexpected(fmt::format("{}: the resolver has no configuration", name));
  std::array<unsigned char, 4096> answer{};
  const int length = ::res_nquery(&resolver.state, name.c_str(), ns_c_in, ns_t_aaaa, answer.data(),
                                  static_cast<int>(answer.size()));
  if (length < 0) {
    const int error = resolver.state.res_h_errno;
    if (error == HOST_NOT_FOUND || error == NO_DATA) return Ipv6Records{};
    return std::unexpected(fmt::format("{}: {}", name, ::hstrerror(error)));
  }
  auto records = read_records(answer.data(), std::min<int>(length, static_cast<int>(answer.size())));
  if (!records) return std::unexpected(fmt::format("{}: {}", name, records.error()));
  return records;
}

}  // namespace portolan::io
