// SPDX-License-Identifier: BSD-2-Clause
#include "io/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <utility>

#include <nlohmann/json.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace portolan::io::log {
namespace {

struct LevelName {
  std::string_view name;
  spdlog::level::level_enum level;
};
/// By Level.
constexpr std::array<LevelName, level_count + 1> levels{{
    {"trace", spdlog::level::trace},
    {"debug", spdlog::level::debug},
    {"info", spdlog::level::info},
    {"warning", spdlog::level::warn},
    {"error", spdlog::level::err},
    {"off", spdlog::level::off},
}};

auto spdlog_level(Level level) -> spdlog::level::level_enum {
  return levels[std::to_underlying(level)].level;
}

std::atomic<bool> is_json = false;
std::array<std::atomic<std::uint64_t>, level_count> said;

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

auto make_logger(bool json) -> std::shared_ptr<spdlog::logger> {
  constexpr std::string_view json_pattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})";
  if (!json && ::isatty(STDERR_FILENO) == 1) {
    auto logger =
        std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
    return logger;
  }
  auto logger = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  if (stderr_is_the_journal())
    formatter->add_flag<PriorityFlag>('*').set_pattern(json ? fmt::format("%*{}", json_pattern) : "%*%v");
  else
    formatter->set_pattern(json ? std::string(json_pattern) : "%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  logger->set_formatter(std::move(formatter));
  return logger;
}

auto in_json(std::string_view text) -> std::string {
  // What is no UTF-8 would make a line that nobody can read.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// `text` on one line, which does nothing to a terminal.
auto on_one_line(std::string_view text) -> std::string {
  std::string line;
  line.reserve(text.size());
  for (const char each : text) {
    const auto octet = static_cast<unsigned char>(each);
    if (each == '\n')
      line += "\\n";
    else if (octet < ' ' || octet == 0x7f)
      line += fmt::format("\\x{:02x}", octet);
    else
      line += each;
  }
  return line;
}

/// Goes through `sentence`: text(piece) for what stands between places, value(name, value) for each place.
void take_apart(std::string_view sentence, std::span<const detail::Value> values, auto text, auto value) {
  for (const detail::Value& each : values) {
    const std::size_t begin = sentence.find('{');
    const std::size_t end = sentence.find('}');
    text(sentence.substr(0, begin));
    value(sentence.substr(begin + 1, end - begin - 1), each);
    sentence.remove_prefix(end + 1);
  }
  text(sentence);
}

}  // namespace

auto to_string(Level level) -> std::string_view { return levels[std::to_underlying(level)].name; }

auto set_up(std::string_view level, std::string_view format) -> std::expected<void, std::string> {
  const auto* const chosen = std::ranges::find(levels, level, &LevelName::name);
  if (chosen == levels.end())
    return std::unexpected(
        fmt::format("log level '{}' is none of trace, debug, info, warning, error, off", level));
  if (format != "text" && format != "json")
    return std::unexpected(fmt::format("log format '{}' is neither text nor json", format));
  is_json = format == "json";
  auto logger = make_logger(is_json);
  logger->set_level(chosen->level);
  logger->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

auto counts() -> std::array<std::uint64_t, level_count> {
  std::array<std::uint64_t, level_count> counts{};
  std::ranges::transform(said, counts.begin(),
                         [](const auto& count) { return count.load(std::memory_order_relaxed); });
  return counts;
}

namespace detail {

auto is_logged(Level level) -> bool { return spdlog::should_log(spdlog_level(level)); }

void count(Level level) {
  if (level != Level::off) said[std::to_underlying(level)].fetch_add(1, std::memory_order_relaxed);
}

void write(Level level, std::string_view id, std::string_view sentence, std::span<const Value> values) {
  std::string said_so;
  std::string fields;
  take_apart(
      sentence, values, [&](std::string_view text) { said_so += text; },
      [&](std::string_view name, const Value& value) {
        said_so += value.text;
        if (is_json)
          fields += fmt::format(R"(,"{}":{})", name, value.is_bare ? value.text : in_json(value.text));
      });
  if (is_json)
    spdlog::log(spdlog_level(level), R"("id":"{}","message":{}{})", id, in_json(said_so), fields);
  else
    spdlog::log(spdlog_level(level), "{}: {}", id, on_one_line(said_so));
}

}  // namespace detail
}  // namespace portolan::io::log
