// SPDX-License-Identifier: BSD-2-Clause
//
// The C++20 layer over portolan.h: the same functions, with owners, strings and callables. Header only, so
// that a program depends on the C interface of libportolan alone.
//
//   portolan::Client client;
//   auto mapping = client.map({.protocol = IPPROTO_TCP, .internal_port = 8080});
//   if (auto info = mapping.wait(std::chrono::seconds{10})) use(info->external);
#ifndef PORTOLAN_PORTOLAN_HPP
#define PORTOLAN_PORTOLAN_HPP

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <portolan/portolan.h>

namespace portolan {

/// What portolan_last_error() says, of a call that can only fail by a mistake or for want of means.
class Error : public std::runtime_error {
 public:
  Error(portolan_status status, const std::string& text) : std::runtime_error(text), status_(status) {}
  [[nodiscard]] portolan_status status() const noexcept { return status_; }

 private:
  portolan_status status_;
};

namespace detail {
inline void check(portolan_status status) {
  if (status != PORTOLAN_OK) throw Error(status, portolan_last_error());
}
inline int milliseconds(std::optional<std::chrono::milliseconds> timeout) {
  return timeout ? static_cast<int>(timeout->count()) : -1;
}
}  // namespace detail

/// An address of either family; unset: none, or any.
class Address {
 public:
  Address() : value_{} {}
  Address(const portolan_address& value) : value_(value) {}
  /// Throws Error.
  Address(const char* text) : value_{} { detail::check(portolan_address_parse(text, &value_)); }
  Address(const std::string& text) : Address(text.c_str()) {}

  [[nodiscard]] const portolan_address& value() const noexcept { return value_; }
  [[nodiscard]] std::string text() const {
    char text[PORTOLAN_ADDRESS_TEXT];
    return portolan_address_text(&value_, text);
  }

 private:
  portolan_address value_;
};

struct Endpoint {
  Address address;
  std::uint16_t port = 0;

  [[nodiscard]] std::string text() const {
    const portolan_endpoint value{address.value(), port};
    char text[PORTOLAN_ENDPOINT_TEXT];
    return portolan_endpoint_text(&value, text);
  }
};

/// A mapping as one server granted it.
struct Info {
  std::uint8_t protocol = 0;
  Endpoint internal;
  Endpoint external;
  std::uint16_t port_count = 1;
  std::chrono::seconds lifetime{0};
  std::chrono::seconds remaining{0};
  bool is_filtered = false;
  bool is_nat_pmp = false;
  std::string server;
  std::optional<std::string> description;

  Info() = default;
  explicit Info(const portolan_info& info)
      : protocol(info.protocol),
        internal{info.internal.address, info.internal.port},
        external{info.external.address, info.external.port},
        port_count(info.port_count),
        lifetime(info.lifetime),
        remaining(info.remaining),
        is_filtered((info.flags & PORTOLAN_INFO_FILTERED) != 0),
        is_nat_pmp((info.flags & PORTOLAN_INFO_NAT_PMP) != 0),
        server(info.server != nullptr ? info.server : "") {
    if (info.description != nullptr) description = info.description;
  }
};

struct Event {
  portolan_event_kind kind;
  std::string server;
  std::string text;
  Info info;
  Endpoint previous;
  std::uint8_t result = 0;
  std::chrono::seconds retry_after{0};

  explicit Event(const portolan_event& event)
      : kind(event.kind),
        server(event.server != nullptr ? event.server : ""),
        text(event.text != nullptr ? event.text : ""),
        info(event.info),
        previous{event.previous.address, event.previous.port},
        result(event.result),
        retry_after(event.retry_after) {}
};
using Callback = std::function<void(const Event&)>;

struct Filter {
  Address address;
  std::uint8_t prefix_length = 0;
  std::uint16_t port = 0;
};

/// As portolan_request.
struct Request {
  std::uint8_t protocol = 0;
  std::uint16_t internal_port = 0;
  std::uint16_t external_port = 0;
  std::uint16_t port_count = 1;
  std::chrono::seconds lifetime{0};
  std::uint32_t flags = 0;
  Address external_address{};
  Address client_address{};
  Address third_party{};
  std::vector<std::uint8_t> third_party_id{};
  std::vector<Filter> filters{};
  std::optional<std::string> description{};
  std::string server{};
  std::string state{};
  Callback callback{};
};

/// Owns a mapping: drops it at its end. Keeps its client alive.
class Mapping {
 public:
  Mapping(Mapping&& other) noexcept
      : client_(std::move(other.client_)),
        callback_(std::move(other.callback_)),
        mapping_(std::exchange(other.mapping_, nullptr)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      portolan_drop(mapping_);
      mapping_ = std::exchange(other.mapping_, nullptr);
      callback_ = std::move(other.callback_);
      client_ = std::move(other.client_);
    }
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { portolan_drop(mapping_); }

  /// Lets the mapping live on until it expires.
  void release() noexcept { portolan_release(std::exchange(mapping_, nullptr)); }

  /// What the servers grant now.
  [[nodiscard]] std::vector<Info> infos() const {
    std::vector<Info> all;
    portolan_info info = PORTOLAN_INFO_INIT;
    for (std::size_t i = 0; portolan_mapping_get(mapping_, i, &info) == PORTOLAN_OK; ++i)
      all.emplace_back(info);
    return all;
  }
  /// Waits until a server grants it. Nothing: none did in time, or all refused.
  [[nodiscard]] std::optional<Info> wait(std::optional<std::chrono::milliseconds> timeout) {
    portolan_info info = PORTOLAN_INFO_INIT;
    if (portolan_wait(mapping_, detail::milliseconds(timeout), &info) != PORTOLAN_OK) return {};
    return Info(info);
  }
  /// For Request::state of a later run; holds secrets.
  [[nodiscard]] std::string save() const {
    std::string text(portolan_mapping_save(mapping_, nullptr, 0), '\0');
    portolan_mapping_save(mapping_, text.data(), text.size() + 1);
    return text;
  }

 private:
  friend class Client;
  Mapping() = default;

  std::shared_ptr<portolan_client> client_;
  std::unique_ptr<Callback> callback_;  // its place is what the library is told
  portolan_mapping* mapping_ = nullptr;
};

/// Owns a client.
class Client {
 public:
  /// Throws Error.
  explicit Client(const std::vector<std::string>& servers = {}, std::uint32_t flags = 0) {
    const auto texts = pointers(servers);
    portolan_options options = PORTOLAN_OPTIONS_INIT;
    options.flags = flags;
    options.servers = texts.data();
    options.server_count = texts.size();
    portolan_client* client = nullptr;
    detail::check(portolan_client_new(&options, &client));
    client_.reset(client, [](portolan_client* owned) { portolan_client_free(owned); });
  }

  /// Throws Error.
  void use_servers(const std::vector<std::string>& servers) {
    const auto texts = pointers(servers);
    detail::check(portolan_use_servers(client_.get(), texts.data(), texts.size()));
  }
  /// Throws Error.
  [[nodiscard]] Mapping map(const Request& request) { return want(request, nullptr); }
  /// Throws Error.
  [[nodiscard]] Mapping peer(const Request& request, const Endpoint& remote_peer) {
    const portolan_endpoint peer{remote_peer.address.value(), remote_peer.port};
    return want(request, &peer);
  }

  [[nodiscard]] int fd() const noexcept { return portolan_fd(client_.get()); }
  void process() { portolan_process(client_.get()); }
  portolan_status run(std::optional<std::chrono::milliseconds> timeout = {}) {
    return portolan_run(client_.get(), detail::milliseconds(timeout));
  }
  void stop() noexcept { portolan_stop(client_.get()); }
  /// Whether all deletions were answered in time.
  bool flush(std::chrono::milliseconds timeout) {
    return portolan_flush(client_.get(), detail::milliseconds(timeout)) == PORTOLAN_OK;
  }
  [[nodiscard]] portolan_client* get() const noexcept { return client_.get(); }

 private:
  static std::vector<const char*> pointers(const std::vector<std::string>& texts) {
    std::vector<const char*> all;
    for (const std::string& text : texts) all.push_back(text.c_str());
    return all;
  }
  static void call(const portolan_event* event) {
    const Callback callback = *static_cast<Callback*>(event->user);  // may end its mapping, and so itself
    callback(Event(*event));
  }

  Mapping want(const Request& wanted, const portolan_endpoint* remote_peer) {
    std::vector<portolan_filter> filters;
    for (const Filter& filter : wanted.filters)
      filters.push_back({filter.address.value(), filter.prefix_length, filter.port});
    portolan_request request = PORTOLAN_REQUEST_INIT;
    request.flags = wanted.flags;
    request.lifetime = static_cast<std::uint32_t>(wanted.lifetime.count());
    request.protocol = wanted.protocol;
    request.internal_port = wanted.internal_port;
    request.external_port = wanted.external_port;
    request.port_count = wanted.port_count;
    request.external_address = wanted.external_address.value();
    request.client_address = wanted.client_address.value();
    request.third_party = wanted.third_party.value();
    request.third_party_id = wanted.third_party_id.empty() ? nullptr : wanted.third_party_id.data();
    request.third_party_id_length = wanted.third_party_id.size();
    request.filters = filters.data();
    request.filter_count = filters.size();
    request.description = wanted.description ? wanted.description->c_str() : nullptr;
    request.server = wanted.server.empty() ? nullptr : wanted.server.c_str();
    request.state = wanted.state.empty() ? nullptr : wanted.state.c_str();
    Mapping mapping;
    mapping.client_ = client_;
    if (wanted.callback) {
      mapping.callback_ = std::make_unique<Callback>(wanted.callback);
      request.callback = &Client::call;
      request.user = mapping.callback_.get();
    }
    detail::check(remote_peer != nullptr
                      ? portolan_peer(client_.get(), &request, remote_peer, &mapping.mapping_)
                      : portolan_map(client_.get(), &request, &mapping.mapping_));
    return mapping;
  }

  std::shared_ptr<portolan_client> client_;
};

}  // namespace portolan

#endif
