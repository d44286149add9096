// SPDX-License-Identifier: BSD-2-Clause
//
// Where tables have millions of records, waiting for memory costs more than all else. Who will need several
// of them tells the processor of all first, and it fetches them at the same time.
#pragma once

#include <cstddef>

namespace portolan {

/// How many records are fetched before the first of them is used: enough that it is there by then, and few
/// enough that none has left the processor's cache again.
inline constexpr std::size_t fetched_together_max = 64;

/// Starts fetching all of `record`, to be changed soon. Where it lies need not be anybody's any more.
template <typename Record>
void prefetch(const Record& record) {
  constexpr std::size_t line = 64;
  // clang-tidy 19 takes some records for pointers. NOLINTBEGIN(bugprone-sizeof-expression)
  const auto* octets = reinterpret_cast<const std::byte*>(&record);
  for (std::size_t at = 0; at < sizeof(Record); at += line) __builtin_prefetch(octets + at, 1);
  // It need not begin where a line does.
  if constexpr (sizeof(Record) % line != 0 || alignof(Record) < line)
    __builtin_prefetch(octets + sizeof(Record) - 1, 1);
  // NOLINTEND(bugprone-sizeof-expression)
}

}  // namespace portolan
