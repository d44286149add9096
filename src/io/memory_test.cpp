// SPDX-License-Identifier: BSD-2-Clause
#include "io/memory.h"

#include <gtest/gtest.h>

namespace portolan::io {
namespace {

TEST(HugePages, are_asked_for_besides_what_is_set) {
  EXPECT_EQ(with_huge_pages(""), "glibc.malloc.hugetlb=1");
  EXPECT_EQ(with_huge_pages("glibc.malloc.check=1"), "glibc.malloc.check=1:glibc.malloc.hugetlb=1");
}

TEST(HugePages, are_not_asked_for_again_nor_against_the_operators_word) {
  EXPECT_EQ(with_huge_pages("glibc.malloc.hugetlb=1"), std::nullopt);
  EXPECT_EQ(with_huge_pages("glibc.malloc.hugetlb=0:glibc.malloc.check=1"), std::nullopt);
}

}  // namespace
}  // namespace portolan::io
