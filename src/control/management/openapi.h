// SPDX-License-Identifier: BSD-2-Clause
//
// The management API described for programs (OpenAPI 3.1), made of the commands' schemas.
#pragma once

#include <string>

#include "control/management/schema/schema.h"

namespace portolan::management {

[[nodiscard]] auto openapi_of(const Catalogue& catalogue) -> std::string;

}  // namespace portolan::management
