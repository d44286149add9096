// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/store_commands.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <fmt/format.h>

#include "base/hash.h"
#include "io/files.h"
#include "io/system.h"
#include "server/management.h"
#include "store/json_rows.h"
#include "store/sqlite/commit_log.h"

namespace portolan::portoland {
namespace {

using Result = store::CommitLog::Result;

/// Of a file with mistakes.
constexpr std::size_t errors_shown_max = 20;

auto fail(const std::filesystem::path& place, std::string_view problem) -> int {
  fmt::print(stderr, "portoland: {}: {}\n", place.string(), problem);
  return 1;
}

auto options_of(const std::filesystem::path& path) -> store::CommitLogOptions {
  return {.path = path, .clocks = {.now = io::monotonic_now, .wall_now = io::wall_now}};
}

/// Made by clients or the operator, and not by the server for itself.
auto is_promise(const store::Row& row) -> bool {
  return !std::holds_alternative<store::PutEpoch>(row) && !std::holds_alternative<store::PutPath>(row);
}

/// Lines of a file, each with an end to its length.
class Lines {
 public:
  explicit Lines(const std::filesystem::path& path) : file_(path, std::ios::binary) {}

  [[nodiscard]] auto is_open() const -> bool { return file_.is_open(); }
  [[nodiscard]] auto number() const -> std::size_t { return number_; }
  /// False at the end. A line that is too long is cut.
  auto next(std::string& line) -> bool {
    line.clear();
    if (file_.peek() == std::ifstream::traits_type::eof()) return false;
    ++number_;
    for (int octet = file_.get(); octet != std::ifstream::traits_type::eof() && octet != '\n';
         octet = file_.get())
      if (line.size() <= store::json_line_octets_max) line.push_back(static_cast<char>(octet));
    return true;
  }
  /// Whether it is the reading that failed, and not the file that ended.
  [[nodiscard]] auto has_failed() const -> bool { return file_.bad(); }

 private:
  std::ifstream file_;
  std::size_t number_ = 0;
};

/// What a line is about: no two may be about the same. 128 bits of a keyed hash stand for it.
class Subjects {
 public:
  Subjects() {
    io::SystemRandom random;
    for (HashKey& key : keys_) key = HashKey::generate(random);
  }
  /// The line that was about the same before, or 0.
  auto add(std::initializer_list<std::uint64_t> words, std::size_t line) -> std::size_t {
    const auto [place, is_new] =
        lines_.try_emplace(std::pair{keyed_hash(keys_[0], words), keyed_hash(keys_[1], words)}, line);
    return is_new ? 0 : place->second;
  }

 private:
  std::array<HashKey, 2> keys_;
  boost::unordered_flat_map<std::pair<std::uint64_t, std::uint64_t>, std::size_t> lines_;
};

/// Reads rows from a file that export_store() wrote, checks every line, and counts.
class Import {
 public:
  explicit Import(const std::filesystem::path& file) : file_(file), lines_(file) {}

  /// The file's first line. Errors  they are told
  [[nodiscard]] auto begin() -> bool {
    std::string line;
    if (!lines_.is_open() || !lines_.next(line)) {
      fail(file_, lines_.is_open() && !lines_.has_failed() ? "is empty" : "can't be read");
      return false;
    }
    const auto head = store::parse_json_head(line);
    if (!head) {
      complain(head.error());
      return false;
    }
    // A clock that is behind the file's counts as no time passed.
    written_ = io::monotonic_now() - std::max(io::wall_now() - *head, Nanoseconds{0});
    return true;
  }

  /// As CommitLog::replace() wants them. Reads on after a mistake, to tell of others.
  [[nodiscard]] auto next() -> std::expected<std::optional<store::Row>, std::string> {
    std::string line;
    while (lines_.next(line)) {
      if (line.empty()) continue;
      if (line.size() > store::json_line_octets_max) {
        complain(fmt::format("is longer than {} octets", store::json_line_octets_max));
        continue;
      }
      auto row = store::parse_json(line, written_);
      if (!row) {
        for (const std::string& error : row.error()) complain(error);
        continue;
      }
      if (!is_legal(*row) || !is_alone(*row) || errors_ > 0) continue;
      // What was mapped since is lost, of which clients are told by a new epoch.
      if (std::holds_alternative<store::PutEpoch>(*row)) continue;
      if (auto* mapping = std::get_if<store::PutMapping>(&*row)) {
        if (mapping->contract.expires <= io::monotonic_now()) {
          ++expired_;
          continue;
        }
        mapping->state_since = io::monotonic_now();
        ++mappings_;
      }
      return *std::move(row);
    }
    if (lines_.has_failed()) return std::unexpected("can't be read to its end");
    if (errors_ > 0) return std::unexpected(fmt::format("{} mistakes, nothing is imported", errors_));
    return std::nullopt;
  }
  [[nodiscard]] auto mappings() const -> std::size_t { return mappings_; }
  [[nodiscard]] auto expired() const -> std::size_t { return expired_; }

 private:
  void complain(std::string_view error) {
    if (++errors_ <= errors_shown_max)
      fmt::print(stderr, "{}:{}: {}\n", file_.string(), lines_.number(), error);
  }
  /// Complains if a line was about the same before.
  auto check(std::size_t before, std::string_view what) -> bool {
    if (before != 0) complain(fmt::format("{} is that of line {}: remove one", what, before));
    return before == 0;
  }
  /// Whether what was added by hand is such that the server would have taken it.
  auto is_legal(const store::Row& row) -> bool {
    std::string problem;
    if (const auto* user = std::get_if<store::PutUser>(&row))
      problem = server::problem_of(user->user);
    else if (const auto* fixed = std::get_if<store::PutStatic>(&row))
      problem = server::problem_of(fixed->mapping);
    if (!problem.empty()) complain(problem);
    return problem.empty();
  }
  /// Whether no other line is about the same, or has the same external port.
  auto is_alone(const store::Row& row) -> bool {
    const std::size_t line = lines_.number();
    if (const auto* path = std::get_if<store::PutPath>(&row))
      return check(subjects_.add({1, path->number}, line), "number");
    if (std::holds_alternative<store::PutEpoch>(row)) return check(subjects_.add({2}, line), "epoch");
    if (const auto* user = std::get_if<store::PutUser>(&row)) {
      const auto [high, low] = user->user.users.address().bits().words();
      return check(subjects_.add({3, high, low, user->user.users.length()}, line), "subscriber");
    }
    if (const auto* fixed = std::get_if<store::PutStatic>(&row))
      return has_own_key(4, {.mapping = fixed->mapping.key, .remote_peer = {}}) &&
             has_own_ports(fixed->mapping.key.protocol, fixed->mapping.external_address,
                           fixed->mapping.external_port, 1);
    const Contract& contract = std::get<store::PutMapping>(row).contract;
    if (!has_own_key(5, contract.key)) return false;
    // A host's MAP and PEERs of one internal port share the external one.
    return contract.key.is_peer() || has_own_ports(contract.key.mapping.protocol, contract.external_address,
                                                   contract.external_port, contract.port_count);
  }
  auto has_own_key(std::uint64_t kind, const ContractKey& contract) -> bool {
    const MappingKey& key = contract.mapping;
    const auto [inside_high, inside_low] = key.internal_address.bits().words();
    const auto [remote_high, remote_low] = contract.remote_peer.address.bits().words();
    const std::uint64_t rest = std::uint64_t{key.realm.value} << 48U |
                               std::uint64_t{key.internal_port.value} << 32U |
                               std::uint64_t{std::to_underlying(key.protocol)} << 8U |
                               std::uint64_t{std::to_underlying(key.external_family)};
    return check(subjects_.add({kind, inside_high, inside_low, rest, remote_high, remote_low,
                                contract.remote_peer.port.value},
                               lines_.number()),
                 "the internal address, port, protocol and peer");
  }
  auto has_own_ports(Protocol protocol, const IpAddress& address, Port first, std::uint16_t count) -> bool {
    if (address.is_unspecified()) return true;
    const auto [high, low] = address.bits().words();
    for (std::uint32_t i = 0; i < count; ++i)
      if (!check(subjects_.add(
                     {6, high, low, std::uint64_t{std::to_underlying(protocol)} << 32U | (first.value + i)},
                     lines_.number()),
                 "the external address, port and protocol"))
        return false;
    return true;
  }

  std::filesystem::path file_;
  Lines lines_;
  TimePoint written_{};
  Subjects subjects_;
  std::size_t errors_ = 0;
  std::size_t mappings_ = 0;
  std::size_t expired_ = 0;
};

}  // namespace

auto check_store(const std::filesystem::path& store) -> int {
  auto log = store::CommitLog::open_to_read(options_of(store));
  if (!log) return fail(store, log.error());
  const auto found = log->check();
  if (!found) return fail(store, found.error());
  fmt::print(
      "{}: whole\nschema {}; {} mappings, {} of them expired; {} users and {} static mappings by hand; {} "
      "paths; "
      "{}; last written {}\n"
      "{} rows, of which {} count\n",
      store.string(), store::CommitLog::schema_version, found->mappings, found->expired_mappings,
      found->users, found->static_mappings, found->paths, found->has_epoch ? "an epoch" : "no epoch",
      store::to_utc(found->written), found->rows, found->live_rows);
  return 0;
}

auto export_store(const std::filesystem::path& store, const std::optional<std::filesystem::path>& file)
    -> int {
  auto log = store::CommitLog::open_to_read(options_of(store));
  if (!log) return fail(store, log.error());
  std::FILE* out = stdout;
  if (file) {
    auto made = io::make_file(*file);
    if (!made) return fail(*file, to_string(made.error()));
    out = ::fdopen(made->release(), "w");
  }
  const auto put = [&](const std::string& line) {
    return std::fwrite(line.data(), 1, line.size(), out) == line.size() && std::fputc('\n', out) == '\n';
  };
  bool is_written = put(store::json_head(io::wall_now()));
  // To the second, as the head says.
  const TimePoint now = io::monotonic_now();
  const auto read = log->for_each([&](const store::Row& row) -> Result {
    is_written = is_written && put(store::to_json(row, now));
    if (is_written) return {};
    return std::unexpected(std::string());
  });
  is_written = std::fflush(out) == 0 && is_written;
  if (file) is_written = std::fclose(out) == 0 && is_written;
  if (!is_written) return fail(file.value_or("standard output"), "can't be written to its end");
  if (!read) return fail(store, read.error());
  return 0;
}

auto import_store(const std::filesystem::path& store, const std::filesystem::path& file, bool replaces)
    -> int {
  Import import(file);
  if (!import.begin()) return 1;
  // Who imports is often not the daemon's user. One that is there will do; what else is wrong, opening tells.
  static_cast<void>(io::make_file_of_folder(store));
  auto log = store::CommitLog::open(options_of(store), store::Access::write);
  if (!log) return fail(store, log.error());
  std::uint64_t there = 0;
  const auto counted = log->for_each([&](const store::Row& row) -> Result {
    if (is_promise(row)) ++there;
    return {};
  });
  if (!counted) return fail(store, counted.error());
  if (there > 0 && !replaces)
    return fail(
        store,
        fmt::format("has {} rows that an import would overwrite: nothing is imported; --replace does it",
                    there));
  const auto done = log->replace([&] { return import.next(); });
  if (!done) return fail(file, done.error());
  fmt::print("{}: {} mappings imported, {} had expired\n", store.string(), import.mappings(),
             import.expired());
  return 0;
}

auto back_up_store(const std::filesystem::path& store, const std::filesystem::path& file) -> int {
  auto log = store::CommitLog::open_to_read(options_of(store));
  if (!log) return fail(store, log.error());
  if (const auto copied = log->copy_to(file); !copied) return fail(file, copied.error());
  fmt::print("{}: copied to {}\n", store.string(), file.string());
  return 0;
}

}  // namespace portolan::portoland
