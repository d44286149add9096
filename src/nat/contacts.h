// SPDX-License-Identifier: BSD-2-Clause
//
// Which remote addresses a binding has sessions with: what address-dependent filtering asks for
// (RFC 6146 s3.5.1, s3.5.2.2), in a table of its own, because a binding may have thousands of sessions.
#pragma once

#include <cstdint>

#include "base/hash.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "base/random.h"

namespace portolan::nat {

class Contacts {
 public:
  /// Room for `maximum` pairs of binding and remote address.
  Contacts(std::uint32_t maximum, Random& random);

  /// Notes one more session of `binding` with `remote`; there is room. Cost O(1).
  void add(std::uint32_t binding, std::uint32_t remote);
  /// Notes its end.
  void remove(std::uint32_t binding, std::uint32_t remote);
  [[nodiscard]] auto has(std::uint32_t binding, std::uint32_t remote) const -> bool {
    return find(binding, remote) != 0;
  }
  /// Sessions noted for one pair; for tests.
  [[nodiscard]] auto sessions(std::uint32_t binding, std::uint32_t remote) const -> std::uint32_t {
    const std::uint32_t number = find(binding, remote);
    return number == 0 ? 0 : contacts_[number].sessions;
  }
  [[nodiscard]] auto size() const -> std::uint32_t { return numbers_.used(); }

 private:
  struct Contact {
    std::uint32_t binding;
    std::uint32_t remote;
    std::uint32_t sessions;
  };

  [[nodiscard]] auto hash_of(std::uint32_t binding, std::uint32_t remote) const -> std::uint32_t {
    return static_cast<std::uint32_t>(keyed_hash(key_, {std::uint64_t{binding} << 32U | remote}));
  }
  [[nodiscard]] auto find(std::uint32_t binding, std::uint32_t remote) const -> std::uint32_t;

  HashKey key_;
  Numbers numbers_;
  LazyArray<Contact> contacts_;
  HashIndex index_;
};

}  // namespace portolan::nat
