// SPDX-License-Identifier: BSD-2-Clause
//
// Word from the kernel that an interface or an address of this host has changed. What they are now is
// Netlink's to say: so that nothing is missed when words are lost.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "base/address.h"

namespace portolan::io {

class AddressWatch {
 public:
  /// Changes from now on are told, those of addresses of one family. Errors  text for the operator
  [[nodiscard]] static auto open(Family family = Family::ipv4) -> std::expected<AddressWatch, std::string>;
  AddressWatch(AddressWatch&&) noexcept;
  auto operator=(AddressWatch&&) noexcept -> AddressWatch&;
  ~AddressWatch();

  /// Readable when there is word.
  [[nodiscard]] auto descriptor() const -> int;
  /// Takes all words that are there; whether there was any.
  [[nodiscard]] auto take() const -> bool;

 private:
  struct Socket;
  explicit AddressWatch(std::unique_ptr<Socket> socket);
  std::unique_ptr<Socket> socket_;
};

}  // namespace portolan::io
