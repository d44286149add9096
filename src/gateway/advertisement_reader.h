// SPDX-License-Identifier: BSD-2-Clause
//
// Reading section [router_advertisement].
#pragma once

#include <optional>

#include "gateway/advertisement_settings.h"
#include "gateway/config_reader.h"

namespace portolan::gateway {

/// Out  nullopt if there is no such section
[[nodiscard]] auto read_advertisement(Reader& reader, const toml::table& root)
    -> std::optional<AdvertisementSettings>;

/// What only a restart changes: whether there are advertisements at all, for their socket takes rights that
/// a running daemon no longer has.
void refuse_changes(Reader& reader, const toml::table& root,
                    const std::optional<AdvertisementSettings>& wanted,
                    const std::optional<AdvertisementSettings>& running);

}  // namespace portolan::gateway
