// SPDX-License-Identifier: BSD-2-Clause
//
// Power cuts at any moment of the file's life. What was answered is there afterwards; and not if the sync is
// taken out.
#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "io/testing.h"
#include "store/contract_test.h"
#include "store/sqlite/commit_log.h"
#include "store/sqlite/test_power.h"
#include "store/sqlite/test_store.h"

#include <sqlite3.h>

namespace portolan::store {

/// An open file, as SQLite sees it.
struct DiskFile {
  sqlite3_file base;
  Disk* disk;
  // SQLite gives octets, and closes; no constructor runs.
  std::string* name;
  std::shared_ptr<Disk::File>* file;
  std::vector<std::vector<char>>* shared;

  static auto of(sqlite3_file* file) -> DiskFile& { return *reinterpret_cast<DiskFile*>(file); }
};

/// Functions that SQLite calls.
struct Vfs {
  static auto open(sqlite3_vfs* vfs, const char* name, sqlite3_file* opened, int flags, int* out) -> int {
    auto& disk = *static_cast<Disk*>(vfs->pAppData);
    DiskFile& file = DiskFile::of(opened);
    file.base.pMethods = nullptr;
    const std::string path = name == nullptr ? "" : name;
    auto found = disk.files_.find(path);
    if (found == disk.files_.end()) {
      if ((flags & SQLITE_OPEN_CREATE) == 0 || !disk.change()) return SQLITE_CANTOPEN;
      found = disk.files_.emplace(path, std::make_shared<Disk::File>()).first;
    }
    file.disk = &disk;
    file.name = new std::string(path);
    file.file = new std::shared_ptr<Disk::File>(found->second);
    file.shared = new std::vector<std::vector<char>>;
    file.base.pMethods = methods();
    if (out != nullptr) *out = flags;
    return SQLITE_OK;
  }
  static auto close(sqlite3_file* closed) -> int {
    DiskFile& file = DiskFile::of(closed);
    delete file.name;
    delete file.file;
    delete file.shared;
    return SQLITE_OK;
  }
  static auto read(sqlite3_file* from, void* into, int count, sqlite3_int64 at) -> int {
    const auto& octets = (*DiskFile::of(from).file)->now;
    const auto begin = std::min(static_cast<std::size_t>(at), octets.size());
    const auto there = std::min(static_cast<std::size_t>(count), octets.size() - begin);
    std::memset(into, 0, static_cast<std::size_t>(count));
    if (there > 0) std::memcpy(into, octets.data() + begin, there);
    return there == static_cast<std::size_t>(count) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
  }
  static auto write(sqlite3_file* into, const void* octets, int count, sqlite3_int64 at) -> int {
    DiskFile& file = DiskFile::of(into);
    const bool was_on = file.disk->has_power();
    const bool is_on = file.disk->change();
    // The last one may have been begun.
    if (was_on)
      Disk::write(**file.file, static_cast<std::size_t>(at), static_cast<const std::byte*>(octets),
                  static_cast<std::size_t>(count));
    return is_on ? SQLITE_OK : SQLITE_IOERR_WRITE;
  }
  static auto truncate(sqlite3_file* cut, sqlite3_int64 octets) -> int {
    DiskFile& file = DiskFile::of(cut);
    if (!file.disk->change()) return SQLITE_IOERR_TRUNCATE;
    Disk::resize(**file.file, static_cast<std::size_t>(octets));
    return SQLITE_OK;
  }
  static auto sync(sqlite3_file* synced, int) -> int {
    DiskFile& file = DiskFile::of(synced);
    if (!file.disk->change()) return SQLITE_IOERR_FSYNC;
    file.disk->sync(*file.name, *file.file);
    return SQLITE_OK;
  }
  static auto size(sqlite3_file* file, sqlite3_int64* octets) -> int {
    *octets = static_cast<sqlite3_int64>((*DiskFile::of(file).file)->now.size());
    return SQLITE_OK;
  }
  static auto lock(sqlite3_file*, int) -> int { return SQLITE_OK; }
  static auto is_reserved(sqlite3_file*, int* answer) -> int {
    *answer = 0;
    return SQLITE_OK;
  }
  static auto control(sqlite3_file*, int, void*) -> int { return SQLITE_NOTFOUND; }
  static auto sector(sqlite3_file*) -> int { return Disk::sector_octets; }
  /// As SQLite takes it of Linux's files.
  static auto traits(sqlite3_file*) -> int { return SQLITE_IOCAP_POWERSAFE_OVERWRITE; }
  static auto map_shared(sqlite3_file* of, int region, int octets, int extends, void volatile** mapped)
      -> int {
    auto& shared = *DiskFile::of(of).shared;
    *mapped = nullptr;
    if (shared.size() <= static_cast<std::size_t>(region)) {
      if (extends == 0) return SQLITE_OK;
      shared.resize(static_cast<std::size_t>(region) + 1,
                    std::vector<char>(static_cast<std::size_t>(octets)));
    }
    *mapped = shared[static_cast<std::size_t>(region)].data();
    return SQLITE_OK;
  }
  static auto lock_shared(sqlite3_file*, int, int, int) -> int { return SQLITE_OK; }
  static void barrier(sqlite3_file*) {}
  static auto unmap_shared(sqlite3_file* of, int) -> int {
    DiskFile::of(of).shared->clear();
    return SQLITE_OK;
  }
  static auto methods() -> const sqlite3_io_methods* {
    static const sqlite3_io_methods all{.iVersion = 2,
                                        .xClose = close,
                                        .xRead = read,
                                        .xWrite = write,
                                        .xTruncate = truncate,
                                        .xSync = sync,
                                        .xFileSize = size,
                                        .xLock = lock,
                                        .xUnlock = lock,
                                        .xCheckReservedLock = is_reserved,
                                        .xFileControl = control,
                                        .xSectorSize = sector,
                                        .xDeviceCharacteristics = traits,
                                        .xShmMap = map_shared,
                                        .xShmLock = lock_shared,
                                        .xShmBarrier = barrier,
                                        .xShmUnmap = unmap_shared,
                                        .xFetch = nullptr,
                                        .xUnfetch = nullptr};
    return &all;
  }

  static auto remove(sqlite3_vfs* vfs, const char* name, int syncs_folder) -> int {
    auto& disk = *static_cast<Disk*>(vfs->pAppData);
    if (!disk.files_.contains(name)) return SQLITE_IOERR_DELETE_NOENT;
    if (!disk.change()) return SQLITE_IOERR_DELETE;
    disk.files_.erase(name);
    if (syncs_folder != 0) disk.synced_files_.erase(name);
    return SQLITE_OK;
  }
  static auto is_there(sqlite3_vfs* vfs, const char* name, int, int* answer) -> int {
    const auto& files = static_cast<Disk*>(vfs->pAppData)->files_;
    const auto found = files.find(name);
    *answer = found != files.end() && !found->second->now.empty() ? 1 : 0;
    return SQLITE_OK;
  }
  static auto full_path(sqlite3_vfs*, const char* name, int octets, char* path) -> int {
    sqlite3_snprintf(octets, path, "%s", name);
    return SQLITE_OK;
  }
};

Disk::Disk(std::string name) : name_(std::move(name)), vfs_(std::make_unique<sqlite3_vfs>()) {
  // Clock and randomness are the system's.
  *vfs_ = *sqlite3_vfs_find(nullptr);
  vfs_->iVersion = 2;
  vfs_->szOsFile = sizeof(DiskFile);
  vfs_->pNext = nullptr;
  vfs_->zName = name_.c_str();
  vfs_->pAppData = this;
  vfs_->xOpen = Vfs::open;
  vfs_->xDelete = Vfs::remove;
  vfs_->xAccess = Vfs::is_there;
  vfs_->xFullPathname = Vfs::full_path;
  EXPECT_EQ(sqlite3_vfs_register(vfs_.get(), 0), SQLITE_OK);
}

Disk::~Disk() { sqlite3_vfs_unregister(vfs_.get()); }

auto Disk::change() -> bool {
  if (changes_left_ == 0) return false;
  --changes_left_;
  return changes_left_ > 0;
}

void Disk::write(File& file, std::size_t at, const std::byte* octets, std::size_t count) {
  if (file.now.size() < at + count) {
    file.now.resize(at + count);
    file.sizes.push_back(file.now.size());
  }
  std::memcpy(file.now.data() + at, octets, count);
  for (std::size_t sector = at / sector_octets; sector * sector_octets < at + count; ++sector) {
    const auto begin = file.now.begin() + static_cast<std::ptrdiff_t>(sector * sector_octets);
    const auto there = std::min(sector_octets, file.now.size() - sector * sector_octets);
    file.versions[sector].emplace_back(begin, begin + static_cast<std::ptrdiff_t>(there));
  }
}

void Disk::resize(File& file, std::size_t octets) {
  file.now.resize(octets);
  file.sizes.push_back(octets);
}

void Disk::sync(const std::string& name, const std::shared_ptr<File>& file) {
  file->synced = file->now;
  file->versions.clear();
  file->sizes.clear();
  if (const auto there = files_.find(name); there != files_.end() && there->second == file)
    synced_files_[name] = file;
}

void Disk::lose(File& file, Random& random) {
  std::vector<std::byte> left = file.synced;
  // Every sector is as it was at some time since the sync.
  for (const auto& [sector, versions] : file.versions) {
    const std::uint64_t version = random.below(versions.size() + 1);
    if (version == 0) continue;
    const Sector& octets = versions[version - 1];
    if (left.size() < sector * sector_octets + octets.size())
      left.resize(sector * sector_octets + octets.size());
    std::ranges::copy(octets, left.begin() + static_cast<std::ptrdiff_t>(sector * sector_octets));
  }
  if (!file.sizes.empty() && random.below(2) == 0) left.resize(file.sizes[random.below(file.sizes.size())]);
  file = File{.now = left, .synced = left};
}

void Disk::restart(Random& random) {
  std::set<std::string> names;
  for (const auto& files : {files_, synced_files_})
    for (const auto& [name, file] : files) names.insert(name);
  std::map<std::string, std::shared_ptr<File>> left;
  for (const std::string& name : names) {
    // Made, or deleted, without a sync: either may be the case.
    const auto& files = random.below(2) == 0 ? files_ : synced_files_;
    if (const auto found = files.find(name); found != files.end()) left.insert(*found);
  }
  for (const auto& [name, file] : left) lose(*file, random);
  files_ = synced_files_ = left;
  changes_left_ = std::numeric_limits<std::uint64_t>::max();
}

namespace {

using Ports = std::map<std::uint32_t, std::uint16_t>;

auto ports_of(CommitLog& log) -> Ports {
  Ports ports;
  const auto read = log.for_each([&](const Row& row) -> CommitLog::Result {
    if (const auto* put = std::get_if<PutMapping>(&row))
      ports[put->contract.key.mapping.realm.value] = put->contract.external_port.value;
    return {};
  });
  EXPECT_TRUE(read) << read.error();
  return ports;
}

/// One life: rows are written, folded and written back, the file is closed and opened again, until the power
/// goes.
class Life {
 public:
  Life(Disk& disk, const std::filesystem::path& path, Random& random, const std::string& synchronous)
      : disk_(disk), random_(random) {
    options_ = {.path = path,
                .clocks = {.now = [] { return TimePoint{Seconds{1000}}; },
                           .wall_now = [] { return Nanoseconds{Seconds{1'700'000'000}}; }},
                .checkpoint_pages = 6,
                .file_layer = disk.name(),
                .synchronous = synchronous};
  }

  /// What was answered, and what had been begun when the power went.
  Ports answered;
  Ports begun;

  void run() {
    while (disk_.has_power()) {
      auto log = CommitLog::open(options_, Access::write);
      if (!log) {
        EXPECT_FALSE(disk_.has_power()) << log.error();
        return;
      }
      const std::uint64_t commits = 1 + random_.below(60);
      for (std::uint64_t i = 0; i < commits; ++i)
        if (!commit(*log)) return;
    }
  }
  /// Nothing if the file can't be opened.
  [[nodiscard]] auto found() const -> std::expected<Ports, std::string> {
    auto log = CommitLog::open(options_, Access::write);
    if (!log) return std::unexpected(log.error());
    return ports_of(*log);
  }

 private:
  auto commit(CommitLog& log) -> bool {
    std::vector<Row> rows;
    begun = answered;
    // Small ones mostly.
    const std::uint64_t count = random_.below(4) == 0 ? random_.below(300) : random_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto number = static_cast<std::uint32_t>(random_.below(80));
      if (random_.below(3) == 0) {
        rows.emplace_back(DropMapping{numbered(number).key});
        begun.erase(number);
      } else {
        const auto port = static_cast<std::uint16_t>(1 + ++last_port_ % 65'000);
        rows.emplace_back(PutMapping{numbered(number, port)});
        begun[number] = port;
      }
    }
    const std::uint64_t folds = random_.below(2) == 0 ? 0 : random_.below(600);
    const auto written = log.write(rows, folds);
    if (written) answered = begun;
    log.settle();
    if (!written) {
      EXPECT_FALSE(disk_.has_power()) << written.error();
    }
    return written.has_value();
  }

  Disk& disk_;
  Random& random_;
  CommitLogOptions options_;
  std::uint32_t last_port_ = 0;
};

/// Of so many disks, on how many something was lost that was answered, or the file can't be read any more.
auto lost_lives(const std::string& synchronous, std::uint64_t disks) -> std::uint64_t {
  io::testing::TemporaryFolder folder;
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 0; seed < disks; ++seed) {
    SeededRandom random(seed);
    Disk disk("power-cut");
    Life life(disk, folder.path() / "state.db", random, synchronous);
    for (int cut = 0; cut < 3; ++cut) {
      // Now and then in the middle of the file's making, or of its recovery.
      disk.lose_power_after(1 + random.below(random.below(4) == 0 ? 40 : 800));
      life.run();
      disk.restart(random);
      const auto found = life.found();
      if (found && (*found == life.answered || *found == life.begun)) {
        life.answered = *found;
        continue;
      }
      ++lost;
      if (synchronous == CommitLogOptions{}.synchronous)
        ADD_FAILURE() << "seed " << seed << ", cut " << cut << ": " << (found ? "other rows" : found.error());
      break;
    }
  }
  return lost;
}

TEST(PowerCut, nothing_that_was_answered_is_lost) {
#ifdef __SANITIZE_THREAD__
  constexpr std::uint64_t disks = 40;  // each takes four times as long
#else
  constexpr std::uint64_t disks = 150;
#endif
  EXPECT_EQ(lost_lives(CommitLogOptions{}.synchronous, disks), 0U);
}

TEST(PowerCut, without_the_sync_it_is_lost) {
  EXPECT_GT(lost_lives("OFF", 40), 10U);
  EXPECT_GT(lost_lives("NORMAL", 40), 10U) << "a sync only now and then";
}

}  // namespace
}  // namespace portolan::store
