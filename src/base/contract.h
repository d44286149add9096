// SPDX-License-Identifier: BSD-2-Clause
//
// What the server has promised a client: one explicit mapping, as the server's table holds it and the
// store keeps it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include "base/mapping_key.h"
#include "base/nonce.h"
#include "base/remote_filter.h"
#include "base/time.h"

namespace portolan {

/// Key of a contract. A MAP contract (RFC 6887 s11) has no remote peer: its port is 0. A PEER contract
/// (s12) is for one remote peer, whose port is not 0.
struct ContractKey {
  MappingKey mapping;
  Endpoint remote_peer;

  auto operator<=>(const ContractKey&) const = default;
  [[nodiscard]] auto is_peer() const -> bool { return remote_peer.port != Port{0}; }
};

/// Keyed hasher for hash containers.
class ContractKeyHash {
 public:
  using is_avalanching = void;

  explicit ContractKeyHash(const HashKey& key) : mapping_(key), key_(key) {}

  auto operator()(const ContractKey& contract) const -> std::size_t {
    const std::size_t mapping = mapping_(contract.mapping);
    if (!contract.is_peer()) return mapping;
    const auto [first, second] = contract.remote_peer.address.bits().words();
    return keyed_hash(key_, {first, second, std::uint64_t{mapping} ^ contract.remote_peer.port.value});
  }

 private:
  MappingKeyHash mapping_;
  HashKey key_;
};

/// The protocol version that made a contract; its answers and updates are in it (RFC 6886 s1.1).
enum class Format : std::uint8_t { nat_pmp = 0, pcp_1 = 1, pcp_2 = 2 };

/// What few contracts have.
struct ContractDetails {
  /// Peers that may send; empty: anyone.
  std::vector<RemoteFilter> filters;
  /// RFC 7220.
  std::optional<std::string> description;
  /// The client that asked for another host's mapping (RFC 6887 s13.1), if one did.
  std::optional<IpAddress> third_party_client;
  /// RFC 7843.
  std::vector<std::byte> third_party_id;

  auto operator==(const ContractDetails&) const -> bool = default;
  [[nodiscard]] auto is_empty() const -> bool { return *this == ContractDetails{}; }
};

/// Details that copies of a contract share, hence never changed; or none. Half as large as a std::shared_ptr.
class SharedDetails {
 public:
  SharedDetails() = default;
  explicit SharedDetails(ContractDetails details) : counted_(new Counted(std::move(details))) {}

  explicit operator bool() const { return counted_ != nullptr; }
  auto operator*() const -> const ContractDetails& { return counted_->details; }
  auto operator->() const -> const ContractDetails* { return &counted_->details; }

 private:
  struct Counted : boost::intrusive_ref_counter<Counted> {
    explicit Counted(ContractDetails&& of) : details(std::move(of)) {}
    ContractDetails details;
  };
  boost::intrusive_ptr<const Counted> counted_;
};

/// There may be millions: fields are in an order that leaves no holes.
struct Contract {
  ContractKey key;
  IpAddress external_address;
  Port external_port;
  /// Contiguous ports from the internal and the external port on (RFC 7753); 1 for most.
  std::uint16_t port_count = 1;
  Nonce nonce;
  Format format = Format::pcp_2;
  /// PREFER_FAILURE was in the request (RFC 6887 s13.2).
  bool prefer_failure : 1 = false;
  /// The operator made it (RFC 6887 s11.3): it has no nonce, and no client changes it.
  bool is_static : 1 = false;
  /// The external port was to be even or odd as the internal one is (RFC 7753 s4.1).
  bool preserve_parity : 1 = false;
  /// Where the client asked from, and by which Path: for updates nobody asked for (RFC 6887 s14.2).
  Port client_port{};
  std::uint16_t path = 0;
  /// Whose quota it counts against.
  Prefix subscriber{};
  TimePoint expires{};
  SharedDetails details{};

  /// Details count by what they say.
  auto operator==(const Contract& other) const -> bool {
    const auto fields = [](const Contract& contract) {
      return std::tie(contract.key, contract.external_address, contract.external_port, contract.port_count,
                      contract.nonce, contract.format, contract.client_port, contract.path,
                      contract.subscriber, contract.expires);
    };
    const auto details_of = [](const Contract& contract) {
      return contract.details ? *contract.details : ContractDetails{};
    };
    return fields(*this) == fields(other) && prefer_failure == other.prefer_failure &&
           is_static == other.is_static && preserve_parity == other.preserve_parity &&
           details_of(*this) == details_of(other);
  }
  [[nodiscard]] auto filters() const -> std::vector<RemoteFilter> {
    return details ? details->filters : std::vector<RemoteFilter>{};
  }
  [[nodiscard]] auto client_address() const -> IpAddress {
    return details && details->third_party_client ? *details->third_party_client
                                                  : key.mapping.internal_address;
  }
};
static_assert(sizeof(Contract) == 112);

}  // namespace portolan
