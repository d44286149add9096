// SPDX-License-Identifier: BSD-2-Clause
#include "io/line_input.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>

#include <gtest/gtest.h>

#include "io/signals.h"

namespace portolan::io {
namespace {

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  ~Pipe() {
    ::close(ends_[0]);
    close_writer();
  }
  void write(const std::string& text) {
    ASSERT_EQ(::write(ends_[1], text.data(), text.size()), std::ssize(text));
  }
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }
  [[nodiscard]] auto reader() const -> int { return ends_[0]; }

 private:
  std::array<int, 2> ends_{};
};

using Lines = std::vector<std::string>;

TEST(LineInput, lines_come_when_they_are_whole_and_the_rest_at_the_end) {
  Pipe pipe;
  LineInput input(pipe.reader());
  pipe.write("call 13\n\nhang");
  EXPECT_EQ(input.read(), (Lines{"call 13", ""}));
  pipe.write("up\nquit");
  EXPECT_EQ(input.read(), (Lines{"hangup"}));
  EXPECT_FALSE(input.is_ended());
  pipe.close_writer();
  EXPECT_EQ(input.read(), (Lines{"quit"}));
  EXPECT_TRUE(input.is_ended());
}

TEST(LineInput, a_line_beyond_the_limit_comes_in_pieces) {
  for (const std::size_t size :
       {LineInput::line_octets_max - 1, LineInput::line_octets_max, LineInput::line_octets_max + 1}) {
    Pipe pipe;
    LineInput input(pipe.reader());
    pipe.write(std::string(size, 'x') + "\n");
    Lines lines;
    pipe.close_writer();
    while (!input.is_ended())
      for (std::string& line : input.read()) lines.push_back(std::move(line));
    std::size_t octets = 0;
    for (const std::string& line : lines) {
      EXPECT_LE(line.size(), LineInput::line_octets_max);
      octets += line.size();
    }
    EXPECT_EQ(octets, size);
    EXPECT_EQ(lines.size(), size < LineInput::line_octets_max ? 1U : 2U);
  }
}

TEST(Signals, one_that_came_is_taken_once_and_ends_nothing) {
  auto signals = Signals::open({SIGUSR1, SIGTERM});
  ASSERT_TRUE(signals);
  EXPECT_FALSE(signals->take());
  ::raise(SIGTERM);
  EXPECT_EQ(signals->take(), SIGTERM);
  EXPECT_FALSE(signals->take());
}

}  // namespace
}  // namespace portolan::io
