// SPDX-License-Identifier: BSD-2-Clause
#include "nat/contacts.h"

#include "base/check.h"

namespace portolan::nat {

Contacts::Contacts(std::uint32_t maximum, Random& random)
    : key_(HashKey::generate(random)),
      numbers_(maximum),
      contacts_(std::size_t{maximum} + 1),
      index_(maximum) {}

auto Contacts::find(std::uint32_t binding, std::uint32_t remote) const -> std::uint32_t {
  return index_.find(hash_of(binding, remote), [&](std::uint32_t number) {
    return contacts_[number].binding == binding && contacts_[number].remote == remote;
  });
}

void Contacts::add(std::uint32_t binding, std::uint32_t remote) {
  if (const std::uint32_t known = find(binding, remote); known != 0) {
    ++contacts_[known].sessions;
    return;
  }
  const std::uint32_t number = numbers_.take();
  PORTOLAN_CHECK(number != 0);
  contacts_[number] = {.binding = binding, .remote = remote, .sessions = 1};
  index_.insert(hash_of(binding, remote), number);
}

void Contacts::remove(std::uint32_t binding, std::uint32_t remote) {
  const std::uint32_t number = find(binding, remote);
  PORTOLAN_CHECK(number != 0);
  if (--contacts_[number].sessions != 0) return;
  index_.erase(hash_of(binding, remote), number);
  numbers_.give_back(number);
}

}  // namespace portolan::nat
