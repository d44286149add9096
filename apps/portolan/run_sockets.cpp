// SPDX-License-Identifier: BSD-2-Clause
#include "portolan/run_sockets.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace portolan {
namespace {

template <typename Number>
auto number_of(std::string_view word) -> std::optional<Number> {
  Number number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return {};
  return number;
}

}  // namespace

auto parse_socket_report(std::string_view line) -> std::optional<SocketReport> {
  std::array<std::string_view, 6> words;
  for (std::string_view& word : words) {
    word = line.substr(0, line.find(' '));
    line.remove_prefix(std::min(line.size(), word.size() + 1));
  }
  const auto cookie = number_of<std::uint64_t>(words[1]);
  const auto address = IpAddress::parse(words[4]);
  const auto port = number_of<std::uint16_t>(words[5]);
  const bool is_protocol = words[2] == "tcp" || words[2] == "udp";
  const bool is_family = words[3] == "4" || words[3] == "6" || words[3] == "both";
  if (words[0] != "open" || !line.empty() || !cookie || !address || !port || *port == 0 || !is_protocol ||
      !is_family)
    return {};
  return SocketReport{.cookie = *cookie,
                      .protocol = words[2] == "tcp" ? Protocol::tcp : Protocol::udp,
                      .has_ipv4 = words[3] != "6",
                      .has_ipv6 = words[3] != "4",
                      .address = *address,
                      .port = Port{*port}};
}

auto RunSockets::opened(const SocketReport& report) -> std::vector<NeededMapping> {
  if (sockets_.contains(report.cookie) || is_full()) return {};
  std::vector<NeededMapping> all;
  const auto need = [&](const IpAddress& address) {
    all.push_back({.protocol = report.protocol, .port = report.port, .address = address});
  };
  if (!report.address.is_unspecified()) {
    need(report.address);
  } else {
    if (report.has_ipv6) need(IpAddress::unspecified(Family::ipv6));
    if (report.has_ipv4) need(IpAddress::unspecified(Family::ipv4));
  }
  std::vector<NeededMapping> added;
  for (const NeededMapping& mapping : all) {
    const auto [entry, is_new] = needs_.try_emplace(mapping);
    ++entry->second.sockets;
    if (is_new) added.push_back(mapping);
  }
  sockets_[report.cookie] = std::move(all);
  return added;
}

void RunSockets::ended(TimePoint now, std::uint64_t cookie) {
  const auto socket = sockets_.find(cookie);
  if (socket == sockets_.end()) return;
  for (const NeededMapping& mapping : socket->second) {
    Need& need = needs_.at(mapping);
    if (--need.sockets == 0) need.unneeded_at = now + linger_time;
  }
  sockets_.erase(socket);
}

auto RunSockets::take_unneeded(TimePoint now) -> std::vector<NeededMapping> {
  std::vector<NeededMapping> unneeded;
  for (const auto& [mapping, need] : needs_)
    if (need.sockets == 0 && need.unneeded_at <= now) unneeded.push_back(mapping);
  for (const NeededMapping& mapping : unneeded) needs_.erase(mapping);
  return unneeded;
}

auto RunSockets::next_deadline() const -> std::optional<TimePoint> {
  std::optional<TimePoint> earliest;
  for (const auto& [mapping, need] : needs_)
    if (need.sockets == 0) earliest = std::min(earliest.value_or(need.unneeded_at), need.unneeded_at);
  return earliest;
}

auto RunSockets::cookies() const -> std::vector<std::uint64_t> {
  std::vector<std::uint64_t> all;
  all.reserve(sockets_.size());
  for (const auto& [cookie, mappings] : sockets_) all.push_back(cookie);
  return all;
}

}  // namespace portolan
