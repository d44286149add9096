// SPDX-License-Identifier: BSD-2-Clause
#include "io/append_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <iterator>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "io/testing.h"

namespace portolan::io {
namespace {

auto contents(const std::filesystem::path& path) -> std::string {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AppendFile, is_made_for_its_owner_and_group_and_added_to) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  for (const char* text : {"one\n", "two\n"}) {
    auto file = AppendFile::open(path);
    ASSERT_TRUE(file) << file.error();
    EXPECT_FALSE(file->write(text).error);
  }
  EXPECT_EQ(contents(path), "one\ntwo\n");
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0137U, 0U);
}

TEST(AppendFile, a_line_cut_short_ends_before_the_next) {
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "lines";
  auto file = AppendFile::open(path);
  ASSERT_TRUE(file) << file.error();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  auto* const handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 6, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto failed = file->write("one\ntwo\n");
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, handler);
  EXPECT_EQ(failed.octets, 4U) << "whole lines";
  EXPECT_EQ(failed.error, (SystemError{.number = EFBIG}));
  EXPECT_FALSE(file->write("three\n").error);
  EXPECT_EQ(contents(path), "one\ntw\nthree\n");
}

/// What somebody else may read, and how full it gets.
struct Reader {
  FileDescriptor end;
  [[nodiscard]] auto read() const -> std::string {
    std::string text(1 << 20, '\0');
    const auto got = ::read(end.get(), text.data(), text.size());
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
};

struct Channel {
  FileDescriptor writer;
  Reader reader;
};

auto pipe_of_a_page() -> Channel {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  EXPECT_GE(::fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
  return {.writer = FileDescriptor(ends[1]), .reader = {FileDescriptor(ends[0])}};
}

auto socket_pair() -> Channel {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {.writer = FileDescriptor(ends[1]), .reader = {FileDescriptor(ends[0])}};
}

/// Writes lines until there is no room; all of them.
auto fill(AppendFile& file) -> std::string {
  std::string all;
  for (unsigned number = 1;; ++number) {
    const std::string line = fmt::format("{:0>99}\n", number);
    const auto written = file.write(line);
    all += line.substr(0, written.octets);
    if (!written.error) continue;
    EXPECT_EQ(written.error, (SystemError{.number = EAGAIN}));
    return all;
  }
}

TEST(AppendFile, a_full_pipe_is_not_waited_for_and_goes_on_where_it_was_left) {
  auto [writer, reader] = pipe_of_a_page();
  auto file = AppendFile::of(writer.get());
  const std::string first = fill(file);
  EXPECT_EQ(first.size(), 4000U) << "whole lines";
  EXPECT_EQ(reader.read(), first);
  EXPECT_FALSE(file.write("last\n").error);
  EXPECT_EQ(reader.read(), "last\n");
  EXPECT_EQ(::fcntl(writer.get(), F_GETFL) & O_NONBLOCK, 0) << "others write there too";
}

/// With another user's pipe, or without /proc.
TEST(AppendFile, a_full_pipe_that_cannot_be_opened_again_is_not_waited_for_either) {
  auto [writer, reader] = pipe_of_a_page();
  ASSERT_EQ(::fchmod(writer.get(), 0), 0);
  const uid_t user = ::geteuid();
  constexpr uid_t nobody = 65534;
  ASSERT_EQ(::seteuid(user == 0 ? nobody : user), 0);
  auto file = AppendFile::of(writer.get());
  ASSERT_EQ(::seteuid(user), 0);
  const std::string first = fill(file);
  EXPECT_FALSE(first.empty());
  EXPECT_EQ(reader.read(), first);
  EXPECT_FALSE(file.write("last\n").error);
}

TEST(AppendFile, a_text_longer_than_a_pipe_is_written_in_whole_lines) {
  auto [writer, reader] = pipe_of_a_page();
  auto file = AppendFile::of(writer.get());
  std::string text;
  for (int number = 0; number < 100; ++number) text += fmt::format("{:0>99}\n", number);
  const auto written = file.write(text);
  EXPECT_EQ(written.octets, 4000U);
  EXPECT_EQ(written.error, (SystemError{.number = EAGAIN}));
  EXPECT_EQ(reader.read(), text.substr(0, 4000));
}

TEST(AppendFile, a_line_that_a_full_socket_cuts_in_two_goes_on_when_there_is_room) {
  auto [writer, reader] = socket_pair();
  auto file = AppendFile::of(writer.get());
  // One line that is longer than what a socket takes.
  const std::string line = std::string(8 << 20, 'x') + '\n';
  const auto written = file.write(line);
  EXPECT_EQ(written.octets, line.size()) << "what was begun is written to the end";
  EXPECT_EQ(written.error, (SystemError{.number = EAGAIN}));
  std::string read;
  while (file.write("last\n").error) read += reader.read();
  while (!read.ends_with("last\n")) read += reader.read();
  EXPECT_EQ(read.size(), line.size() + 5);
  EXPECT_TRUE(read.starts_with(line));
}

TEST(AppendFile, a_reader_that_goes_away_is_an_error) {
  auto* const handler = ::signal(SIGPIPE, SIG_DFL);
  ignore_broken_pipes();
  for (const auto make : {pipe_of_a_page, socket_pair}) {
    auto [writer, reader] = make();
    auto file = AppendFile::of(writer.get());
    reader.end.reset();
    EXPECT_EQ(file.write("line\n").error, (SystemError{.number = EPIPE}));
    auto again = AppendFile::of(writer.get());
    EXPECT_EQ(again.write("line\n").error, (SystemError{.number = EPIPE}));
  }
  ::signal(SIGPIPE, handler);
}

TEST(AppendFile, a_fifo_must_have_a_reader_to_be_opened_and_may_get_another_later) {
  auto* const handler = ::signal(SIGPIPE, SIG_IGN);
  const testing::TemporaryFolder folder;
  const auto path = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const auto refused = AppendFile::open(path);
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().ends_with("nobody reads this FIFO; start its reader first")) << refused.error();
  const auto read_end = [&] {
    return FileDescriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  };
  Reader reader{read_end()};
  auto file = AppendFile::open(path);
  ASSERT_TRUE(file) << file.error();
  const std::string first = fill(*file);
  EXPECT_EQ(reader.read(), first);
  reader.end.reset();
  EXPECT_EQ(file->write("lost\n").error, (SystemError{.number = EPIPE}));
  reader.end = read_end();
  EXPECT_FALSE(file->write("again\n").error);
  EXPECT_EQ(reader.read(), "again\n");
  ::signal(SIGPIPE, handler);
}

}  // namespace
}  // namespace portolan::io
