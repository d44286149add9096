// SPDX-License-Identifier: BSD-2-Clause
#include "io/memory.h"

#include <malloc.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <cstdlib>

namespace portolan::io {
namespace {

constexpr const char* variable = "GLIBC_TUNABLES";
constexpr std::string_view tunable = "glibc.malloc.hugetlb";

}  // namespace

auto with_huge_pages(std::string_view tunables) -> std::optional<std::string> {
  if (tunables.find(tunable) != std::string_view::npos) return {};
  std::string value(tunables);
  if (!value.empty()) value += ':';
  return value.append(tunable).append("=1");
}

void allocate_huge_pages(char** arguments) {
  // A program with more rights than its caller starts without the variable: it would start for ever.
  if (::getauxval(AT_SECURE) != 0) return;
  const char* present = std::getenv(variable);
  const auto value = with_huge_pages(present == nullptr ? "" : present);
  if (!value || ::setenv(variable, value->c_str(), 1) != 0) return;
  ::execv("/proc/self/exe", arguments);
}

void give_back_large_blocks() { ::mallopt(M_MMAP_THRESHOLD, 1 << 20); }

}  // namespace portolan::io
