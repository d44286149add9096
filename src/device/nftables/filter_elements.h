// SPDX-License-Identifier: BSD-2-Clause
//
// Filters of mappings as elements of nftables' interval sets, which take no two that overlap.
#pragma once

#include <vector>

#include "base/remote_filter.h"
#include "io/nft_table.h"

namespace portolan::device {

/// The filters without those that another one of the same remote port includes.
[[nodiscard]] auto without_overlaps(std::vector<RemoteFilter> filters) -> std::vector<RemoteFilter>;

/// The element of `filter` for `socket`, which has the fields protocol, internal address and port: of the set
/// "allowed", or "allowed_port" if it names a remote port.
[[nodiscard]] auto filter_element(const io::NftFields& socket, const RemoteFilter& filter, Family family,
                                  Seconds timeout) -> io::NftElement;

/// Whether packets from `remote` may begin something.
[[nodiscard]] auto lets_in(const std::vector<RemoteFilter>& filters, const Endpoint& remote) -> bool;

}  // namespace portolan::device
