// SPDX-License-Identifier: BSD-2-Clause
//
// Huge pages for what the process allocates. Tables of some hundred megabytes are looked up at random, and
// with pages of 4 KB the processor walks its page tables on nearly every look: at a million mappings that
// was a quarter of the server's time.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace portolan::io {

/// The value of GLIBC_TUNABLES that asks for huge pages besides what `tunables` says; nothing if it says
/// something about them already.
[[nodiscard]] auto with_huge_pages(std::string_view tunables) -> std::optional<std::string>;

/// Call first in main(). The C library reads its settings only when a program starts, so this starts the
/// program again in its place, once, with the same arguments. Returns if that is done or can't be done.
/// GLIBC_TUNABLES=glibc.malloc.hugetlb=0 prevents it.
void allocate_huge_pages(char** arguments);

/// Blocks of 1 MiB and more go back to the system when they are freed. Left to itself the C library keeps
/// blocks of up to 32 MiB, and a table that has grown leaves all its former selves behind.
void give_back_large_blocks();

}  // namespace portolan::io
