// SPDX-License-Identifier: BSD-2-Clause
//
// A filter is for good, so each test has it in a process of its own.
#include "io/system_calls.h"

#include <fcntl.h>
#include <linux/if_ether.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include <gtest/gtest.h>

#include "io/file_descriptor.h"

namespace portolan::io {
namespace {

/// How a process ends that limits itself and then does `what`, whose result is its exit code.
auto end_of(const SystemCallNeeds& needs, UnexpectedCalls unexpected, const std::function<int()>& what)
    -> int {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::_exit(limit_system_calls(needs, unexpected) ? what() : 99);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

auto exits_with(int status, int code) -> bool { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

auto unshare_fails_with() -> int { return ::unshare(CLONE_NEWNS) == 0 ? 0 : errno; }

TEST(SystemCalls, unexpected_ones_fail_and_the_process_goes_on) {
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::refuse, unshare_fails_with), EPERM));
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::refuse,
                                [] {
                                  ::unshare(CLONE_NEWNS);
                                  return ::getpid() > 0 ? 7 : 0;
                                }),
                         7));
}

TEST(SystemCalls, unexpected_ones_kill_if_wanted) {
  const int status = end_of({}, UnexpectedCalls::kill, unshare_fails_with);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) << status;
}

TEST(SystemCalls, are_not_limited_if_wanted) {
  const auto ask = [] {
    const bool is_answered = ::syscall(SYS_getpriority, 0, 0) > 0;
    return is_answered ? 0 : errno;
  };
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::allow, ask), 0));
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::refuse, ask), EPERM));
}

TEST(SystemCalls, only_a_daemon_with_a_store_syncs_files) {
  const auto sync_file = [] {
    const FileDescriptor file{::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    return ::fsync(file.get()) == 0 ? 0 : errno;
  };
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::refuse, sync_file), EPERM));
  EXPECT_TRUE(exits_with(end_of({.keeps_store = true}, UnexpectedCalls::kill, sync_file), 0));
}

TEST(SystemCalls, sockets_are_of_four_families) {
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
    EXPECT_TRUE(exits_with(
        end_of({}, UnexpectedCalls::kill, [=] { return ::socket(family, SOCK_DGRAM, 0) >= 0 ? 0 : errno; }),
        0))
        << family;
  EXPECT_TRUE(exits_with(end_of({}, UnexpectedCalls::refuse,
                                [] { return ::socket(AF_PACKET, SOCK_RAW, ETH_P_ALL) >= 0 ? 0 : errno; }),
                         EPERM));
}

TEST(SystemCalls, threads_can_be_started_and_all_are_limited) {
  const auto status = end_of({}, UnexpectedCalls::refuse, [] {
    int failed = 0;
    std::thread([&] { failed = unshare_fails_with(); }).join();
    return failed;
  });
  EXPECT_TRUE(exits_with(status, EPERM));
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::atomic<bool> is_limited = false;
    int failed = 0;
    std::thread before([&] {
      is_limited.wait(false);
      failed = unshare_fails_with();
    });
    const bool done = limit_system_calls({}, UnexpectedCalls::refuse).has_value();
    is_limited = true;
    is_limited.notify_all();
    before.join();
    ::_exit(done ? failed : 99);
  }
  int before_status = 0;
  ASSERT_EQ(::waitpid(child, &before_status, 0), child);
  EXPECT_TRUE(exits_with(before_status, EPERM)) << "a thread that was there before";
}

}  // namespace
}  // namespace portolan::io
