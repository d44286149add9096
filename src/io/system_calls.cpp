// SPDX-License-Identifier: BSD-2-Clause
#include "io/system_calls.h"

#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <initializer_list>
#include <memory>

#include <fmt/format.h>

#include "io/system.h"

namespace portolan::io {
namespace {

using Names = std::initializer_list<const char*>;

// Several names are of other processors' or older C libraries' ways to the same thing.
constexpr Names memory_calls{"brk", "madvise", "mmap", "mmap2", "mprotect", "mremap", "munmap"};
constexpr Names thread_calls{"capget",
                             "capset",
                             "exit",
                             "exit_group",
                             "futex",
                             "futex_time64",
                             "getegid",
                             "geteuid",
                             "getgid",
                             "getpid",
                             "getppid",
                             "getrlimit",
                             "getrusage",
                             "gettid",
                             "getuid",
                             "membarrier",
                             "prlimit64",
                             "restart_syscall",
                             "rseq",
                             "rt_sigaction",
                             "rt_sigpending",
                             "rt_sigprocmask",
                             "rt_sigreturn",
                             "rt_sigtimedwait",
                             "sched_getaffinity",
                             "sched_yield",
                             "set_robust_list",
                             "sigaltstack",
                             "sysinfo",
                             "tgkill",
                             "uname"};
constexpr Names time_calls{
    "clock_getres", "clock_gettime", "clock_gettime64", "clock_nanosleep", "gettimeofday",
    "nanosleep",    "time"};
constexpr Names waiting_calls{"epoll_create1",  "epoll_ctl", "epoll_pwait",    "epoll_wait",
                              "eventfd2",       "pipe2",     "poll",           "ppoll",
                              "pselect6",       "select",    "timerfd_create", "timerfd_gettime",
                              "timerfd_settime"};
constexpr Names socket_calls{"accept",      "accept4",    "bind",   "connect",    "getpeername", "getrandom",
                             "getsockname", "getsockopt", "listen", "recvfrom",   "recvmmsg",    "recvmsg",
                             "sendmmsg",    "sendmsg",    "sendto", "setsockopt", "shutdown"};
constexpr Names file_calls{"access",  "chmod",     "close",      "dup",        "faccessat", "faccessat2",
                           "fchmod",  "fchmodat",  "fcntl",      "fcntl64",    "flock",     "fstat",
                           "fstat64", "ftruncate", "getcwd",     "getdents64", "lseek",     "lstat",
                           "mkdir",   "mkdirat",   "newfstatat", "open",       "openat",    "pread64",
                           "preadv",  "pwrite64",  "pwritev",    "read",       "readlink",  "readlinkat",
                           "readv",   "rename",    "renameat",   "renameat2",  "stat",      "statfs",
                           "fstatfs", "statx",     "unlink",     "unlinkat",   "write",     "writev"};
constexpr Names store_calls{"fallocate", "fchown", "fchown32", "fdatasync", "fsync", "utimensat"};
constexpr Names program_calls{"arch_prctl",      "dup2",  "dup3",  "execve", "kill", "memfd_create",
                              "set_tid_address", "vfork", "wait4", "waitid"};

#if defined(PORTOLAN_SANITIZED)
/// What sanitizers do at the end of a process, and when they report.
constexpr Names sanitizer_calls{"clone",   "execve",    "kill",  "memfd_create",     "personality", "pipe",
                                "prctl",   "ptrace",    "wait4", "process_vm_readv", "waitid",      "ioctl",
                                "mincore", "setrlimit", "dup2",  "socketpair"};
#endif

struct Release {
  void operator()(void* context) const { ::seccomp_release(context); }
};

class Filter {
 public:
  explicit Filter(std::uint32_t otherwise) : context_(::seccomp_init(otherwise)) {
    if (!context_) failed_ = ENOMEM;
  }

  void allow(const Names& names) {
    for (const char* name : names) allow(name);
  }
  template <typename... Conditions>
  void allow(const char* name, Conditions... conditions) {
    add(SCMP_ACT_ALLOW, name, conditions...);
  }
  template <typename... Conditions>
  void add(std::uint32_t action, const char* name, Conditions... conditions) {
    if (failed_ != 0) return;
    const int call = ::seccomp_syscall_resolve_name(name);
    // This processor has no such call.
    if (call == __NR_SCMP_ERROR) return;
    failed_ = -::seccomp_rule_add(context_.get(), action, call, sizeof...(conditions), conditions...);
  }
  /// 0, or errno
  auto load() -> int {
    if (failed_ == 0) failed_ = -::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    if (failed_ == 0) failed_ = -::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_NNP, 0);
    // A look-up for each call, not a walk through the list.
    if (failed_ == 0) failed_ = -::seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (failed_ == 0) failed_ = -::seccomp_load(context_.get());
    return failed_;
  }

 private:
  std::unique_ptr<void, Release> context_;
  int failed_ = 0;
};

/// A condition on an argument of a call: libseccomp's macros for it are C only.
auto argument(unsigned number, scmp_compare compare, scmp_datum_t first, scmp_datum_t second = 0)
    -> scmp_arg_cmp {
  return {.arg = number, .op = compare, .datum_a = first, .datum_b = second};
}

void allow_with_conditions(Filter& filter) {
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK})
    filter.allow("socket", argument(0, SCMP_CMP_EQ, static_cast<unsigned>(family)));
  filter.allow("socketpair", argument(0, SCMP_CMP_EQ, AF_UNIX));
  // Not those that change interfaces: that is done by netlink.
  for (const unsigned long request :
       {static_cast<unsigned long>(FIONBIO), static_cast<unsigned long>(FIONREAD),
        static_cast<unsigned long>(TCGETS), static_cast<unsigned long>(TIOCGWINSZ),
        static_cast<unsigned long>(SIOCGIFINDEX), static_cast<unsigned long>(SIOCGIFNAME)})
    filter.allow("ioctl", argument(1, SCMP_CMP_EQ, request));
  filter.allow("prctl", argument(0, SCMP_CMP_EQ, PR_SET_NAME));
  filter.allow("clone", argument(0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
  // Its arguments can't be looked at; without it the C library takes clone.
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
}

}  // namespace

auto limit_system_calls(const SystemCallNeeds& needs, UnexpectedCalls unexpected)
    -> std::expected<void, std::string> {
  if (unexpected == UnexpectedCalls::allow) return {};
  Filter filter(unexpected == UnexpectedCalls::kill ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
  for (const Names& names : {memory_calls, thread_calls, time_calls, waiting_calls, socket_calls, file_calls})
    filter.allow(names);
  allow_with_conditions(filter);
  if (needs.keeps_store) filter.allow(store_calls);
  if (needs.runs_programs) {
    filter.allow(program_calls);
    filter.allow("clone", argument(0, SCMP_CMP_MASKED_EQ, CLONE_VFORK, CLONE_VFORK));
  }
#if defined(PORTOLAN_SANITIZED)
  filter.allow(sanitizer_calls);
#endif
  if (const int failed = filter.load(); failed != 0)
    return std::unexpected(errno_text("limiting system calls (unexpected_calls)", failed) +
                           ": with unexpected_calls = \"allow\" there is no limit");
  return {};
}

}  // namespace portolan::io
