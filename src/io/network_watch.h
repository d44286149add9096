// SPDX-License-Identifier: BSD-2-Clause
//
// Word from the kernel that this host's place in the network has changed: an interface, an address of either
// family or its lifetimes, a route. And, if wanted, what routers advertise that is none of the kernel's
// business (RFC 4861 options such as PREF64), which it hands on as it came. Needs no rights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "io/file_descriptor.h"

namespace portolan::io {

/// Options of one router advertisement, as on the wire.
struct AdvertisedOptions {
  std::uint32_t interface_index = 0;
  std::vector<std::byte> octets;
};

struct NetworkNews {
  bool has_changed = false;
  /// Interfaces that are down or gone, or lost a default router of IPv6, be it for a moment: what was
  /// advertised there before is void.
  std::vector<std::uint32_t> left;
  /// What was advertised since.
  std::vector<AdvertisedOptions> advertised;
};

/// Each one of a router wakes who hears them.
enum class Advertisements : std::uint8_t { ignored, heard };

class NetworkWatch {
 public:
  /// Advertisements kept from one take(); later ones are left out, routers repeat them.
  static constexpr std::size_t advertised_max = 64;

  /// Changes from now on are told. Errors  text for a person
  [[nodiscard]] static auto open(Advertisements advertisements) -> std::expected<NetworkWatch, std::string>;

  /// Readable when there is word.
  [[nodiscard]] auto descriptor() const -> int { return socket_.get(); }
  /// Takes all words that are there. Words that were lost count as a change.
  [[nodiscard]] auto take() -> NetworkNews;

 private:
  explicit NetworkWatch(FileDescriptor socket);

  FileDescriptor socket_;
};

}  // namespace portolan::io
