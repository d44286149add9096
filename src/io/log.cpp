// SPDX-License-Identifier: BSD-2-Clause
#include "io/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace portolan::io {
namespace {

constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 6> levels{{
    {"trace", spdlog::level::trace},
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warning", spdlog::level::warn},
    {"error", spdlog::level::err},
    {"off", spdlog::level::off},
}};

/// systemd names the journal's stream in JOURNAL_STREAM as DEVICE:INODE; a program it started may have
/// redirected stderr since.
auto stderr_is_the_journal() -> bool {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status{};
  return stream != nullptr && ::fstat(STDERR_FILENO, &status) == 0 &&
         fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

/// The journal's priority, which it strips from the line: "<6>".
class PriorityFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    const std::string_view prefix = message.level >= spdlog::level::critical ? "<2>"
                                    : message.level == spdlog::level::err    ? "<3>"
                                    : message.level == spdlog::level::warn   ? "<4>"
                                    : message.level == spdlog::level::info   ? "<6>"
                                                                             : "<7>";
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  [[nodiscard]] auto clone() const -> std::unique_ptr<custom_flag_formatter> override {
    return spdlog::details::make_unique<PriorityFlag>();
  }
};

}  // namespace

auto set_up_log(std::string_view level) -> std::expected<void, std::string> {
  const auto* const chosen = std::ranges::find(levels, level, &decltype(levels)::value_type::first);
  if (chosen == levels.end())
    return std::unexpected(
        fmt::format("log level '{}' is none of trace, debug, info, warning, error, off", level));
  std::shared_ptr<spdlog::logger> logger;
  if (::isatty(STDERR_FILENO) == 1) {
    logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  } else {
    logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    if (stderr_is_the_journal()) {
      auto formatter = std::make_unique<spdlog::pattern_formatter>();
      formatter->add_flag<PriorityFlag>('*').set_pattern("%*%v");
      logger->set_formatter(std::move(formatter));
    } else {
      logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
    }
  }
  logger->set_level(chosen->second);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

}  // namespace portolan::io
