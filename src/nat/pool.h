// SPDX-License-Identifier: BSD-2-Clause
//
// The external addresses: which there are, how often each is chosen, and their ports. An address goes by
// its index as long as anything is there. Memory for ports is reserved for all addresses when the pool is
// set, and costs next to nothing for those that are not used.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/hash_index.h"
#include "base/lazy_array.h"
#include "nat/pool_range.h"
#include "nat/port_space.h"

namespace portolan::nat {

// Ports of PCP itself: no client may have them (RFC 6887 s11.3).
inline constexpr Port pcp_client_port{5350};
inline constexpr Port pcp_server_port{5351};

class Pool {
 public:
  /// Most addresses; indices are twice as many, because those of one pool stay until their ports are free.
  static constexpr std::size_t addresses_max = 32'768;

  explicit Pool(const std::vector<PoolRange>& ranges);

  /// Index of an address (host order) of the pool.
  [[nodiscard]] auto index_of(std::uint32_t address) const -> std::optional<std::uint16_t>;
  /// Unspecified if the index is not in use.
  [[nodiscard]] auto address(std::uint16_t index) const -> Ipv4Address { return addresses_[index].address; }
  /// Whether it is one of the present pool.
  [[nodiscard]] auto is_live(std::uint16_t index) const -> bool { return addresses_[index].is_live; }
  /// Whether an address is the host's too; whether any is.
  [[nodiscard]] auto is_shared(std::uint16_t index) const -> bool { return addresses_[index].is_shared; }
  [[nodiscard]] auto has_shared() const -> bool { return has_shared_; }
  [[nodiscard]] auto ports_of(std::uint16_t index) const -> const PortRange& {
    return addresses_[index].ports;
  }

  /// How many addresses the present pool has. They have places from 0 on.
  [[nodiscard]] auto size() const -> std::uint32_t { return static_cast<std::uint32_t>(live_.size()); }
  [[nodiscard]] auto at(std::uint32_t place) const -> std::uint16_t { return live_[place]; }
  /// The place that `hash` leads to: each with a probability by its weight. Of a pool that is not empty.
  ///
  /// Cost    O(log ranges)
  [[nodiscard]] auto place_for(std::uint32_t hash) const -> std::uint32_t;

  /// Changes the pool to `ranges`, which check() has passed. Returns the indices of addresses that are gone.
  ///
  /// Effect  A port that an address no longer has is free for nobody, once who has it lets it go.
  [[nodiscard]] auto set(const std::vector<PoolRange>& ranges) -> std::vector<std::uint16_t>;
  /// Lets the index of a gone address, of which no port is in use, be used again.
  void forget(std::uint16_t index);

  /// The ports of protocol number `base` of an address. For const ones, what is free is not known before
  /// prepare().
  [[nodiscard]] auto space(std::size_t base, std::uint16_t index) const -> PortSpace {
    return PortSpace(segment_of(index).ports[base][index % addresses_per_segment]);
  }
  /// Takes ports that are nobody's to give out of use, the first time anything of an address is to be.
  void prepare(std::uint16_t index);
  [[nodiscard]] auto is_prepared(std::uint16_t index) const -> bool { return addresses_[index].is_prepared; }

  /// The number of the block that each 64 ports of an address belong to, 0 if to none.
  [[nodiscard]] auto blocks(std::uint16_t index) const -> std::uint32_t* {
    return segment_of(index).blocks[index % addresses_per_segment].numbers;
  }
  /// How many indices there are or were.
  [[nodiscard]] auto index_count() const -> std::size_t { return addresses_.size(); }

  static constexpr std::size_t bases = 3;

  /// What a search at an address found: nothing but ports of small ranges, or no room for so many times 64
  /// ports, until something is free there again.
  [[nodiscard]] auto is_full(std::size_t base, std::uint16_t index) const -> bool {
    return addresses_[index].is_full[base];
  }
  void note_full(std::size_t base, std::uint16_t index) { addresses_[index].is_full[base] = true; }
  [[nodiscard]] auto is_full_for_blocks(std::uint16_t index, std::uint16_t words) const -> bool {
    return addresses_[index].full_for_words != 0 && words >= addresses_[index].full_for_words;
  }
  void note_full_for_blocks(std::uint16_t index, std::uint16_t words) {
    addresses_[index].full_for_words = words;
  }
  void note_release(std::uint16_t index) {
    Address& address = addresses_[index];
    address.is_full = {};
    address.full_for_words = 0;
  }

 private:
  // So many that the memory of each protocol is a mapping of its own, of pages that nobody has touched.
  static constexpr std::uint16_t addresses_per_segment = 64;

  struct Address {
    Ipv4Address address;
    PortRange ports;
    bool is_live = false;
    bool is_shared = false;
    bool is_prepared = false;
    std::array<bool, 3> is_full{};
    std::uint16_t full_for_words = 0;
  };
  /// Addresses that follow each other in live_ and have one weight.
  struct Weighed {
    std::uint64_t end = 0;  ///< the sum of the weights up to the last of them
    std::uint32_t first_place = 0;
    std::uint32_t weight = 0;
  };
  struct BlockNumbers {
    std::uint32_t numbers[PortSpace::word_count];
  };
  /// Protocols apart from each other: where huge pages are used, one that is not in use costs none.
  struct Segment {
    std::array<LazyArray<PortMemory>, bases> ports{LazyArray<PortMemory>(addresses_per_segment),
                                                   LazyArray<PortMemory>(addresses_per_segment),
                                                   LazyArray<PortMemory>(addresses_per_segment)};
    LazyArray<BlockNumbers> blocks{addresses_per_segment};
  };

  [[nodiscard]] auto segment_of(std::uint16_t index) const -> Segment& {
    return *segments_[index / addresses_per_segment];
  }
  [[nodiscard]] auto add(Ipv4Address address) -> std::uint16_t;
  /// Leaves an address no ports in use but its own.
  void withhold_others(std::uint16_t index);

  std::vector<Address> addresses_;   // by index
  std::vector<std::uint16_t> free_;  // indices not in use
  std::vector<std::uint16_t> live_;  // by place
  std::vector<Weighed> weights_;
  HashIndex lookup_;
  bool has_shared_ = false;
  std::vector<std::unique_ptr<Segment>> segments_;
};

}  // namespace portolan::nat
