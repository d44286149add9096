// SPDX-License-Identifier: BSD-2-Clause
//
// Open-addressing table of 64-octet entries in flat memory: plain memory, or later a BPF array that
// the daemon maps and a BPF program reads. Freestanding.
//
// One writer changes the structure. Readers elsewhere (read()) take a copy of an entry and trust it
// only if the entry's sequence word was even and the same before and after; a lookup that fails is
// always allowed to fail, because the writer's own path is the authority.
//
// Linear probing; removal shifts the following entries back, so that there are no tombstones and an
// empty slot ends every search. `probe_max` slots behind the last home slot replace wrapping around.
#pragma once

#include <stdint.h>

namespace portolan::nat {

/// Secret of a table: multilinear hashing is universal as long as the words are unknown.
struct TableSecret {
  static constexpr uint32_t words_max = 10;
  uint64_t words[words_max + 1];
};

/// Hash of an even number of 32-bit words, at most words_max: the high half of
/// s0 + sum (s[i+1] + w[i]) * (s[i+2] + w[i+1]).
inline auto hash_words(const TableSecret& secret, const uint32_t* words, uint32_t count) -> uint32_t {
  uint64_t sum = secret.words[0];
  for (uint32_t i = 0; i + 1 < count; i += 2)
    sum += (secret.words[i + 1] + words[i]) * (secret.words[i + 2] + words[i + 1]);
  // The sum is linear in each word: without this, ports that follow each other would lie at equal distances,
  // and with some secrets crowd in a few places of a table.
  sum ^= sum >> 32U;
  sum *= 0x9e3779b97f4a7c15ULL;
  return static_cast<uint32_t>(sum >> 32U);
}

/// Reads an entry's sequence word before its other words.
inline auto load_sequence(const uint32_t& sequence) -> uint32_t {
#if defined(__bpf__)
  // LLVM 19 has no atomic loads for BPF. Loads stay in order on x86; a program for other machines puts
  // a BPF atomic operation, which is a full barrier, in place of this.
  const uint32_t value = *static_cast<const volatile uint32_t*>(&sequence);
  asm volatile("" : : : "memory");
  return value;
#else
  return __atomic_load_n(&sequence, __ATOMIC_ACQUIRE);
#endif
}

/// Keeps what stands before it before what stands behind it: reads for readers, writes for the writer.
inline void entry_fence() {
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer knows no fences; in its builds nobody reads while another writes.
#elif defined(__bpf__)
  asm volatile("" : : : "memory");
#else
  __atomic_thread_fence(__ATOMIC_ACQ_REL);
#endif
}

/// Longest search of the writer; an insertion that would need a longer one fails. Tables are at most 4/5
/// full, and then the longest run of two million entries is some 630 slots, ln n / (a - 1 - ln a): with 256,
/// tables were full before their limit.
constexpr uint32_t probe_max = 1024;
/// Longest search of a reader: what a BPF program is allowed to unroll.
constexpr uint32_t reader_probe_max = 16;

/// Home slot of `hash` in a table of `capacity` home slots.
inline auto home_slot(uint32_t hash, uint32_t capacity) -> uint32_t {
  return static_cast<uint32_t>(static_cast<uint64_t>(hash) * capacity >> 32U);
}

/// The table over its storage.
///
/// Entry    64 octets, trivially copyable; members `uint32_t sequence, hash`; `is_empty()` (true for
///          all-zero octets), `matches(key)`.
/// Storage  `at(slot) -> Entry&` for slot < capacity() + probe_max, zeroed at first; `capacity()`.
template <typename Entry, typename Storage>
class FlatTable {
  static_assert(sizeof(Entry) == 64);

 public:
  static constexpr uint32_t no_slot = 0xffffffffU;

  explicit FlatTable(Storage storage) : storage_(static_cast<Storage&&>(storage)) {}

  /// Slot of the entry that matches `key`, or no_slot. The writer's lookup. Cost O(1), one line
  /// mostly.
  template <typename Key>
  [[nodiscard]] auto find(uint32_t hash, const Key& key) -> uint32_t {
    const uint32_t home = home_slot(hash, storage_.capacity());
    for (uint32_t slot = home; slot < home + probe_max; ++slot) {
      const Entry& entry = storage_.at(slot);
      if (entry.is_empty()) return no_slot;
      if (entry.hash == hash && entry.matches(key)) return slot;
    }
    return no_slot;
  }

  /// Starts fetching where `hash` belongs, for a call soon.
  void prefetch(uint32_t hash) { __builtin_prefetch(&storage_.at(home_slot(hash, storage_.capacity())), 1); }

  /// Puts `entry`, whose key is not in the table, into a free slot; no_slot if there is none near.
  auto insert(const Entry& entry) -> uint32_t {
    const uint32_t home = home_slot(entry.hash, storage_.capacity());
    for (uint32_t slot = home; slot < home + probe_max; ++slot) {
      if (!storage_.at(slot).is_empty()) continue;
      write(storage_.at(slot), entry);
      return slot;
    }
    return no_slot;
  }

  /// Empties `slot`. Entries behind it may move forward; `moved(entry, new_slot)` tells of each.
  template <typename Moved>
  void erase(uint32_t slot, Moved moved) {
    uint32_t hole = slot;
    for (uint32_t next = slot + 1; next < storage_.capacity() + probe_max && next < hole + probe_max;
         ++next) {
      const Entry& entry = storage_.at(next);
      if (entry.is_empty()) break;
      if (home_slot(entry.hash, storage_.capacity()) > hole) continue;
      write(storage_.at(hole), entry);
      moved(storage_.at(hole), hole);
      hole = next;
    }
    write(storage_.at(hole), Entry{});
  }

  /// A reader's lookup: false if the entry is not found or is being changed.
  template <typename Key>
  [[nodiscard]] auto read(uint32_t hash, const Key& key, Entry& copy) -> bool {
    const uint32_t home = home_slot(hash, storage_.capacity());
    for (uint32_t slot = home; slot < home + reader_probe_max; ++slot) {
      const Entry& entry = storage_.at(slot);
      const uint32_t before = load_sequence(entry.sequence);
      if ((before & 1U) != 0) return false;
      __builtin_memcpy(&copy, &entry, sizeof copy);
      entry_fence();
      if (load_sequence(entry.sequence) != before) return false;
      if (copy.is_empty()) return false;
      if (copy.hash == hash && copy.matches(key)) return true;
    }
    return false;
  }

  /// Changes `slot` in place by `change(entry)`, which leaves key and hash as they are.
  template <typename Change>
  void update(uint32_t slot, Change change) {
    Entry entry = storage_.at(slot);
    change(entry);
    write(storage_.at(slot), entry);
  }

  [[nodiscard]] auto at(uint32_t slot) -> Entry& { return storage_.at(slot); }
  [[nodiscard]] auto at(uint32_t slot) const -> const Entry& { return storage_.at(slot); }
  [[nodiscard]] auto storage() -> Storage& { return storage_; }

 private:
  static void write(Entry& slot, const Entry& entry) {
    const uint32_t sequence = slot.sequence;
    __atomic_store_n(&slot.sequence, sequence | 1U, __ATOMIC_RELAXED);
    entry_fence();
    Entry copy = entry;
    copy.sequence = sequence | 1U;
    __builtin_memcpy(&slot, &copy, sizeof copy);
    __atomic_store_n(&slot.sequence, (sequence | 1U) + 1U, __ATOMIC_RELEASE);
  }

  Storage storage_;
};

}  // namespace portolan::nat
