// SPDX-License-Identifier: BSD-2-Clause
//
// The commands' part of docs/man/portolanctl.8 is what the schemas say. PORTOLANCTL_MANUAL=write writes it
// again.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "portolanctl/help.h"

namespace portolan::ctl {
namespace {

constexpr std::string_view begin_mark = ".\\\" Made from the schemas of the commands, from here on.\n";
constexpr std::string_view end_mark = ".\\\" Made from the schemas of the commands, up to here.\n";

/// Text of a line of mdoc: dashes that are no hyphens, backslashes that are none.
auto mdoc(std::string_view text) -> std::string {
  std::string made;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\')
      made += "\\e";
    else if (text.substr(i).starts_with("--"))
      ++i, made += "\\-\\-";
    else
      made += text[i];
  }
  return made;
}

/// Each sentence on a line of its own.
auto sentences(std::string text) -> std::string {
  for (std::size_t at = text.find(". "); at != std::string::npos; at = text.find(". ", at + 1))
    text[at + 1] = '\n';
  return mdoc(text) + "\n";
}

auto manual_of(const Command& command) -> std::string {
  std::string text = ".Ss " + command.name() + "\n" + sentences(command.summary);
  if (!command.parameters.empty()) {
    text += ".Bl -tag -width Ds\n";
    for (const Parameter& parameter : command.parameters) {
      const std::string form = option_form(parameter).substr(2);
      const std::size_t space = form.find(' ');
      text += ".It Fl \\-" + form.substr(0, space);
      if (space != std::string::npos) text += " Ar " + form.substr(space + 1);
      text += "\n" + sentences(parameter.summary);
      if (parameter.is_required) text += "Required.\n";
      if (parameter.is_positional) text += "May go without its name, in this order.\n";
      if (parameter.type != management::Type::flag)
        text += "It is " + mdoc(management::description_of(parameter)) + ".\n";
    }
    text += ".El\n";
  }
  text += ".Bd -literal -offset indent\n";
  for (const std::string& example : command.examples) text += mdoc(example) + "\n";
  return text + ".Ed\n";
}

TEST(Manual, says_of_commands_what_the_schemas_say) {
  std::stringstream page;
  page << std::ifstream(PORTOLANCTL_MANUAL_PAGE).rdbuf();
  const std::string text = page.str();
  const std::size_t begin = text.find(begin_mark);
  const std::size_t end = text.find(end_mark);
  ASSERT_TRUE(begin < end && end != std::string::npos)
      << PORTOLANCTL_MANUAL_PAGE << " has no place for the commands";
  std::string made;
  for (const Command& command : management::built_in_catalogue().commands) made += manual_of(command);
  const std::string wanted = text.substr(0, begin + begin_mark.size()) + made + text.substr(end);
  const char* const mode = std::getenv("PORTOLANCTL_MANUAL");
  if (mode != nullptr && std::string_view(mode) == "write") std::ofstream(PORTOLANCTL_MANUAL_PAGE) << wanted;
  EXPECT_TRUE(wanted == text) << "PORTOLANCTL_MANUAL=write portolanctl_test writes it again";
}

}  // namespace
}  // namespace portolan::ctl
