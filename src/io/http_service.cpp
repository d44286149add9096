// SPDX-License-Identifier: BSD-2-Clause
#include "io/http_service.h"

#include <array>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/check.h"
#include "io/system.h"

namespace portolan::io {
namespace {

auto reason_of(unsigned status) -> std::string_view {
  constexpr std::array<std::pair<unsigned, std::string_view>, 23> reasons{{{200, "OK"},
                                                                           {201, "Created"},
                                                                           {202, "Accepted"},
                                                                           {204, "No Content"},
                                                                           {303, "See Other"},
                                                                           {400, "Bad Request"},
                                                                           {401, "Unauthorized"},
                                                                           {403, "Forbidden"},
                                                                           {404, "Not Found"},
                                                                           {405, "Method Not Allowed"},
                                                                           {408, "Request Timeout"},
                                                                           {409, "Conflict"},
                                                                           {411, "Length Required"},
                                                                           {413, "Content Too Large"},
                                                                           {415, "Unsupported Media Type"},
                                                                           {421, "Misdirected Request"},
                                                                           {422, "Unprocessable Content"},
                                                                           {429, "Too Many Requests"},
                                                                           {431, "Header Fields Too Large"},
                                                                           {500, "Internal Server Error"},
                                                                           {501, "Not Implemented"},
                                                                           {503, "Service Unavailable"},
                                                                           {505, "Version Not Supported"}}};
  for (const auto& [known, reason] : reasons)
    if (known == status) return reason;
  return "Other";
}

auto octets_of(std::string_view text) -> std::span<const std::byte> { return std::as_bytes(std::span(text)); }

}  // namespace

namespace detail {

class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(HttpService& service, HttpService::Number number, Stream stream, std::size_t listener)
      : service_(service),
        number_(number),
        listener_(listener),
        stream_(std::move(stream)),
        parser_(service.limits_),
        timer_(service.loop_.timer([this] { timed_out(); })) {}

  /// With `is_one_too_many` it is only told so.
  void start(bool is_one_too_many) {
    stream_.start({.opened =
                       [this, is_one_too_many] {
                         if (is_one_too_many) return refuse(HttpProblem::too_many_connections);
                         await_request();
                       },
                   .received = [this](std::span<const std::byte> octets) { received(octets); },
                   .drained = [this] { drained(); },
                   .closed = [this](const std::string&) { end(); }});
  }

  /// The answer to `request`; another one, or a second, is none.
  void reply(std::uint64_t request, HttpReply reply) {
    if (state_ != State::answering || request != request_) return;
    is_chunked_ = parser_.takes_chunks();
    // Who takes no chunks has the end of the connection for that of a stream, and so for all answers.
    is_kept_ = parser_.is_kept() && is_chunked_;
    body_ = std::move(reply.stream);
    send_head(reply);
    if (!body_) return answered();
    state_ = State::streaming;
    body_->start([connection = weak_from_this(), &loop = service_.loop_] {
      // Never from within the call of who has something to say.
      loop.post([connection] {
        if (const auto self = connection.lock()) self->pump();
      });
    });
    pump();
  }

 private:
  enum class State : std::uint8_t {
    waiting,    ///< for the first octet of a request
    reading,    ///< the rest of it
    answering,  ///< the handler has it
    streaming,  ///< the answer is being made
    draining,   ///< the answer waits to be taken
    finishing,  ///< it has been, and the connection ends; so begins one that is not open yet
  };

  void await_request() {
    state_ = State::waiting;
    parser_.reset();
    stream_.set_reading(true);
    timer_.arm(monotonic_now() + service_.limits_.idle);
    parse();
  }

  void received(std::span<const std::byte> octets) {
    if (state_ == State::finishing || !is_kept_) return;
    input_.append(reinterpret_cast<const char*>(octets.data()), octets.size());
    if (state_ == State::waiting || state_ == State::reading) return parse();
    if (input_.size() > service_.limits_.pipelined_octets) stream_.set_reading(false);
  }

  void parse() {
    if (input_.empty()) return;
    if (state_ == State::waiting) {
      state_ = State::reading;
      timer_.arm(monotonic_now() + service_.limits_.request);
    }
    input_.erase(0, parser_.feed(input_));
    if (const auto problem = parser_.problem()) return refuse(*problem);
    if (parser_.wants_continue()) stream_.send(octets_of("HTTP/1.1 100 Continue\r\n\r\n"));
    if (!parser_.is_complete()) return;
    timer_.disarm();
    state_ = State::answering;
    ++service_.counters_.requests;
    HttpCall call(parser_.head(), parser_.take_body(), listener_, stream_.peer(),
                  [connection = weak_from_this(), request = ++request_](HttpReply answer) {
                    if (const auto self = connection.lock()) self->reply(request, std::move(answer));
                  });
    service_.handlers_.called(std::move(call));
  }

  void refuse(HttpProblem problem) {
    ++service_.counters_.refused[static_cast<std::size_t>(problem)];
    is_kept_ = false;
    is_chunked_ = false;
    HttpReply reply = service_.handlers_.refused(problem);
    PORTOLAN_CHECK(reply.stream == nullptr);
    send_head(reply);
    answered();
  }

  void send_head(const HttpReply& reply) {
    std::string head = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nCache-Control: no-store\r\nX-Content-Type-Options: "
        "nosniff\r\n",
        reply.status, reason_of(reply.status), reply.content_type);
    for (const auto& [name, value] : reply.fields) head += fmt::format("{}: {}\r\n", name, value);
    if (!body_)
      head += fmt::format("Content-Length: {}\r\n", reply.body.size());
    else if (is_chunked_)
      head += "Transfer-Encoding: chunked\r\n";
    if (!is_kept_) head += "Connection: close\r\n";
    head += "\r\n";
    if (!body_) head += reply.body;
    stream_.send(octets_of(head));
  }

  /// Sends the next piece when the last one has been taken.
  void pump() {
    if (state_ != State::streaming || stream_.queued() > 0) return;
    HttpBody::Piece piece = body_->next();
    if (!piece.octets.empty()) {
      if (is_chunked_) piece.octets = fmt::format("{:x}\r\n{}\r\n", piece.octets.size(), piece.octets);
    }
    if (piece.is_last && is_chunked_) piece.octets += "0\r\n\r\n";
    if (!piece.octets.empty()) stream_.send(octets_of(piece.octets));
    if (piece.is_last) {
      body_.reset();
      return answered();
    }
    watch_progress();
  }

  /// The whole answer has been handed over.
  void answered() {
    state_ = State::draining;
    if (stream_.queued() > 0) return watch_progress();
    // The last piece of a stream without chunks was empty.
    finish();
  }

  void drained() {
    timer_.disarm();
    if (state_ == State::streaming) return pump();
    if (state_ == State::draining) is_kept_ ? await_request() : finish();
  }

  void finish() {
    state_ = State::finishing;
    stream_.finish();
  }

  /// Cuts off who takes nothing.
  void watch_progress() {
    queued_ = stream_.queued();
    if (queued_ > 0)
      timer_.arm(monotonic_now() + service_.limits_.stalled);
    else
      timer_.disarm();
  }

  void timed_out() {
    switch (state_) {
      case State::waiting: ++service_.counters_.idle; return end();
      case State::reading: return refuse(HttpProblem::too_slow);
      case State::answering: return;
      case State::streaming:
      case State::draining:
      case State::finishing: break;
    }
    if (stream_.queued() < queued_) return watch_progress();
    ++service_.counters_.stalled;
    end();
  }

  void end() {
    stream_.close();
    timer_.disarm();
    service_.counters_.open -= 1;
    // Lets go of the last reference, perhaps.
    const auto self = shared_from_this();
    service_.connections_.erase(number_);
  }

  HttpService& service_;
  HttpService::Number number_;
  std::size_t listener_;
  Stream stream_;
  HttpParser parser_;
  Timer timer_;
  State state_ = State::finishing;
  /// Octets that no request has been made of.
  std::string input_;
  std::unique_ptr<HttpBody> body_;
  bool is_kept_ = true;
  bool is_chunked_ = false;
  /// Number of the present request.
  std::uint64_t request_ = 0;
  /// As the present wait for the client began.
  std::size_t queued_ = 0;
};

}  // namespace detail

HttpService::HttpService(EventLoop& loop, HttpLimits limits, HttpServiceHandlers handlers)
    : loop_(loop), limits_(limits), handlers_(std::move(handlers)) {}

HttpService::~HttpService() = default;

auto HttpService::listen(const StreamAddress& address, const TlsIdentity& identity,
                         const SocketRights& rights) -> std::expected<StreamAddress, std::string> {
  auto listener = StreamListener::open(
      loop_, address, identity,
      [this, number = listeners_.size()](Stream stream) { accepted(std::move(stream), number); }, rights);
  if (!listener) return std::unexpected(listener.error());
  listeners_.push_back(*std::move(listener));
  return listeners_.back().address();
}

void HttpService::accepted(Stream stream, std::size_t listener) {
  if (connections_.size() >= 2 * limits_.connections) {
    ++counters_.dropped;
    return;
  }
  const bool is_one_too_many = connections_.size() >= limits_.connections;
  ++counters_.accepted;
  ++counters_.open;
  const Number number = ++last_number_;
  const auto connection =
      std::make_shared<detail::HttpConnection>(*this, number, std::move(stream), listener);
  connections_.emplace(number, connection);
  connection->start(is_one_too_many);
}

}  // namespace portolan::io
