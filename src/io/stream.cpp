// SPDX-License-Identifier: BSD-2-Clause
#include "io/stream.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <boost/asio/error.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "io/stream_connection.h"
#include "io/system.h"

namespace portolan::io {
namespace detail {
namespace {

auto text_of(const ErrorCode& error) -> std::string {
  // A TLS stream that ends without a farewell is no longer worth a word: messages have lengths.
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated)
    return "closed by the other side";
  return error.message();
}

/// Notices a peer whose host is gone also while nothing is sent.
void set_options(Tcp::socket& socket) {
  ErrorCode ignored;
  static_cast<void>(socket.set_option(Tcp::no_delay(true), ignored));
  static_cast<void>(socket.set_option(asio::socket_base::keep_alive(true), ignored));
  const auto set = [&](int name, int value) {
    ::setsockopt(socket.native_handle(), IPPROTO_TCP, name, &value, sizeof value);
  };
  set(TCP_KEEPIDLE, 10);
  set(TCP_KEEPINTVL, 5);
  set(TCP_KEEPCNT, 3);
  set(TCP_USER_TIMEOUT, static_cast<int>(Milliseconds{Stream::stall_max}.count()));
}
void set_options(Local::socket& /*socket*/) {}

/// Text of the other side, fit for a log.
auto printable(std::string text) -> std::string {
  std::ranges::replace_if(text, [](char octet) { return octet < ' ' || octet > '~'; }, '?');
  return text;
}

}  // namespace

auto to_asio(const Endpoint& endpoint) -> Tcp::endpoint {
  if (endpoint.address.is_ipv4())
    return {asio::ip::address_v4(endpoint.address.ipv4().value), endpoint.port.value};
  return {asio::ip::address_v6(endpoint.address.bits().octets), endpoint.port.value};
}

auto from_asio(const Tcp::endpoint& endpoint) -> Endpoint {
  const auto& address = endpoint.address();
  const Port port{endpoint.port()};
  if (address.is_v4()) return {IpAddress{Ipv4Address{address.to_v4().to_uint()}}, port};
  return {IpAddress{Ipv6Address{address.to_v6().to_bytes()}}, port};
}

Connection::Connection(EventLoop& loop)
    : loop_(loop), timer_(loop.timer([this] {
        // fail() may let go of the last reference.
        const auto self = shared_from_this();
        switch (state_) {
          case State::opening: return fail("no connection in time");
          case State::finishing: return fail("finished");
          default: return fail("the other side takes nothing any more");
        }
      })) {}

void Connection::start(StreamHandlers handlers) {
  PORTOLAN_CHECK(state_ == State::idle);
  handlers_ = std::move(handlers);
  state_ = State::opening;
  timer_.arm(monotonic_now() + Stream::opening_max);
  // Not open() itself: handlers are never called from within a call.
  loop_.post([self = shared_from_this()] {
    if (self->state_ == State::closed) return;
    self->open([self](const ErrorCode& error) { self->opened(error); });
  });
}

void Connection::opened(const ErrorCode& error) {
  if (state_ == State::closed) return;
  if (error) {
    const std::string why = reason_of_failure();
    return fail(why.empty() ? text_of(error) : fmt::format("{}: {}", text_of(error), why));
  }
  if (state_ == State::opening) {
    timer_.disarm();
    state_ = State::open;
    handlers_.opened();
  }
  write();
  read();
}

void Connection::read() {
  const bool is_wanted = (state_ == State::open && is_reading_wanted_) || state_ == State::finishing;
  if (!is_wanted || is_reading_) return;
  is_reading_ = true;
  read_some(asio::buffer(buffer_), [self = shared_from_this()](const ErrorCode& error, std::size_t octets) {
    self->is_reading_ = false;
    if (self->state_ == State::closed) return;
    if (error) return self->fail(text_of(error));
    if (self->state_ == State::open) self->handlers_.received(std::span(self->buffer_).first(octets));
    self->read();
  });
}

void Connection::send(std::span<const std::byte> octets) {
  if (state_ == State::closed || state_ == State::finishing) return;
  if (queued() + octets.size() > Stream::queue_octets_max) {
    loop_.post([self = shared_from_this()] { self->fail("the other side is too slow"); });
    return;
  }
  waiting_.insert(waiting_.end(), octets.begin(), octets.end());
  write();
}

void Connection::write() {
  if (is_writing_ || (state_ != State::open && state_ != State::finishing)) return;
  if (written_ == writing_.size()) {
    writing_.clear();
    written_ = 0;
    writing_.swap(waiting_);
  }
  if (writing_.empty()) {
    if (state_ != State::finishing) return timer_.disarm();
    return shut_sending();
  }
  is_writing_ = true;
  if (state_ == State::open) timer_.arm(monotonic_now() + Stream::stall_max);
  write_some(asio::buffer(writing_.data() + written_, writing_.size() - written_),
             [self = shared_from_this()](const ErrorCode& error, std::size_t octets) {
               self->is_writing_ = false;
               if (self->state_ == State::closed) return;
               if (error) return self->fail(text_of(error));
               self->written_ += octets;
               const bool is_drained = self->queued() == 0;
               self->write();
               if (is_drained && self->state_ == State::open) self->handlers_.drained();
             });
}

void Connection::set_reading(bool is_wanted) {
  is_reading_wanted_ = is_wanted;
  read();
}

void Connection::finish() {
  if (state_ == State::closed || state_ == State::finishing) return;
  const bool is_opening = state_ != State::open;
  state_ = State::finishing;
  timer_.arm(monotonic_now() + Stream::finishing_max);
  if (is_opening) return;
  write();
  read();
}

void Connection::fail(const std::string& reason) {
  if (state_ == State::closed) return;
  close();
  if (handlers_.closed) handlers_.closed(reason);
}

void Connection::close() noexcept {
  if (state_ == State::closed) return;
  state_ = State::closed;
  timer_.disarm();
  close_socket();
}

template <typename Protocol>
void PlainConnection<Protocol>::open(Done done) {
  if (!is_client_) {
    set_options(socket_);
    return done({});
  }
  socket_.async_connect(destination_,
                        [this, self = shared_from_this(), done = std::move(done)](const ErrorCode& error) {
                          if (!error) set_options(socket_);
                          done(error);
                        });
}

template <>
auto PlainConnection<Local>::peer() const -> std::string {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  // The call changes nothing of the socket, but Asio has it so.
  const int descriptor = const_cast<Socket&>(socket_).native_handle();
  if (!is_open() || ::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return "a local process";
  return fmt::format("process {} of user {}", credentials.pid, credentials.uid);
}

template <>
auto PlainConnection<Tcp>::peer() const -> std::string {
  ErrorCode error;
  const auto endpoint = socket_.remote_endpoint(error);
  return to_string(from_asio(error ? destination_ : endpoint));
}

template class PlainConnection<Local>;
template class PlainConnection<Tcp>;

TlsConnection::TlsConnection(EventLoop& loop, Tcp::socket socket, std::shared_ptr<TlsContext> context)
    : Connection(loop), context_(std::move(context)), stream_(std::move(socket), context_->context) {}

TlsConnection::TlsConnection(EventLoop& loop, Tcp::socket socket, std::shared_ptr<TlsContext> context,
                             const Tcp::endpoint& destination)
    : TlsConnection(loop, std::move(socket), std::move(context)) {
  destination_ = destination;
  is_client_ = true;
}

void TlsConnection::open(Done done) {
  if (!is_client_) return agree(std::move(done));
  stream_.next_layer().async_connect(
      destination_, [this, self = shared_from_this(), done = std::move(done)](const ErrorCode& error) {
        if (error) return done(error);
        agree(done);
      });
}

void TlsConnection::agree(Done done) {
  set_options(stream_.next_layer());
  if (!is_client_) {
    // Who it was is asked for when it is gone, too.
    ErrorCode ignored;
    destination_ = stream_.next_layer().remote_endpoint(ignored);
  } else {
    X509_VERIFY_PARAM* const wanted = SSL_get0_param(stream_.native_handle());
    const std::string& name = context_->peer_name;
    const int set = name.empty()
                        ? X509_VERIFY_PARAM_set1_ip_asc(wanted, destination_.address().to_string().c_str())
                        : X509_VERIFY_PARAM_set1_host(wanted, name.c_str(), name.size());
    PORTOLAN_CHECK(set == 1);
    // Servers with several names show the certificate of the one asked for. Its macro has a C cast.
    std::string asked = name;
    if (!name.empty())
      PORTOLAN_CHECK(SSL_ctrl(stream_.native_handle(), SSL_CTRL_SET_TLSEXT_HOSTNAME,
                              TLSEXT_NAMETYPE_host_name, asked.data()) == 1);
  }
  stream_.async_handshake(
      is_client_ ? asio::ssl::stream_base::client : asio::ssl::stream_base::server,
      [self = shared_from_this(), done = std::move(done)](const ErrorCode& error) { done(error); });
}

auto TlsConnection::peer() const -> std::string {
  auto& stream = const_cast<asio::ssl::stream<Tcp::socket>&>(stream_);
  ErrorCode error;
  const auto endpoint = stream_.next_layer().remote_endpoint(error);
  std::string text = to_string(from_asio(error ? destination_ : endpoint));
  if (X509* const certificate = SSL_get1_peer_certificate(stream.native_handle()); certificate != nullptr) {
    std::array<char, 256> name{};
    X509_NAME_oneline(X509_get_subject_name(certificate), name.data(), static_cast<int>(name.size()));
    X509_free(certificate);
    text += fmt::format(" ({})", printable(name.data()));
  }
  return text;
}

auto TlsConnection::reason_of_failure() const -> std::string {
  auto& stream = const_cast<asio::ssl::stream<Tcp::socket>&>(stream_);
  const long result = SSL_get_verify_result(stream.native_handle());
  return result == X509_V_OK ? std::string() : X509_verify_cert_error_string(result);
}

void TlsConnection::shut_sending() noexcept {
  ErrorCode ignored;
  static_cast<void>(stream_.next_layer().shutdown(asio::socket_base::shutdown_send, ignored));
}

void TlsConnection::close_socket() noexcept {
  ErrorCode ignored;
  static_cast<void>(stream_.next_layer().close(ignored));
}

}  // namespace detail

using detail::Connection;

auto TlsIdentity::load(const TlsFiles& files) -> std::expected<TlsIdentity, std::string> {
  namespace ssl = boost::asio::ssl;
  auto made = std::make_shared<detail::TlsContext>();
  made->peer_name = files.peer_name;
  ssl::context& context = made->context;
  detail::ErrorCode error;
  const auto failed = [&](const std::filesystem::path& file, std::string_view what) {
    return std::unexpected(fmt::format("{}: {}: {}: check that the file exists, may be read, and is PEM",
                                       file.string(), what, error.message()));
  };
  if (context.use_certificate_chain_file(files.certificate.string(), error); error)
    return failed(files.certificate, "no certificate");
  if (context.use_private_key_file(files.key.string(), ssl::context::pem, error); error)
    return failed(files.key, "no private key of that certificate");
  if (context.load_verify_file(files.authorities.string(), error); error)
    return failed(files.authorities, "no certificates of authorities");
  context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
  PORTOLAN_CHECK(SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_3_VERSION) == 1);
  TlsIdentity identity;
  identity.context_ = std::move(made);
  return identity;
}

auto TlsIdentity::server(const std::filesystem::path& certificate, const std::filesystem::path& key)
    -> std::expected<TlsIdentity, std::string> {
  namespace ssl = boost::asio::ssl;
  auto made = std::make_shared<detail::TlsContext>();
  ssl::context& context = made->context;
  detail::ErrorCode error;
  const auto failed = [&](const std::filesystem::path& file, std::string_view what) {
    return std::unexpected(fmt::format("{}: {}: {}: check that the file exists, may be read, and is PEM",
                                       file.string(), what, error.message()));
  };
  if (context.use_certificate_chain_file(certificate.string(), error); error)
    return failed(certificate, "no certificate");
  if (context.use_private_key_file(key.string(), ssl::context::pem, error); error)
    return failed(key, "no private key of that certificate");
  PORTOLAN_CHECK(SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_3_VERSION) == 1);
  TlsIdentity identity;
  identity.context_ = std::move(made);
  return identity;
}

auto TlsIdentity::client(const std::filesystem::path& authorities, std::string peer_name)
    -> std::expected<TlsIdentity, std::string> {
  namespace ssl = boost::asio::ssl;
  auto made = std::make_shared<detail::TlsContext>();
  made->peer_name = std::move(peer_name);
  ssl::context& context = made->context;
  detail::ErrorCode error;
  if (authorities.empty())
    static_cast<void>(context.set_default_verify_paths(error));
  else
    static_cast<void>(context.load_verify_file(authorities.string(), error));
  if (error)
    return std::unexpected(fmt::format(
        "{}: no certificates of authorities: {}: check that the file exists, may be read, and is PEM",
        authorities.empty() ? "what the system trusts" : authorities.string(), error.message()));
  context.set_verify_mode(ssl::verify_peer);
  PORTOLAN_CHECK(SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_3_VERSION) == 1);
  TlsIdentity identity;
  identity.context_ = std::move(made);
  return identity;
}

Stream::Stream() noexcept = default;
Stream::Stream(std::shared_ptr<Connection> connection) noexcept : connection_(std::move(connection)) {}
Stream::Stream(Stream&&) noexcept = default;
auto Stream::operator=(Stream&& other) noexcept -> Stream& {
  if (this != &other) {
    close();
    connection_ = std::move(other.connection_);
  }
  return *this;
}
Stream::~Stream() { close(); }

auto Stream::connect(EventLoop& loop, const StreamAddress& address, const TlsIdentity& identity,
                     StreamHandlers handlers) -> Stream {
  std::shared_ptr<Connection> connection;
  auto& context = loop.context();
  switch (address.kind) {
    case StreamAddress::Kind::unix_socket:
      connection = std::make_shared<detail::PlainConnection<detail::Local>>(
          loop, detail::Local::socket(context), detail::Local::endpoint(address.path.string()));
      break;
    case StreamAddress::Kind::tcp:
      connection = std::make_shared<detail::PlainConnection<detail::Tcp>>(loop, detail::Tcp::socket(context),
                                                                          detail::to_asio(address.endpoint));
      break;
    case StreamAddress::Kind::tls:
      PORTOLAN_CHECK(identity.context() != nullptr);
      connection = std::make_shared<detail::TlsConnection>(
          loop, detail::Tcp::socket(context), identity.context(), detail::to_asio(address.endpoint));
      break;
  }
  Stream stream{std::move(connection)};
  stream.start(std::move(handlers));
  return stream;
}

void Stream::start(StreamHandlers handlers) { connection_->start(std::move(handlers)); }
void Stream::send(std::span<const std::byte> octets) {
  if (connection_) connection_->send(octets);
}
auto Stream::queued() const -> std::size_t { return connection_ ? connection_->queued() : 0; }
void Stream::set_reading(bool is_wanted) {
  if (connection_) connection_->set_reading(is_wanted);
}
void Stream::finish() {
  if (connection_) connection_->finish();
}
void Stream::close() noexcept {
  if (connection_) connection_->close();
}
auto Stream::is_open() const noexcept -> bool { return connection_ && connection_->is_open(); }
auto Stream::peer() const -> std::string { return connection_ ? connection_->peer() : "nobody"; }

}  // namespace portolan::io
