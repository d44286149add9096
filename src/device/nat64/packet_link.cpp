// SPDX-License-Identifier: BSD-2-Clause
#include "device/nat64/packet_link.h"

#include "io/log.h"

namespace portolan::device {

auto TunLink::read(std::span<std::byte> buffer) -> std::size_t {
  const auto octets = tun_->read(buffer, queue_);
  if (octets) return *octets;
  is_gone_ = true;
  io::log::error("tun-gone",
                 "TUN {tun}: {error}: was the interface deleted? Nothing is translated until the next start",
                 tun_->name(), to_string(octets.error()));
  return 0;
}

auto links_of(io::Tun tun) -> std::vector<std::unique_ptr<PacketLink>> {
  const auto shared = std::make_shared<const io::Tun>(std::move(tun));
  std::vector<std::unique_ptr<PacketLink>> links;
  links.reserve(shared->queue_count());
  for (std::size_t queue = 0; queue < shared->queue_count(); ++queue)
    links.push_back(std::make_unique<TunLink>(shared, queue));
  return links;
}

}  // namespace portolan::device
