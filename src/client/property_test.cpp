// SPDX-License-Identifier: BSD-2-Clause
//
// What holds whatever a server answers, tried on random histories. World checks the engine's invariants
// after every step.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "client/test_world.h"

namespace portolan::client {
namespace {

auto any_answer() -> rc::Gen<Answer> {
  return rc::gen::exec([] {
    Answer answer;
    answer.is_lost = *rc::gen::weightedElement<bool>({{1, true}, {3, false}});
    answer.delay = Milliseconds{*rc::gen::inRange(0, 8000)};
    if (*rc::gen::weightedElement<bool>({{1, true}, {3, false}}))
      answer.result = static_cast<wire::ResultCode>(*rc::gen::inRange(1, 28));
    answer.lifetime_s = *rc::gen::weightedOneOf<std::uint32_t>(
        {{4, rc::gen::inRange<std::uint32_t>(0, 600)}, {1, rc::gen::arbitrary<std::uint32_t>()}});
    if (*rc::gen::weightedElement<bool>({{1, true}, {7, false}}))
      answer.epoch_time_s = *rc::gen::inRange<std::uint32_t>(0, 2000);
    answer.external.port.value = *rc::gen::inRange<std::uint16_t>(8080, 8083);
    if (*rc::gen::weightedElement<bool>({{1, true}, {5, false}})) {
      const auto place = *rc::gen::inRange<std::size_t>(0, 60);
      const auto flipped = static_cast<std::byte>(*rc::gen::inRange(1, 256));
      answer.corrupt = [place, flipped](std::vector<std::byte>& octets) {
        if (place < octets.size()) octets[place] ^= flipped;
      };
    }
    return answer;
  });
}

RC_GTEST_PROP(Property, after_any_history_an_honest_server_leads_to_the_mapping, ()) {
  World world(World::default_config(), *rc::gen::arbitrary<std::uint64_t>());
  for (int left = *rc::gen::inRange(0, 12); left > 0; --left) world.script.push_back(*any_answer());
  Wish wish = web_wish();
  wish.prefer_failure = *rc::gen::arbitrary<bool>();
  const Handle handle = world.engine.map(world.now(), wish);
  world.run(Seconds{*rc::gen::inRange(0, 4000)});

  world.otherwise = granted(7200, 8080);
  world.script.clear();
  // The longest wait is the sane maximum of an error's lifetime, and on top of it that of version 1.
  world.run(25h);
  RC_ASSERT(!testing::Test::HasFatalFailure());
  const auto mapping = world.engine.mapping(handle);
  RC_ASSERT(mapping.has_value());
  RC_ASSERT(mapping->external.port == Port{8080});

  const auto times = world.times_of("MAP");
  for (std::size_t i = 1; i < times.size(); ++i) RC_ASSERT(times[i] - times[i - 1] >= 2.7 - 1e-6);
}

RC_GTEST_PROP(Property, after_any_history_a_deletion_ends, ()) {
  World world(World::default_config(), *rc::gen::arbitrary<std::uint64_t>());
  for (int left = *rc::gen::inRange(0, 8); left > 0; --left) world.script.push_back(*any_answer());
  const Handle handle = world.engine.map(world.now(), web_wish());
  world.run(Seconds{*rc::gen::inRange(0, 400)});
  world.otherwise = granted(0);
  world.engine.remove(world.now(), handle);
  world.run(25h);
  RC_ASSERT(!testing::Test::HasFatalFailure());
  RC_ASSERT(!world.engine.nonce(handle).has_value());
  RC_ASSERT(!world.engine.next_deadline().has_value());
}

}  // namespace
}  // namespace portolan::client
