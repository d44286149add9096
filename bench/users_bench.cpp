// SPDX-License-Identifier: BSD-2-Clause
//
// A million users by longest prefix match, of four prefix lengths: finding whose an address is, and a change
// of one user, against reading one cache line at random. The note has the memory of a user.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "harness.h"
#include "server/users.h"

namespace {

using namespace portolan;  // NOLINT(google-build-using-namespace): a program of one file

constexpr std::uint32_t users_max = 1'000'000;

/// Of user `number`: three of four have a /64, the others a /56, /48 or an IPv4 address.
auto prefix_of(std::uint32_t number) -> Prefix {
  if (number % 16 == 1) return {IpAddress{Ipv4Address{0x0a000000U + number}}, 128};
  Ipv6Address address = *Ipv6Address::parse("2001:db8::");
  const unsigned length = number % 16 == 2 ? 48 : number % 4 == 3 ? 56 : 64;
  // The first bits say of which length it is, so that none lies within another.
  const std::uint64_t bits = std::uint64_t{length / 8} << 24U | number;
  for (unsigned bit = 0; bit < length - 20 && bit < 28; ++bit)
    if ((bits >> bit & 1U) != 0)
      address.octets[(length - 1 - bit) / 8] |= static_cast<std::uint8_t>(0x80U >> (length - 1 - bit) % 8);
  return {IpAddress{address}, length};
}

auto host_of(std::uint32_t number) -> IpAddress {
  const Prefix prefix = prefix_of(number);
  if (prefix.address().is_ipv4()) return prefix.address();
  Ipv6Address address = prefix.address().bits();
  address.octets[15] = 1;
  return IpAddress{address};
}

auto resident_octets() -> std::size_t {
  std::ifstream file("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  PORTOLAN_CHECK(file >> total >> resident);
  return resident * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

auto main(int argc, char** argv) -> int {
  SeededRandom random(1);
  const std::size_t before = resident_octets();
  server::Users users(users_max + 1, random);
  for (std::uint32_t number = 0; number < users_max; ++number)
    PORTOLAN_CHECK(users.put({.profile = {.users = prefix_of(number)}}));
  const std::size_t taken = resident_octets() - before;
  std::printf("note %zu users: %zu octets each\n", users.size(), taken / users.size());

  std::vector<IpAddress> hosts(1U << 20U);
  std::vector<IpAddress> strangers(hosts.size());
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    hosts[i] = host_of(static_cast<std::uint32_t>(random.below(users_max)));
    Ipv6Address stranger = *Ipv6Address::parse("2001:db9::");
    for (const std::size_t octet : {4U, 5U, 6U, 7U})
      stranger.octets[octet] = static_cast<std::uint8_t>(random.next());
    strangers[i] = IpAddress{stranger};
  }
  struct alignas(64) Line {
    std::uint64_t value;
  };
  std::vector<Line> lines(1U << 21U);
  const auto look = [&](const std::vector<IpAddress>& addresses, bool is_user) {
    return [&users, &addresses, is_user](std::size_t count) {
      for (std::size_t i = 0; i < count; ++i) {
        const auto* const user = users.find(addresses[i % addresses.size()]);
        PORTOLAN_CHECK((user != nullptr) == is_user);
        bench::keep(user);
      }
    };
  };
  return bench::run(argc, argv, "ns per look-up or change",
                    {{.name = "one cache line",
                      .is_reference = true,
                      .work =
                          [&](std::size_t count) {
                            // The next place depends on what was read.
                            std::uint64_t at = 1;
                            for (std::size_t i = 0; i < count; ++i)
                              at = at * 6364136223846793005U + 1442695040888963407U + lines[at >> 43U].value;
                            bench::keep(at);
                          },
                      .count = 1'000'000},
                     {.name = "a user's address", .work = look(hosts, true), .count = 1'000'000},
                     {.name = "a stranger's address", .work = look(strangers, false), .count = 1'000'000},
                     {.name = "a user goes and comes back",
                      .work =
                          [&](std::size_t count) {
                            for (std::size_t i = 0; i < count; ++i) {
                              const Prefix prefix =
                                  prefix_of(static_cast<std::uint32_t>(i * 7919 % users_max));
                              users.erase(prefix);
                              PORTOLAN_CHECK(users.put({.profile = {.users = prefix}}));
                            }
                          },
                      .count = 200'000}});
}
