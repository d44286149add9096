// SPDX-License-Identifier: BSD-2-Clause
#include "io/nft_table.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/filter.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <libmnl/libmnl.h>

#include "base/check.h"
#include "io/child_program.h"
#include "io/netlink_request.h"

namespace portolan::io {
namespace {

/// Each field begins at a multiple of this.
constexpr std::size_t field_step = 4;

constexpr auto type_of(unsigned message) -> std::uint16_t {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8U | message);
}

auto header_for(std::uint8_t family, std::uint16_t resource = 0) -> nfgenmsg {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  header.res_id = htons(resource);
  return header;
}

void put_text(nlmsghdr* message, std::uint16_t attribute, std::string_view text) {
  mnl_attr_put(message, attribute, text.size(), text.data());
}

void put_fields(nlmsghdr* message, std::uint16_t attribute, const NftFields& fields) {
  nlattr* nest = mnl_attr_nest_start(message, attribute);
  mnl_attr_put(message, NFTA_DATA_VALUE, fields.octets().size(), fields.octets().data());
  mnl_attr_nest_end(message, nest);
}

auto read_fields(const nlattr* attribute) -> NftFields {
  NftFields fields;
  for_each_nested(attribute, [&](int type, const nlattr* part) {
    if (type == NFTA_DATA_VALUE)
      fields = NftFields::of(
          {static_cast<const std::byte*>(mnl_attr_get_payload(part)), mnl_attr_get_payload_len(part)});
  });
  return fields;
}

auto milliseconds_of(Seconds time) -> std::uint64_t {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max() / 1000;
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(time.count(), 0, most)) * 1000;
}

/// The elements of one message of the kernel's, added to `found`.
void read_elements(const nlmsghdr* message, std::vector<NftFound>& found) {
  const auto read_element = [&](int, const nlattr* element) {
    NftFound entry;
    std::uint32_t flags = 0;
    for_each_nested(element, [&](int type, const nlattr* part) {
      if (type == NFTA_SET_ELEM_KEY) entry.key = read_fields(part);
      if (type == NFTA_SET_ELEM_KEY_END) entry.key_end = read_fields(part);
      if (type == NFTA_SET_ELEM_DATA) entry.data = read_fields(part);
      if (type == NFTA_SET_ELEM_FLAGS) flags = ntohl(mnl_attr_get_u32(part));
      if (type == NFTA_SET_ELEM_EXPIRATION) {
        const auto left = static_cast<std::int64_t>(be64toh(mnl_attr_get_u64(part)));
        // 0 would be: never.
        entry.expires_in = std::max(Seconds{1}, std::chrono::ceil<Seconds>(Milliseconds{left}));
      }
    });
    // What no key has, and the ends that intervals of one field have as elements of their own.
    if ((flags & (NFT_SET_ELEM_CATCHALL | NFT_SET_ELEM_INTERVAL_END)) == 0) found.push_back(entry);
  };
  for_each_attribute<nfgenmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == NFTA_SET_ELEM_LIST_ELEMENTS) for_each_nested(attribute, read_element);
  });
}

/// The messages of a transaction, one behind the other. What is between begin and end is carried out all or
/// not at all.
class Messages {
 public:
  /// In  buffer: what it writes to, of any content; sequence: the last number used, each message takes the
  /// next
  Messages(std::uint8_t family, std::uint32_t& sequence, std::vector<std::byte>& buffer)
      : family_(family), sequence_(sequence), first_(sequence + 1), buffer_(buffer) {
    start(NFNL_MSG_BATCH_BEGIN, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  }

  /// A change. It stays writable until the next one starts: for octets_max, header included.
  auto start_change(unsigned message) -> nlmsghdr* {
    auto* started = start(type_of(message), family_, 0);
    const bool is_new = message == NFT_MSG_NEWSETELEM || message == NFT_MSG_NEWTABLE ||
                        message == NFT_MSG_NEWCHAIN || message == NFT_MSG_NEWRULE;
    if (is_new) started->nlmsg_flags |= NLM_F_CREATE;
    return started;
  }
  /// No change may follow. The last one is acknowledged: kernels before 6.10 ignore that wish at the end.
  void finish() {
    last()->nlmsg_flags |= NLM_F_ACK;
    acknowledged_ = sequence_;
    start(NFNL_MSG_BATCH_END, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    used_ += last()->nlmsg_len;
  }

  [[nodiscard]] auto octets() const -> std::span<const std::byte> { return {buffer_.data(), used_}; }
  [[nodiscard]] auto acknowledged() const -> std::uint32_t { return acknowledged_; }
  [[nodiscard]] auto holds(std::uint32_t sequence) const -> bool {
    return sequence - first_ <= sequence_ - first_;
  }

  static constexpr std::size_t octets_max = 65536;

 private:
  auto start(std::uint16_t type, std::uint8_t family, std::uint16_t resource) -> nlmsghdr* {
    if (sequence_ + 1 != first_)
      used_ += (last()->nlmsg_len + NLMSG_ALIGNTO - 1) & ~std::size_t{NLMSG_ALIGNTO - 1};
    if (buffer_.size() < used_ + octets_max) buffer_.resize(2 * used_ + octets_max);
    auto* message = mnl_nlmsg_put_header(buffer_.data() + used_);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST;
    message->nlmsg_seq = ++sequence_;
    const auto header = header_for(family, resource);
    std::memcpy(mnl_nlmsg_put_extra_header(message, sizeof header), &header, sizeof header);
    return message;
  }
  auto last() -> nlmsghdr* { return reinterpret_cast<nlmsghdr*>(buffer_.data() + used_); }

  std::uint8_t family_;
  std::uint32_t& sequence_;
  std::uint32_t first_;
  std::uint32_t acknowledged_ = 0;
  std::vector<std::byte>& buffer_;
  std::size_t used_ = 0;  ///< before the message that stands last
};

/// Room for one element, and for the names before the first.
constexpr std::size_t element_octets_max = 4 * NftFields::octets_max;

void put_element(nlmsghdr* message, const NftElement& element, bool is_added) {
  nlattr* nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
  put_fields(message, NFTA_SET_ELEM_KEY, element.key);
  if (!element.key_end.is_empty()) put_fields(message, NFTA_SET_ELEM_KEY_END, element.key_end);
  if (is_added && !element.data.is_empty()) put_fields(message, NFTA_SET_ELEM_DATA, element.data);
  if (is_added && element.timeout > Seconds{0})
    mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, htobe64(milliseconds_of(element.timeout)));
  mnl_attr_nest_end(message, nest);
}

auto is_concurrency(int number) -> bool { return number == EINTR || number == EAGAIN || number == ERESTART; }

}  // namespace

auto NftFields::add(Protocol protocol) -> NftFields& {
  const auto octet = static_cast<std::byte>(protocol);
  return append({&octet, 1});
}

auto NftFields::add(Port port) -> NftFields& {
  const std::array octets{static_cast<std::byte>(port.value >> 8U),
                          static_cast<std::byte>(port.value & 0xffU)};
  return append(octets);
}

auto NftFields::add(Ipv4Address address) -> NftFields& { return add(IpAddress{address}); }

auto NftFields::add(const Ipv6Address& address) -> NftFields& {
  return append(std::as_bytes(std::span{address.octets}));
}

auto NftFields::add(const IpAddress& address) -> NftFields& {
  const auto octets = std::as_bytes(std::span{address.bits().octets});
  return append(address.is_ipv4() ? octets.last(4) : octets);
}

auto NftFields::append(std::span<const std::byte> field) -> NftFields& {
  const auto filled_up = [](std::size_t size) { return (size + field_step - 1) / field_step * field_step; };
  const bool is_only = size_ == 0;
  const std::size_t begin = filled_up(size_);
  const std::size_t end = begin + (is_only ? field.size() : filled_up(field.size()));
  PORTOLAN_CHECK(end <= octets_max);
  std::ranges::copy(field, octets_.begin() + static_cast<std::ptrdiff_t>(begin));
  size_ = static_cast<std::uint8_t>(end);
  return *this;
}

auto NftFields::operator==(const NftFields& other) const -> bool {
  return std::ranges::equal(octets(), other.octets());
}

auto NftFields::of(std::span<const std::byte> octets) -> NftFields {
  NftFields fields;
  fields.size_ = static_cast<std::uint8_t>(std::min(octets.size(), octets_max));
  std::ranges::copy(octets.first(fields.size_), fields.octets_.begin());
  return fields;
}

auto NftFields::octet_at(std::size_t offset) const -> std::uint8_t {
  return offset < octets_max ? std::to_integer<std::uint8_t>(octets_[offset]) : std::uint8_t{0};
}

auto NftFields::protocol_at(std::size_t offset) const -> Protocol {
  return static_cast<Protocol>(octet_at(offset));
}

auto NftFields::port_at(std::size_t offset) const -> Port {
  return Port{static_cast<std::uint16_t>(octet_at(offset) << 8U | octet_at(offset + 1))};
}

auto NftFields::ipv4_at(std::size_t offset) const -> Ipv4Address {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8U | octet_at(offset + i);
  return Ipv4Address{value};
}

auto NftFields::ipv6_at(std::size_t offset) const -> Ipv6Address {
  Ipv6Address address;
  for (std::size_t i = 0; i < address.octets.size(); ++i) address.octets[i] = octet_at(offset + i);
  return address;
}

void NftBatch::add(const NftElement& element) { changes_.push_back({.kind = Kind::add, .element = element}); }

void NftBatch::remove(const NftElement& element) {
  changes_.push_back({.kind = Kind::remove, .element = element});
}

void NftBatch::remove_all(std::string_view set) {
  changes_.push_back({.kind = Kind::remove_all, .element = {.set = set, .key = {}}});
}

struct NftTable::State {
  NftTableName name;
  std::uint8_t family = 0;
  NetlinkSocket requests;
  std::size_t send_room = 0;  ///< what the socket takes at once
  std::vector<std::byte> buffer;
  std::unique_ptr<mnl_socket, Closer> watch;
  /// Who carried out load(): its words may still wait. 0: nobody.
  std::uint32_t loader = 0;

  auto watch_others() -> std::expected<void, SystemError>;
  auto send(std::span<const std::byte> octets) -> std::expected<void, SystemError>;
  auto carry_out(const Messages& messages) -> std::expected<void, SystemError>;
  void write(Messages& messages, std::span<const NftBatch::Change> changes) const;
  [[nodiscard]] auto question(unsigned message, unsigned flags) const -> Request;
  [[nodiscard]] auto is_about_us(const nlmsghdr* message) const -> bool;
};

NftTable::NftTable(std::unique_ptr<State> state) : state_(std::move(state)) {}
NftTable::NftTable(NftTable&&) noexcept = default;
auto NftTable::operator=(NftTable&&) noexcept -> NftTable& = default;
NftTable::~NftTable() = default;

auto NftTable::open(NftTableName name) -> std::expected<NftTable, std::string> {
  PORTOLAN_CHECK(!name.name.empty() && name.name.size() < NFT_TABLE_MAXNAMELEN);
  NftTable table{std::make_unique<State>()};
  auto& state = *table.state_;
  state.family = name.family == Family::ipv4 ? AF_INET : AF_INET6;
  state.name = std::move(name);
  if (const auto opened = state.requests.open(NETLINK_NETFILTER); !opened)
    return std::unexpected(fmt::format("nftables: {}", to_string(opened.error())));
  // Refusals need not bring the refused message back, which may be long.
  int on = 1;
  static_cast<void>(mnl_socket_setsockopt(state.requests.socket.get(), NETLINK_CAP_ACK, &on, sizeof on));
  if (const auto watched = state.watch_others(); !watched)
    return std::unexpected(fmt::format("nftables: {}", to_string(watched.error())));
  // The first question to see whether questions are answered.
  if (const auto there = table.exists(); !there) {
    const int number = there.error().number;
    if (number == EPERM) return std::unexpected("nftables: needs CAP_NET_ADMIN");
    if (number == EOPNOTSUPP || number == EINVAL)
      return std::unexpected("nftables: this kernel has none (modprobe nf_tables)");
    return std::unexpected(fmt::format("nftables: {}", to_string(there.error())));
  }
  return table;
}

/// Opens the second socket, which hears of all changes but those of the first.
auto NftTable::State::watch_others() -> std::expected<void, SystemError> {
  watch.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!watch) return std::unexpected(SystemError{.number = errno, .operation = "netlink socket"});
  const int descriptor = mnl_socket_get_fd(watch.get());
  // Our own batches make a word for each element. The kernel is to drop them: the sender's number stands in
  // the header of a message, and all in one buffer have the same.
  std::array<sock_filter, 4> steps{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(nlmsghdr, nlmsg_pid)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(mnl_socket_get_portid(requests.socket.get())), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, std::numeric_limits<std::uint32_t>::max()),
  }};
  const sock_fprog program{.len = steps.size(), .filter = steps.data()};
  if (::setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
    return std::unexpected(SystemError{.number = errno, .operation = "SO_ATTACH_FILTER"});
  // Room, not memory: words that are lost make the device build its table again.
  constexpr int room = 8 << 20;
  if (::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
    static_cast<void>(::setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
  if (mnl_socket_bind(watch.get(), 0, MNL_SOCKET_AUTOPID) < 0)
    return std::unexpected(SystemError{.number = errno, .operation = "netlink bind"});
  int group = NFNLGRP_NFTABLES;
  if (mnl_socket_setsockopt(watch.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0)
    return std::unexpected(SystemError{.number = errno, .operation = "NETLINK_ADD_MEMBERSHIP"});
  return {};
}

auto NftTable::load(std::string_view text) -> std::expected<void, std::string> {
  const auto end = run_program("nft", {"-f", "-"}, text);
  if (!end)
    return std::unexpected(
        fmt::format("nft(8) can't be run: {}; Debian has it in the package nftables", end.error()));
  // A process's first netlink socket has the process's number.
  state_->loader = static_cast<std::uint32_t>(end->process);
  if (end->exit_code == 0) return {};
  std::string_view errors = end->errors;
  while (errors.ends_with('\n')) errors.remove_suffix(1);
  if (errors.empty()) return std::unexpected(fmt::format("nft(8) ended with code {}", end->exit_code));
  return std::unexpected(fmt::format("nft(8): {}", errors));
}

/// Sends all octets at once.
auto NftTable::State::send(std::span<const std::byte> octets) -> std::expected<void, SystemError> {
  const int descriptor = mnl_socket_get_fd(requests.socket.get());
  if (octets.size() > send_room) {
    // The kernel doubles it, for what else it counts.
    const auto room = static_cast<int>(std::min<std::size_t>(octets.size(), 1U << 30U));
    if (::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) < 0)
      static_cast<void>(::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof room));
    send_room = octets.size();
  }
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  while (::sendto(descriptor, octets.data(), octets.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
                  sizeof kernel) < 0)
    if (errno != EINTR)
      return std::unexpected(SystemError{.number = errno, .operation = "nftables transaction"});
  return {};
}

/// Sends a transaction and takes all that the kernel says of it. The kernel carries it out, and has said all,
/// before the call that sends it returns: what refused changes of the middle, in their order, then the
/// acknowledgement of the last one, which comes even if others were refused. What concerns the whole goes
/// first, alone or before the others.
auto NftTable::State::carry_out(const Messages& messages) -> std::expected<void, SystemError> {
  if (const auto sent = send(messages.octets()); !sent) return sent;
  int refusal = 0;
  bool is_acknowledged = false;
  for (;;) {
    const auto got = ::recv(mnl_socket_get_fd(requests.socket.get()), requests.buffer.data(),
                            requests.buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) break;
    // ENOBUFS: there were too many refusals, of which the first are there.
    if (got < 0 && errno == ENOBUFS) continue;
    if (got < 0) return std::unexpected(SystemError{.number = errno, .operation = "nftables answer"});
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(requests.buffer.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (message->nlmsg_type != NLMSG_ERROR || !messages.holds(message->nlmsg_seq)) continue;
      const int number = -header_of<nlmsgerr>(message).error;
      if (refusal == 0) refusal = number;
      is_acknowledged = is_acknowledged || (number == 0 && message->nlmsg_seq == messages.acknowledged());
    }
  }
  if (refusal == 0 && !is_acknowledged) refusal = EIO;  // the kernel could not read the messages
  if (refusal == 0) return {};
  return std::unexpected(SystemError{.number = refusal, .operation = "nftables transaction"});
}

void NftTable::State::write(Messages& messages, std::span<const NftBatch::Change> changes) const {
  using Kind = NftBatch::Kind;
  nlmsghdr* message = nullptr;
  nlattr* elements = nullptr;
  const NftBatch::Change* before = nullptr;
  for (const auto& change : changes) {
    const bool continues = before != nullptr && change.kind != Kind::remove_all &&
                           change.kind == before->kind && change.element.set == before->element.set &&
                           message->nlmsg_len + element_octets_max <= Messages::octets_max;
    if (!continues) {
      if (elements != nullptr) mnl_attr_nest_end(message, elements);
      elements = nullptr;
      message = messages.start_change(change.kind == Kind::add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
      put_text(message, NFTA_SET_ELEM_LIST_TABLE, name.name);
      put_text(message, NFTA_SET_ELEM_LIST_SET, change.element.set);
      if (change.kind != Kind::remove_all)
        elements = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
    }
    if (change.kind != Kind::remove_all) put_element(message, change.element, change.kind == Kind::add);
    before = &change;
  }
  if (elements != nullptr) mnl_attr_nest_end(message, elements);
}

auto NftTable::commit(const NftBatch& batch) -> std::expected<void, SystemError> {
  constexpr int attempts_max = 10;
  if (batch.is_empty()) return {};
  for (const auto& change : batch.changes_)
    PORTOLAN_CHECK(!change.element.set.empty() && change.element.set.size() < NFT_SET_MAXNAMELEN);
  std::expected<void, SystemError> done;
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    Messages messages{state_->family, state_->requests.sequence, state_->buffer};
    state_->write(messages, batch.changes_);
    messages.finish();
    done = state_->carry_out(messages);
    if (done || !is_concurrency(done.error().number)) break;
  }
  // What a restart needs is not kept for every day.
  constexpr std::size_t kept_max = 1U << 20U;
  if (state_->buffer.size() > kept_max) state_->buffer = {};
  return done;
}

/// About a set or the table; the caller adds the names.
auto NftTable::State::question(unsigned message, unsigned flags) const -> Request {
  return {type_of(message), flags, header_for(family)};
}

auto NftTable::find(std::string_view set, const NftFields& key)
    -> std::expected<std::optional<NftFound>, SystemError> {
  PORTOLAN_CHECK(set.size() < NFT_SET_MAXNAMELEN);
  auto request = state_->question(NFT_MSG_GETSETELEM, NLM_F_ACK);
  put_text(*request, NFTA_SET_ELEM_LIST_TABLE, state_->name.name);
  put_text(*request, NFTA_SET_ELEM_LIST_SET, set);
  nlattr* elements = mnl_attr_nest_start(*request, NFTA_SET_ELEM_LIST_ELEMENTS);
  put_element(*request, {.set = set, .key = key}, false);
  mnl_attr_nest_end(*request, elements);
  std::vector<NftFound> found;
  const auto answer =
      state_->requests.ask(request, [&](const nlmsghdr* message) { read_elements(message, found); });
  if (!answer && answer.error().number == ENOENT) return std::nullopt;
  if (!answer)
    return std::unexpected(SystemError{.number = answer.error().number, .operation = "NFT_MSG_GETSETELEM"});
  if (found.empty()) return std::nullopt;
  return found.front();
}

auto NftTable::list(std::string_view set) -> std::expected<std::vector<NftFound>, SystemError> {
  PORTOLAN_CHECK(set.size() < NFT_SET_MAXNAMELEN);
  auto request = state_->question(NFT_MSG_GETSETELEM, NLM_F_DUMP);
  put_text(*request, NFTA_SET_ELEM_LIST_TABLE, state_->name.name);
  put_text(*request, NFTA_SET_ELEM_LIST_SET, set);
  auto listed = state_->requests.list<NftFound>(request, read_elements);
  if (listed) return std::move(*listed);
  return std::unexpected(SystemError{.number = listed.error().number, .operation = "NFT_MSG_GETSETELEM"});
}

auto NftTable::exists() -> std::expected<bool, SystemError> {
  auto request = state_->question(NFT_MSG_GETTABLE, NLM_F_ACK);
  put_text(*request, NFTA_TABLE_NAME, state_->name.name);
  const auto answer = state_->requests.ask(request);
  if (answer) return true;
  if (answer.error().number == ENOENT) return false;
  return std::unexpected(SystemError{.number = answer.error().number, .operation = "NFT_MSG_GETTABLE"});
}

auto NftTable::remove() -> std::expected<bool, SystemError> {
  Messages messages{state_->family, state_->requests.sequence, state_->buffer};
  put_text(messages.start_change(NFT_MSG_DELTABLE), NFTA_TABLE_NAME, state_->name.name);
  messages.finish();
  const auto done = state_->carry_out(messages);
  if (done) return true;
  if (done.error().number == ENOENT) return false;
  return std::unexpected(done.error());
}

auto NftTable::keep_translating() -> std::expected<void, SystemError> {
  // Tables that have an owner are nobody else's to flush, and go with its socket (Linux 5.12).
  constexpr std::uint32_t is_owned = 0x2;
  const std::string guard = state_->name.name + "_guard";
  Messages messages{state_->family, state_->requests.sequence, state_->buffer};
  nlmsghdr* message = messages.start_change(NFT_MSG_NEWTABLE);
  put_text(message, NFTA_TABLE_NAME, guard);
  mnl_attr_put_u32(message, NFTA_TABLE_FLAGS, htonl(is_owned));
  message = messages.start_change(NFT_MSG_NEWCHAIN);
  put_text(message, NFTA_CHAIN_TABLE, guard);
  put_text(message, NFTA_CHAIN_NAME, "prerouting");
  nlattr* hook = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
  mnl_attr_put_u32(message, NFTA_HOOK_HOOKNUM, htonl(NF_INET_PRE_ROUTING));
  mnl_attr_put_u32(message, NFTA_HOOK_PRIORITY, htonl(0));
  mnl_attr_nest_end(message, hook);
  put_text(message, NFTA_CHAIN_TYPE, "nat");
  // A rule that looks at flows, and does nothing: without any, the kernel tracks none.
  message = messages.start_change(NFT_MSG_NEWRULE);
  put_text(message, NFTA_RULE_TABLE, guard);
  put_text(message, NFTA_RULE_CHAIN, "prerouting");
  nlattr* expressions = mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS);
  nlattr* expression = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
  put_text(message, NFTA_EXPR_NAME, "ct");
  nlattr* data = mnl_attr_nest_start(message, NFTA_EXPR_DATA);
  mnl_attr_put_u32(message, NFTA_CT_DREG, htonl(NFT_REG_1));
  mnl_attr_put_u32(message, NFTA_CT_KEY, htonl(NFT_CT_STATE));
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, expression);
  mnl_attr_nest_end(message, expressions);
  messages.finish();
  return state_->carry_out(messages);
}

auto NftTable::descriptor() const -> int { return mnl_socket_get_fd(state_->watch.get()); }

auto NftTable::State::is_about_us(const nlmsghdr* message) const -> bool {
  if (message->nlmsg_type >> 8U != NFNL_SUBSYS_NFTABLES || message->nlmsg_type == type_of(NFT_MSG_NEWGEN))
    return false;
  if (mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg) ||
      header_of<nfgenmsg>(message).nfgen_family != family)
    return false;
  // Of whatever it is a part, the table's name has this number.
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1 &&
                NFTA_SET_TABLE == 1 && NFTA_SET_ELEM_LIST_TABLE == 1 && NFTA_OBJ_TABLE == 1 &&
                NFTA_FLOWTABLE_TABLE == 1);
  bool is_ours = false;
  for_each_attribute<nfgenmsg>(message, [&](int type, const nlattr* attribute) {
    if (type == NFTA_TABLE_NAME) is_ours = mnl_attr_get_str(attribute) == name.name;
  });
  return is_ours;
}

auto NftTable::was_changed_by_others() -> bool {
  bool was_changed = false;
  alignas(nlmsghdr) std::array<std::byte, 32768> words;
  for (;;) {
    const auto got = ::recv(descriptor(), words.data(), words.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      was_changed = true;
      continue;
    }
    if (got < 0) break;
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(words.data()); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      was_changed = was_changed || (message->nlmsg_pid != state_->loader && state_->is_about_us(message));
  }
  // Words come before the change's author is told that it is made.
  state_->loader = 0;
  return was_changed;
}

}  // namespace portolan::io
