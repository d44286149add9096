// SPDX-License-Identifier: BSD-2-Clause
//
// SIP messages as they were, from the lines that Sofia-SIP logs of them:
//
//   send 405 bytes to udp/[2001:db8::1]:5060 at 07:26:07.833062:
//      ------------------------------------------------------------------------
//      REGISTER sip:mysip.example SIP/2.0
//      ...
//      ------------------------------------------------------------------------
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"

namespace portolan::sip {

class MessageLog {
 public:
  /// Of a message that is said to be longer, so much is kept.
  static constexpr std::size_t octets_max = 65'000;

  struct Message {
    bool is_sent = false;
    Protocol protocol = Protocol::udp;
    Endpoint remote = {};
    std::string text = {};

    auto operator==(const Message&) const -> bool = default;
  };

  /// In   line: without its end
  /// Out  the message that this line is the last one of; less of it where Sofia has cut it
  [[nodiscard]] auto take(std::string_view line) -> std::optional<Message>;

 private:
  enum class State : std::uint8_t { outside, before_text, in_text };
  void begin(std::string_view line);
  [[nodiscard]] auto finish() -> std::optional<Message>;

  State state_ = State::outside;
  Message message_;
  std::size_t octets_ = 0;
};

}  // namespace portolan::sip
