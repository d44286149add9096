// SPDX-License-Identifier: BSD-2-Clause
//
// Memory for tables with a fixed maximum: reserved at start as zero pages, which cost nothing until
// they are touched. So tables never grow, copy or pause while packets flow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

#include "base/check.h"

namespace portolan {

/// `count` zeroed elements. Throws std::bad_alloc at construction only.
template <typename T>
class LazyArray {
  // Elements begin as all-zero octets and are never destroyed one by one.
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit LazyArray(std::size_t count) : count_(count) {
    // calloc aligns to 16 only; over-aligned elements need a start of their own.
    void* memory = std::calloc(count * sizeof(T) + alignof(T), 1);
    if (memory == nullptr) throw std::bad_alloc();
    memory_.reset(memory);
    std::size_t space = count * sizeof(T) + alignof(T);
    elements_ = static_cast<T*>(std::align(alignof(T), count * sizeof(T), memory, space));
  }

  [[nodiscard]] auto operator[](std::size_t index) -> T& {
    PORTOLAN_CHECK(index < count_);
    return elements_[index];
  }
  [[nodiscard]] auto operator[](std::size_t index) const -> const T& {
    PORTOLAN_CHECK(index < count_);
    return elements_[index];
  }
  [[nodiscard]] auto size() const -> std::size_t { return count_; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  std::unique_ptr<void, Free> memory_;
  T* elements_ = nullptr;
  std::size_t count_;
};

/// Hands out the numbers 1..maximum; returned ones are used again first, so that memory stays dense.
/// 0 means "none".
class Numbers {
 public:
  explicit Numbers(std::uint32_t maximum) : free_(std::size_t{maximum} + 1), maximum_(maximum) {}

  /// A number not in use, or 0 if all are.
  auto take() -> std::uint32_t {
    if (free_count_ > 0) {
      ++used_;
      return free_[--free_count_];
    }
    if (next_ > maximum_) return 0;
    ++used_;
    return next_++;
  }
  /// What take() will return after `others` more calls, unless something is given back before; 0 if nothing.
  [[nodiscard]] auto upcoming(std::uint32_t others) const -> std::uint32_t {
    if (others < free_count_) return free_[free_count_ - 1 - others];
    const std::uint64_t number = std::uint64_t{next_} + (others - free_count_);
    return number <= maximum_ ? static_cast<std::uint32_t>(number) : 0;
  }
  void give_back(std::uint32_t number) {
    free_[free_count_++] = number;
    --used_;
  }
  [[nodiscard]] auto used() const -> std::uint32_t { return used_; }
  [[nodiscard]] auto maximum() const -> std::uint32_t { return maximum_; }
  /// All numbers ever handed out are smaller.
  [[nodiscard]] auto end() const -> std::uint32_t { return next_; }

 private:
  LazyArray<std::uint32_t> free_;
  std::uint32_t free_count_ = 0;
  std::uint32_t next_ = 1;
  std::uint32_t used_ = 0;
  std::uint32_t maximum_;
};

}  // namespace portolan
