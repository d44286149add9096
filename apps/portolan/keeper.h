// SPDX-License-Identifier: BSD-2-Clause
//
// Keeps mappings alive on this host, wherever it goes: looks for PCP servers and follows the host's addresses
// (discovery), tells the client engine, and owns the sockets that its datagrams pass. What `agent` and `run`
// share.
//
// Nothing is polled: the kernel tells when the network changes, the engine when something is due.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "client/client.h"
#include "discovery/host/look.h"
#include "discovery/nat64_prefix.h"
#include "io/event_loop.h"
#include "io/name_lookup.h"
#include "io/network_watch.h"
#include "io/system.h"
#include "io/udp.h"
#include "wire/protocol.h"

namespace portolan {

struct KeeperSettings {
  std::vector<std::string> servers;  ///< names or addresses; none: those found
  Port server_port{wire::server_port};
  /// Asked behind a router that is silent. Off unless wanted: who waits at another address misses that the
  /// router is back.
  bool uses_anycast = false;

  auto operator==(const KeeperSettings&) const -> bool = default;
};

class Keeper {
 public:
  /// Changes of the network come in bursts: one look is had this long after the first.
  static constexpr Milliseconds settle_time{100};
  /// Between attempts to look at this host when that fails, for want of descriptors say.
  static constexpr Seconds look_pause{3};
  /// A name that does not resolve is tried again after this.
  static constexpr Seconds resolve_pause{30};

  struct Handlers {
    std::function<void(const client::ClientEvent&)> happened;
    /// A line for a person: what changed on this host, what is in the way.
    std::function<void(const std::string&)> note;
    /// Before datagrams leave, and before changes of mappings are told: what servers are asked with, and what
    /// they granted, can be kept now. Once for all that has come together.
    std::function<void()> keeping = [] {};
  };

  /// Looks at the network; finding no server is no error, there may be one later.
  /// Errors  text: the kernel tells no changes
  [[nodiscard]] static auto open(io::EventLoop& loop, KeeperSettings settings, Handlers handlers)
      -> std::expected<std::unique_ptr<Keeper>, std::string>;
  Keeper(const Keeper&) = delete;
  auto operator=(const Keeper&) -> Keeper& = delete;

  /// Asks other servers from now on; mappings at those that stay are kept.
  void use(KeeperSettings settings);

  /// Whether so many may be added: those that are being deleted count until the server has answered.
  [[nodiscard]] auto has_room(std::size_t more = 1) const -> bool {
    return client_.wish_count() + more <= client::Client::wishes_max;
  }
  /// As Client::add(). `name` is what people call the mapping.
  auto add(std::string name, const client::ClientWish& wish, std::vector<client::Held> held = {},
           client::Nonces nonces = {}) -> client::WishId;
  /// As Client::remove().
  void remove(client::WishId id);
  /// As Client::forget().
  void forget(client::WishId id) { client_.forget(id); }
  /// The name of what happened, empty if it is about a server; also of mappings that are being deleted.
  [[nodiscard]] auto name_of(const client::ClientEvent& event) const -> std::string;

  [[nodiscard]] auto client() const -> const client::Client& { return client_; }
  /// To be called after add() and remove().
  void carry_out();
  [[nodiscard]] auto view() const -> const discovery::View& { return view_; }

 private:
  struct Channel {
    client::Path path;
    io::UdpSocket socket;
    io::Watch readable;
    int hinted = 0;
  };
  struct Announcements {
    Family family;
    std::uint32_t interface_index;
    io::UdpSocket socket;
    io::Watch readable;
  };

  Keeper(io::EventLoop& loop, KeeperSettings settings, io::NetworkWatch watch, Handlers handlers);

  void hear_network();
  void look();
  void tell_servers();
  void add_told_servers(std::vector<std::string>& remarks);
  void take(const std::vector<io::ScopedAddress>& addresses);
  void look_up(const std::string& name);
  void note_news(std::vector<std::string> remarks);
  /// Why wishes that name an address of this host can't be asked for, if so.
  [[nodiscard]] auto remark_on(const IpAddress& client_address) const -> std::optional<std::string>;
  void note_address_changes(const std::vector<client::Server>& before);

  void use_channels();
  void open_channel(const client::Path& path);
  void use_announcements();
  void receive(Channel& channel);
  void hear(Announcements& announcements);
  [[nodiscard]] auto interface_of(const client::Path& path) const -> std::uint32_t;

  io::EventLoop& loop_;
  KeeperSettings settings_;
  io::NetworkWatch watch_;
  Handlers handlers_;
  io::SystemRandom random_;
  client::Client client_;
  discovery::View view_;
  std::vector<discovery::Findings::Told> told_;
  /// Of the first name that is not known yet.
  std::optional<io::NameLookup> lookup_;
  std::string lookup_failure_;
  std::vector<client::Server> servers_;
  std::map<client::WishId, std::string> names_;
  std::vector<std::string> noted_;
  std::vector<std::unique_ptr<Channel>> channels_;
  std::vector<std::unique_ptr<Announcements>> announcements_;
  io::Watch network_;
  io::Timer settled_;
  io::Timer resolve_again_;
  io::Timer due_;
};

}  // namespace portolan
