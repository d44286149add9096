// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/nat64_look.h"

#include "io/event_loop.h"
#include "io/network_watch.h"
#include "io/system.h"

namespace portolan {

void hear_advertisements(Seconds wait, discovery::Nat64Prefixes& prefixes,
                         std::vector<std::string>& remarks) {
  auto watch = io::NetworkWatch::open(io::Advertisements::heard);
  if (!watch) {
    remarks.push_back(watch.error());
    return;
  }
  io::EventLoop loop;
  const auto readable = loop.on_readable(watch->descriptor(), [&] {
    for (const io::AdvertisedOptions& options : watch->take().advertised)
      for (const discovery::Pref64& learned : discovery::parse_pref64_options(options.octets))
        prefixes.learn(io::monotonic_now(), discovery::PrefixSource::router_advertisement,
                       options.interface_index, learned);
  });
  const auto over = loop.at(io::monotonic_now() + wait, [&] { loop.stop(); });
  loop.run();
}

}  // namespace portolan
