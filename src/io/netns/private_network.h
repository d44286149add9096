// SPDX-License-Identifier: BSD-2-Clause
//
// Each test gets a network namespace of its own, with nothing in it but a loopback interface that is up.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "base/address.h"
#include "io/netlink.h"
#include "io/system.h"

namespace portolan::io::testing {

class PrivateNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    // A failure, not a skip: a run without these tests has not tested this folder.
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << errno_text("unshare(CLONE_NEWNET)", errno)
                                          << ". These tests change interfaces and routes in a network "
                                             "namespace of their own: run them as root.";
    auto opened = Netlink::open();
    ASSERT_TRUE(opened) << opened.error();
    netlink_.emplace(std::move(*opened));
    const auto up = netlink_->set_link(1, {.is_up = true});
    ASSERT_TRUE(up) << up.error();
  }
  auto netlink() -> Netlink& { return netlink_.value(); }

  /// Adds an address and waits until it can be bound: the kernel's duplicate detection ends in a worker
  /// of its own even where it does not look for any.
  void add_address(unsigned interface_index, std::string_view text, unsigned prefix_length) {
    const IpAddress address = IpAddress::parse(text).value();
    const auto added =
        netlink().add_address(interface_index, {.address = address, .prefix_length = prefix_length});
    ASSERT_TRUE(added) << added.error();
    const TimePoint limit = monotonic_now() + std::chrono::seconds{10};
    const auto is_waiting = [&] {
      const auto found = netlink().addresses(interface_index);
      return std::ranges::any_of(
          found.value(), [&](const auto& entry) { return entry.address == address && entry.is_tentative; });
    };
    while (is_waiting()) {
      ASSERT_LT(monotonic_now(), limit) << text << " stays tentative";
      ::sched_yield();
    }
  }

 private:
  std::optional<Netlink> netlink_;
};

}  // namespace portolan::io::testing
