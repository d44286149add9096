// SPDX-License-Identifier: BSD-2-Clause
//
// What happens on a phone, in words and as JSON.
#pragma once

#include <string>

#include "sip/agent/phone.h"

namespace portolan::phone {

/// One line, without its end.
[[nodiscard]] auto event_text(const sip::PhoneEvent& event) -> std::string;
/// One object on one line.
[[nodiscard]] auto event_json(const sip::PhoneEvent& event) -> std::string;
/// One line of a list of calls: "1 active  sip:13@mysip.example  PCMU over IPv4, ...".
[[nodiscard]] auto call_text(const sip::CallView& call) -> std::string;
/// What a status of SIP means to a person, and what to do; empty for those that say it themselves.
[[nodiscard]] auto advice(int status) -> std::string;

}  // namespace portolan::phone
