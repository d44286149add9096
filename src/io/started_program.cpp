// SPDX-License-Identifier: BSD-2-Clause
#include "io/started_program.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string_view>

#include <fmt/format.h>

#include "io/system.h"

namespace portolan::io {
namespace {

auto pointers_to(std::vector<std::string>& texts) -> std::vector<char*> {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

auto with(const std::vector<std::pair<std::string, std::string>>& changes) -> std::vector<std::string> {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    bool is_changed = false;
    for (const auto& [name, value] : changes) is_changed = is_changed || text.starts_with(name + "=");
    if (!is_changed) variables.emplace_back(text);
  }
  for (const auto& [name, value] : changes) variables.push_back(fmt::format("{}={}", name, value));
  return variables;
}

}  // namespace

auto start_program(const std::vector<std::string>& arguments,
                   const std::vector<std::pair<std::string, std::string>>& environment)
    -> std::expected<pid_t, std::string> {
  auto words = arguments;
  auto variables = with(environment);
  pid_t process = 0;
  posix_spawnattr_t attributes{};
  ::posix_spawnattr_init(&attributes);
  // What this program ignores or blocks is its own matter.
  sigset_t all{};
  sigset_t none{};
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  const int error = ::posix_spawnp(&process, words[0].c_str(), nullptr, &attributes,
                                   pointers_to(words).data(), pointers_to(variables).data());
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) return std::unexpected(errno_text(words[0], error));
  return process;
}

auto take_ended_program() -> std::optional<EndedProgram> {
  int status = 0;
  const pid_t process = ::waitpid(-1, &status, WNOHANG);
  if (process <= 0) return {};
  return EndedProgram{.process = process,
                      .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
}

void signal_program(pid_t process, int signal) { ::kill(process, signal); }

void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

auto has_children() -> bool {
  siginfo_t state{};
  return ::waitid(P_ALL, 0, &state, WEXITED | WNOHANG | WNOWAIT) == 0;
}

auto own_children() -> std::vector<pid_t> {
  std::vector<pid_t> all;
  std::ifstream list(fmt::format("/proc/self/task/{}/children", ::getpid()));
  for (pid_t process = 0; list >> process;) all.push_back(process);
  return all;
}

}  // namespace portolan::io
