// SPDX-License-Identifier: BSD-2-Clause
#include "io/process.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

namespace portolan::io {

auto process_use() -> ProcessUse {
  ProcessUse use;
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0)
    for (const timeval& time : {usage.ru_utime, usage.ru_stime})
      use.cpu_seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  std::uint64_t pages = 0;
  std::uint64_t resident = 0;
  // proc(5): sizes in pages, the second one resident.
  if (std::ifstream("/proc/self/statm") >> pages >> resident)
    use.resident_octets = resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  // Looking takes one itself.
  if (!error) use.open_descriptors = static_cast<std::uint64_t>(std::distance(begin(open), end(open))) - 1;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.descriptors_max = limit.rlim_cur;
  return use;
}

}  // namespace portolan::io
