// SPDX-License-Identifier: BSD-2-Clause
#include "wire/protocol.h"

#include <vector>

#include <gtest/gtest.h>

#include "wire/message.h"

namespace portolan::wire {
namespace {

struct ResultCase {
  unsigned number;
  std::string_view name;
  Seconds lifetime;
};

TEST(ResultCode, has_the_number_name_and_lifetime_of_its_rfc) {
  const std::vector<ResultCase> cases = {
      {0, "SUCCESS", Seconds{0}},
      {1, "UNSUPP_VERSION", Seconds{1800}},
      {2, "NOT_AUTHORIZED", Seconds{1800}},
      {3, "MALFORMED_REQUEST", Seconds{1800}},
      {4, "UNSUPP_OPCODE", Seconds{1800}},
      {5, "UNSUPP_OPTION", Seconds{1800}},
      {6, "MALFORMED_OPTION", Seconds{1800}},
      {7, "NETWORK_FAILURE", Seconds{30}},
      {8, "NO_RESOURCES", Seconds{30}},
      {9, "UNSUPP_PROTOCOL", Seconds{1800}},
      {10, "USER_EX_QUOTA", Seconds{30}},
      {11, "CANNOT_PROVIDE_EXTERNAL", Seconds{30}},
      {12, "ADDRESS_MISMATCH", Seconds{1800}},
      {13, "EXCESSIVE_REMOTE_PEERS", Seconds{1800}},
      {14, "INITIATION", Seconds{30}},
      {15, "AUTHENTICATION_REQUIRED", Seconds{30}},
      {16, "AUTHENTICATION_FAILED", Seconds{30}},
      {17, "AUTHENTICATION_SUCCEEDED", Seconds{30}},
      {18, "AUTHORIZATION_FAILED", Seconds{30}},
      {19, "SESSION_TERMINATED", Seconds{30}},
      {20, "UNKNOWN_SESSION_ID", Seconds{30}},
      {21, "DOWNGRADE_ATTACK_DETECTED", Seconds{30}},
      {22, "AUTHENTICATION_REQUEST", Seconds{30}},
      {23, "AUTHENTICATION_REPLY", Seconds{30}},
      {24, "THIRD_PARTY_ID_UNKNOWN", Seconds{1800}},
      {25, "THIRD_PARTY_MISSING_OPTION", Seconds{1800}},
      {26, "UNSUPP_THIRD_PARTY_ID_LENGTH", Seconds{1800}},
      {27, "result code 27", Seconds{30}},
      {255, "result code 255", Seconds{30}},
  };
  for (const ResultCase& result : cases) {
    const auto code = static_cast<ResultCode>(result.number);
    EXPECT_EQ(to_string(code), result.name);
    EXPECT_EQ(recommended_error_lifetime(code), result.lifetime) << result.name;
  }
}

TEST(Opcode, has_a_name_or_a_number) {
  EXPECT_EQ(to_string(Opcode::announce), "ANNOUNCE");
  EXPECT_EQ(to_string(Opcode::map), "MAP");
  EXPECT_EQ(to_string(Opcode::peer), "PEER");
  EXPECT_EQ(to_string(Opcode::authentication), "AUTHENTICATION");
  EXPECT_EQ(to_string(static_cast<Opcode>(4)), "opcode 4");
}

TEST(OptionCode, has_a_name_or_a_number) {
  const std::vector<std::pair<unsigned, std::string_view>> cases = {
      {0, "option 0"},
      {1, "THIRD_PARTY"},
      {2, "PREFER_FAILURE"},
      {3, "FILTER"},
      {4, "NONCE"},
      {5, "AUTHENTICATION_TAG"},
      {6, "PA_AUTHENTICATION_TAG"},
      {7, "EAP_PAYLOAD"},
      {8, "PRF"},
      {9, "MAC_ALGORITHM"},
      {10, "SESSION_LIFETIME"},
      {11, "RECEIVED_PAK"},
      {12, "ID_INDICATOR"},
      {13, "THIRD_PARTY_ID"},
      {14, "option 14"},
      {127, "PREFIX64_EXPERIMENTAL"},
      {128, "DESCRIPTION"},
      {129, "PREFIX64"},
      {130, "PORT_SET"},
      {131, "option 131"},
      {132, "PORT_RESERVATION"},
      {192, "CHECKPOINT_REQUIRED"},
      {255, "option 255"},
  };
  for (const auto& [number, name] : cases) EXPECT_EQ(to_string(static_cast<OptionCode>(number)), name);
}

TEST(DecodeErrors, say_in_words_what_is_wrong) {
  for (int i = 0; i <= static_cast<int>(RequestError::too_short_for_opcode); ++i)
    EXPECT_FALSE(to_string(static_cast<RequestError>(i)).empty());
  for (int i = 0; i <= static_cast<int>(ResponseError::too_short_for_opcode); ++i)
    EXPECT_FALSE(to_string(static_cast<ResponseError>(i)).empty());
  EXPECT_EQ(to_string(RequestError::too_long), "longer than its version allows");
  EXPECT_EQ(to_string(ResponseError::is_request), "a request, not a response");
}

}  // namespace
}  // namespace portolan::wire
