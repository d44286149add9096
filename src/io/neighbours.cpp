// SPDX-License-Identifier: BSD-2-Clause
#include "io/neighbours.h"

#include <linux/neighbour.h>
#include <sys/socket.h>

#include "io/rtnetlink.h"

namespace portolan::io {

auto silent_neighbours() -> std::expected<std::vector<Neighbour>, SystemError> {
  std::vector<Neighbour> silent;
  const auto listed =
      rtnetlink::list(RTM_GETNEIGH, AF_UNSPEC, [&silent](std::uint16_t type, rtnetlink::Octets octets) {
        const auto header = rtnetlink::take_header<ndmsg>(octets);
        if (type != RTM_NEWNEIGH || !header || (header->ndm_state & (NUD_INCOMPLETE | NUD_FAILED)) == 0)
          return;
        Neighbour neighbour;
        neighbour.interface_index = static_cast<std::uint32_t>(header->ndm_ifindex);
        rtnetlink::for_each_attribute(octets, [&neighbour](int attribute, rtnetlink::Octets value) {
          if (attribute == NDA_DST) neighbour.address = rtnetlink::read_address(value);
        });
        silent.push_back(neighbour);
      });
  if (!listed) return std::unexpected(listed.error());
  return silent;
}

}  // namespace portolan::io
