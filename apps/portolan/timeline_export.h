// SPDX-License-Identifier: BSD-2-Clause
//
// A timeline as a file: for Wireshark, for programs, and as a test.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "portolan/timeline.h"

namespace portolan {

/// Errors  text: there is nothing, or the disk is full
[[nodiscard]] auto pcap_of(const Timeline& timeline) -> std::expected<std::string, std::string>;
/// All entries, as {"portolan-timeline": [...]}.
[[nodiscard]] auto json_of(const Timeline& timeline) -> std::string;
/// A GoogleTest program that sends the timeline's requests to a server and compares its answers, epochs and
/// lifetimes apart.
[[nodiscard]] auto test_of(const Timeline& timeline) -> std::string;

/// Of the file exported_test.cpp.in: what the tests need.
[[nodiscard]] auto exported_test_head() -> std::string_view;

}  // namespace portolan
