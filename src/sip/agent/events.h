// SPDX-License-Identifier: BSD-2-Clause
//
// What the signalling tells a phone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "base/time.h"

namespace portolan::sip {

/// Names a call of one Agent; never used twice.
enum class CallId : std::uint64_t {};

struct Registered {
  Seconds expires;  ///< as the server granted
};
/// Status of SIP (RFC 3261 s21); 408 and 503 also stand for no answer and no way.
struct RegistrationFailed {
  int status = 0;
  std::string phrase = {};
  std::optional<Seconds> retry_after = {};  ///< as the server asks for
};
struct Unregistered {};

struct Incoming {
  CallId call{};
  std::string from = {};  ///< URI
  std::string sdp = {};   ///< empty: we are to offer
};
/// The other side wants to change a call, and waits for answer() or refuse().
struct Offered {
  CallId call{};
  std::string sdp = {};
};
/// A provisional answer to our INVITE.
struct Progress {
  CallId call{};
  int status = 0;
  std::string phrase = {};
};
/// Their description, in answer to ours; empty: there was none.
struct Accepted {
  CallId call{};
  std::string sdp = {};
};
/// Our change of a call was refused; the call goes on as it was.
struct ChangeRefused {
  CallId call{};
  int status = 0;
  std::string phrase = {};
};
/// The call is over and its CallId void.
struct CallEnded {
  CallId call{};
  int status = 0;  ///< of the answer that refused it; 0: it was hung up
  std::string phrase = {};
  bool by_other_side = false;
};

using AgentEvent = std::variant<Registered, RegistrationFailed, Unregistered, Incoming, Offered, Progress,
                                Accepted, ChangeRefused, CallEnded>;

}  // namespace portolan::sip
