// SPDX-License-Identifier: BSD-2-Clause
#include "gateway/confinement_reader.h"

namespace portolan::gateway {
namespace {

/// As useradd(8) takes them.
constexpr std::size_t user_name_octets_max = 32;

}  // namespace

auto read_confinement(Reader& reader, const toml::table& root) -> ConfinementSettings {
  ConfinementSettings settings;
  if (const auto name = reader.text(root, "", "run_as")) {
    if (name->empty() || name->size() > user_name_octets_max || name->find('\0') != std::string::npos)
      reader.fail(*root.get("run_as"), "run_as",
                  fmt::format("is no user name: 1 to {} characters", user_name_octets_max));
    else if (!io::user_exists(*name))
      reader.fail(
          *root.get("run_as"), "run_as",
          "is no user of this host: make one (useradd --system), or leave it out to stay whoever starts it");
    else
      settings.run_as = *name;
  }
  if (const auto text = reader.text(root, "", "unexpected_calls")) {
    if (*text == "kill")
      settings.unexpected_calls = io::UnexpectedCalls::kill;
    else if (*text == "allow")
      settings.unexpected_calls = io::UnexpectedCalls::allow;
    else if (*text != "refuse")
      reader.fail(*root.get("unexpected_calls"), "unexpected_calls",
                  R"(must be "refuse", "kill", or "allow" for no limit at all)");
  }
  return settings;
}

void refuse_changes(Reader& reader, const toml::table& root, const ConfinementSettings& wanted,
                    const ConfinementSettings& running) {
  Comparison top(reader, root, "");
  top.fixed("run_as", wanted.run_as, running.run_as);
  top.fixed("unexpected_calls", wanted.unexpected_calls, running.unexpected_calls);
}

}  // namespace portolan::gateway
