// SPDX-License-Identifier: BSD-2-Clause
//
// Compiled for BPF by a test, never run: uses each function of the freestanding headers, so that one
// that needs what BPF has not fails to compile.
#include "nat/checksum.h"
#include "nat/embedding.h"
#include "nat/flat_table.h"
#include "nat/packet.h"
#include "nat/session_entry.h"

namespace portolan::nat {
namespace {

struct Array {
  static constexpr uint32_t slots = 1024;
  SessionEntry entries[slots + probe_max];

  auto at(uint32_t slot) -> SessionEntry& { return entries[slot < slots + probe_max ? slot : 0]; }
  [[nodiscard]] static auto capacity() -> uint32_t { return slots; }
};

struct View {
  Array* array;
  [[nodiscard]] auto at(uint32_t slot) const -> SessionEntry& { return array->at(slot); }
  [[nodiscard]] static auto capacity() -> uint32_t { return Array::slots; }
};

}  // namespace

extern "C" auto probe(uint8_t* packet, Array* array, const TableSecret* secret, const Embedding* embedding)
    -> int {
  InsideKey key{};
  __builtin_memcpy(key.inside, packet + ipv6::source, 16);
  uint8_t remote[4];
  if (!is_embedded(*embedding, packet + ipv6::destination)) return 0;
  extract(*embedding, packet + ipv6::destination, remote);
  if (!is_global_ipv4(remote) || is_illegal_ipv4(remote)) return 0;
  key.remote = load_raw32(remote);
  FlatTable<SessionEntry, View> table(View{array});
  SessionEntry entry;
  if (!table.read(hash_key(*secret, key), key, entry)) return 0;
  uint8_t* field = packet + ipv6::header_size + tcp::checksum;
  store_raw16(field, adjust_checksum(load_raw16(field), entry.flow_delta));
  embed(*embedding, remote, packet + ipv6::source);
  return fold(sum_octets(packet, 16)) + ipv4_header_checksum(packet, ipv4::header_size);
}

}  // namespace portolan::nat
