// SPDX-License-Identifier: BSD-2-Clause
//
// Clock, randomness, descriptors, log, sysctl reading and service notification.
#include "io/system.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/file_descriptor.h"
#include "io/notify.h"
#include "io/sysctl.h"
#include "io/testing.h"

namespace portolan::io {
namespace {

using ::testing::HasSubstr;

TEST(System, time_counts_from_boot_and_never_backwards) {
  timespec before{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &before), 0);
  TimePoint last{Seconds{before.tv_sec} + Nanoseconds{before.tv_nsec}};
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = monotonic_now();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(System, random_numbers_do_not_repeat_across_buffer_refills) {
  SystemRandom random;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(random.next());
  EXPECT_EQ(seen.size(), 10'000U);  // a repeat among 64-bit numbers has probability 3e-12
}

TEST(System, errors_name_the_operation_and_the_cause) {
  EXPECT_EQ(to_string(SystemError{ECONNREFUSED, "recvmmsg"}), "recvmmsg: Connection refused");
  EXPECT_EQ(errno_text("/dev/net/tun", ENOENT), "/dev/net/tun: No such file or directory");
}

auto is_open(int number) -> bool { return ::fcntl(number, F_GETFD) >= 0; }

TEST(FileDescriptor, closes_once_and_moves) {
  FileDescriptor first{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  const int number = first.get();
  ASSERT_TRUE(is_open(number));
  FileDescriptor second{std::move(first)};
  EXPECT_TRUE(second);
  EXPECT_EQ(second.get(), number);
  second = FileDescriptor{::open("/dev/zero", O_RDONLY | O_CLOEXEC)};
  EXPECT_FALSE(is_open(number));
  const int other = second.release();
  EXPECT_FALSE(second);
  EXPECT_TRUE(is_open(other));
  FileDescriptor{other}.reset();
  EXPECT_FALSE(is_open(other));
}

TEST(FileDescriptor, closing_keeps_errno) {
  FileDescriptor bad{1'000'000};  // closing it fails with EBADF
  errno = EAGAIN;
  bad.reset();
  EXPECT_EQ(errno, EAGAIN);
}

TEST(Sysctl, reads_values_without_line_end) {
  EXPECT_EQ(read_sysctl("kernel.ostype"), "Linux");
  EXPECT_EQ(read_sysctl("kernel/ostype"), "Linux");
}

TEST(Sysctl, missing_setting_is_named) {
  const auto value = read_sysctl("net.ipv4.no_such_setting");
  ASSERT_FALSE(value);
  EXPECT_THAT(value.error(), HasSubstr("sysctl net.ipv4.no_such_setting: No such file"));
}

/// A datagram socket bound where a service manager would listen.
class ServiceManager {
 public:
  explicit ServiceManager(std::string_view path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (path.front() == '@') address.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    ::setenv("NOTIFY_SOCKET", std::string{path}.c_str(), 1);
  }
  ServiceManager(const ServiceManager&) = delete;
  auto operator=(const ServiceManager&) -> ServiceManager& = delete;
  ~ServiceManager() { ::unsetenv("NOTIFY_SOCKET"); }

  [[nodiscard]] auto received() const -> std::string {
    std::array<char, 256> text{};
    const auto got = ::recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
    return got < 0 ? "nothing" : std::string(text.data(), static_cast<std::size_t>(got));
  }

 private:
  FileDescriptor socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

TEST(Notify, readiness_reaches_a_path_socket) {
  const testing::TemporaryFolder folder;
  const ServiceManager manager{(folder.path() / "notify").string()};
  EXPECT_EQ(notify_service_manager("READY=1\nSTATUS=serving"), true);
  EXPECT_EQ(manager.received(), "READY=1\nSTATUS=serving");
}

TEST(Notify, readiness_reaches_an_abstract_socket) {
  const ServiceManager manager{fmt::format("@portolan-notify-{}", ::getpid())};
  EXPECT_EQ(notify_service_manager("READY=1"), true);
  EXPECT_EQ(manager.received(), "READY=1");
}

TEST(Notify, without_a_service_manager_nothing_happens) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_EQ(notify_service_manager("READY=1"), false);
}

TEST(Notify, unreachable_or_overlong_socket_is_an_error) {
  ::setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
  EXPECT_FALSE(notify_service_manager("READY=1"));
  ::setenv("NOTIFY_SOCKET", std::string(sizeof(sockaddr_un::sun_path), 'x').c_str(), 1);
  EXPECT_FALSE(notify_service_manager("READY=1"));
  ::unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace portolan::io
