// SPDX-License-Identifier: BSD-2-Clause
//
// The store's file: what was committed, in order. The table `log` has octets of rows (row_codec.h) and the
// number of the first of them; rows are numbered one by one, without a gap. The later of two rows about the
// same thing counts, so that the file is read from front to back.
//
// Appending is all that a commit does: it costs a fraction of writing rows where keys belong. Folding takes
// the oldest rows away, and appends again those that still count. An index in memory says which do: 24 octets
// for each thing that is there.
//
// Times are wall time, as far as the wall clock can be believed: a clock that is behind the last rows' counts
// as no time passed since, and one that is set while the file is open changes nothing.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/hash.h"
#include "io/file_descriptor.h"
#include "store/sqlite/database.h"
#include "store/sqlite/row_codec.h"
#include "store/sqlite/row_index.h"
#include "store/store.h"

namespace portolan::store {

/// The server's time line, and the time since 1970.
struct Clocks {
  std::function<TimePoint()> now{};
  std::function<Nanoseconds()> wall_now{};
};

struct CommitLogOptions {
  std::filesystem::path path{};
  Clocks clocks{};
  /// Goes on with that line of time: the file was open in this process before.
  std::optional<TimeLine> line{};
  /// The write-ahead log is written back into the file when it has grown by this many pages, which keeps the
  /// next commit waiting for so long.
  int checkpoint_pages = 256;
  /// For tests: see Database::open(), and SQLite's pragma of that name.
  std::string file_layer{};
  std::string synchronous = "FULL";
};

/// What check() found.
struct LogCheck {
  std::uint64_t rows = 0;
  std::uint64_t live_rows = 0;
  std::uint64_t mappings = 0;
  std::uint64_t expired_mappings = 0;
  std::uint64_t users = 0;
  std::uint64_t static_mappings = 0;
  std::uint64_t paths = 0;
  bool has_epoch = false;
  Nanoseconds written{};  ///< by the wall clock
};

class CommitLog {
 public:
  using Result = std::expected<void, std::string>;

  /// Schema that this program writes; kept in the file as user_version. It reads older ones too, and makes a
  /// file its own before it writes. 2: a mapping's row may say that parity is preserved. 3: users and static
  /// mappings that were added by hand. 4: rows are in one table in the order of commits.
  static constexpr int schema_version = 4;

  /// Opens the file; to write, it is made, with its folder, if it is not there.
  /// Errors  text for the operator: in use by another process, not a store, damaged, of a newer version, not
  ///         writable
  [[nodiscard]] static auto open(CommitLogOptions options, Access access)
      -> std::expected<CommitLog, std::string>;
  /// Opens a file only to read it as it is now, even if another process writes it, or none can.
  [[nodiscard]] static auto open_to_read(CommitLogOptions options) -> std::expected<CommitLog, std::string>;

  /// Appends `rows`, after what folding takes away, which is `folds` rows or somewhat more: all of it or
  /// nothing. On the disk when it returns, unless there is nothing but folding.
  [[nodiscard]] auto write(std::span<const Row> rows, std::uint64_t folds) -> Result;
  /// What write() leaves to be done when its caller has been answered: keeping the index, and writing
  /// SQLite's write-ahead log back into the file from time to time.
  void settle();

  /// Writes what `next` returns until that is nothing, instead of all there is. An error of `next` is the end
  /// of it, and nothing has changed.
  [[nodiscard]] auto replace(const std::function<std::expected<std::optional<Row>, std::string>()>& next)
      -> Result;

  /// All that counts: no two rows are about the same thing. `visit` may end it with an error.
  [[nodiscard]] auto for_each(const std::function<Result(Row)>& visit) -> Result;
  /// Reads all there is.
  [[nodiscard]] auto check() -> std::expected<LogCheck, std::string>;
  /// Copies all, as it is now, to `path`, where nothing may be; without the epoch, because what is made from
  /// now on is lost to who goes on with the copy (RFC 6887 s8.5).
  [[nodiscard]] auto copy_to(const std::filesystem::path& path) -> Result;

  [[nodiscard]] auto rows() const -> std::uint64_t { return next_row_ - first_row_; }
  /// Since it was opened.
  [[nodiscard]] auto folded_rows() const -> std::uint64_t { return first_row_ - first_row_of_file_; }
  [[nodiscard]] auto live_rows() const -> std::uint64_t { return index_.size(); }
  [[nodiscard]] auto line() const -> const TimeLine& { return line_; }

 private:
  /// A row of a part.
  struct NumberedRow {
    std::uint64_t number = 0;
    RowIndex::Print print;
    EncodedRow row;
  };
  /// Octets that one row of the table `log` shall have at most, unless a single row of ours has more.
  static constexpr std::size_t part_octets = 16'384;
  struct Part {
    std::uint64_t first_row = 0;
    std::size_t begin = 0;  ///< in written_
    std::size_t end = 0;
  };

  explicit CommitLog(CommitLogOptions options);

  [[nodiscard]] auto open_file(Access access) -> Result;
  [[nodiscard]] auto version_of_file() -> std::expected<int, std::string>;
  [[nodiscard]] auto make() -> Result;
  [[nodiscard]] auto migrate(int version) -> Result;
  [[nodiscard]] auto prepare_statements() -> Result;
  [[nodiscard]] auto synchronize(std::string_view how) -> Result;
  [[nodiscard]] auto index_all() -> Result;
  void go_on_from(const Stamp& stamp);
  [[nodiscard]] auto forget_epoch() -> Result;

  /// Calls `visit(first, octets)` for what the table has, in order, until it returns false; nothing means
  /// that the octets are no rows of ours.
  template <typename Visit>
  [[nodiscard]] auto for_each_part(Visit visit) -> Result;
  /// Calls `visit` with each NumberedRow of a part; false if it has anything else.
  template <typename Visit>
  [[nodiscard]] auto for_each_row(std::uint64_t first, std::span<const std::byte> octets, Visit visit)
      -> bool;
  [[nodiscard]] auto print_of(const EncodedRow& row) const -> RowIndex::Print;
  [[nodiscard]] auto counts(const NumberedRow& row) const -> bool;
  void note(const NumberedRow& row);

  void begin_write();
  void begin_part();
  void end_row();
  [[nodiscard]] auto end_row_of_many() -> Result;
  void end_part();
  [[nodiscard]] auto take_oldest(std::uint64_t folds) -> Result;
  [[nodiscard]] auto insert_parts() -> Result;
  [[nodiscard]] auto insert() -> Result;

  CommitLogOptions options_;
  /// Before the database: closing it would give up SQLite's own locks.
  io::FileDescriptor lock_;
  Database database_;
  Statement oldest_;
  Statement forget_;
  Statement append_;
  bool is_writable_ = false;
  TimeLine line_;

  HashKey low_key_;
  HashKey high_key_;
  RowIndex index_;
  /// Of the part that is read. Its memory is kept.
  std::vector<NumberedRow> rows_of_part_;
  std::uint64_t first_row_ = 1;
  std::uint64_t next_row_ = 1;
  std::uint64_t first_row_of_file_ = 1;
  std::optional<Stamp> last_stamp_{};

  /// What write() appends: parts, each with its checksum before it. Its memory is kept.
  std::vector<std::byte> written_;
  std::vector<Part> parts_;
  Part part_{};
  /// Of write(): where the rows begin and go on after it.
  std::uint64_t first_after_ = 1;
  std::uint64_t next_after_ = 1;
  bool is_settled_ = true;
  int checkpointed_pages_ = 0;
};

}  // namespace portolan::store
