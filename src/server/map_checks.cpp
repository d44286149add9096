// SPDX-License-Identifier: BSD-2-Clause
#include "server/map_checks.h"

namespace portolan::server {

using wire::OptionCode;
using wire::ResultCode;

auto read_map_options(const wire::OptionList& options) -> std::expected<MapOptions, ResultCode> {
  if (!options.is_well_formed()) return std::unexpected(ResultCode::malformed_option);
  MapOptions read;
  for (const wire::Option& option : options) {
    if (option.code == OptionCode::prefer_failure) {
      if (read.prefer_failure || !option.data.empty()) return std::unexpected(ResultCode::malformed_option);
      read.prefer_failure = true;
    } else if (wire::is_mandatory_to_process(option.code)) {
      return std::unexpected(ResultCode::unsupp_option);
    }
  }
  return read;
}

auto refuse_mandatory_options(const wire::OptionList& options) -> std::expected<void, ResultCode> {
  if (!options.is_well_formed()) return std::unexpected(ResultCode::malformed_option);
  for (const wire::Option& option : options)
    if (wire::is_mandatory_to_process(option.code)) return std::unexpected(ResultCode::unsupp_option);
  return {};
}

auto check_map_shape(const wire::MapRequest& map) -> std::expected<void, ResultCode> {
  if (map.protocol == Protocol::all && map.internal_port != Port{0})
    return std::unexpected(ResultCode::malformed_request);
  return {};
}

auto check_map_options(const wire::MapRequest& map, std::uint32_t requested_lifetime_s,
                       const MapOptions& options) -> std::expected<void, ResultCode> {
  if (options.prefer_failure && (requested_lifetime_s == 0 || map.suggested_external_port == Port{0}))
    return std::unexpected(ResultCode::malformed_option);
  return {};
}

}  // namespace portolan::server
