// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_parser.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "base/check.h"

namespace portolan::io {
namespace {

namespace http = boost::beast::http;

constexpr std::array<std::pair<HttpProblem, std::string_view>, 7> problem_names{
    {{HttpProblem::malformed, "malformed"},
     {HttpProblem::too_slow, "too-slow"},
     {HttpProblem::body_too_large, "body-too-large"},
     {HttpProblem::header_too_large, "header-too-large"},
     {HttpProblem::transfer_unsupported, "transfer-unsupported"},
     {HttpProblem::version_unsupported, "version-unsupported"},
     {HttpProblem::too_many_connections, "too-many-connections"}}};

auto lower_case(std::string_view text) -> std::string {
  std::string lowered(text);
  std::ranges::transform(lowered, lowered.begin(),
                         [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return lowered;
}

/// Beast says the same of another version and of none.
auto names_version(std::string_view octets) -> bool {
  const std::string_view line = octets.substr(0, octets.find("\r\n"));
  constexpr std::string_view form = "HTTP/d.d";
  if (line.size() < form.size()) return false;
  const std::string_view version = line.substr(line.size() - form.size());
  const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
  return version.starts_with("HTTP/") && is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
}

auto problem_of(const boost::system::error_code& error, std::string_view octets) -> HttpProblem {
  if (error == http::error::header_limit) return HttpProblem::header_too_large;
  if (error == http::error::body_limit) return HttpProblem::body_too_large;
  if (error == http::error::bad_version && names_version(octets)) return HttpProblem::version_unsupported;
  return HttpProblem::malformed;
}

}  // namespace

namespace detail {

class BeastParser {
 public:
  explicit BeastParser(const HttpLimits& limits) {
    parser_.eager(true);
    parser_.header_limit(static_cast<std::uint32_t>(limits.header_octets));
    parser_.body_limit(limits.body_octets);
  }
  [[nodiscard]] auto operator->() -> http::request_parser<http::string_body>* { return &parser_; }
  [[nodiscard]] auto message() const -> const http::request<http::string_body>& { return parser_.get(); }
  [[nodiscard]] auto parser() const -> const http::request_parser<http::string_body>& { return parser_; }

 private:
  http::request_parser<http::string_body> parser_;
};

}  // namespace detail

auto to_string(HttpProblem problem) -> std::string_view {
  return std::ranges::find(problem_names, problem, &std::pair<HttpProblem, std::string_view>::first)->second;
}

auto HttpRequestHead::field(std::string_view name) const -> const std::string* {
  const auto found = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
  return found == fields.end() ? nullptr : &found->second;
}

auto HttpRequestHead::count(std::string_view name) const -> std::size_t {
  return static_cast<std::size_t>(
      std::ranges::count(fields, name, &std::pair<std::string, std::string>::first));
}

HttpParser::HttpParser(const HttpLimits& limits)
    : limits_(limits), parser_(std::make_unique<detail::BeastParser>(limits)) {}
HttpParser::HttpParser(HttpParser&&) noexcept = default;
auto HttpParser::operator=(HttpParser&&) noexcept -> HttpParser& = default;
HttpParser::~HttpParser() = default;

auto HttpParser::feed(std::string_view octets) -> std::size_t {
  if (problem_ || is_complete() || octets.empty()) return 0;
  const bool was_header_done = (*parser_)->is_header_done();
  boost::system::error_code error;
  const std::size_t taken = (*parser_)->put(boost::asio::buffer(octets.data(), octets.size()), error);
  if (error && error != http::error::need_more) {
    problem_ = problem_of(error, octets);
    return taken;
  }
  const bool is_header_done = (*parser_)->is_header_done();
  if (!was_header_done) {
    // Beast bounds each field, and not how many there are.
    header_octets_ += is_header_done ? header_end(octets) : taken;
    const std::size_t waiting = is_header_done ? 0 : octets.size() - taken;
    if (header_octets_ + waiting > limits_.header_octets) problem_ = HttpProblem::header_too_large;
  }
  // What is between chunks, and behind the last.
  if (is_header_done && !is_complete() && octets.size() - taken > limits_.header_octets)
    problem_ = HttpProblem::header_too_large;
  if (is_header_done) {
    // Neither a length nor chunks tell where the body of another coding ends (RFC 9112 s6.1).
    const auto& fields = parser_->message();
    const auto coding = fields.find(http::field::transfer_encoding);
    if (coding != fields.end() && !parser_->parser().chunked()) problem_ = HttpProblem::transfer_unsupported;
  }
  return taken;
}

auto HttpParser::header_end(std::string_view octets) const -> std::size_t {
  // Whole lines are taken: the last may be all that was left.
  constexpr std::string_view line_end = "\r\n";
  if (header_octets_ > 0 && octets.starts_with(line_end)) return line_end.size();
  return octets.find("\r\n\r\n") + 2 * line_end.size();
}

auto HttpParser::is_complete() const -> bool { return parser_->parser().is_done(); }

auto HttpParser::wants_continue() -> bool {
  if (was_continued_ || problem_ || is_complete() || !parser_->parser().is_header_done()) return false;
  was_continued_ = true;
  const auto& fields = parser_->message();
  const auto expectation = fields.find(http::field::expect);
  return expectation != fields.end() &&
         lower_case({expectation->value().data(), expectation->value().size()}) == "100-continue";
}

auto HttpParser::head() const -> HttpRequestHead {
  PORTOLAN_CHECK(is_complete());
  const auto& message = parser_->message();
  HttpRequestHead head;
  head.method = std::string(message.method_string());
  head.target = std::string(message.target());
  for (const auto& field : message)
    head.fields.emplace_back(lower_case({field.name_string().data(), field.name_string().size()}),
                             std::string(field.value()));
  head.has_length = parser_->parser().chunked() || message.find(http::field::content_length) != message.end();
  return head;
}

auto HttpParser::take_body() -> std::string {
  PORTOLAN_CHECK(is_complete());
  return std::move((*parser_)->get().body());
}

auto HttpParser::is_kept() const -> bool {
  return parser_->parser().is_header_done() && parser_->parser().keep_alive();
}

auto HttpParser::takes_chunks() const -> bool {
  return parser_->parser().is_header_done() && parser_->message().version() == 11;
}

void HttpParser::reset() {
  parser_ = std::make_unique<detail::BeastParser>(limits_);
  problem_.reset();
  header_octets_ = 0;
  was_continued_ = false;
}

}  // namespace portolan::io
