// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <fmt/format.h>

#include "base/bytes.h"
#include "io/resolve.h"

namespace portolan::io {
namespace {

/// Records taken of one answer.
constexpr unsigned records_max = 64;

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

/// A name ends with an empty label, or goes on where it was written before (RFC 1035 s4.1.4).
void skip_name(ByteReader& reader) {
  while (reader.ok()) {
    const auto length = reader.read<std::uint8_t>();
    if ((length & 0xc0U) != 0) return reader.skip(1);
    if (length == 0) return;
    reader.skip(length);
  }
}

auto read_records(std::span<const std::byte> answer) -> std::expected<Ipv6Records, std::string> {
  ByteReader reader(answer);
  reader.skip(4);
  const auto questions = reader.read<std::uint16_t>();
  const auto answers = std::min<unsigned>(reader.read<std::uint16_t>(), records_max);
  reader.skip(4);
  for (unsigned i = 0; i < questions && reader.ok(); ++i) {
    skip_name(reader);
    reader.skip(4);
  }
  Ipv6Records records;
  Seconds lowest = Seconds::max();
  for (unsigned i = 0; i < answers && reader.ok(); ++i) {
    skip_name(reader);
    const auto type = reader.read<std::uint16_t>();
    reader.skip(2);
    const Seconds time_to_live{reader.read<std::uint32_t>()};
    ByteReader data(reader.take(reader.read<std::uint16_t>()));
    if (type != ns_t_aaaa || data.remaining() != sizeof(Ipv6Address)) continue;
    records.addresses.push_back(data.read_address());
    lowest = std::min(lowest, time_to_live);
  }
  if (!reader.ok()) return std::unexpected("the answer is malformed");
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
  const std::size_t size = std::min(static_cast<std::size_t>(length), answer.size());
  auto records = read_records(std::as_bytes(std::span(answer)).first(size));
  if (!records) return std::unexpected(fmt::format("{}: {}", name, records.error()));
  return records;
}

}  // namespace portolan::io
