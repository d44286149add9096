// SPDX-License-Identifier: BSD-2-Clause
//
// The agent: keeps the mappings of its file, and those asked for over its socket, until they are dropped. It
// remembers them over its own restarts, and with them what the servers granted.
#pragma once

#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/client.h"
#include "io/event_loop.h"
#include "io/stream.h"
#include "portolan/agent_config.h"
#include "portolan/agent_state.h"
#include "portolan/keeper.h"
#include "portolan/options.h"

namespace portolan {

class Agent {
 public:
  /// Who asks at a time; one more is sent away.
  static constexpr std::size_t askers_max = 32;

  /// In      say: takes a line for the log
  /// Errors  exit_usage: the socket is no place for this agent, or the state file is not to be understood;
  /// exit_refused: the system does not tell of the network, which may be another time
  [[nodiscard]] static auto open(io::EventLoop& loop, const AgentConfig& config,
                                 const std::filesystem::path& state, const std::filesystem::path& socket,
                                 std::function<void(const std::string&)> say)
      -> std::expected<std::unique_ptr<Agent>, Exit>;
  /// Keeps what the file says now. What it says as before is not touched, what it says in other words is
  /// asked for by the nonces that it has, what it names no more is deleted. Errors  text: there would be too
  /// many; nothing has changed
  [[nodiscard]] auto reload(const AgentConfig& config) -> std::expected<void, std::string>;
  Agent(const Agent&) = delete;
  auto operator=(const Agent&) -> Agent& = delete;

 private:
  struct Entry {
    client::Wish wish;
    bool is_asked = false;
    client::WishId id{};
  };
  struct Asker {
    io::Stream stream;
    std::string input;
    /// What was asked for, while no server has answered.
    std::string waits_for = {};
    std::set<std::string> refused_by = {};
  };

  Agent(std::filesystem::path state, std::function<void(const std::string&)> say);

  [[nodiscard]] auto read_state() const -> std::expected<std::vector<StoredMapping>, std::string>;
  [[nodiscard]] auto restore(const AgentConfig& config) -> std::expected<void, std::string>;
  void add(StoredMapping mapping);
  [[nodiscard]] auto stored(const Entry& entry) const -> StoredMapping;
  [[nodiscard]] auto stored() const -> std::vector<StoredMapping>;
  void save();

  void happened(const client::ClientEvent& event);
  void accept(io::Stream stream);
  void hear(Asker& asker, std::span<const std::byte> octets);
  void answer(Asker& asker, const AgentRequest& request);
  void answer_waiting(const std::string& key, const client::ClientEvent& event);
  /// Sends `mappings` and the end, which is an error unless `error` is empty.
  static void end(Asker& asker, const std::vector<StoredMapping>& mappings, const std::string& error);
  /// Empty: done. Else why not.
  [[nodiscard]] auto add_asked(const client::Wish& wish) -> std::string;
  [[nodiscard]] auto drop_asked(const client::Wish& wish) -> std::string;

  std::filesystem::path state_path_;
  std::function<void(const std::string&)> say_;
  std::unique_ptr<Keeper> keeper_;
  io::StreamListener listener_;
  std::map<std::string, Entry> entries_;  ///< by key_of()
  std::vector<std::unique_ptr<Asker>> askers_;
  std::string saved_;  ///< what the file says
  bool is_unsaved_ = false;
};

}  // namespace portolan
