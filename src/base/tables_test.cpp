// SPDX-License-Identifier: BSD-2-Clause
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/timer_wheel.h"

namespace portolan {
namespace {

RC_GTEST_PROP(HashIndex, behaves_like_a_set_under_any_hash,
              (const std::vector<std::pair<bool, std::uint8_t>>& operations, std::uint32_t hash_mask)) {
  const auto hash = [&](std::uint32_t number) { return (number * 0x9e3779b1U) & hash_mask; };
  // Of its size from the start, growing up to it, and growing beyond what was foreseen.
  HashIndex index = *rc::gen::element(256U, 100U) == 256U ? HashIndex(256) : HashIndex::growing(100);
  std::set<std::uint32_t> present;
  for (const auto& [insert, low] : operations) {
    const std::uint32_t number = low + 1U;
    if (insert && present.insert(number).second)
      index.insert(hash(number), number);
    else if (!insert && present.erase(number) != 0)
      index.erase(hash(number), number);
    for (std::uint32_t each = 1; each <= 256; ++each) {
      const auto found = index.find(hash(each), [&](std::uint32_t candidate) { return candidate == each; });
      RC_ASSERT(found == (present.contains(each) ? each : 0));
    }
  }
}

RC_GTEST_PROP(Numbers, those_that_come_next_are_known, (const std::vector<bool>& operations)) {
  constexpr std::uint32_t maximum = 20;
  Numbers numbers(maximum);
  std::vector<std::uint32_t> taken;
  for (const bool takes : operations) {
    if (takes) {
      if (const std::uint32_t number = numbers.take(); number != 0) taken.push_back(number);
    } else if (!taken.empty()) {
      const auto which = taken.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(taken));
      numbers.give_back(*which);
      taken.erase(which);
    }
  }
  std::vector<std::uint32_t> foreseen;
  for (std::uint32_t others = 0; others <= maximum; ++others) foreseen.push_back(numbers.upcoming(others));
  for (const std::uint32_t number : foreseen) RC_ASSERT(numbers.take() == number);
  RC_ASSERT(numbers.used() == maximum);
}

RC_GTEST_PROP(TimerWheel, brings_each_number_up_once_and_never_early, ()) {
  TimerWheel wheel(64);
  TimePoint now{Seconds{*rc::gen::inRange(0, 10'000'000)}};
  std::map<std::uint32_t, TimePoint> armed;
  const auto steps = *rc::gen::container<std::vector<std::pair<std::uint8_t, std::uint16_t>>>(
      rc::gen::pair(rc::gen::inRange<std::uint8_t>(0, 8), rc::gen::arbitrary<std::uint16_t>()));
  for (const auto& [what, value] : steps) {
    const std::uint32_t number = value % 64 + 1;
    if (what < 4) {
      // Up to a quarter of an hour, some far beyond the wheel's reach.
      const TimePoint deadline = now + Milliseconds{value * (what == 0 ? 1000LL : 13LL)};
      wheel.schedule(number, deadline, now);
      armed[number] = deadline;
    } else if (what == 4) {
      wheel.cancel(number);
      armed.erase(number);
    } else {
      now += Milliseconds{value * (what == 7 ? 100LL : 1LL)};
      while (const auto due = wheel.pop_due(now)) {
        RC_ASSERT(armed.contains(*due));
        if (armed[*due] > now) {
          // Too far away at first: the owner puts it back.
          RC_ASSERT(armed[*due] - now > Seconds{0});
          wheel.schedule(*due, armed[*due], now);
          continue;
        }
        armed.erase(*due);
      }
      for (const auto& [each, deadline] : armed) RC_ASSERT(deadline + Milliseconds{269} > now);
    }
    const auto next = wheel.next_deadline();
    RC_ASSERT(next.has_value() == !armed.empty());
    for (const auto& [each, deadline] : armed) RC_ASSERT(*next <= deadline + Milliseconds{269});
  }
}

}  // namespace
}  // namespace portolan
