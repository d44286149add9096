// SPDX-License-Identifier: BSD-2-Clause
// What PORTOLAN_PRECOMPILE compiles once for tests: see cmake/PortolanTargets.cmake.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "precompiled.h"
