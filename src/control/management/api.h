// SPDX-License-Identifier: BSD-2-Clause
//
// The management API of portoland: HTTP requests to calls of the server engine, its answers to JSON.
//
// Each request is admitted (guard.h), checked against its command's schema (arguments.h), and answered at
// once if it looks. One that changes something is answered when device and store have it: the engine tells by
// Actions::finished.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/management/arguments.h"
#include "control/management/guard.h"
#include "control/management/listing.h"
#include "control/management/schema/schema.h"
#include "io/event_loop.h"
#include "io/http_page.h"
#include "io/http_service.h"
#include "server/server.h"

namespace portolan::management {

/// What the engine does not know of the program around it.
struct ProgramStatus {
  std::string version;
  Seconds uptime{};
  std::vector<std::string> devices;
  std::string store;
  /// Empty: it writes.
  std::string store_error;
};

struct Surroundings {
  Clocks clocks;
  /// The engine has actions to be carried out.
  std::function<void()> changed;
  std::function<ProgramStatus()> status;
  /// How much of their external ports devices have left.
  std::function<std::vector<Pool>()> pools;
  /// What the configuration gives users that have no rights of their own.
  std::function<server::Policy()> policy;
  /// What the program has counted besides the engine.
  std::function<std::vector<Counter>()> counters;
  /// Errors: each mistake in the configuration.
  std::function<std::expected<void, std::vector<std::string>>()> reload;
  /// For the log: who is about to change what, fit to be shown; who came with a wrong token.
  std::function<void(const std::string& who, const std::string& what)> changes;
  std::function<void(const std::string& who, const std::string& why)> refused;
  /// Of the dashboard; they outlive the API.
  std::span<const io::HttpPage> pages;
  /// Hands text for Prometheus to the function, at once or later; empty: there is none.
  std::function<void(std::function<void(std::string)>)> metrics;
};

class Api {
 public:
  /// `loop` and `server` outlive this.
  Api(io::EventLoop& loop, server::Server& server, Surroundings surroundings, io::HttpLimits limits = {});
  Api(const Api&) = delete;
  auto operator=(const Api&) -> Api& = delete;
  ~Api();

  struct Listener {
    io::StreamAddress address;
    io::TlsIdentity identity;
    io::SocketRights rights;
  };
  /// Listens at all of `listeners`; once. `names`: as in Guard.
  /// Out     where it listens: the ports are known if 0 was asked for
  /// Errors  text for the operator
  [[nodiscard]] auto listen(const std::vector<Listener>& listeners, std::vector<std::string> names,
                            Tokens tokens) -> std::expected<std::vector<io::StreamAddress>, std::string>;
  void set_tokens(Tokens tokens);
  /// Shown to who connects over TLS from now on.
  void set_identity(const io::TlsIdentity& identity) { service_.set_identity(identity); }

  /// What the engine has finished, and whatever else has happened: to be called with each of its Actions.
  void carried_out(std::span<const server::Finished> finished);

  /// Answers `call` of `caller`. For tests and fuzzing; the listeners' calls come here.
  void answer(const Caller& caller, io::HttpCall call);

  [[nodiscard]] auto http_counters() const -> const io::HttpCounters& { return service_.counters(); }

 private:
  /// Makes the answer to an operation that has ended well.
  using AnswerTo = std::function<io::HttpReply(const server::Outcome&)>;
  struct Waiting {
    io::HttpCall call;
    AnswerTo answer;
  };

  void called(io::HttpCall call);
  void run(const Caller& caller, const Command& command, const Arguments& arguments, io::HttpCall call);
  /// Answers when the operation is finished, or why it did not begin.
  void await(std::expected<server::OperationId, server::Failure> begun, io::HttpCall call, AnswerTo answer);
  [[nodiscard]] auto arguments_of(const Command& command,
                                  const std::vector<std::pair<std::string, std::string>>& query,
                                  const io::HttpCall& call) const -> std::expected<Arguments, Error>;
  [[nodiscard]] auto no_command(const std::string& path) const -> io::HttpReply;

  [[nodiscard]] auto list_users(const Arguments& arguments) -> io::HttpReply;
  [[nodiscard]] auto list_mappings(const Arguments& arguments) -> io::HttpReply;
  [[nodiscard]] auto show_user(const Arguments& arguments) const -> io::HttpReply;
  [[nodiscard]] auto show_mapping(const Arguments& arguments) const -> io::HttpReply;
  [[nodiscard]] auto show_status(const Caller& caller) const -> io::HttpReply;
  [[nodiscard]] auto list_pools() const -> io::HttpReply;
  [[nodiscard]] auto list_counters(const Arguments& arguments) const -> io::HttpReply;
  [[nodiscard]] auto watch(const Arguments& arguments) -> io::HttpReply;
  [[nodiscard]] auto export_all() -> io::HttpReply;
  void add_user(const Arguments& arguments, io::HttpCall call);
  void set_user(const Arguments& arguments, io::HttpCall call);
  void delete_user(const Arguments& arguments, io::HttpCall call);
  void add_mapping(const Arguments& arguments, io::HttpCall call);
  void delete_mappings(const Arguments& arguments, io::HttpCall call);
  [[nodiscard]] auto set(const Arguments& arguments) -> io::HttpReply;
  [[nodiscard]] auto announce(const Arguments& arguments) -> io::HttpReply;
  [[nodiscard]] auto reload() const -> io::HttpReply;

  [[nodiscard]] auto now() const -> TimePoint { return surroundings_.clocks.now(); }
  [[nodiscard]] auto user_pages(server::UserFilter filter, bool with_kind) const -> Listing::Pages;
  [[nodiscard]] auto mapping_pages(server::MappingFilter filter, bool with_kind) const -> Listing::Pages;

  io::EventLoop& loop_;
  server::Server& server_;
  Surroundings surroundings_;
  Catalogue catalogue_;
  /// What /v1/openapi.json answers.
  std::string openapi_;
  io::HttpLimits limits_;
  std::unique_ptr<Guard> guard_;
  Followers followers_;
  std::map<server::OperationId, Waiting> waiting_;
  /// How often the guard refused, by the error's code.
  std::map<std::string_view, std::uint64_t> refused_;
  io::HttpService service_;
};

}  // namespace portolan::management
