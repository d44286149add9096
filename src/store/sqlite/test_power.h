// SPDX-License-Identifier: BSD-2-Clause
//
// A disk under SQLite whose power can go: what was synced stays, of the rest any part of any write, in any
// order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"

struct sqlite3_vfs;  // NOLINT(readability-identifier-naming): SQLite's

namespace portolan::store {

/// Files in memory, as a SQLite VFS called `name`. One connection at a time.
class Disk {
 public:
  explicit Disk(std::string name);
  ~Disk();
  Disk(const Disk&) = delete;
  auto operator=(const Disk&) -> Disk& = delete;

  /// The power goes with the write, sync or deletion that comes after `count` more: it may have been begun.
  void lose_power_after(std::uint64_t count) { changes_left_ = count; }
  [[nodiscard]] auto has_power() const -> bool { return changes_left_ > 0; }
  /// Power is back. `random` decides what is left of what was not synced. No file may be open.
  void restart(Random& random);
  [[nodiscard]] auto name() const -> const std::string& { return name_; }

 private:
  friend struct DiskFile;
  friend struct Vfs;

  static constexpr std::size_t sector_octets = 512;
  using Sector = std::vector<std::byte>;
  struct File {
    std::vector<std::byte> now{};
    std::vector<std::byte> synced{};
    /// What each sector was since the last sync, oldest first; and the file's size.
    std::map<std::size_t, std::vector<Sector>> versions{};
    std::vector<std::size_t> sizes{};
  };

  /// Counts a change; false: there is no power.
  auto change() -> bool;
  static void write(File& file, std::size_t at, const std::byte* octets, std::size_t count);
  static void resize(File& file, std::size_t octets);
  void sync(const std::string& name, const std::shared_ptr<File>& file);
  static void lose(File& file, Random& random);

  std::string name_;
  std::unique_ptr<sqlite3_vfs> vfs_;
  std::map<std::string, std::shared_ptr<File>> files_;
  std::map<std::string, std::shared_ptr<File>> synced_files_;
  std::uint64_t changes_left_ = std::numeric_limits<std::uint64_t>::max();
};

}  // namespace portolan::store
