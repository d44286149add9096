// SPDX-License-Identifier: BSD-2-Clause
#include "portoland/mapping_log.h"

#include <utility>

#include "io/system.h"

namespace portolan::portoland {

MappingLog::MappingLog(io::EventLoop& loop, server::Server& server, Random& random)
    : server_(server), lines_(HashKey::generate(random)), rested_(loop.timer([this] { serve(); })) {}

MappingLog::~MappingLog() {
  if (is_on()) {
    // What is there when it begins is told anew.
    present_.reset();
    const TimePoint last_look = io::monotonic_now() + io::EventFile::looks_max * io::EventFile::room_wait;
    while (!drain() && io::monotonic_now() < last_look) file_.wait_writable(io::EventFile::room_wait);
    file_.lose(server_.events_from(next_, server::events_kept).events.size());
  }
  file_.end();
}

auto MappingLog::open(const MappingLogSettings& settings) -> std::expected<io::AppendFile, std::string> {
  if (!settings.is_on) return io::AppendFile();
  if (settings.path.empty()) return io::AppendFile::standard_output();
  auto file = io::AppendFile::open(settings.path);
  if (!file) return std::unexpected("mapping_log.file: " + file.error());
  return file;
}

void MappingLog::use(io::AppendFile file, const Settings& settings) {
  if (is_on()) static_cast<void>(drain());
  has_nat64_ = settings.has(DeviceKind::nat64);
  nat64_.set(nullptr, settings.nat64.events.rules);
  if (settings.mapping_log.blocks)
    lines_.set_blocks([this](const Contract& mapping) { return own_ports_of(mapping); });
  else
    lines_.set_blocks({});
  if (file_.use(std::move(file), settings.mapping_log.is_on)) {
    lines_.begin();
    server_.hold_events(true);
    next_ = server_.events_from(0, 0).next;
    present_.emplace();
  }
  if (!is_on()) {
    server_.hold_events(false);
    present_.reset();
    rested_.disarm();
    return;
  }
  serve();
}

void MappingLog::look() {
  if (is_on() && !rested_.is_armed()) serve();
}

void MappingLog::serve() {
  if (!file_.write()) return rested_.arm(io::monotonic_now() + io::EventFile::room_wait);
  const bool has_more = take_some();
  if (file_.is_waiting())
    rested_.arm(io::monotonic_now() + io::EventFile::room_wait);
  else if (has_more)
    rested_.arm(io::monotonic_now());
}

auto MappingLog::drain() -> bool {
  for (std::size_t turn = 0; turn < drain_turns_max; ++turn) {
    if (!file_.write()) return false;
    const bool was_walking = present_.has_value();
    if (!take_some() || was_walking) break;
  }
  return !file_.is_waiting();
}

auto MappingLog::take_some() -> bool {
  const server::EventPage page = server_.events_from(next_, events_per_turn);
  next_ = page.next;
  file_.lose(page.missed);
  file_.begin_part(!page.events.empty());
  for (const server::Event& event : page.events) append(event);
  if (page.events.empty() && present_) {
    const auto there = server_.list_mappings(io::monotonic_now(), {}, *present_);
    for (const server::MappingView& mapping : there.rows)
      if (mapping.is_in_force && is_told(mapping.contract))
        lines_.present(io::wall_now(), mapping.contract, file_.text());
    present_ = there.next;
  }
  file_.end_part();
  return page.events.size() == events_per_turn || present_.has_value();
}

void MappingLog::append(const server::Event& event) {
  using Kind = server::Event::Kind;
  if (!event.contract || !is_told(*event.contract)) return;
  const Contract& mapping = *event.contract;
  const Nanoseconds time = io::wall_now() - (io::monotonic_now() - event.time);
  std::string& out = file_.text();
  switch (event.kind) {
    case Kind::mapping_created: return lines_.made(time, mapping, out);
    case Kind::mapping_moved: return lines_.moved(time, mapping, out);
    case Kind::mapping_deleted: return lines_.ended(time, mapping, "deleted", out);
    case Kind::mapping_expired: return lines_.ended(time, mapping, "expired", out);
    case Kind::mapping_lost: return lines_.ended(time, mapping, "lost", out);
    // Whose a port is does not change by these.
    case Kind::mapping_renewed:
    case Kind::user_added:
    case Kind::user_changed:
    case Kind::user_deleted: break;
  }
}

auto MappingLog::is_told(const Contract& mapping) const -> bool {
  const MappingKey& key = mapping.key.mapping;
  const bool is_nat64 = !key.internal_address.is_ipv4() && key.external_family == Family::ipv4;
  return !is_nat64 || !has_nat64_ || nat64_.level_of(key.internal_address.bits()) == nat::EventLevel::none;
}

auto MappingLog::own_ports_of(const Contract& mapping) const -> std::optional<PortRange> {
  // One whose prefix is a subscriber's: what users of a larger one may have is for all of them.
  const auto user = server_.find_user(io::monotonic_now(), mapping.subscriber);
  if (!user || user->origin == server::Origin::dynamic || user->policy.external_ports == PortRange{})
    return {};
  return user->policy.external_ports;
}

}  // namespace portolan::portoland
