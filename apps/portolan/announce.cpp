// SPDX-License-Identifier: BSD-2-Clause
//
// `portolan announce`: is the PCP server there (RFC 6887 s14.1.2)?
#include <cstdio>

#include <fmt/format.h>

#include "portolan/commands.h"
#include "portolan/report.h"
#include "portolan/session.h"

namespace portolan {

auto run_announce(const AnnounceCommand& command) -> int {
  const auto opened = Session::open(command.common);
  const bool is_json = command.common.is_json;
  const auto fail = [is_json](const std::string& server, const std::string& error, int status) {
    if (is_json) fmt::print("{}\n", announce_failed_json(server, error));
    fmt::print(stderr, "portolan: {}\n", error);
    return status;
  };
  if (!opened) return fail(command.common.server, opened.error().text, opened.error().status);
  Session& session = **opened;
  const std::string server = session.choice().address_text();
  session.loop().post([&session] {
    session.engine().announce(io::monotonic_now());
    session.expect_answer();
    session.carry_out();
  });
  return session.run(
      [&](const client::Event& event) {
        if (const auto* announced = std::get_if<client::Announced>(&event)) {
          fmt::print("{}\n",
                     is_json ? announced_json(server, *announced) : announced_text(server, *announced));
          session.finish(announced->result == wire::ResultCode::success ? exit_success : exit_refused);
        } else if (const auto* version = std::get_if<client::VersionRefused>(&event)) {
          session.finish(fail(server, version_text(server, *version), exit_refused));
        }
      },
      [&] {
        session.finish(fail(server,
                            fmt::format("{}: is portoland running there? --server names another server",
                                        session.no_answer_text()),
                            exit_no_answer));
      });
}

}  // namespace portolan
