// SPDX-License-Identifier: BSD-2-Clause
//
// Journal: a first line naming boot and network namespace, then one line per change, written before the
// change is made. A killed run can only have left what its journal names; a line whose change was never
// made is harmless, because undoing touches only what carries our mark or still has our value.
#include "io/host_network.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <ranges>
#include <sstream>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "io/file_descriptor.h"
#include "io/nft_table.h"
#include "io/reserved_ports.h"
#include "io/sysctl.h"
#include "io/system.h"

namespace portolan::io {
namespace {

struct RouteChange {
  Prefix prefix;
  std::string interface;
  auto operator==(const RouteChange&) const -> bool = default;
};
struct AddressChange {
  IpAddress address;
  unsigned prefix_length = 0;
  std::string interface;
  auto operator==(const AddressChange&) const -> bool = default;
};
struct NeighbourChange {
  IpAddress address;
  std::string interface;
  auto operator==(const NeighbourChange&) const -> bool = default;
};
struct SysctlChange {
  std::string name;
  std::string before;
  std::string after;
  auto operator==(const SysctlChange&) const -> bool = default;
};
/// Something that looks at what comes in; redirects hang on it.
struct IngressHookChange {
  std::string interface;
  auto operator==(const IngressHookChange&) const -> bool = default;
};
struct RedirectChange {
  Redirect redirect;
  std::string interface;
  std::string to;
  auto operator==(const RedirectChange&) const -> bool = default;
};
struct ReservedPortsChange {
  PortRange ports;
  auto operator==(const ReservedPortsChange&) const -> bool = default;
};
/// Whoever notes it loads it.
struct NftTableChange {
  NftTableName table;
  auto operator==(const NftTableChange&) const -> bool = default;
};
using Change = std::variant<RouteChange, AddressChange, NeighbourChange, SysctlChange, IngressHookChange,
                            RedirectChange, ReservedPortsChange, NftTableChange>;

/// One line, for the log and the journal alike.
auto to_string(const Change& change) -> std::string {
  struct {
    auto operator()(const RouteChange& route) const {
      return fmt::format("route {} dev {}", route.prefix, route.interface);
    }
    auto operator()(const AddressChange& entry) const {
      return fmt::format("address {}/{} dev {}", entry.address, entry.prefix_length, entry.interface);
    }
    auto operator()(const NeighbourChange& entry) const {
      return fmt::format("proxy-neighbour {} dev {}", entry.address, entry.interface);
    }
    auto operator()(const SysctlChange& sysctl) const {
      return fmt::format("sysctl {} {} -> {}", sysctl.name, sysctl.before, sysctl.after);
    }
    auto operator()(const IngressHookChange& hook) const {
      return fmt::format("ingress-hook dev {}", hook.interface);
    }
    auto operator()(const RedirectChange& entry) const {
      return fmt::format("redirect {} ports {} dev {} to {}", entry.redirect.destination,
                         io::to_string(entry.redirect.ports), entry.interface, entry.to);
    }
    auto operator()(const ReservedPortsChange& entry) const {
      return fmt::format("reserved-ports {}", io::to_string(entry.ports));
    }
    auto operator()(const NftTableChange& entry) const {
      return fmt::format("nft-table {} {}", entry.table.family == Family::ipv4 ? "ip" : "ip6",
                         entry.table.name);
    }
  } const line;
  return std::visit(line, change);
}

auto words_of(std::string_view line) -> std::vector<std::string> {
  std::istringstream stream{std::string{line}};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(std::move(word));
  return words;
}

auto parse_length(std::string_view text) -> std::optional<unsigned> {
  unsigned value = 0;
  if (text.empty() || text.size() > 3) return std::nullopt;
  for (const char digit : text) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(digit - '0');
  }
  return value;
}

/// The inverse of to_string(); nullopt for a line that is not one of ours, such as one cut by a kill.
auto parse_change(std::string_view line) -> std::optional<Change> {
  const auto words = words_of(line);
  if (words.size() == 5 && words[0] == "sysctl" && words[3] == "->")
    return SysctlChange{.name = words[1], .before = words[2], .after = words[4]};
  if (words.size() == 2 && words[0] == "reserved-ports")
    if (const auto ports = parse_port_range(words[1])) return ReservedPortsChange{*ports};
  if (words.size() == 3 && words[0] == "nft-table" && (words[1] == "ip" || words[1] == "ip6"))
    return NftTableChange{{words[1] == "ip" ? Family::ipv4 : Family::ipv6, words[2]}};
  if (words.size() == 3 && words[0] == "ingress-hook" && words[1] == "dev")
    return IngressHookChange{words[2]};
  if (words.size() == 8 && words[0] == "redirect" && words[2] == "ports" && words[4] == "dev" &&
      words[6] == "to") {
    const auto destination = Ipv4Address::parse(words[1]);
    const auto ports = parse_port_range(words[3]);
    if (destination && ports) return RedirectChange{{*destination, *ports}, words[5], words[7]};
  }
  if (words.size() != 4 || words[2] != "dev") return std::nullopt;
  const std::string& interface = words[3];
  if (words[0] == "route") {
    if (const auto prefix = Prefix::parse(words[1])) return RouteChange{*prefix, interface};
  } else if (words[0] == "proxy-neighbour") {
    if (const auto address = IpAddress::parse(words[1])) return NeighbourChange{*address, interface};
  } else if (words[0] == "address") {
    const auto slash = words[1].find('/');
    if (slash == std::string::npos) return std::nullopt;
    const auto address = IpAddress::parse(std::string_view{words[1]}.substr(0, slash));
    const auto length = parse_length(std::string_view{words[1]}.substr(slash + 1));
    if (address && length) return AddressChange{*address, *length, interface};
  }
  return std::nullopt;
}

/// Names the boot and the network namespace, with which all changes made in them vanish.
auto place_line() -> std::expected<std::string, std::string> {
  const auto boot = read_sysctl("kernel.random.boot_id");
  if (!boot) return std::unexpected(boot.error());
  const FileDescriptor socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!socket) return std::unexpected(errno_text("socket", errno));
  std::uint64_t identity = 0;
  socklen_t length = sizeof identity;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &identity, &length) != 0) {
    // Before Linux 5.14 there is only the inode number, which a later namespace may be given again.
    struct stat status{};
    if (::stat("/proc/self/ns/net", &status) != 0)
      return std::unexpected(errno_text("/proc/self/ns/net", errno));
    identity = status.st_ino;
  }
  return fmt::format("portolan-host-changes 1 boot {} netns {}", *boot, identity);
}

}  // namespace

struct HostChanges::State {
  explicit State(Netlink connection) : netlink(std::move(connection)) {}

  Netlink netlink;
  HostChangesOptions options;
  std::string place;
  FileDescriptor journal;  ///< locked while open
  off_t journal_end = 0;
  std::vector<Change> made;
  std::vector<Change> left;

  auto read_journal() -> std::expected<void, std::string>;
  auto rewrite_journal() -> std::expected<void, std::string>;
  auto append(const Change& change) -> std::expected<void, std::string>;
  auto write_at_end(std::string_view text) -> std::expected<void, std::string>;

  auto carry_out(const Change& change) -> std::expected<bool, std::string>;
  auto undo_one(const Change& change) -> std::expected<bool, std::string>;
  auto is_our_address(unsigned interface_index, const AddressChange& change) -> bool;

  auto want(const Change& change) -> std::expected<void, std::string>;
  auto want_sysctl(std::string_view name, std::string_view value) -> std::expected<void, std::string>;
  auto withdraw(const Change& change) -> std::expected<bool, std::string>;
  /// Latest first; what fails stays in `changes`. Calls `tell(line, nullptr or what failed)`.
  template <typename Tell>
  void undo_all(std::vector<Change>& changes, Tell tell);
};

// --- the journal -----------------------------------------------------------------------------------

auto HostChanges::State::write_at_end(std::string_view text) -> std::expected<void, std::string> {
  while (!text.empty()) {
    const auto written = ::pwrite(journal.get(), text.data(), text.size(), journal_end);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return std::unexpected(errno_text(options.journal.string(), errno));
    text.remove_prefix(static_cast<std::size_t>(written));
    journal_end += written;
  }
  return {};
}

auto HostChanges::State::append(const Change& change) -> std::expected<void, std::string> {
  if (!journal) return {};
  // No fsync: the journal has to survive this process, not the kernel whose state it describes.
  return write_at_end(to_string(change) + "\n");
}

/// Writes what is in force or left over. In place, because the lock is on this very file. A kill between
/// the two steps leaves old lines behind the new ones, which is harmless; the other order could lose some.
auto HostChanges::State::rewrite_journal() -> std::expected<void, std::string> {
  if (!journal) return {};
  std::string text = place + "\n";
  for (const auto* changes : {&left, &made})
    for (const Change& change : *changes) text += to_string(change) + "\n";
  journal_end = 0;
  if (const auto written = write_at_end(text); !written) return written;
  if (::ftruncate(journal.get(), journal_end) != 0)
    return std::unexpected(errno_text(options.journal.string(), errno));
  return {};
}

auto HostChanges::State::read_journal() -> std::expected<void, std::string> {
  const auto failure = [&] { return std::unexpected(errno_text(options.journal.string(), errno)); };
  std::error_code error;
  std::filesystem::create_directories(options.journal.parent_path(), error);
  journal.reset(::open(options.journal.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!journal) return failure();
  if (::flock(journal.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failure();
    return std::unexpected(
        fmt::format("{}: another running process uses this journal; is a second instance "
                    "running?",
                    options.journal.string()));
  }
  std::string text;
  std::array<char, 4096> part{};
  while (true) {
    const auto got = ::read(journal.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failure();
    if (got == 0) break;
    text.append(part.data(), static_cast<std::size_t>(got));
  }
  std::istringstream lines{text};
  std::string line;
  if (std::getline(lines, line) && line == place)
    while (std::getline(lines, line))
      if (auto change = parse_change(line); change && std::ranges::find(left, *change) == left.end())
        left.push_back(std::move(*change));
  return rewrite_journal();
}

// --- single changes --------------------------------------------------------------------------------

/// True if it changed something, false if that was so already.
auto HostChanges::State::carry_out(const Change& change) -> std::expected<bool, std::string> {
  if (const auto* sysctl = std::get_if<SysctlChange>(&change)) {
    if (const auto written = write_sysctl(sysctl->name, sysctl->after); !written)
      return std::unexpected(written.error());
    return true;
  }
  if (const auto* entry = std::get_if<ReservedPortsChange>(&change)) return io::reserve_ports(entry->ports);
  if (std::holds_alternative<NftTableChange>(change)) return true;
  const auto on_interface = [&](const std::string& name, auto add) -> std::expected<bool, std::string> {
    const auto interface = netlink.interface(name);
    if (!interface) return std::unexpected(interface.error());
    auto added = add(interface->index);
    if (!added) return std::unexpected(fmt::format("interface {}: {}", name, added.error()));
    return added;
  };
  if (const auto* route = std::get_if<RouteChange>(&change))
    return on_interface(route->interface, [&](unsigned index) {
      return netlink.add_route(route->prefix, index, options.mark);
    });
  if (const auto* entry = std::get_if<AddressChange>(&change)) {
    return on_interface(entry->interface, [&](unsigned index) {
      return netlink.add_address(
          index, {.address = entry->address, .prefix_length = entry->prefix_length, .mark = options.mark});
    });
  }
  if (const auto* hook = std::get_if<IngressHookChange>(&change))
    return on_interface(hook->interface, [&](unsigned index) { return netlink.add_ingress_hook(index); });
  if (const auto* entry = std::get_if<RedirectChange>(&change))
    return on_interface(entry->interface, [&](unsigned index) -> std::expected<bool, std::string> {
      const auto to = netlink.interface(entry->to);
      if (!to) return std::unexpected(to.error());
      // Made anew in any case: after a kill `to` is another interface of the same name.
      if (const auto set = netlink.set_redirect(index, entry->redirect, to->index, options.mark); !set)
        return std::unexpected(set.error());
      return true;
    });
  const auto& entry = std::get<NeighbourChange>(change);
  return on_interface(entry.interface, [&](unsigned index) {
    return netlink.add_proxy_neighbour(index, {.address = entry.address, .mark = options.mark});
  });
}

/// False if there was nothing (left) to undo, or it is somebody else's by now.
auto HostChanges::State::undo_one(const Change& change) -> std::expected<bool, std::string> {
  if (const auto* sysctl = std::get_if<SysctlChange>(&change)) {
    const auto value = read_sysctl(sysctl->name);
    if (!value || *value != sysctl->after) return false;  // gone with its interface, or set anew
    if (const auto written = write_sysctl(sysctl->name, sysctl->before); !written)
      return std::unexpected(written.error());
    return true;
  }
  if (const auto* entry = std::get_if<ReservedPortsChange>(&change)) return io::release_ports(entry->ports);
  if (const auto* entry = std::get_if<NftTableChange>(&change)) {
    auto table = NftTable::open(entry->table);
    if (!table) return std::unexpected(table.error());
    const auto removed = table->remove();
    if (!removed) return std::unexpected(io::to_string(removed.error()));
    return *removed;
  }
  const auto on_interface = [&](const std::string& name, auto remove) -> std::expected<bool, std::string> {
    const auto interface = netlink.find_interface(name);
    if (!interface) return std::unexpected(interface.error());
    if (!*interface) return false;  // what was on it went with it
    return remove((*interface)->index);
  };
  if (const auto* route = std::get_if<RouteChange>(&change))
    return on_interface(route->interface, [&](unsigned index) {
      return netlink.delete_route(route->prefix, index, options.mark);
    });
  if (const auto* hook = std::get_if<IngressHookChange>(&change))
    return on_interface(hook->interface, [&](unsigned index) { return netlink.delete_ingress_hook(index); });
  if (const auto* entry = std::get_if<RedirectChange>(&change))
    return on_interface(entry->interface,
                        [&](unsigned index) { return netlink.delete_redirect(index, options.mark); });
  if (const auto* entry = std::get_if<NeighbourChange>(&change))
    return on_interface(entry->interface, [&](unsigned index) {
      return netlink.delete_proxy_neighbour(index, {.address = entry->address, .mark = options.mark});
    });
  const auto& entry = std::get<AddressChange>(change);
  return on_interface(entry.interface, [&](unsigned index) -> std::expected<bool, std::string> {
    if (!is_our_address(index, entry)) return false;
    return netlink.delete_address(index, {.address = entry.address, .prefix_length = entry.prefix_length});
  });
}

auto HostChanges::State::is_our_address(unsigned interface_index, const AddressChange& change) -> bool {
  const auto addresses = netlink.addresses(interface_index);
  // Kernels before 5.18 keep no mark; there the journal is the only witness.
  return addresses && std::ranges::any_of(*addresses, [&](const InterfaceAddress& found) {
           return found.address == change.address && found.prefix_length == change.prefix_length &&
                  (found.mark == options.mark || found.mark == 0);
         });
}

/// Makes `change` unless it is in force; what an earlier run left is taken over.
auto HostChanges::State::want(const Change& change) -> std::expected<void, std::string> {
  if (std::ranges::find(made, change) != made.end()) {
    // Somebody may have taken an address away since.
    if (!std::holds_alternative<AddressChange>(change)) return {};
    const auto again = carry_out(change);
    return again ? std::expected<void, std::string>{} : std::unexpected(again.error());
  }
  const auto old = std::ranges::find(left, change);
  const bool is_left_over = old != left.end();
  if (!is_left_over)
    if (const auto noted = append(change); !noted) return noted;
  const auto changed = carry_out(change);
  if (changed && (*changed || is_left_over)) {
    if (is_left_over) left.erase(old);
    made.push_back(change);
    return {};
  }
  if (!is_left_over)
    if (const auto noted = rewrite_journal(); !noted) return noted;
  if (!changed) return std::unexpected(changed.error());
  return {};  // it was so already, by somebody else's hand
}

auto HostChanges::State::withdraw(const Change& change) -> std::expected<bool, std::string> {
  const auto found = std::ranges::find(made, change);
  if (found == made.end()) return false;
  if (const auto undone = undo_one(change); !undone) return std::unexpected(undone.error());
  made.erase(found);
  if (const auto noted = rewrite_journal(); !noted) return std::unexpected(noted.error());
  return true;
}

auto HostChanges::State::want_sysctl(std::string_view name, std::string_view value)
    -> std::expected<void, std::string> {
  const auto is_word = [](std::string_view text) {
    return !text.empty() && text.find_first_of(" \t\n") == std::string_view::npos;
  };
  const auto current = read_sysctl(name);
  if (!current) return std::unexpected(current.error());
  if (!is_word(name) || !is_word(value) || !is_word(*current))
    return std::unexpected(fmt::format("sysctl {}: only settings of one word can be managed", name));
  // A setting changed before, by us or the killed run, keeps the value it is to go back to.
  for (auto* changes : {&made, &left}) {
    const auto old = std::ranges::find_if(*changes, [&](const Change& change) {
      const auto* sysctl = std::get_if<SysctlChange>(&change);
      return sysctl != nullptr && sysctl->name == name && sysctl->after == *current;
    });
    if (old == changes->end()) continue;
    const SysctlChange change{std::string{name}, std::get<SysctlChange>(*old).before, std::string{value}};
    if (*current == value && changes == &made) return {};
    if (*current != value) {
      if (const auto noted = append(change); !noted) return noted;
      if (const auto done = carry_out(change); !done) return std::unexpected(done.error());
    }
    changes->erase(old);
    made.emplace_back(change);
    return rewrite_journal();
  }
  if (*current == value) return {};
  return want(SysctlChange{std::string{name}, *current, std::string{value}});
}

template <typename Tell>
void HostChanges::State::undo_all(std::vector<Change>& changes, Tell tell) {
  if (changes.empty()) return;
  std::vector<Change> failed;
  for (const Change& change : changes | std::views::reverse) {
    const auto undone = undo_one(change);
    if (!undone) failed.push_back(change);
    tell(to_string(change), undone ? nullptr : &undone.error());
  }
  std::ranges::reverse(failed);
  changes = std::move(failed);
  if (const auto noted = rewrite_journal(); !noted) tell("journal", &noted.error());
}

// --- the public face -------------------------------------------------------------------------------

HostChanges::HostChanges(std::unique_ptr<State> state) : state_(std::move(state)) {}
HostChanges::HostChanges(HostChanges&&) noexcept = default;
auto HostChanges::operator=(HostChanges&& other) noexcept -> HostChanges& {
  if (this != &other) {
    if (state_) static_cast<void>(undo());
    state_ = std::move(other.state_);
  }
  return *this;
}
HostChanges::~HostChanges() {
  if (state_) static_cast<void>(undo());
}

auto HostChanges::open(const HostChangesOptions& options) -> std::expected<HostChanges, std::string> {
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  auto state = std::make_unique<State>(std::move(*netlink));
  state->options = options;
  if (!options.journal.empty()) {
    auto place = place_line();
    if (!place) return std::unexpected(place.error());
    state->place = std::move(*place);
    if (const auto read = state->read_journal(); !read) return std::unexpected(read.error());
  }
  return HostChanges{std::move(state)};
}

auto HostChanges::add_route(const Prefix& prefix, std::string_view interface)
    -> std::expected<void, std::string> {
  return state_->want(RouteChange{prefix, std::string{interface}});
}

auto HostChanges::add_address(const IpAddress& address, unsigned prefix_length, std::string_view interface)
    -> std::expected<void, std::string> {
  if (prefix_length > (address.is_ipv4() ? 32U : 128U))
    return std::unexpected(fmt::format("address {}/{}: prefix too long", address, prefix_length));
  return state_->want(AddressChange{address, prefix_length, std::string{interface}});
}

auto HostChanges::add_proxy_neighbour(const IpAddress& address, std::string_view interface)
    -> std::expected<void, std::string> {
  if (!address.is_ipv4()) {
    const auto name = fmt::format("net/ipv6/conf/{}/proxy_ndp", interface);
    if (const auto set = set_sysctl(name, "1"); !set) return set;
  }
  return state_->want(NeighbourChange{address, std::string{interface}});
}

auto HostChanges::redirect(const Redirect& wanted, std::string_view interface, std::string_view to)
    -> std::expected<void, std::string> {
  const RedirectChange change{wanted, std::string{interface}, std::string{to}};
  const Change hook = IngressHookChange{change.interface};
  if (std::ranges::find(state_->made, hook) == state_->made.end()) {
    if (const auto hooked = state_->want(hook); !hooked) return hooked;
  } else if (const auto hooked = state_->carry_out(hook); !hooked) {
    // Another interface of the same name has none.
    return std::unexpected(hooked.error());
  }
  if (const auto noted = state_->append(change); !noted) return noted;
  if (const auto done = state_->carry_out(change); !done) {
    static_cast<void>(state_->rewrite_journal());
    return std::unexpected(done.error());
  }
  // It stands where the others stood.
  for (auto* changes : {&state_->made, &state_->left}) {
    std::erase_if(*changes, [&](const Change& each) {
      const auto* entry = std::get_if<RedirectChange>(&each);
      return entry != nullptr && entry->interface == change.interface;
    });
  }
  state_->made.emplace_back(change);
  return state_->rewrite_journal();
}

auto HostChanges::free_left_ports_but(const PortRange& ports) -> std::expected<void, std::string> {
  const ReservedPortsChange wanted{ports};
  auto& left = state_->left;
  for (auto each = left.begin(); each != left.end();) {
    const auto* const old = std::get_if<ReservedPortsChange>(&*each);
    if (old == nullptr || *old == wanted) {
      ++each;
      continue;
    }
    if (const auto undone = state_->undo_one(*each); !undone) return std::unexpected(undone.error());
    each = left.erase(each);
  }
  return state_->rewrite_journal();
}

auto HostChanges::reserve_ports(const PortRange& ports) -> std::expected<void, std::string> {
  // Left until later, others that overlap would look like somebody else's, and take some of these with them.
  if (const auto freed = free_left_ports_but(ports); !freed) return freed;
  return state_->want(ReservedPortsChange{ports});
}

auto HostChanges::note_table(const NftTableName& table, bool stays) -> std::expected<void, std::string> {
  const NftTableChange change{table};
  if (!stays) return state_->want(change);
  // That of an earlier run stays too.
  if (std::erase(state_->left, Change{change}) == 0) return {};
  return state_->rewrite_journal();
}

auto HostChanges::set_sysctl(std::string_view name, std::string_view value)
    -> std::expected<void, std::string> {
  return state_->want_sysctl(name, value);
}

auto HostChanges::claim_marked_neighbours(std::string_view interface) -> std::expected<void, std::string> {
  const auto found = state_->netlink.interface(interface);
  if (!found) return std::unexpected(found.error());
  const auto entries = state_->netlink.proxy_neighbours(found->index);
  if (!entries) return std::unexpected(entries.error());
  for (const ProxyNeighbour& entry : *entries) {
    if (entry.mark != state_->options.mark) continue;
    const Change change = NeighbourChange{entry.address, std::string{interface}};
    const auto is_known = [&](const auto& changes) {
      return std::ranges::find(changes, change) != changes.end();
    };
    if (!is_known(state_->made) && !is_known(state_->left)) state_->left.push_back(change);
  }
  return state_->rewrite_journal();
}

auto HostChanges::remove_proxy_neighbour(const IpAddress& address, std::string_view interface)
    -> std::expected<bool, std::string> {
  return state_->withdraw(NeighbourChange{address, std::string{interface}});
}

auto HostChanges::remove_redirect(std::string_view interface) -> std::expected<bool, std::string> {
  for (const Change& change : state_->made)
    if (const auto* entry = std::get_if<RedirectChange>(&change);
        entry != nullptr && entry->interface == interface)
      return state_->withdraw(Change{*entry});
  return false;
}

auto HostChanges::remove_address(const IpAddress& address, unsigned prefix_length, std::string_view interface)
    -> std::expected<bool, std::string> {
  return state_->withdraw(AddressChange{address, prefix_length, std::string{interface}});
}

auto HostChanges::remove_route(const Prefix& prefix, std::string_view interface)
    -> std::expected<bool, std::string> {
  return state_->withdraw(RouteChange{prefix, std::string{interface}});
}

auto HostChanges::undo_leftovers() -> std::vector<std::string> {
  std::vector<std::string> lines;
  state_->undo_all(state_->left, [&](std::string line, const std::string* failure) {
    lines.push_back(failure == nullptr ? std::move(line) : fmt::format("{}: {}", line, *failure));
  });
  return lines;
}

auto HostChanges::undo() -> std::vector<std::string> {
  std::vector<std::string> failures;
  const auto tell = [&](const std::string& line, const std::string* failure) {
    if (failure != nullptr) failures.push_back(fmt::format("{}: {}", line, *failure));
  };
  state_->undo_all(state_->made, tell);
  state_->undo_all(state_->left, tell);
  return failures;
}

namespace {
auto lines_of(const std::vector<Change>& changes) -> std::vector<std::string> {
  std::vector<std::string> lines;
  lines.reserve(changes.size());
  for (const Change& change : changes) lines.push_back(to_string(change));
  return lines;
}
}  // namespace

auto HostChanges::list() const -> std::vector<std::string> { return lines_of(state_->made); }
auto HostChanges::leftovers() const -> std::vector<std::string> { return lines_of(state_->left); }

}  // namespace portolan::io
