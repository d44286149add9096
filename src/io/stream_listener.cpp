// SPDX-License-Identifier: BSD-2-Clause
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <variant>

#include <fmt/format.h>

#include "base/check.h"
#include "io/log.h"
#include "io/rights.h"
#include "io/stream.h"
#include "io/stream_connection.h"
#include "io/system.h"

namespace portolan::io {
namespace detail {
namespace {

/// Pause after a connection could not be accepted: descriptors are used up, most likely.
constexpr Seconds accept_pause{1};
constexpr int accept_queue = 32;

/// The file of a UNIX socket, while it is the one that was made.
class SocketFile {
 public:
  explicit SocketFile(std::filesystem::path path) : path_(std::move(path)) {
    struct stat status{};
    if (::stat(path_.c_str(), &status) == 0) inode_ = status.st_ino;
  }
  SocketFile(const SocketFile&) = delete;
  auto operator=(const SocketFile&) -> SocketFile& = delete;
  ~SocketFile() {
    struct stat status{};
    if (::stat(path_.c_str(), &status) == 0 && status.st_ino == inode_) ::unlink(path_.c_str());
  }

 private:
  std::filesystem::path path_;
  ino_t inode_ = 0;
};

}  // namespace

class Acceptor : public std::enable_shared_from_this<Acceptor> {
 public:
  Acceptor(EventLoop& loop, StreamAddress address, TlsIdentity identity, SocketRights rights,
           std::function<void(Stream)> accepted)
      : loop_(loop),
        address_(std::move(address)),
        identity_(std::move(identity)),
        rights_(std::move(rights)),
        accepted_(std::move(accepted)),
        retry_(loop.timer([this] { accept(); })) {}

  auto listen() -> std::expected<void, std::string> {
    return address_.kind == StreamAddress::Kind::unix_socket ? listen_local() : listen_tcp();
  }

  void close() noexcept {
    ErrorCode ignored;
    if (local_) static_cast<void>(local_->close(ignored));
    if (tcp_) static_cast<void>(tcp_->close(ignored));
    retry_.disarm();
    is_closed_ = true;
    file_.reset();
  }

  [[nodiscard]] auto address() const -> const StreamAddress& { return address_; }
  void set_identity(const TlsIdentity& identity) { identity_ = identity; }

 private:
  auto failed(const ErrorCode& error) -> std::unexpected<std::string> {
    return std::unexpected(fmt::format("can't listen at {}: {}", to_string(address_), error.message()));
  }

  auto listen_local() -> std::expected<void, std::string> {
    const Local::endpoint endpoint(address_.path.string());
    std::error_code error;
    std::filesystem::create_directories(address_.path.parent_path(), error);
    if (error) return failed(error);
    if (std::filesystem::is_socket(address_.path, error)) {
      Local::socket probe(loop_.context());
      ErrorCode refused;
      static_cast<void>(probe.connect(endpoint, refused));
      if (!refused)
        return std::unexpected(fmt::format("can't listen at {}: another process does; is the daemon running?",
                                           to_string(address_)));
      // Left by a run that was killed.
      if (refused == asio::error::connection_refused) ::unlink(address_.path.c_str());
    }
    ErrorCode code;
    local_.emplace(loop_.context());
    if (local_->open(Local(), code); code) return failed(code);
    if (local_->bind(endpoint, code); code) return failed(code);
    file_.emplace(address_.path);
    // Nobody can connect before it listens.
    if (const auto given = give_rights(); !given) return given;
    if (local_->listen(accept_queue, code); code) return failed(code);
    accept();
    return {};
  }

  /// The group first: the mode may let it in.
  auto give_rights() -> std::expected<void, std::string> {
    const auto system_error = [] { return ErrorCode(errno, boost::system::system_category()); };
    if (!rights_.group.empty()) {
      const auto group = group_number(rights_.group);
      if (!group)
        return std::unexpected(
            fmt::format("can't listen at {}: there is no group '{}': make it with addgroup",
                        to_string(address_), rights_.group));
      if (::chown(address_.path.c_str(), static_cast<uid_t>(-1), *group) != 0)
        return std::unexpected(
            fmt::format("{}: to give it to group '{}' the daemon's user must be a member: "
                        "SupplementaryGroups={} in its unit, or usermod -aG",
                        failed(system_error()).error(), rights_.group, rights_.group));
    }
    if (::chmod(address_.path.c_str(), rights_.mode) != 0) return failed(system_error());
    return {};
  }

  auto listen_tcp() -> std::expected<void, std::string> {
    const Tcp::endpoint endpoint = to_asio(address_.endpoint);
    ErrorCode error;
    tcp_.emplace(loop_.context());
    if (tcp_->open(endpoint.protocol(), error); error) return failed(error);
    static_cast<void>(tcp_->set_option(asio::socket_base::reuse_address(true), error));
    if (tcp_->bind(endpoint, error); error) return failed(error);
    if (tcp_->listen(accept_queue, error); error) return failed(error);
    address_.endpoint = from_asio(tcp_->local_endpoint());
    accept();
    return {};
  }

  void accept() {
    if (is_closed_) return;
    const auto taken = [self = shared_from_this()](const ErrorCode& error, auto socket) {
      if (self->is_closed_) return;
      if (error) {
        log::warn("connection-not-accepted", "{address}: a connection was not accepted: {error}",
                  to_string(self->address_), error.message());
        self->retry_.arm(monotonic_now() + accept_pause);
        return;
      }
      self->accepted_(self->stream_of(std::move(socket)));
      self->accept();
    };
    if (local_)
      local_->async_accept(taken);
    else
      tcp_->async_accept(taken);
  }

  auto stream_of(Local::socket socket) -> Stream {
    return Stream{std::make_shared<PlainConnection<Local>>(loop_, std::move(socket))};
  }
  auto stream_of(Tcp::socket socket) -> Stream {
    if (address_.kind == StreamAddress::Kind::tls)
      return Stream{std::make_shared<TlsConnection>(loop_, std::move(socket), identity_.context())};
    return Stream{std::make_shared<PlainConnection<Tcp>>(loop_, std::move(socket))};
  }

  EventLoop& loop_;
  StreamAddress address_;
  TlsIdentity identity_;
  SocketRights rights_;
  std::function<void(Stream)> accepted_;
  Timer retry_;
  std::optional<Local::acceptor> local_;
  std::optional<Tcp::acceptor> tcp_;
  std::optional<SocketFile> file_;
  bool is_closed_ = false;
};

}  // namespace detail

StreamListener::StreamListener() noexcept = default;
StreamListener::StreamListener(std::shared_ptr<detail::Acceptor> acceptor) noexcept
    : acceptor_(std::move(acceptor)) {}
StreamListener::StreamListener(StreamListener&&) noexcept = default;
auto StreamListener::operator=(StreamListener&& other) noexcept -> StreamListener& {
  if (this != &other) {
    if (acceptor_) acceptor_->close();
    acceptor_ = std::move(other.acceptor_);
  }
  return *this;
}
StreamListener::~StreamListener() {
  if (acceptor_) acceptor_->close();
}

auto StreamListener::open(EventLoop& loop, const StreamAddress& address, const TlsIdentity& identity,
                          std::function<void(Stream)> accepted, const SocketRights& rights)
    -> std::expected<StreamListener, std::string> {
  PORTOLAN_CHECK(address.kind != StreamAddress::Kind::tls || identity.context() != nullptr);
  auto acceptor = std::make_shared<detail::Acceptor>(loop, address, identity, rights, std::move(accepted));
  StreamListener listener{acceptor};
  if (const auto listening = acceptor->listen(); !listening) return std::unexpected(listening.error());
  return listener;
}

auto StreamListener::address() const -> const StreamAddress& { return acceptor_->address(); }

void StreamListener::set_identity(const TlsIdentity& identity) {
  PORTOLAN_CHECK(address().kind != StreamAddress::Kind::tls || identity.context() != nullptr);
  acceptor_->set_identity(identity);
}

}  // namespace portolan::io
