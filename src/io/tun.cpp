// SPDX-License-Identifier: BSD-2-Clause
#include "io/tun.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "io/netlink.h"
#include "io/rights.h"

namespace portolan::io {
namespace {

// Linux 6.2; Debian 12's headers are older than the kernels it runs on.
constexpr unsigned offload_uso4 = 0x20;
constexpr unsigned offload_uso6 = 0x40;
constexpr unsigned offload_tso = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

constexpr auto device_path = "/dev/net/tun";

auto open_failure(int number) -> std::string {
  auto text = errno_text(device_path, number);
  if (number == ENOENT || number == ENODEV || number == ENXIO)
    return text + ": load the tun module (modprobe tun), or let the container have this device";
  if (number == EACCES || number == EPERM)
    return text + ": needs to be root, or read and write access to the device";
  return text;
}

auto attach_failure(const std::string& name, int number) -> std::string {
  auto text = errno_text(fmt::format("TUN interface {}", name), number);
  if (number == EPERM)
    return text + ": needs CAP_NET_ADMIN, or an interface made beforehand for this user (ip tuntap add)";
  if (number == EBUSY) return text + ": another process has it open; is a second instance running?";
  if (number == EINVAL)
    return text + ": an interface of this name exists and is of another kind; choose another name";
  return text;
}

/// Where no udev has set its mode, it is root's alone.
auto open_device() -> FileDescriptor {
  const Raised raised(Capability::dac_override);
  return FileDescriptor{::open(device_path, O_RDWR | O_NONBLOCK | O_CLOEXEC)};
}

/// The best the kernel agrees to. Offloads belong to the interface, not to a queue.
auto negotiate_offloads(int descriptor) -> TunOffloads {
  if (::ioctl(descriptor, TUNSETOFFLOAD, offload_tso | offload_uso4 | offload_uso6) == 0)
    return TunOffloads::tso_uso;
  if (::ioctl(descriptor, TUNSETOFFLOAD, offload_tso) == 0) return TunOffloads::tso;
  static_cast<void>(::ioctl(descriptor, TUNSETOFFLOAD, 0));
  return TunOffloads::none;
}

}  // namespace

auto to_string(TunOffloads offloads) -> std::string_view {
  switch (offloads) {
    case TunOffloads::none: return "none";
    case TunOffloads::tso: return "TSO";
    case TunOffloads::tso_uso: return "TSO and USO";
  }
  return "?";
}

auto Tun::open(const TunOptions& options) -> std::expected<Tun, std::string> {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ)
    return std::unexpected(
        fmt::format("TUN interface name '{}': must have 1 to {} octets", options.name, IFNAMSIZ - 1));
  if (options.mtu < mtu_min || options.mtu > mtu_max)
    return std::unexpected(fmt::format("TUN interface {}: MTU {} is not in {}..{}", options.name, options.mtu,
                                       mtu_min, mtu_max));
  if (options.queues < 1 || options.queues > queues_max)
    return std::unexpected(fmt::format("TUN interface {}: {} queues are not in 1..{}", options.name,
                                       options.queues, queues_max));
  auto netlink = Netlink::open();
  if (!netlink) return std::unexpected(netlink.error());
  // The kernel keeps a second process from an interface with one queue only: it lets it join the queues of
  // another, where it would steal a part of the packets.
  const auto check_queues = [&](unsigned expected) -> std::expected<void, std::string> {
    const auto found = netlink->find_interface(options.name);
    if (!found) return std::unexpected(found.error());
    if (*found && (*found)->tun_queues > expected)
      return std::unexpected(attach_failure(options.name, EBUSY));
    return {};
  };
  if (const auto idle = check_queues(0); !idle) return std::unexpected(idle.error());
  Tun tun;
  for (unsigned queue = 0; queue < options.queues; ++queue) {
    FileDescriptor descriptor = open_device();
    if (!descriptor) return std::unexpected(open_failure(errno));
    ifreq request{};
    std::memcpy(request.ifr_name, options.name.data(), options.name.size());
    constexpr int flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
    request.ifr_flags = static_cast<short>(options.queues > 1 ? flags | IFF_MULTI_QUEUE : flags);
    if (::ioctl(descriptor.get(), TUNSETIFF, &request) != 0)
      return std::unexpected(attach_failure(options.name, errno));
    int header_size = header_bytes;
    if (::ioctl(descriptor.get(), TUNSETVNETHDRSZ, &header_size) != 0)
      return std::unexpected(
          errno_text(fmt::format("TUN interface {}: TUNSETVNETHDRSZ", options.name), errno));
    // Two may have found it idle at once.
    if (const auto alone = check_queues(queue + 1); !alone) return std::unexpected(alone.error());
    if (queue == 0) tun.name_ = request.ifr_name;
    tun.queues_.push_back(std::move(descriptor));
  }
  tun.offloads_ = negotiate_offloads(tun.queues_.front().get());

  const auto interface = netlink->interface(tun.name_);
  if (!interface) return std::unexpected(interface.error());
  tun.interface_index_ = interface->index;
  // Two steps: the link-local address would be made at the moment the interface comes up.
  const auto settings = netlink->set_link(
      tun.interface_index_,
      {.mtu = options.mtu, .tx_queue_length = options.tx_queue_length, .has_link_local = false});
  if (!settings) return std::unexpected(fmt::format("TUN interface {}: {}", tun.name_, settings.error()));
  const auto up = netlink->set_link(tun.interface_index_, {.is_up = true});
  if (!up) return std::unexpected(fmt::format("TUN interface {}: {}", tun.name_, up.error()));
  return tun;
}

auto Tun::steer(const Steering& steering) const -> std::expected<void, SystemError> {
  const auto program = steering.load();
  if (!program) return std::unexpected(program.error());
  // The interface keeps the program; our descriptor of it is no longer needed.
  int descriptor = program->get();
  if (::ioctl(queues_.front().get(), TUNSETSTEERINGEBPF, &descriptor) != 0)
    return std::unexpected(SystemError{errno, "TUNSETSTEERINGEBPF"});
  return {};
}

auto Tun::read(std::span<std::byte> buffer, std::size_t queue) const noexcept
    -> std::expected<std::size_t, SystemError> {
  while (true) {
    const auto got = ::read(queues_[queue].get(), buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EAGAIN) return 0;
    if (errno != EINTR) return std::unexpected(SystemError{errno, "read from TUN"});
  }
}

auto Tun::write(std::span<const std::byte> packet, std::size_t queue) const noexcept
    -> std::expected<void, SystemError> {
  while (::write(queues_[queue].get(), packet.data(), packet.size()) < 0)
    if (errno != EINTR) return std::unexpected(SystemError{errno, "write to TUN"});
  return {};
}

}  // namespace portolan::io
