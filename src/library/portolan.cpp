// SPDX-License-Identifier: BSD-2-Clause
//
// The C interface (include/portolan/portolan.h): arguments to values and back, callbacks, and nothing else.
// No exception leaves it; PORTOLAN_CHECK never sees what a program passes in.
#include "portolan/portolan.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <deque>
#include <exception>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "library/runtime.h"
#include "library/text.h"

namespace lib = portolan::library;
namespace engine = portolan::client;

namespace {

/// Events that wait for portolan_next_event(); the oldest makes room.
constexpr std::size_t events_max = 1024;

/// What a program gets of an event, with the texts that its pointers point to.
struct ToldEvent {
  portolan_event event = PORTOLAN_EVENT_INIT;
  std::string server;
  std::string text;
  std::string description;
};

thread_local std::string last_error = "nothing has gone wrong yet";

}  // namespace

struct portolan_mapping {
  portolan_client* client = nullptr;
  engine::WishId id{};
  std::optional<portolan::IpAddress> client_address;
  portolan_callback callback = nullptr;
  void* user = nullptr;
  /// Servers whose latest word was no.
  std::set<std::string> refused_by;
  /// What the last portolan_info points to.
  std::string server;
  std::string description;
};

struct portolan_client {
  std::unique_ptr<lib::Runtime> runtime;
  std::map<engine::WishId, std::unique_ptr<portolan_mapping>> mappings;
  std::deque<ToldEvent> waiting;  // for portolan_next_event()
  ToldEvent handed_out;           // by it
  portolan_callback callback = nullptr;
  void* user = nullptr;
  bool is_dispatching = false;
  std::atomic<bool> is_stopped = false;
};

namespace {

auto fail(portolan_status status, std::string text) -> portolan_status {
  last_error = std::move(text);
  return status;
}

/// Runs `body`; what it throws, for want of memory, becomes a status.
template <typename Body>
auto guarded(Body body) -> portolan_status {
  try {
    return body();
  } catch (const std::exception& error) {
    return fail(PORTOLAN_SYSTEM, error.what());
  }
}
template <typename Body>
void guarded_quietly(Body body) {
  static_cast<void>(guarded([&body] {
    body();
    return PORTOLAN_OK;
  }));
}

/// Copies a structure of any version: what the program does not know keeps its default; what this library
/// does not know must be zero.
template <typename T>
auto take_in(const T* given, T& out, std::string_view name) -> portolan_status {
  if (given == nullptr || given->size < sizeof(std::size_t))
    return fail(PORTOLAN_INVALID, std::string(name) + ": begin with PORTOLAN_..._INIT");
  const auto* octets = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof(T); i < given->size; ++i)
    if (octets[i] != 0)
      return fail(PORTOLAN_INVALID,
                  std::string(name) + ": asks for what only a later libportolan knows: install that");
  std::memcpy(&out, given, std::min(given->size, sizeof(T)));
  out.size = sizeof(T);
  return PORTOLAN_OK;
}
/// Copies as much of `value` as the program's structure holds.
template <typename T>
auto hand_out(const T& value, T* out, std::string_view name) -> portolan_status {
  if (out == nullptr || out->size < sizeof(std::size_t))
    return fail(PORTOLAN_INVALID, std::string(name) + ": begin with PORTOLAN_..._INIT");
  const std::size_t size = out->size;
  std::memcpy(out, &value, std::min(size, sizeof(T)));
  out->size = size;
  return PORTOLAN_OK;
}

auto to_address(const portolan_address& address) -> portolan::IpAddress {
  portolan::Ipv6Address bits;
  std::memcpy(bits.octets.data(), address.octets, sizeof address.octets);
  return portolan::IpAddress{bits};
}
auto is_set(const portolan_address& address) -> bool {
  return std::any_of(std::begin(address.octets), std::end(address.octets),
                     [](std::uint8_t octet) { return octet != 0; });
}
auto from_address(const portolan::IpAddress& address) -> portolan_address {
  portolan_address out{};
  std::memcpy(out.octets, address.bits().octets.data(), sizeof out.octets);
  return out;
}
auto from_endpoint(const portolan::Endpoint& endpoint) -> portolan_endpoint {
  return {from_address(endpoint.address), endpoint.port.value};
}
auto copy_text(const std::string& text, char* out, std::size_t size) -> char* {
  const std::size_t length = std::min(text.size(), size - 1);
  std::memcpy(out, text.data(), length);
  out[length] = '\0';
  return out;
}

/// Without the texts.
auto info_of(const engine::Mapping& mapping) -> portolan_info {
  portolan_info info = PORTOLAN_INFO_INIT;
  info.flags =
      (mapping.is_filtered ? PORTOLAN_INFO_FILTERED : 0U) | (mapping.is_nat_pmp ? PORTOLAN_INFO_NAT_PMP : 0U);
  info.lifetime = static_cast<std::uint32_t>(mapping.lifetime.count());
  const auto left = std::chrono::floor<portolan::Seconds>(mapping.expires - portolan::io::monotonic_now());
  info.remaining =
      static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 0, mapping.lifetime.count()));
  info.port_count = mapping.port_count;
  info.protocol = static_cast<std::uint8_t>(mapping.protocol);
  info.internal = from_endpoint(mapping.internal);
  info.external = from_endpoint(mapping.external);
  if (mapping.remote_peer) info.remote_peer = from_endpoint(*mapping.remote_peer);
  return info;
}

/// Turns an event of the engine into what a program gets; nothing if that is nothing to it.
class Teller {
 public:
  explicit Teller(ToldEvent& told) : told_(told) {}

  auto operator()(const engine::Granted& event) -> bool {
    return tell(PORTOLAN_EVENT_GRANTED, event.mapping);
  }
  auto operator()(const engine::Renewed& event) -> bool {
    return tell(PORTOLAN_EVENT_RENEWED, event.mapping);
  }
  auto operator()(const engine::Changed& event) -> bool {
    told_.event.previous = from_endpoint(event.previous_external);
    return tell(PORTOLAN_EVENT_CHANGED, event.mapping);
  }
  auto operator()(const engine::Lost& event) -> bool { return tell(PORTOLAN_EVENT_LOST, event.mapping); }
  auto operator()(const engine::Refused& event) -> bool {
    told_.event.result = static_cast<std::uint8_t>(event.result);
    told_.event.retry_after = static_cast<std::uint32_t>(event.lifetime.count());
    return tell(PORTOLAN_EVENT_REFUSED);
  }
  auto operator()(const engine::Retransmitted& event) -> bool {
    told_.event.transmissions = event.transmissions - 1;
    return tell(PORTOLAN_EVENT_SILENT);
  }
  auto operator()(const engine::ServerRestarted&) -> bool { return tell(PORTOLAN_EVENT_RESTARTED); }
  auto operator()(const engine::Nat64PrefixesLearned&) -> bool { return tell(PORTOLAN_EVENT_NAT64_PREFIX); }
  auto operator()(const engine::VersionRefused& event) -> bool {
    told_.event.retry_after = static_cast<std::uint32_t>(event.lifetime.count());
    return tell(PORTOLAN_EVENT_VERSION);
  }
  auto operator()(const engine::FellBackToNatPmp&) -> bool { return tell(PORTOLAN_EVENT_VERSION); }
  template <typename Other>
  auto operator()(const Other&) -> bool {
    return false;
  }

 private:
  auto tell(portolan_event_kind kind) -> bool {
    told_.event.kind = kind;
    return true;
  }
  auto tell(portolan_event_kind kind, const engine::Mapping& mapping) -> bool {
    told_.event.info = info_of(mapping);
    if (mapping.description) told_.description = *mapping.description;
    told_.event.info.description = mapping.description ? "" : nullptr;  // the place is set when it is final
    return tell(kind);
  }

  ToldEvent& told_;
};

/// Sets the pointers, now that the texts stay where they are.
void point(ToldEvent& told) {
  told.event.server = told.server.c_str();
  told.event.text = told.text.c_str();
  if (told.event.info.lifetime != 0) told.event.info.server = told.server.c_str();
  if (told.event.info.description != nullptr) told.event.info.description = told.description.c_str();
}

void note_refusals(portolan_mapping& mapping, const engine::ClientEvent& happened) {
  if (std::holds_alternative<engine::Refused>(happened.event)) mapping.refused_by.insert(happened.server);
  if (std::holds_alternative<engine::Granted>(happened.event)) mapping.refused_by.erase(happened.server);
}

/// Calls back, or queues, what has happened. What callbacks cause comes behind it.
void dispatch(portolan_client& client) {
  if (client.is_dispatching) return;
  client.is_dispatching = true;
  auto end = [&client](const void*) { client.is_dispatching = false; };
  const std::unique_ptr<portolan_client, decltype(end)> at_end(&client, end);
  while (client.runtime->has_events()) {
    std::deque<engine::ClientEvent> events;
    std::ranges::move(client.runtime->take_events(), std::back_inserter(events));
    for (const engine::ClientEvent& happened : events) {
      ToldEvent told;
      if (!std::visit(Teller(told), happened.event)) continue;
      portolan_callback callback = client.callback;
      told.event.user = client.user;
      if (happened.wish) {
        const auto mapping = client.mappings.find(*happened.wish);
        if (mapping == client.mappings.end()) continue;  // dropped: its handle is gone
        note_refusals(*mapping->second, happened);
        told.event.mapping = mapping->second.get();
        told.event.user = mapping->second->user;
        callback = mapping->second->callback;
      }
      told.server = happened.server;
      told.text = lib::describe(happened);
      if (callback != nullptr) {
        point(told);
        callback(&told.event);
        continue;
      }
      if (client.waiting.size() >= events_max) client.waiting.pop_front();
      client.waiting.push_back(std::move(told));
    }
  }
}

/// After a call that may have made the engine do something.
void carry_out(portolan_client& client) {
  client.runtime->carry_out();
  // Nobody is called back from within another call: portolan_process() does it, soon.
  if (client.runtime->has_events()) client.runtime->wake();
}

/// Processes until `is_done`, portolan_stop() or the timeout.
template <typename Done>
auto process_until(portolan_client& client, int timeout_ms, Done is_done) -> portolan_status {
  const portolan::TimePoint end =
      portolan::io::monotonic_now() + portolan::Milliseconds{std::max(timeout_ms, 0)};
  dispatch(client);
  while (true) {
    if (client.is_stopped.exchange(false)) return fail(PORTOLAN_STOPPED, "stopped by portolan_stop()");
    const portolan_status status = is_done();
    if (status != PORTOLAN_TIMEOUT) return status;
    const portolan::Nanoseconds left = end - portolan::io::monotonic_now();
    if (timeout_ms >= 0 && left <= portolan::Nanoseconds{0})
      return fail(PORTOLAN_TIMEOUT, "it has not happened in time");
    client.runtime->step(timeout_ms < 0 ? std::optional<portolan::Nanoseconds>() : left);
    dispatch(client);
  }
}

auto filters_of(const portolan_request& request, std::vector<portolan::RemoteFilter>& out)
    -> portolan_status {
  if (request.filter_count != 0 && request.filters == nullptr)
    return fail(PORTOLAN_INVALID, "filters: is NULL, but filter_count is not 0");
  if (request.filter_count > portolan::wire::message_octets_max)
    return fail(PORTOLAN_INVALID, "filter_count: more than fit into a request: give fewer");
  for (std::size_t i = 0; i < request.filter_count; ++i) {
    const portolan_filter& filter = request.filters[i];
    const portolan::IpAddress address = to_address(filter.address);
    const unsigned bits = address.is_ipv4() ? 32 : 128;
    if (filter.prefix_length == 0 || filter.prefix_length > bits)
      return fail(PORTOLAN_INVALID, "filter " + std::to_string(i) + ": prefix_length " +
                                        std::to_string(filter.prefix_length) + ": give 1 to " +
                                        std::to_string(bits));
    out.push_back({.remote_peers = portolan::Prefix(address, 128 - bits + filter.prefix_length),
                   .remote_port = portolan::Port{filter.port}});
  }
  return PORTOLAN_OK;
}

auto wish_of(const portolan_request& request, engine::ClientWish& out) -> portolan_status {
  engine::Wish& wish = out.wish;
  wish.protocol = static_cast<portolan::Protocol>(request.protocol);
  wish.internal_port.value = request.internal_port;
  wish.suggested_external_port.value = request.external_port;
  if (request.lifetime != 0) wish.lifetime = portolan::Seconds{request.lifetime};
  if (is_set(request.external_address))
    wish.suggested_external_address = to_address(request.external_address);
  else if ((request.flags & PORTOLAN_EXTERNAL_IPV6) != 0)
    wish.suggested_external_address = portolan::IpAddress::unspecified(portolan::Family::ipv6);
  wish.prefer_failure = (request.flags & PORTOLAN_PREFER_FAILURE) != 0;
  wish.keeps_parity = (request.flags & PORTOLAN_KEEP_PARITY) != 0;
  wish.wants_nat64_prefix = (request.flags & PORTOLAN_NAT64_PREFIX) != 0;
  wish.port_count = std::max<std::uint16_t>(request.port_count, 1);
  if (is_set(request.third_party)) wish.third_party = to_address(request.third_party);
  if (request.third_party_id != nullptr) {
    if (request.third_party_id_length > portolan::wire::message_octets_max)
      return fail(PORTOLAN_INVALID, "third_party_id_length: longer than a request");
    const auto* octets = static_cast<const std::byte*>(request.third_party_id);
    wish.third_party_id.emplace(octets, octets + request.third_party_id_length);
  }
  if (const auto status = filters_of(request, wish.filters); status != PORTOLAN_OK) return status;
  if (request.description != nullptr) wish.description = request.description;
  if (is_set(request.client_address)) out.client_address = to_address(request.client_address);
  if (request.server != nullptr) out.server = request.server;
  return PORTOLAN_OK;
}

auto want(portolan_client* client, const portolan_request* given, const portolan_endpoint* remote_peer,
          portolan_mapping** out) -> portolan_status {
  if (client == nullptr || out == nullptr)
    return fail(PORTOLAN_INVALID, "client and mapping must not be NULL");
  portolan_request request = PORTOLAN_REQUEST_INIT;
  if (const auto status = take_in(given, request, "request"); status != PORTOLAN_OK) return status;
  constexpr std::uint32_t known_flags =
      PORTOLAN_PREFER_FAILURE | PORTOLAN_KEEP_PARITY | PORTOLAN_NAT64_PREFIX | PORTOLAN_EXTERNAL_IPV6;
  if ((request.flags & ~known_flags) != 0)
    return fail(PORTOLAN_INVALID, "flags: has one that this libportolan does not know");
  engine::ClientWish wish;
  if (const auto status = wish_of(request, wish); status != PORTOLAN_OK) return status;
  if (remote_peer != nullptr)
    wish.wish.remote_peer = portolan::Endpoint{.address = to_address(remote_peer->address),
                                               .port = portolan::Port{remote_peer->port}};
  if (const auto error = engine::error_in(wish.wish))
    return fail(PORTOLAN_INVALID, std::string(to_string(*error)));
  auto held = lib::parse_saved(request.state != nullptr ? request.state : "", lib::Runtime::moment());
  if (!held) return fail(PORTOLAN_INVALID, held.error());
  engine::Client& all = client->runtime->engine();
  if (all.wish_count() >= engine::Client::wishes_max)
    return fail(PORTOLAN_LIMIT,
                "there are " + std::to_string(engine::Client::wishes_max) + " mappings: drop one");
  auto mapping = std::make_unique<portolan_mapping>();
  mapping->client = client;
  mapping->callback = request.callback;
  mapping->user = request.user;
  mapping->client_address = wish.client_address;
  mapping->id = all.add(portolan::io::monotonic_now(), wish, std::move(*held));
  *out = mapping.get();
  client->mappings[mapping->id] = std::move(mapping);
  carry_out(*client);
  return PORTOLAN_OK;
}

/// Why nothing has come of it in time.
auto why_not(const engine::Client& all, const portolan_mapping& mapping) -> std::string {
  if (all.servers().empty())
    return "no PCP server is known here: connect this host to a network, or name a server";
  if (mapping.client_address && !all.has_path_from(*mapping.client_address))
    return "no PCP server can be asked from " + to_string(*mapping.client_address) +
           ": this host does not have that address, or has it at another interface";
  if (all.servers_asked(mapping.id) == 0) return "no PCP server that is known here suits the request";
  return "it has not happened in time";
}

/// The events of a mapping whose handle ends.
void forget_waiting(portolan_client& client, const portolan_mapping* mapping) {
  std::erase_if(client.waiting, [mapping](const ToldEvent& told) { return told.event.mapping == mapping; });
}

auto speech_of(std::uint32_t flags) -> engine::Speech {
  if ((flags & PORTOLAN_ONLY_PCP) != 0) return engine::Speech::pcp;
  return (flags & PORTOLAN_ONLY_NAT_PMP) != 0 ? engine::Speech::nat_pmp : engine::Speech::automatic;
}

auto name_servers(portolan_client& client, const char* const* servers, std::size_t count) -> portolan_status {
  if (count != 0 && servers == nullptr)
    return fail(PORTOLAN_INVALID, "servers: is NULL, but the count is not 0");
  if (count > engine::servers_max)
    return fail(PORTOLAN_LIMIT, "there are more than " + std::to_string(engine::servers_max) + " servers");
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    if (servers[i] == nullptr) return fail(PORTOLAN_INVALID, "servers: one of them is NULL");
    texts.emplace_back(servers[i]);
  }
  if (const auto used = client.runtime->use_servers(texts); !used)
    return fail(PORTOLAN_INVALID, used.error());
  if (client.runtime->has_events()) client.runtime->wake();
  return PORTOLAN_OK;
}

}  // namespace

// As the header has it, in C. NOLINTBEGIN(modernize-use-trailing-return-type)

portolan_status portolan_address_parse(const char* text, portolan_address* address) {
  if (text == nullptr || address == nullptr)
    return fail(PORTOLAN_INVALID, "text and address must not be NULL");
  return guarded([&] {
    const auto parsed = portolan::IpAddress::parse(text);
    if (!parsed)
      return fail(PORTOLAN_INVALID,
                  "\"" + std::string(text) + "\" is no address: write 192.0.2.1 or 2001:db8::1");
    *address = from_address(*parsed);
    return PORTOLAN_OK;
  });
}

char* portolan_address_text(const portolan_address* address, char text[PORTOLAN_ADDRESS_TEXT]) {
  guarded_quietly([&] { copy_text(to_string(to_address(*address)), text, PORTOLAN_ADDRESS_TEXT); });
  return text;
}

char* portolan_endpoint_text(const portolan_endpoint* endpoint, char text[PORTOLAN_ENDPOINT_TEXT]) {
  guarded_quietly([&] {
    const portolan::Endpoint value{.address = to_address(endpoint->address),
                                   .port = portolan::Port{endpoint->port}};
    copy_text(to_string(value), text, PORTOLAN_ENDPOINT_TEXT);
  });
  return text;
}

const char* portolan_version(void) { return PORTOLAN_VERSION; }
const char* portolan_last_error(void) { return last_error.c_str(); }

portolan_status portolan_client_new(const portolan_options* given, portolan_client** out) {
  if (out == nullptr) return fail(PORTOLAN_INVALID, "client must not be NULL");
  return guarded([&] {
    portolan_options options = PORTOLAN_OPTIONS_INIT;
    if (given != nullptr)
      if (const auto status = take_in(given, options, "options"); status != PORTOLAN_OK) return status;
    constexpr std::uint32_t both = PORTOLAN_ONLY_PCP | PORTOLAN_ONLY_NAT_PMP;
    if ((options.flags & both) == both)
      return fail(PORTOLAN_INVALID,
                  "flags: give one of PORTOLAN_ONLY_PCP and PORTOLAN_ONLY_NAT_PMP, or none");
    if ((options.flags & ~(both | PORTOLAN_NO_ANYCAST)) != 0)
      return fail(PORTOLAN_INVALID, "flags: has one that this libportolan does not know");
    auto runtime = lib::Runtime::open(speech_of(options.flags), (options.flags & PORTOLAN_NO_ANYCAST) == 0);
    if (!runtime) return fail(PORTOLAN_SYSTEM, runtime.error());
    auto client = std::make_unique<portolan_client>();
    client->runtime = std::move(*runtime);
    client->callback = options.callback;
    client->user = options.user;
    if (options.observer != nullptr) {
      client->runtime->observe([observer = options.observer, user = options.user](const auto& passing) {
        const portolan_datagram datagram{
            .size = sizeof datagram,
            .is_sent = static_cast<std::uint8_t>(passing.is_sent),
            .local = from_endpoint(passing.local),
            .remote = from_endpoint(passing.remote),
            .octets = reinterpret_cast<const std::uint8_t*>(passing.octets.data()),
            .octet_count = passing.octets.size(),
            .user = user};
        observer(&datagram);
      });
    }
    if (const auto status = name_servers(*client, options.servers, options.server_count);
        status != PORTOLAN_OK)
      return status;
    *out = client.release();
    return PORTOLAN_OK;
  });
}

void portolan_client_free(portolan_client* client) { delete client; }

portolan_status portolan_use_servers(portolan_client* client, const char* const* servers, size_t count) {
  if (client == nullptr) return fail(PORTOLAN_INVALID, "client must not be NULL");
  return guarded([&] { return name_servers(*client, servers, count); });
}

int portolan_fd(const portolan_client* client) {
  return client == nullptr ? -1 : client->runtime->descriptor();
}

void portolan_process(portolan_client* client) {
  if (client == nullptr || client->is_dispatching) return;
  guarded_quietly([client] {
    dispatch(*client);
    client->runtime->step(portolan::Nanoseconds{0});
    dispatch(*client);
  });
}

int portolan_timeout_ms(const portolan_client* client) {
  if (client == nullptr) return -1;
  if (client->runtime->has_events()) return 0;
  const auto deadline = client->runtime->next_deadline();
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<portolan::Milliseconds>(*deadline - portolan::io::monotonic_now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT32_MAX));
}

portolan_status portolan_run(portolan_client* client, int timeout_ms) {
  if (client == nullptr || client->is_dispatching)
    return fail(PORTOLAN_INVALID, "a client is needed, and no callback may be under way");
  return guarded([&] { return process_until(*client, timeout_ms, [] { return PORTOLAN_TIMEOUT; }); });
}

void portolan_stop(portolan_client* client) {
  if (client == nullptr) return;
  client->is_stopped = true;
  client->runtime->wake();
}

portolan_status portolan_flush(portolan_client* client, int timeout_ms) {
  if (client == nullptr || client->is_dispatching)
    return fail(PORTOLAN_INVALID, "a client is needed, and no callback may be under way");
  return guarded([&] {
    return process_until(*client, timeout_ms, [client] {
      return client->runtime->engine().is_deleting() ? PORTOLAN_TIMEOUT : PORTOLAN_OK;
    });
  });
}

portolan_status portolan_next_event(portolan_client* client, portolan_event* event) {
  if (client == nullptr) return fail(PORTOLAN_INVALID, "client must not be NULL");
  return guarded([&] {
    dispatch(*client);
    if (client->waiting.empty()) return PORTOLAN_NONE;
    client->handed_out = std::move(client->waiting.front());
    client->waiting.pop_front();
    point(client->handed_out);
    return hand_out(client->handed_out.event, event, "event");
  });
}

portolan_status portolan_nat64_prefix(const portolan_client* client, portolan_address* prefix,
                                      uint8_t* prefix_length) {
  if (client == nullptr || prefix == nullptr || prefix_length == nullptr)
    return fail(PORTOLAN_INVALID, "client, prefix and prefix_length must not be NULL");
  return guarded([&] {
    for (const auto& [server, prefixes] : client->runtime->engine().nat64_prefixes()) {
      // One that is for all addresses, if there is one.
      const auto general = std::ranges::find_if(
          prefixes, [](const engine::Nat64Prefix& known) { return known.ipv4_prefixes.empty(); });
      const engine::Nat64Prefix& chosen = general == prefixes.end() ? prefixes.front() : *general;
      *prefix = from_address(chosen.prefix.address());
      *prefix_length = static_cast<std::uint8_t>(chosen.prefix.length());
      return PORTOLAN_OK;
    }
    for (const auto& entry : client->runtime->network_prefixes()) {
      *prefix = from_address(entry.prefix.address());
      *prefix_length = static_cast<std::uint8_t>(entry.prefix.length());
      return PORTOLAN_OK;
    }
    client->runtime->ask_dns();
    return PORTOLAN_NONE;
  });
}

portolan_status portolan_map(portolan_client* client, const portolan_request* request,
                             portolan_mapping** mapping) {
  return guarded([&] { return want(client, request, nullptr, mapping); });
}

portolan_status portolan_peer(portolan_client* client, const portolan_request* request,
                              const portolan_endpoint* remote_peer, portolan_mapping** mapping) {
  if (remote_peer == nullptr) return fail(PORTOLAN_INVALID, "remote_peer must not be NULL");
  return guarded([&] { return want(client, request, remote_peer, mapping); });
}

void portolan_drop(portolan_mapping* mapping) {
  if (mapping == nullptr) return;
  guarded_quietly([mapping] {
    portolan_client& client = *mapping->client;
    const engine::WishId id = mapping->id;
    forget_waiting(client, mapping);
    client.mappings.erase(id);
    client.runtime->engine().remove(portolan::io::monotonic_now(), id);
    carry_out(client);
  });
}

void portolan_release(portolan_mapping* mapping) {
  if (mapping == nullptr) return;
  guarded_quietly([mapping] {
    portolan_client& client = *mapping->client;
    const engine::WishId id = mapping->id;
    forget_waiting(client, mapping);
    client.mappings.erase(id);
    client.runtime->engine().forget(id);
    carry_out(client);
  });
}

size_t portolan_mapping_count(const portolan_mapping* mapping) {
  if (mapping == nullptr) return 0;
  std::size_t count = 0;
  guarded_quietly([&] { count = mapping->client->runtime->engine().held(mapping->id).size(); });
  return count;
}

portolan_status portolan_mapping_get(portolan_mapping* mapping, size_t index, portolan_info* info) {
  if (mapping == nullptr) return fail(PORTOLAN_INVALID, "mapping must not be NULL");
  return guarded([&] {
    const auto held = mapping->client->runtime->engine().held(mapping->id);
    if (index >= held.size()) return fail(PORTOLAN_NONE, "so many servers do not grant it");
    portolan_info value = info_of(held[index].mapping);
    mapping->server = held[index].server;
    mapping->description = held[index].mapping.description.value_or("");
    value.server = mapping->server.c_str();
    value.description = held[index].mapping.description ? mapping->description.c_str() : nullptr;
    return hand_out(value, info, "info");
  });
}

portolan_status portolan_wait(portolan_mapping* mapping, int timeout_ms, portolan_info* info) {
  if (mapping == nullptr || mapping->client->is_dispatching)
    return fail(PORTOLAN_INVALID, "a mapping is needed, and no callback may be under way");
  return guarded([&] {
    portolan_client& client = *mapping->client;
    const engine::WishId id = mapping->id;
    const auto state = [&client, id] {
      const auto known = client.mappings.find(id);
      if (known == client.mappings.end()) return fail(PORTOLAN_NONE, "a callback dropped the mapping");
      if (!client.runtime->engine().held(id).empty()) return PORTOLAN_OK;
      if (client.runtime->engine().is_asked_only_of(known->second->id, known->second->refused_by))
        return fail(PORTOLAN_REFUSED, "every server said no; the events say why");
      return PORTOLAN_TIMEOUT;
    };
    const portolan_status status = process_until(client, timeout_ms, state);
    if (status == PORTOLAN_TIMEOUT) return fail(status, why_not(client.runtime->engine(), *mapping));
    if (status != PORTOLAN_OK || info == nullptr) return status;
    return portolan_mapping_get(mapping, 0, info);
  });
}

size_t portolan_mapping_save(const portolan_mapping* mapping, char* buffer, size_t size) {
  if (mapping == nullptr) return 0;
  std::size_t length = 0;
  guarded_quietly([&] {
    const std::string text =
        lib::save_text(mapping->client->runtime->engine().held(mapping->id), lib::Runtime::moment());
    length = text.size();
    if (buffer != nullptr && size != 0) copy_text(text, buffer, size);
  });
  return length;
}

// NOLINTEND(modernize-use-trailing-return-type)
