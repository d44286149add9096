// SPDX-License-Identifier: BSD-2-Clause
#include "io/process.h"

#include <fcntl.h>

#include <vector>

#include <gtest/gtest.h>

#include "io/file_descriptor.h"

namespace portolan::io {
namespace {

TEST(Process, descriptors_and_memory_are_counted_as_they_come) {
  const ProcessUse before = process_use();
  EXPECT_GT(before.open_descriptors, 2U);
  EXPECT_GT(before.descriptors_max, before.open_descriptors);
  EXPECT_GT(before.cpu_seconds, 0.0);
  std::vector<FileDescriptor> files;
  files.reserve(10);
  for (int i = 0; i < 10; ++i) files.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  constexpr std::size_t octets = 64U << 20U;
  const std::vector<char> memory(octets, 'x');
  const ProcessUse after = process_use();
  EXPECT_EQ(after.open_descriptors, before.open_descriptors + files.size());
  EXPECT_GT(after.resident_octets, before.resident_octets + octets / 2);
  EXPECT_EQ(memory.back(), 'x');
}

TEST(Process, processor_time_grows_with_work) {
  const double before = process_use().cpu_seconds;
  while (process_use().cpu_seconds < before + 0.01) {
  }
  EXPECT_GE(process_use().cpu_seconds, before + 0.01);
}

}  // namespace
}  // namespace portolan::io
