// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_client.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include "io/system.h"

namespace portolan::io {
namespace detail {
namespace {

namespace http = boost::beast::http;

/// Parts of a body handed on at a time.
constexpr std::size_t part_octets = std::size_t{64} << 10U;

auto octets_of(std::string_view text) -> std::span<const std::byte> {
  return std::as_bytes(std::span(text.data(), text.size()));
}

auto text_of(const HttpServer& server, const HttpRequest& request) -> std::string {
  std::string text = fmt::format(
      "{} {} HTTP/1.1\r\nHost: {}\r\nAccept: application/json, application/x-ndjson\r\nConnection: close\r\n",
      request.method, request.target, server.host);
  if (!server.token.empty()) text += fmt::format("Authorization: Bearer {}\r\n", server.token);
  if (!request.body.empty())
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", request.body.size());
  return text + "\r\n" + request.body;
}

/// "application/json" of "Application/JSON; charset=utf-8".
auto media_type(std::string_view field) -> std::string {
  field = field.substr(0, field.find(';'));
  std::string type;
  for (const char letter : field)
    if (letter > ' ')
      type.push_back(letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter | 0x20) : letter);
  return type;
}

}  // namespace

class HttpConversation : public std::enable_shared_from_this<HttpConversation> {
 public:
  HttpConversation(EventLoop& loop, const HttpServer& server, const HttpRequest& request,
                   HttpHandlers handlers)
      : loop_(loop),
        addresses_(server.addresses),
        identity_(server.identity),
        request_(text_of(server, request)),
        silence_max_(request.silence_max),
        handlers_(std::move(handlers)),
        timer_(loop.timer([this] {
          const auto self = shared_from_this();
          fail(false, fmt::format("the server has said nothing for {} s", silence_max_->count()));
        })) {
    parser_.header_limit(static_cast<std::uint32_t>(HttpExchange::head_octets_max));
    parser_.body_limit(boost::none);
  }

  /// Connects to the next address.
  void connect() {
    StreamHandlers handlers;
    const std::weak_ptr<HttpConversation> weak = weak_from_this();
    handlers.opened = [weak] {
      if (const auto self = weak.lock()) self->opened();
    };
    handlers.received = [weak](std::span<const std::byte> octets) {
      if (const auto self = weak.lock()) self->receive(octets);
    };
    handlers.closed = [weak](const std::string& reason) {
      if (const auto self = weak.lock()) self->closed(reason);
    };
    stream_ = Stream::connect(loop_, addresses_[tried_++], identity_, std::move(handlers));
    stream_.send(octets_of(request_));
  }

  void set_reading(bool is_wanted) {
    if (is_over_ || is_wanted == is_reading_) return;
    is_reading_ = is_wanted;
    stream_.set_reading(is_wanted);
    watch_silence();
  }

  void close() noexcept {
    is_over_ = true;
    timer_.disarm();
    stream_.close();
  }

 private:
  void opened() {
    is_open_ = true;
    stream_.set_reading(is_reading_);
    watch_silence();
  }

  void watch_silence() {
    if (!silence_max_ || !is_open_) return;
    if (is_reading_)
      timer_.arm(monotonic_now() + *silence_max_);
    else
      timer_.disarm();
  }

  void receive(std::span<const std::byte> octets) {
    watch_silence();
    input_.append(reinterpret_cast<const char*>(octets.data()), octets.size());
    while (!is_over_ && take_part()) {
    }
    if (!is_over_ && input_.size() > HttpExchange::head_octets_max + part_octets)
      fail(false, "what the server sends between parts of its answer has no end");
  }

  /// Parses some of the input; false if there is nothing to do until more comes.
  auto take_part() -> bool {
    auto& body = parser_.get().body();
    body.data = part_.data();
    body.size = part_.size();
    body.more = true;
    boost::system::error_code error;
    const std::size_t taken = parser_.put(boost::asio::buffer(input_), error);
    input_.erase(0, taken);
    if (!is_headed_) head_octets_ += taken;
    if (error == http::error::header_limit || head_octets_ > HttpExchange::head_octets_max) {
      fail(false,
           fmt::format("the head of the answer is longer than {} octets", HttpExchange::head_octets_max));
      return false;
    }
    if (error && error != http::error::need_more && error != http::error::need_buffer) {
      fail(false, fmt::format("the answer is not HTTP: {}", error.message()));
      return false;
    }
    if (parser_.is_header_done() && !take_head()) return false;
    const std::size_t octets = part_.size() - body.size;
    if (octets > 0) handlers_.received(std::string_view(part_.data(), octets));
    if (is_over_) return false;
    if (!parser_.is_done()) return !input_.empty() && (taken > 0 || octets > 0);
    end({});
    return false;
  }

  /// False if the answer ends with its head.
  auto take_head() -> bool {
    if (is_headed_) return true;
    is_headed_ = true;
    if (parser_.need_eof()) {
      fail(false, "the answer does not say where it ends");
      return false;
    }
    const auto& head = parser_.get();
    handlers_.headed(
        {.status = head.result_int(), .content_type = media_type(head[http::field::content_type])});
    return !is_over_;
  }

  void closed(const std::string& reason) {
    if (!is_open_) {
      failures_ +=
          fmt::format("{}{}: {}", failures_.empty() ? "" : "; ", to_string(addresses_[tried_ - 1]), reason);
      if (tried_ < addresses_.size()) return connect();
      return fail(true, failures_);
    }
    fail(false, fmt::format("the connection ended {} ({})",
                            is_headed_ ? "in the middle of the answer" : "before an answer", reason));
  }

  void fail(bool is_unreachable, std::string text) {
    end(std::unexpected(HttpFailure{.is_unreachable = is_unreachable, .text = std::move(text)}));
  }

  void end(const std::expected<void, HttpFailure>& result) {
    if (is_over_) return;
    close();
    handlers_.ended(result);
  }

  EventLoop& loop_;
  std::vector<StreamAddress> addresses_;
  TlsIdentity identity_;
  std::string request_;
  std::optional<Seconds> silence_max_;
  HttpHandlers handlers_;
  Timer timer_;
  Stream stream_;
  std::size_t tried_ = 0;
  std::string failures_;
  std::string input_;
  std::array<char, part_octets> part_{};
  http::response_parser<http::buffer_body> parser_;
  std::size_t head_octets_ = 0;
  bool is_open_ = false;
  bool is_headed_ = false;
  bool is_reading_ = true;
  bool is_over_ = false;
};

}  // namespace detail

HttpExchange::HttpExchange() noexcept = default;
HttpExchange::HttpExchange(EventLoop& loop, const HttpServer& server, const HttpRequest& request,
                           HttpHandlers handlers)
    : conversation_(std::make_shared<detail::HttpConversation>(loop, server, request, std::move(handlers))) {
  conversation_->connect();
}
HttpExchange::HttpExchange(HttpExchange&&) noexcept = default;
auto HttpExchange::operator=(HttpExchange&& other) noexcept -> HttpExchange& {
  if (this != &other) {
    close();
    conversation_ = std::move(other.conversation_);
  }
  return *this;
}
HttpExchange::~HttpExchange() { close(); }

void HttpExchange::set_reading(bool is_wanted) {
  if (conversation_) conversation_->set_reading(is_wanted);
}
void HttpExchange::close() noexcept {
  if (conversation_) conversation_->close();
}

auto percent_encoded(std::string_view text) -> std::string {
  constexpr std::string_view plain = "-._~";
  std::string encoded;
  for (const char octet : text) {
    const bool is_plain = (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
                          (octet >= '0' && octet <= '9') || plain.find(octet) != std::string_view::npos;
    if (is_plain)
      encoded.push_back(octet);
    else
      fmt::format_to(std::back_inserter(encoded), "%{:02X}", static_cast<unsigned char>(octet));
  }
  return encoded;
}

}  // namespace portolan::io
